"""Shards: HDF5 files of training clips. Schema, writer and reader."""

import contextlib
import dataclasses
import math
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from nr_vqm import files

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
    # No times in the file: the same clips give the same bytes, so a checksum tells a changed shard.
    with files.replacing(path) as beside, h5py.File(beside, "w", track_order=False) as file:
        file.attrs["schema"] = SCHEMA
        # One chunk a clip: training reads single clips in random order.
        options = {"chunks": (1, *clip), "track_times": False, **COMPRESSION}
        file.create_dataset("clips", (0, *clip), maxshape=(None, *clip), dtype=np.uint8, **options)
        for name, dtype in COLUMNS.items():
            file.create_dataset(name, (0,), maxshape=(None,), chunks=(4096,), dtype=dtype, track_times=False)
        yield lambda video, grid, groups: _append(file, video, grid, groups)


def _append(file, video, grid, groups):
    corners = np.array(grid.corners, np.int32)
    for number, (start, blocks) in enumerate(zip(grid.starts, groups, strict=True)):
        rows = {
            "clips": blocks,
            "group": np.full(len(blocks), number),
            "block": np.arange(len(blocks)),
            "frame": np.full(len(blocks), start),
            "top": corners[:, 0],
            "left": corners[:, 1],
            "mos": np.full(len(blocks), video.mos),
            "video_id": [video.video_id] * len(blocks),
            "content": [video.content] * len(blocks),
        }
        for name, values in rows.items():
            dataset = file[name]
            dataset.resize(len(dataset) + len(blocks), axis=0)
            dataset[-len(blocks) :] = values


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
    """Where every clip of a data folder is, without the pixels: one row per clip, in shard order.

    Attributes:
        paths: the shards.
        shard, row: int32 (num_clips,); which shard, and which row of it.
        mos: float32 (num_clips,); in the database's unit.
        video_id: object array of str (num_clips,).
        clip_shape: (clip_frames, clip_size, clip_size, 3).
    """

    paths: tuple[Path, ...]
    shard: np.ndarray
    row: np.ndarray
    mos: np.ndarray
    video_id: np.ndarray
    clip_shape: tuple[int, int, int, int]

    def __len__(self):
        return len(self.row)


def read_table(data_dir):
    """The ClipTable of a prepared data folder.

    Raises:
        FileNotFoundError: prep has not finished there (no index.json), or a shard is missing.
        ValueError: a shard of another schema.
    """
    data_dir = Path(data_dir)
    index = files.read_json(data_dir / "index.json", made_by="make prep")
    paths = tuple(shard_path(data_dir, number) for number in range(len(index["shards"])))
    columns = [_read_columns(path) for path in paths]
    if not columns:
        raise ValueError(f"At least one clip is needed, {data_dir} has none. See its manifest.csv for the reasons.")
    return ClipTable(
        paths=paths,
        shard=np.concatenate([np.full(len(mos), n, np.int32) for n, (mos, _, _) in enumerate(columns)]),
        row=np.concatenate([np.arange(len(mos), dtype=np.int32) for mos, _, _ in columns]),
        mos=np.concatenate([mos for mos, _, _ in columns]),
        video_id=np.concatenate([ids for _, ids, _ in columns]),
        clip_shape=columns[0][2],
    )


def _read_columns(path):
    files.require(path, made_by="make prep")
    with h5py.File(path, "r") as file:
        if file.attrs.get("schema") != SCHEMA:
            raise ValueError(
                f"{path} has schema {file.attrs.get('schema')}, {SCHEMA} is needed. Make it again: make prep."
            )
        return file["mos"][:], file["video_id"].asstr()[:], file["clips"].shape[1:]


def stored_bytes(path):
    """(compressed, uncompressed) bytes of a shard's clips."""
    with h5py.File(path, "r") as file:
        clips = file["clips"]
        return clips.id.get_storage_size(), math.prod(clips.shape)
