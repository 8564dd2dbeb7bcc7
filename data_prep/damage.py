"""What damages video between the scene and the viewer, in the order in which it happens, and how bad it looks.

Every damage has a strength in a unit people know and a table strength -> impairment. Impairment 0 cannot be seen, then
the five grades of ITU-R BT.500: 0.25 perceptible, 0.5 slightly annoying, 0.75 annoying, 1 very annoying. The tables are
our choice from common knowledge, with no person's vote in them: decision 0003.
"""

import dataclasses
import io

import av
import cv2
import numpy as np

# Strength and impairment, both rising; between the points a straight line.
TABLES = {
    "under": ((0, 0.5, 1, 2, 3, 4), (0, 0.05, 0.18, 0.45, 0.7, 0.9)),  # stops too dark
    "over": ((0, 0.4, 1, 1.7, 2.5, 3.2), (0, 0.07, 0.28, 0.55, 0.8, 0.95)),  # stops too bright
    "shake": ((0, 2, 5, 9, 16, 28), (0, 0.1, 0.3, 0.52, 0.78, 1)),  # length of motion blur in pixels
    "focus": ((0, 0.4, 1, 2, 3, 4.2, 6.5), (0, 0.05, 0.27, 0.54, 0.72, 0.87, 1)),  # deviation of blur in pixels
    "noise": ((0, 1, 2.5, 5, 10, 18, 26, 42), (0, 0.03, 0.12, 0.28, 0.5, 0.73, 0.87, 1)),  # deviation in 8-bit steps
    "scale": ((1, 1.4, 2, 3, 4, 6, 8.5), (0, 0.12, 0.34, 0.54, 0.71, 0.88, 1)),  # how many times smaller
    "codec": ((14, 18, 23, 28, 35, 42, 47, 51), (0, 0.03, 0.11, 0.25, 0.5, 0.77, 0.91, 1)),  # CRF of H.264
    "freeze": ((0, 0.12, 0.3, 0.6, 1.2, 2.2), (0, 0.12, 0.33, 0.55, 0.8, 1)),  # seconds
    "drop": ((1, 2, 3, 4, 6, 8, 12), (0, 0.2, 0.42, 0.56, 0.75, 0.87, 1)),  # frames that one picture stays
}
ORDER = tuple(TABLES)  # light, sensor, scaling, codec, player: the order in which damage happens
H265_STEPS = 4  # x265 at CRF c looks like x264 at c - 4: its default is 28, x264's 23
EXPONENT = 1.7  # of the Minkowski sum over damages; decision 0003
KNEE = 6  # how sharply the sum saturates at 1; decision 0003
FINEST_NOISE = (0.5, 1.5)  # deviation of the noise every camera has, in 8-bit steps: not counted


@dataclasses.dataclass
class Plan:
    """All damage of one video.

    `strengths` has one array (num_frames,) per damage in the units of TABLES; `details` how each is done, and "shape".
    """

    num_frames: int
    fps: int
    strengths: dict
    details: dict

    def strength(self, name):
        """Per frame; without the damage, its harmless strength."""
        return self.strengths.get(name, np.full(self.num_frames, TABLES[name][0][0]))


def impairment(name, strength):
    """How visible one damage is, 0-1; rises with strength."""
    return np.interp(strength, *TABLES[name])


def strength_for(name, wanted):
    """The strength that gives an impairment: the inverse of `impairment`."""
    return np.interp(wanted, *TABLES[name][::-1])


def frame_quality(plan, *, visibility):
    """Quality of each frame, 1-5: falls when any damage grows.

    Args:
        plan: a Plan.
        visibility: factor per damage for this content; 1 if absent. It must not depend on the plan.
    """
    parts = [visibility.get(name, 1.0) * impairment(name, values) for name, values in plan.strengths.items()]
    total = np.sum([part**EXPONENT for part in parts], axis=0) ** (1 / EXPONENT) if parts else 0.0
    total = total / (1 + total**KNEE) ** (1 / KNEE)
    return 5 - 4 * np.broadcast_to(total, plan.num_frames)


# ---------------------------------------------------------------- what happens to one video

# Weights of the kinds of damage; noise takes part in two of five damaged videos, as in users' own videos.
UNDAMAGED = 0.08
SINGLE = 0.9
CHANGING = 0.25  # freezes and dropped frames always change, the others at this rate
SPREAD = (
    0.8,
    0.8,
)  # of a beta distribution: all impairments, the ends a little more often, as the demo learns from few
KINDS = {
    ("noise",): 0.27,
    ("codec",): 0.26,
    ("focus",): 0.2,
    ("scale",): 0.18,
    ("shake",): 0.03,
    ("under",): 0.02,
    ("over",): 0.02,
    ("freeze",): 0.01,
    ("drop",): 0.01,
}
MIXES = {
    ("noise", "codec"): 0.36,
    ("focus", "codec"): 0.13,
    ("scale", "codec"): 0.14,
    ("focus", "noise"): 0.07,
    ("under", "noise"): 0.06,
    ("shake", "codec"): 0.05,
    ("noise", "scale", "codec"): 0.05,
    ("focus", "noise", "codec"): 0.05,
    ("codec", "freeze"): 0.04,
    ("over", "codec"): 0.03,
    ("noise", "drop"): 0.02,
}


