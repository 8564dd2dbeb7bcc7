"""Full batches of whole videos, decoded while they are needed: all groups of each video, in a few drawn regions."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nr_vqm.dataset import mos_scale
from nr_vqm.dataset.manifest import Video
from nr_vqm.video import clips, reader


class VideoBatches:
    """Full batches of videos, each video once per epoch.

    Training shuffles, draws other regions in every epoch, and drops the remainder. Validation keeps the order and the
    regions, and pads the last batch with weight 0.

    A batch is (frames, starts, quality, weight): uint8 RGB of shape (batch, regions, num_frames, rows, columns, 3);
    int32 (batch, num_groups), the first frame of each group among these frames; float32 (batch, 1) on the 1-5 scale;
    and float32 (batch,).
    """

    part = (0, 1)  # one process reads whole batches

    def __init__(
        self,
        videos: Sequence[Video],
        *,
        num_frames: int,
        num_regions: int,
        region_size: tuple[int, int],
        batch_size: int,
        shuffle_seed: int | None,
        mirror: bool,
        **clip_settings: Any,
    ) -> None:
        """Prepare the first epoch.

        Args:
            videos: usable videos with absolute paths.
            num_frames: frames that are read of each video, at least those of `most_frames`; shorter ones are padded.
            num_regions: regions of each video.
            region_size: their height and width in pixels.
            batch_size: videos in a batch, over all replicas.
            shuffle_seed: seed of the order, the regions and the mirroring; None for validation.
            mirror: flip each video left-right and top-bottom, each with probability 1/2.
            clip_settings: num_groups, clip_frames, clip_size, stride and downscale, as in `clips.plan_grid`.

        Raises:
            ValueError: there are fewer videos than one batch to train on.
        """
        if shuffle_seed is not None and len(videos) < batch_size:
            raise ValueError(
                f"One batch needs {batch_size} videos, the training part has {len(videos)}. Use a smaller "
                "fcn_lstm_batch_size."
            )
        self.videos, self.clip_settings = list(videos), clip_settings
        self.num_frames, self.num_regions, self.region_size = num_frames, num_regions, region_size
        self.batch_size, self.shuffle_seed, self.mirror = batch_size, shuffle_seed, mirror
        self.error: Exception | None = None
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Arrange the videos as in epoch `epoch`, from 0, so that a resumed training draws as if uninterrupted."""
        self.epoch, self.order = epoch, np.arange(len(self.videos))
        if self.shuffle_seed is not None:
            self.order = np.random.default_rng([self.shuffle_seed, epoch]).permutation(self.order)

    def __len__(self) -> int:
        """Number of batches per epoch."""
        rounded = math.ceil if self.shuffle_seed is None else math.floor
        return rounded(len(self.videos) / self.batch_size)

    def read(self, index: int, part: tuple[int, int]) -> tuple[np.ndarray, ...]:
        """Read batch number `index`, or one part of it, as (index, count) of equal parts; see the class."""
        size = self.batch_size // part[1]
        rows = self.order[index * self.batch_size :][part[0] * size : (part[0] + 1) * size]
        arrays: list[np.ndarray] = [np.zeros((size, *shape[1:]), dtype) for shape, dtype in self.signature()]
        frames, starts, quality, weight = arrays
        quality[:] = 3
        for position, row in enumerate(rows):
            starts[position] = self._read_video(row, frames[position])
            video = self.videos[row]
            quality[position] = mos_scale.to_unit_5(video.mos, video.mos_low, video.mos_high)
            weight[position] = 1
        return frames, starts, quality, weight

    def signature(self) -> list[tuple[tuple[int, ...], type]]:
        """Return the (shape, type) of each array of a batch."""
        size, groups = self.batch_size, self.clip_settings["num_groups"]
        frames = (size, self.num_regions, self.num_frames, *self.region_size, 3)
        return [(frames, np.uint8), ((size, groups), np.int32), ((size, 1), np.float32), ((size,), np.float32)]

    def names(self, index: int) -> list[str]:
        """Name the videos of a batch for messages."""
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return [self.videos[row].video_id for row in rows]

    def _read_video(self, row: int, target: np.ndarray) -> np.ndarray:
        """Fill target, uint8 (regions, num_frames, rows, columns, 3); return the starts of the groups in it."""
        video = self.videos[row]
        # Seeded by the video: the draw does not depend on the batch, on the order of reading, or on the replica.
        rng = np.random.default_rng([self.shuffle_seed or 0, self.epoch, row])
        grid = self._grid(video)
        corners = [rng.integers(0, np.subtract((grid.height, grid.width), self.region_size) + 1) for _ in target]
        flip_rows, flip_columns = rng.random(2) < (0.5 if self.mirror else 0)
        oriented = target[:, :, :: -1 if flip_rows else 1, :: -1 if flip_columns else 1]
        used = used_frames(grid)
        position = {frame: number for number, frame in enumerate(used.tolist())}
        try:
            with reader.read_frames(video.path, video.raw) as frames:
                for number, frame in zip(range(used[-1] + 1), frames, strict=False):
                    if number in position:
                        _cut_regions(clips.pad_frame(frame, grid), corners, oriented[:, position[number]])
        except (ValueError, OSError) as error:
            raise ValueError(f"The prepared video {video.video_id!r} cannot be read: {error}") from error
        if frames.decoded <= used[-1]:
            raise ValueError(
                f"Video {video.video_id!r} has fewer frames than when it was prepared. Run again: make prep."
            )
        return np.searchsorted(used, grid.starts)

    def _grid(self, video: Video) -> clips.ClipGrid:
        """Plan the groups of a video; the frame is padded to the size of a region where it is smaller."""
        grid = clips.plan_grid(video.frames, video.height, video.width, block_grid=(1, 1), **self.clip_settings)
        height, width = self.region_size
        return dataclasses.replace(grid, height=max(grid.height, height), width=max(grid.width, width))


def _cut_regions(frame: np.ndarray, corners: Sequence[np.ndarray], target: np.ndarray) -> None:
    """Copy the regions of one frame to target, uint8 (regions, rows, columns, 3)."""
    _, height, width, _ = target.shape
    for (top, left), region in zip(corners, target, strict=True):
        region[:] = frame[top : top + height, left : left + width]


def used_frames(grid: clips.ClipGrid) -> np.ndarray:
    """Return the numbers of the frames that belong to a group, ascending."""
    return np.unique(np.add.outer(grid.starts, np.arange(grid.clip_frames)))


def most_frames(videos: Sequence[Video], *, num_groups: int, clip_frames: int) -> int:
    """Return the largest number of frames in the groups of any of these videos.

    It is at most num_groups * clip_frames, whatever the length of the videos.

    Args:
        videos: usable videos.
        num_groups, clip_frames: as in `clips.plan_grid`.
    """
    starts = {one.frames: clips.even_starts(one.frames, clip_frames, num_groups) for one in videos}
    return max(len(np.unique(np.add.outer(one, np.arange(clip_frames)))) for one in starts.values())
