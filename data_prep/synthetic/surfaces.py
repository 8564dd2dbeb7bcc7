"""Painted surfaces with the statistics of camera images: float32 RGB, colours 0-1, highlights above 1.

Numbers without a source: decision 0003.
"""

from collections.abc import Mapping

import cv2
import numpy as np
import scipy.fft

COMMON_HUES = (15, 28, 40, 90, 120, 205, 220)  # degrees: skin, earth, wood, leaves, sky; decision 0003


def power_noise(rng: np.random.Generator, shape: tuple[int, int], *, slope: float, stretch: float = 1.0) -> np.ndarray:
    """Generate periodic noise with the amplitude spectrum 1/f^slope: float32, mean 0, standard deviation 1.

    Natural images have slopes near 1 (Field 1987; 0.8-1.5 in van der Schaaf & van Hateren 1996).

    Args:
        rng: generator of the noise.
        shape: (rows, columns).
        slope: exponent of the amplitude spectrum.
        stretch: above 1 the noise has streaks along the rows, like water or wood.
    """
    rows, columns = shape
    frequency = np.hypot(
        scipy.fft.fftfreq(rows)[:, None] / stretch**0.5, scipy.fft.rfftfreq(columns)[None] * stretch**0.5
    )
    frequency[0, 0] = np.inf
    parts = rng.standard_normal((2, *frequency.shape), dtype=np.float32)
    amplitude = (frequency**-slope).astype(np.float32)
    noise = scipy.fft.irfft2((parts[0] + 1j * parts[1]) * amplitude, s=shape).astype(np.float32)
    return (noise - noise.mean()) / (noise.std() + 1e-9)


def palette(rng: np.random.Generator, count: int, *, spread: float) -> np.ndarray:
    """Draw related colours: float32 RGB (count, 3), 0-1, with hues spread (0-1) around one or two themes."""
    themes = np.where(rng.random(2) < 0.6, rng.choice(COMMON_HUES, 2) + rng.normal(0, 12, 2), rng.uniform(0, 360, 2))
    hue = (rng.choice(themes, count) + rng.normal(0, 70 * spread, count)) % 360
    saturation = np.clip(rng.beta(1.2, 3.5) + rng.normal(0, 0.15, count), 0, 0.95)
    value = np.clip(rng.uniform(0.3, 0.75) + rng.normal(0, 0.2 + 0.2 * spread, count), 0.03, 1)
    hsv = np.stack([hue, saturation, value], axis=-1).astype(np.float32)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]


