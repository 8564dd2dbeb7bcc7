"""Initial weights of the 3D-CNN: the untrained network measures the strength of each pattern of detail.

With Keras' default weights the network learns nothing for thousands of steps: brightness, which says little
about quality, is a hundred times stronger than the noise and edges that matter, and these fade from layer to
layer. Decision 0004 has the measurements.
"""

import keras
import numpy as np


def initialise(cnn3d: keras.Model, clips: np.ndarray, *, roughness: float, seed: int) -> None:
    """Set the weights of an untrained 3D-CNN in place.

    The first filters are the patterns of the 3 x 3 cosine transform except its mean, on the luma of the middle frame,
    each with both signs: they respond to detail, not to brightness. The other convolutions average over time and space
    and mix the channels at random, so the strengths of the patterns reach the last layer. Every layer is scaled so
    that its outputs for `clips` have unit variance before the ReLU (layer-sequential unit variance, Mishkin & Matas,
    ICLR 2016). The weights of the output layer are zero: the first prediction is the middle of the scale.

    Args:
        cnn3d: of `cnn3d.build_cnn3d`.
        clips: some training clips, uint8 (num_clips, frames, rows, columns, 3).
        roughness: share of independent weights in the averaging layers, 0-1; decision 0004.
        seed: seed of the random weights.
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
            outputs = keras.ops.cast(layer(x, training=False), "float32")
            # A ReLU keeps half of a symmetric signal, so the mean square after it is half the variance before it.
            strength = float(keras.ops.sqrt(2 * keras.ops.mean(keras.ops.square(outputs))))
            layer.kernel.assign(kernel / max(strength, 1e-6))
        x = layer(x, training=False)


def _kernel(layer: keras.Layer, rng: np.random.Generator, roughness: float) -> np.ndarray:
    shape = layer.kernel.shape
    if layer.name == "conv1a":
        return _patterns(shape, rng)
    kernel = rng.normal(size=shape)
    if len(shape) == 5:  # a convolution
        mixing = rng.normal(size=(1, 1, 1, *shape[3:]))
        kernel = np.sqrt(1 - roughness**2) * mixing + roughness * kernel
    return kernel.astype(np.float32)


def _patterns(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Return filters with zero-mean cosine patterns on their middle frame, alternating in sign."""
    frames, rows, columns, colours, filters = shape
    kernel = np.zeros(shape, np.float32)
    frequencies = [(i, j) for i in range(rows) for j in range(columns) if i + j]
    for number in range(filters):
        i, j = frequencies[number // 2 % len(frequencies)]
        pattern = np.outer(_cosine(rows, i), _cosine(columns, j)) * (-1) ** number
        kernel[frames // 2, :, :, :, number] = pattern[..., None] / colours
    return kernel + rng.normal(0, 0.02, shape).astype(np.float32)


def _cosine(length: int, frequency: int) -> np.ndarray:
    """Return one row of the orthogonal cosine transform (DCT-II)."""
    wave = np.cos(np.pi * (np.arange(length) + 0.5) * frequency / length)
    return wave / np.linalg.norm(wave)
