"""The ring buffer of frames that the decoder process and its parent share."""

import mmap

import numpy as np


def map_ring(ring: int, slots: int, shape: tuple[int, ...]) -> np.ndarray:
    """Map the shared memory of the ring buffer.

    Args:
        ring: file descriptor of the memory.
        slots: number of frames in the ring buffer.
        shape: shape of a frame.

    Returns:
        uint8, shape (slots, *shape).
    """
    shape = (slots, *shape)
    return np.frombuffer(mmap.mmap(ring, int(np.prod(shape))), np.uint8).reshape(shape)
