"""Bicubic resizing as MATLAB's imresize does it.

Source: R. G. Keys, "Cubic convolution interpolation for digital image processing" (IEEE Transactions on Acoustics,
Speech, and Signal Processing, 1981); antialiasing and borders as in MATLAB.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

ROWS = 16  # of the output, computed at a time


class _Weights(NamedTuple):
    """Interpolation weights of one axis.

    Attributes:
        taps: int (num_taps, n_out), numbers of the input samples.
        values: float64 (num_taps, n_out), their weights.
        n_in: number of input samples.
        matrices: for each ROWS output samples the number of the first input sample that they read, and their weights
            of it and of those after it, float64 (output samples, input samples).
    """

    taps: np.ndarray
    values: np.ndarray
    n_in: int
    matrices: list[tuple[int, np.ndarray]]


def resize(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize to a given size by bicubic interpolation, as MATLAB's imresize(x, [height width]).

    Args:
        x: real or complex, shape (rows, columns, ...).
        height: rows of the result. An axis that shrinks is anti-aliased.
        width: columns of the result.

    Returns:
        float64 or complex128, shape (height, width, ...); neither rounded nor clipped.
    """
    rows, columns = x.shape[:2]
    return _resize(x, _resize_weights(rows, height, height / rows), _resize_weights(columns, width, width / columns))


def halve(x: np.ndarray, *, in_order: bool = False) -> np.ndarray:
    """Halve a map by the kernel of `resize`, as MATLAB's imresize(x, 0.5): odd sizes round up, the scale stays 0.5.

    Args:
        x: real or complex, shape (rows, columns, ...).
        in_order: round as MATLAB does, by adding the samples in ascending order: TLVQM's motion search compares sums
            that are equal but for their rounding.

    Returns:
        float64 or complex128, shape (ceil(rows/2), ceil(columns/2), ...).
    """
    return _rescale(x, 0.5, in_order=in_order)


def rescale(x: np.ndarray, scale: float) -> np.ndarray:
    """Resize by a factor, by the kernel of `resize`, as MATLAB's imresize(x, scale): the factor holds on both axes.

    Args:
        x: real or complex, shape (rows, columns, ...).
        scale: above 0.

    Returns:
        float64 or complex128, shape (ceil(scale rows), ceil(scale columns), ...).
    """
    return _rescale(x, scale)


def _rescale(x: np.ndarray, scale: float, *, in_order: bool = False) -> np.ndarray:
    rows, columns = (_resize_weights(size, math.ceil(scale * size), scale) for size in x.shape[:2])
    return _resize(x, rows, columns, in_order=in_order)


def _resize(x: np.ndarray, rows: _Weights, columns: _Weights, *, in_order: bool = False) -> np.ndarray:
    """Apply the weights of both axes, in the order that keeps the intermediate array small."""
    apply = _apply_in_order if in_order else _apply
    x = np.asarray(x, np.complex128 if np.iscomplexobj(x) else np.float64)
    if rows.taps.shape[1] < rows.n_in:
        return np.swapaxes(apply(columns, np.swapaxes(apply(rows, x), 0, 1)), 0, 1)
    return apply(rows, np.swapaxes(apply(columns, np.swapaxes(x, 0, 1)), 0, 1))


def _apply(weights: _Weights, x: np.ndarray) -> np.ndarray:
    """Interpolate along the first axis of x, viewing complex values as pairs of real columns.

    Parts of the output are products of small dense matrices with the samples that they read.
    """
    samples = np.ascontiguousarray(x).reshape(len(x), -1).view(np.float64)
    out = np.empty((weights.taps.shape[1], samples.shape[1]))
    for number, (first, matrix) in enumerate(weights.matrices):
        part = out[number * ROWS : (number + 1) * ROWS]
        np.matmul(matrix, samples[first : first + matrix.shape[1]], out=part)
    return out.view(x.dtype).reshape(-1, *x.shape[1:])


def _apply_in_order(weights: _Weights, x: np.ndarray) -> np.ndarray:
    """As `_apply`, but slower: the samples are multiplied and added one by one, in ascending order."""
    samples = np.ascontiguousarray(x).reshape(len(x), -1).view(np.float64)
    out = np.zeros((weights.taps.shape[1], samples.shape[1]))
    for taps, values in zip(weights.taps, weights.values, strict=True):
        out += values[:, None] * samples[taps]
    return out.view(x.dtype).reshape(-1, *x.shape[1:])


@functools.lru_cache(maxsize=64)
def _resize_weights(n_in: int, n_out: int, scale: float) -> _Weights:
    """Return the interpolation weights of one axis, without taps that are 0 for every output sample."""
    antialias = min(scale, 1)
    width = 4 / antialias
    centres = np.arange(1, n_out + 1) / scale + (1 - 1 / scale) / 2
    taps = np.floor(centres - width / 2) + np.arange(int(np.ceil(width)) + 2)[:, None]
    values = _cubic(antialias * (centres - taps))
    values /= values.sum(axis=0)
    mirrored = (taps.astype(int) - 1) % (2 * n_in)  # zero-based; the edge pixel is repeated
    mirrored = np.minimum(mirrored, 2 * n_in - 1 - mirrored)
    used = values.any(axis=1)
    taps, values = mirrored[used], values[used]
    parts = (slice(start, start + ROWS) for start in range(0, n_out, ROWS))
    return _Weights(taps, values, n_in, [_matrix(taps[:, part], values[:, part]) for part in parts])


def _matrix(taps: np.ndarray, values: np.ndarray) -> tuple[int, np.ndarray]:
    """Return an entry of `_Weights.matrices`; taps and weights of its output samples as of `_Weights`."""
    first = int(taps.min())
    matrix = np.zeros((taps.shape[1], int(taps.max()) + 1 - first))
    np.add.at(matrix, (np.arange(taps.shape[1]), taps - first), values)
    return first, matrix


def _cubic(x: np.ndarray) -> np.ndarray:
    """Evaluate Keys' cubic convolution kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0))
