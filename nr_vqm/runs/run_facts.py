"""Read and validate run.json, the facts of a run, and other small JSON files of a run."""

import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nr_vqm import presets
from nr_vqm.common import atomic_files
from nr_vqm.dataset import mos_scale
from nr_vqm.runs.stage_records import REPAIR

MAX_REPEATS = 1000
MAX_JSON_BYTES = 10_000_000
MAX_NUMBER = 1e12  # of seconds, videos and figures: a larger one is damage, and the sum of several could overflow
Rule = tuple[str, Callable[[Any], bool]]  # what a file must hold, and whether a value is that


def is_text(value: Any) -> bool:
    """Return whether a JSON value is text or null."""
    return value is None or isinstance(value, str)


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a number from 0 to MAX_NUMBER."""
    return type(value) in (int, float) and 0 <= value <= MAX_NUMBER


def object_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a function that tells whether a JSON value is an object whose values all fit."""
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


TEXT: Rule = "text or null", is_text
TEXTS: Rule = "an object of texts", object_of(lambda value: isinstance(value, str))
NUMBER: Rule = f"a number from 0 to {MAX_NUMBER:g}", is_number
NUMBERS: Rule = f"an object of numbers from 0 to {MAX_NUMBER:g}", object_of(is_number)
RULES: dict[str, Rule] = {
    **dict.fromkeys(("database", "trained_on", "labels", "trained_labels", "label_method"), TEXT),
    "precision": TEXTS,
    "seconds": NUMBERS,
    "stages": ("an object", lambda value: isinstance(value, dict)),
    "versions": TEXTS,
    "videos": ("a number or null", lambda value: value is None or is_number(value)),
}


def check(facts: Mapping[str, Any], rules: Mapping[str, Rule], path: Path, *, repair: str = REPAIR) -> None:
    """Check the types of those values of a file that exist.

    Args:
        facts: the content of the file, or an object in it.
        rules: {name: rule} of the values to check.
        path: the file, for the message.
        repair: what to do about a damaged file, for the message.

    Raises:
        ValueError: a value does not fit its rule.
    """
    for name, (needed, fits) in rules.items():
        if name in facts and not fits(facts[name]):
            raise ValueError(f"{path} must hold {needed} as {name!r}, found {reprlib.repr(facts[name])}. {repair}")


def read(path: Path) -> dict[str, Any]:
    """Read run.json; empty if the run has none yet.

    Raises:
        ValueError: the file is damaged or was not written by nr-vqm.
    """
    facts = read_object(path) if path.exists() else {}
    check(facts, RULES, path)
    repeats = facts.get("repeats", 1)
    if type(repeats) is not int or not 1 <= repeats <= MAX_REPEATS:
        raise ValueError(f"{path} needs 1 to {MAX_REPEATS} repeats, found {reprlib.repr(repeats)}. {REPAIR}")
    return facts


def preset(values: Mapping[str, Any], path: Path) -> presets.Preset:
    """Return the preset that a file states.

    Args:
        values: the JSON form of the preset.
        path: the file, for the message.

    Raises:
        ValueError: a setting is unknown or invalid.
    """
    try:
        return presets.from_json(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def mos_range(facts: Mapping[str, Any], path: Path) -> tuple[float, float]:
    """Return the lowest and highest value of the MOS scale that a run was trained on.

    Args:
        facts: the content of run.json.
        path: run.json, for the message.

    Raises:
        ValueError: the facts do not state the scale.
    """
    found = facts.get("mos_range")
    if isinstance(found, list) and [type(end) in (int, float) for end in found] == [True, True]:
        low, high = found
        if -mos_scale.LARGEST <= low < high <= mos_scale.LARGEST:
            return float(low), float(high)
    raise ValueError(
        f"{path} needs the MOS scale as 'mos_range': [low, high], in rising order within +-{mos_scale.LARGEST:g}; "
        f"found {'none' if found is None else reprlib.repr(found)}. {REPAIR}"
    )


def read_object(path: Path) -> dict[str, Any]:
    """Read a small JSON file that holds an object.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is too large, is not JSON or does not hold an object.
    """
    atomic_files.require(path, made_by="make train")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path} must have at most {MAX_JSON_BYTES} bytes. {REPAIR}")
    value = atomic_files.read_json(path, made_by="make train")
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object. {REPAIR}")
    return value
