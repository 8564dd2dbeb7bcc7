"""Synthetic moving scenes with the statistics of camera video: surfaces, objects in front of them, a moving camera.

A scene is a stack of flat layers, painted once at twice the resolution of the frame, blurred in linear light by the
lens and the shutter, and converted by the camera's tone curve; a frame is then one affine warp per layer, which takes
half a millisecond. Numbers without a source: decision 0003.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import scipy.fft

from data_prep.synthetic import surfaces

GAMMA = 2.2  # of painted colours and frames, relative to linear light; BT.709 displays, rounded
OVERSAMPLING = 2  # layer pixels per frame pixel


@dataclasses.dataclass
class Layer:
    """A flat object and its position in each frame.

    Attributes:
        image: uint8 RGB, after the tone curve, premultiplied by its opacity.
        through: transparency as uint8 with three equal channels, 255 is fully transparent; None for a background.
        to_layer: (num_frames, 2, 3), affine maps of frame pixels (x, y) to layer pixels.
        corners: int (num_frames, 4), x0, y0, x1, y1 of a bounding box in the frame.
    """

    image: np.ndarray
    through: np.ndarray | None
    to_layer: np.ndarray
    corners: np.ndarray


@dataclasses.dataclass
class Scene:
    """A moving scene.

    Attributes:
        layers: from back to front.
        size: (height, width) of the frame in pixels.
        sharpening: strength of the camera's sharpening.
        speed: mean motion in pixels per frame.
    """

    layers: list[Layer]
    size: tuple[int, int]
    sharpening: float
    speed: float


@dataclasses.dataclass(frozen=True)
class Camera:
    """The properties of a camera, which do not count as distortions."""

    lens: float  # blur of lens and demosaicing: standard deviation in pixels
    gain: float  # exposure
    gamma: float
    contrast: float  # strength of an S curve
    haze: float  # fraction of grey light from fog or glare
    black: float
    white: float
    sharpening: float

    def tone(self, light: np.ndarray) -> np.ndarray:
        """Convert linear light to pixel values 0-255, float32; by OpenCV, because NumPy's power is slow for float32."""
        light = np.clip(light * np.float32(self.gain) * (1 - self.haze) + self.haze * 0.35, 0, 1)
        value: np.ndarray = cv2.pow(light.astype(np.float32), self.gamma / GAMMA)
        value += np.float32(self.contrast) * (value * value * (3 - 2 * value) - value)
        return self.black + (self.white - self.black) * value


# ---------------------------------------------------------------- objects made of surfaces


def background(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Paint one to three surfaces that meet at edges (sky over trees, wall over floor), under uneven light."""
    image = surfaces.paint(rng, shape, surfaces.DETAILED)  # without any detail no distortion would be visible
    for _ in range(rng.choice(3, p=[0.4, 0.45, 0.15])):
        edge = surfaces.ramp(shape, rng) + surfaces.power_noise(rng, shape, slope=rng.uniform(1.4, 2.2)) * rng.choice(
            [0, 0.02, 0.1]
        )
        beyond = edge > rng.uniform(0.3, 0.7)
        image = np.where(beyond[..., None], surfaces.paint(rng, shape, surfaces.BACKGROUNDS), image)
    return image * uneven_light(rng, shape)


def uneven_light(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Generate illumination: smooth changes, and sometimes one hard shadow. Float32 (rows, columns, 1)."""
    small = surfaces.power_noise(rng, (32, 32), slope=2.0)
    soft: np.ndarray = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC) * rng.uniform(0.05, 0.3)
    if rng.random() < 0.25:
        soft -= (surfaces.ramp(shape, rng) > rng.uniform(0.3, 0.8)) * rng.uniform(0.3, 1.0)
    return np.exp(soft)[..., None].astype(np.float32)


