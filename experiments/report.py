"""A run's metrics and scores -> <run>/report.html, one page that needs nothing else."""

import base64
import csv
import dataclasses
import itertools
import math
from pathlib import Path

from nr_vqm import command_line
from nr_vqm.dataset import label_origin
from nr_vqm.models import head_table

NUM_EXTREMES = 6  # best and worst videos to show
THUMBNAIL_WIDTH = 240
ALPHA = 0.05  # beyond chance; decision 0006
RATERS = {"people": "people", "pseudo": "the pseudo-labels", "synthetic": "simulated raters"}  # whom a head agrees with
RUN_FACTS = (
    "database",
    "data_dir",
    "hardware",
    "commit",
    "mos_range",
    "seconds",
    "versions",
)


def main(argv=None):
    """The command; see `--help`."""
    args = _parser().parse_args(argv)
    from nr_vqm.common import atomic_files
    from nr_vqm.runs.run_folder import RunFolder

    run = RunFolder(args.run)
    with run.lock():
        atomic_files.write_text(run.report, render(page_values(run)))
    print(f"Wrote {run.report}")


def _parser():
    parser = command_line.new_parser("python -m experiments.report", __doc__)
    parser.add_argument("--run", required=True, metavar="DIR", help="a run folder with metrics.json and scores.csv")
    return parser


def page_values(run):
    """Everything that the template shows, from the files of a RunFolder.

    Raises:
        FileNotFoundError: metrics.json, scores.csv or preset.json is missing.
        ValueError: one of them cannot be read, or the comparison was stopped before its end.
    """
    from nr_vqm.common import atomic_files
    from nr_vqm.evaluation import comparison

    run.require_complete("results")
    metrics, rows = atomic_files.read_json(run.metrics, made_by="make compare"), comparison.read_scores(run.scores)
    if metrics.get("schema") != comparison.SCHEMA:
        raise ValueError(f"{run.metrics} must be of this version. Make it again: make compare.")
    info = dict.fromkeys(RUN_FACTS) | run.read_facts() | {"seconds": run.total_seconds()}
    raters = RATERS[metrics["labels"]]
    best = ranking(metrics)[0]
    return {
        "metrics": metrics,
        "alpha": ALPHA,
        "figures": metrics["figures"],
        "label": head_table.label,
        "info": info,
        "preset": dataclasses.asdict(run.read_preset()),
        "labels": label_origin.describe(metrics["labels"], metrics["trained_labels"]),
        "cross_database": bool(info.get("trained_on")),
        "headline": headline(metrics, raters=raters),
        "best": best,
        "forest": _forest(metrics),
        "scatters": _scatters(metrics, rows, info.get("mos_range")),
        "losses": _losses(run),
        "extremes": _extremes(rows, best, info.get("data_dir")),
    }


def render(values):
    """The page as HTML."""
    from nr_vqm.common import html_pages

    filters = {"number": _number, "signed": _signed, "probability": _probability, "duration": _duration}
    return html_pages.render(Path(__file__).with_name("report.html.j2"), values, filters=filters)


def ranking(metrics):
    """The heads by median SROCC, best first; heads without one last."""
    heads = metrics["heads"]
    return sorted(heads, key=lambda head: -math.inf if (v := heads[head]["srocc"]["median"]) is None else v)[::-1]


def headline(metrics, *, raters):
    """{'winner', 'sentence', 'claim'}: which head agrees best, if one does by more than chance; LSTM against SVR."""
    order = ranking(metrics)
    winner = metrics["heads"][order[0]]["srocc"]["median"]
    if winner is None:
        return {"winner": "No head ranks the videos", "sentence": "Every head gave all videos one score.", "claim": ""}
    found = {"winner": f"{head_table.label(order[0])} agrees best with {raters}", "sentence": "", "claim": ""}
    if len(order) > 1:
        found["sentence"] = _verdict(metrics, order[0], order[1])
        test, _ = _srocc_test(metrics, order[0], order[1])
        if test and (test["p"] is None or test["p"] >= ALPHA):
            found["winner"] = f"No head clearly agrees best with {raters}"
    if {"lstm", "svr"} <= set(order) and set(order[:2]) != {"lstm", "svr"}:
        found["claim"] = _verdict(metrics, "lstm", "svr")
    return found


def _verdict(metrics, first, second):
    """One sentence on the SROCC of two heads."""
    test, sign = _srocc_test(metrics, first, second)
    names = head_table.label(first), head_table.label(second)
    if test is None:
        return f"{names[0]} and {names[1]} cannot be compared: one of them gave all videos one score."
    difference = sign * test["difference"]
    side = "above" if difference >= 0 else "below"
    text = f"The SROCC of {names[0]} is {abs(difference):.3f} {side} that of {names[1]}"
    if test["p"] is None:
        return f"{text}; there are too few test contents to tell that from chance."
    if test["p"] >= ALPHA:
        return f"{text}, which is not beyond chance ({_probability(test['p'])})."
    return f"{text}, which is more than chance explains ({_probability(test['p'])})."


