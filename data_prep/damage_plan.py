"""What damages video between the scene and the viewer, in the order in which it happens, and how bad it looks.

Every damage has a strength in a unit people know and a table strength -> impairment. Impairment 0 cannot be seen, then
the five grades of ITU-R BT.500: 0.25 perceptible, 0.5 slightly annoying, 0.75 annoying, 1 very annoying. The tables are
our choice from common knowledge, with no person's vote in them: decision 0003.
"""

import dataclasses

import numpy as np

# Strength and impairment, both rising; between the points a straight line.
BLUR = ((0, 0.4, 1, 2, 3, 4.2, 6.5), (0, 0.05, 0.27, 0.54, 0.72, 0.87, 1))  # deviation in pixels
TABLES = {
    "under": ((0, 1, 2, 3, 4, 5), (0, 0.05, 0.15, 0.3, 0.45, 0.6)),  # stops too dark
    "over": ((0, 0.4, 1, 1.7, 2.5, 3.2), (0, 0.05, 0.18, 0.38, 0.6, 0.75)),  # stops too bright
    "shake": ((0, 2, 4.2, 7, 10, 14, 20, 28), (0, 0.14, 0.36, 0.5, 0.61, 0.74, 0.87, 1)),  # pixels moved
    "focus": BLUR,
    "noise": ((0, 0.8, 2, 4, 8, 14, 20, 30), (0, 0.01, 0.07, 0.22, 0.5, 0.75, 0.88, 1)),  # deviation of 8-bit luma
    "scale": BLUR,  # of the blur that it amounts to: what looks alike is judged alike
    "codec": ((14, 18, 22, 28, 32, 36, 40, 45, 51), (0, 0.04, 0.11, 0.18, 0.26, 0.36, 0.49, 0.71, 1)),  # CRF of H.264
    "freeze": ((0, 0.12, 0.3, 0.6, 1.2, 2.2), (0, 0.12, 0.33, 0.55, 0.8, 1)),  # seconds
    "drop": ((1, 2, 3, 4, 6, 8, 12), (0, 0.2, 0.42, 0.56, 0.75, 0.87, 1)),  # frames that one picture stays
}
ORDER = tuple(TABLES)  # light, sensor, scaling, codec, player: the order in which damage happens
EXPONENT = 3  # of the Minkowski sum over damages; decision 0003
KNEE = 6  # how sharply the sum saturates at 1; decision 0003


@dataclasses.dataclass
class Plan:
    """All damage of one video.

    `strengths` has one array (num_frames,) per damage in the units of TABLES; `details` how each is done, and "shape".
    """

    num_frames: int
    fps: int
    strengths: dict
    details: dict
    source_crf: int | None = None  # of the camera's own H.264 file, before all damage; None: no file before

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

# Weights of the kinds of damage; noise takes part in three of ten damaged videos, as in users' own videos.
SOURCE_CODED = 0.5  # of the videos were a camera's compressed file before anything happened to them
SOURCE_CRF = (14, 23)  # of H.264: hardly seen, so not counted
UNDAMAGED = 0.08
SINGLE = 0.9
CHANGING = 0.22  # freezes and dropped frames always change, the others at this rate
SPREAD = (0.7, 0.7)  # of a beta distribution: all impairments, the ends more often, as the demo learns from few
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
    source_crf = int(rng.integers(*SOURCE_CRF)) if rng.random() < SOURCE_CODED else None
    plan = Plan(num_frames, fps, {}, {}, source_crf)
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
    soft = rng.choice([0.0, rng.uniform(0.3, 0.6)], p=[0.6, 0.4])
    return {
        "soft": float(soft),
        "gray": float(rng.choice([0.0, rng.uniform(0.3, 1)], p=[0.65, 0.35])),
        "channels": np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.05, 0.4, 3) * (1, 0, 1),
        "slope": float(rng.choice([0.0, rng.uniform(-0.4, 0.4)], p=[0.6, 0.4])),  # how it grows with brightness
    }


def _scale_details(rng):
    return {
        "down": str(rng.choice(["linear", "cubic", "area", "lanczos"], p=[0.3, 0.2, 0.4, 0.1])),
        "up": str(rng.choice(["linear", "cubic", "lanczos"], p=[0.42, 0.4, 0.18])),
    }


def _codec_details(rng):
    codec = str(rng.choice(["libx264", "libx265"], p=[0.8, 0.2]))
    presets = {"libx264": ["ultrafast", "superfast", "veryfast", "medium"], "libx265": ["ultrafast", "superfast"]}
    chances = {"libx264": [0.05, 0.45, 0.45, 0.05], "libx265": [0.7, 0.3]}
    return {
        "codec": codec,
        "preset": str(rng.choice(presets[codec], p=chances[codec])),
        "gop": int(rng.choice([12, 24, 48, 250])),
        "b_frames": bool(rng.random() < 0.5),
        "starved": bool(codec == "libx264" and rng.random() < 0.04),
    }


DETAILS = {
    "shake": _shake_details,
    "focus": _focus_details,
    "noise": _noise_details,
    "scale": _scale_details,
    "codec": _codec_details,
}
