"""Distortions of video frames, uint8 RGB in and out. Decision 0003 has the reasons for constants without a source."""

import io
from collections.abc import Mapping
from typing import Any

import av
import cv2
import numpy as np

from data_prep.synthetic.distortion_plan import Plan

FINEST_NOISE = (0.3, 1.2)  # standard deviation of the noise of every camera, in steps of 8-bit luma
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # weights of red, green and blue: BT.601
SOURCE_OPTIONS = {"preset": "superfast", "bf": "0"}


def apply(rng: np.random.Generator, plan: Plan, frames: np.ndarray) -> np.ndarray:
    """Apply the distortions of a plan to a video, in the order of `distortion_plan.ORDER`.

    The source may be a compressed file (decision 0003).

    Args:
        rng: generator of the noise.
        plan: the distortions.
        frames: uint8 RGB (num_frames, height, width, 3); may be changed in place.

    Returns:
        The distorted frames, of the same shape and type.
    """
    noise = NoiseMaker(rng, frames.shape[1:], plan.details.get("noise", {}))
    if not plan.camera_noise:
        noise.finest = 0
    if plan.source_crf is not None:
        frames = np.stack([noise.add(frame, sigma=0) for frame in frames])
        options = SOURCE_OPTIONS | {"crf": str(plan.source_crf)}
        frames = decode(encode(frames, fps=plan.fps, codec="libx264", options=options))
        noise.finest = 0
    for index in range(len(frames)):
        frame = expose(frames[index], stops=plan.strength("over")[index] - plan.strength("under")[index])
        frame = shake(frame, length=plan.strength("shake")[index], **plan.details.get("shake", {}))
        frame = defocus(frame, sigma=plan.strength("focus")[index], **plan.details.get("focus", {}))
        frame = noise.add(frame, sigma=plan.strength("noise")[index])
        frames[index] = rescale(frame, blur=plan.strength("scale")[index], **plan.details.get("scale", {}))
    if "codec" in plan.strengths:
        frames = compress(frames, plan)
    return frames[shown(plan)]


def expose(frame: np.ndarray, *, stops: float) -> np.ndarray:
    """Change the exposure in linear light (gamma 2.2), with clipping as in a sensor."""
    if abs(stops) < 0.01:
        return frame
    return cv2.LUT(frame, np.clip(np.arange(256) * 2 ** (stops / 2.2) + 0.5, 0, 255).astype(np.uint8))


def shake(frame: np.ndarray, *, length: float, angle: float = 0.0, shape: str = "steady") -> np.ndarray:
    """Apply motion blur: the mean of the frame shifted along a line of `length` pixels."""
    if length < 0.5:
        return frame
    total = np.zeros(frame.shape, np.float32)
    offsets = np.linspace(-length / 2, length / 2, int(np.clip(length, 3, 17)))
    for offset in offsets:
        move = np.array([[1, 0, offset * np.cos(angle)], [0, 1, offset * np.sin(angle)]], np.float32)
        cv2.accumulate(cv2.warpAffine(frame, move, frame.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101), total)
    return cv2.convertScaleAbs(total, alpha=1 / len(offsets))


def defocus(frame: np.ndarray, *, sigma: float, lens: str = "gaussian", shape: str = "steady") -> np.ndarray:
    """Defocus a frame: by a Gaussian, a disc of the same standard deviation, or a Gaussian in linear light."""
    if sigma < 0.2:
        return frame
    if lens == "light":
        light = cv2.LUT(frame, (np.linspace(0, 1, 256) ** 2).astype(np.float32))  # gamma 2: its root is cheap
        return cv2.convertScaleAbs(cv2.sqrt(cv2.GaussianBlur(light, (0, 0), sigma)), alpha=255)
    if lens == "disc":  # a disc of radius r has standard deviation r / 2
        return cv2.filter2D(frame, -1, disc(2 * sigma))
    return cv2.GaussianBlur(frame, (0, 0), sigma)


def disc(radius: float) -> np.ndarray:
    """Return the kernel of a disc with a soft edge, float32, sum 1."""
    reach = int(np.ceil(radius))
    rows, columns = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1).astype(np.float32)
    return kernel / kernel.sum()


