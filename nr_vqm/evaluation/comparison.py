"""Compare the heads: scores.csv -> medians over repeats, 95 % intervals, paired tests. Decision 0006."""

import csv
import io
import itertools
import math

import numpy as np

from nr_vqm.common import atomic_files
from nr_vqm.evaluation import bootstrap, metrics
from nr_vqm.models import head_table

SCHEMA = 2
COLUMNS = ("repeat", "head", "video_id", "content", "mos", "score")
FIGURES = (*metrics.RAW, *metrics.MAPPED, *metrics.TRAIN_MAPPED, *metrics.OUTLIERS)
TESTED = ("srocc", "plcc", "rmse")
MIN_CONTENTS = 5  # decision 0006: draws of fewer are so alike that an interval would promise too much
MIN_RESAMPLES = 1000  # a 95 % interval then rests on 25 resamples at each end


def write_scores(path, rows):
    """Write scores.csv whole.

    Args:
        path: the file.
        rows: dicts with the keys of COLUMNS; repeat int, mos and score finite, in the database's unit.

    Raises:
        ValueError: a key is missing or a number is not finite.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for number, row in enumerate(rows, start=1):
        writer.writerow(_row(row, f"row {number}"))
    atomic_files.write_text(path, out.getvalue())


def read_scores(path):
    """The rows of scores.csv as dicts, in file order.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a column is missing, a cell is no number, or there are no rows.
    """
    atomic_files.require(path, made_by="make compare")
    with open(path, newline="", encoding="utf-8") as file:
        rows = [_row(row, f"{path} line {number}") for number, row in enumerate(csv.DictReader(file), start=2)]
    if not rows:
        raise ValueError(f"Scores of test videos are needed, {path} has none. Make it again: make compare.")
    return rows


def compare(rows, *, num_resamples, seed, train_rows=(), mos_ci95=None):
    """Compare heads that scored the same test videos.

    The intervals come from a bootstrap over contents: whole contents are drawn with replacement, the same draw
    for all heads and repeats, and the median over repeats is taken anew. They hold the sampling
    error of the test set only, not the effect of training again.

    Args:
        rows: dicts with the keys of COLUMNS; every head scores the same videos in every repeat.
        num_resamples: bootstrap draws, at least 1000.
        seed: of the draws.
        train_rows: the same for training videos, which the curve of the `*_mapped_train` figures is fitted on.
        mos_ci95: {video_id: half width of the MOS's 95 % interval}; outlier ratios need it of all test videos.

    Returns:
        dict for metrics.json, without NaN: 'figures' that some head has, 'heads' {head: {figure: {median, low, high,
        std, per_repeat}}} and 'tests' [{first, second, figure: {difference, low, high, p}}], differences first minus
        second. Intervals and p are None where there are too few contents for them, std where there is one repeat.

    Raises:
        ValueError: heads differ in their videos, MOS or contents; a video comes twice; too few videos.
    """
    if num_resamples < MIN_RESAMPLES:
        raise ValueError(
            f"At least {MIN_RESAMPLES} resamples are needed for 95 % intervals. Received: {num_resamples}."
        )
    repeats, curves = _by_repeat(rows), _train_mappings(train_rows)
    for test in repeats.values():
        test["ci95"] = _half_widths(test["video_ids"], mos_ci95 or {})
    heads = _ordered({row["head"] for row in rows})
    contents = sorted({row["content"] for row in rows})
    notes = []
    if len(contents) < MIN_CONTENTS:
        notes.append(f"No intervals and tests: they need at least {MIN_CONTENTS} test contents, found {len(contents)}.")
        num_resamples = 0  # and every sample below is NaN
    draws = bootstrap.draw(len(contents), num_resamples=num_resamples, seed=seed)
    agreements = {head: [_agreement(repeats[repeat], head, repeat, curves) for repeat in repeats] for head in heads}
    samples = {head: _median_samples(repeats, agreements[head], head, contents, draws, curves) for head in heads}
    medians = {head: _medians(agreements[head]) for head in heads}
    return {
        "schema": SCHEMA,
        "num_repeats": len(repeats),
        "num_videos": int(np.median([len(test["mos"]) for test in repeats.values()])),
        "num_contents": len(contents),
        "num_resamples": num_resamples,
        "seed": seed,
        "confidence": bootstrap.CONFIDENCE,
        "notes": notes,
        "figures": [name for name in FIGURES if any(medians[head][name] is not None for head in heads)],
        "heads": {head: _head_summary(agreements[head], medians[head], samples[head]) for head in heads},
        "tests": [_test(first, second, medians, samples) for first, second in itertools.combinations(heads, 2)],
    }


def _row(row, where):
    """One row with its values cast, or ValueError."""
    values = {}
    for name in COLUMNS:
        if row.get(name) in (None, ""):
            raise ValueError(f"{where} has no {name!r}. Scores need the columns {', '.join(COLUMNS)}.")
        kind = {"repeat": int, "mos": float, "score": float}.get(name, str)
        try:
            values[name] = kind(row[name])
        except ValueError:
            raise ValueError(f"{where}: {name} must be {kind.__name__}, found {row[name]!r}.") from None
    for name in ("mos", "score"):
        if not math.isfinite(values[name]):
            raise ValueError(f"{where}: {name} must be a finite number, found {values[name]}. Score the video again.")
    return values


def _ordered(heads):
    """Known heads in the order of the table, then others by name."""
    known = head_table.HEADS
    return [head for head in known if head in heads] + sorted(set(heads) - set(known))


def _by_repeat(rows):
    """{repeat: {'mos', 'contents', 'scores': {head: array}}} with videos in one order, checked to match."""
    tables = {}
    for row in rows:
        videos = tables.setdefault(row["repeat"], {}).setdefault(row["head"], {})
        if row["video_id"] in videos:
            raise ValueError(f"Each head scores a video once per repeat, {_where(row)} comes twice. Run compare again.")
        videos[row["video_id"]] = row
    return {repeat: _align(tables[repeat], repeat, {row["head"] for row in rows}) for repeat in sorted(tables)}


def _align(by_head, repeat, heads):
    """The videos of one repeat as arrays; every head must hold the same videos, MOS and contents."""
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
            if any(videos[video_id][name] != reference[video_id][name] for name in ("mos", "content")):
                raise ValueError(f"One MOS and content per video is needed, {_where(videos[video_id])} has another.")
    return {
        "video_ids": order,
        "mos": np.array([reference[video_id]["mos"] for video_id in order]),
        "contents": [reference[video_id]["content"] for video_id in order],
        "scores": {head: np.array([by_head[head][video_id]["score"] for video_id in order]) for head in heads},
    }


def _half_widths(video_ids, mos_ci95):
    """The half widths of some videos as an array, or None where one has none."""
    known = [mos_ci95.get(video_id, 0.0) for video_id in video_ids]
    return np.array(known) if min(known) > 0 else None


def _where(row):
    return f"video {row['video_id']!r} of head {row['head']!r} in repeat {row['repeat']}"


def _train_mappings(rows):
    """{(repeat, head): Mapping fitted on that head's scores of training videos}, without those that have none."""
    pairs = {}
    for row in rows:
        pairs.setdefault((row["repeat"], row["head"]), []).append((row["mos"], row["score"]))
    curves = {}
    for key, values in pairs.items():
        mos, scores = zip(*values, strict=True)
        try:
            curves[key] = metrics.fit_mapping(mos=mos, scores=scores)
        except ValueError:  # all scores the same, or too few: no curve, so no figure
            continue
    return curves


def _agreement(test, head, repeat, curves):
    try:
        return metrics.agreement(
            mos=test["mos"],
            scores=test["scores"][head],
            train_mapping=curves.get((repeat, head)),
            mos_ci95=test["ci95"],
        )
    except ValueError as error:
        raise ValueError(f"Head {head!r} in repeat {repeat}: {error}") from error


def _median_samples(repeats, agreements, head, contents, draws, curves):
    """{figure: bootstrap values of its median over repeats, shape (num_resamples,), NaN where undefined}."""
    index = {content: number for number, content in enumerate(contents)}
    if not len(draws):
        return {name: np.full(1, np.nan) for name in FIGURES}
    per_repeat = []
    for (repeat, test), agreement in zip(repeats.items(), agreements, strict=True):
        per_repeat.append(
            bootstrap.figures(
                mos=test["mos"],
                scores=test["scores"][head],
                contents=np.array([index[content] for content in test["contents"]]),
                draws=draws,
                mapping=agreement.mapping,
                train_mapping=curves.get((repeat, head)),
                ci95=test["ci95"],
            )
        )
    return {name: bootstrap.median_over([one[name] for one in per_repeat]) for name in FIGURES}


def _medians(agreements):
    """{figure: median over repeats, None where no repeat has it}."""
    values = {name: [getattr(one, name) for one in agreements] for name in FIGURES}
    known = {name: [value for value in column if value is not None] for name, column in values.items()}
    return {name: float(np.median(column)) if column else None for name, column in known.items()}


def _head_summary(agreements, medians, samples):
    summary = {}
    for name in FIGURES:
        low, high = bootstrap.interval(samples[name]) if medians[name] is not None else (None, None)
        per_repeat = [getattr(one, name) for one in agreements]
        known = [value for value in per_repeat if value is not None]
        std = float(np.std(known)) if len(known) > 1 else None
        summary[name] = {"median": medians[name], "low": low, "high": high, "std": std, "per_repeat": per_repeat}
    summary["notes"] = sorted({note for one in agreements for note in one.notes})
    return summary


def _test(first, second, medians, samples):
    """The paired comparison of two heads: both on the same draws."""
    test = {"first": first, "second": second}
    for name in TESTED:
        if medians[first][name] is None or medians[second][name] is None:
            test[name] = None
            continue
        differences = samples[first][name] - samples[second][name]
        low, high = bootstrap.interval(differences)
        difference = medians[first][name] - medians[second][name]
        test[name] = {"difference": difference, "low": low, "high": high, "p": bootstrap.two_sided_p(differences)}
    return test
