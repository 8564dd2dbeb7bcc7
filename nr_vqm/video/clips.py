"""Clip grids: positions of the clips of a video in time and space, and cropping of the clips."""

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np


class TooFewFrames(ValueError):
    """A video has fewer frames than its clip grid was planned for."""


@dataclasses.dataclass(frozen=True)
class ClipGrid:
    """Positions of the clips of a video: every start is combined with every top and every left.

    Attributes:
        starts: first frame of each group, in time order; starts repeat in a short video.
        tops, lefts: rows and columns of the upper left corners of the blocks in the padded frame, in pixels.
        clip_frames, clip_size: clip length in frames; clip height and width in pixels.
        height, width: size of the padded frame, in pixels; larger than the video only if that is smaller than a clip.
        downscale: each frame is resized to height x width, the size of one clip.
    """

    starts: tuple[int, ...]
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    clip_frames: int
    clip_size: int
    height: int
    width: int
    downscale: bool = False

    @property
    def corners(self) -> list[tuple[int, int]]:
        """Upper left corner (top, left) of every block, row by row."""
        return [(top, left) for top in self.tops for left in self.lefts]

    @property
    def num_clips(self) -> int:
        """Number of clips of the video: groups x blocks."""
        return len(self.starts) * len(self.tops) * len(self.lefts)


def even_starts(have: int, need: int, count: int) -> tuple[int, ...]:
    """Return evenly spaced start positions of `count` intervals of length `need` within the length `have`.

    The first interval starts at 0 and the last one ends at `have`; a single interval is centred. Halves are rounded up.

    >>> even_starts(20, 6, 3)
    (0, 7, 14)
    >>> even_starts(7, 6, 3)  # fewer distinct starts than intervals: starts repeat
    (0, 1, 1)

    Raises:
        ValueError: `have` is less than `need`.
    """
    room = have - need
    if room < 0:
        raise ValueError(f"Too short: {have} {'frame' if have == 1 else 'frames'}; this model needs {need}.")
    if count == 1:
        return (room // 2,)
    return tuple((2 * i * room + count - 1) // (2 * (count - 1)) for i in range(count))


def even_corners(have: int, need: int, count: int, *, stride: int) -> tuple[int, ...]:
    """Return evenly spaced start positions, rounded to the nearest multiples of `stride` that fit.

    Multiples of the total stride of the pooling layers let all clips share one convolution over the frame.

    >>> even_corners(540, 224, 4, stride=16)
    (0, 112, 208, 304)
    """
    last = (have - need) // stride
    return tuple(min((start + stride // 2) // stride, last) * stride for start in even_starts(have, need, count))


def plan_grid(
    num_frames: int,
    height: int,
    width: int,
    *,
    num_groups: int,
    block_grid: tuple[int, int],
    clip_frames: int,
    clip_size: int,
    stride: int,
    downscale: bool,
) -> ClipGrid:
    """Plan the clip grid of one video.

    Args:
        num_frames: length of the video, in frames.
        height, width: frame size of the video, in pixels.
        num_groups: number of positions in time.
        block_grid: number of positions in the frame, as (rows, columns).
        clip_frames, clip_size: clip length in frames; clip height and width in pixels.
        stride: block corners are multiples of this, in pixels.
        downscale: resize each frame to one clip, for the ablation; all blocks are then the same.

    Raises:
        ValueError: the video is shorter than one clip.

    Source: ICIP 2019, section 2; rounding and padding are ours, decision 0002.

    >>> sizes = {"clip_frames": 16, "clip_size": 224, "stride": 16, "downscale": False}
    >>> grid = plan_grid(240, 540, 960, num_groups=3, block_grid=(2, 4), **sizes)
    >>> grid.starts, grid.tops, grid.lefts
    ((0, 112, 224), (0, 304), (0, 240, 496, 736))
    >>> grid.num_clips
    24
    """
    height, width = (clip_size,) * 2 if downscale else (max(height, clip_size), max(width, clip_size))
    rows, columns = block_grid
    return ClipGrid(
        starts=even_starts(num_frames, clip_frames, num_groups),
        tops=even_corners(height, clip_size, rows, stride=stride),
        lefts=even_corners(width, clip_size, columns, stride=stride),
        clip_frames=clip_frames,
        clip_size=clip_size,
        height=height,
        width=width,
        downscale=downscale,
    )


def pad_frame(frame: np.ndarray, grid: ClipGrid) -> np.ndarray:
    """Pad a frame that is smaller than a clip by reflection, at the bottom and at the right.

    A grid with `downscale` resizes the frame instead, by area averaging.

    Args:
        frame: uint8, shape (height, width, 3).
        grid: clip grid that was planned for this height and width.

    Returns:
        uint8, shape (grid.height, grid.width, 3); the same array if no padding is needed.
    """
    if grid.downscale:
        return cv2.resize(frame, (grid.width, grid.height), interpolation=cv2.INTER_AREA)
    below, right = grid.height - frame.shape[0], grid.width - frame.shape[1]
    if below or right:
        return np.pad(frame, ((0, below), (0, right), (0, 0)), mode="reflect")
    return frame


def iter_groups(frames: Iterable[np.ndarray], grid: ClipGrid) -> Iterator[np.ndarray]:
    """Yield the clips of a video one group at a time, in time order.

    A generator, because all clips of one video can be several gigabytes: it keeps the frames of one group.

    Args:
        frames: uint8 RGB, shape (height, width, 3), values 0-255.
        grid: clip grid of the video.

    Yields:
        uint8 RGB, shape (num_blocks, clip_frames, clip_size, clip_size, 3), blocks row by row.

    Raises:
        TooFewFrames: the frames end before the last group is complete.
    """
    recent: deque[np.ndarray] = deque(maxlen=grid.clip_frames)
    waiting = deque(grid.starts)
    count = 0
    for count, frame in enumerate(frames, start=1):
        recent.append(pad_frame(frame, grid))
        while waiting and waiting[0] + grid.clip_frames == count:
            waiting.popleft()
            yield cut_blocks(np.stack(recent), grid)
        if not waiting:
            return
    needed = grid.starts[-1] + grid.clip_frames
    raise TooFewFrames(f"The clip grid needs {needed} frames, the video has {count}. Prepare it again: make prep.")


def cut_blocks(group: np.ndarray, grid: ClipGrid) -> np.ndarray:
    """Crop all blocks of one group.

    Args:
        group: uint8, shape (clip_frames, grid.height, grid.width, 3).
        grid: clip grid of the video.

    Returns:
        uint8, shape (num_blocks, clip_frames, clip_size, clip_size, 3), blocks row by row.
    """
    size = grid.clip_size
    return np.stack([group[:, top : top + size, left : left + size] for top, left in grid.corners])