class NoiseMaker:
    """Sensor noise: every frame uses a random section of one large noise field, mirrored at random."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, ...], details: Mapping[str, Any]) -> None:
        """Draw the noise field for frames of shape (height, width, 3)."""
        self.rng = rng
        self.finest = np.exp(rng.uniform(*np.log(FINEST_NOISE)))
        self.soft, gray = details.get("soft", 0.4), details.get("gray", 0.0)
        rows, columns, channels = (int(shape[0] * 1.5), int(shape[1] * 1.5), 3)
        field: np.ndarray = rng.standard_normal((rows, columns, channels), dtype=np.float32)
        field = field * np.float32(np.sqrt(1 - gray**2)) + field[..., 1:2] * np.float32(gray)
        if self.soft:
            field = cv2.GaussianBlur(field, (0, 0), self.soft)
        field *= np.asarray(details.get("channels", 1.0), np.float32)
        self.field = np.clip(field / (field @ LUMA).std() * 24, -127, 127).astype(np.float32)
        self.growth = 2 ** (details.get("slope", 0.0) * (np.arange(256) / 64 - 2))

    def add(self, frame: np.ndarray, *, sigma: float) -> np.ndarray:
        """Add noise with a luma standard deviation of `sigma` to a frame, and the noise of the camera."""
        height, width = frame.shape[:2]
        top = self.rng.integers(self.field.shape[0] - height + 1)
        left = self.rng.integers(self.field.shape[1] - width + 1)
        piece = self.field[top : top + height, left : left + width]
        piece = piece[:: self.rng.choice([-1, 1]), :: self.rng.choice([-1, 1])]
        sigma = np.hypot(sigma, self.finest)
        if sigma < 0.1:
            return frame
        if np.ptp(self.growth) == 0:
            return cv2.add(frame, piece * np.float32(sigma / 24), dtype=cv2.CV_8U)
        counts = cv2.calcHist([frame[..., 1]], [0], None, [256], [0, 256])[:, 0]
        level = self.growth * sigma / 24 / np.sqrt(np.average(self.growth**2, weights=counts))
        return cv2.add(frame, cv2.multiply(piece, cv2.LUT(frame, level.astype(np.float32))), dtype=cv2.CV_8U)


INTERPOLATION = {
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


# Standard deviation of the equivalent blur, per pixel of the smaller frame: decision 0003.
BLUR_OF = {"linear": 0.54, "cubic": 0.44, "lanczos": 0.44}


def rescale(
    frame: np.ndarray, *, blur: float, down: str = "area", up: str = "linear", shape: str = "steady"
) -> np.ndarray:
    """Downscale and upscale a frame so that it loses as much detail as by a blur of standard deviation `blur`."""
    height, width = frame.shape[:2]
    factor = np.hypot(1, blur / BLUR_OF[up])
    small = (max(2, round(width / factor)), max(2, round(height / factor)))
    if small == (width, height):
        return frame
    if down != "area":  # the other filters skip pixels: this limits aliasing to that of a camera
        frame = cv2.GaussianBlur(frame, (0, 0), 0.35 * factor)
    frame = cv2.resize(frame, small, interpolation=INTERPOLATION[down])
    return cv2.resize(frame, (width, height), interpolation=INTERPOLATION[up])


def compress(frames: np.ndarray, plan: Plan) -> np.ndarray:
    """Encode and decode a video, each level of strength as a separate stream (a rate switch)."""
    strengths = plan.strengths["codec"]
    changes = np.flatnonzero(np.diff(strengths)) + 1
    starts, ends = [0, *changes.tolist()], [*changes.tolist(), len(frames)]
    for start, end in zip(starts, ends, strict=True):
        frames[start:end] = round_trip(frames[start:end], fps=plan.fps, crf=strengths[start], **plan.details["codec"])
    return frames


def round_trip(
    frames: np.ndarray,
    *,
    fps: int,
    crf: float,
    codec: str,
    preset: str,
    gop: int,
    b_frames: bool,
    starved: bool,
    shape: str = "steady",
) -> np.ndarray:
    """Encode and decode frames.

    Args:
        frames: uint8 RGB (num_frames, height, width, 3).
        fps: frames per second.
        crf: constant rate factor, on the scale of H.264.
        codec: 'libx264' or 'libx265'.
        preset: of the codec.
        gop: maximum distance of key frames, in frames.
        b_frames: whether the stream has B frames.
        starved: limit the rate to the mean rate of the stream at this CRF, so that its peaks are cut.
        shape: course over time; not used here.

    Returns:
        The decoded frames, of the same shape and type.
    """
    options = {"preset": preset, "g": str(gop)} | ({} if b_frames else {"bf": "0"})
    if codec == "libx265":
        options["crf"] = str(crf)  # at these presets both codecs lose about as much: decision 0003
        return decode(encode(frames, fps=fps, codec=codec, options=options))
    data = encode(frames, fps=fps, codec=codec, options={**options, "crf": str(crf)})
    if starved:
        rate = str(max(2000, int(len(data) * 8 * fps / len(frames))))
        limits = {"b": rate, "maxrate": rate, "bufsize": str(int(rate) // 2)}
        data = encode(frames, fps=fps, codec=codec, options={**options, **limits})
    return decode(data)


def encode(
    frames: np.ndarray,
    *,
    fps: int,
    codec: str,
    options: Mapping[str, str],
    container: str = "matroska",
    pixel_format: str = "yuv420p",
) -> bytes:
    """Encode a video file, reproducible to the byte: one thread, and no macroblock tree in x264 (decision 0003).

    Args:
        frames: uint8 RGB (num_frames, height, width, 3).
        fps: frames per second.
        codec: name in FFmpeg.
        options: of the codec, as strings.
        container: name of the format in FFmpeg.
        pixel_format: name in FFmpeg.
    """
    if codec == "libx264":
        options = {**options, "x264-params": "mbtree=0"}
    elif codec == "libx265":
        options = {**options, "x265-params": "pools=none:frame-threads=1:log-level=none"}
    target = io.BytesIO()
    with av.open(target, "w", format=container, container_options={"fflags": "+bitexact"}) as file:
        stream: Any = file.add_stream(codec, rate=fps)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixel_format
        stream.thread_count = 1
        stream.options = dict(options)  # PyAV removes entries
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return target.getvalue()


def decode(data: bytes) -> np.ndarray:
    """Decode all frames of a video file: uint8 RGB (num_frames, height, width, 3)."""
    with av.open(io.BytesIO(data), "r") as file:
        file.streams.video[0].thread_count = 1
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def shown(plan: Plan) -> np.ndarray:
    """Return the index of the frame shown at each time, with dropped frames and freezes: int64 (num_frames,)."""
    index = np.arange(plan.num_frames)
    hold = plan.strength("drop")
    held = np.minimum(np.floor(np.ceil(np.floor(index / hold) * hold)), index).astype(int)
    for start in plan.details.get("freeze", {}).get("starts", []):
        inside = (index >= start) & (index < start + plan.details["freeze"]["length"])
        held[inside] = held[start]
    return held
