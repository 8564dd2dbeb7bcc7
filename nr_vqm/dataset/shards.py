"""Shards, the HDF5 files of training clips: schema, writer and reader."""

import contextlib
import dataclasses
import math
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cramjam
import h5py
import hdf5plugin
import numpy as np

from nr_vqm.common import atomic_files, hdf5_files
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.dataset.manifest import Video
from nr_vqm.video.clips import ClipGrid

SCHEMA = 1
COMPRESSION = hdf5plugin.LZ4()  # decision 0008: reads at twice Zstd's speed, and training reads every clip each epoch
COLUMNS = {  # data sets with one value per clip, in addition to `clips`
    "group": np.int32,
    "block": np.int32,
    "frame": np.int32,
    "top": np.int32,
    "left": np.int32,
    "mos": np.float32,  # in the database's unit
    "video_id": h5py.string_dtype(),
    "content": h5py.string_dtype(),
}


AddVideo = Callable[[Video, ClipGrid, Iterable[np.ndarray]], None]


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], *, clip_frames: int, clip_size: int) -> Iterator[AddVideo]:
    """Write one shard atomically: the file appears when the block ends without an exception.

    Args:
        path: the shard.
        clip_frames: clip length in frames.
        clip_size: clip height and width in pixels.

    Yields:
        add(video, grid, groups), a function that appends all clips of one video: a row of the manifest, the grid of its
        clips, and the groups of `clips.iter_groups`.

    Raises:
        OSError: the file cannot be written.
    """
    clip = (clip_frames, clip_size, clip_size, 3)
    # The file has no time stamps and its parts are written in a fixed order: the same clips give the same bytes, so a
    # checksum detects a changed shard. Data sets that are opened again for every group would be flushed in any order.
    with hdf5_files.writing(path, track_order=False) as file:
        file.attrs["schema"] = SCHEMA
        # One chunk a clip: training reads single clips in random order.
        options = {"chunks": (1, *clip), "track_times": False, **COMPRESSION}
        clips = file.create_dataset("clips", (0, *clip), maxshape=(None, *clip), dtype=np.uint8, **options)
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        yield lambda video, grid, groups: _append(clips, columns, video, grid, groups)
        for name, dtype in COLUMNS.items():
            file.create_dataset(name, data=columns[name], dtype=dtype, track_times=False)


def _append(
    clips: Any, columns: dict[str, list[Any]], video: Video, grid: ClipGrid, groups: Iterable[np.ndarray]
) -> None:
    for number, (start, blocks) in enumerate(zip(grid.starts, groups, strict=True)):
        clips.resize(len(clips) + len(blocks), axis=0)
        clips[-len(blocks) :] = blocks
        for block, (top, left) in enumerate(grid.corners):
            row = {"group": number, "block": block, "frame": start, "top": top, "left": left, "mos": video.mos}
            for name, value in {**row, "video_id": video.video_id, "content": video.content}.items():
                columns[name].append(value)


