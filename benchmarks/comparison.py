"""python -m benchmarks.comparison: time and memory of comparing five heads on 40,000 test videos."""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from nr_vqm import command_line

NUM_VIDEOS = 40_000
PER_CONTENT = 4
RESAMPLES = 1000
HEADS = {"lstm": 0.4, "svr": 0.5, "mean": 0.8, "lstm_features": 0.5, "lstm_finetuned": 0.4}  # noise on the 1-5 scale
SECONDS_LIMIT = 300
GIGABYTES_LIMIT = 4


def main(argv: list[str] | None = None) -> int:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    figures = measure(num_videos=args.videos)
    limits = {"seconds_limit_over_ours": 1, "memory_limit_over_ours": 1}
    command_line.print_figures(figures, limits=limits, json_path=args.json)
    return 0 if all(figures[name] >= limit for name, limit in limits.items()) else command_line.EXIT_FAILED


def measure(*, num_videos: int) -> dict[str, float]:
    """Measure the seconds from scores.csv to all metrics, and the peak memory of this process."""
    from nr_vqm.evaluation import comparison

    rows, train_rows = synthetic_rows(num_videos, seed=1), synthetic_rows(num_videos, seed=2)
    half_widths = {row["video_id"]: 0.3 for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.csv"
        comparison.write_scores(path, rows)
        del rows
        started, processor = time.monotonic(), time.process_time()
        found = comparison.compare(
            comparison.read_scores(path),
            train_rows=train_rows,
            mos_ci95=half_widths,
            num_resamples=RESAMPLES,
            seed=1,
        )
        seconds, processor = time.monotonic() - started, time.process_time() - processor
    assert all(figure["low"] is not None for name, figure in found["heads"]["lstm"].items() if name != "notes")
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {
        "videos": num_videos,
        "heads": len(HEADS),
        "resamples": RESAMPLES,
        "seconds": seconds,
        "processor_seconds": processor,
        "peak_gb": gigabytes,
        "seconds_limit_over_ours": SECONDS_LIMIT / seconds,
        "memory_limit_over_ours": GIGABYTES_LIMIT / gigabytes,
    }


def synthetic_rows(num_videos: int, *, seed: int) -> list[dict]:
    """Generate rows of scores.csv for all heads: a MOS with two decimals, and scores with noise."""
    rng = np.random.default_rng(seed)
    mos = np.round(rng.uniform(1, 5, num_videos), 2)
    columns = {head: mos + rng.normal(0, noise, num_videos) for head, noise in HEADS.items()}
    return [
        {
            "repeat": 0,
            "head": head,
            "video_id": f"video{number}",
            "content": f"content{number // PER_CONTENT}",
            "mos": float(mos[number]),
            "score": float(scores[number]),
        }
        for head, scores in columns.items()
        for number in range(num_videos)
    ]


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.comparison", __doc__)
    parser.add_argument("--videos", type=command_line.positive, default=NUM_VIDEOS, help="test videos")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser


if __name__ == "__main__":
    command_line.run(main)
