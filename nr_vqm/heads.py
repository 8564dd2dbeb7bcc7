"""The heads of a run, fitted or loaded. A head is a function: features.HeadInputs -> qualities on 1-5."""

import functools

from nr_vqm import bundle, files, lstm_head, manifest, svr_baseline, training
from nr_vqm.run_folder import STAGES, RunFolder, stage_of

LSTM_INPUTS = {"lstm": "clip_quality", "lstm_finetuned": "clip_quality", "lstm_features": "group_features"}


def mean(videos):
    """The control without anything to fit: the mean of all clip qualities, float32 (num_videos,)."""
    return videos.clip_quality.mean(axis=(1, 2))


def fit_lstm(run_dir, name, train, val, *, lstm_units, fc_dim, forget_bias, input_bias, **settings):
    """Fit an LSTM head from nothing and save it in the run.

    Args:
        run_dir: the run folder.
        name: 'lstm' on clip qualities, 'lstm_features' on group features.
        train, val: features.HeadInputs.
        lstm_units, fc_dim: of `lstm_head.build_lstm_head`.
        forget_bias, input_bias: of `lstm_head.start_as_average`.
        settings: of `continue_lstm`.

    Returns:
        the fitted head.
    """
    inputs = getattr(train, LSTM_INPUTS[name])
    blocks = LSTM_INPUTS[name] == "clip_quality"
    model = lstm_head.build_lstm_head(
        num_groups=inputs.shape[1],
        input_dim=inputs.shape[2],
        # Clip qualities are on the known scale of 1-5; features are scaled as the training part is.
        input_offset=3.0 if blocks else float(inputs.mean()),
        input_scale=1.0 if blocks else float(inputs.std()) or 1.0,
        lstm_units=lstm_units,
        fc_dim=fc_dim,
    )
    lstm_head.start_as_average(
        model, equal_blocks=blocks, forget_bias=forget_bias, input_bias=input_bias, seed=settings["seed"]
    )
    return continue_lstm(run_dir, name, model, train, val, **settings)


def continue_lstm(run_dir, name, model, train, val, *, clip_noise, **settings):
    """Like `fit_lstm`, from the weights that `model` has: fine-tuning.

    Args:
        run_dir, name, train, val: as in `fit_lstm`.
        model: a keras.Model of `lstm_head.build_lstm_head`; trained in place.
        clip_noise: of `lstm_head.vary_clips`, where the head reads clip qualities.
        settings: epochs, patience, batch_size, learning_rate, seed, as in `lstm_head.fit_lstm_head`.
    """
    field = LSTM_INPUTS[name]
    history = lstm_head.fit_lstm_head(
        model,
        (getattr(train, field), train.quality),
        (getattr(val, field), val.quality),
        augment=functools.partial(lstm_head.vary_clips, noise=clip_noise) if field == "clip_quality" else None,
        **settings,
    )
    run = RunFolder(run_dir)
    with files.replacing(run.head(name)) as beside:
        model.save(beside)
    training.write_history(run.head_history(name), history)
    return _lstm(model, field)


def fit_svr(run_dir, train, *, seed, **search):
    """Fit the SVR on the videos' mean features and save it in the run.

    Args:
        run_dir: the run folder.
        train: features.HeadInputs.
        seed, search: as in `svr_baseline.fit_svr`; `search` has num_folds, c_grid, gamma_grid and epsilon_grid.

    Returns:
        the fitted head.
    """
    pipeline = svr_baseline.fit_svr(train.mean_features, train.quality, contents=train.content, seed=seed, **search)
    svr_baseline.save_svr(RunFolder(run_dir).head("svr"), pipeline)
    return _svr(pipeline)


def refit_svr(run_dir, train):
    """The settings of the run's SVR fitted on other videos, and not saved: a head that has not seen val.

    Args:
        run_dir: a run with a saved SVR.
        train: features.HeadInputs.
    """
    import sklearn.base

    pipeline = svr_baseline.load_svr(RunFolder(run_dir).head("svr"))  # just written, its checksum is not recorded yet
    return _svr(sklearn.base.clone(pipeline).fit(train.mean_features, train.quality))


def load(run_dir, name):
    """A fitted head of a run.

    Raises:
        FileNotFoundError: there is none.
        ValueError: its fit has not ended, its file is damaged or not ours, or it was fitted on another 3D-CNN.
    """
    if name == "mean":
        return mean
    if name == "svr":
        return _svr(load_svr(run_dir))
    return _lstm(load_lstm(run_dir, name), LSTM_INPUTS[name])


def load_svr(run_dir):
    """The run's SVR baseline as a scikit-learn pipeline, checked and loaded without pickle."""
    run = RunFolder(run_dir)
    run.check_head("svr")
    return svr_baseline.load_svr(run.head("svr"))


def load_lstm(run_dir, name):
    """The keras.Model of an LSTM head, checked."""
    run = RunFolder(run_dir)
    run.check_head(name)
    return bundle.load_model(run.head(name), made_by=STAGES[stage_of(name)].target)


def score_rows(head, videos, *, name, repeat):
    """Rows of scores.csv, scores in each video's own unit."""
    return [
        {
            "repeat": repeat,
            "head": name,
            "video_id": videos.video_id[i],
            "content": videos.content[i],
            "mos": float(videos.mos[i]),
            "score": float(manifest.from_unit_5(float(quality), videos.mos_low[i], videos.mos_high[i])),
        }
        for i, quality in enumerate(head(videos))
    ]


def _lstm(model, field):
    return lambda videos: lstm_head.predict(model, getattr(videos, field))


def _svr(pipeline):
    return lambda videos: pipeline.predict(videos.mean_features)