def outline(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw the outline of an object: float32 (rows, columns), 0 or 1."""
    mask = np.zeros(shape, np.float32)
    half = np.array(shape[::-1]) / 2
    variant = rng.integers(4)
    angles = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    radius = np.full(80, 0.92)
    if variant == 1:  # a body: a wavy ellipse
        waves: Any = sum(rng.normal(0, 0.12 / n) * np.cos(n * angles + rng.uniform(0, 7)) for n in range(2, 7))
        radius = np.clip(0.75 + waves, 0.2, 0.95)
    elif variant == 2:  # a block
        angles = np.sort(rng.uniform(0, np.pi / 2, 4) * 0.8 + np.arange(4) * np.pi / 2)
        radius = np.full(4, 0.97)
    elif variant == 3:  # foliage: a frayed edge
        bumps = surfaces.power_noise(rng, shape, slope=rng.uniform(0.9, 1.4))
        rows, columns = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
        return (np.hypot(rows, columns) + 0.12 * bumps < 0.7).astype(np.float32)
    points = half + np.stack([np.cos(angles), np.sin(angles)], axis=-1) * radius[:, None] * half
    cv2.fillPoly(mask, [points.astype(np.int32)], 1.0)
    return mask


def foreground_object(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Paint an object with shading, sometimes with a highlight: its colours and its opacity."""
    mask = outline(rng, shape)
    colors = surfaces.paint(rng, shape, surfaces.OBJECTS)
    rows, columns = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    towards = rng.uniform(-0.6, 0.6, 2)
    distance = ((rows - towards[0]) ** 2 + (columns - towards[1]) ** 2).astype(np.float32)
    shade = 1.1 - distance * rng.uniform(0, 0.3)
    colors = np.maximum(colors * shade[..., None], 0)
    if rng.random() < 0.3:
        colors = colors + (rng.uniform(0.2, 1) * np.exp(-distance / rng.uniform(0.002, 0.05)))[..., None]
    return colors.astype(np.float32), mask


def photograph(
    rng: np.random.Generator, colors: np.ndarray, opacity: np.ndarray | None, camera: Camera, *, motion: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Apply the lens, shutter and tone curve of a camera to a painted surface.

    Args:
        rng: generator of the shutter time.
        colors: float32 RGB (rows, columns, 3), painted colours 0-1, highlights above 1.
        opacity: float32 (rows, columns), 0-1; None for a background.
        camera: the camera.
        motion: (x, y) in pixels per frame, which the open shutter blurs.

    Returns:
        uint8 RGB premultiplied by opacity, and uint8 (rows, columns, 3) 255 - opacity, or None.
    """
    light = np.power(np.clip(colors, 0, 1.6), GAMMA, dtype=np.float32)
    shutter = rng.uniform(0, 0.25) * np.asarray(motion)
    if opacity is None:
        return to_8_bit(camera.tone(soften(light, sigma=camera.lens, shutter=shutter))), None
    layer = soften(np.dstack([light * opacity[..., None], opacity]), sigma=camera.lens, shutter=shutter)
    opacity = layer[..., 3:]
    image = camera.tone(layer[..., :3] / np.maximum(opacity, 1e-3)) * opacity
    return to_8_bit(image), np.repeat(to_8_bit(255 - 255 * opacity), 3, axis=2)


def to_8_bit(image: np.ndarray) -> np.ndarray:
    """Round and clip to uint8."""
    return np.clip(image + 0.5, 0, 255).astype(np.uint8)


def soften(light: np.ndarray, *, sigma: float, shutter: np.ndarray) -> np.ndarray:
    """Blur by the lens (a Gaussian of `sigma` frame pixels) and the open shutter (a line along `shutter`)."""
    light = cv2.GaussianBlur(light, (0, 0), sigma * OVERSAMPLING)
    length = np.hypot(*shutter) * OVERSAMPLING
    return cv2.filter2D(light, -1, line_kernel(shutter, length)) if length > 2 else light


def line_kernel(direction: np.ndarray, length: float) -> np.ndarray:
    """Return a float32 kernel that averages along a line of `length` pixels; direction is (x, y)."""
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    step = np.array(direction) / (np.hypot(*direction) + 1e-9)
    for offset in np.linspace(-length / 2, length / 2, 4 * half + 1):
        column, row = np.round(half + step * offset).astype(int)
        kernel[row, column] += 1
    return kernel / kernel.sum()


# ---------------------------------------------------------------- motion


def hand_shake(rng: np.random.Generator, num_frames: int, *, amount: float) -> np.ndarray:
    """Generate the shake of a hand-held camera: offsets in pixels (num_frames, 2), a random walk without drift."""
    walk = np.cumsum(rng.normal(0, 1, (num_frames, 2)), axis=0)
    walk -= np.linspace(0, 1, num_frames)[:, None] * walk[-1]
    smooth = cv2.GaussianBlur(walk, (1, 9), 1.5)
    return smooth / (np.abs(smooth).max() + 1e-9) * amount


def camera_path(
    rng: np.random.Generator, num_frames: int, *, lively: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generate the motion of the camera: pan (num_frames, 2) in pixels, rotation in radians, zoom factor.

    A third of the cameras are on a tripod, unless the scene must be `lively`.
    """
    time = np.arange(num_frames)
    static = rng.random() < 0.33 and not lively
    speed = 0 if static else np.exp(rng.normal(0.2, 0.8)) + (0.7 if lively else 0)
    angle = rng.normal(0, 0.35) + np.pi * rng.integers(2)
    pan = time[:, None] * speed * np.array([np.cos(angle), np.sin(angle)])
    if not static and rng.random() < 0.3:  # the pan swings back
        pan = pan[-1] * 0.5 * (1 - np.cos(2 * np.pi * time / num_frames))[:, None]
    pan = pan + hand_shake(rng, num_frames, amount=0 if static else rng.exponential(2.0))
    moving = 0 if static else rng.random() < 0.3
    turn = moving * rng.normal(0, 0.002) * time
    zoom = np.exp(moving * rng.normal(0, 0.003) * time).clip(0.75, 1.5)
    return pan, turn, zoom


def place_layer(
    image: np.ndarray,
    through: np.ndarray | None,
    *,
    position: np.ndarray,
    turn: np.ndarray,
    scale: np.ndarray,
    size: tuple[int, int],
) -> Layer:
    """Place an image in all frames of a scene.

    Args:
        image: see `Layer`.
        through: see `Layer`.
        position: (num_frames, 2), x and y of its centre in the frame.
        turn: (num_frames,), rotation in radians.
        scale: (num_frames,), zoom factor.
        size: (height, width) of the frame.
    """
    factor = OVERSAMPLING / scale
    cos, sin = np.cos(turn) * factor, np.sin(turn) * factor
    turned = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], axis=1)
    middle = np.array(image.shape[1::-1]) / 2
    offset = middle - np.einsum("fij,fj->fi", turned, position)
    reach = np.hypot(*image.shape[:2]) / 2 / factor[:, None] + 1
    limits = np.array(size[::-1])
    corners = np.concatenate(
        [np.clip(np.floor(position - reach), 0, limits), np.clip(np.ceil(position + reach), 0, limits)], axis=1
    )
    if through is None:
        corners[:] = (0, 0, *limits)
    return Layer(image, through, np.concatenate([turned, offset[..., None]], -1), corners.astype(int))


