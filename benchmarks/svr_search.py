"""python -m benchmarks.svr_search: time of the SVR head's search and fit on 25,000 videos with 512 features."""

import argparse
import os
import time
from typing import Any

import numpy as np

from nr_vqm import command_line, presets

NUM_VIDEOS = 25_000  # the training part of LSVQ
NUM_TESTED = 2_000
FEATURE_DIM = 512
PER_CONTENT = 4
SECONDS_LIMIT = 3600
QUICK = {"videos": 1_500, "search_videos": 500}
# Real features: published ResNet-50 features of LIVE-Qualcomm, scaled to 0-1, have 37 % of their variance along the
# first principal component, and 6.5 effective components: (sum of variances)^2 / sum of squared variances.
LATENT_DIM = 64
FIRST_SCALE = 2.5


def main(argv: list[str] | None = None) -> int:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    preset = presets.get_preset("paper")
    search = preset.svr_search | ({"search_videos": QUICK["search_videos"]} if args.quick else {})
    if args.search_videos:
        search["search_videos"] = args.search_videos
    figures = measure(num_videos=QUICK["videos"] if args.quick else NUM_VIDEOS, seed=preset.seed, **search)
    limits = {} if args.quick else {"seconds_limit_over_ours": 1}
    command_line.print_figures(figures, limits=limits, json_path=args.json)
    return 0 if all(figures[name] >= limit for name, limit in limits.items()) else command_line.EXIT_FAILED


def measure(*, num_videos: int, seed: int, **search: Any) -> dict[str, float]:
    """Measure `svr_head.fit_svr` on all cores: its time, the chosen settings, and SROCC on unseen contents."""
    from nr_vqm.evaluation import metrics
    from nr_vqm.models import svr_head

    features, mos, contents = synthetic_features(num_videos + NUM_TESTED, seed=seed)
    train, test = slice(num_videos), slice(num_videos, None)
    started, processor = time.monotonic(), time.process_time()
    pipeline = svr_head.fit_svr(
        features[train], mos[train], contents=contents[train], seed=seed, num_jobs=os.cpu_count() or 1, **search
    )
    seconds, processor = time.monotonic() - started, time.process_time() - processor
    svr, scores = pipeline.named_steps["svr"], pipeline.predict(features[test])
    return {
        "videos": num_videos,
        "search_videos": min(num_videos, search["search_videos"]),
        "cores": os.cpu_count(),
        "seconds": seconds,
        "processor_seconds": processor,
        "seconds_limit_over_ours": SECONDS_LIMIT / seconds,
        "c": svr.C,
        "gamma": svr.gamma,
        "epsilon": svr.epsilon,
        "support_vectors": len(svr.support_),
        "srocc": metrics.correlations(mos=mos[test], scores=scores)["srocc"],
        "rmse": metrics.rmse(mos[test], scores),
    }


def synthetic_features(num_videos: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generate features with the spectrum and skew of real ones, MOS that depend on them in part, and contents.

    Returns:
        (features float32 (num_videos, FEATURE_DIM), MOS float64 on 1-5 (num_videos,), contents int (num_videos,)).
    """
    rng = np.random.default_rng(seed)
    contents = np.arange(num_videos) // PER_CONTENT
    scale = np.arange(1, LATENT_DIM + 1) ** -0.5
    scale[0] = FIRST_SCALE
    of_content = rng.normal(size=(contents[-1] + 1, LATENT_DIM))[contents]
    latent = scale * (of_content + rng.normal(size=(num_videos, LATENT_DIM))) / np.sqrt(2)
    weights = rng.normal(size=(LATENT_DIM, FEATURE_DIM)) / np.linalg.norm(scale)
    features = np.maximum(latent @ weights + rng.normal(0.3, 0.5, FEATURE_DIM), 0)
    features += 0.02 * rng.exponential(size=features.shape)
    truth = latent[:, 0] / FIRST_SCALE + 0.5 * latent[:, 1] + 0.4 * np.tanh(2 * latent[:, 2]) + 0.3 * latent[:, 3]
    truth += 0.3 * latent[:, 3] * latent[:, 0]
    mos = np.clip(3 + 0.8 * np.tanh(truth / 1.2) + rng.normal(0, 0.35, num_videos), 1, 5)
    return features.astype(np.float32), mos, contents


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.svr_search", __doc__)
    parser.add_argument("--search-videos", type=command_line.positive, help="overrides the preset's svr_search_videos")
    parser.add_argument("--quick", action="store_true", help="1,500 videos, without a limit")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser


if __name__ == "__main__":
    command_line.run(main)
