"""Fit the teacher: published features with people's MOS -> teacher.h5, which scores any video with an interval."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nr_vqm import command_line
from nr_vqm.common import atomic_files, provenance
from nr_vqm.evaluation import bootstrap

if TYPE_CHECKING:
    from nr_vqm.teacher import cross_validation, published_rows
    from nr_vqm.teacher.published_rows import Rows


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    from nr_vqm.runs.run_folder import RunFolder
    from nr_vqm.teacher import cross_validation, published_rows, regression, teacher

    if not Path(args.out).absolute().parent.is_dir():
        raise ValueError(f"The folder of {args.out} does not exist. Create it first.")
    leave_out = Path(args.leave_out or Path(args.features) / published_rows.LEAVE_OUT)
    rows = published_rows.read(args.features, leave_out=leave_out)
    counts = {name: int(np.count_nonzero(rows.database == name)) for name in published_rows.DATABASES}
    print(", ".join(f"{name}: {count:,} videos" for name, count in counts.items()), flush=True)
    search = regression.Search()
    choices = [tuple(args.sets.split("+"))] if args.sets else cross_validation.FEATURE_CHOICES
    if args.distorted:
        rows = dataclasses.replace(rows, distorted=_distorted(args))
    choice = cross_validation.choose(rows, search, choices)
    print(f"chosen on all videos: {choice.candidate}", flush=True)
    facts: dict[str, Any] = {"candidate": str(choice.candidate), "videos": counts}
    facts |= {"leave_out_sha256": atomic_files.sha256(leave_out), "versions": provenance.versions()}
    facts |= {"scale_maps": {name: vars(one) for name, one in cross_validation.scale_maps(rows).items()}}
    together = cross_validation.nested(rows, search, choices=choices, num_jobs=args.jobs, progress=_show_progress)
    if rows.distorted:
        labels = RunFolder(args.distorted).read_labels()[0]
        facts["distorted"] = {"videos": len(rows.distorted.mos), "weight": search.distorted_weight, "labels": labels}
    facts["agreement"] = _nested_agreement(rows, together, args.resamples)
    model = cross_validation.fit(rows, choice.candidate, choice, search)
    fitted = teacher.Teacher(choice.candidate.feature_sets, model, together.chosen, together.aligned, facts)
    teacher.save(args.out, fitted)
    print(f"Saved in {args.out}, {os.stat(args.out).st_size / 1e6:.2f} MB", flush=True)
    if args.compare:
        facts["agreement"] |= _other_agreement(rows, search, choices, args)
        teacher.save(args.out, dataclasses.replace(fitted, facts=facts))


def _distorted(args: argparse.Namespace) -> "published_rows.Distorted":
    """Read the training videos of a run on pseudo-labels, without those whose frame statistics are not defined."""
    from nr_vqm.dataset import label_origin, splits
    from nr_vqm.runs import features, rival_features
    from nr_vqm.runs.run_folder import RunFolder
    from nr_vqm.scoring import fusion
    from nr_vqm.teacher import published_rows

    run = RunFolder(args.distorted)
    if args.sets != fusion.METHOD:
        raise ValueError(
            f"--distorted adds videos to the feature set {fusion.METHOD}: give --sets {fusion.METHOD} too."
        )
    origin = run.read_labels()[0]
    if origin not in ("pseudo", "mixed"):
        raise ValueError(f"--distorted needs a run on pseudo-labels, those of {run} are: {origin}.")
    statistics = rival_features.read(run.path, fusion.METHOD)
    fusion.check_version(statistics.version, run.path)
    statistics = statistics.select(splits.read(run.splits).train)
    defined = statistics.reason == ""
    labels = features.read_head_inputs(run.path).select(statistics.video_id[defined]).quality
    missing = np.count_nonzero(~defined)
    print(f"{run}: {len(labels):,} training videos with {label_origin.ORIGINS[origin]}, {missing} without features")
    return published_rows.Distorted(statistics.features[defined], labels.astype(np.float64))


def _nested_agreement(rows: "Rows", together: "cross_validation.Nested", resamples: int) -> dict[str, Any]:
    """Print and return the agreement in nested cross-validation: {protocol: {database: {figure: [value, low, high]}}}.

    The first protocol is that of the teacher, whose candidate every fold has chosen anew.
    """
    print(f"chosen in the folds: {', '.join(str(one.candidate) for one in together.choices)}")
    found = {"nested": _agreement(rows, together.chosen, together.aligned, resamples)}
    for candidate, predicted in together.predicted.items():
        found[f"nested, {candidate}"] = _agreement(rows, predicted, together.aligned, resamples)
    _print(found)
    return found


def _other_agreement(rows: "Rows", search: Any, choices: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Print and return the agreement of teachers that are fitted on one database, or tested on an unseen one."""
    from nr_vqm.teacher import cross_validation

    across: dict[str, Any] = {}
    alone: dict[str, Any] = {}
    for name, (predicted, _) in cross_validation.across(rows, search, choices).items():
        mine = rows.database == name
        across |= _agreement(rows.take(mine), predicted, None, args.resamples)
    _print(found := {"fitted on the other two databases": across})
    for name in across:
        part = rows.take(rows.database == name)
        result = cross_validation.nested(part, search, choices=choices, num_jobs=args.jobs)
        alone |= _agreement(part, result.chosen, result.aligned, args.resamples)
    _print({"nested, this database alone": alone})
    return found | {"nested, this database alone": alone}


