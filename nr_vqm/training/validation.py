"""What is seen of a training: its validation after every epoch, in a line."""

import functools

import numpy as np

from nr_vqm.common import jax_processes
from nr_vqm.dataset import clip_batches
from nr_vqm.evaluation import metrics


def validate(model, val, *, workers):
    """The error on the validation clips, and how well clips and videos (the mean over their clips) are ordered.

    Args:
        model: the 3D-CNN.
        val: clip_batches.ClipBatches without shuffle_seed; the rows that fill up its last batch count for nothing.
        workers: threads that read.

    Returns:
        dict: val_mse; val_srocc_clips, val_plcc_clips, val_srocc_videos, val_plcc_videos, None where undefined.
    """
    batches = clip_batches.as_dataset(val, workers=workers)
    quality = val.quality[val.rows].astype(np.float64)
    try:
        answers = _answers(model, batches)[: len(quality), 0].astype(np.float64)
    except Exception as error:
        if val.error is None:
            raise
        raise val.error from error
    _, video = np.unique(val.table.video[val.rows], return_inverse=True)
    by_video = [np.bincount(video, values) / np.bincount(video) for values in (quality, answers)]
    row = {"val_mse": float(np.mean((answers - quality) ** 2))}
    for name, pair in (("clips", (quality, answers)), ("videos", by_video)):
        found = metrics.correlations(mos=pair[0], scores=pair[1])
        row |= {f"val_{figure}_{name}": found[figure] for figure in ("srocc", "plcc")}
    return row


def _answers(model, batches):
    """The model's answers to all batches, float32 (num_clips, 1); of several processes each computes its part."""
    if jax_processes.this()[1] == 1:
        return model.predict(batches, verbose=0)
    # Keras' predict cannot give an array of which a part is elsewhere. The weights are whole on every device.
    weights = [
        [one.value.addressable_data(0) for one in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]
    infer = _infer(model)
    parts = [np.asarray(infer(weights, clips)) for clips, _, _ in batches.as_numpy_iterator()]
    together = jax_processes.all_gather(np.stack(parts))  # process, batch, row
    return np.concatenate(np.moveaxis(together, 0, 1).reshape(len(parts), -1, 1))


@functools.lru_cache(maxsize=1)
def _infer(model):
    """The model as a function (weights, clips) -> answers, compiled once and not in every epoch; on JAX."""
    import jax

    return jax.jit(lambda weights, clips: model.stateless_call(*weights, clips, training=False)[0])


def epoch_line(row, *, epochs, seconds_left):
    """What a person wants to see of an epoch, in one line."""

    def value(name):
        return "  -  " if row[name] is None else f"{row[name]:.3f}"

    minutes = round(seconds_left / 60)
    return (
        f"epoch {row['epoch']} of {epochs}: mse {row['mse']:.3f}, val {row['val_mse']:.3f}, "
        f"val SROCC/PLCC of clips {value('val_srocc_clips')}/{value('val_plcc_clips')}, "
        f"of videos {value('val_srocc_videos')}/{value('val_plcc_videos')}, "
        f"{row['clips_per_second']:,.0f} clips/s, {minutes // 60} h {minutes % 60:02d} min left"
    )
