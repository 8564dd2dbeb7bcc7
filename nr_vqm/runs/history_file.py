"""The errors of every epoch of a training, as CSV."""

import csv
import math

from nr_vqm.common import atomic_files


def write(path, history):
    """One row per epoch as CSV."""
    with atomic_files.replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: math.nan if value is None else value for name, value in row.items()} for row in history)
