"""python -m experiments.train_cnn: clip shards -> <run>/cnn3d.keras."""

import contextlib
import dataclasses
from pathlib import Path

from nr_vqm import command_line, presets


def main(argv=None):
    args = _parser().parse_args(argv)
    from nr_vqm.common import devices, jax_processes, provenance
    from nr_vqm.dataset import label_origin, manifest
    from nr_vqm.runs.run_folder import RunFolder

    data, run = Path(args.data), RunFolder(args.run)
    prep = manifest.read_prep(data)
    preset = _with_shares(command_line.preset_from(args, database=prep["database"]), args, prep["database"])
    given = {"epochs": args.epochs, "precision": args.precision}
    preset = presets.changed(preset, **{name: value for name, value in given.items() if value})
    devices.start(args.device, hide_startup_lines=True)
    devices.split_cpu(args.devices)
    jax_processes.join()
    from nr_vqm.dataset import shards
    from nr_vqm.evaluation import metrics
    from nr_vqm.training import cnn3d_training

    cnn3d_training.check_batches(preset.batch_size, accumulate=preset.accumulate, num_devices=args.devices)
    table, videos = shards.read_table(data), manifest.usable(data)
    _check_prep(prep, preset, table, data)
    facts = {
        "database": prep["database"],
        "labels": label_origin.check(prep.get("labels"), f"{data}/prep.json (made by make prep)"),
        "labels_sha256": prep["labels_sha256"],
        "data_dir": str(data.resolve()),
        "mos_range": [videos[0].mos_low, videos[0].mos_high],
        "videos": len(videos),
        "hardware": devices.describe(),
        "commit": provenance.commit(),
    }
    stop_asked = command_line.catch_sigterm()
    with contextlib.ExitStack() as locks:
        repeats = jax_processes.first_then_others(lambda: _start(run, preset, facts, videos, args, locks))
        for folder, settings, split, complete in repeats:
            name = "" if folder == run else f"{folder.path.name}: "
            if complete:
                print(f"{name}the training is complete already.", flush=True)
                continue
            train, val, test = (len(getattr(split, part)) for part in ("train", "val", "test"))
            print(f"{name}{train} videos to train, {val} to validate, {test} kept for the test", flush=True)
            if test < metrics.MIN_VIDEOS:
                needed = f"which need {metrics.MIN_VIDEOS}: compare will refuse."
                print(f"Too few for figures of agreement, {needed}", flush=True)
            _train(folder, settings, table, videos, split, args, stop_asked)


def _parser():
    parser = command_line.new_parser("python -m experiments.train_cnn", __doc__)
    parser.add_argument("--data", required=True, help="a folder that data_prep wrote")
    parser.add_argument("--run", required=True, help="the run folder to write; an unfinished run is resumed")
    command_line.add_preset_options(parser)
    command_line.add_device_option(parser)
    parser.add_argument(
        "--devices", type=command_line.positive, default=1, help="GPUs, or parts of the CPU without one"
    )
    command_line.add_precision_option(parser)
    parser.add_argument("--epochs", type=command_line.positive, help="instead of the preset's")
    parser.add_argument(
        "--split",
        default="strict",
        help="strict: the preset's shares of contents; paper: 90 %% to train (LIVE-Qualcomm 80 %%), val taken out of "
        "it; or a published split: VSFA's *info.mat, or a .json or .csv file of video names",
    )
    parser.add_argument(
        "--split-index", type=int, default=0, help="which split of the file; repeats take the next ones"
    )
    parser.add_argument("--train-share", type=command_line.share, help="strict: instead of the preset's train_fraction")
    parser.add_argument(
        "--val-share",
        type=command_line.share,
        help="strict: instead of the preset's val_fraction; paper, and files without val: instead of val_share, the "
        "share of the contents to train on that is taken out",
    )
    parser.add_argument("--allow-leak", action="store_true", help="train although a file's split divides contents")
    parser.add_argument(
        "--repeats", type=command_line.positive, default=1, help="3D-CNNs to train, each on its own split"
    )
    return parser


def _with_shares(preset, args, database):
    """The preset with the shares that the split will have."""
    from nr_vqm.dataset import splits

    shares = {"train_fraction": args.train_share, "val_fraction": args.val_share}
    if args.split != "strict":
        if args.train_share:
            raise ValueError(f"--train-share goes with --split strict. Received: --split {args.split}.")
        val_share = args.val_share or preset.val_share
        shares = {"val_share": val_share}
        if args.split == "paper":
            shares |= splits.paper_fractions(database, val_share=val_share)
    return presets.changed(preset, **{name: value for name, value in shares.items() if value})


def _check_prep(prep, preset, table, data):
    """Refuse data that was prepared with other settings than the run's."""
    for name in ("clip_frames", "clip_size", "train_groups", "train_grid", "downscale"):
        found, wanted = prep.get(name, False), getattr(preset, name)
        if (tuple(found) if isinstance(found, list) else found) != wanted:
            raise ValueError(
                f"The run's preset {preset.name!r} has {name}={wanted}, {data} was prepared with {found}. "
                "Use the same preset and --set for both."
            )
    needed = (preset.clip_frames, preset.clip_size, preset.clip_size, 3)
    if table.clip_shape != needed:
        raise ValueError(
            f"Clips of shape {needed} are needed, {data} has {table.clip_shape}. Make it again: make prep."
        )


