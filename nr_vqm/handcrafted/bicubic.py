"""Bicubic resizing as MATLAB's imresize does it.

Source: R. G. Keys, "Cubic convolution interpolation for digital image processing" (IEEE Transactions on Acoustics,
Speech, and Signal Processing, 1981); antialiasing and borders as in MATLAB.
"""

import functools
import math
from typing import NamedTuple

import cv2
import numpy as np

CHUNK = 2**15  # output samples computed at a time, so that they stay in the cache


class _Weights(NamedTuple):
    """Interpolation weights of one axis.

    Attributes:
        taps: int (num_taps, n_out), numbers of the input samples.
        values: float64 (num_taps, n_out), their weights.
        n_in: number of input samples.
    """

    taps: np.ndarray
    values: np.ndarray
    n_in: int


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
    factor = height // rows
    if x.ndim == 2 and factor > 1 and (height, width) == (factor * rows, factor * columns):
        return _enlarge(x, factor)
    return _resize(x, _resize_weights(rows, height, height / rows), _resize_weights(columns, width, width / columns))


def halve(x: np.ndarray) -> np.ndarray:
    """Halve a map by the kernel of `resize`, as MATLAB's imresize(x, 0.5): odd sizes round up, the scale stays 0.5.

    Args:
        x: real or complex, shape (rows, columns, ...).

    Returns:
        float64 or complex128, shape (ceil(rows/2), ceil(columns/2), ...).
    """
    return rescale(x, 0.5)


def rescale(x: np.ndarray, scale: float) -> np.ndarray:
    """Resize by a factor, by the kernel of `resize`, as MATLAB's imresize(x, scale): the factor holds on both axes.

    Args:
        x: real or complex, shape (rows, columns, ...).
        scale: above 0.

    Returns:
        float64 or complex128, shape (ceil(scale rows), ceil(scale columns), ...).
    """
    return _resize(x, *(_resize_weights(size, math.ceil(scale * size), scale) for size in x.shape[:2]))


def _enlarge(x: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge by a whole factor, in half the time of `_resize`: every output position has one of `factor` kernels."""
    x = np.ascontiguousarray(x, np.complex128 if np.iscomplexobj(x) else np.float64)
    rows, columns = x.shape
    parts = x.view(np.float64).reshape(rows, columns, -1)
    kernels = _cubic((np.arange(factor)[:, None] + 0.5) / factor - 0.5 - np.arange(-2, 3))
    kernels /= kernels.sum(axis=1, keepdims=True)
    out = np.empty((rows, factor, columns, factor, parts.shape[2]))
    for row, column in np.ndindex(factor, factor):
        # BORDER_REFLECT repeats the edge pixel.
        part = cv2.sepFilter2D(parts, -1, kernels[column], kernels[row], borderType=cv2.BORDER_REFLECT)
        out[:, row, :, column] = part.reshape(parts.shape)
    return out.reshape(factor * rows, -1).view(x.dtype)


def _resize(x: np.ndarray, rows: _Weights, columns: _Weights) -> np.ndarray:
    """Apply the weights of both axes, in the order that keeps the intermediate array small."""
    x = np.asarray(x, np.complex128 if np.iscomplexobj(x) else np.float64)
    if rows.taps.shape[1] < rows.n_in:
        return np.swapaxes(_apply(columns, np.swapaxes(_apply(rows, x), 0, 1)), 0, 1)
    return _apply(rows, np.swapaxes(_apply(columns, np.swapaxes(x, 0, 1)), 0, 1))


def _apply(weights: _Weights, x: np.ndarray) -> np.ndarray:
    """Interpolate along the first axis of x, viewing complex values as pairs of real columns.

    Samples are added in ascending order: VIDEVAL's motion search compares sums that are equal but for their rounding.
    """
    samples = np.ascontiguousarray(x).reshape(len(x), -1).view(np.float64)
    out = np.zeros((weights.taps.shape[1], samples.shape[1]))
    step = max(1, CHUNK // samples.shape[1])
    part = np.empty((step, samples.shape[1]))
    for start in range(0, len(out), step):
        chunk = out[start : start + step]
        for taps, values in zip(weights.taps[:, start : start + step], weights.values, strict=True):
            product = np.take(samples, taps, axis=0, out=part[: len(chunk)], mode="clip")
            product *= values[start : start + step, None]
            chunk += product
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
    return _Weights(mirrored[used], values[used], n_in)


def _cubic(x: np.ndarray) -> np.ndarray:
    """Evaluate Keys' cubic convolution kernel with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0))
