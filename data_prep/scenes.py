"""Made-up moving scenes with the statistics of camera pictures: surfaces, objects in front of them, a moving camera.

A scene is a stack of flat layers, painted once at twice the resolution of the picture, blurred there in linear light by
the lens and the shutter, and developed by the camera's tone curve; a frame is then one affine warp
per layer, which costs half a millisecond. All numbers without a source: decision 0003.
"""

import dataclasses

import cv2
import numpy as np
import scipy.fft

from data_prep import surfaces

GAMMA = 2.2  # between the painted colours, light, and the picture; BT.709 displays, rounded
OVERSAMPLING = 2  # layer pixels per picture pixel


@dataclasses.dataclass
class Layer:
    """A flat thing, and where it is in each frame."""

    image: np.ndarray  # uint8 RGB, developed, premultiplied by its opacity
    through: np.ndarray | None  # uint8, three equal channels: 255 where it is clear; None for a background
    to_layer: np.ndarray  # (num_frames, 2, 3): picture pixel (x, y) -> layer pixel
    corners: np.ndarray  # (num_frames, 4): x0, y0, x1, y1 in the picture that may be touched


@dataclasses.dataclass
class Scene:
    """Layers from back to front and the camera that looks at them."""

    layers: list
    size: tuple  # height, width
    sharpening: float
    speed: float  # mean motion in the picture, pixels per frame


# ---------------------------------------------------------------- things made of surfaces


def background(rng, shape):
    """One surface, or two or three that meet at edges (sky over trees, wall over floor), under uneven light."""
    picture = surfaces.paint(rng, shape, surfaces.DETAILED)  # a picture without any detail shows no damage
    for _ in range(rng.choice(3, p=[0.4, 0.45, 0.15])):
        edge = surfaces.ramp(shape, rng) + surfaces.power_noise(rng, shape, slope=rng.uniform(1.4, 2.2)) * rng.choice(
            [0, 0.02, 0.1]
        )
        beyond = edge > rng.uniform(0.3, 0.7)
        picture = np.where(beyond[..., None], surfaces.paint(rng, shape, surfaces.BACKGROUNDS), picture)
    return picture * uneven_light(rng, shape)


def uneven_light(rng, shape):
    """Illumination: soft changes, and at times one hard shadow. (rows, columns, 1), float32."""
    small = surfaces.power_noise(rng, (32, 32), slope=2.0)
    soft = cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC) * rng.uniform(0.05, 0.3)
    if rng.random() < 0.25:
        soft -= (surfaces.ramp(shape, rng) > rng.uniform(0.3, 0.8)) * rng.uniform(0.3, 1.0)
    return np.exp(soft)[..., None].astype(np.float32)


def outline(rng, shape):
    """The shape of a thing: float32 0 or 1."""
    mask = np.zeros(shape, np.float32)
    half = np.array(shape[::-1]) / 2
    kind = rng.integers(4)
    angles = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    radius = np.full(80, 0.92)
    if kind == 1:  # a body: a wavy ellipse
        waves = sum(rng.normal(0, 0.12 / n) * np.cos(n * angles + rng.uniform(0, 7)) for n in range(2, 7))
        radius = np.clip(0.75 + waves, 0.2, 0.95)
    elif kind == 2:  # a block
        angles = np.sort(rng.uniform(0, np.pi / 2, 4) * 0.8 + np.arange(4) * np.pi / 2)
        radius = np.full(4, 0.97)
    elif kind == 3:  # a crown of leaves: the edge is frayed
        bumps = surfaces.power_noise(rng, shape, slope=rng.uniform(0.9, 1.4))
        rows, columns = np.ogrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
        return (np.hypot(rows, columns) + 0.12 * bumps < 0.7).astype(np.float32)
    points = half + np.stack([np.cos(angles), np.sin(angles)], axis=-1) * radius[:, None] * half
    cv2.fillPoly(mask, [points.astype(np.int32)], 1.0)
    return mask


def thing(rng, shape):
    """An object: (painted colours, opacity); shaded as if round, with a highlight at times."""
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


