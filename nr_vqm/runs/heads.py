"""Fit and load the heads of a run. `head_table` lists them; heads without a network are in `shallow_heads`."""

import functools
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from nr_vqm.common import atomic_files
from nr_vqm.models import head_table, lstm_head
from nr_vqm.runs import history_file, model_check, shallow_heads
from nr_vqm.runs.features import LabelledVideos
from nr_vqm.runs.fitted_head import Head
from nr_vqm.runs.run_folder import RunFolder


def fit(
    run_dir: str | os.PathLike[str], name: str, train: LabelledVideos, val: LabelledVideos, **settings: Any
) -> tuple[Head, np.ndarray]:
    """Fit a head and save it in the run.

    Args:
        run_dir: the run folder.
        name: a head of `head_table`.
        train: the training videos.
        val: the validation videos; those of an LSTM head choose its epoch.
        settings: of the head's method, as in `Preset.heads`; see `_fit_lstm` and `shallow_heads`.

    Returns:
        The head, and the outputs for `val` of a head that was not fitted on `val`, float (num_videos,).
    """
    row = head_table.get(name)
    return FIT[row.method](RunFolder(run_dir), row, train, val, **settings)


def load(run_dir: str | os.PathLike[str], name: str) -> Head:
    """Load a fitted head of a run.

    Args:
        run_dir: a folder with one 3D-CNN.
        name: a head of `head_table`.

    Raises:
        FileNotFoundError: the head is not fitted yet.
        ValueError: its fit is not complete, its file is damaged or was not written by nr-vqm, it was fitted on another
            3D-CNN, or the head is unknown.
    """
    row, run = head_table.get(name), RunFolder(run_dir)
    run.check_head(name)
    return LOAD[row.method](run, row)


def load_lstm(run_dir: str | os.PathLike[str], name: str) -> keras.Model:
    """Load the network of an LSTM head; arguments and errors as in `load`."""
    run = RunFolder(run_dir)
    run.check_head(name)
    return model_check.load_model(run.head(name), made_by=head_table.get(name).made_by)


def continue_lstm(
    run_dir: str | os.PathLike[str],
    name: str,
    model: keras.Model,
    train: LabelledVideos,
    val: LabelledVideos,
    *,
    clip_noise: float,
    **settings: Any,
) -> tuple[Head, np.ndarray]:
    """Train an LSTM head from its current weights, as fine-tuning does, and save it in the run.

    Args:
        run_dir, name, train, val: as in `fit`.
        model: a network of `lstm_head.build_lstm_head`; trained in place.
        clip_noise: standard deviation of the noise on clip qualities, see `lstm_head.augment_clips`.
        settings: epochs, patience, batch_size, learning_rate, seed, as in `lstm_head.fit_lstm_head`.

    Returns:
        As `fit`.
    """
    row = head_table.get(name)
    history = lstm_head.fit_lstm_head(
        model,
        (getattr(train, row.input), train.quality),
        (getattr(val, row.input), val.quality),
        augment=functools.partial(lstm_head.augment_clips, noise=clip_noise) if row.input == "clip_quality" else None,
        **settings,
    )
    run = RunFolder(run_dir)
    with atomic_files.replace_when_complete(run.head(name)) as temporary:
        model.save(temporary)
    history_file.write(run.head_history(name), history)
    head = of_lstm(row, model)
    return head, head.outputs(val)


def _fit_lstm(
    run: RunFolder,
    row: head_table.HeadRow,
    train: LabelledVideos,
    val: LabelledVideos,
    *,
    lstm_units: int,
    fc_dim: int,
    forget_bias: float,
    input_bias: float,
    **settings: Any,
) -> tuple[Head, np.ndarray]:
    """Train an LSTM head from new weights.

    Args:
        lstm_units, fc_dim: sizes, as in `lstm_head.build_lstm_head`.
        forget_bias, input_bias: as in `lstm_head.initialise_as_average`.
        settings: as in `continue_lstm`.
    """
    inputs = getattr(train, row.input)
    blocks = row.input == "clip_quality"
    model = lstm_head.build_lstm_head(
        num_groups=inputs.shape[1],
        input_dim=inputs.shape[2],
        # Clip qualities are on the known scale of 1-5; features are scaled by their statistics in the training part.
        input_offset=3.0 if blocks else float(inputs.mean()),
        input_scale=1.0 if blocks else float(inputs.std()) or 1.0,
        lstm_units=lstm_units,
        fc_dim=fc_dim,
    )
    lstm_head.initialise_as_average(
        model, equal_blocks=blocks, forget_bias=forget_bias, input_bias=input_bias, seed=settings["seed"]
    )
    return continue_lstm(run, row.name, model, train, val, **settings)


def _load_lstm(run: RunFolder, row: head_table.HeadRow) -> Head:
    return of_lstm(row, load_lstm(run, row.name))


def of_lstm(row: head_table.HeadRow, model: keras.Model) -> Head:
    """Return the head with this network."""
    return Head(row, lambda inputs: lstm_head.predict(model, inputs))


FIT: dict[str, Callable[..., tuple[Head, np.ndarray]]] = {"lstm": _fit_lstm, **shallow_heads.FIT}
LOAD: dict[str, Callable[[RunFolder, head_table.HeadRow], Head]] = {"lstm": _load_lstm, **shallow_heads.LOAD}
