"""Shards: HDF5 files of training clips. Schema, writer and reader."""

import contextlib
import dataclasses
import math
import os
import struct
from pathlib import Path

import cramjam
import h5py
import hdf5plugin
import numpy as np

from nr_vqm.common import atomic_files, hdf5_files

SCHEMA = 1
COMPRESSION = hdf5plugin.LZ4()  # decision 0008: reads at twice Zstd's speed, and training reads every clip each epoch
COLUMNS = {  # beside `clips`, one value per clip
    "group": np.int32,
    "block": np.int32,
    "frame": np.int32,
    "top": np.int32,
    "left": np.int32,
    "mos": np.float32,  # in the database's unit
    "video_id": h5py.string_dtype(),
    "content": h5py.string_dtype(),
}


def shard_path(data_dir, number):
    """<data>/clips-00000.h5"""
    return Path(data_dir) / f"clips-{number:05d}.h5"


@contextlib.contextmanager
def writing(path, *, clip_frames, clip_size):
    """Write one shard, atomically: the file appears under its name when the block ends well.

    Args:
        path: the shard.
        clip_frames, clip_size: clip length in frames, height and width in pixels.

    Yields:
        add(video, grid, groups): appends every clip of one video. `video` is a manifest.Video, `grid` its ClipGrid,
        `groups` what `clips.iter_groups` yields.
    """
    clip = (clip_frames, clip_size, clip_size, 3)
    # No times in the file, and what is written has a fixed order: the same clips give the same bytes, so a checksum
    # tells a changed shard. Datasets that are opened again for every group are flushed in any order.
    with hdf5_files.writing(path, track_order=False) as file:
        file.attrs["schema"] = SCHEMA
        # One chunk a clip: training reads single clips in random order.
        options = {"chunks": (1, *clip), "track_times": False, **COMPRESSION}
        clips = file.create_dataset("clips", (0, *clip), maxshape=(None, *clip), dtype=np.uint8, **options)
        columns = {name: [] for name in COLUMNS}
        yield lambda video, grid, groups: _append(clips, columns, video, grid, groups)
        for name, dtype in COLUMNS.items():
            file.create_dataset(name, data=columns[name], dtype=dtype, track_times=False)


def _append(clips, columns, video, grid, groups):
    for number, (start, blocks) in enumerate(zip(grid.starts, groups, strict=True)):
        clips.resize(len(clips) + len(blocks), axis=0)
        clips[-len(blocks) :] = blocks
        for block, (top, left) in enumerate(grid.corners):
            row = {"group": number, "block": block, "frame": start, "top": top, "left": left, "mos": video.mos}
            for name, value in {**row, "video_id": video.video_id, "content": video.content}.items():
                columns[name].append(value)


def plan_shards(clip_counts, *, clip_bytes, shard_bytes):
    """Which videos go into which shard: consecutive ones, until a shard is full.

    Args:
        clip_counts: clips of each video.
        clip_bytes: uncompressed size of one clip.
        shard_bytes: uncompressed size that a shard should not pass; one video is never divided.

    Returns:
        list of range: indices of the videos of each shard.
    """
    plan, first, size = [], 0, 0
    for index, count in enumerate(clip_counts):
        if size and size + count * clip_bytes > shard_bytes:
            plan.append(range(first, index))
            first, size = index, 0
        size += count * clip_bytes
    if first < len(clip_counts):
        plan.append(range(first, len(clip_counts)))
    return plan