def _start(run, preset, facts, videos, args, locks):
    """[(folder, preset, split, whether its training is complete)] of every repeat; the first process locks the run.

    All splits are made before the first training, as a file may have too few.
    """
    from nr_vqm.common import jax_processes
    from nr_vqm.dataset import published_splits

    if jax_processes.is_first():
        locks.enter_context(run.lock(new=True))
    if args.split not in ("strict", "paper"):
        published_splits.describe(args.split, args.split_index)  # before the run is started
    _start_run(run, preset, facts | {"repeats": args.repeats})
    repeats = []
    for number, folder in enumerate(run.repeats()):
        settings = dataclasses.replace(preset, seed=preset.seed + number)
        if folder != run:
            _start_run(folder, settings, facts)
        split = _split(folder, settings, videos, args, number)
        repeats.append((folder, settings, split, folder.is_complete("train")))
    return repeats


def _start_run(run, preset, facts):
    """Make the run folder and store its settings, in the first process; a folder with other settings is refused."""
    from nr_vqm.common import atomic_files, jax_processes

    if not jax_processes.is_first():
        return
    run.path.mkdir(parents=True, exist_ok=True)
    atomic_files.drop_leftovers(run)
    run.check_labels(facts, facts["data_dir"])
    if run.preset.exists() and run.read_preset() != preset:
        raise ValueError(f"{run} was started with other settings. Choose another --run, or delete it.")
    repeats = facts.get("repeats", 1)
    started = run.read_facts().get("repeats", repeats)
    if started != repeats and (repeats < started or started == 1):
        raise ValueError(f"{run} was started with --repeats {started}, which is now {repeats}. Choose another --run.")
    run.write_preset(preset)
    run.update_facts(**facts)


def _split(run, preset, videos, args, number):
    """The run's split, made once; what it is made from may not change later."""
    from nr_vqm.dataset import published_splits, splits

    path = run.splits
    contents = {video.video_id: video.content for video in videos}
    index = args.split_index + number
    made_by = args.split if args.split in ("strict", "paper") else published_splits.describe(args.split, index)
    if not path.exists():
        if args.split in ("strict", "paper"):
            split = splits.split_by_content(
                contents, train_fraction=preset.train_fraction, val_fraction=preset.val_fraction, seed=preset.seed
            )
        else:
            split, notes = published_splits.read(
                args.split, videos, index=index, val_share=preset.val_share, seed=preset.seed
            )
            for note in notes:
                print(note)
        leaks = splits.check(split, contents, allow_leak=args.allow_leak)
        fingerprints = {video.video_id: video.fingerprint for video in videos}
        splits.write(path, split, made_by=made_by, leaks=leaks, fingerprints=fingerprints)
    split, (stored, leaks) = splits.read(path), splits.read_facts(path)
    if stored not in (None, made_by):
        raise ValueError(f"{run} was started with the split {stored!r}, not {made_by!r}. Choose another --run.")
    if splits.check(split, contents, allow_leak=bool(leaks)):
        print(f"{len(leaks)} contents are on two sides of this split: its figures flatter.")
    return split


def _train(run, preset, table, videos, split, args, stop_asked):
    """Train one 3D-CNN."""
    from nr_vqm.common import devices, jax_processes, provenance
    from nr_vqm.dataset import clip_batches
    from nr_vqm.training import cnn3d_training

    devices.seed_everything(preset.seed)
    quality = clip_batches.clip_labels(table, videos)
    batches = {
        part: clip_batches.ClipBatches(
            table,
            clip_batches.clip_rows(table, getattr(split, part)),
            quality,
            batch_size=preset.batch_size,
            shuffle_seed=preset.seed if part == "train" else None,
            mirror=preset.mirror and part == "train",
            part=jax_processes.this(),
        )
        for part in ("train", "val")
    }
    # A resumed training continues in the precision that it was started in, on whatever machine.
    dtype = run.read_facts().get("precision", {}).get("train") or devices.chosen_precision(preset.precision)
    if jax_processes.is_first():
        run.update_facts(precision={"train": dtype})
    stage = run.stage("train", facts={"versions": provenance.versions()})
    with stage if jax_processes.is_first() else contextlib.nullcontext():
        history = cnn3d_training.fit_cnn3d(
            batches["train"],
            batches["val"],
            run_dir=run.path,
            strategy=devices.replicas(args.devices),
            workers=devices.reading_threads(),
            network=preset.network,
            dtype=dtype,
            epochs=preset.epochs,
            learning_rate=preset.learning_rate,
            warmup_epochs=preset.warmup_epochs,
            accumulate=preset.accumulate,
            patience=preset.patience,
            start_clips=preset.start_clips,
            start_roughness=preset.start_roughness,
            seed=preset.seed,
            stop_asked=stop_asked,
        )
    if jax_processes.is_first():
        best = cnn3d_training.best_epoch(history)
        error = history[best - 1]["val_mse"]
        print(f"Best epoch {best} of {len(history)}: val mse {error:.3f}. Saved {run.cnn3d}")


if __name__ == "__main__":
    command_line.run(main, resumes=True)
