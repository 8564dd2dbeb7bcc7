"""python -m benchmarks.label_ablation: what levels, losses and more contents are worth to a run on pseudo-labels.

Fits the SVR head of a run again, on the features of its 3D-CNN, with labels formed in other ways and on fewer contents,
and prints the agreement with the labels of another database, for example people's MOS, whose features
`make cross_database` has extracted with the same 3D-CNN. The 3D-CNN stays as it is: a row takes seconds.
"""

import argparse
import csv
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_prep.contents import pseudo_labels
from nr_vqm import command_line
from nr_vqm.common import atomic_files
from nr_vqm.dataset import mos_scale, splits
from nr_vqm.evaluation import bootstrap, metrics
from nr_vqm.models import svr_head
from nr_vqm.presets import Preset
from nr_vqm.runs import features
from nr_vqm.runs.features import HeadInputs
from nr_vqm.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SHARES = (1 / 8, 1 / 4, 1 / 2)  # of the contents of the training part
DRAWS = 5  # of the contents of each share; their median is printed
TABLES = "contents/contents.csv"  # in the data folder: how each label was formed
Row = Mapping[str, str]


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    run, tested = RunFolder(args.run), features.read_head_inputs(args.tested)
    path = Path(args.data) / TABLES
    atomic_files.require(path, made_by="make prep DATABASE=contents")
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row["video_id"]: row for row in csv.DictReader(file)}
    videos = [name for name in splits.read(run.splits).train if rows[name]["level"]]  # the others are synthetic
    train = features.read_head_inputs(run).select(videos)
    preset = run.read_preset()
    names, contents = np.unique(tested.content, return_inverse=True)
    draws = bootstrap.draw(len(names), num_resamples=args.resamples, seed=1)
    print(f"{'labels':44s} videos  SROCC [95 %]           PLCC    score - MOS")
    for name, parts in _variants(train, rows):
        scores = np.stack([_fit(preset, part, quality).predict(tested.mean_features) for part, quality in parts])
        found = [_agreement(tested, one) for one in scores]
        middle = int(np.argsort([srocc for srocc, _, _ in found])[len(found) // 2])
        srocc, plcc, bias = found[middle]
        samples = bootstrap.figures(
            mos=tested.quality, scores=scores[middle], contents=contents, draws=draws, mapping=None
        )["srocc"]
        low, high = bootstrap.interval(samples)
        count = len(parts[middle][0].video_id)
        print(f"{name:44s} {count:6d}  {srocc:.3f} [{low:.3f}, {high:.3f}]  {plcc:.3f}  {bias:+.2f}", flush=True)


def _variants(train: HeadInputs, rows: Mapping[str, Row]) -> Iterator[tuple[str, list[tuple[HeadInputs, np.ndarray]]]]:
    """Yield the name of a variant, and its training videos with their labels on 1-5, several times for a draw."""
    stored = [rows[one] for one in train.video_id]
    for name, label in LABELS.items():
        yield name, [(train, np.array([label(row) for row in stored], np.float32))]
    undistorted = train.select([row["video_id"] for row in stored if row["distortions"] == "none"])
    yield "undistorted versions only", [(undistorted, undistorted.quality)]
    contents = np.unique(train.content)
    for share in SHARES:
        parts = []
        for seed in range(DRAWS):
            kept = np.random.default_rng(seed).permutation(contents)[: round(share * len(contents))]
            part = train.select(train.video_id[np.isin(train.content, kept)])
            parts.append((part, part.quality))
        yield f"{round(share * len(contents))} of {len(contents)} contents, median of {DRAWS} draws", parts


def _impairments(row: Row) -> tuple[float, float]:
    """Return the loss of a version by the tables and by VMAF, 0-1; by the tables twice where VMAF does not judge it.

    The label has the mean of both, the default of `contents_loss`; that of a view of level 1 does not show them.
    """
    tables, level = float(row["tables"]), float(row["level"])
    if not row["vmaf"] or level == 1:
        return tables, tables
    both = 1 - (float(row["mos"]) - 1) / (level - 1)
    return tables, float(np.clip(2 * both - tables, 0, 1))


def _label(*, level: bool, tables: float, vmaf: float) -> Callable[[Row], float]:
    """Return a function that labels a version, with these shares of the two losses."""

    def label(row: Row) -> float:
        by_tables, by_vmaf = _impairments(row)
        return pseudo_labels.label(
            float(row["level"]) if level else pseudo_labels.BEST, tables * by_tables + vmaf * by_vmaf
        )

    return label


LABELS = {
    "teacher's level, loss by tables and VMAF": _label(level=True, tables=0.5, vmaf=0.5),
    "teacher's level, loss by tables": _label(level=True, tables=1, vmaf=0),
    "teacher's level, loss by VMAF": _label(level=True, tables=0, vmaf=1),
    "no teacher, loss by tables": _label(level=False, tables=1, vmaf=0),
    "no teacher, loss by tables and VMAF": _label(level=False, tables=0.5, vmaf=0.5),
    "teacher's level of the content, no loss": _label(level=True, tables=0, vmaf=0),
}


def _fit(preset: Preset, train: HeadInputs, quality: np.ndarray) -> "Pipeline":
    """Fit the SVR head as `make compare` does, on the training part."""
    search = preset.svr_search | {"contents": train.content, "seed": preset.seed, "num_jobs": os.cpu_count() or 1}
    return svr_head.fit_svr(train.mean_features, quality, **search)


def _agreement(tested: HeadInputs, scores: np.ndarray) -> tuple[float, float, float]:
    """Return SROCC, PLCC and mean difference of scores, clipped to 1-5, from the labels."""
    scores = mos_scale.to_score(scores, 1, 5)
    found = metrics.correlations(mos=tested.quality, scores=scores)
    return found["srocc"] or 0.0, found["plcc"] or 0.0, float(np.mean(scores - tested.quality))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.label_ablation", __doc__)
    parser.add_argument("--run", required=True, help="a run trained on DATABASE=contents, with its features")
    parser.add_argument("--data", required=True, help="its data folder")
    parser.add_argument("--tested", required=True, metavar="RUN", help="the OUT of make cross_database of that run")
    parser.add_argument("--resamples", type=command_line.resamples, default=1000, help="number of bootstrap draws")
    return parser


if __name__ == "__main__":
    command_line.run(main)
