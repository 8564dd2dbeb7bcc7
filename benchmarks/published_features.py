"""python -m benchmarks.published_features: reproduce published results with the SVR evaluation.

Two checks. VIDEVAL's 60 features of KoNViD-1k must give VIDEVAL's published medians by its protocol. ResNet-50
features of LIVE-Qualcomm, split by video and split by scene, show how much a split that divides scenes overestimates
SROCC.
"""

import argparse
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nr_vqm import command_line, presets
from nr_vqm.dataset import label_tables

PUBLISHED = {"srocc": 0.7832, "plcc_mapped": 0.7803}  # VIDEVAL on KoNViD-1k, medians of 100 splits
TOLERANCE = 0.001
SCENE_REGEX = r"^(\d{4})_?([A-Za-z0-9]+?)_"  # LIVE-Qualcomm's file names: date, scene, phone, ...


def main(argv: list[str] | None = None) -> int:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    started = time.monotonic()
    figures = videval(Path(args.data), num_jobs=args.jobs)
    figures["videval_seconds"] = time.monotonic() - started
    figures |= qualcomm(Path(args.data), repeats=args.qualcomm_repeats, num_jobs=args.jobs)
    figures["seconds"] = time.monotonic() - started
    command_line.print_figures(figures, limits={}, json_path=args.json)
    agree = all(abs(figures[f"{name}_difference"]) <= TOLERANCE for name in PUBLISHED)
    print(f"within {TOLERANCE} of the published medians: {'yes' if agree else 'NO'}")
    return 0 if agree else command_line.EXIT_FAILED


def videval(data_dir: Path, *, num_jobs: int) -> dict[str, float]:
    """Evaluate VIDEVAL's features on its 100 splits: {figure: median, figure_difference: to the published one}."""
    from nr_vqm.evaluation import feature_evaluation

    labels = label_tables.read_labels(data_dir / "features/KONVID_1K_metadata.csv")
    found = _evaluate(
        data_dir / "features/KONVID_1K_VIDEVAL_feats.mat",
        labels,
        contents=labels.names,
        repeats=feature_evaluation.VIDEVAL_REPEATS,
        num_jobs=num_jobs,
        protocol="videval",
    )
    figures: dict[str, float] = {}
    for name, published in PUBLISHED.items():
        figures |= {name: found[name], f"{name}_published": published, f"{name}_difference": found[name] - published}
    return figures


def qualcomm(data_dir: Path, *, repeats: int, num_jobs: int) -> dict[str, float]:
    """Evaluate ResNet-50 features with splits by video and by scene: both SROCC and their difference, the leak."""
    labels = label_tables.read_labels(data_dir / "labels/qualcommSubjectiveData.mat", content_regex=SCENE_REGEX)
    path = data_dir / "features/LIVE-Qualcomm_ResNet-50_feature.mat"
    same: dict[str, Any] = {"repeats": repeats, "num_jobs": num_jobs, "protocol": "default"}
    random = _evaluate(path, labels, contents=range(len(labels.mos)), **same)["srocc"]
    content = _evaluate(path, labels, contents=labels.contents, **same)["srocc"]
    return {"qualcomm_random_srocc": random, "qualcomm_content_srocc": content, "leak": random - content}


def _evaluate(path: Path, labels: label_tables.Labels, *, contents: Iterable, **options: Any) -> dict[str, float]:
    from nr_vqm.evaluation import feature_evaluation

    search = presets.PRESETS["paper"].svr_search
    features, _ = label_tables.clean(label_tables.read_features(path, num_videos=len(labels.mos)))
    agreements = feature_evaluation.evaluate(
        features, labels.mos, contents=list(contents), seed=1, svr_search=search, **options
    )
    return feature_evaluation.summary(agreements)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.published_features", __doc__)
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with the published features/ and labels/")
    parser.add_argument("--qualcomm-repeats", type=command_line.positive, default=100, help="splits of LIVE-Qualcomm")
    parser.add_argument(
        "--jobs", type=command_line.positive, default=os.cpu_count(), help="number of processes, one thread each"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser


if __name__ == "__main__":
    command_line.run(main)
