"""python -m benchmarks.grid: what fewer groups and blocks cost in agreement with people, and save in seconds.

Needs the heads that `make clip_grid` has fitted on 8, 16 and 32 groups and blocks of a run. Scores the videos of a csv
database, which must not be those of the training, with each of them, and compares SROCC with that of the largest grid:
95 % intervals of the difference, from a bootstrap over contents. The smallest grid without a significant loss is named.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import nr_vqm
from data_prep.databases import csv_labels
from nr_vqm import command_line
from nr_vqm.common import atomic_files
from nr_vqm.dataset.manifest import Video
from nr_vqm.evaluation import bootstrap, metrics
from nr_vqm.runs.run_folder import RunFolder

GRIDS = (8, 16, 32)  # groups, and blocks: those of `make clip_grid`
MIN_VIDEOS = 10


@dataclasses.dataclass(frozen=True)
class GridResult:
    """One grid on all videos.

    Attributes:
        scores: float64 (num_videos,), in the unit of the run.
        seconds: mean time for one video.
        srocc: agreement with the MOS.
        difference: SROCC minus that of the largest grid.
        low, high: ends of the 95 % interval of the difference.
    """

    scores: np.ndarray
    seconds: float
    srocc: float
    difference: float = 0.0
    low: float = 0.0
    high: float = 0.0


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    videos = csv_labels.read(args.videos, mos_range=tuple(args.mos_range))
    if len(videos) < MIN_VIDEOS:
        raise ValueError(f"At least {MIN_VIDEOS} videos are needed, {args.videos} has {len(videos)}.")
    folders = {number: RunFolder(args.run).ablation("grid", f"{number}x{number}") for number in GRIDS}
    for folder in folders.values():
        atomic_files.require(folder.head(args.head), made_by="make clip_grid")
    measured = {number: score(folder, args.head, args.videos, videos) for number, folder in folders.items()}
    results = compare(measured, videos, num_resamples=args.resamples)
    for number, result in results.items():
        print(
            f"{number:2d} x {number:2d}  SROCC {result.srocc:.3f}  difference {result.difference:+.3f} "
            f"({result.low:+.3f} to {result.high:+.3f})  {result.seconds:.2f} s a video"
        )
    print(f"The smallest grid without a significant loss: {smallest(results)} x {smallest(results)}.")
    names = ("srocc", "difference", "low", "high", "seconds")
    figures = {f"{name}_{number}": getattr(result, name) for number, result in results.items() for name in names}
    slowest = results[max(results)].seconds
    figures |= {f"times_as_fast_{number}": slowest / result.seconds for number, result in results.items()}
    command_line.print_figures(figures, limits={}, json_path=args.json)


def score(run: RunFolder, head: str, root: str, videos: Sequence[Video]) -> GridResult:
    """Score all videos with one head.

    Args:
        run: a run with the fitted head.
        head: name of the head.
        root: folder of the videos, or the csv file in it.
        videos: of `csv_labels.read`.
    """
    loaded = nr_vqm.load(run, head=head)
    folder = csv_labels.label_path(root).parent
    found = [loaded.score(folder / one.path, one.raw) for one in videos]
    scores = np.array([one.score for one in found])
    mos = np.array([one.mos for one in videos])
    srocc = metrics.correlations(mos=mos, scores=scores)["srocc"]
    return GridResult(scores, float(np.mean([one.seconds for one in found])), srocc or 0.0)


def compare(measured: dict[int, GridResult], videos: Sequence[Video], *, num_resamples: int) -> dict[int, GridResult]:
    """Add the differences from the largest grid and their intervals; the draws are the same for all grids."""
    mos = np.array([one.mos for one in videos])
    names, contents = np.unique([one.content for one in videos], return_inverse=True)
    draws = bootstrap.draw(len(names), num_resamples=num_resamples, seed=1)
    samples = {
        number: bootstrap.figures(mos=mos, scores=result.scores, contents=contents, draws=draws, mapping=None)["srocc"]
        for number, result in measured.items()
    }
    largest, results = max(measured), {}
    for number, result in measured.items():
        low, high = bootstrap.interval(samples[number] - samples[largest])
        if low is None or high is None:
            raise ValueError("Videos of more contents are needed for intervals.")
        difference = result.srocc - measured[largest].srocc
        results[number] = dataclasses.replace(result, difference=difference, low=low, high=high)
    return results


def smallest(results: dict[int, GridResult]) -> int:
    """Return the smallest grid whose difference from the largest one is not significantly negative."""
    return min(number for number, result in results.items() if result.high >= 0)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.grid", __doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run for which make clip_grid was run")
    parser.add_argument("--videos", required=True, help="folder of videos with labels.csv, columns path and mos")
    parser.add_argument("--mos-range", type=float, nargs=2, default=(1.0, 5.0), help="ends of the MOS scale")
    parser.add_argument("--head", default="lstm", help="head of the run")
    parser.add_argument("--resamples", type=command_line.resamples, default=1000, help="number of bootstrap draws")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser


if __name__ == "__main__":
    command_line.run(main)