def take_picture(rng, colors, opacity, camera, *, motion):
    """What the camera makes of a painted surface.

    Args:
        rng: draws the shutter.
        colors: float32 RGB, painted 0-1, highlights above.
        opacity: float32 0-1, or None for a background.
        camera: a Camera.
        motion: (x, y) pixels per frame; the open shutter takes up to half of it away.

    Returns:
        uint8 RGB premultiplied by opacity, and uint8 (rows, columns, 3) 255 - opacity, or None.
    """
    light = np.power(np.clip(colors, 0, 1.6), GAMMA, dtype=np.float32)
    shutter = rng.uniform(0, 0.25) * np.asarray(motion)
    if opacity is None:
        return to_8_bit(camera.tone(soften(light, sigma=camera.lens, shutter=shutter))), None
    layer = soften(np.dstack([light * opacity[..., None], opacity]), sigma=camera.lens, shutter=shutter)
    opacity = layer[..., 3:]
    picture = camera.tone(layer[..., :3] / np.maximum(opacity, 1e-3)) * opacity
    return to_8_bit(picture), np.repeat(to_8_bit(255 - 255 * opacity), 3, axis=2)


def to_8_bit(picture):
    """Round and clip to uint8."""
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def soften(light, *, sigma, shutter):
    """What the lens (Gaussian of `sigma` picture pixels) and the open shutter (a line along `shutter`) take away."""
    light = cv2.GaussianBlur(light, (0, 0), sigma * OVERSAMPLING)
    length = np.hypot(*shutter) * OVERSAMPLING
    return cv2.filter2D(light, -1, line_kernel(shutter, length)) if length > 2 else light


def line_kernel(direction, length):
    """A float32 kernel that averages along a line of `length` pixels; direction is (x, y)."""
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    step = np.array(direction) / (np.hypot(*direction) + 1e-9)
    for place in np.linspace(-length / 2, length / 2, 4 * half + 1):
        column, row = np.round(half + step * place).astype(int)
        kernel[row, column] += 1
    return kernel / kernel.sum()


# ---------------------------------------------------------------- motion


def hand_shake(rng, num_frames, *, amount):
    """Camera offsets in pixels: a random walk without its slow drift, (num_frames, 2)."""
    walk = np.cumsum(rng.normal(0, 1, (num_frames, 2)), axis=0)
    walk -= np.linspace(0, 1, num_frames)[:, None] * walk[-1]
    smooth = cv2.GaussianBlur(walk, (1, 9), 1.5)
    return smooth / (np.abs(smooth).max() + 1e-9) * amount


def camera_path(rng, num_frames, *, lively):
    """Pan (x, y) in pixels, turn in radians and zoom factor per frame: three arrays.

    A third of the cameras stand on a tripod, unless the scene must be `lively`.
    """
    time = np.arange(num_frames)
    still = rng.random() < 0.33 and not lively
    speed = 0 if still else np.exp(rng.normal(0.2, 0.8)) + (0.7 if lively else 0)
    angle = rng.normal(0, 0.35) + np.pi * rng.integers(2)
    pan = time[:, None] * speed * np.array([np.cos(angle), np.sin(angle)])
    if not still and rng.random() < 0.3:  # the pan swings back
        pan = pan[-1] * 0.5 * (1 - np.cos(2 * np.pi * time / num_frames))[:, None]
    pan = pan + hand_shake(rng, num_frames, amount=0 if still else rng.exponential(2.0))
    moving = 0 if still else rng.random() < 0.3
    turn = moving * rng.normal(0, 0.002) * time
    zoom = np.exp(moving * rng.normal(0, 0.003) * time).clip(0.75, 1.5)
    return pan, turn, zoom


def place_layer(image, through, *, position, turn, scale, size):
    """A Layer whose middle is at `position` (num_frames, 2) as x, y; all arrays per frame."""
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


@dataclasses.dataclass(frozen=True)
class Camera:
    """What one camera does to light; nothing of it counts as damage."""

    lens: float  # softness of lens and demosaicing: deviation in pixels
    gain: float  # exposure
    gamma: float
    contrast: float  # strength of an S curve
    haze: float  # share of grey light from fog or glare
    black: float
    white: float
    sharpening: float

    def tone(self, light):
        """Linear light -> picture value 0-255, float32; cv2, because numpy's power is slow on float32."""
        light = np.clip(light * np.float32(self.gain) * (1 - self.haze) + self.haze * 0.35, 0, 1)
        value = cv2.pow(light.astype(np.float32), self.gamma / GAMMA)
        value += np.float32(self.contrast) * (value * value * (3 - 2 * value) - value)
        return self.black + (self.white - self.black) * value


