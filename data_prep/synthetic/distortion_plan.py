"""Distortions of a synthetic video over time, and their visibility.

Every distortion has a strength in a common unit and a table that maps it to an impairment, on the five grades of ITU-R
BT.500: 0 imperceptible, 0.25 perceptible, 0.5 slightly annoying, 0.75 annoying, 1 very annoying. The tables were chosen
from general experience and not fitted to subjective scores: decision 0003.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

# Strength and impairment, both increasing, interpolated linearly.
BLUR = ((0, 0.4, 1, 2, 3, 4.2, 6.5), (0, 0.05, 0.27, 0.54, 0.72, 0.87, 1))  # standard deviation in pixels
TABLES = {
    "under": ((0, 1, 2, 3, 4, 5), (0, 0.05, 0.15, 0.3, 0.45, 0.6)),  # stops too dark
    "over": ((0, 0.4, 1, 1.7, 2.5, 3.2), (0, 0.05, 0.18, 0.38, 0.6, 0.75)),  # stops too bright
    "shake": ((0, 2, 4.2, 7, 10, 14, 20, 28), (0, 0.14, 0.36, 0.5, 0.61, 0.74, 0.87, 1)),  # pixels moved
    "focus": BLUR,
    "noise": (
        (0, 0.8, 2, 4, 8, 14, 20, 30),
        (0, 0.01, 0.07, 0.22, 0.5, 0.75, 0.88, 1),
    ),  # standard deviation of 8-bit luma
    "scale": BLUR,  # standard deviation of the equivalent blur: equal appearance, equal impairment
    "codec": ((14, 18, 22, 28, 32, 36, 40, 45, 51), (0, 0.04, 0.11, 0.18, 0.26, 0.36, 0.49, 0.71, 1)),  # CRF of H.264
    "freeze": ((0, 0.12, 0.3, 0.6, 1.2, 2.2), (0, 0.12, 0.33, 0.55, 0.8, 1)),  # seconds
    "drop": (
        (1, 2, 3, 4, 6, 8, 12),
        (0, 0.2, 0.42, 0.56, 0.75, 0.87, 1),
    ),  # number of frames for which one frame is shown
}
ORDER = tuple(TABLES)  # exposure, lens, sensor, scaling, codec, player: the order of processing
EXPONENT = 3  # of the Minkowski sum over distortions; decision 0003
KNEE = 6  # how sharply the sum saturates at 1; decision 0003


@dataclasses.dataclass
class Plan:
    """The distortions of one video.

    Attributes:
        num_frames: length of the video.
        fps: frames per second.
        strengths: per distortion, float64 (num_frames,) in the unit of its table.
        details: per distortion, the parameters of its function in `distortions`, and "shape", its course over time.
        source_crf: CRF of the camera's own H.264 file, before all distortions; None if the source is not compressed.
        camera_noise: whether the fine noise of a camera is added; a filmed source has its own.
    """

    num_frames: int
    fps: int
    strengths: dict[str, np.ndarray]
    details: dict[str, dict[str, Any]]
    source_crf: int | None = None
    camera_noise: bool = True

    def strength(self, name: str) -> np.ndarray:
        """Return the strength of a distortion per frame, (num_frames,); the lowest of its table if it is absent."""
        return self.strengths.get(name, np.full(self.num_frames, TABLES[name][0][0]))


def impairment(name: str, strength: float | np.ndarray) -> Any:
    """Return the impairment by one distortion, 0-1, as a float or an array like `strength`; increases with it."""
    return np.interp(strength, *TABLES[name])


def strength_for(name: str, wanted: float | np.ndarray) -> Any:
    """Return the strength of a distortion that causes an impairment; the inverse of `impairment`."""
    return np.interp(wanted, *TABLES[name][::-1])


def frame_quality(plan: Plan, *later: Plan, visibility: Mapping[str, float]) -> np.ndarray:
    """Compute the quality of each frame; it decreases when any distortion becomes stronger.

    Args:
        plan: the distortions of the video.
        later: of the same length, applied after it, such as a second encoding.
        visibility: factor per distortion for this content, 1 if absent. It must not depend on the plan.

    Returns:
        float64 (num_frames,), 1-5.
    """
    strengths = [item for one in (plan, *later) for item in one.strengths.items()]
    parts = [visibility.get(name, 1.0) * impairment(name, values) for name, values in strengths]
    total = np.sum([part**EXPONENT for part in parts], axis=0) ** (1 / EXPONENT) if parts else 0.0
    total = total / (1 + total**KNEE) ** (1 / KNEE)
    return 5 - 4 * np.broadcast_to(total, plan.num_frames)


# ---------------------------------------------------------------- distortions of one video


@dataclasses.dataclass(frozen=True)
class Mix:
    """How often distortions occur, and how strong they are.

    Attributes:
        source_coded: fraction of the videos that are a camera's compressed file before all distortions.
        undistorted: fraction of the videos.
        single: fraction of the distorted videos with one entry of `singles`; the others have one of `mixes`.
        changing: fraction with a change over time; freezes and dropped frames always change.
        spread: the two parameters of the beta distribution of impairments.
        singles, mixes: {names of the distortions: weight}.
    """

    source_coded: float
    undistorted: float
    single: float
    changing: float
    spread: tuple[float, float]
    singles: Mapping[tuple[str, ...], float]
    mixes: Mapping[tuple[str, ...], float]


SOURCE_CRF = (14, 23)  # of H.264: hardly visible, so not counted as an impairment
# Mixed distortions of user-generated video: most uploads are coded after all that the camera did.
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
# 30 % of the distorted videos have noise, as in user-generated video.
SYNTHETIC = Mix(
    source_coded=0.5,
    undistorted=0.08,
    single=0.9,
    changing=0.22,
    spread=(0.7, 0.7),  # both ends are frequent, as the demo learns from few videos
    singles={
        ("noise",): 0.27,
        ("codec",): 0.26,
        ("focus",): 0.2,
        ("scale",): 0.18,
        ("shake",): 0.03,
        ("under",): 0.02,
        ("over",): 0.02,
        ("freeze",): 0.01,
        ("drop",): 0.01,
    },
    mixes=MIXES,
)


def make_plan(rng: np.random.Generator, *, num_frames: int, fps: int, mix: Mix = SYNTHETIC) -> Plan:
    """Draw the distortions of one video, from imperceptible to very annoying.

    Distortions that change over time are drawn slightly stronger, because they are visible for a part of the time only.

    Args:
        rng: generator of all choices.
        num_frames: length of the video.
        fps: frames per second.
        mix: frequencies and strengths.
    """
    source_crf = int(rng.integers(*SOURCE_CRF)) if rng.random() < mix.source_coded else None
    plan = Plan(num_frames, fps, {}, {}, source_crf)
    if rng.random() < mix.undistorted:
        return plan
    table = mix.singles if rng.random() < mix.single else mix.mixes
    names = list(table)[rng.choice(len(table), p=np.array(list(table.values())) / sum(table.values()))]
    changes = rng.random() < mix.changing
    wanted = rng.beta(*mix.spread) * (1.25 if changes else 1.05)
    shares = rng.uniform(0.35, 1, len(names))
    shares /= np.sum(shares**EXPONENT) ** (1 / EXPONENT)
    chosen = rng.integers(len(names))  # often only one of several distortions changes
    for number, (name, share) in enumerate(zip(names, shares, strict=True)):
        changing = name in ("freeze", "drop") or (changes and (number == chosen or rng.random() < 0.3))
        _add(rng, plan, name, peak=min(1.0, wanted * share), changes=changing)
    return plan


def _add(rng: np.random.Generator, plan: Plan, name: str, *, peak: float, changes: bool) -> None:
    """Add one distortion to the plan: its strength over time and its details."""
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


def course_of_time(rng: np.random.Generator, num_frames: int) -> tuple[str, np.ndarray]:
    """Draw the course of a distortion over time: its name, and float64 (num_frames,) between a minimum and 1."""
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


def in_steps(course: np.ndarray) -> np.ndarray:
    """Quantise a course to at most four levels, each constant for at least four frames, as a codec needs it."""
    held = np.minimum(np.arange(len(course)) // 4, max(len(course) // 4 - 1, 0)) * 4
    return np.round(course[held] * 3) / 3


def _freezes(rng: np.random.Generator, plan: Plan, peak: float) -> tuple[dict[str, Any], np.ndarray]:
    """Draw one or two freezes.

    Returns:
        {"starts": frames, "length": frames}, and the strength per frame: the seconds of a freeze, decreasing after it.
    """
    length = int(np.clip(round(strength_for("freeze", peak) * plan.fps), 2, plan.num_frames // 2))
    count = 1 + int(rng.random() < 0.3)
    starts = np.sort(rng.choice(np.arange(1, plan.num_frames - length), count, replace=False))
    strengths = np.zeros(plan.num_frames)
    for start in starts:
        after = np.arange(plan.num_frames) - (start + length)
        fading = np.where(after < 0, 1, np.exp(-np.maximum(after, 0) / (0.25 * plan.fps)))
        strengths = np.maximum(strengths, np.where(after >= -length, fading, 0) * length / plan.fps)
    return {"starts": starts.tolist(), "length": length}, strengths


def _shake_details(rng: np.random.Generator) -> dict[str, Any]:
    return {"angle": rng.uniform(0, np.pi)}


def _focus_details(rng: np.random.Generator) -> dict[str, Any]:
    return {"lens": str(rng.choice(["gaussian", "disc", "light"]))}


def _noise_details(rng: np.random.Generator) -> dict[str, Any]:
    """Draw noise with different channels, as in sensors; 60 % is white, the rest softened as by demosaicing."""
    soft = rng.choice([0.0, rng.uniform(0.3, 0.6)], p=[0.6, 0.4])
    return {
        "soft": float(soft),
        "gray": float(rng.choice([0.0, rng.uniform(0.3, 1)], p=[0.65, 0.35])),
        "channels": np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.05, 0.4, 3) * (1, 0, 1),
        "slope": float(rng.choice([0.0, rng.uniform(-0.4, 0.4)], p=[0.6, 0.4])),  # increase with brightness
    }


def _scale_details(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "down": str(rng.choice(["linear", "cubic", "area", "lanczos"], p=[0.3, 0.2, 0.4, 0.1])),
        "up": str(rng.choice(["linear", "cubic", "lanczos"], p=[0.42, 0.4, 0.18])),
    }


def codec_details(rng: np.random.Generator) -> dict[str, Any]:
    """Draw the codec, its preset, key frames, B frames and whether its rate is limited."""
    codec = str(rng.choice(["libx264", "libx265"], p=[0.8, 0.2]))
    presets = {"libx264": ["ultrafast", "superfast", "veryfast", "medium"], "libx265": ["ultrafast", "superfast"]}
    weights = {"libx264": [0.05, 0.45, 0.45, 0.05], "libx265": [0.7, 0.3]}
    return {
        "codec": codec,
        "preset": str(rng.choice(presets[codec], p=weights[codec])),
        "gop": int(rng.choice([12, 24, 48, 250])),
        "b_frames": bool(rng.random() < 0.5),
        "starved": bool(codec == "libx264" and rng.random() < 0.04),
    }


DETAILS: dict[str, Callable[[np.random.Generator], dict[str, Any]]] = {
    "shake": _shake_details,
    "focus": _focus_details,
    "noise": _noise_details,
    "scale": _scale_details,
    "codec": codec_details,
}