def make_plan(rng, *, num_frames, fps):
    """Draw the damage of one video: over all impairments, from not visible to very annoying.

    What changes is drawn a little stronger, because it is there for a part of the time only.
    """
    plan = Plan(num_frames, fps, {}, {})
    if rng.random() < UNDAMAGED:
        return plan
    table = KINDS if rng.random() < SINGLE else MIXES
    names = list(table)[rng.choice(len(table), p=np.array(list(table.values())) / sum(table.values()))]
    changes = rng.random() < CHANGING
    wanted = rng.beta(*SPREAD) * (1.25 if changes else 1.05)
    shares = rng.uniform(0.35, 1, len(names))
    shares /= np.sum(shares**EXPONENT) ** (1 / EXPONENT)
    one = rng.integers(len(names))  # often only one of several damages changes
    for number, (name, share) in enumerate(zip(names, shares, strict=True)):
        alone = name in ("freeze", "drop") or (changes and (number == one or rng.random() < 0.3))
        _add(rng, plan, name, peak=min(1.0, wanted * share), changes=alone)
    return plan


def _add(rng, plan, name, *, peak, changes):
    """Put one damage on the plan: its strength over time and its details."""
    if name == "freeze":
        plan.details["freeze"], plan.strengths["freeze"] = _freezes(rng, plan, peak)
        return
    kind, course = course_of_time(rng, plan.num_frames) if changes else ("steady", np.ones(plan.num_frames))
    if name == "codec":
        course = in_steps(course)
    strengths = strength_for(name, peak * course)
    if name == "codec":
        strengths = np.round(strengths)
    plan.strengths[name] = strengths
    plan.details[name] = {"shape": kind, **DETAILS.get(name, lambda rng: {})(rng)}


def course_of_time(rng, num_frames):
    """How a damage comes and goes: (name, float64 (num_frames,) between a floor and 1)."""
    time = (np.arange(num_frames) + 0.5) / num_frames
    kind = str(rng.choice(["switch", "burst", "bump", "ramp", "recovery"], p=[0.3, 0.2, 0.25, 0.15, 0.1]))
    floor, middle = rng.uniform(0, 0.5) * rng.integers(2), rng.uniform(0.15, 0.85)
    if kind == "switch":  # a rate switch, a lamp, a tunnel
        course = (time > middle).astype(float)
        course = course if rng.random() < 0.5 else 1 - course
    elif kind == "burst":
        course = (np.abs(time - middle) < rng.uniform(0.06, 0.2)).astype(float)
    elif kind == "bump":  # refocusing, or the exposure hunts
        course = np.exp(-0.5 * ((time - middle) / rng.uniform(0.05, 0.2)) ** 2)
    else:
        course = np.clip((time - rng.uniform(0, 0.4)) / rng.uniform(0.3, 0.6), 0, 1)
        course = course if kind == "ramp" else 1 - course
    return kind, floor + (1 - floor) * course