# ---------------------------------------------------------------- the scene


def make_camera(rng: np.random.Generator) -> Camera:
    """Draw a camera: a tenth of all scenes are dark, 2 % have haze."""
    gain = np.exp2(rng.uniform(-2.2, -0.7)) if rng.random() < 0.1 else np.exp2(rng.normal(0.35, 0.35))
    limits = [(0, 255), (0, 255), (16, 235), (6, 250)][rng.integers(4)]
    return Camera(
        lens=rng.uniform(0.3, 0.5),
        gain=float(gain),
        gamma=float(np.exp(rng.normal(0, 0.08))),
        contrast=rng.uniform(-0.2, 0.6),
        haze=rng.uniform(0.2, 0.5) if rng.random() < 0.02 else 0.0,
        black=limits[0],
        white=limits[1],
        sharpening=rng.uniform(0.2, 0.5) if rng.random() < 0.1 else 0.0,
    )


def make_scene(rng: np.random.Generator, *, num_frames: int, size: tuple[int, int], lively: bool) -> Scene:
    """Generate a scene.

    Args:
        rng: generator of the scene, which depends on it and on the other arguments only.
        num_frames: length of the motion in frames.
        size: (height, width) of the frame, a crop of a camera frame at full resolution.
        lively: require visible motion.
    """
    camera = make_camera(rng)
    pan, turn, zoom = camera_path(rng, num_frames, lively=lively)
    rows, columns = (scipy.fft.next_fast_len(int(length * OVERSAMPLING * 1.4), real=True) for length in size)
    motion = np.median(np.diff(pan, axis=0), axis=0)
    image, through = photograph(rng, background(rng, (rows, columns)), None, camera, motion=motion)
    middle = np.array(size[::-1]) / 2
    layers = [place_layer(image, through, position=middle - pan, turn=turn, scale=zoom, size=size)]
    for _ in range(max(lively, min(8, rng.poisson(3.0)))):
        layers.append(_object(rng, camera, pan=pan, zoom=zoom, size=size, lively=lively))
    return Scene(layers, (size[0], size[1]), camera.sharpening, _speed(layers, size))


