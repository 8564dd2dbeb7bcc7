"""Training of one network by several JAX processes, on one or several machines. See docs/scale.md."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

COUNT = "KERAS_DISTRIBUTION_NUM_PROCESSES"  # environment variable that Keras reads

Result = TypeVar("Result")


def join() -> None:
    """Join the processes that train one network, if the environment defines them.

    Call it before the first operation. Keras reads the environment variables KERAS_DISTRIBUTION_JOB_ADDRESSES,
    KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID; without the second one nothing happens.

    Raises:
        ValueError: the Keras backend is not JAX.
    """
    if COUNT not in os.environ:
        return
    import keras

    if keras.backend.backend() != "jax":
        raise ValueError("Training one network in several processes needs JAX. Set KERAS_BACKEND=jax.")
    keras.distribution.initialize()


def this() -> tuple[int, int]:
    """Return the index of this process, from 0, and the number of processes that train together."""
    import keras

    if keras.backend.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def is_first() -> bool:
    """Return whether this is the first process, which writes the run folder."""
    return this()[0] == 0


def first_then_others(function: Callable[[], Result]) -> Result:
    """Call a function in the first process, then in the others, which can read the files that it wrote.

    Args:
        function: called once in every process.

    Returns:
        the result of the function in this process.

    Raises:
        ValueError, OSError: the function failed in this process.
        ValueError: the function failed in another process.
    """
    if this()[1] == 1:
        return function()
    results: list[Result] = []
    error: ValueError | OSError | None = None
    for turn in (is_first(), not is_first()):
        if turn:
            try:
                results.append(function())
            except (ValueError, OSError) as refusal:
                error = refusal
        if all_gather(np.array(error is not None)).any():
            raise error or ValueError("Another process of this training could not start: see its error message.")
    return results[0]


@contextlib.contextmanager
def without_others() -> Iterator[None]:
    """Create Keras weights for this process alone.

    With a distribution over several processes, Keras would wait for the others to create the same weights.
    """
    import keras

    together = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(together)


def all_gather(values: np.ndarray) -> np.ndarray:
    """Gather an array from every process and wait for all of them.

    Args:
        values: any dtype and shape, the same in every process.

    Returns:
        shape (num_processes, *values.shape), in the order of the processes.
    """
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(values)
