"""Manifest rows -> decoded counts, then shards. Goes on where it was stopped."""

import dataclasses
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2

from nr_vqm import bundle, clips, decoding, files, manifest, shards, video

SHARD_BYTES = 512 * 2**20  # uncompressed: some seconds of work are lost when one is interrupted
LZ4_RATIO = 0.53  # stored / raw bytes on 960x540 camera video, the cautious end of decision 0008's range


def open_all(videos, *, clip_frames, decode, workers):
    """Fill in what opening each video tells: frames, size, rate, status and reason.

    Args:
        videos: list of manifest.Video.
        clip_frames: a video with fewer is left out.
        decode: True counts the frames by decoding them all; False believes the header.
        workers: processes.

    Returns:
        list of manifest.Video in the same order.
    """
    return list(_map(_open, videos, [clip_frames] * len(videos), [decode] * len(videos), workers=workers))


def _open(one, clip_frames, decode):
    if one.status:  # the reader knows already that it is missing
        return one
    try:
        with video.read_frames(one.path, one.raw) as opened:
            info = opened.info
            count = not one.raw and (decode or not info.frames)  # a raw file's size is exact
            frames = sum(1 for _ in opened) if count else info.frames
    except (ValueError, OSError) as error:
        return dataclasses.replace(one, status="unreadable", reason=str(error))
    status, reason = manifest.OK, ""
    if decoding.missing_frames(frames, info.frames):
        status, reason = "damaged", f"{info.frames} frames are declared, {frames} can be decoded"
    elif frames < clip_frames:
        status, reason = "too_short", f"one clip needs {clip_frames} frames, the video has {frames}"
    return dataclasses.replace(
        one, frames=frames, width=info.width, height=info.height, fps=info.fps, status=status, reason=reason
    )


def plan(videos, *, clip_frames, clip_size, num_groups, block_grid, stride, downscale=False):
    """The clip grid of every video that is ok, as {video_id: ClipGrid}."""
    return {
        one.video_id: clips.plan_grid(
            one.frames,
            one.height,
            one.width,
            num_groups=num_groups,
            block_grid=block_grid,
            clip_frames=clip_frames,
            clip_size=clip_size,
            stride=stride,
            downscale=downscale,
        )
        for one in videos
        if one.status == manifest.OK
    }


def write_shards(videos, grids, *, out_dir, preset, workers, progress):
    """Cut every video into clips and write the shards, then index.json.

    Args:
        videos: list of manifest.Video; those not ok are passed over.
        grids: of `plan`.
        out_dir: the data folder.
        preset: name and settings, noted in index.json.
        workers: processes; each writes one shard at a time.
        progress: function(done, total) called after every shard.
    """
    good = [one for one in videos if one.status == manifest.OK]
    grid_list = [grids[one.video_id] for one in good]
    clip_bytes = grid_list[0].clip_frames * grid_list[0].clip_size ** 2 * 3
    ranges = shards.plan_shards([grid.num_clips for grid in grid_list], clip_bytes=clip_bytes, shard_bytes=SHARD_BYTES)
    jobs = [
        (shards.shard_path(out_dir, number), [(good[i], grid_list[i]) for i in part])
        for number, part in enumerate(ranges)
    ]
    checksums = []
    for done, checksum in enumerate(_map(_write_shard, *zip(*jobs, strict=True), workers=workers), start=1):
        checksums.append(checksum)
        progress(done, len(jobs))
    index = {
        "schema": shards.SCHEMA,
        "videos": len(good),
        "clips": sum(grid.num_clips for grid in grid_list),
        "preset": dataclasses.asdict(preset),
        "versions": bundle.versions(),
        "shards": checksums,
    }
    files.write_json(Path(out_dir) / "index.json", index)


def _write_shard(path, jobs):
    """Write one shard unless it is there; its checksum."""
    if not path.exists():
        first = jobs[0][1]
        with shards.writing(path, clip_frames=first.clip_frames, clip_size=first.clip_size) as add:
            for one, grid in jobs:
                try:
                    add(one, grid, clips.iter_groups(video.read_frames(one.path, one.raw), grid))
                except ValueError as error:
                    raise ValueError(f"Video {one.video_id!r}: {error}") from error
    return files.sha256(path)


def stored_size(num_clips, *, clip_frames, clip_size):
    """Bytes that the clips will take on disk."""
    return int(num_clips * clip_frames * clip_size**2 * 3 * LZ4_RATIO)


def estimate(videos, grids, *, workers):
    """What writing the shards will take.

    Returns:
        (number of clips, bytes on disk, seconds): the time is scaled up from a few videos that are decoded and cut now.
    """
    good = [one for one in videos if one.status == manifest.OK]
    num_clips = sum(grid.num_clips for grid in grids.values())
    if not good:
        return 0, 0, 0.0
    grid = grids[good[0].video_id]
    size = stored_size(num_clips, clip_frames=grid.clip_frames, clip_size=grid.clip_size)
    seconds, sample = 0.0, good[:: max(1, len(good) // 3)][:3]
    for one in sample:
        began = time.monotonic()
        for _ in clips.iter_groups(video.read_frames(one.path, one.raw), grids[one.video_id]):
            pass
        seconds += time.monotonic() - began
    # Decoding for the count and cutting cost about the same; compression and writing run at 300 MB/s.
    return num_clips, size, (2 * seconds / len(sample) * len(good) + size / 300e6) / workers


def require_space(out_dir, needed):
    """Raise OSError where the disk has fewer than `needed` bytes free."""
    folder = Path(out_dir)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"The shards need {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free. Choose another --out."
        )


def _map(function, *lists, workers):
    """Like `map`, in that many processes; one worker is this process."""
    if workers == 1:
        yield from map(function, *lists)
        return
    # Spawned: forking a process that holds HDF5 or OpenCV threads can deadlock.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker) as pool:
        yield from pool.map(function, *lists)


def _start_worker():
    cv2.setNumThreads(1)
    os.environ.setdefault("OPENCV_FFMPEG_THREADS", "1")