def make_camera(rng):
    """One camera and its settings: a seventh of all scenes is at night or in a dim room, a tenth in fog."""
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


def make_scene(rng, *, num_frames, size, lively):
    """Make up a scene.

    Args:
        rng: a numpy Generator; the scene depends on it and on the other arguments only.
        num_frames: how many frames the motion is made for.
        size: (height, width) of the picture, a crop of a camera's picture at its own resolution.
        lively: whether something must move visibly.
    """
    camera = make_camera(rng)
    pan, turn, zoom = camera_path(rng, num_frames, lively=lively)
    shape = tuple(scipy.fft.next_fast_len(int(length * OVERSAMPLING * 1.4), real=True) for length in size)
    motion = np.median(np.diff(pan, axis=0), axis=0)
    image, through = take_picture(rng, background(rng, shape), None, camera, motion=motion)
    middle = np.array(size[::-1]) / 2
    layers = [place_layer(image, through, position=middle - pan, turn=turn, scale=zoom, size=size)]
    for _ in range(max(lively, min(8, rng.poisson(3.0)))):
        layers.append(_object(rng, camera, pan=pan, zoom=zoom, size=size, lively=lively))
    return Scene(layers, tuple(size), camera.sharpening, _speed(layers, size))


def _object(rng, camera, *, pan, zoom, size, lively):
    """A layer in front: nearer than the background, so it moves more, and with a motion of its own."""
    num_frames = len(pan)
    time = np.arange(num_frames)[:, None]
    height = size[0] * OVERSAMPLING * np.exp(rng.uniform(np.log(0.12), np.log(0.9)))
    shape = (int(height) + 8, int(height * np.exp(rng.normal(-0.1, 0.5))) + 8)
    own = rng.normal(0, 1.2, 2) * (1.0 if lively else rng.random() < 0.6)
    swing = rng.normal(0, 6, 2) * np.sin(2 * np.pi * time / rng.uniform(15, 60)) * (rng.random() < 0.4)
    start = rng.uniform(0.1, 0.9, 2) * size[::-1]
    position = start - rng.uniform(1, 1.6) * (pan - pan[num_frames // 2]) + own * (time - num_frames // 2) + swing
    motion = np.median(np.diff(position, axis=0), axis=0)
    image, through = take_picture(rng, *thing(rng, shape), camera, motion=motion)
    turn = rng.uniform(-0.5, 0.5) + rng.normal(0, 0.01) * (rng.random() < 0.4) * time[:, 0]
    return place_layer(image, through, position=position, turn=turn, scale=zoom, size=size)


def _speed(layers, size):
    """Mean motion in pixels per frame: the background's corners, and a third of the objects'."""
    corners = np.array([[0, 0, 1], [size[1], size[0], 1]]).T
    motions = [np.diff(layer.to_layer @ corners, axis=0) / OVERSAMPLING for layer in layers]
    speeds = [np.hypot(motion[:, 0], motion[:, 1]).mean() for motion in motions]
    return float(speeds[0] + np.mean(speeds[1:] or [0]) / 3)


def render(scene, frame):
    """The undamaged picture of one frame: uint8 RGB (height, width, 3)."""
    picture = None
    for layer in scene.layers:
        x0, y0, x1, y1 = layer.corners[frame].tolist()
        if x0 < x1 and y0 < y1:
            matrix = layer.to_layer[frame].copy()
            matrix[:, 2] += matrix[:, :2] @ (x0, y0)
            place = {"M": matrix, "dsize": (x1 - x0, y1 - y0), "flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP}
            if layer.through is None:
                picture = cv2.warpAffine(layer.image, borderMode=cv2.BORDER_REFLECT_101, **place)
            else:
                clear = cv2.warpAffine(layer.through, borderValue=(255, 255, 255), **place)
                behind = cv2.multiply(picture[y0:y1, x0:x1], clear, scale=1 / 255)
                picture[y0:y1, x0:x1] = cv2.add(behind, cv2.warpAffine(layer.image, **place))
    if scene.sharpening:
        soft = cv2.GaussianBlur(picture, (5, 5), 1.0)
        picture = cv2.addWeighted(picture, 1 + scene.sharpening, soft, -scene.sharpening, 0)
    return picture
