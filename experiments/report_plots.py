"""Plots of a report, as SVG data URIs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import report_headline
from nr_vqm.common import figures
from nr_vqm.evaluation import comparison, metrics
from nr_vqm.models import head_table
from nr_vqm.runs import history_file
from nr_vqm.runs.run_folder import RunFolder


def forest(found: Mapping[str, Any]) -> str | None:
    """Plot the SROCC of each head with its interval, best head first; None where no head has an SROCC.

    Args:
        found: content of metrics.json.
    """
    heads = {head: found["heads"][head]["srocc"] for head in report_headline.ranking(found)}
    entries = [
        (head_table.label(head), figure["median"], figure["low"], figure["high"])
        for head, figure in heads.items()
        if figure["median"] is not None
    ]
    return figures.intervals(entries, label="SROCC, 95 % interval") if entries else None


def scatters(rows: Sequence[comparison.ScoreRow], scale: Sequence[float]) -> dict[str, str]:
    """Plot scores against MOS for each head, all repeats in one plot, with the curve fitted on all points.

    Args:
        rows: the rows of scores.csv.
        scale: values that the axes must include, such as the ends of the MOS scale; may be empty.
    """
    everything = [value for row in rows for value in (row["mos"], row["score"])] + list(scale)
    margin = 0.03 * (max(everything) - min(everything)) or 1.0
    limits = (min(everything) - margin, max(everything) + margin)
    plots = {}
    for head in dict.fromkeys(row["head"] for row in rows):
        mos = np.array([row["mos"] for row in rows if row["head"] == head])
        scores = np.array([row["score"] for row in rows if row["head"] == head])
        mapping = metrics.agreement(mos=mos, scores=scores).mapping
        plots[head] = figures.scatter(mos=mos, scores=scores, mapping=mapping, limits=limits)
    return plots


def losses(run: RunFolder) -> list[tuple[str, str]]:
    """Plot the training histories of a run; return (title, plot) of each history that exists."""
    plots = []
    for repeat in run.repeats():
        fitted = [row for row in head_table.HEADS.values() if row.history]
        histories = {"3D-CNN": repeat.history} | {row.label: repeat.head_history(row.name) for row in fitted}
        for title, path in histories.items():
            plot = figures.losses(_finite_history(path))
            if plot:
                plots.append((title if repeat == run else f"{title}, {repeat.path.name}", plot))
    return plots


def _finite_history(path: Path) -> list[dict[str, float]]:
    """Read the epochs of a history; values that are not finite are skipped."""
    return [{name: value for name, value in row.items() if math.isfinite(value)} for row in history_file.read(path)]