@dataclasses.dataclass(frozen=True)
class ClipTable:
    """Where every clip of a data folder is, without the pixels: one row per clip, in shard order, 20 bytes each.

    Attributes:
        paths: the shards.
        video_ids: object array of str (num_videos,), each video once, in shard order.
        video: int32 (num_clips,), which of `video_ids`.
        shard: int32 (num_clips,), which of `paths`.
        start, size: int64 and int32 (num_clips,), where in the shard's file the compressed clip lies, in bytes.
        clip_shape: (clip_frames, clip_size, clip_size, 3).
    """

    paths: tuple[Path, ...]
    video_ids: np.ndarray
    video: np.ndarray
    shard: np.ndarray
    start: np.ndarray
    size: np.ndarray
    clip_shape: tuple[int, int, int, int]

    def __len__(self):
        return len(self.video)

    def scratch(self):
        """Memory for `read_into`, for one thread: reading is as fast as copying only into memory that is there."""
        return np.empty(self.size.max(), np.uint8)

    def read_into(self, number, clip, scratch):
        """Read one clip.

        Not through h5py, whose lock lets one thread read and decompress at a time; this takes no lock, and no file
        stays open, however many shards there are.

        Args:
            number: its row in the table.
            clip: uint8 of `clip_shape`, contiguous; filled with RGB.
            scratch: of `scratch()`.

        Raises:
            OSError: the shard cannot be read any more.
            ValueError: it is damaged there.
        """
        path, stored = self.paths[self.shard[number]], scratch[: self.size[number]]
        file = os.open(path, os.O_RDONLY)
        try:
            read = os.preadv(file, [stored], int(self.start[number]))
        finally:
            os.close(file)
        try:
            _unpack(memoryview(stored)[:read], clip.reshape(-1))
        except (ValueError, struct.error, cramjam.DecompressionError) as error:
            raise ValueError(
                f"{path} is damaged at byte {self.start[number]} ({error}). Find out with: python -m data_prep verify "
                f"{path.parent}; make prep then writes it again."
            ) from error


def _unpack(stored, data):
    """Fill `data` from a chunk: HDF5's LZ4 filter writes the length, the block length, then blocks behind their own."""
    length, block_length = struct.unpack_from(">QI", stored)
    if length != len(data) or not block_length:
        raise ValueError(f"{len(data)} bytes are needed, it says {length} in blocks of {block_length}")
    place = 12
    for first in range(0, length, block_length):
        block = data[first : first + block_length]
        (size,) = struct.unpack_from(">I", stored, place)
        packed = stored[place + 4 : place + 4 + size]
        place += 4 + size
        if size == len(block):
            block[:] = packed
        elif cramjam.lz4.decompress_block_into(packed, block, output_len=len(block)) != len(block):
            raise ValueError("a block ends early")


def read_table(data_dir):
    """The ClipTable of a prepared data folder, without clips of videos that were replaced or removed later.

    Raises:
        FileNotFoundError: prep has not finished there (no index.json), or a shard is missing.
        ValueError: a shard of another schema.
    """
    data_dir = Path(data_dir)
    index = atomic_files.read_json(data_dir / "index.json", made_by="make prep")
    numbers = [number for number, checksum in enumerate(index["shards"]) if checksum is not None]
    paths = tuple(shard_path(data_dir, number) for number in numbers)
    if not paths:
        raise ValueError(f"At least one clip is needed, {data_dir} has none. See its manifest.csv for the reasons.")
    stale = {(number, video_id) for number, video_id in index.get("stale", [])}
    video_ids, columns, first = [], [], 0
    for number, path in enumerate(paths):
        ids, video, start, size, clip_shape = _read_places(path)
        current = np.array([(numbers[number], video_id) not in stale for video_id in ids])
        ids, (video, start, size) = ids[current], (column[current[video]] for column in (video, start, size))
        video = (np.cumsum(current, dtype=np.int32) - 1)[video]
        columns.append((video + first, np.full(len(video), number, np.int32), start, size))
        first += len(ids)
        video_ids.extend(ids)
    video, shard, start, size = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return ClipTable(paths, np.array(video_ids, object), video, shard, start, size, clip_shape)


def _read_places(path):
    """(video_ids, and per clip which of them; start and size in the file; shape) of one shard."""
    atomic_files.require(path, made_by="make prep")
    with h5py.File(path, "r") as file:
        clips = file["clips"]
        if file.attrs.get("schema") != SCHEMA:
            raise ValueError(
                f"{path} has schema {file.attrs.get('schema')}, {SCHEMA} is needed. Make it again: make prep."
            )
        start, size = np.zeros(len(clips), np.int64), np.zeros(len(clips), np.int32)

        def note(chunk):
            start[chunk.chunk_offset[0]], size[chunk.chunk_offset[0]] = chunk.byte_offset, chunk.size

        clips.id.chunk_iter(note)
        ids = file["video_id"].asstr()[:]
        # One video's clips follow each other: it begins where the name changes.
        begins = np.concatenate([[True], ids[1:] != ids[:-1]])
        return ids[begins], np.cumsum(begins, dtype=np.int32) - 1, start, size, clips.shape[1:]


def stored_bytes(path):
    """(compressed, uncompressed) bytes of a shard's clips."""
    with h5py.File(path, "r") as file:
        clips = file["clips"]
        return clips.id.get_storage_size(), math.prod(clips.shape)
