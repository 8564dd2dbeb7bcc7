"""Describe a run: its training data, progress, figures, models and sizes. Reads only, and never imports Keras."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nr_vqm import presets
from nr_vqm.common import atomic_files, safe_output
from nr_vqm.dataset import label_origin, mos_scale, splits
from nr_vqm.evaluation import comparison, prediction_intervals
from nr_vqm.models import keras_files
from nr_vqm.runs import history_file, interval_file
from nr_vqm.runs.run_folder import RunFolder


def facts(run_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Collect the facts of a run: settings, videos, progress, figures, models, intervals, seconds and sizes.

    Args:
        run_dir: a run folder, finished or still training. A run with several repeats has the training of each and the
            figures of all; the models and intervals are in the folders of the repeats.

    Returns:
        Values for JSON, as `nr-vqm info --format json` prints them; None for what does not exist yet.

    Raises:
        FileNotFoundError: there is no run in the folder.
        ValueError: one of its files is damaged.
    """
    run = RunFolder(run_dir)
    preset, facts, folders = run.read_preset(), run.read_facts(), run.repeats()
    tested = facts.get("trained_on") is not None
    return {
        "run": str(run),
        "preset": preset.name,
        "precision": folders[0].read_facts().get("precision", {}),
        "settings": presets.differences(preset),
        "seed": preset.seed,
        "database": facts.get("database"),
        "trained_on": facts.get("trained_on"),
        **_origin(facts),
        "label_method": facts.get("label_method"),
        "mos_range": list(run.read_mos_range()),
        "videos": _videos(run),
        "test_videos": facts.get("videos") if tested else None,
        "clip": f"{preset.clip_frames} frames of {preset.clip_size} x {preset.clip_size}",
        "grid": f"{preset.num_groups} times x {preset.block_grid[0]} rows x {preset.block_grid[1]} columns",
        "training": {} if tested else {one.path.name: _training(one, preset.epochs) for one in folders},
        "models": {path.name: _model(run, path) for path in run.models()},
        "heads": _heads(run),
        "intervals": {head: _interval(run, head, preset) for head in interval_file.read_all(run)},
        "seconds": run.total_seconds(),
        "bytes": sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file()),
        "versions": folders[0].read_facts().get("versions", {}),
    }