def _print(found: dict[str, Any]) -> None:
    for protocol, table in found.items():
        for name, figures in table.items():
            print(f"{protocol:40s} {name:12s} {_line(figures)}", flush=True)


def _agreement(rows: "Rows", predicted: np.ndarray, aligned: np.ndarray | None, resamples: int) -> dict[str, Any]:
    """Return {database: {figure: [value, low, high]}}; without aligned MOS no RMSE and bias."""
    found = {}
    for name in dict.fromkeys(str(one) for one in rows.database):
        mine = np.flatnonzero(rows.database == name)
        draws = bootstrap.draw(len(mine), num_resamples=resamples, seed=1)
        samples = [_figures(rows, predicted, aligned, np.repeat(mine, times)) for times in draws]
        found[name] = {
            key: [value, *bootstrap.interval(np.array([one[key] for one in samples]))]
            for key, value in _figures(rows, predicted, aligned, mine).items()
        }
    return found


def _figures(rows: "Rows", predicted: np.ndarray, aligned: np.ndarray | None, chosen: np.ndarray) -> dict[str, float]:
    """Return SROCC and PLCC with the database's own MOS; RMSE and bias (predicted - MOS) on the aligned scale."""
    from scipy.stats import rankdata

    scores, own = predicted[chosen], rows.mos[chosen]
    found = {"srocc": float(np.corrcoef(rankdata(scores), rankdata(own))[0, 1])}
    found["plcc"] = float(np.corrcoef(scores, own)[0, 1])
    if aligned is not None:
        errors = scores - aligned[chosen]
        found |= {"rmse": float(np.sqrt(np.mean(errors**2))), "bias": float(errors.mean())}
    return found


def _line(values: dict[str, list[float]]) -> str:
    return "  ".join(f"{name} {value:.3f} [{low:.3f}, {high:.3f}]" for name, (value, low, high) in values.items())


def _show_progress(done: int, total: int) -> None:
    print(f"fold {done} of {total}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser(
        "python -m experiments.train_teacher", __doc__, example="--features published --out teacher.h5"
    )
    parser.add_argument(
        "--features", required=True, metavar="DIR", help="published *_feats.mat and *_metadata.csv: docs/adapt.md"
    )
    parser.add_argument("--leave-out", metavar="FILE", help="rows that no fit may use (default: DIR/leave_out.csv)")
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write, for example teacher.h5")
    parser.add_argument(
        "--compare",
        action="store_true",
        help="also fit on two databases and test on the third, and on each database alone",
    )
    parser.add_argument(
        "--sets",
        choices=("brisque", "videval", "brisque+videval", "frame_statistics"),
        help="use these features instead of choosing; frame_statistics are for head fusion",
    )
    parser.add_argument(
        "--distorted",
        metavar="RUN",
        help="also fit, with little weight, the training videos of this run on pseudo-labels: with --sets "
        "frame_statistics, after make rivals RIVALS=frame_statistics",
    )
    parser.add_argument("--jobs", type=command_line.positive, default=os.cpu_count(), help="number of processes")
    parser.add_argument(
        "--resamples", type=command_line.positive, default=1000, help="bootstrap resamples of the intervals"
    )
    return parser


if __name__ == "__main__":
    command_line.run(main)
