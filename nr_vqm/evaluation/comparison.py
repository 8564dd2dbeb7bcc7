"""Compare heads: scores.csv -> medians over repeats, 95 % intervals and paired tests. Decision 0006."""

import csv
import dataclasses
import io
import itertools
import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypedDict, cast

import numpy as np

from nr_vqm.common import atomic_files
from nr_vqm.evaluation import bootstrap, metrics, mos_mapping
from nr_vqm.models import head_table

SCHEMA = 3
COLUMNS = ("repeat", "head", "video_id", "content", "mos", "score")
TESTED = ("srocc", "plcc", "rmse")
MIN_CONTENTS = 5  # decision 0006: draws of fewer contents are too similar, so intervals would be too narrow
MIN_RESAMPLES = 1000  # a 95 % interval then rests on 25 resamples at each end


class ScoreRow(TypedDict):
    """One row of scores.csv; MOS and score are finite and in the database's unit."""

    repeat: int
    head: str
    video_id: str
    content: str
    mos: float
    score: float


Curves = dict[tuple[int, str], mos_mapping.Mapping]  # (repeat, head): curve fitted on training videos


@dataclasses.dataclass(frozen=True)
class _Repeat:
    """The test videos of one repeat in one order, with the scores of every head.

    Attributes:
        video_ids, contents: of each video.
        mos: float64, shape (num_videos,).
        ci95: half widths of the MOS's 95 % intervals, same shape; None where a video lacks one.
        scores: {head: float64 of the same shape}.
    """

    video_ids: list[str]
    contents: list[str]
    mos: np.ndarray
    ci95: np.ndarray | None
    scores: dict[str, np.ndarray]


