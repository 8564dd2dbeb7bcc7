"""Shards and a split -> full batches."""

import math

import h5py
import hdf5plugin  # noqa: F401 - registers the compression filters with h5py
import keras
import numpy as np

from nr_vqm import manifest


class ClipBatches(keras.utils.PyDataset):
    """Full batches of clips, each clip once an epoch.

    Every batch has `batch_size` rows: a smaller last one would leave a replica without data. Training drops
    the remainder, another part of it each epoch; evaluation pads it with rows of weight 0.

    A batch is (clips uint8 (batch, frames, rows, columns, 3), quality float32 (batch, 1) on 1-5, weight float32
    (batch,)).
    """

    def __init__(self, table, rows, quality, *, batch_size, shuffle_seed, mirror):
        """
        Args:
            table: shards.ClipTable.
            rows: int array, the table's rows to use.
            quality: float32, one value on 1-5 per row of the table.
            batch_size: over all replicas.
            shuffle_seed: an int shuffles every epoch anew and drops the remainder; None keeps the order and pads.
            mirror: turn each clip left-right and top-bottom, each with probability one half, anew in every epoch.

        Raises:
            ValueError: there is not one full batch to train on.
        """
        super().__init__(workers=1)
        if shuffle_seed is not None and len(rows) < batch_size:
            raise ValueError(
                f"One batch needs {batch_size} clips, the training part has {len(rows)}. Use a smaller batch_size."
            )
        self.table, self.rows, self.quality = table, np.asarray(rows), quality
        self.batch_size, self.shuffle_seed, self.mirror = batch_size, shuffle_seed, mirror
        self._open = {}
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
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        clips = np.zeros((self.batch_size, *self.table.clip_shape), np.uint8)
        quality = np.full((self.batch_size, 1), 3, np.float32)
        weight = np.zeros(self.batch_size, np.float32)
        for place, row in enumerate(rows):
            self._clips(self.table.shard[row]).read_direct(clips, np.s_[self.table.row[row]], np.s_[place])
        if self.mirror:
            # Seeded by the batch: the result does not depend on the order of reading.
            mirror_clips(clips, np.random.default_rng([self.shuffle_seed or 0, self.epoch, index]))
        quality[: len(rows), 0], weight[: len(rows)] = self.quality[rows], 1
        return clips, quality, weight

    def _clips(self, shard):
        if shard not in self._open:
            self._open[shard] = h5py.File(self.table.paths[shard], "r")["clips"]
        return self._open[shard]


def as_dataset(batches):
    """Batches as a tf.data.Dataset that reads ahead, one pass over `batches` as they are arranged when it begins.

    Keras would make one too, with autotuning; that one's thread holds up the end of every epoch by half a minute
    (TensorFlow 2.21).
    """
    import tensorflow as tf

    signature = tuple(tf.TensorSpec(part.shape, part.dtype) for part in batches[0])
    dataset = tf.data.Dataset.from_generator(
        lambda: (batches[index] for index in range(len(batches))), output_signature=signature
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
    return dataset.prefetch(4).with_options(options)


def mirror_clips(clips, rng):
    """Turn clips left-right and top-bottom in place, each with probability one half: the quality stays the same.

    Args:
        clips: uint8 (num_clips, frames, rows, columns, 3).
        rng: a numpy Generator.
    """
    for axis in (1, 2):
        for number in np.flatnonzero(rng.random(len(clips)) < 0.5):
            clips[number] = np.flip(clips[number], axis=axis).copy()


def quality_of(table, videos):
    """The training label of every clip: its video's MOS on 1-5.

    Args:
        table: shards.ClipTable.
        videos: manifest.Video of every usable video.

    Returns:
        float32 (num_clips,).
    """
    by_id = {video.video_id: manifest.to_unit_5(video.mos, video.mos_low, video.mos_high) for video in videos}
    return np.array([by_id[video_id] for video_id in table.video_id], np.float32)


def rows_of(table, video_ids):
    """The table's rows of the given videos, as int64."""
    return np.flatnonzero(np.isin(table.video_id, list(video_ids)))