def _origin(facts: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the origins of the labels; None if the run does not state them and can neither compare nor score."""
    labels = facts.get("labels")
    return {"labels": labels, "trained_labels": facts.get("trained_labels", labels)}


def _videos(run: RunFolder) -> dict[str, int] | None:
    """Return the number of videos in each part of the split; None before the split is made."""
    if not run.splits.exists():
        return None
    split = splits.read(run.splits)
    return {part: len(getattr(split, part)) for part in splits.PARTS}


def _training(run: RunFolder, epochs: int) -> dict[str, Any]:
    """Return the number of finished epochs and the best of them."""
    rows = history_file.read(run.history)
    if not rows:
        return {"epochs": 0, "of": epochs, "done": False}
    try:
        best = min(rows, key=lambda row: row["val_mse"])
        return {
            "epochs": len(rows),
            "of": epochs,
            "done": run.is_complete("train"),
            "best_epoch": int(best["epoch"]),
            "val_mse": best["val_mse"],
            "last_val_mse": rows[-1]["val_mse"],
        }
    except KeyError as error:
        raise ValueError(f"{run.history} has no column {error}. Train again: make train.") from error


def _model(run: RunFolder, path: Path) -> dict[str, int]:
    """Return the bytes of a model, and the parameters of a network; ValueError if the model has changed."""
    atomic_files.require(path, made_by="make train, then make compare")
    found = {"bytes": path.stat().st_size}
    if path.suffix == ".keras":
        found["parameters"] = keras_files.check(path).num_weights
    run.check_file(path)
    return found


def _heads(run: RunFolder) -> dict[str, dict[str, float | None]]:
    """Return {head: {figure: median}} on the test videos; empty before the heads are compared."""
    if not run.is_complete("results"):
        return {}
    heads = atomic_files.read_json(run.metrics, made_by="make compare")["heads"]
    return {head: {name: heads[head][name]["median"] for name in ("srocc", "plcc", "rmse")} for head in heads}


def _interval(run: RunFolder, head: str, preset: presets.Preset) -> dict[str, Any]:
    """Return the prediction interval at the middle of the scale, and its coverage of the MOS of the test videos."""
    intervals = interval_file.read(run, head, **preset.interval)
    at_3 = intervals.interval(3.0) if intervals else None
    if intervals is None or at_3 is None:
        return {"validation_videos": intervals.num_videos if intervals else 0}
    rows = comparison.read_scores(run.scores) if run.scores.exists() else []
    rows = [row for row in rows if row["head"] == head]
    mos_range = run.read_mos_range()
    inside = 0
    for row in rows:
        score, mos = (mos_scale.to_unit_5(row[name], *mos_range) for name in ("score", "mos"))
        ends = intervals.interval(min(5.0, max(1.0, score)))
        assert ends is not None
        inside += ends[0] <= mos <= ends[1]
    return {
        "validation_videos": intervals.num_videos,
        "at_3": [round(end, 2) for end in at_3],
        "test_videos": len(rows),
        "test_coverage": round(inside / len(rows), 3) if rows else None,
    }


def to_text(found: Mapping[str, Any]) -> str:
    """Format the result of `facts` as lines of text."""
    lines = [
        ("run", found["run"]),
        *origin_lines(found),
        ("preset", f"{found['preset']}, seed {found['seed']}"),
        ("precision", ", ".join(f"{stage} {name}" for stage, name in found["precision"].items()) or "-"),
        ("settings", ", ".join(found["settings"]) or "as in the preset"),
        ("clips", f"{found['clip']}, {found['grid']}"),
        *(("training" if not row else "", text) for row, text in enumerate(_progress(found["training"]))),
        *(("model" if not row else "", _model_text(*item)) for row, item in enumerate(found["models"].items())),
        *(("test" if not row else "", text) for row, text in enumerate(test_lines(found))),
        *(
            ("interval" if not row else "", f"{head}: {_interval_text(item)}")
            for row, (head, item) in enumerate(found["intervals"].items())
        ),
        ("hours", ", ".join(f"{stage} {seconds / 3600:.2f}" for stage, seconds in found["seconds"].items()) or "-"),
        ("size", f"{found['bytes'] / 1e6:,.1f} MB"),
        ("versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items()) or "-"),
    ]
    return "\n".join(safe_output.printable(f"{name:12s}{text}") for name, text in lines)


def origin_lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, text) of the lines about the videos and labels that a run was trained and tested on."""
    return [
        ("trained on", found["trained_on"] or _trained_on(found)),
        *([("tested on", _tested_on(found))] if found["trained_on"] else []),
        ("labels", _labels_text(found)),
        *([("", found["label_method"])] if found["label_method"] else []),
        ("MOS", "{:g} to {:g}".format(*found["mos_range"])),
    ]


def test_lines(found: Mapping[str, Any]) -> list[str]:
    """Return a line for each head with its figures on the test videos."""
    return [_head_text(*item) for item in found["heads"].items()]


def _trained_on(found: Mapping[str, Any]) -> str:
    videos = found["videos"]
    if videos is None:
        several = len(found["training"]) > 1
        return f"{found['database'] or 'unknown'}; " + ("each repeat has its own split" if several else "not split yet")
    parts = ", ".join(f"{number} {part}" for part, number in videos.items())
    return f"{found['database'] or 'unknown'}, {sum(videos.values())} videos: {parts}"


def _labels_text(found: Mapping[str, Any]) -> str:
    if found["labels"] not in label_origin.ORIGINS or found["trained_labels"] not in label_origin.ORIGINS:
        return "of unknown origin"
    return label_origin.describe(found["labels"], found["trained_labels"])


def _tested_on(found: Mapping[str, Any]) -> str:
    """Describe the videos of a cross-database test."""
    database = (found["database"] or "unknown").removesuffix(f", trained on {found['trained_on']}")
    return f"{database}, all {found['test_videos']} videos (cross-database test)"


def _progress(repeats: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Describe the training of each repeat in one line."""
    if len(repeats) == 1:
        return [_epochs(training) for training in repeats.values()]
    return [f"{name}: {_epochs(training)}" for name, training in repeats.items()]


def _epochs(training: Mapping[str, Any]) -> str:
    if not training["epochs"]:
        return f"no epoch of {training['of']} finished yet"
    state = "complete" if training["done"] else "in progress or stopped"
    return (
        f"{training['epochs']} of {training['of']} epochs, {state}; lowest validation MSE {training['val_mse']:.3f} "
        f"(on the 1-5 scale) in epoch {training['best_epoch']}, last {training['last_val_mse']:.3f}"
    )


def _model_text(name: str, model: Mapping[str, int]) -> str:
    parameters = f", {model['parameters']:,} parameters" if "parameters" in model else ""
    return f"{name}: {model['bytes'] / 1e6:,.1f} MB{parameters}"


def _head_text(head: str, figures: Mapping[str, float | None]) -> str:
    cells = (f"{name.upper()} {'-' if value is None else format(value, '.3f')}" for name, value in figures.items())
    return f"{head}: {', '.join(cells)}"


def _interval_text(item: Mapping[str, Any]) -> str:
    if "at_3" not in item:
        return f"none: {item['validation_videos']} validation videos, {prediction_intervals.MIN_VIDEOS} are needed"
    coverage = ""
    if item["test_coverage"] is not None:
        coverage = f"; contains the MOS of {100 * item['test_coverage']:.1f} % of {item['test_videos']} test videos"
    return f"a score of 3 on 1-5 has the 95 % interval {item['at_3'][0]:.2f} to {item['at_3'][1]:.2f}{coverage}"
