"""Doing the damage of a plan to a video: uint8 RGB frames in and out. All numbers without a source: decision 0003."""

import io

import av
import cv2
import numpy as np

FINEST_NOISE = (0.3, 1.2)  # deviation of the noise every camera has, in steps of 8-bit luma: not counted
LUMA = np.float32([0.299, 0.587, 0.114])  # of red, green, blue: BT.601
SOURCE_OPTIONS = {"preset": "superfast", "bf": "0"}


def apply(rng, plan, frames):
    """Damage a video, which may have been a compressed file before (decision 0003).

    Args:
        rng: draws the noise, and nothing of the plan.
        plan: a Plan; steps happen in ORDER.
        frames: uint8 RGB (num_frames, height, width, 3); changed in place where that saves memory.
    """
    noise = NoiseMaker(rng, frames.shape[1:], plan.details.get("noise", {}))
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


def expose(frame, *, stops):
    """Brighter or darker by a factor in light (gamma 2.2), clipped as a sensor does."""
    if abs(stops) < 0.01:
        return frame
    return cv2.LUT(frame, np.clip(np.arange(256) * 2 ** (stops / 2.2) + 0.5, 0, 255).astype(np.uint8))


def shake(frame, *, length, angle=0.0, shape="steady"):
    """Motion blur: the mean of the picture moved along a line of `length` pixels."""
    if length < 0.5:
        return frame
    total = np.zeros(frame.shape, np.float32)
    places = np.linspace(-length / 2, length / 2, int(np.clip(length, 3, 17)))
    for place in places:
        move = np.float32([[1, 0, place * np.cos(angle)], [0, 1, place * np.sin(angle)]])
        cv2.accumulate(cv2.warpAffine(frame, move, frame.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101), total)
    return cv2.convertScaleAbs(total, alpha=1 / len(places))


def defocus(frame, *, sigma, lens="gaussian", shape="steady"):
    """Out of focus: a Gaussian, a disc of the same deviation, or a Gaussian in light, where highlights grow."""
    if sigma < 0.2:
        return frame
    if lens == "light":
        light = cv2.LUT(frame, (np.linspace(0, 1, 256) ** 2).astype(np.float32))  # gamma 2: its root is cheap
        return cv2.convertScaleAbs(cv2.sqrt(cv2.GaussianBlur(light, (0, 0), sigma)), alpha=255)
    if lens == "disc":  # a disc of radius r has deviation r / 2
        return cv2.filter2D(frame, -1, disc(2 * sigma))
    return cv2.GaussianBlur(frame, (0, 0), sigma)


def disc(radius):
    """A disc with a soft rim, float32, sum 1."""
    reach = int(np.ceil(radius))
    rows, columns = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(rows, columns), 0, 1).astype(np.float32)
    return kernel / kernel.sum()


class NoiseMaker:
    """Sensor noise: one large field of noise, of which every frame takes another piece, mirrored at random."""

    def __init__(self, rng, shape, details):
        self.rng = rng
        self.finest = np.exp(rng.uniform(*np.log(FINEST_NOISE)))
        self.soft, gray = details.get("soft", 0.4), details.get("gray", 0.0)
        rows, columns, channels = (int(shape[0] * 1.5), int(shape[1] * 1.5), 3)
        field = rng.standard_normal((rows, columns, channels), dtype=np.float32)
        field = field * np.float32(np.sqrt(1 - gray**2)) + field[..., 1:2] * np.float32(gray)
        if self.soft:
            field = cv2.GaussianBlur(field, (0, 0), self.soft)
        field *= np.asarray(details.get("channels", 1.0), np.float32)
        self.field = np.clip(field / (field @ LUMA).std() * 24, -127, 127).astype(np.float32)
        self.growth = 2 ** (details.get("slope", 0.0) * (np.arange(256) / 64 - 2))

    def add(self, frame, *, sigma):
        """Noise whose luma has deviation `sigma` over this frame, on top of the finest noise of the camera."""
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


