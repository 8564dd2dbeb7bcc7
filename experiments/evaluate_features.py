"""Evaluate a file of features, one row per video, with the SVR, splits and metrics of this project."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from nr_vqm import command_line, presets
from nr_vqm.common import atomic_files
from nr_vqm.dataset import label_tables
from nr_vqm.evaluation import feature_evaluation


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    labels = label_tables.read_labels(
        args.labels,
        mos_column=args.mos_column,
        content_column=args.content_column,
        content_regex=args.content_regex,
    )
    features = label_tables.read_features(args.features, key=args.features_key, num_videos=len(labels.mos))
    features, num_cleaned = label_tables.clean(features)
    split = "random" if args.protocol == "videval" else args.split
    contents = labels.contents if split == "content" else range(len(labels.mos))
    agreements = feature_evaluation.evaluate(
        features,
        labels.mos,
        contents=list(contents),
        repeats=args.repeats,
        seed=args.seed,
        svr_search=presets.PRESETS["paper"].svr_search,
        num_jobs=args.jobs,
        protocol=args.protocol,
        progress=lambda done: _show_progress(done, args.repeats),
    )
    found: dict[str, Any] = dict(feature_evaluation.summary(agreements))
    found |= {"protocol": args.protocol, "split": split, "num_videos": len(labels.mos)}
    found |= {"feature_dim": features.shape[1], "num_contents": len(set(labels.contents)), "set_to_zero": num_cleaned}
    _show(found, feature_evaluation.FIGURES)
    if args.json:
        atomic_files.write_json(args.json, found | {"per_repeat": feature_evaluation.per_repeat(agreements)})


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m experiments.evaluate_features", __doc__)
    parser.add_argument("features", metavar="FILE", help=".mat, .npy or .csv with one row of features per video")
    parser.add_argument("--labels", required=True, metavar="FILE", help=".csv or .mat with the MOS in the same order")
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
        choices=("default", "videval"),
        default="default",
        help="videval: VIDEVAL's published protocol",
    )
    parser.add_argument("--repeats", type=command_line.positive, default=100, help="number of random 80/20 splits")
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
    if found["set_to_zero"]:
        print(f"{found['set_to_zero']} values were NaN or infinite and were set to 0")
    for name in figures:
        median, spread = found[name], found[f"{name}_std"]
        print(f"{name:18} {'none' if median is None else f'{median:.4f}  (std {spread:.4f})'}")


if __name__ == "__main__":
    command_line.run(main)
