"""Full batches of clips, read from the shards of a data folder."""

import functools
import math
import mmap
import weakref
from collections.abc import Iterable

import cv2
import numpy as np

from nr_vqm.dataset import mos_scale
from nr_vqm.dataset.manifest import Video
from nr_vqm.dataset.shards import ClipTable


class ClipBatches:
    """Full batches of clips, each clip once per epoch.

    Every batch has `batch_size` rows, because a smaller last batch would leave a replica without data. Training drops
    the remainder, a different part of the clips in each epoch; evaluation pads it with rows of weight 0.

    A batch is (clips, quality, weight): uint8 RGB of shape (batch, frames, rows, columns, 3), float32 (batch, 1) on the
    1-5 scale, and float32 (batch,).
    """

    def __init__(
        self,
        table: ClipTable,
        rows: np.ndarray,
        quality: np.ndarray,
        *,
        batch_size: int,
        shuffle_seed: int | None,
        mirror: bool,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        """Prepare the first epoch.

        Args:
            table: the clips of a data folder.
            rows: int (num_used,), the rows of the table to use.
            quality: float32 (num_clips,), on the 1-5 scale, one value per row of the table.
            batch_size: clips in a batch, over all replicas.
            shuffle_seed: seed of the order, which differs between epochs; the remainder is dropped. None keeps the
                order and pads the last batch.
            mirror: flip each clip left-right and top-bottom, each with probability 1/2, drawn again in every epoch.
            part: (index, count) of the processes that share a batch, of which this one reads its own part.

        Raises:
            ValueError: there are fewer clips than one batch to train on.
        """
        if shuffle_seed is not None and len(rows) < batch_size:
            raise ValueError(
                f"One batch needs {batch_size} clips, the training part has {len(rows)}. Use a smaller batch_size."
            )
        self.table, self.rows, self.quality = table, np.asarray(rows), quality
        self.batch_size, self.shuffle_seed, self.mirror = batch_size, shuffle_seed, mirror
        self.part = part
        self.error: Exception | None = None
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Arrange the clips as in epoch `epoch`, from 0, so that a resumed training shuffles as if uninterrupted."""
        self.epoch = epoch
        if self.shuffle_seed is None:
            self.order = self.rows
        else:
            self.order = np.random.default_rng([self.shuffle_seed, self.epoch]).permutation(self.rows)

    def __len__(self) -> int:
        """Number of batches per epoch."""
        rounded = math.ceil if self.shuffle_seed is None else math.floor
        return rounded(len(self.rows) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read batch number `index` whole."""
        return self.read(index, (0, 1))

    def read(self, index: int, part: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read batch number `index`, or one part of it.

        Args:
            index: number of the batch, from 0.
            part: (index, count) of equal parts of the batch.

        Returns:
            (clips, quality, weight), see the class.
        """
        size = self.batch_size // part[1]
        own = slice(part[0] * size, (part[0] + 1) * size)
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size][own]
        clips = _batch_memory((size, *self.table.clip_shape)).take()
        quality = np.full((size, 1), 3, np.float32)
        weight = np.zeros(size, np.float32)
        # Seeded by the batch: the result does not depend on the order of reading, or on which process reads.
        rng = np.random.default_rng([self.shuffle_seed or 0, self.epoch, index])
        flips = (rng.random((2, self.batch_size)) < (0.5 if self.mirror else 0))[:, own]
        clip, scratch = np.empty(self.table.clip_shape, np.uint8), self.table.scratch()
        for position, row in enumerate(rows):
            flipped = flips[:, position].any()
            self.table.read_into(row, clip if flipped else clips[position], scratch)
            if flipped:
                copy_flipped(clip, clips[position], top_bottom=flips[0, position], left_right=flips[1, position])
        clips[len(rows) :] = 0
        quality[: len(rows), 0], weight[: len(rows)] = self.quality[rows], 1
        return clips, quality, weight

    def signature(self) -> list[tuple[tuple[int, ...], type]]:
        """Return the (shape, type) of each array that `read` returns for this process's part."""
        size = self.batch_size // self.part[1]
        return [((size, *self.table.clip_shape), np.uint8), ((size, 1), np.float32), ((size,), np.float32)]

    def names(self, index: int) -> list[str]:
        """Name the clips of a batch for messages: 'VIDEO clip 3', counted from 0 in each video."""
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        video = self.table.video[rows]
        numbers = rows - np.searchsorted(self.table.video, video)
        return [f"{self.table.video_ids[one]} clip {number}" for one, number in zip(video, numbers, strict=True)]


def copy_flipped(clip: np.ndarray, target: np.ndarray, *, top_bottom: bool, left_right: bool) -> None:
    """Copy a clip, flipped in one direction or both.

    Args:
        clip: uint8 (frames, rows, columns, 3), contiguous.
        target: array of the same shape and type, which is filled.
        top_bottom: reverse the rows.
        left_right: reverse the columns. At least one of the two must be true.
    """
    if top_bottom:
        np.copyto(target, clip[:, ::-1])
        clip = target
    if left_right:  # all frames stacked into one tall image: one call is faster than one per frame
        tall = (-1, *clip.shape[2:])
        cv2.flip(clip.reshape(tall), 1, dst=target.reshape(tall))


class BatchMemory:
    """Reusable memory for batches: requesting 38 MB from the kernel costs as much time as filling them.

    Attributes:
        shape: of the uint8 arrays.
        free: memory that no array uses at the moment.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Start without any memory; `take` allocates it."""
        self.shape = shape
        self.free: list[mmap.mmap] = []

    def take(self) -> np.ndarray:
        """Return a uint8 array with undefined content, at an address that TensorFlow uses without copying."""
        try:
            memory = self.free.pop()
        except IndexError:
            memory = mmap.mmap(-1, math.prod(self.shape), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        array = np.frombuffer(memory, np.uint8)
        # Every view keeps a reference to the array, so this runs when the last view is gone, also those of TensorFlow.
        weakref.finalize(array, self.free.append, memory).atexit = False
        return array.reshape(self.shape)


@functools.lru_cache(maxsize=1)  # TensorFlow never releases a ClipBatches, so the memory must not belong to it
def _batch_memory(shape: tuple[int, ...]) -> BatchMemory:
    return BatchMemory(shape)


def clip_labels(table: ClipTable, videos: Iterable[Video]) -> np.ndarray:
    """Return the training label of every clip: the MOS of its video on the 1-5 scale.

    Args:
        table: the clips of a data folder.
        videos: every usable video of the folder.

    Returns:
        float32 (num_clips,).
    """
    by_id = {video.video_id: mos_scale.to_unit_5(video.mos, video.mos_low, video.mos_high) for video in videos}
    return np.array([by_id[video_id] for video_id in table.video_ids], np.float32)[table.video]


def clip_rows(table: ClipTable, video_ids: Iterable[str]) -> np.ndarray:
    """Return the rows of the table with clips of the given videos.

    Returns:
        int32 (num_found,), ascending; int32, because the rows of a shuffled database should take little memory.
    """
    wanted = np.isin(table.video_ids, list(video_ids))
    return np.flatnonzero(wanted[table.video]).astype(np.int32)