def _srocc_test(metrics, first, second):
    """(the comparison of the SROCC of two heads or None, 1 or -1: the sign of first less second)."""
    return next(
        (test["srocc"], 1 if test["first"] == first else -1)
        for test in metrics["tests"]
        if {test["first"], test["second"]} == {first, second}
    )


def _forest(metrics):
    from nr_vqm.common import figures

    heads = {head: metrics["heads"][head]["srocc"] for head in ranking(metrics)}
    entries = [
        (head_table.label(head), figure["median"], figure["low"], figure["high"])
        for head, figure in heads.items()
        if figure["median"] is not None
    ]
    return figures.intervals(entries, label="SROCC, 95 % interval") if entries else None


def _scatters(metrics, rows, limits):
    """(head, picture) of each head, all repeats together and axes alike; the curve is that of all points."""
    from nr_vqm.common import figures
    from nr_vqm.evaluation import metrics as measures

    everything = [row[name] for row in rows for name in ("mos", "score")] + list(limits or [])
    margin = 0.03 * (max(everything) - min(everything)) or 1.0
    limits = (min(everything) - margin, max(everything) + margin)
    pictures = []
    for head in metrics["heads"]:
        mos, scores = zip(*((row["mos"], row["score"]) for row in rows if row["head"] == head), strict=True)
        mapping = measures.agreement(mos=mos, scores=scores).mapping
        pictures.append((head, figures.scatter(mos=mos, scores=scores, mapping=mapping, limits=limits)))
    return pictures


def _losses(run):
    """(title, picture) of each history that is there."""
    from nr_vqm.common import figures

    pictures = []
    for repeat in run.repeats():
        fitted = [row for row in head_table.HEADS.values() if row.history]
        histories = {"3D-CNN": repeat.history} | {row.label: repeat.head_history(row.name) for row in fitted}
        for title, path in histories.items():
            picture = figures.losses(_read_history(path))
            if picture:
                pictures.append((title if repeat == run else f"{title}, {repeat.path.name}", picture))
    return pictures


def _read_history(path):
    """The epochs of a Keras log as dicts of floats; cells that are no finite numbers are left out."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [dict(_finite_cells(row)) for row in csv.DictReader(file)]


def _finite_cells(row):
    for name, cell in row.items():
        try:
            value = float(cell)
        except (TypeError, ValueError):
            continue
        if math.isfinite(value):
            yield name, value


def _extremes(rows, head, data_dir):
    """{'worst': [...], 'best': [...]} of a head's videos by the error of their mean score over repeats."""
    by_video = {}
    for row in rows:
        if row["head"] == head:
            by_video.setdefault(row["video_id"], []).append(row)
    videos = [_mean_video(group) for group in by_video.values()]
    videos.sort(key=lambda video: -abs(video["score"] - video["mos"]))
    num = min(NUM_EXTREMES, len(videos) // 2)
    shown = {"worst": videos[:num], "best": videos[::-1][:num]}
    paths = _video_paths(data_dir)
    for video in itertools.chain(*shown.values()):
        video["thumbnail"] = _thumbnail(*paths.get(video["video_id"], (None, None, 0)))
    return shown


def _mean_video(rows):
    score = sum(row["score"] for row in rows) / len(rows)
    return {"video_id": rows[0]["video_id"], "content": rows[0]["content"], "mos": rows[0]["mos"], "score": score}


def _video_paths(data_dir):
    """{video_id: (path, raw format, frames)} of the manifest; empty where the data folder is gone."""
    from nr_vqm.dataset import manifest

    try:
        videos = manifest.locate(manifest.usable(data_dir or ""), manifest.find_root(data_dir or ""))
    except (OSError, ValueError):  # a page without thumbnails is better than none
        return {}
    return {video.video_id: (video.path, video.raw, video.frames) for video in videos}


def _thumbnail(path, raw, frames):
    """The middle frame as a small JPEG data URI, or None where it cannot be read."""
    import cv2

    from nr_vqm.video import reader

    if path is None:
        return None
    try:
        frame = next(itertools.islice(reader.read_frames(path, raw), frames // 2, None), None)
    except (OSError, ValueError, cv2.error):  # a page without a thumbnail is better than none
        return None
    if frame is None:
        return None
    size = (THUMBNAIL_WIDTH, max(1, round(THUMBNAIL_WIDTH * frame.shape[0] / frame.shape[1])))
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()


def _number(value):
    return "–" if value is None else f"{value:.3f}"


def _signed(value):
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def _probability(value):
    if value is None:
        return "–"
    return "p < 0.005" if value < 0.005 else f"p = {value:#.2g}"


def _duration(seconds):
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    command_line.run(main)
