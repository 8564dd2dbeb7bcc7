"""Train the FCN-LSTM end to end on whole videos, from the trained 3D-CNN and LSTM head of a run, and test it."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments import extract_features
from nr_vqm import command_line, presets, progress
from nr_vqm.common import atomic_files, devices
from nr_vqm.dataset import manifest, splits, video_batches
from nr_vqm.evaluation import comparison_tables
from nr_vqm.models import head_table
from nr_vqm.runs import (
    derived_runs,
    features,
    fitted_head,
    history_file,
    interval_file,
    model_check,
    results,
)
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.runs.stage_records import SPLITS

HEAD = "fcn_lstm"
PART_HEAD = "lstm_features"  # the name of the same head in the folder of the training


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    run = RunFolder(args.run)
    preset = _preset(run, args)
    devices.start(args.device, hide_startup_lines=True)
    devices.split_cpu(args.devices)
    from nr_vqm.training import fcn_lstm_training

    fcn_lstm_training.check_batches(preset.fcn_lstm_batch_size, num_devices=args.devices)
    with run.lock():
        for repeat, folder in enumerate(run.repeats()):
            folder.check_labels(manifest.read_prep(args.data), args.data)
            _train_and_score(folder, repeat, args)
        metrics = results.write(run, num_resamples=args.resamples, seed=preset.seed)
    print(comparison_tables.to_text(metrics))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser(
        "python -m experiments.train_fcn_lstm", __doc__, example="--data data/mine --run runs/mine"
    )
    parser.add_argument("--data", required=True, help="the data folder that the run was trained on")
    parser.add_argument("--run", required=True, help="a run folder; a stopped training is resumed")
    parser.add_argument("--root", help="the folder of the videos, if it has moved since make prep")
    parser.add_argument("--from-scratch", action="store_true", help="start from random weights")
    parser.add_argument("--epochs", type=command_line.positive, help="instead of the run's fcn_lstm_epochs")
    command_line.add_set_option(parser, "change one of the run's fcn_lstm_ settings; may be repeated")
    command_line.add_device_option(parser)
    parser.add_argument(
        "--devices", type=command_line.positive, default=1, help="number of GPUs, or of parts of the CPU without a GPU"
    )
    command_line.add_precision_option(parser)
    parser.add_argument("--resamples", type=command_line.resamples, default=1000, help="number of bootstrap draws")
    return parser


def _preset(run: RunFolder, args: argparse.Namespace) -> presets.Preset:
    """Return the settings of a run with the changes of the options."""
    for text in args.overrides:
        if not text.startswith("fcn_lstm_"):
            raise ValueError(f"--set changes the fcn_lstm_ settings only; the run has the others. Received: {text!r}.")
    preset = presets.overridden(run.read_preset(), args.overrides)
    changes = {"fcn_lstm_epochs": args.epochs, "precision": args.precision}
    return presets.changed(preset, **{name: value for name, value in changes.items() if value})


def _train_and_score(run: RunFolder, repeat: int, args: argparse.Namespace) -> None:
    """Train the FCN-LSTM of one repeat and score its videos; skip a complete repeat."""
    atomic_files.drop_leftovers(run)
    preset = _preset(run, args)
    start = "random weights" if args.from_scratch else _start(run)
    made_of = {"start": start, "settings": preset.fcn_lstm | preset.fcn_lstm_videos, "labels": _labels(args.data)}
    if run.is_complete(HEAD, **made_of):
        print(f"{run}: the FCN-LSTM is trained already.")
        return
    inner = _training_folder(run, preset, start)
    with run.stage(HEAD, **made_of):
        if not inner.is_complete("train"):
            with command_line.catch_sigterm() as stop_asked:  # the other steps end at once, as they can be resumed
                _fit(inner, run, args, stop_asked)
        root = ["--root", args.root] if args.root else []
        extract_features.main(["--data", args.data, "--run", str(inner), "--device", args.device, *root])
        _score(run, inner, repeat)


def _start(run: RunFolder) -> dict[str, str]:
    """Return the checksums of the models that the training starts from.

    Raises:
        FileNotFoundError: one of them is missing.
    """
    try:
        atomic_files.require(run.cnn3d, made_by="make train")
        return {"cnn3d": run.check_file(run.cnn3d), "head": run.check_head(PART_HEAD)}
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error} Or start from random weights: --from-scratch.") from error


def _labels(data: str) -> str:
    return features.videos_sha256(manifest.usable(data))


def _training_folder(run: RunFolder, preset: presets.Preset, start: Any) -> RunFolder:
    """Create the folder of the training, a run with the same videos and split, or check that it was started alike."""
    inner = run.fcn_lstm
    if inner.read_facts().get("start", start) != start:
        raise ValueError(f"{inner} was started from other models than {run} has now. Delete it to train again.")
    names = [name for name in vars(preset) if name.startswith("fcn_lstm_")] + ["precision"]
    changes = {name: getattr(preset, name) for name in names}
    return derived_runs.derive(run, inner, keep=(SPLITS,), facts={"start": start}, **changes)


def _fit(inner: RunFolder, run: RunFolder, args: argparse.Namespace, stop_asked: Callable[[], bool]) -> None:
    """Train the FCN-LSTM to its last epoch."""
    from nr_vqm.training import fcn_lstm_training, training_state

    preset = inner.read_preset()
    devices.seed_everything(preset.seed)
    batches = _batches(inner, args)
    dtype = devices.chosen_precision(preset.precision)  # a resumed training keeps that of its saved state
    inner.update_facts(precision={"train": dtype})
    _announce(batches["train"], preset, dtype)

    def start() -> Any:
        if args.from_scratch:
            return fcn_lstm_training.new_parts(batches["train"], network=preset.network, **preset.fcn_lstm_start)
        return fcn_lstm_training.trained_parts(run)

    epochs, done = preset.fcn_lstm_epochs, len(history_file.read(inner.history))
    with inner.stage("train"), progress.Bar(epochs, "epochs", done=done) as bar:

        def report(row: dict, seconds_left: float) -> None:
            bar.finish_item()
            with bar.hidden():
                print(fcn_lstm_training.epoch_line(row, epochs=epochs, seconds_left=seconds_left), flush=True)

        history = fcn_lstm_training.fit_fcn_lstm(
            batches["train"],
            batches["val"],
            run=inner,
            strategy=devices.replicas(args.devices),
            workers=devices.reading_threads(),
            start=start,
            network=preset.network,
            dtype=dtype,
            **preset.fcn_lstm,
            on_epoch=report,
            on_batch=bar.advance_item,
            stop_requested=stop_asked,
        )
    best = training_state.best_epoch(history)
    print(f"Best epoch {best} of {len(history)}: val mse {history[best - 1]['val_mse']:.3f}", flush=True)


def _announce(train: video_batches.VideoBatches, preset: presets.Preset, dtype: str) -> None:
    """Print what a step of the training reads."""
    from nr_vqm.training import fcn_lstm_training

    height, width = train.region_size
    blocks = preset.fcn_lstm["region_blocks"]
    size = fcn_lstm_training.step_bytes(train, network=preset.network, region_blocks=blocks, dtype=dtype)
    print(
        f"{len(train.videos)} videos for training. A step reads {train.num_regions} regions of {height} x {width} "
        f"pixels and {train.num_frames} frames of {train.batch_size} videos: {size / 1e9:.2f} GB of activations",
        flush=True,
    )


def _batches(inner: RunFolder, args: argparse.Namespace) -> dict[str, video_batches.VideoBatches]:
    """Return the batches of the training and the validation videos."""
    preset, split = inner.read_preset(), splits.read(inner.splits)
    usable = manifest.locate(manifest.usable(args.data), manifest.find_root(args.data, args.root))
    by_id: Mapping[str, manifest.Video] = {one.video_id: one for one in usable}
    videos = {part: [by_id[name] for name in getattr(split, part)] for part in ("train", "val")}
    clip = {"num_groups": preset.num_groups, "clip_frames": preset.clip_frames}
    num_frames = video_batches.most_frames([*videos["train"], *videos["val"]], **clip)
    return {
        part: video_batches.VideoBatches(
            videos[part],
            num_frames=num_frames,
            shuffle_seed=preset.seed if part == "train" else None,
            mirror=preset.mirror and part == "train",
            **preset.fcn_lstm_videos,
        )
        for part in ("train", "val")
    }


def _score(run: RunFolder, inner: RunFolder, repeat: int) -> None:
    """Publish the trained models in the run, and score its videos with the features of all blocks."""
    from nr_vqm.runs import heads

    published = {
        run.head_cnn3d(HEAD): inner.cnn3d,
        run.head(HEAD): inner.head(PART_HEAD),
        run.head_history(HEAD): inner.history,
    }
    for new, old in published.items():
        derived_runs.share_file(old, new)
    row, videos, split = head_table.get(HEAD), features.read_head_inputs(inner), splits.read(run.splits)
    head = heads.of_lstm(row, model_check.load_model(inner.head(PART_HEAD), made_by=row.made_by))
    train, val, test = (videos.select(getattr(split, part)) for part in splits.PARTS)
    test_rows, train_rows = (fitted_head.score_rows(head, part, repeat=repeat) for part in (test, train))
    results.write_scores(run, HEAD, test_rows, train_rows)
    interval_file.write(run, {HEAD: (head.outputs(val), val.quality)})


if __name__ == "__main__":
    command_line.run(main, resumes=True)
