"""The history of a training: the errors of every epoch, as CSV."""

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from nr_vqm.common import atomic_files


def write(path: str | os.PathLike[str], history: Sequence[Mapping[str, float | None]]) -> None:
    """Write one row per epoch.

    Args:
        path: the file to write or replace.
        history: {column: value} of at least one epoch; None is written as NaN.
    """
    with (
        atomic_files.replace_when_complete(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: math.nan if value is None else value for name, value in row.items()} for row in history)


def read(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """Read {column: value} of every epoch, NaN included; empty if the file does not exist.

    Raises:
        ValueError: a cell is missing or is not a number.
    """
    if not Path(path).exists():
        return []
    atomic_files.require(path, made_by="make train")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    except (TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} is not the history of a training ({error}). Train again: make train.") from error
