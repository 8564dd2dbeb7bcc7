"""Shards and a split -> full batches."""

import functools
import math
import mmap
import weakref

import cv2
import numpy as np

from nr_vqm.dataset import manifest


class ClipBatches:
    """Full batches of clips, each clip once an epoch.

    Every batch has `batch_size` rows: a smaller last one would leave a replica without data. Training drops
    the remainder, another part of it each epoch; evaluation pads it with rows of weight 0.

    A batch is (clips uint8 (batch, frames, rows, columns, 3), quality float32 (batch, 1) on 1-5, weight float32
    (batch,)).
    """

    def __init__(self, table, rows, quality, *, batch_size, shuffle_seed, mirror, part=(0, 1)):
        """
        Args:
            table: shards.ClipTable.
            rows: int array, the table's rows to use.
            quality: float32, one value on 1-5 per row of the table.
            batch_size: over all replicas.
            shuffle_seed: an int shuffles every epoch anew and drops the remainder; None keeps the order and pads.
            part: (number of this process, how many there are): which part of every batch `as_dataset` reads.
            mirror: turn each clip left-right and top-bottom, each with probability one half, anew in every epoch.

        Raises:
            ValueError: there is not one full batch to train on.
        """
        if shuffle_seed is not None and len(rows) < batch_size:
            raise ValueError(
                f"One batch needs {batch_size} clips, the training part has {len(rows)}. Use a smaller batch_size."
            )
        self.table, self.rows, self.quality = table, np.asarray(rows), quality
        self.batch_size, self.shuffle_seed, self.mirror = batch_size, shuffle_seed, mirror
        self.part = part
        self.error = None
        self.start_epoch(0)

    def start_epoch(self, epoch):
        """Arrange the clips as in epoch `epoch`, from 0: a resumed training shuffles as if it had never stopped."""
        self.epoch = epoch
        if self.shuffle_seed is None:
            self.order = self.rows
        else:
            self.order = np.random.default_rng([self.shuffle_seed, self.epoch]).permutation(self.rows)

    def __len__(self):
        rounded = math.ceil if self.shuffle_seed is None else math.floor
        return rounded(len(self.rows) / self.batch_size)

    def __getitem__(self, index):
        return self.read(index, (0, 1))

    def read(self, index, part):
        """Batch number `index`, or a part of it: (which, of how many)."""
        size = self.batch_size // part[1]
        own = slice(part[0] * size, (part[0] + 1) * size)
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size][own]
        clips = _memory((size, *self.table.clip_shape)).take()
        quality = np.full((size, 1), 3, np.float32)
        weight = np.zeros(size, np.float32)
        # Seeded by the batch: the result does not depend on the order of reading, or on who reads.
        rng = np.random.default_rng([self.shuffle_seed or 0, self.epoch, index])
        turns = (rng.random((2, self.batch_size)) < (0.5 if self.mirror else 0))[:, own]
        clip, scratch = np.empty(self.table.clip_shape, np.uint8), self.table.scratch()
        for place, row in enumerate(rows):
            turned = turns[:, place].any()
            self.table.read_into(row, clip if turned else clips[place], scratch)
            if turned:
                copy_turned(clip, clips[place], top_bottom=turns[0, place], left_right=turns[1, place])
        clips[len(rows) :] = 0
        quality[: len(rows), 0], weight[: len(rows)] = self.quality[rows], 1
        return clips, quality, weight

    def read_or_keep_error(self, index):
        """A batch; what goes wrong is kept in `error`."""
        try:
            return self.read(int(index), self.part)
        except (OSError, ValueError) as error:
            self.error = error
            raise

    def names_of(self, index):
        """A batch's clips for people, 'VIDEO clip 3', counted from 0 in each video."""
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        video = self.table.video[rows]
        numbers = rows - np.searchsorted(self.table.video, video)
        return [f"{self.table.video_ids[one]} clip {number}" for one, number in zip(video, numbers, strict=True)]


def copy_turned(clip, target, *, top_bottom, left_right):
    """Copy a clip turned left-right or top-bottom or both: the quality stays the same.

    Args:
        clip, target: uint8 (frames, rows, columns, 3), contiguous.
        top_bottom, left_right: which turns; at least one of them.
    """
    if top_bottom:
        np.copyto(target, clip[:, ::-1])
        clip = target
    if left_right:  # all frames as one tall picture: one call is faster than one for each
        tall = (-1, *clip.shape[2:])
        cv2.flip(clip.reshape(tall), 1, dst=target.reshape(tall))


@functools.lru_cache(maxsize=1)  # TensorFlow never lets go of a ClipBatches that it read
def _memory(shape):
    return Memory(shape)


class Memory:
    """Arrays that are used again: asking the kernel for each batch's 38 MB anew costs as much as filling them."""

    def __init__(self, shape):
        self.shape, self.free = shape, []

    def take(self):
        """A uint8 array with anything in it, at an address that TensorFlow takes over: others it copies."""
        try:
            memory = self.free.pop()
        except IndexError:
            memory = mmap.mmap(-1, math.prod(self.shape), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        array = np.frombuffer(memory, np.uint8)
        # Every view of it keeps it, so this is when the last one has gone, wherever TensorFlow had it.
        weakref.finalize(array, self.free.append, memory).atexit = False
        return array.reshape(self.shape)


def as_dataset(batches, *, workers, first=0):
    """Batches as a tf.data.Dataset that reads ahead, one pass over `batches` as they are arranged when it begins.

    Threads, because reading, decompressing and turning leave Python's lock. Not Dataset.from_generator, which sets
    the process's memory so that every batch is asked from the kernel anew, and not Keras' own with autotuning, whose
    thread holds up the end of every epoch by half a minute (TensorFlow 2.21).

    Args:
        batches: ClipBatches. An error in reading is kept as `batches.error`, as TensorFlow makes another one of it.
        workers: threads, each making a whole batch.
        first: the batch to begin with.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec(part.shape, part.dtype) for part in batches.read(0, batches.part)]

    def read(index):
        parts = tf.numpy_function(batches.read_or_keep_error, [index], [spec.dtype for spec in signature])
        return tuple(tf.ensure_shape(part, spec.shape) for part, spec in zip(parts, signature, strict=True))

    dataset = tf.data.Dataset.range(first, len(batches)).map(read, num_parallel_calls=workers, deterministic=True)
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(2).with_options(options)


def quality_of(table, videos):
    """The training label of every clip: its video's MOS on 1-5.

    Args:
        table: shards.ClipTable.
        videos: manifest.Video of every usable video.

    Returns:
        float32 (num_clips,).
    """
    by_id = {video.video_id: manifest.to_unit_5(video.mos, video.mos_low, video.mos_high) for video in videos}
    return np.array([by_id[video_id] for video_id in table.video_ids], np.float32)[table.video]


def rows_of(table, video_ids):
    """The table's rows of the given videos, as int32: a shuffled database should take little memory."""
    wanted = np.isin(table.video_ids, list(video_ids))
    return np.flatnonzero(wanted[table.video]).astype(np.int32)
