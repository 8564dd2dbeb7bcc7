"""python -m experiments.train_cnn: clip shards -> <run>/cnn3d.keras."""

from pathlib import Path

from nr_vqm import commands


def main(argv=None):
    args = _parser().parse_args(argv)
    preset = commands.preset_from(args)
    from nr_vqm import devices

    devices.quiet_tensorflow()
    devices.split_cpu(args.devices)
    from nr_vqm import bundle, inputs, manifest, shards, training

    data, run = Path(args.data), Path(args.run)
    table, videos = shards.read_table(data), manifest.usable(data)
    _check_clips(table, preset, data)
    _start_run(run, data, preset, videos)
    split = _split(run, preset, videos)
    print(f"{len(split.train)} videos to train, {len(split.val)} to validate, {len(split.test)} kept for the test")
    devices.seed_everything(preset.seed)
    quality = inputs.quality_of(table, videos)
    batches = {
        part: inputs.ClipBatches(
            table,
            inputs.rows_of(table, getattr(split, part)),
            quality,
            batch_size=preset.batch_size,
            shuffle_seed=preset.seed if part == "train" else None,
            mirror=part == "train",
        )
        for part in ("train", "val")
    }
    with bundle.stage(run, "train"):
        history = training.fit_cnn3d(
            batches["train"],
            batches["val"],
            run_dir=run,
            strategy=devices.mirrored_strategy(args.devices),
            network={
                name: getattr(preset, name) for name in ("clip_frames", "clip_size", "convs", "fc_dims", "dropout")
            },
            dtype=devices.best_precision(),
            epochs=args.epochs or preset.epochs,
            learning_rate=preset.learning_rate,
            warmup_epochs=preset.warmup_epochs,
            patience=preset.patience,
            seed=preset.seed,
        )
    best = training.best_epoch(history)
    print(
        f"Best epoch {best} of {len(history)}: val mse {history[best - 1]['val_mse']:.3f}. Saved {run / 'cnn3d.keras'}"
    )


def _parser():
    parser = commands.new_parser("python -m experiments.train_cnn", __doc__)
    parser.add_argument("--data", required=True, help="a folder that data_prep wrote")
    parser.add_argument("--run", required=True, help="the run folder to write; an unfinished run goes on")
    commands.add_preset_options(parser)
    parser.add_argument("--devices", type=commands.positive, default=1, help="GPUs, or parts of the CPU without one")
    parser.add_argument("--epochs", type=commands.positive, help="instead of the preset's")
    return parser


def _check_clips(table, preset, data):
    needed = (preset.clip_frames, preset.clip_size, preset.clip_size, 3)
    if table.clip_shape != needed:
        raise ValueError(
            f"Preset {preset.name!r} needs clips of shape {needed}, {data} has {table.clip_shape}. "
            "Prepare the data with the same preset."
        )


def _start_run(run, data, preset, videos):
    """Make the run folder and note its settings; a folder with other settings is refused."""
    from nr_vqm import bundle, files

    run.mkdir(parents=True, exist_ok=True)
    if (run / "preset.json").exists() and bundle.read_preset(run) != preset:
        raise ValueError(f"{run} was begun with other settings. Choose another --run, or delete it.")
    bundle.write_preset(run, preset)
    prep = files.read_json(data / "prep.json", made_by="make prep")
    bundle.update_run(
        run,
        database=prep["database"],
        data_dir=str(data.resolve()),
        mos_range=[videos[0].mos_low, videos[0].mos_high],
        videos=len(videos),
    )


def _split(run, preset, videos):
    """The run's split, made once."""
    from nr_vqm import splits

    path = run / "splits.json"
    contents = {video.video_id: video.content for video in videos}
    if not path.exists():
        split = splits.split_by_content(
            contents, train_fraction=preset.train_fraction, val_fraction=preset.val_fraction, seed=preset.seed
        )
        splits.write(path, split)
    split = splits.read(path)
    splits.check(split, contents)
    return split


if __name__ == "__main__":
    commands.run(main)