def write_scores(path: str | os.PathLike[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write scores.csv in one step.

    Args:
        path: the file.
        rows: ScoreRow of every repeat, head and test video.

    Raises:
        ValueError: a key is missing or a number is not finite.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for number, row in enumerate(rows, start=1):
        writer.writerow(_row(row, f"row {number}"))
    atomic_files.write_text(path, out.getvalue())


def read_scores(path: str | os.PathLike[str]) -> list[ScoreRow]:
    """Read scores.csv, in file order.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: a column is missing, a cell is not a number, or there are no rows.
    """
    atomic_files.require(path, made_by="make compare")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            cells = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a table of scores ({error}). Run again: make compare.") from error
    rows = [_row(row, f"{path} line {number}") for number, row in enumerate(cells, start=2)]
    if not rows:
        raise ValueError(f"Scores of test videos are needed, {path} has none. Run again: make compare.")
    return rows


def compare(
    rows: Sequence[ScoreRow],
    *,
    num_resamples: int,
    seed: int,
    train_rows: Sequence[ScoreRow] = (),
    mos_ci95: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Compare heads that scored the same test videos.

    Intervals come from a bootstrap over contents: contents are drawn with replacement, the same draws for all heads
    and repeats, and the median over repeats is computed again for each draw. They hold the sampling error of the test
    set, not the variation between trainings.

    Args:
        rows: scores of test videos; every head scores the same videos in every repeat.
        num_resamples: number of bootstrap draws, at least 1000.
        seed: seed of the draws.
        train_rows: scores of training videos, on which the curves of the `*_mapped_train` figures are fitted.
        mos_ci95: {video_id: half width of the MOS's 95 % interval}; the outlier ratios need it of all test videos.

    Returns:
        dict for metrics.json, without NaN: 'figures' that at least one head has, 'heads' {head: {figure: {median, low,
        high, std, per_repeat}}} and 'tests' [{first, second, figure: {difference, low, high, p}}], where a difference
        is first minus second. Intervals and p are None with fewer than 5 contents, std with one repeat.

    Raises:
        ValueError: heads differ in their videos, MOS or contents; a video occurs twice; there are too few videos.
    """
    if num_resamples < MIN_RESAMPLES:
        raise ValueError(
            f"At least {MIN_RESAMPLES} resamples are needed for 95 % intervals. Received: {num_resamples}."
        )
    repeats, curves = _by_repeat(rows, mos_ci95 or {}), _train_mappings(train_rows)
    contents = sorted({row["content"] for row in rows})
    notes = _too_few(contents)
    draws = bootstrap.draw(len(contents), num_resamples=0 if notes else num_resamples, seed=seed)
    heads = _ordered({row["head"] for row in rows})
    measured = {head: _measure(head, repeats, contents, draws, curves) for head in heads}
    return {
        "schema": SCHEMA,
        "num_repeats": len(repeats),
        "num_videos": int(np.median([len(test.mos) for test in repeats.values()])),
        "num_contents": len(contents),
        "num_resamples": len(draws),
        "seed": seed,
        "confidence": bootstrap.CONFIDENCE,
        "notes": notes,
        "figures": [name for name in metrics.FIGURES if any(measured[head].has(name) for head in heads)],
        "heads": {head: _head_summary(measured[head]) for head in heads},
        "tests": [_test(a, b, measured[a], measured[b]) for a, b in itertools.combinations(heads, 2)],
    }


def _too_few(contents: Sequence[str]) -> list[str]:
    """Return a list with a note if there are too few contents for intervals and tests, else an empty list."""
    if len(contents) >= MIN_CONTENTS:
        return []
    return [f"No intervals and tests: they need at least {MIN_CONTENTS} test contents, found {len(contents)}."]


@dataclasses.dataclass(frozen=True)
class _Measured:
    """The figures of one head.

    Attributes:
        agreements: one per repeat.
        medians: {figure: median over repeats, None where no repeat defines it}.
        samples: {figure: its median over repeats in each draw, shape (num_resamples,), NaN where undefined}.
    """

    agreements: list[metrics.Agreement]
    medians: dict[str, float | None]
    samples: dict[str, np.ndarray]

    def has(self, figure: str) -> bool:
        return self.medians[figure] is not None


def _measure(
    head: str, repeats: Mapping[int, _Repeat], contents: Sequence[str], draws: np.ndarray, curves: Curves
) -> _Measured:
    """Compute the figures of one head: of every repeat, their medians, and the medians of every draw."""
    agreements = [_agreement(test, head, repeat, curves) for repeat, test in repeats.items()]
    samples = _median_samples(repeats, agreements, head, contents, draws, curves)
    return _Measured(agreements, _medians(agreements), samples)


def _row(row: Mapping[str, object], where: str) -> ScoreRow:
    """Return a row with its cells converted to numbers; ValueError where that fails."""
    values: dict[str, Any] = {}
    for name in COLUMNS:
        if row.get(name) in (None, ""):
            raise ValueError(f"{where} has no {name!r}. Scores need the columns {', '.join(COLUMNS)}.")
        kind: Any = {"repeat": int, "mos": float, "score": float}.get(name, str)
        try:
            values[name] = kind(row[name])
        except ValueError:
            raise ValueError(f"{where}: {name} must be {kind.__name__}, found {row[name]!r}.") from None
    for name in ("mos", "score"):
        if not math.isfinite(values[name]):
            raise ValueError(f"{where}: {name} must be a finite number, found {values[name]}. Score the video again.")
    return cast(ScoreRow, values)


def _ordered(heads: Collection[str]) -> list[str]:
    """Return the heads in the order of the table of heads, then unknown ones by name."""
    known = head_table.HEADS
    return [head for head in known if head in heads] + sorted(set(heads) - set(known))


def _by_repeat(rows: Sequence[ScoreRow], mos_ci95: Mapping[str, float]) -> dict[int, _Repeat]:
    """Arrange the rows by repeat and check that all heads have the same videos."""
    tables: dict[int, dict[str, dict[str, ScoreRow]]] = {}
    for row in rows:
        videos = tables.setdefault(row["repeat"], {}).setdefault(row["head"], {})
        if row["video_id"] in videos:
            raise ValueError(
                f"Each head scores a video once per repeat, {_where(row)} occurs twice. Run compare again."
            )
        videos[row["video_id"]] = row
    heads = {row["head"] for row in rows}
    return {repeat: _align(tables[repeat], repeat, heads, mos_ci95) for repeat in sorted(tables)}


def _align(
    by_head: Mapping[str, Mapping[str, ScoreRow]], repeat: int, heads: Collection[str], mos_ci95: Mapping[str, float]
) -> _Repeat:
    """Return one repeat as arrays; ValueError unless every head has the same videos, MOS and contents."""
    reference = next(iter(by_head.values()))
    order = sorted(reference)
    for head in heads:
        videos = by_head.get(head, {})
        for video_id in sorted(set(videos) ^ set(reference)):
            raise ValueError(
                f"All heads must score the same videos, {video_id!r} of repeat {repeat} is not scored by all "
                f"({head!r} differs). Run compare again for all heads."
            )
        for video_id in order:
            one, other = videos[video_id], reference[video_id]
            if (one["mos"], one["content"]) != (other["mos"], other["content"]):
                raise ValueError(f"One MOS and content per video is needed, {_where(one)} has another.")
    widths = np.array([mos_ci95.get(video_id, 0.0) for video_id in order])
    return _Repeat(
        video_ids=order,
        contents=[reference[video_id]["content"] for video_id in order],
        mos=np.array([reference[video_id]["mos"] for video_id in order]),
        ci95=widths if widths.min() > 0 else None,
        scores={head: np.array([by_head[head][video_id]["score"] for video_id in order]) for head in heads},
    )


def _where(row: ScoreRow) -> str:
    return f"video {row['video_id']!r} of head {row['head']!r} in repeat {row['repeat']}"


def _train_mappings(rows: Sequence[ScoreRow]) -> Curves:
    """Fit the curve of each repeat and head on its scores of training videos; skip those where it cannot be fitted."""
    pairs: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for row in rows:
        pairs.setdefault((row["repeat"], row["head"]), []).append((row["mos"], row["score"]))
    curves = {}
    for key, values in pairs.items():
        mos, scores = zip(*values, strict=True)
        try:
            curves[key] = mos_mapping.fit_mapping(mos=mos, scores=scores)
        except ValueError:  # all scores are the same, or there are too few
            continue
    return curves


def _agreement(test: _Repeat, head: str, repeat: int, curves: Curves) -> metrics.Agreement:
    curve = curves.get((repeat, head))
    try:
        return metrics.agreement(mos=test.mos, scores=test.scores[head], train_mapping=curve, mos_ci95=test.ci95)
    except ValueError as error:
        raise ValueError(f"Head {head!r} in repeat {repeat}: {error}") from error


def _median_samples(
    repeats: Mapping[int, _Repeat],
    agreements: Sequence[metrics.Agreement],
    head: str,
    contents: Sequence[str],
    draws: np.ndarray,
    curves: Curves,
) -> dict[str, np.ndarray]:
    """Return {figure: its median over repeats in each draw, shape (num_resamples,), NaN where undefined}."""
    if not len(draws):
        return {name: np.full(1, np.nan) for name in metrics.FIGURES}
    index = {content: number for number, content in enumerate(contents)}
    per_repeat = [
        bootstrap.figures(
            mos=test.mos,
            scores=test.scores[head],
            contents=np.array([index[content] for content in test.contents]),
            draws=draws,
            mapping=agreement.mapping,
            train_mapping=curves.get((repeat, head)),
            mos_ci95=test.ci95,
        )
        for (repeat, test), agreement in zip(repeats.items(), agreements, strict=True)
    ]
    return {name: bootstrap.median_over([one[name] for one in per_repeat]) for name in metrics.FIGURES}


def _medians(agreements: Sequence[metrics.Agreement]) -> dict[str, float | None]:
    """Return {figure: median over repeats, None where no repeat defines it}."""
    values = {name: [getattr(one, name) for one in agreements] for name in metrics.FIGURES}
    known = {name: [value for value in column if value is not None] for name, column in values.items()}
    return {name: float(np.median(column)) if column else None for name, column in known.items()}


def _head_summary(head: _Measured) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for name in metrics.FIGURES:
        low, high = bootstrap.interval(head.samples[name]) if head.has(name) else (None, None)
        per_repeat = [getattr(one, name) for one in head.agreements]
        known = [value for value in per_repeat if value is not None]
        std = float(np.std(known)) if len(known) > 1 else None
        summary[name] = {"median": head.medians[name], "low": low, "high": high, "std": std, "per_repeat": per_repeat}
    summary["notes"] = sorted({note for one in head.agreements for note in one.notes})
    return summary


def _test(first: str, second: str, one: _Measured, other: _Measured) -> dict[str, Any]:
    """Compare two heads on the same draws."""
    test: dict[str, Any] = {"first": first, "second": second}
    for name in TESTED:
        values = one.medians[name], other.medians[name]
        if values[0] is None or values[1] is None:
            test[name] = None
            continue
        differences = one.samples[name] - other.samples[name]
        low, high = bootstrap.interval(differences)
        p = bootstrap.two_sided_p(differences)
        test[name] = {"difference": values[0] - values[1], "low": low, "high": high, "p": p}
    return test
