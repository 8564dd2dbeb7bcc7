"""Fit and load the heads of a run that have no network: SVR, falling line, and mean. They need no Keras."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nr_vqm.models import head_table, line_head, svr_head
from nr_vqm.runs.features import LabelledVideos
from nr_vqm.runs.fitted_head import Head
from nr_vqm.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def _fit_svr(
    run: RunFolder,
    row: head_table.HeadRow,
    train: LabelledVideos,
    val: LabelledVideos,
    *,
    fit_on: str,
    seed: int,
    **search: Any,
) -> tuple[Head, np.ndarray]:
    """Fit an SVR head.

    Args:
        fit_on: 'train', or 'train+val' to fit on more videos.
        seed, search: as in `svr_head.search_settings`.
    """
    parts = [train] if fit_on == "train" else [train, val]
    features, quality, content = (
        np.concatenate([getattr(part, name) for part in parts]) for name in (row.input, "quality", "content")
    )
    options = search | {"seed": seed, "num_jobs": os.cpu_count(), "fill": row.is_rival}
    settings = svr_head.search_settings(features, quality, contents=content, **options)
    pipeline = svr_head.fit_with(features, quality, **settings)
    svr_head.save_svr(run.head(row.name), pipeline)
    held_out = pipeline
    if fit_on != "train":  # the same settings, fitted without the validation videos
        held_out = svr_head.fit_with(getattr(train, row.input), train.quality, **settings)
    return _svr(row, pipeline), held_out.predict(getattr(val, row.input))


def _load_svr(run: RunFolder, row: head_table.HeadRow) -> Head:
    return _svr(row, svr_head.load_svr(run.head(row.name)))


def _svr(row: head_table.HeadRow, pipeline: "Pipeline") -> Head:
    return Head(row, pipeline.predict)


def _fit_mean(
    run: RunFolder, row: head_table.HeadRow, train: LabelledVideos, val: LabelledVideos
) -> tuple[Head, np.ndarray]:
    """Return the mean of the clip qualities, the control that has nothing to fit."""
    head = _load_mean(run, row)
    return head, head.outputs(val)


def _load_mean(run: RunFolder, row: head_table.HeadRow) -> Head:
    return Head(row, lambda clip_quality: clip_quality.mean(axis=(1, 2)))


def _fit_line(
    run: RunFolder, row: head_table.HeadRow, train: LabelledVideos, val: LabelledVideos
) -> tuple[Head, np.ndarray]:
    """Fit the line of an untrained method on the training part."""
    line_head.save_line(run.head(row.name), line_head.fit_line(getattr(train, row.input), train.quality))
    head = _load_line(run, row)
    return head, head.outputs(val)


def _load_line(run: RunFolder, row: head_table.HeadRow) -> Head:
    return Head(row, line_head.load_line(run.head(row.name)).predict)


FIT: dict[str, Callable[..., tuple[Head, np.ndarray]]] = {"svr": _fit_svr, "mean": _fit_mean, "line": _fit_line}
LOAD: dict[str, Callable[[RunFolder, head_table.HeadRow], Head]] = {
    "svr": _load_svr,
    "mean": _load_mean,
    "line": _load_line,
}
