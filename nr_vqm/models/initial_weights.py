"""Weights to start training from: the network begins as a measure of how strong each kind of detail is.

With Keras' default weights the network learns nothing for thousands of steps: brightness, which says little
about quality, is a hundred times stronger than the noise and the edges that do, and what is left of them fades
from layer to layer. Decision 0004 has the measured figures.
"""

import keras
import numpy as np


def prepare(cnn3d: keras.Model, clips: np.ndarray, *, roughness: float, seed: int) -> None:
    """Set the weights of an untrained 3D-CNN in place.

    The first filters are the eight patterns of the 3 x 3 cosine transform but its mean, on the luma of the middle
    frame, each with both signs: they answer to detail, not to brightness. The other convolutions average over time
    and place and mix the channels at random, so they carry the strengths of the patterns on. Every layer is scaled
    so that its answers to `clips` have unit variance before the ReLU (layer-sequential unit variance, Mishkin &
    Matas, ICLR 2016). The output layer starts at zero: the first answer is the middle of the scale.

    Args:
        cnn3d: of `cnn3d.build_cnn3d`.
        clips: uint8 (num_clips, frames, rows, columns, 3), some training clips.
        roughness: share of independent weights in the averaging layers, 0-1; decision 0004.
        seed: of the random weights.
    """
    rng = np.random.default_rng(seed)
    x = clips
    for layer in cnn3d.layers[1:]:
        if layer.name == "output":
            layer.kernel.assign(np.zeros(layer.kernel.shape, np.float32))
            return
        if hasattr(layer, "kernel"):
            kernel = _kernel(layer, rng, roughness)
            layer.kernel.assign(kernel)
            answers = keras.ops.cast(layer(x, training=False), "float32")
            # After a ReLU half of a symmetric signal is left, so its mean square is half its variance.
            strength = float(keras.ops.sqrt(2 * keras.ops.mean(keras.ops.square(answers))))
            layer.kernel.assign(kernel / max(strength, 1e-6))
        x = layer(x, training=False)


def _kernel(layer, rng, roughness):
    shape = layer.kernel.shape
    if layer.name == "conv1a":
        return _patterns(shape, rng)
    kernel = rng.normal(size=shape)
    if len(shape) == 5:  # a convolution
        mixing = rng.normal(size=(1, 1, 1, *shape[3:]))
        kernel = np.sqrt(1 - roughness**2) * mixing + roughness * kernel
    return kernel.astype(np.float32)


def _patterns(shape, rng):
    """Zero-mean cosine patterns on the middle frame of the first filters, alternating in sign."""
    frames, rows, columns, colors, filters = shape
    kernel = np.zeros(shape, np.float32)
    waves = [(i, j) for i in range(rows) for j in range(columns) if i + j]
    for number in range(filters):
        i, j = waves[number // 2 % len(waves)]
        pattern = np.outer(_cosine(rows, i), _cosine(columns, j)) * (-1) ** number
        kernel[frames // 2, :, :, :, number] = pattern[..., None] / colors
    return kernel + rng.normal(0, 0.02, shape).astype(np.float32)


def _cosine(length, frequency):
    """One row of the orthogonal cosine transform (DCT-II)."""
    wave = np.cos(np.pi * (np.arange(length) + 0.5) * frequency / length)
    return wave / np.linalg.norm(wave)
