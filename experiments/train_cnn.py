"""Train the 3D-CNN: clip shards -> <run>/cnn3d.keras."""

import argparse
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import training_runs
from nr_vqm import command_line, presets, progress
from nr_vqm.common import devices, jax_processes, provenance
from nr_vqm.dataset import clip_batches, label_origin, manifest, shards, splits
from nr_vqm.evaluation import checks
from nr_vqm.runs import history_file
from nr_vqm.runs.run_folder import RunFolder


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    data, run = Path(args.data), RunFolder(args.run)
    prep = manifest.read_prep(data)
    preset = _preset(args, prep["database"])
    devices.start(args.device, hide_startup_lines=True)
    devices.split_cpu(args.devices)
    jax_processes.join()
    from nr_vqm.training import cnn3d_training

    cnn3d_training.check_batches(preset.batch_size, accumulate=preset.accumulate, num_devices=args.devices)
    table, videos = shards.read_table(data), manifest.usable(data)
    training_runs.check_prepared(preset, prep, table, data)
    facts = _facts(prep, videos, data) | _start_facts(args.start, preset)
    options = training_runs.SplitOptions(args.split, args.split_index, args.allow_leak)
    parent = RunFolder(args.start) if args.start else None
    with command_line.catch_sigterm() as stop_asked, contextlib.ExitStack() as locks:

        def start() -> list[training_runs.Training]:
            if jax_processes.is_first():
                locks.enter_context(run.lock(new=True))
            return training_runs.start(
                run, preset, facts=facts, videos=videos, repeats=args.repeats, options=options, parent=parent
            )

        for training in jax_processes.first_then_others(start):
            _announce(training, "" if training.folder == run else f"{training.folder.path.name}: ")
            if not training.is_complete:
                _train(training, table, videos, args.start, num_devices=args.devices, stop_asked=stop_asked)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser(
        "python -m experiments.train_cnn", __doc__, example="--data data/mine --run runs/mine --preset small"
    )
    parser.add_argument("--data", required=True, help="a prepared data folder")
    parser.add_argument("--run", required=True, help="the run folder to write; an incomplete run is resumed")
    command_line.add_preset_options(parser)
    command_line.add_device_option(parser)
    parser.add_argument(
        "--devices",
        type=command_line.positive,
        default=1,
        help="number of GPUs, or of parts of the CPU if there is no GPU",
    )
    command_line.add_precision_option(parser)
    parser.add_argument(
        "--epochs", type=command_line.positive, help="maximum number of epochs, instead of the preset's"
    )
    parser.add_argument(
        "--split",
        default="strict",
        help="strict: the preset's shares of contents; paper: 90 %% of them for training (80 %% on LIVE-Qualcomm), "
        "some of them for validation; or a file with a published split: VSFA's *info.mat, or .json or .csv with video "
        "names",
    )
    parser.add_argument(
        "--split-index", type=int, default=0, help="number of the split in the file, from 0; repeats use the next ones"
    )
    parser.add_argument(
        "--train-share",
        type=command_line.share,
        help="with --split strict: share of contents to train on, instead of train_fraction",
    )
    parser.add_argument(
        "--val-share",
        type=command_line.share,
        help="with --split strict: share of contents for validation, instead of val_fraction; with paper and files "
        "without a validation part: share of the training contents for validation, instead of val_share",
    )
    parser.add_argument(
        "--start",
        metavar="RUN",
        help="start from the 3D-CNN of another run with the same network, instead of anew; it must not have been "
        "fitted on test videos of this run",
    )
    parser.add_argument("--allow-leak", action="store_true", help="accept a published split that divides a content")
    parser.add_argument(
        "--repeats", type=command_line.positive, default=1, help="number of 3D-CNNs to train, each on its own split"
    )
    return parser


def _preset(args: argparse.Namespace, database: str) -> presets.Preset:
    """Return the settings of the run: the preset with the changes of the options."""
    preset = command_line.preset_from(args, database=database)
    changes = {"train_fraction": args.train_share, "val_fraction": args.val_share}
    if args.split != "strict":
        if args.train_share:
            raise ValueError(f"--train-share applies only to --split strict. Received: --split {args.split}.")
        val_share = args.val_share or preset.val_share
        changes = {"val_share": val_share}
        if args.split == "paper":
            changes |= splits.paper_fractions(database, val_share=val_share)
    changes |= {"epochs": args.epochs, "precision": args.precision}
    return presets.changed(preset, **{name: value for name, value in changes.items() if value})