def _object(
    rng: np.random.Generator,
    camera: Camera,
    *,
    pan: np.ndarray,
    zoom: np.ndarray,
    size: tuple[int, int],
    lively: bool,
) -> Layer:
    """Generate an object: nearer than the background, so it moves faster, and with additional motion."""
    num_frames = len(pan)
    time = np.arange(num_frames)[:, None]
    height = size[0] * OVERSAMPLING * np.exp(rng.uniform(np.log(0.12), np.log(0.9)))
    shape = (int(height) + 8, int(height * np.exp(rng.normal(-0.1, 0.5))) + 8)
    own = rng.normal(0, 1.2, 2) * (1.0 if lively else rng.random() < 0.6)
    swing = rng.normal(0, 6, 2) * np.sin(2 * np.pi * time / rng.uniform(15, 60)) * (rng.random() < 0.4)
    start = rng.uniform(0.1, 0.9, 2) * size[::-1]
    position = start - rng.uniform(1, 1.6) * (pan - pan[num_frames // 2]) + own * (time - num_frames // 2) + swing
    motion = np.median(np.diff(position, axis=0), axis=0)
    image, through = photograph(rng, *foreground_object(rng, shape), camera, motion=motion)
    turn = rng.uniform(-0.5, 0.5) + rng.normal(0, 0.01) * (rng.random() < 0.4) * time[:, 0]
    return place_layer(image, through, position=position, turn=turn, scale=zoom, size=size)


def _speed(layers: Sequence[Layer], size: tuple[int, int]) -> float:
    """Compute the mean motion in pixels per frame: of the background, plus a third of that of the objects."""
    corners = np.array([[0, 0, 1], [size[1], size[0], 1]]).T
    motions = [np.diff(layer.to_layer @ corners, axis=0) / OVERSAMPLING for layer in layers]
    speeds = [np.hypot(motion[:, 0], motion[:, 1]).mean() for motion in motions]
    return float(speeds[0] + np.mean(speeds[1:] or [0]) / 3)


def render(scene: Scene, frame: int) -> np.ndarray:
    """Render one undistorted frame: uint8 RGB (height, width, 3)."""
    image: np.ndarray = np.empty((0, 0, 3), np.uint8)  # the first layer is the background and fills the frame
    for layer in scene.layers:
        x0, y0, x1, y1 = layer.corners[frame].tolist()
        if x0 < x1 and y0 < y1:
            matrix = layer.to_layer[frame].copy()
            matrix[:, 2] += matrix[:, :2] @ (x0, y0)
            warp: dict[str, Any] = {
                "M": matrix,
                "dsize": (x1 - x0, y1 - y0),
                "flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            }
            if layer.through is None:
                image = cv2.warpAffine(layer.image, borderMode=cv2.BORDER_REFLECT_101, **warp)
            else:
                clear = cv2.warpAffine(layer.through, borderValue=(255, 255, 255), **warp)
                behind = cv2.multiply(image[y0:y1, x0:x1], clear, scale=1 / 255)
                image[y0:y1, x0:x1] = cv2.add(behind, cv2.warpAffine(layer.image, **warp))
    if scene.sharpening:
        soft = cv2.GaussianBlur(image, (5, 5), 1.0)
        image = cv2.addWeighted(image, 1 + scene.sharpening, soft, -scene.sharpening, 0)
    return image
