"""Several processes, on one machine or on several, that train one network: Keras on JAX. docs/scale.md."""

import contextlib
import os

import numpy as np

COUNT = "KERAS_DISTRIBUTION_NUM_PROCESSES"  # Keras' own


def join():
    """Become one of several processes that train one network, on one machine or on several: docs/scale.md.

    Where the environment names them as Keras wants it: KERAS_DISTRIBUTION_JOB_ADDRESSES, _NUM_PROCESSES and
    _PROCESS_ID. Before the first operation.

    Raises:
        ValueError: Keras is not on JAX.
    """
    if COUNT not in os.environ:
        return
    import keras

    if keras.backend.backend() != "jax":
        raise ValueError("One network is trained in several processes on JAX only. Set KERAS_BACKEND=jax.")
    keras.distribution.initialize()


def this():
    """(number of this process, how many train together)."""
    import keras

    if keras.backend.backend() != "jax":
        return 0, 1
    import jax

    return jax.process_index(), jax.process_count()


def is_first():
    """Whether this process writes the run."""
    return this()[0] == 0


def first_then_others(function):
    """Call `function` in the first process, then in the others, which find what it wrote; the result.

    Raises:
        ValueError, OSError: what `function` raised here, or that it could not be done in another process.
    """
    if this()[1] == 1:
        return function()
    result = error = None
    for turn in (is_first(), not is_first()):
        if turn:
            try:
                result = function()
            except (ValueError, OSError) as refusal:
                error = refusal
        if all_gather(np.array(error is not None)).any():
            raise error or ValueError("Another of the processes that train together cannot begin: see what it says.")
    return result


@contextlib.contextmanager
def without_others():
    """Weights that Keras makes within are this process's own: with several on JAX it would wait for the others."""
    import keras

    together = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(together)


def all_gather(values):
    """One array of each process, in their order along a new first axis; waits for all of them."""
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(values)
