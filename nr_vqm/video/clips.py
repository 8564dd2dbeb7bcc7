"""Where the clips of a video are, and cutting them. The only place in the project that does either."""

import dataclasses
from collections import deque

import cv2
import numpy as np


class TooFewFrames(ValueError):
    """A video gave fewer frames than its clip grid was planned for."""


@dataclasses.dataclass(frozen=True)
class ClipGrid:
    """The places of a video's clips: every start is combined with every top and every left.

    Attributes:
        starts: first frame of each group, in time order; may repeat in a short video.
        tops, lefts: upper left corners of the blocks in the padded picture, multiples of the stride.
        clip_frames, clip_size: length in frames, height and width in pixels.
        height, width: of the padded picture; larger than the video only where that is smaller than a clip.
        downscale: pictures are resized to height x width, which is one clip.
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
    def corners(self):
        """(top, left) of every block, row by row."""
        return [(top, left) for top in self.tops for left in self.lefts]

    @property
    def num_clips(self):
        """Clips of the whole video: groups x blocks."""
        return len(self.starts) * len(self.tops) * len(self.lefts)


def even_starts(have, need, count):
    """`count` starts of pieces of length `need`, spread evenly over `have`; one piece goes in the middle.

    The last piece ends at the end. Halves are rounded up.

    Raises:
        ValueError: `have` is shorter than `need`.
    """
    room = have - need
    if room < 0:
        raise ValueError(f"One clip needs {need} frames, the video has {have}. Leave it out, or use shorter clips.")
    if count == 1:
        return (room // 2,)
    return tuple((2 * i * room + count - 1) // (2 * (count - 1)) for i in range(count))


def even_corners(have, need, count, *, stride):
    """Like `even_starts`, each snapped to the nearest multiple of `stride` that still fits.

    Corners on the stride of the network's poolings let all clips share one convolution over the frame.
    """
    last = (have - need) // stride
    return tuple(min((start + stride // 2) // stride, last) * stride for start in even_starts(have, need, count))


def plan_grid(num_frames, height, width, *, num_groups, block_grid, clip_frames, clip_size, stride, downscale=False):
    """The clip grid of one video.

    Args:
        num_frames, height, width: of the video, in frames and pixels.
        num_groups: positions in time.
        block_grid: positions in the picture, as (rows, columns).
        clip_frames, clip_size: length in frames, height and width in pixels.
        stride: block corners are multiples of it, in pixels.
        downscale: the ablation: the whole picture is resized to one clip; all blocks are that one.

    Raises:
        ValueError: the video is shorter than one clip.

    Source: ICIP 2019, section 2; roundings and padding are ours, decision 0002.
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


def pad_frame(frame, grid):
    """Extend a picture that is smaller than a clip by reflection, at the bottom and the right.

    A downscaled grid resizes the picture instead, each pixel the mean of those it covers.

    Args:
        frame: uint8, shape (height, width, 3).
        grid: the ClipGrid planned for this height and width.

    Returns:
        uint8, shape (grid.height, grid.width, 3); the same array where nothing is missing.
    """
    if grid.downscale:
        return cv2.resize(frame, (grid.width, grid.height), interpolation=cv2.INTER_AREA)
    below, right = grid.height - frame.shape[0], grid.width - frame.shape[1]
    if below or right:
        return np.pad(frame, ((0, below), (0, right), (0, 0)), mode="reflect")
    return frame


def iter_groups(frames, grid):
    """Yield the clips of a video one group at a time, in time order.

    A generator, because all clips of one video can be several gigabytes: it keeps the frames of one group.

    Args:
        frames: iterable of uint8 RGB, shape (height, width, 3).
        grid: ClipGrid.

    Yields:
        uint8 RGB, shape (num_blocks, clip_frames, clip_size, clip_size, 3), blocks row by row.

    Raises:
        TooFewFrames: the frames end before the last group does.
    """
    recent = deque(maxlen=grid.clip_frames)
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
    raise TooFewFrames(f"The clip grid needs {needed} frames, the video gave {count}. Prepare it again: make prep.")


def cut_blocks(group, grid):
    """All blocks of one group.

    Args:
        group: uint8, shape (clip_frames, grid.height, grid.width, 3).
        grid: the ClipGrid of the video.

    Returns:
        uint8, shape (num_blocks, clip_frames, clip_size, clip_size, 3), blocks row by row.
    """
    size = grid.clip_size
    return np.stack([group[:, top : top + size, left : left + size] for top, left in grid.corners])
