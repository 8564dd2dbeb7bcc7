"""Batches of training data, read ahead by threads into a tf.data.Dataset."""

from typing import Any, Protocol

import numpy as np


class Batches(Protocol):
    """Full batches for training and validation, such as `clip_batches.ClipBatches`.

    Attributes:
        batch_size: clips or videos in a batch, over all replicas.
        part: (index, count) of the processes that share a batch.
        error: the exception that reading a batch has raised; TensorFlow and JAX replace it by their own.
    """

    batch_size: int
    part: tuple[int, int]
    error: Exception | None

    def __len__(self) -> int:
        """Number of batches per epoch."""

    def start_epoch(self, epoch: int) -> None:
        """Arrange the batches as in epoch `epoch`, from 0."""

    def read(self, index: int, part: tuple[int, int]) -> tuple[np.ndarray, ...]:
        """Read batch number `index`, or one part of it, as (index, count)."""

    def signature(self) -> list[tuple[tuple[int, ...], type]]:
        """Return the (shape, type) of each array that `read` returns for this process's part."""

    def names(self, index: int) -> list[str]:
        """Name the clips or videos of batch number `index` for messages."""


def as_dataset(batches: Batches, *, workers: int, first: int = 0) -> Any:
    """Convert batches to a tf.data.Dataset that reads ahead: one pass over the current epoch.

    It uses threads, because reading, decompressing and flipping release Python's lock. Dataset.from_generator would
    allocate the memory of every batch anew, and the autotuning of Keras' own loader delays the end of every epoch by
    half a minute (TensorFlow 2.21).

    Args:
        batches: the batches. An error in reading is kept as `batches.error`, because TensorFlow replaces it.
        workers: number of threads, each of which reads whole batches.
        first: number of the first batch.

    Returns:
        tf.data.Dataset of the arrays of `batches.read`.
    """
    import tensorflow as tf

    shapes, types = zip(*batches.signature(), strict=True)

    def read(index: Any) -> tuple[np.ndarray, ...]:
        try:
            return batches.read(int(index), batches.part)
        except (OSError, ValueError) as error:
            batches.error = error
            raise

    def read_tensors(index: Any) -> tuple[Any, ...]:
        parts = tf.numpy_function(read, [index], types)
        return tuple(tf.ensure_shape(part, shape) for part, shape in zip(parts, shapes, strict=True))

    dataset = tf.data.Dataset.range(first, len(batches)).map(
        read_tensors, num_parallel_calls=workers, deterministic=True
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(2).with_options(options)