def plan_shards(clip_counts: Sequence[int], *, clip_bytes: int, shard_bytes: int) -> list[range]:
    """Distribute consecutive videos over shards.

    Args:
        clip_counts: number of clips of each video.
        clip_bytes: uncompressed size of one clip.
        shard_bytes: maximum uncompressed size of a shard; exceeded only by a single video that is larger.

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
    """Index of the clips of a data folder: one row of 20 bytes per clip, in shard order, without the pixels.

    Attributes:
        paths: the shards.
        video_ids: object array of str (num_videos,), each video once, in shard order.
        video: int32 (num_clips,), index in `video_ids`.
        shard: int32 (num_clips,), index in `paths`.
        start: int64 (num_clips,), position of the compressed clip in the shard, in bytes.
        size: int32 (num_clips,), size of the compressed clip in bytes.
        clip_shape: (clip_frames, clip_size, clip_size, 3).
    """

    paths: tuple[Path, ...]
    video_ids: np.ndarray
    video: np.ndarray
    shard: np.ndarray
    start: np.ndarray
    size: np.ndarray
    clip_shape: tuple[int, int, int, int]

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.video)

    def scratch(self) -> np.ndarray:
        """Allocate the buffer that one thread passes to `read_into`, uint8 of the size of the largest clip.

        It is reused because newly allocated memory would make reading slower.
        """
        return np.empty(self.size.max(), np.uint8)

    def read_into(self, number: int, clip: np.ndarray, scratch: np.ndarray) -> None:
        """Read one clip into an array.

        It does not use h5py, whose lock allows one thread at a time to read and decompress. It takes no lock and
        keeps no file open, so the number of shards is not limited.

        Args:
            number: row of the clip in the table.
            clip: contiguous uint8 array of `clip_shape`, which is filled with RGB.
            scratch: the result of `scratch()`.

        Raises:
            OSError: the shard cannot be read.
            ValueError: the clip is damaged.
        """
        path, stored = self.paths[self.shard[number]], scratch[: self.size[number]].data
        file = os.open(path, os.O_RDONLY)
        try:
            read = os.preadv(file, [stored], int(self.start[number]))
        finally:
            os.close(file)
        try:
            _unpack(stored[:read], clip.reshape(-1).data)
        except (ValueError, struct.error, cramjam.DecompressionError) as error:
            raise ValueError(
                f"{path} is damaged at byte {self.start[number]} ({error}). Check all shards with: python -m data_prep "
                f"verify {path.parent}; make prep then writes damaged ones again."
            ) from error


def _unpack(stored: memoryview, data: memoryview) -> None:
    """Decompress a chunk of HDF5's LZ4 filter into `data`.

    A chunk has its uncompressed length, the block length, then the blocks, each after its compressed length.
    """
    length, block_length = struct.unpack_from(">QI", stored)
    if length != len(data) or not block_length:
        raise ValueError(f"{len(data)} bytes are needed, found {length} in blocks of {block_length}")
    position = 12
    for first in range(0, length, block_length):
        block = data[first : first + block_length]
        (size,) = struct.unpack_from(">I", stored, position)
        packed = stored[position + 4 : position + 4 + size]
        position += 4 + size
        if size == len(block):
            block[:] = packed
        elif cramjam.lz4.decompress_block_into(packed, block, output_len=len(block)) != len(block):
            raise ValueError("a block is incomplete")


def read_table(data_dir: str | os.PathLike[str]) -> ClipTable:
    """Read the index of all clips of a prepared data folder, without clips of videos that were replaced or removed.

    Raises:
        FileNotFoundError: the preparation is not complete (no index.json), or a shard is missing.
        ValueError: a shard has another schema, or there is no clip.
    """
    folder = DataFolder(data_dir)
    index = atomic_files.read_json(folder.index, made_by="make prep")
    numbers = [number for number, checksum in enumerate(index["shards"]) if checksum is not None]
    paths = tuple(folder.shard(number) for number in numbers)
    if not paths:
        raise ValueError(
            f"At least one clip is needed, {data_dir} has none. See its {folder.manifest.name} for the reasons."
        )
    stale = {(number, video_id) for number, video_id in index.get("stale", [])}
    video_ids: list[str] = []
    columns: list[tuple[np.ndarray, ...]] = []
    first = 0
    for number, path in enumerate(paths):
        ids, video, start, size, clip_shape = _read_index(path)
        current = np.array([(numbers[number], video_id) not in stale for video_id in ids])
        ids, (video, start, size) = ids[current], (column[current[video]] for column in (video, start, size))
        video = (np.cumsum(current, dtype=np.int32) - 1)[video]
        columns.append((video + first, np.full(len(video), number, np.int32), start, size))
        first += len(ids)
        video_ids.extend(ids)
    video, shard, start, size = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return ClipTable(paths, np.array(video_ids, object), video, shard, start, size, clip_shape)


def _read_index(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[int, int, int, int]]:
    """Read the columns of a ClipTable for one shard: video_ids, video, start, size, clip_shape."""
    atomic_files.require(path, made_by="make prep")
    with hdf5_files.reading(path) as file:
        clips = file["clips"]
        if file.attrs.get("schema") != SCHEMA:
            raise ValueError(
                f"{path} has schema {file.attrs.get('schema')}, {SCHEMA} is needed. Prepare the data again: make prep."
            )
        start, size = np.zeros(len(clips), np.int64), np.zeros(len(clips), np.int32)

        def record(chunk: Any) -> None:
            start[chunk.chunk_offset[0]], size[chunk.chunk_offset[0]] = chunk.byte_offset, chunk.size

        clips.id.chunk_iter(record)
        ids = file["video_id"].asstr()[:]
        # The clips of one video are consecutive, so a new video starts where the id changes.
        starts = np.concatenate([[True], ids[1:] != ids[:-1]])
        return ids[starts], np.cumsum(starts, dtype=np.int32) - 1, start, size, clips.shape[1:]


def stored_bytes(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the (compressed, uncompressed) size of the clips of a shard in bytes."""
    with hdf5_files.reading(path) as file:
        clips = file["clips"]
        return clips.id.get_storage_size(), math.prod(clips.shape)