BLUR_OF = {"linear": 0.54, "cubic": 0.44, "lanczos": 0.44}  # blur per pixel of the smaller picture: decision 0003


def rescale(frame, *, blur, down="area", up="linear", shape="steady"):
    """Smaller, and back to its size, by the factor that leaves as much detail as a blur of this deviation."""
    height, width = frame.shape[:2]
    factor = np.hypot(1, blur / BLUR_OF[up])
    small = (max(2, round(width / factor)), max(2, round(height / factor)))
    if small == (width, height):
        return frame
    if down != "area":  # the others do not average over what they skip: this keeps aliasing camera-like
        frame = cv2.GaussianBlur(frame, (0, 0), 0.35 * factor)
    frame = cv2.resize(frame, small, interpolation=INTERPOLATION[down])
    return cv2.resize(frame, (width, height), interpolation=INTERPOLATION[up])


def compress(frames, plan):
    """Through the codec and back, each level of its strength as a stream of its own (a rate switch)."""
    strengths = plan.strengths["codec"]
    changes = np.flatnonzero(np.diff(strengths)) + 1
    starts, ends = [0, *changes], [*changes, len(frames)]
    for start, end in zip(starts, ends, strict=True):
        frames[start:end] = round_trip(frames[start:end], fps=plan.fps, crf=strengths[start], **plan.details["codec"])
    return frames


def round_trip(frames, *, fps, crf, codec, preset, gop, b_frames, starved, shape="steady"):
    """Encode and decode; `crf` is meant for H.264. A starved stream may be as large as that, but at no time faster."""
    options = {"preset": preset, "g": str(gop)} | ({} if b_frames else {"bf": "0"})
    if codec == "libx265":
        options["crf"] = str(crf)  # as fast as here, both lose about as much: decision 0003
        return decode(encode(frames, fps=fps, codec=codec, options=options))
    data = encode(frames, fps=fps, codec=codec, options={**options, "crf": str(crf)})
    if starved:
        rate = str(max(2000, int(len(data) * 8 * fps / len(frames))))
        limits = {"b": rate, "maxrate": rate, "bufsize": str(int(rate) // 2)}
        data = encode(frames, fps=fps, codec=codec, options={**options, **limits})
    return decode(data)


def encode(frames, *, fps, codec, options, container="matroska", pixel_format="yuv420p"):
    """A video file as bytes, the same on every run: one thread, and no macroblock tree in x264 (decision 0003).

    Args:
        frames: uint8 RGB (num_frames, height, width, 3).
        codec: a name of FFmpeg's.
        options: of the codec, as strings.
    """
    if codec == "libx264":
        options = {**options, "x264-params": "mbtree=0"}
    elif codec == "libx265":
        options = {**options, "x265-params": "pools=none:frame-threads=1:log-level=none"}
    target = io.BytesIO()
    with av.open(target, "w", format=container, container_options={"fflags": "+bitexact"}) as file:
        stream = file.add_stream(codec, rate=fps)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixel_format
        stream.thread_count = 1
        stream.options = dict(options)  # PyAV takes entries out of it
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return target.getvalue()


def decode(data):
    """All frames of a video file: uint8 RGB (num_frames, height, width, 3)."""
    with av.open(io.BytesIO(data)) as file:
        file.streams.video[0].thread_count = 1
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def shown(plan):
    """Which frame the viewer sees at each time: held by dropped frames and freezes. int64 (num_frames,)."""
    index = np.arange(plan.num_frames)
    hold = plan.strength("drop")
    held = np.minimum(np.floor(np.ceil(np.floor(index / hold) * hold)), index).astype(int)
    for start in plan.details.get("freeze", {}).get("starts", []):
        inside = (index >= start) & (index < start + plan.details["freeze"]["length"])
        held[inside] = held[start]
    return held
