"""Which frames of a video the hand-crafted methods look at."""


def sampled_frames(num_frames: int, fps: float) -> list[int]:
    """Choose one frame a second.

    Args:
        num_frames: frames of the video, at least 1.
        fps: frames per second, above 0.

    Returns:
        ascending frame numbers, counted from 0: with R = round(fps), R/2 - 1 and every R-th after it, up to
        num_frames - 4; the middle frame where that gives none.

    Source: vztu/BVQA_Benchmark, whose published BRISQUE rows these frames reproduce; the middle frame is our choice.
    """
    second = _whole_second(fps)
    return list(range(_first_frame(second), num_frames - LAST_FRAMES, second)) or [num_frames // 2]


LAST_FRAMES = 3  # that are never sampled


def _whole_second(fps):
    """Frames in a second: fps rounded half up, at least 1."""
    if not fps > 0:
        raise ValueError(f"A frame rate above 0 is needed to sample one frame a second. Received: {fps:g}.")
    return max(1, int(fps + 0.5))


def _first_frame(second):
    return max(second // 2 - 1, 0)
