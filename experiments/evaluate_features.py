"""Evaluate a file of features, one row per video, with the SVR, splits and metrics of this project."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nr_vqm import command_line, presets
from nr_vqm.common import atomic_files
from nr_vqm.dataset import label_tables
from nr_vqm.evaluation import feature_evaluation
from nr_vqm.runs import rival_features

DEFAULT_REPEATS = 100


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    labels = label_tables.read_labels(
        args.labels,
        mos_column=args.mos_column,
        content_column=args.content_column,
        content_regex=args.content_regex,
    )
    features, labels = _read(args.features, args.features_key, labels)
    features, num_replaced = feature_evaluation.clean(features, args.protocol)
    published = feature_evaluation.PUBLISHED_REPEATS.get(args.protocol)
    split = "random" if published else args.split
    repeats = args.repeats or (published[1] if published else DEFAULT_REPEATS)
    contents = labels.contents if split == "content" else range(len(labels.mos))
    agreements = feature_evaluation.evaluate(
        features,
        labels.mos,
        contents=list(contents),
        repeats=repeats,
        seed=args.seed,
        svr_search=presets.PRESETS["paper"].svr_search,
        num_jobs=args.jobs,
        protocol=args.protocol,
        progress=lambda done: _show_progress(done, repeats),
    )
    found: dict[str, Any] = dict(feature_evaluation.summary(agreements))
    found |= {"protocol": args.protocol, "split": split, "num_videos": len(labels.mos)}
    found |= {"feature_dim": features.shape[1], "num_contents": len(set(labels.contents)), "num_replaced": num_replaced}
    _show(found, feature_evaluation.FIGURES)
    if args.json:
        atomic_files.write_json(args.json, found | {"per_repeat": feature_evaluation.per_repeat(agreements)})


def _read(path: str, key: str | None, labels: label_tables.Labels) -> tuple[np.ndarray, label_tables.Labels]:
    """Return one row of features per label, and the labels; those of a run's file are matched by the video's name."""
    if Path(path).suffix.lower() == ".h5":
        found = rival_features.read_file(path)
        return found.features, labels.select(list(found.video_id))
    return label_tables.read_features(path, key=key, num_videos=len(labels.mos)), labels


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser(
        "python -m experiments.evaluate_features",
        __doc__,
        example="features.mat --labels labels.csv --repeats 100 --json figures.json",
    )
    parser.add_argument(
        "features",
        metavar="FILE",
        help=".mat, .npy or .csv with one row of features per video, or the .h5 of make rivals",
    )
    parser.add_argument(
        "--labels",
        required=True,
        metavar="FILE",
        help=".csv or .mat with the MOS in the same order; for an .h5 the data folder's manifest.csv",
    )
    parser.add_argument("--features-key", metavar="NAME", help="variable of the .mat file that holds the features")
    parser.add_argument("--mos-column", metavar="NAME", help="column or variable of the labels that holds the MOS")
    contents = parser.add_mutually_exclusive_group()
    contents.add_argument("--content-column", metavar="NAME", help="column of the labels that holds the content")
    contents.add_argument(
        "--content-regex",
        metavar="RE",
        help="its groups, matched in the video's name, are the content",
    )
    parser.add_argument(
        "--split",
        choices=("content", "random"),
        default="content",
        help="split by content, or by video",
    )
    parser.add_argument(
        "--protocol",
        choices=("default", *feature_evaluation.PUBLISHED_REPEATS),
        default="default",
        help="videval or bvqa: the published protocol of VIDEVAL or of BVQA_Benchmark, which split by video",
    )
    parser.add_argument(
        "--repeats",
        type=command_line.positive,
        help=f"number of random 80/20 splits (default: {DEFAULT_REPEATS}, or those of the published protocol)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the default protocol's splits")
    parser.add_argument(
        "--jobs", type=command_line.positive, default=os.cpu_count(), help="number of single-threaded processes"
    )
    parser.add_argument("--json", metavar="FILE", help="write medians and standard deviations to this file")
    return parser


def _show_progress(done: int, repeats: int) -> None:
    if done == repeats or done % 10 == 0:
        print(f"{done} of {repeats} splits", file=sys.stderr, flush=True)


def _show(found: Mapping[str, Any], figures: Sequence[str]) -> None:
    print(
        f"{found['num_videos']} videos x {found['feature_dim']} features, {found['num_contents']} contents, "
        f"{found['repeats']} {found['split']} splits, protocol {found['protocol']}"
    )
    if found["num_replaced"]:
        by = {"videval": "0", "bvqa": "the mean of the column"}.get(
            found["protocol"], "the mean of the training videos"
        )
        print(f"{found['num_replaced']} values were NaN or infinite and were replaced by {by}")
    for name in figures:
        median, spread = found[name], found[f"{name}_std"]
        print(f"{name:18} {'none' if median is None else f'{median:.4f}  (std {spread:.4f})'}")


if __name__ == "__main__":
    command_line.run(main)
