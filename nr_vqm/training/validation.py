"""Validation of the 3D-CNN after an epoch of training, and the line that reports the epoch."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from nr_vqm.common import jax_processes
from nr_vqm.dataset import clip_batches
from nr_vqm.dataset.batches import as_dataset
from nr_vqm.evaluation import metrics


def validate(model: keras.Model, val: clip_batches.ClipBatches, *, workers: int) -> dict[str, float | None]:
    """Compute the error and the correlations of the 3D-CNN on the validation clips.

    Args:
        model: the 3D-CNN.
        val: validation clips, without a shuffle_seed; the padding of the last batch is ignored.
        workers: number of threads that read clips.

    Returns:
        'val_mse'; 'val_srocc_clips' and 'val_plcc_clips' over the clips; 'val_srocc_videos' and 'val_plcc_videos' over
        the videos, each the mean of its clips. Correlations are None where undefined.
    """
    batches = as_dataset(val, workers=workers)
    quality = val.quality[val.rows].astype(np.float64)
    try:
        predicted = _predict(model, batches)[: len(quality), 0].astype(np.float64)
    except Exception as error:
        if val.error is None:
            raise
        raise val.error from error
    _, video = np.unique(val.table.video[val.rows], return_inverse=True)
    by_video = [np.bincount(video, values) / np.bincount(video) for values in (quality, predicted)]
    row: dict[str, float | None] = {"val_mse": float(np.mean((predicted - quality) ** 2))}
    for name, (mos, scores) in (("clips", (quality, predicted)), ("videos", by_video)):
        found = metrics.correlations(mos=mos, scores=scores)
        row |= {f"val_{figure}_{name}": found[figure] for figure in ("srocc", "plcc")}
    return row


def _predict(model: keras.Model, batches: Any) -> np.ndarray:
    """Predict all batches of a tf.data.Dataset, float32 (num_clips, 1); several processes compute a part each."""
    if jax_processes.this()[1] == 1:
        return model.predict(batches, verbose=0)
    # Keras' predict cannot return an array with parts in other processes. Every device has all weights.
    weights = [
        [one.value.addressable_data(0) for one in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]
    predict = _compiled(model)
    parts = [np.asarray(predict(weights, clips)) for clips, _, _ in batches.as_numpy_iterator()]
    together = jax_processes.all_gather(np.stack(parts))  # process, batch, row
    return np.concatenate(np.moveaxis(together, 0, 1).reshape(len(parts), -1, 1))


@functools.lru_cache(maxsize=1)
def _compiled(model: keras.Model) -> Callable:
    """Compile the model for JAX as a function (weights, clips) -> quality, once and not in every epoch."""
    import jax

    return jax.jit(lambda weights, clips: model.stateless_call(*weights, clips, training=False)[0])


def epoch_line(row: dict, *, epochs: int, seconds_left: float) -> str:
    """Format the figures of one epoch as a line of text.

    Args:
        row: a row of the history that `cnn3d_training.fit_cnn3d` returns.
        epochs: maximum number of epochs.
        seconds_left: estimated time to the end of the training.
    """

    def value(name: str) -> str:
        return "  -  " if row[name] is None else f"{row[name]:.3f}"

    minutes = round(seconds_left / 60)
    return (
        f"epoch {row['epoch']} of {epochs}: mse {row['mse']:.3f}, val {row['val_mse']:.3f}, "
        f"val SROCC/PLCC of clips {value('val_srocc_clips')}/{value('val_plcc_clips')}, "
        f"of videos {value('val_srocc_videos')}/{value('val_plcc_videos')}, "
        f"{row['clips_per_second']:,.0f} clips/s, {minutes // 60} h {minutes % 60:02d} min left"
    )
