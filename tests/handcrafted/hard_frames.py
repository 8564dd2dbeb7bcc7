"""Frames that a method must survive: finite features, or NaN where it is documented, or one ValueError."""

import numpy as np


def _noise(height, width, low=0, high=256):
    return np.random.default_rng(5).integers(low, high, (height, width), np.uint8)


def texture(height=211, width=230, seed=2):
    """A luma plane with edges, gradients and a little noise, uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = 60 * np.sin(rows / 9.0) * np.cos(columns / 13.0 + seed) + 40 * ((rows // 17 + columns // 23) % 2)
    return np.clip(100 + waves + rng.normal(0, 6, (height, width)), 0, 255).astype(np.uint8)


LUMA = {
    "texture": texture(),
    "black": np.zeros((210, 230), np.uint8),
    "constant": np.full((210, 230), 126, np.uint8),
    "white": np.full((210, 230), 255, np.uint8),
    "16x16": texture(16, 16),
    "1x1": np.full((1, 1), 9, np.uint8),
    "odd sizes": texture(197, 211),
    "very dark": _noise(210, 230, 0, 3),
    "noise": _noise(210, 230),
    "half flat": np.concatenate([np.full((105, 230), 16, np.uint8), texture(105, 230)]),
    "ramp": np.repeat(np.arange(230, dtype=np.uint8)[None], 210, axis=0),
    "checkerboard": (np.indices((210, 230)).sum(0) % 2 * 255).astype(np.uint8),
    "10 bit": texture().astype(np.float32) + np.float32(0.25),
}
