"""What a run is: what it was trained on, how far it is, its figures and sizes. Reads only; never imports Keras."""

import csv
from pathlib import Path

from nr_vqm import bundle, comparison, files, intervals, manifest, model_files, presets, splits


def facts(run_dir):
    """Everything that is known of a run, JSON-ready; what is not there yet is None or missing.

    A run of several repeats has the training of each and the figures of all; models and intervals are in the folders
    of the repeats.

    Args:
        run_dir: a run folder, finished or still training.

    Raises:
        FileNotFoundError: there is no run in the folder.
        ValueError: one of its files is damaged.
    """
    run_dir = Path(run_dir)
    preset, run = bundle.read_preset(run_dir), bundle.read_run(run_dir)
    folders = bundle.repeat_dirs(run_dir)
    return {
        "run": str(run_dir),
        "preset": preset.name,
        "settings": presets.differences(preset),
        "seed": preset.seed,
        "database": run.get("database"),
        "mos_range": list(bundle.read_mos_range(run_dir)),
        "videos": _videos(run_dir),
        "clip": f"{preset.clip_frames} frames of {preset.clip_size} x {preset.clip_size}",
        "grid": f"{preset.num_groups} times x {preset.block_grid[0]} rows x {preset.block_grid[1]} columns",
        "training": {
            folder.name: _training(
                folder, preset.epochs, done=bundle.CNN3D in bundle.read_run(folder).get("sha256", {})
            )
            for folder in folders
        },
        "models": {name: _model(run_dir / name) for name in bundle.MODELS if (run_dir / name).exists()},
        "heads": _heads(run_dir),
        "intervals": {head: _interval(run_dir, head, preset) for head in bundle.HEADS} if folders == [run_dir] else {},
        "seconds": bundle.total_seconds(run_dir),
        "bytes": sum(path.stat().st_size for path in run_dir.rglob("*") if path.is_file()),
        "versions": bundle.read_run(folders[0]).get("versions", {}),
    }


def _videos(run_dir):
    """How many videos each part of the split has; None before there is one."""
    path = run_dir / "splits.json"
    if not path.exists():
        return None
    split = splits.read(path)
    return {part: len(getattr(split, part)) for part in splits.PARTS}


def _training(run_dir, epochs, *, done):
    """Epochs so far and the best of them, of history.csv."""
    path = run_dir / "history.csv"
    if not path.exists():
        return {"epochs": 0, "of": epochs, "done": False}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
        best = min(rows, key=lambda row: row["val_mse"])
        return {
            "epochs": len(rows),
            "of": epochs,
            "done": done,
            "best_epoch": int(best["epoch"]),
            "val_mse": best["val_mse"],
            "last_val_mse": rows[-1]["val_mse"],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no history of a training ({error!r}). Train again: make train.") from error


def _model(path):
    """Bytes, parameters where the file tells, and whether its checksum is the noted one."""
    found = {"bytes": path.stat().st_size}
    if path.suffix == ".keras":
        found["parameters"] = model_files.check(path).num_weights
    bundle.check_sum(path)
    return found


def _heads(run_dir):
    """{head: {figure: median}} of the test videos; empty before they are compared."""
    path = run_dir / "metrics.json"
    if not path.exists():
        return {}
    heads = files.read_json(path, made_by="make compare")["heads"]
    return {head: {name: heads[head][name]["median"] for name in ("srocc", "plcc", "rmse")} for head in heads}


def _interval(run_dir, head, preset):
    """How wide the intervals are in the middle of the scale, and how many MOS of the test videos they hold."""
    spread, path = intervals.read(run_dir, head, **preset.interval), run_dir / "scores.csv"
    if spread is None or spread.interval(3.0) is None:
        return {"validation_videos": spread.num_videos if spread else 0}
    low, high = spread.interval(3.0)
    mos_range = bundle.read_mos_range(run_dir)
    rows = [row for row in comparison.read_scores(path) if row["head"] == head] if path.exists() else []
    inside = 0
    for row in rows:
        score, mos = (manifest.to_unit_5(row[name], *mos_range) for name in ("score", "mos"))
        ends = spread.interval(min(5.0, max(1.0, score)))
        inside += ends[0] <= mos <= ends[1]
    return {
        "validation_videos": spread.num_videos,
        "at_3": [round(low, 2), round(high, 2)],
        "test_videos": len(rows),
        "test_coverage": round(inside / len(rows), 3) if rows else None,
    }


def to_text(found):
    """The facts as lines to read."""
    lines = [
        ("run", found["run"]),
        ("trained on", _trained_on(found)),
        ("MOS", "{:g} to {:g}".format(*found["mos_range"])),
        ("preset", f"{found['preset']}, seed {found['seed']}"),
        ("settings", ", ".join(found["settings"]) or "as in the preset"),
        ("clips", f"{found['clip']}, {found['grid']}"),
        *(("training" if not row else "", text) for row, text in enumerate(_progress(found["training"]))),
        *(("model" if not row else "", _model_text(*item)) for row, item in enumerate(found["models"].items())),
        *(("test" if not row else "", _head_text(*item)) for row, item in enumerate(found["heads"].items())),
        *(
            ("interval" if not row else "", f"{head}: {_interval_text(item)}")
            for row, (head, item) in enumerate(found["intervals"].items())
        ),
        ("hours", ", ".join(f"{stage} {seconds / 3600:.2f}" for stage, seconds in found["seconds"].items()) or "-"),
        ("size", f"{found['bytes'] / 1e6:,.1f} MB"),
        ("versions", ", ".join(f"{name} {version}" for name, version in found["versions"].items()) or "-"),
    ]
    return "\n".join(f"{name:12s}{text}" for name, text in lines)


def _trained_on(found):
    videos = found["videos"]
    if videos is None:
        several = len(found["training"]) > 1
        return f"{found['database'] or 'unknown'}; " + ("each repeat has its split" if several else "not yet split")
    note = " (made up: no human opinion in it)" if found["database"] == "synthetic" else ""
    parts = ", ".join(f"{number} {part}" for part, number in videos.items())
    return f"{found['database'] or 'unknown'}{note}, {sum(videos.values())} videos: {parts}"


def _progress(repeats):
    """One line for each repeat."""
    if len(repeats) == 1:
        return [_epochs(training) for training in repeats.values()]
    return [f"{name}: {_epochs(training)}" for name, training in repeats.items()]


def _epochs(training):
    if not training["epochs"]:
        return f"no epoch of {training['of']} finished yet"
    state = "done" if training["done"] else "under way or stopped"
    return (
        f"{training['epochs']} of {training['of']} epochs, {state}; lowest validation error {training['val_mse']:.3f} "
        f"(mean square on 1-5) in epoch {training['best_epoch']}, last {training['last_val_mse']:.3f}"
    )


def _model_text(name, model):
    parameters = f", {model['parameters']:,} parameters" if "parameters" in model else ""
    return f"{name}: {model['bytes'] / 1e6:,.1f} MB{parameters}"


def _head_text(head, figures):
    cells = (f"{name.upper()} {'-' if value is None else format(value, '.3f')}" for name, value in figures.items())
    return f"{head}: {', '.join(cells)}"


def _interval_text(item):
    if "at_3" not in item:
        return f"none: {item['validation_videos']} validation videos, {intervals.MIN_VIDEOS} are needed"
    held = ""
    if item["test_coverage"] is not None:
        held = f"; holds the MOS of {100 * item['test_coverage']:.1f} % of {item['test_videos']} test videos"
    return f"a score of 3 on 1-5 means {item['at_3'][0]:.2f} to {item['at_3'][1]:.2f}{held}"
