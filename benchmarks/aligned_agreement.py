"""python -m benchmarks.aligned_agreement: agreement of an aligned run with the validation videos that align it.

Each video is aligned by a line that is fitted on the others, as `nr-vqm export --align` fits it on all of them. Prints
every head of a test (`make cross_database`) before and after alignment and, with --fusion, also head 'fusion' and the
teacher on frame statistics alone (which needs `make rivals RIVALS=frame_statistics` of the test).
"""

import argparse
from collections.abc import Iterator

import numpy as np

from nr_vqm import command_line
from nr_vqm.dataset import mos_scale
from nr_vqm.evaluation import bootstrap, comparison, metrics
from nr_vqm.models import head_table
from nr_vqm.runs import rival_features
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import fusion

Scores = dict[str, np.ndarray]  # of every head, on 1-5


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    test = RunFolder(args.tested)
    videos, mos, scores = _read(test)
    found = dict(_rows(scores, mos))
    if args.fusion:
        taught = fusion.load(args.fusion, weight=args.weight, limit=args.limit)
        statistics = rival_features.read(test.path, fusion.METHOD).select(videos).features
        pairs = zip(found[f"{head_table.FUSED}, aligned"], statistics, strict=True)
        found["fusion, aligned"] = np.array([taught.quality(one, features) for one, features in pairs])
        found["frame statistics"] = np.array([taught.teacher.predict(features) for features in statistics])
    draws = bootstrap.draw(len(mos), num_resamples=args.resamples, seed=1)
    print(f"{len(mos)} videos; 95 % bootstrap over videos")
    print(f"{'':26s} {'SROCC':21s}    {'PLCC':21s}    RMSE    score - MOS")
    for name, one in found.items():
        print(f"{name:26s} {_line(mos, one, draws)}", flush=True)
    for other in ("lstm", "lstm, aligned") if args.fusion else ():
        difference = _difference(mos, found["fusion, aligned"], found[other], draws)
        print(f"SROCC of fusion, aligned minus that of {other}: {difference}")


def _read(test: RunFolder) -> tuple[list[str], np.ndarray, Scores]:
    """Return video_ids, MOS and scores of each head, on 1-5."""
    ends, rows = test.read_mos_range(), comparison.read_scores(test.scores)
    heads = dict.fromkeys(row["head"] for row in rows)
    videos = [row["video_id"] for row in rows if row["head"] == next(iter(heads))]
    labels = {row["video_id"]: mos_scale.to_unit_5(row["mos"], *ends) for row in rows}
    values = {(row["head"], row["video_id"]): mos_scale.to_unit_5(row["score"], *ends) for row in rows}
    scores = {head: np.array([values[head, video] for video in videos]) for head in heads}
    return videos, np.array([labels[video] for video in videos]), scores


def _rows(scores: Scores, mos: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    for head, found in scores.items():
        yield head, found
        if not head_table.get(head).is_rival:
            yield f"{head}, aligned", aligned_without_itself(found, mos)


def aligned_without_itself(scores: np.ndarray, mos: np.ndarray) -> np.ndarray:
    """Align each score by the least-squares line of MOS on score of the other videos; both on 1-5, shape (num_videos,).

    >>> aligned_without_itself(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.5, 3.0, 3.5])).round(3).tolist()
    [2.0, 2.5, 3.0, 3.5]
    """
    numbers = np.arange(len(scores))
    lines = [np.polyfit(scores[numbers != one], mos[numbers != one], 1) for one in numbers]
    return np.clip([np.polyval(line, score) for line, score in zip(lines, scores, strict=True)], 1, 5)


def _line(mos: np.ndarray, scores: np.ndarray, draws: np.ndarray) -> str:
    """Return SROCC and PLCC with intervals, RMSE, and the mean of score - MOS with its interval."""
    value = metrics.correlations(mos=mos, scores=scores)
    samples = _samples(mos, scores, draws)
    cells = []
    for name in ("srocc", "plcc"):
        low, high = bootstrap.interval(samples[name])
        cells.append(f"{value[name]:.3f} [{low:.3f}, {high:.3f}]")
    bias = (scores - mos) @ draws.T / draws.sum(axis=1)
    low, high = bootstrap.interval(bias)
    cells.append(f"{metrics.rmse(mos, scores):.3f}   {np.mean(scores - mos):+.2f} [{low:+.2f}, {high:+.2f}]")
    return "    ".join(cells)


def _samples(mos: np.ndarray, scores: np.ndarray, draws: np.ndarray) -> dict[str, np.ndarray]:
    return bootstrap.figures(mos=mos, scores=scores, contents=np.arange(len(mos)), draws=draws, mapping=None)


def _difference(mos: np.ndarray, first: np.ndarray, second: np.ndarray, draws: np.ndarray) -> str:
    """Return the difference of the SROCC with its interval and p value."""
    samples = _samples(mos, first, draws)["srocc"] - _samples(mos, second, draws)["srocc"]
    one, other = (metrics.correlations(mos=mos, scores=scores)["srocc"] or 0.0 for scores in (first, second))
    low, high = bootstrap.interval(samples)
    return f"{one - other:+.3f} [{low:+.3f}, {high:+.3f}], p = {bootstrap.two_sided_p(samples):.3f}"


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.aligned_agreement", __doc__)
    parser.add_argument("--tested", required=True, metavar="RUN", help="the OUT of make cross_database, in float32")
    parser.add_argument("--fusion", metavar="FILE", help="the teacher on frame statistics")
    parser.add_argument("--weight", type=float, default=fusion.WEIGHT, help="of the LSTM in the fusion, 0-1")
    parser.add_argument("--limit", type=float, default=fusion.LIMIT, help="of the teacher's difference, on 1-5")
    parser.add_argument("--resamples", type=command_line.resamples, default=1000, help="number of bootstrap draws")
    return parser


if __name__ == "__main__":
    command_line.run(main)
