"""The validation scores of a run's heads, from which their prediction intervals are computed."""

import os
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nr_vqm.common import atomic_files
from nr_vqm.dataset import mos_scale
from nr_vqm.evaluation.prediction_intervals import PredictionIntervals
from nr_vqm.models import head_table
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.runs.stage_records import STAGES


def write(run_dir: str | os.PathLike[str], values: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Write the validation scores of all heads that one stage has fitted.

    Args:
        run_dir: the run folder.
        values: {head: (outputs, mos)}, both float (num_videos,) on 1-5, of videos that the head was not fitted on.
            Outputs outside 1-5 are stored clipped, as scores are.
    """
    table = {
        head: {"scores": _rounded(mos_scale.to_score(outputs, 1.0, 5.0)), "mos": _rounded(mos)}
        for head, (outputs, mos) in values.items()
    }
    (stage,) = {head_table.get(head).stage for head in values}
    atomic_files.write_json(RunFolder(run_dir).intervals(stage), table)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]


def read_all(run_dir: str | os.PathLike[str]) -> dict[str, dict[str, list[float]]]:
    """Read {head: {'scores': [...], 'mos': [...]}} of all heads of a run; empty if none is fitted.

    Raises:
        ValueError: a file is damaged or has changed since it was written.
    """
    run = RunFolder(run_dir)
    tables = (_read_stage(run, stage) for stage in sorted({row.stage for row in head_table.HEADS.values()}))
    return {head: entry for table in tables for head, entry in table.items()}


def _read_stage(run: RunFolder, stage: str) -> dict[str, Any]:
    path = run.intervals(stage)
    if not path.exists():
        return {}
    run.check_file(path)
    table = atomic_files.read_json(path, made_by=STAGES[stage].target)
    if not isinstance(table, dict):
        raise ValueError(f"{path} must hold a JSON object with an entry for each head. Make it again: make compare.")
    return table


def read(
    run_dir: str | os.PathLike[str], head: str, *, neighbours: float, min_neighbours: int, floor: float
) -> PredictionIntervals | None:
    """Read the prediction intervals of one head.

    Args:
        run_dir: the run folder.
        head: a head of `head_table`.
        neighbours, min_neighbours, floor: as in `PredictionIntervals`; `Preset.interval` has them.

    Returns:
        The intervals, or None if the run has no validation scores of this head.

    Raises:
        ValueError: the file is damaged or has changed since it was written; an unknown head.
    """
    run, row = RunFolder(run_dir), head_table.get(head)
    table = _read_stage(run, row.stage)
    if head not in table:
        return None
    return of_entry(
        table[head],
        head,
        path=run.intervals(row.stage),
        made_by=row.made_by,
        neighbours=neighbours,
        min_neighbours=min_neighbours,
        floor=floor,
    )


def of_entry(
    entry: Any, head: str, *, path: Path, made_by: str, neighbours: float, min_neighbours: int, floor: float
) -> PredictionIntervals:
    """Return the prediction intervals of the validation scores of one head.

    Args:
        entry: {'scores': [...], 'mos': [...]}, as read from a file.
        head: the head, for the message.
        path: the file, for the message.
        made_by: the command that writes it, for the message.
        neighbours, min_neighbours, floor: as in `read`.

    Raises:
        ValueError: the entry is damaged.
    """
    try:
        scores, mos = (_checked(entry[name], name) for name in ("scores", "mos"))
        if scores.shape != mos.shape:
            raise ValueError(f"scores and mos must have one length, found {len(scores)} and {len(mos)}")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} has no usable validation scores of head {head!r} ({error}). Make it again: {made_by}."
        ) from error
    return PredictionIntervals(scores, mos, neighbours=neighbours, min_neighbours=min_neighbours, floor=floor)


def _checked(values: Any, name: str) -> np.ndarray:
    """Return a list of numbers as an array; ValueError for anything else, or numbers far beyond any scale."""
    if isinstance(values, list) and all(type(one) in (int, float) and abs(one) <= mos_scale.LARGEST for one in values):
        return np.array(values, dtype=np.float64)
    raise ValueError(f"{name} must be a list of numbers within +-{mos_scale.LARGEST:g}, found {reprlib.repr(values)}")


def in_unit_of(
    intervals: PredictionIntervals | None, quality: float, mos_range: tuple[float, float]
) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % prediction interval at a quality in the unit of a MOS scale.

    Args:
        intervals: of a head, from `read`.
        quality: the score on 1-5.
        mos_range: the two ends of the MOS scale.

    Returns:
        (low, high), or (None, None) if there are no intervals.
    """
    interval = intervals.interval(quality) if intervals else None
    if interval is None:
        return None, None
    low, high = interval
    return mos_scale.from_unit_5(low, *mos_range), mos_scale.from_unit_5(high, *mos_range)
