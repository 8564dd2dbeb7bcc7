"""Simulated people: how they remember a video that changes, and how they vote."""

import numpy as np

MEMORY_SECONDS = 2.0  # tau; Seshadrinathan & Bovik 2011
CURRENT_SHARE = 0.8  # alpha, the share of the current component; Seshadrinathan & Bovik 2011
HALF_GAUSSIAN_WIDTHS = 2.5  # the weights run over 2.5 deviations, as in the authors' program
RECENCY_SECONDS = 1.5  # decision 0003; that the end weighs more: Hands & Avons 2001
RECENCY_GAIN = 1.5  # decision 0003: the last frame weighs 2.5 times a frame far from the end
NUM_RATERS = 24  # ITU-T P.910 and BT.500 ask for 15 to 24 and more
BIAS = 0.25  # deviation of a rater's own zero point, in grades; decision 0003
INCONSISTENCY = 0.5  # deviation of a rater from vote to vote, in grades; decision 0003


def hysteresis(quality, *, memory_frames):
    """The quality that people report while they watch: bad moments are remembered, good ones soon taken for granted.

    Per frame, 0.8 of the current component (the next `memory_frames` frames sorted, the worst weighing most, by the
    falling half of a Gaussian) and 0.2 of the memory component (the worst of the last `memory_frames` frames).

    Args:
        quality: (num_frames,) quality of each frame, higher is better.
        memory_frames: tau in frames, at least 1.

    Returns:
        float64 (num_frames,).

    Source: Seshadrinathan & Bovik, "Temporal hysteresis model of time varying subjective video quality", ICASSP 2011.
    """
    quality = np.asarray(quality, np.float64)
    pooled = np.empty_like(quality)
    for frame in range(len(quality)):
        past = quality[max(0, frame - memory_frames) : frame]
        memory = past.min() if frame else quality[0]
        ahead = np.sort(quality[frame : frame + memory_frames])
        current = ahead @ falling_weights(len(ahead))
        pooled[frame] = CURRENT_SHARE * current + (1 - CURRENT_SHARE) * memory
    return pooled


def falling_weights(count):
    """The falling half of a Gaussian, `count` values that sum to 1."""
    weights = np.exp(-0.5 * (HALF_GAUSSIAN_WIDTHS * np.arange(count) / max(count - 1, 1)) ** 2)
    return weights / weights.sum()


def pool(quality, *, fps):
    """One quality for the whole video: temporal hysteresis, then a mean in which the end weighs more.

    The recency effect: Hands & Avons, "Recency and duration neglect in subjective assessment of television picture
    quality", Applied Cognitive Psychology 15, 2001. Its form and size here are ours, decision 0003.
    """
    felt = hysteresis(quality, memory_frames=max(1, round(MEMORY_SECONDS * fps)))
    before_end = (len(felt) - 1 - np.arange(len(felt))) / fps
    return float(np.average(felt, weights=1 + RECENCY_GAIN * np.exp(-before_end / RECENCY_SECONDS)))


def vote(rng, quality):
    """Votes of NUM_RATERS people for one video, on a continuous scale from 1 to 5.

    Args:
        rng: a numpy Generator.
        quality: what they would agree on, 1-5.
    """
    bias = rng.normal(0, BIAS, NUM_RATERS)
    noise = rng.normal(0, INCONSISTENCY, NUM_RATERS)
    return np.clip(quality + bias + noise, 1, 5)