def in_steps(course):
    """A course that a codec can follow: at most four levels, each kept for at least four frames."""
    held = np.minimum(np.arange(len(course)) // 4, max(len(course) // 4 - 1, 0)) * 4
    return np.round(course[held] * 3) / 3


def _freezes(rng, plan, peak):
    """One or two stops: ({"starts": ..., "lengths": ...}, strength per frame: the stop's seconds, fading after it)."""
    length = int(np.clip(round(strength_for("freeze", peak) * plan.fps), 2, plan.num_frames // 2))
    count = 1 + int(rng.random() < 0.3)
    starts = np.sort(rng.choice(np.arange(1, plan.num_frames - length), count, replace=False))
    strengths = np.zeros(plan.num_frames)
    for start in starts:
        after = np.arange(plan.num_frames) - (start + length)
        fading = np.where(after < 0, 1, np.exp(-np.maximum(after, 0) / (0.25 * plan.fps)))
        strengths = np.maximum(strengths, np.where(after >= -length, fading, 0) * length / plan.fps)
    return {"starts": starts.tolist(), "length": length}, strengths


def _shake_details(rng):
    return {"angle": rng.uniform(0, np.pi)}


def _focus_details(rng):
    return {"lens": str(rng.choice(["gaussian", "disc", "light"]))}


def _noise_details(rng):
    """Channels differ as sensors' do; half is white, the other half softened by demosaicing or denoising."""
    soft = rng.choice([0.0, rng.uniform(0.3, 0.7)], p=[0.5, 0.5])
    return {
        "soft": float(soft),
        "gray": float(rng.choice([0.0, rng.uniform(0.3, 1)])),
        "channels": np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.05, 0.4, 3) * (1, 0, 1),
        "slope": float(rng.choice([0.0, rng.uniform(-0.6, 0.6)], p=[0.4, 0.6])),  # how it grows with brightness
    }


def _scale_details(rng):
    names = ["nearest", "linear", "cubic", "area", "lanczos"]
    return {
        "down": str(rng.choice(names[1:], p=[0.3, 0.2, 0.4, 0.1])),
        "up": str(rng.choice(names, p=[0.06, 0.42, 0.32, 0.04, 0.16])),
    }


def _codec_details(rng):
    codec = str(rng.choice(["libx264", "libx265"], p=[0.72, 0.28]))
    presets = {"libx264": ["ultrafast", "superfast", "veryfast", "medium"], "libx265": ["ultrafast", "superfast"]}
    chances = {"libx264": [0.1, 0.4, 0.45, 0.05], "libx265": [0.85, 0.15]}
    return {
        "codec": codec,
        "preset": str(rng.choice(presets[codec], p=chances[codec])),
        "gop": int(rng.choice([12, 24, 48, 250])),
        "b_frames": bool(rng.random() < 0.5),
        "starved": bool(codec == "libx264" and rng.random() < 0.15),
    }


DETAILS = {
    "shake": _shake_details,
    "focus": _focus_details,
    "noise": _noise_details,
    "scale": _scale_details,
    "codec": _codec_details,
}

# ---------------------------------------------------------------- doing it: uint8 RGB frames in and out


def apply(rng, plan, frames):
    """Damage a video.

    Args:
        rng: draws the noise, and nothing of the plan.
        plan: a Plan; steps happen in ORDER.
        frames: uint8 RGB (num_frames, height, width, 3); changed in place where that saves memory.
    """
    noise = NoiseMaker(rng, frames.shape[1:], plan.details.get("noise", {}))
    for index in range(len(frames)):
        frame = expose(frames[index], stops=plan.strength("over")[index] - plan.strength("under")[index])
        frame = shake(frame, length=plan.strength("shake")[index], **plan.details.get("shake", {}))
        frame = defocus(frame, sigma=plan.strength("focus")[index], **plan.details.get("focus", {}))
        frame = noise.add(frame, sigma=plan.strength("noise")[index])
        frames[index] = rescale(frame, factor=plan.strength("scale")[index], **plan.details.get("scale", {}))
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
        self.field = np.clip(field / field.std() * 24, -127, 127).astype(np.float32)
        self.growth = 2 ** (details.get("slope", 0.0) * (np.arange(256) / 64 - 2))

    def add(self, frame, *, sigma):
        """Noise of deviation `sigma` over this frame, on top of the finest noise of the camera."""
        height, width = frame.shape[:2]
        top = self.rng.integers(self.field.shape[0] - height + 1)
        left = self.rng.integers(self.field.shape[1] - width + 1)
        piece = self.field[top : top + height, left : left + width]
        piece = piece[:: self.rng.choice([-1, 1]), :: self.rng.choice([-1, 1])]
        sigma = np.hypot(sigma, self.finest)
        if np.ptp(self.growth) == 0:
            return cv2.add(frame, piece * np.float32(sigma / 24), dtype=cv2.CV_8U)
        counts = cv2.calcHist([frame[..., 1]], [0], None, [256], [0, 256])[:, 0]
        level = self.growth * sigma / 24 / np.sqrt(np.average(self.growth**2, weights=counts))
        return cv2.add(frame, cv2.multiply(piece, cv2.LUT(frame, level.astype(np.float32))), dtype=cv2.CV_8U)


INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


def rescale(frame, *, factor, down="area", up="linear", shape="steady"):
    """Smaller by `factor`, and back to its size."""
    height, width = frame.shape[:2]
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
        options["crf"] = str(min(51, crf + H265_STEPS))
        return decode(encode(frames, fps=fps, codec=codec, options=options))
    data = encode(frames, fps=fps, codec=codec, options={**options, "crf": str(crf)})
    if starved:
        rate = str(max(2000, int(len(data) * 8 * fps / len(frames))))
        limits = {"b": rate, "maxrate": rate, "bufsize": str(int(rate) // 2)}
        data = encode(frames, fps=fps, codec=codec, options={**options, **limits})
    return decode(data)


def encode(frames, *, fps, codec, options, container="matroska", pixel_format="yuv420p"):
    """A video file as bytes, the same on every run: one thread, and no x264 macroblock tree beside B frames.

    (Measured with the x264 in PyAV 18: that pair gave up to 11 different files in 12 runs; either alone, one.)

    Args:
        frames: uint8 RGB (num_frames, height, width, 3).
        codec: a name of FFmpeg's.
        options: of the codec, as strings.
    """
    if codec == "libx264" and options.get("bf") != "0":
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
