"""The heads of a run: fitted, loaded and applied. `head_table` lists them."""

import dataclasses
import functools
import os
from collections.abc import Callable

import numpy as np

from nr_vqm.common import atomic_files
from nr_vqm.dataset import mos_scale
from nr_vqm.models import head_table, lstm_head, svr_head
from nr_vqm.runs import history_file, model_check
from nr_vqm.runs.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Head:
    """A head that is ready to score.

    Attributes:
        row: its row of the table.
        predict: the row's input, float32 (num_videos, ...) -> qualities, float (num_videos,), on 1-5 and not clipped.
    """

    row: head_table.HeadRow
    predict: Callable[[np.ndarray], np.ndarray]

    def outputs(self, videos):
        """The qualities of features.HeadInputs, float (num_videos,), on 1-5 and not clipped."""
        return self.predict(getattr(videos, self.row.input))


def fit(run_dir, name, train, val, **settings):
    """Fit a head and save it in the run.

    Args:
        run_dir: the run folder.
        name: a head of the table.
        train, val: features.HeadInputs; an LSTM is fitted on `train`, and `val` chooses its epoch.
        settings: of the head's method: `_fit_lstm`, `_fit_svr`, `_fit_mean`.

    Returns:
        (Head, outputs for `val`): the outputs are those of a head that was not fitted on `val`.
    """
    row = head_table.get(name)
    return FIT[row.method](RunFolder(run_dir), row, train, val, **settings)


def load(run_dir, name):
    """A fitted head of a run.

    Args:
        run_dir: a folder with one 3D-CNN.
        name: a head of the table.

    Returns:
        Head.

    Raises:
        FileNotFoundError: it was not fitted yet.
        ValueError: its fit has not ended, its file is damaged or not ours, or it was fitted on another 3D-CNN; or an
            unknown head.
    """
    row, run = head_table.get(name), RunFolder(run_dir)
    run.check_head(name)
    return LOAD[row.method](run, row)


def load_lstm(run_dir, name):
    """The keras.Model of an LSTM head, checked as in `load`."""
    run = RunFolder(run_dir)
    run.check_head(name)
    return model_check.load_model(run.head(name), made_by=head_table.get(name).made_by)


def continue_lstm(run_dir, name, model, train, val, *, clip_noise, **settings):
    """Fit an LSTM head from the weights that it has and save it in the run: fine-tuning.

    Args:
        run_dir, name, train, val: as in `fit`.
        model: keras.Model of `lstm_head.build_lstm_head`; trained in place.
        clip_noise: of `lstm_head.vary_clips`, where the head reads clip qualities.
        settings: epochs, patience, batch_size, learning_rate, seed, as in `lstm_head.fit_lstm_head`.

    Returns:
        as `fit`.
    """
    row = head_table.get(name)
    history = lstm_head.fit_lstm_head(
        model,
        (getattr(train, row.input), train.quality),
        (getattr(val, row.input), val.quality),
        augment=functools.partial(lstm_head.vary_clips, noise=clip_noise) if row.input == "clip_quality" else None,
        **settings,
    )
    run = RunFolder(run_dir)
    with atomic_files.replacing(run.head(name)) as beside:
        model.save(beside)
    history_file.write(run.head_history(name), history)
    head = _lstm(row, model)
    return head, head.outputs(val)


def score_rows(head, videos, *, repeat):
    """Rows of scores.csv, scores in each video's own unit.

    Args:
        head: Head.
        videos: features.HeadInputs.
        repeat: the number of the repeat.
    """
    scores = mos_scale.to_score(head.outputs(videos), videos.mos_low, videos.mos_high)
    return [
        {
            "repeat": repeat,
            "head": head.row.name,
            "video_id": videos.video_id[i],
            "content": videos.content[i],
            "mos": float(videos.mos[i]),
            "score": float(score),
        }
        for i, score in enumerate(scores)
    ]


def _fit_lstm(run, row, train, val, *, lstm_units, fc_dim, forget_bias, input_bias, **settings):
    """From new weights.

    Settings: `lstm_units` and `fc_dim` of `lstm_head.build_lstm_head`, `forget_bias` and `input_bias` of
    `lstm_head.start_as_average`, the others of `continue_lstm`.
    """
    inputs = getattr(train, row.input)
    blocks = row.input == "clip_quality"
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
    return continue_lstm(run, row.name, model, train, val, **settings)


def _load_lstm(run, row):
    return _lstm(row, load_lstm(run, row.name))


def _lstm(row, model):
    return Head(row, lambda inputs: lstm_head.predict(model, inputs))


def _fit_svr(run, row, train, val, *, fit_on, seed, **search):
    """`fit_on`: 'train', or 'train+val' for a head of more videos; `seed` and `search` of `svr_head.fit_svr`."""
    parts = [train] if fit_on == "train" else [train, val]
    features, quality, content = (
        np.concatenate([getattr(part, name) for part in parts]) for name in (row.input, "quality", "content")
    )
    options = search | {"seed": seed, "num_jobs": os.cpu_count()}
    pipeline = svr_head.fit_svr(features, quality, contents=content, **options)
    svr_head.save_svr(run.head(row.name), pipeline)
    held_out = pipeline if fit_on == "train" else _refit(pipeline, getattr(train, row.input), train.quality)
    return _svr(row, pipeline), held_out.predict(getattr(val, row.input))


def _refit(pipeline, features, quality):
    """The pipeline's settings fitted on other videos."""
    import sklearn.base

    return sklearn.base.clone(pipeline).fit(features, quality)


def _load_svr(run, row):
    return _svr(row, svr_head.load_svr(run.head(row.name)))


def _svr(row, pipeline):
    return Head(row, pipeline.predict)


def _fit_mean(run, row, train, val):
    """The control: there is nothing to fit."""
    head = _load_mean(run, row)
    return head, head.outputs(val)


def _load_mean(run, row):
    return Head(row, lambda clip_quality: clip_quality.mean(axis=(1, 2)))


FIT = {"lstm": _fit_lstm, "svr": _fit_svr, "mean": _fit_mean}
LOAD = {"lstm": _load_lstm, "svr": _load_svr, "mean": _load_mean}
