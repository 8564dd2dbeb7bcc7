"""python -m benchmarks.published_features: reproduce published results with the SVR evaluation.

Two checks. The published features of KoNViD-1k, VIDEVAL's 60 and BRISQUE's 36, must give the published medians by the
protocols of these publications. ResNet-50 features of LIVE-Qualcomm, split by video and split by scene, show how much a
split that divides scenes overestimates SROCC.
"""

import argparse
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nr_vqm import command_line, presets
from nr_vqm.dataset import label_tables

# Medians on KoNViD-1k: (protocol, {figure: published value}).
PUBLISHED = {
    "VIDEVAL": ("videval", {"srocc": 0.7832, "plcc_mapped": 0.7803}),
    "BRISQUE": ("bvqa", {"srocc": 0.6567, "plcc_mapped": 0.6576}),
}
TOLERANCE = 0.002
SCENE_REGEX = r"^(\d{4})_?([A-Za-z0-9]+?)_"  # LIVE-Qualcomm's file names: date, scene, phone, ...


def main(argv: list[str] | None = None) -> int:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    started = time.monotonic()
    figures: dict[str, float] = {}
    for method in PUBLISHED:
        before = time.monotonic()
        figures |= konvid1k(Path(args.data), method, num_jobs=args.jobs)
        figures[f"{method.lower()}_seconds"] = time.monotonic() - before
    figures |= qualcomm(Path(args.data), repeats=args.qualcomm_repeats, num_jobs=args.jobs)
    figures["seconds"] = time.monotonic() - started
    command_line.print_figures(figures, limits={}, json_path=args.json)
    agree = True
    for method in PUBLISHED:
        differences = [abs(figures[f"{method.lower()}_{name}_difference"]) for name in PUBLISHED[method][1]]
        close = max(differences) <= TOLERANCE
        print(f"{method} within {TOLERANCE} of the published medians: {'yes' if close else 'NO'}")
        agree = agree and close
    return 0 if agree else command_line.EXIT_FAILED


def konvid1k(data_dir: Path, method: str, *, num_jobs: int) -> dict[str, float]:
    """Evaluate published features by the published protocol.

    Args:
        data_dir: folder with features/.
        method: a key of PUBLISHED.
        num_jobs: number of processes.

    Returns:
        For each published figure the median, the published one and their difference.
    """
    from nr_vqm.evaluation import feature_evaluation

    protocol, published = PUBLISHED[method]
    labels = label_tables.read_labels(data_dir / "features/KONVID_1K_metadata.csv")
    found = _evaluate(
        data_dir / f"features/KONVID_1K_{method}_feats.mat",
        labels,
        contents=labels.names,
        repeats=feature_evaluation.PUBLISHED_REPEATS[protocol][1],
        num_jobs=num_jobs,
        protocol=protocol,
    )
    figures: dict[str, float] = {}
    for name, value in published.items():
        key = f"{method.lower()}_{name}"
        figures |= {key: found[name], f"{key}_published": value, f"{key}_difference": found[name] - value}
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
    features = label_tables.read_features(path, num_videos=len(labels.mos))
    features, _ = feature_evaluation.clean(features, options["protocol"])
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
