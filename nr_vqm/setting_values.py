"""Values of settings: conversion from text and JSON, and the ranges of numbers."""

import json
import math
import reprlib
import typing
from collections.abc import Iterator
from typing import Any

# Numbers are above zero, unless listed here.
ZERO_ALLOWED = (
    "seed", "dropout", "warmup_epochs", "start_roughness", "clip_noise", "interval_floor", "contents_reencoded",
    "contents_synthetic", "fcn_lstm_group_weight",
)  # fmt: skip
ANY_NUMBER = ("forget_bias", "input_bias")
LARGEST = 1e15  # of the magnitude of a number: integers up to it are exact as floats
LARGEST_SEED = 2**31  # Keras accepts seeds below 2^32; repeats add their number
AT_MOST_1 = ("start_roughness", "interval_neighbours", "interval_floor", "contents_reencoded")
BELOW_1 = ("dropout", "val_share")
NEEDED: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a word",
    tuple[int, int]: "two integers, such as 3x4",
    tuple[float, float]: "two numbers, such as [0.8,2.4]",
}


def parse(name: str, text: str, wanted: Any) -> Any:
    """Parse the value of a setting.

    Args:
        name: the setting, for the message.
        text: JSON, or '2x4' for two integers.
        wanted: the type of the setting.

    Raises:
        ValueError: the value has another type.
    """
    if wanted == tuple[int, int] and "x" in text:
        text = f"[{text.replace('x', ',')}]"
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return cast(name, value, wanted)


def cast(name: str, value: Any, wanted: Any) -> Any:
    """Convert a JSON value to the type of its setting: lists become tuples, integers floats.

    Raises:
        ValueError: the value has another type.
    """
    if typing.get_origin(wanted) is tuple:
        types = typing.get_args(wanted)
        if isinstance(value, (list, tuple)):
            if types[-1] is Ellipsis:
                return tuple(cast(name, item, types[0]) for item in value)
            if len(types) == len(value):
                return tuple(cast(name, item, one) for item, one in zip(value, types, strict=True))
    elif wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if abs(value) <= LARGEST else value  # `check` refuses it
    elif type(value) is wanted:
        return value
    raise ValueError(f"Setting {name!r} needs {NEEDED.get(wanted, 'a list in JSON')}. Received: {reprlib.repr(value)}.")


def check(name: str, value: Any) -> None:
    """Raise ValueError if a number of a setting is out of its range, or a list is empty."""
    for number in _numbers(value):
        if problem := _problem(name, number):
            raise ValueError(f"Setting {name!r} must be {problem}. Received: {reprlib.repr(value)}.")
    if value == ():
        raise ValueError(f"Setting {name!r} needs at least one value. Received: an empty list.")


def _problem(name: str, number: float) -> str | None:
    """Return the requirement that a number does not meet, or None."""
    if isinstance(number, float) and not math.isfinite(number):
        return "a finite number"
    if abs(number) > LARGEST:
        return f"within +-{LARGEST:g}"
    if name not in ANY_NUMBER and number < 0:
        return "zero or more" if name in ZERO_ALLOWED else "above zero"
    if name not in ANY_NUMBER + ZERO_ALLOWED and number == 0:
        return "above zero"
    if name == "seed" and number > LARGEST_SEED:
        return f"at most {LARGEST_SEED}"
    if name in BELOW_1 and number >= 1:
        return "below 1"
    return "at most 1" if name in AT_MOST_1 and number > 1 else None


def _numbers(value: Any) -> Iterator[float]:
    """Yield every number of a setting; booleans are no numbers."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _numbers(item)