def _facts(prep: Mapping[str, Any], videos: Sequence[manifest.Video], data: Path) -> dict[str, Any]:
    """Return the values for run.json that describe the data and the machine."""
    return {
        "database": prep["database"],
        "labels": label_origin.check(prep.get("labels"), f"{data}/prep.json (made by make prep)"),
        **({"label_method": prep["label_method"]} if "label_method" in prep else {}),
        "labels_sha256": prep["labels_sha256"],
        "data_dir": str(data.resolve()),
        "mos_range": [videos[0].mos_low, videos[0].mos_high],
        "videos": len(videos),
        "hardware": devices.describe(),
        "commit": provenance.commit(),
    }


def _start_facts(start: str | None, preset: presets.Preset) -> dict[str, Any]:
    """Return the values for run.json that describe the run whose 3D-CNN the training starts from.

    Raises:
        FileNotFoundError: it has no trained 3D-CNN.
        ValueError: its training is not complete, or its network is another one.
    """
    if start is None:
        return {"started_from": None}
    run = RunFolder(start)
    run.require_complete("train")
    if run.read_preset().network != preset.network:
        raise ValueError(f"The 3D-CNN of {run} has another network than preset {preset.name}. Choose another --start.")
    found = {"database": run.read_facts().get("database"), "labels": run.read_labels()[1]}
    return {"started_from": found | {"cnn3d_sha256": run.check_file(run.cnn3d)}}


def _start_weights(start: str | None) -> list[np.ndarray] | None:
    """Read the weights of the 3D-CNN that the training starts from."""
    if start is None:
        return None
    from nr_vqm.runs import model_check

    return list(model_check.load_model(RunFolder(start).cnn3d, made_by="make train").get_weights())


def _announce(training: training_runs.Training, name: str) -> None:
    if training.is_complete:
        print(f"{name}the training is complete already.", flush=True)
        return
    train, val, test = (len(getattr(training.split, part)) for part in splits.PARTS)
    print(f"{name}{train} videos for training, {val} for validation, {test} for the test", flush=True)
    if test < checks.MIN_VIDEOS:
        print(f"Too few test videos: make compare needs at least {checks.MIN_VIDEOS}.", flush=True)


def _train(
    training: training_runs.Training,
    table: shards.ClipTable,
    videos: Sequence[manifest.Video],
    start: str | None,
    *,
    num_devices: int,
    stop_asked: Callable[[], bool],
) -> None:
    """Train one 3D-CNN."""
    from nr_vqm.training import cnn3d_training, training_state, validation

    run, preset = training.folder, training.preset
    devices.seed_everything(preset.seed)
    batches = _batches(training, table, videos)
    # A resumed training keeps the precision that it was started with, on any machine.
    dtype = run.read_facts().get("precision", {}).get("train") or devices.chosen_precision(preset.precision)
    if jax_processes.is_first():
        run.update_facts(precision={"train": dtype})
    stage = run.stage("train") if jax_processes.is_first() else contextlib.nullcontext()
    done = len(history_file.read(run.history))
    with stage, progress.Bar(preset.epochs, "epochs", done=done, quiet=not jax_processes.is_first()) as bar:

        def report(row: dict, seconds_left: float) -> None:
            bar.finish_item()
            with bar.hidden():
                print(validation.epoch_line(row, epochs=preset.epochs, seconds_left=seconds_left), flush=True)

        history = cnn3d_training.fit_cnn3d(
            batches["train"],
            batches["val"],
            run=run,
            strategy=devices.replicas(num_devices),
            workers=devices.reading_threads(),
            network=preset.network,
            dtype=dtype,
            epochs=preset.epochs,
            learning_rate=preset.learning_rate,
            warmup_epochs=preset.warmup_epochs,
            accumulate=preset.accumulate,
            patience=preset.patience,
            keep=preset.keep_epoch,
            start_clips=preset.start_clips,
            start_roughness=preset.start_roughness,
            seed=preset.seed,
            start=_start_weights(start),
            on_epoch=report,
            on_batch=bar.advance_item,
            stop_requested=stop_asked,
        )
    if jax_processes.is_first():
        kept = len(history) if preset.keep_epoch == "last" else training_state.best_epoch(history)
        error = history[kept - 1]["val_mse"]
        print(f"The network of epoch {kept} of {len(history)}: val mse {error:.3f}. Saved {run.cnn3d}")


def _batches(
    training: training_runs.Training, table: shards.ClipTable, videos: Sequence[manifest.Video]
) -> dict[str, clip_batches.ClipBatches]:
    """Return the batches of the training and the validation videos."""
    preset, quality = training.preset, clip_batches.clip_labels(table, videos)
    return {
        part: clip_batches.ClipBatches(
            table,
            clip_batches.clip_rows(table, getattr(training.split, part)),
            quality,
            batch_size=preset.batch_size,
            shuffle_seed=preset.seed if part == "train" else None,
            mirror=preset.mirror and part == "train",
            part=jax_processes.this(),
        )
        for part in ("train", "val")
    }


if __name__ == "__main__":
    command_line.run(main, resumes=True)