def ramp(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Generate a linear ramp from 0 to 1 in a random direction, float32."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.ogrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    values = np.cos(angle) * columns + np.sin(angle) * rows
    return ((values - values.min()) / np.ptp(values)).astype(np.float32)


def blend(colors: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Interpolate between two colours (2, 3) with weights (rows, columns): (rows, columns, 3)."""
    return colors[0] + weight[..., None] * (colors[1] - colors[0])


def paint_plain(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Paint a wall, a sheet or a clear sky: two similar colours and very little texture."""
    first = palette(rng, 1, spread=0.1)[0]
    second = np.clip(first * rng.uniform(0.7, 1.3) + rng.normal(0, 0.04, 3), 0, 1)
    grain = power_noise(rng, shape, slope=rng.uniform(0.9, 1.6)) * np.exp(rng.uniform(np.log(0.001), np.log(0.03)))
    return blend(np.array([first, second], np.float32), ramp(shape, rng)) + grain[..., None].astype(np.float32)


def paint_clouds(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Paint clouds, smoke or skin: smooth shapes of two or three tones."""
    colors = palette(rng, 2, spread=0.2)
    bumps = power_noise(rng, shape, slope=rng.uniform(1.5, 1.9), stretch=rng.uniform(1, 4))
    return blend(colors, 1 / (1 + np.exp(-bumps * rng.uniform(0.6, 3)))).astype(np.float32)


def paint_grain(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Paint gravel, grass, hair, fabric, asphalt or bark: dense texture unlike noise."""
    noise = power_noise(rng, shape, slope=rng.uniform(0.8, 1.3), stretch=np.exp(rng.exponential(0.9)))
    variant = rng.choice(4, p=[0.5, 0.25, 0.15, 0.1])
    if variant == 1:
        noise = 1.3 - 1.6 * np.abs(noise)  # ridges
    elif variant == 2:
        noise = np.exp(0.6 * noise) - 1.2  # few bright grains
    elif variant == 3:  # woven: two waves under the grain
        period = rng.uniform(7, 18, 2)
        rows, columns = np.ogrid[0 : shape[0], 0 : shape[1]]
        noise = 0.4 * noise + np.sin(2 * np.pi * rows / period[0]) * np.sin(2 * np.pi * columns / period[1])
    contrast = np.exp(rng.uniform(np.log(0.03), np.log(0.35)))
    colors = palette(rng, 2, spread=0.15)
    tint = blend(colors, np.clip(0.5 + 0.3 * noise, 0, 1))
    return (tint * (1 + 2 * contrast * np.clip(noise, -2, 3)[..., None])).astype(np.float32)


def paint_leaves(
    rng: np.random.Generator, shape: tuple[int, int], *, smallest: float | None = None, count: int | None = None
) -> np.ndarray:
    """Paint dead leaves: overlapping shapes with power-law sizes, each with its colour, shading and texture.

    Source: Lee, Mumford & Huang, "Occlusion models for natural images", IJCV 2001: radii with density r^-3.
    """
    smallest = smallest or np.exp(rng.uniform(np.log(3), np.log(20)))
    count = count or int(min(1500, shape[0] * shape[1] / smallest**2 / 5))
    which = np.zeros(shape, np.int32)
    radii = np.minimum(smallest / np.sqrt(1 - rng.uniform(0, 0.999, count)), max(shape) / 3)
    long, round_ = rng.uniform(1, 3), rng.random() < 0.6
    for number, radius in enumerate(radii, start=1):
        center = (int(rng.integers(shape[1])), int(rng.integers(shape[0])))
        axes = (int(radius * rng.uniform(1, long)) + 1, int(radius) + 1)
        if round_:
            cv2.ellipse(which, center, axes, rng.uniform(0, 180), 0, 360, number, -1)
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
            corners = np.stack([np.cos(angles) * axes[0], np.sin(angles) * axes[1]], axis=-1) + center
            cv2.fillPoly(which, [corners.astype(np.int32)], number)
    colors = palette(rng, count + 1, spread=rng.uniform(0.05, 0.6))
    roughness = (rng.beta(0.6, 2, count + 1) * 0.35).astype(np.float32)
    texture = power_noise(rng, shape, slope=rng.uniform(0.8, 1.4))
    slant = rng.normal(0, 0.25, count + 1).astype(np.float32)
    return colors[which] * (1 + roughness[which] * texture + slant[which] * (ramp(shape, rng) - 0.5))[..., None]


def paint_grid(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Paint windows, tiles, bricks, shelves or blinds: repeated cells with lines between them."""
    cell = rng.integers(10, 70, 2)
    if rng.random() < 0.25:
        cell[rng.integers(2)] = 2000  # stripes
    gap = max(2, int(cell.min() * rng.uniform(0.06, 0.35)))
    rows, columns = np.ogrid[0 : shape[0], 0 : shape[1]]
    shift = (rows // cell[0] % 2) * (cell[1] // 2) if rng.random() < 0.4 else 0
    inside = ((rows % cell[0]) >= gap) & (((columns + shift) % cell[1]) >= gap)
    colors = palette(rng, 12, spread=rng.uniform(0.02, 0.3))
    number = (rows // cell[0] * 7 + (columns + shift) // cell[1] * 3) % 11
    image = np.where(inside[..., None], colors[number], colors[11])
    grain = power_noise(rng, shape, slope=rng.uniform(0.9, 1.5)) * rng.uniform(0, 0.08)
    return (image * (1 + grain[..., None])).astype(np.float32)


def paint_signs(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Paint print, screens, scoreboards or graffiti: rows of letters and digits on a plain surface."""
    image = paint_plain(rng, shape)
    signs = [chr(code) for code in (*range(48, 58), *range(65, 91), *range(97, 123))]
    row, scale = 0, rng.uniform(0.5, 1.6)
    while row < shape[0]:
        if rng.random() < 0.3:
            scale = rng.uniform(0.5, 3.5)
        row += int(32 * scale * rng.uniform(1, 1.8))
        text = "".join(rng.choice(signs) if rng.random() < 0.83 else " " for _ in range(int(shape[1] / 18 / scale)))
        start = (int(rng.uniform(-20, shape[1] / 3)), row)
        color = palette(rng, 1, spread=1.0)[0].tolist() if rng.random() < 0.3 else [float(rng.random() < 0.5)] * 3
        font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX]))
        cv2.putText(image, text, start, font, scale, color, max(1, int(scale * rng.uniform(1.5, 4))))
    return image


def paint_wires(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Paint branches, cables, cracks, fences or markings on another surface: lines of all widths."""
    image = np.ascontiguousarray(SURFACES[rng.choice(["plain", "clouds", "grain"])](rng, shape))
    colors = palette(rng, 60, spread=0.3) * rng.uniform(0.2, 1.2)
    for color in colors[: rng.integers(6, 60)].tolist():
        start = rng.uniform(-0.1, 1.1, 2) * shape[::-1]
        bend = np.cumsum(rng.normal(0, 0.2, 6)) + rng.uniform(0, 2 * np.pi)
        steps = np.stack([np.cos(bend), np.sin(bend)], axis=-1) * rng.uniform(20, 160)
        points = (start + np.cumsum(steps, axis=0)).astype(np.int32)
        cv2.polylines(image, [points], False, color, int(1 + rng.exponential(4)))
    return image


def paint_lights(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Paint a night scene: almost black, with lamps, windows and their glow."""
    image = paint_plain(rng, shape) * rng.uniform(0.03, 0.15)
    for color in (palette(rng, 40, spread=0.6) * 1.6).tolist()[: rng.integers(4, 40)]:
        center = (int(rng.integers(shape[1])), int(rng.integers(shape[0])))
        cv2.circle(image, center, int(2 + rng.exponential(7)), color, -1)
    small = cv2.resize(image, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    glow = cv2.resize(cv2.GaussianBlur(small, (0, 0), rng.uniform(2, 6)), shape[::-1])
    return image + glow * rng.uniform(0.1, 0.5)


SURFACES = {
    "plain": paint_plain,
    "clouds": paint_clouds,
    "grain": paint_grain,
    "leaves": paint_leaves,
    "grid": paint_grid,
    "signs": paint_signs,
    "wires": paint_wires,
    "lights": paint_lights,
}
BACKGROUNDS = {
    "plain": 0.12,
    "clouds": 0.06,
    "grain": 0.2,
    "leaves": 0.28,
    "grid": 0.12,
    "signs": 0.05,
    "wires": 0.13,
    "lights": 0.02,
}
FINE_DETAIL = (
    np.log(0.12),
    0.35,
)  # contrast of the texture on every surface, mean and standard deviation of its logarithm
DETAILED = {"grain": 0.25, "leaves": 0.4, "grid": 0.12, "signs": 0.08, "wires": 0.15}
OBJECTS = {"plain": 0.24, "clouds": 0.13, "grain": 0.2, "leaves": 0.18, "grid": 0.09, "signs": 0.08, "wires": 0.08}


def paint(rng: np.random.Generator, shape: tuple[int, int], weights: Mapping[str, float]) -> np.ndarray:
    """Paint one surface, drawn by weight: float32 (rows, columns, 3).

    Args:
        rng: generator of the surface.
        shape: (rows, columns).
        weights: weight per key of SURFACES.
    """
    names = list(weights)
    probability = np.array([weights[name] for name in names])
    image = SURFACES[names[rng.choice(len(names), p=probability / probability.sum())]](rng, shape)
    # Every real surface has fine detail; without it, no distortion would be visible.
    contrast = np.exp(rng.normal(*FINE_DETAIL))
    return image * (1 + contrast * power_noise(rng, shape, slope=rng.uniform(0.8, 1.1))[..., None])
