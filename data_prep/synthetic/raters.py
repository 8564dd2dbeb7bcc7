"""Simulated raters: temporal pooling of the quality of a video, and votes."""

import numpy as np

MEMORY_SECONDS = 2.0  # tau; Seshadrinathan & Bovik 2011
CURRENT_SHARE = 0.8  # alpha, the share of the current component; Seshadrinathan & Bovik 2011
HALF_GAUSSIAN_WIDTHS = 2.5  # the weights cover 2.5 standard deviations, as in the authors' program
RECENCY_SECONDS = 1.5  # decision 0003; that the end weighs more: Hands & Avons 2001
RECENCY_GAIN = 1.5  # decision 0003: the last frame weighs 2.5 times a frame far from the end
NUM_RATERS = 24  # ITU-T P.910 and BT.500 ask for 15 to 24 and more
BIAS = 0.25  # standard deviation of the raters' offsets, in grades; decision 0003
INCONSISTENCY = 0.5  # standard deviation of one rater's repeated votes, in grades; decision 0003


def hysteresis(quality: np.ndarray, *, memory_frames: int) -> np.ndarray:
    """Pool the quality of frames by temporal hysteresis: raters remember bad moments longer than good ones.

    Per frame, 0.8 of the current component (the next `memory_frames` frames sorted, the worst weighing most, by the
    falling half of a Gaussian) and 0.2 of the memory component (the worst of the last `memory_frames` frames).

    Args:
        quality: float (num_frames,), higher is better.
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


def falling_weights(count: int) -> np.ndarray:
    """Return the falling half of a Gaussian: float64 (count,), sum 1."""
    weights = np.exp(-0.5 * (HALF_GAUSSIAN_WIDTHS * np.arange(count) / max(count - 1, 1)) ** 2)
    return weights / weights.sum()


def pool(quality: np.ndarray, *, fps: float) -> float:
    """Pool the quality of frames over a video: temporal hysteresis, then a mean that weights the end more.

    The recency effect: Hands & Avons, "Recency and duration neglect in subjective assessment of television picture
    quality", Applied Cognitive Psychology 15, 2001. Its form and size here are ours, decision 0003.
    """
    perceived = hysteresis(quality, memory_frames=max(1, round(MEMORY_SECONDS * fps)))
    before_end = (len(perceived) - 1 - np.arange(len(perceived))) / fps
    return float(np.average(perceived, weights=1 + RECENCY_GAIN * np.exp(-before_end / RECENCY_SECONDS)))


def vote(rng: np.random.Generator, quality: float) -> np.ndarray:
    """Draw the votes of NUM_RATERS raters for one video.

    Args:
        rng: generator of the raters' offsets and inconsistency.
        quality: pooled quality of the video, 1-5.

    Returns:
        float64 (NUM_RATERS,), on the continuous scale 1-5.
    """
    bias = rng.normal(0, BIAS, NUM_RATERS)
    noise = rng.normal(0, INCONSISTENCY, NUM_RATERS)
    return np.clip(quality + bias + noise, 1, 5)
