"""python -m experiments.compare_heads: features -> the SVR and LSTM heads, their test scores and metrics."""

from pathlib import Path

from nr_vqm import commands


def main(argv=None):
    args = _parser().parse_args(argv)
    from nr_vqm import devices

    devices.quiet_tensorflow()
    from nr_vqm import bundle, comparison, features, files, intervals, splits

    run = Path(args.run)
    preset = bundle.read_preset(run)
    devices.seed_everything(preset.seed)
    videos, split = features.read_head_inputs(run), splits.read(run / "splits.json")
    train, val, test = (videos.of(getattr(split, part)) for part in splits.PARTS)
    with bundle.stage(run, "compare"):
        lstm_val, lstm = _lstm(run, "lstm_head", preset, "clip_quality", train, val, test)
        svr_val, svr = _svr(run, preset, videos.of(split.train + split.val), train, val, test)
        intervals.write(run, {"lstm": (lstm_val, val.quality), "svr": (svr_val, val.quality)})
        scores = {
            "lstm": lstm,
            "svr": svr,
            "mean": test.clip_quality.mean(axis=(1, 2)),
            "lstm_features": _lstm(run, "lstm_features_head", preset, "group_features", train, val, test)[1],
        }
        rows = _rows(scores, test)
        comparison.write_scores(run / "scores.csv", rows)
        metrics = comparison.compare(rows, num_resamples=args.resamples, seed=preset.seed)
        files.write_json(run / "metrics.json", metrics)
    print(comparison.to_text(metrics))


def _parser():
    parser = commands.new_parser("python -m experiments.compare_heads", __doc__)
    parser.add_argument("--run", required=True, help="a run folder with extracted features")
    parser.add_argument("--resamples", type=commands.positive, default=1000, help="of the bootstrap")
    return parser


def _lstm(run, name, preset, field, train, val, test):
    """Fit an LSTM head on `field` of the videos, save it as <run>/<name>.keras; scores of val and test on 1-5."""
    from nr_vqm import files, lstm_head, training

    inputs = getattr(train, field)
    blocks = field == "clip_quality"
    head = lstm_head.build_lstm_head(
        num_groups=inputs.shape[1],
        input_dim=inputs.shape[2],
        # Clip qualities are on the known scale of 1-5; features are scaled as the training part is.
        input_offset=3.0 if blocks else float(inputs.mean()),
        input_scale=1.0 if blocks else float(inputs.std()),
        lstm_units=preset.lstm_units,
        fc_dim=preset.head_fc_dim,
    )
    history = lstm_head.fit_lstm_head(
        head,
        (inputs, train.quality),
        (getattr(val, field), val.quality),
        epochs=preset.head_epochs,
        patience=preset.head_patience,
        batch_size=preset.head_batch_size,
        learning_rate=preset.head_learning_rate,
        augment=lstm_head.shuffle_blocks if blocks else None,
        seed=preset.seed,
    )
    with files.replacing(run / f"{name}.keras") as beside:
        head.save(beside)
    training.write_history(run / f"{name}_history.csv", history)
    return [lstm_head.predict(head, getattr(part, field)) for part in (val, test)]


def _svr(run, preset, fitted_on, train, val, test):
    """Fit the SVR baseline, save it as <run>/svr.skops; scores of val and test on 1-5.

    The saved one has seen val; those of val are from the same settings fitted on train alone.
    """
    import sklearn.base

    from nr_vqm import svr_baseline

    pipeline = svr_baseline.fit_svr(
        fitted_on.mean_features, fitted_on.quality, contents=fitted_on.content, num_folds=5, seed=preset.seed
    )
    svr_baseline.save_svr(run / "svr.skops", pipeline)
    without_val = sklearn.base.clone(pipeline).fit(train.mean_features, train.quality)
    return without_val.predict(val.mean_features), pipeline.predict(test.mean_features)


def _rows(scores, test):
    """Rows of scores.csv, scores in each video's own unit."""
    from nr_vqm import manifest

    return [
        {
            "repeat": 0,
            "head": head,
            "video_id": test.video_id[i],
            "content": test.content[i],
            "mos": float(test.mos[i]),
            "score": float(manifest.from_unit_5(float(quality), test.mos_low[i], test.mos_high[i])),
        }
        for head, qualities in scores.items()
        for i, quality in enumerate(qualities)
    ]


if __name__ == "__main__":
    commands.run(main)
