"""Manifest rows -> decoded counts, then shards. Goes on where it was stopped."""

import contextlib
import dataclasses
import functools
import shutil
import time
from pathlib import Path

import cv2

from nr_vqm import bundle, clips, cluster, decoding, files, manifest, shards, video

SHARD_BYTES = 512 * 2**20  # uncompressed: some seconds of work are lost when one is interrupted
WRITE_BYTES = 300e6  # compressed bytes that one process cuts, compresses and writes in a second
NOTE_SECONDS = 60  # what a stop costs at most while videos are opened
LZ4_RATIO = 0.53  # stored / raw bytes on 960x540 camera video, the cautious end of decision 0008's range


def open_all(videos, *, clip_frames, decode, workers, scheduler=None, notes=None):
    """Fill in what opening each video tells: frames, size, rate, status and reason.

    Args:
        videos: list of manifest.Video.
        clip_frames: a video with fewer is left out.
        decode: True counts the frames by decoding them all; False believes the header.
        workers, scheduler: as in `cluster.each`.
        notes: a file where the first ones are noted every NOTE_SECONDS, to go on there after a stop; of these videos
            and settings alone.

    Returns:
        list of manifest.Video in the same order.
    """
    opened = manifest.read(notes) if notes and notes.exists() else []
    found = cluster.each(
        functools.partial(_open, clip_frames=clip_frames, decode=decode),
        videos[len(opened) :],
        workers=workers,
        scheduler=scheduler,
        on_death=lambda one, error: dataclasses.replace(one, status="unreadable", reason=str(error)),
    )
    noted = time.monotonic()
    for one in found:
        opened.append(one)
        if notes and time.monotonic() > noted + NOTE_SECONDS:
            notes.parent.mkdir(parents=True, exist_ok=True)
            manifest.write(notes, opened)
            noted = time.monotonic()
    return opened


def _open(one, *, clip_frames, decode):
    if one.status:  # the reader knows already that it is missing
        return one
    try:
        with video.read_frames(one.path, one.raw) as opened:
            info = opened.info
            count = not one.raw and (decode or not info.frames)  # a raw file's size is exact
            frames = sum(1 for _ in opened) if count else (info.expected or info.frames)
    except (ValueError, OSError) as error:
        return dataclasses.replace(one, status="unreadable", reason=str(error))
    # What the decoder complained of may be seen or not: noted, and left to people. Missing frames are not.
    status, reason = manifest.OK, "; ".join(opened.warnings)
    if decoding.missing_frames(frames, info.frames):
        status, reason = "damaged", f"{info.frames} frames are declared, {frames} can be decoded"
    elif frames < clip_frames:
        status, reason = "too_short", f"one clip needs {clip_frames} frames, the video has {frames}"
    return dataclasses.replace(
        one,
        frames=frames,
        width=info.width,
        height=info.height,
        fps=info.fps,
        status=status,
        reason=reason,
        fingerprint=files.fingerprint(one.path),
    )


def plan(videos, **clip_settings):
    """The clip grid of every video that is ok, as {video_id: ClipGrid}; settings as in `clips.plan_grid`."""
    return {
        one.video_id: clips.plan_grid(one.frames, one.height, one.width, **clip_settings)
        for one in videos
        if one.status == manifest.OK
    }


def write_shards(videos, grids, *, out_dir, preset, workers, progress, scheduler=None):
    """Cut every video into clips and write the shards that are not there, then index.json.

    Args:
        videos: list of manifest.Video; those not ok are passed over.
        grids: of `plan`.
        out_dir: the data folder.
        preset: name and settings, noted in index.json.
        workers, scheduler: as in `cluster.each`; each worker writes one shard at a time.
        progress: function(done, total) called after every shard.
    """
    jobs = _shard_jobs(videos, grids, out_dir)
    known = read_checksums(out_dir)
    checksums = [known.get(path.name) if path.exists() else None for path, _ in jobs]
    todo = [number for number, checksum in enumerate(checksums) if checksum is None]
    written = cluster.each(_write_shard, [jobs[number] for number in todo], workers=workers, scheduler=scheduler)
    for done, (number, checksum) in enumerate(zip(todo, written, strict=True), start=1):
        checksums[number] = checksum
        progress(done, len(todo))
    index = {
        "schema": shards.SCHEMA,
        "videos": len(grids),
        "clips": sum(grid.num_clips for grid in grids.values()),
        "preset": dataclasses.asdict(preset),
        "versions": bundle.versions(),
        "shards": checksums,
    }
    files.write_json(Path(out_dir) / "index.json", index)


def _shard_jobs(videos, grids, out_dir):
    """[(path of a shard, [(video, grid), ...] that go into it)]"""
    good = [one for one in videos if one.status == manifest.OK]
    grid_list = [grids[one.video_id] for one in good]
    clip_bytes = grid_list[0].clip_frames * grid_list[0].clip_size ** 2 * 3
    ranges = shards.plan_shards([grid.num_clips for grid in grid_list], clip_bytes=clip_bytes, shard_bytes=SHARD_BYTES)
    return [
        (shards.shard_path(out_dir, number), [(good[i], grid_list[i]) for i in part])
        for number, part in enumerate(ranges)
    ]


def clips_to_write(videos, grids, *, out_dir):
    """Clips of the shards that a stopped prep, or a damaged file, has left to write."""
    jobs = _shard_jobs(videos, grids, out_dir) if grids else []
    return sum(grid.num_clips for path, parts in jobs if not path.exists() for _, grid in parts)


def read_checksums(out_dir):
    """{file name: checksum} of the shards in index.json; empty where there is none yet."""
    path = Path(out_dir) / "index.json"
    if not path.exists():
        return {}
    checksums = files.read_json(path, made_by="make prep")["shards"]
    return {shards.shard_path(out_dir, number).name: checksum for number, checksum in enumerate(checksums)}


def verify(out_dir, progress):
    """Compare every shard with its checksum; a damaged one is put aside as NAME.damaged, and prep writes it again.

    Args:
        out_dir: a complete data folder.
        progress: function(done, total) called after every shard.

    Returns:
        list of str: a line for each shard that is missing or damaged.

    Raises:
        FileNotFoundError: prep has not finished there.
    """
    files.require(Path(out_dir) / "index.json", made_by="make prep")
    checksums, lines = read_checksums(out_dir), []
    for done, (name, checksum) in enumerate(checksums.items(), start=1):
        path = Path(out_dir) / name
        if not path.exists():
            lines.append(f"missing: {path}")
        elif (found := files.sha256(path)) != checksum:
            aside = path.with_name(f"{name}.damaged")
            lines.append(f"damaged: {path}, SHA-256 {found}, index.json says {checksum}; now {aside.name}")
            path.replace(aside)
        progress(done, len(checksums))
    return lines


def _write_shard(job):
    """Write one shard unless it is there; its checksum."""
    path, jobs = job
    cv2.setNumThreads(1)  # the other workers have the other cores
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
        with contextlib.suppress(ValueError):  # a header that promises too many frames: prep counts them
            for _ in clips.iter_groups(video.read_frames(one.path, one.raw), grids[one.video_id]):
                pass
        seconds += time.monotonic() - began
    # Decoding for the count and cutting cost about the same.
    return num_clips, size, (2 * seconds / len(sample) * len(good) + size / WRITE_BYTES) / workers


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
