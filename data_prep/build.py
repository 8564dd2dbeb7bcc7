"""Cut the clips of videos and write them to shards. Each video is decoded once, also to count its frames."""

import contextlib
import dataclasses
import functools
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2

from data_prep.state import ShardResult
from nr_vqm.common import atomic_files, parallel
from nr_vqm.dataset import shards
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.dataset.manifest import OK, Video
from nr_vqm.video import clips, decoder_client, reader

SHARD_BYTES = 128 * 2**20  # uncompressed clips; an interruption loses the seconds of work on one shard
WRITE_BYTES = 300e6  # compressed bytes that one process cuts, compresses and writes per second
LZ4_RATIO = 0.53  # stored / raw bytes on 960x540 camera video, the cautious end of decision 0008's range
ATTEMPTS = 3  # to write a shard; the first may find that a video has not as many frames as its header declares
SAMPLE = 3  # number of videos decoded for the time estimate


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """A shard to be written.

    Attributes:
        number: number of the shard.
        path: file of the shard.
        root: folder of the videos.
        videos: the videos whose clips it gets, with paths relative to `root`.
        clip_settings: arguments of `clips.plan_grid`, except the length and the frame size of a video.
    """

    number: int
    path: Path
    root: Path
    videos: tuple[Video, ...]
    clip_settings: dict


def plan_jobs(
    videos: list[Video], *, used: Iterable[int], out: Path, root: Path, clip_settings: dict
) -> list[ShardJob]:
    """Distribute videos over new shards, in the given order.

    Args:
        videos: the videos; each gets the same number of clips, whatever its size.
        used: numbers of the existing shards.
        out: the data folder.
        root: the folder of the videos.
        clip_settings: as in `ShardJob`.
    """
    counts, clip_bytes = [clips_per_video(clip_settings)] * len(videos), _clip_bytes(clip_settings)
    parts = shards.plan_shards(counts, clip_bytes=clip_bytes, shard_bytes=SHARD_BYTES)
    used = set(used)
    free = (number for number in range(len(used) + len(parts)) if number not in used)
    return [
        ShardJob(number, DataFolder(out).shard(number), root, tuple(videos[i] for i in part), clip_settings)
        for number, part in zip(free, parts, strict=False)
    ]


def write_shards(
    jobs: list[ShardJob], *, workers: int, scheduler: str | None, progress: Callable[[int, int], None]
) -> Iterator[ShardResult]:
    """Write shards in parallel, and yield the result of each in the order of `jobs`.

    A video on which every worker process dies gets the status 'unreadable'.

    Args:
        jobs: the shards to write.
        workers, scheduler: as in `parallel.map_in_order`.
        progress: function(done, total), called after every shard.
    """
    each = functools.partial(parallel.map_in_order, workers=workers, scheduler=scheduler)
    for done, (job, result) in enumerate(
        zip(jobs, each(write_shard, jobs, on_death=lambda job, error: None), strict=True), start=1
    ):
        if result is None:
            videos = each(
                functools.partial(inspect_video, root=job.root, clip_settings=job.clip_settings, decode=True),
                list(job.videos),
                on_death=_unreadable,
            )
            (result,) = each(write_shard, [dataclasses.replace(job, videos=tuple(videos))])
        yield result
        progress(done, len(jobs))


def write_shard(job: ShardJob) -> ShardResult:
    """Write one shard; no file is written if none of its videos is usable.

    Raises:
        OSError: the file cannot be written.
        ValueError: a video has another number of frames each time it is decoded.
    """
    cv2.setNumThreads(1)  # the other workers use the other cores
    videos = job.videos
    for _ in range(ATTEMPTS):
        videos, is_finished = _attempt(job, videos)
        if is_finished:
            videos = tuple(dataclasses.replace(one, shard=job.number if one.status == OK else -1) for one in videos)
            usable = any(one.status == OK for one in videos)
            return ShardResult(job.number, atomic_files.sha256(job.path) if usable else None, videos)
    raise ValueError(f"{job.path} cannot be written: a video has another number of frames each time it is decoded.")


class _Discarded(Exception):
    """The file of a shard is not kept."""


def _attempt(job: ShardJob, videos: tuple[Video, ...]) -> tuple[tuple[Video, ...], bool]:
    """Write a shard once.

    A shard with clips of a video that turns out to be unusable, or to have another number of frames, is discarded. The
    next attempt uses the status and the number of frames that this one has found.

    Returns:
        The videos with what decoding has shown, and whether the shard is finished: written, or without usable videos.
    """
    is_finished, settings = False, job.clip_settings
    with (
        contextlib.suppress(_Discarded),
        shards.writing(job.path, clip_frames=settings["clip_frames"], clip_size=settings["clip_size"]) as add,
    ):
        found = [_cut(one, job, add) for one in videos]
        videos, is_finished = tuple(one for one, _ in found), all(is_right for _, is_right in found)
        if not (is_finished and any(one.status == OK for one in videos)):
            raise _Discarded
    return videos, is_finished


def _cut(one: Video, job: ShardJob, add: Callable) -> tuple[Video, bool]:
    """Add the clips of a video to a shard.

    Returns:
        The video with what decoding has shown, and whether the right clips were added: those of its frames, or none if
        it is unusable.
    """
    if one.status not in ("", OK):
        return one, True
    settings, added = job.clip_settings, False
    try:
        opened = reader.read_frames(job.root / one.path, one.raw)
    except (ValueError, OSError) as error:
        return _unreadable(one, error), True
    try:
        with opened as frames:
            info = frames.info
            planned = one.frames or info.expected or info.frames  # counted by an earlier attempt, or declared
            if planned >= settings["clip_frames"] and not decoder_client.missing_frames(planned, info.frames):
                grid, added = clips.plan_grid(planned, info.height, info.width, **settings), True
                with contextlib.suppress(clips.TooFewFrames):
                    add(one, grid, clips.iter_groups(frames, grid))
            for _ in frames:
                pass
        found = _judge(one, info, frames.decoded, frames.warnings, settings["clip_frames"])
    except ValueError as error:  # an OSError is one of writing the shard
        found = _unreadable(one, error)
    usable = found.status == OK
    return found, added == usable and (not usable or found.frames == planned)


def _judge(one: Video, info: decoder_client.VideoInfo, count: int, warnings: list[str], clip_frames: int) -> Video:
    """Return the video with its size, its number of frames, and the status that follows from them.

    Errors that the decoder reports may be invisible, so the video stays usable with a reason; missing frames are not.
    """
    status, reason = OK, "; ".join(warnings)
    if decoder_client.missing_frames(count, info.frames):
        status, reason = "damaged", f"{info.frames} frames are declared, {count} can be decoded"
    elif count < clip_frames:
        status, reason = "too_short", f"one clip needs {clip_frames} frames, the video has {count}"
    return dataclasses.replace(
        one, frames=count, width=info.width, height=info.height, fps=info.fps, status=status, reason=reason
    )


def _unreadable(one: Video, error: Exception) -> Video:
    return dataclasses.replace(one, status="unreadable", reason=str(error))


def inspect_video(one: Video, *, root: Path, clip_settings: dict, decode: bool) -> Video:
    """Read the properties of a video without cutting clips.

    Args:
        one: the video; returned unchanged if its status says why it is skipped.
        root, clip_settings: as in `ShardJob`.
        decode: decode the video to count its frames; False uses the number in the header, if there is one.

    Returns:
        The video with its frames, size, rate, status and reason.
    """
    if one.status not in ("", OK):
        return one
    try:
        with reader.read_frames(root / one.path, one.raw) as frames:
            declared = frames.info.expected or frames.info.frames
            count = sum(1 for _ in frames) if decode or not declared else declared
        return _judge(one, frames.info, count, frames.warnings, clip_settings["clip_frames"])
    except (ValueError, OSError) as error:
        return _unreadable(one, error)


def clips_per_video(clip_settings: dict) -> int:
    """Return the number of clips of each video: groups x blocks."""
    return clip_settings["num_groups"] * math.prod(clip_settings["block_grid"])


def _clip_bytes(clip_settings: dict) -> int:
    return clip_settings["clip_frames"] * clip_settings["clip_size"] ** 2 * 3


def stored_size(num_clips: int, *, clip_frames: int, clip_size: int) -> int:
    """Estimate the bytes on disk of a number of clips."""
    return int(num_clips * clip_frames * clip_size**2 * 3 * LZ4_RATIO)


def estimate_seconds(videos: list[Video], *, root: Path, clip_settings: dict, workers: int) -> float:
    """Estimate the time to prepare videos: the first few are decoded and cut, and their time is scaled up.

    Args:
        videos: the results of `inspect_video`; unusable ones are ignored.
        root, clip_settings: as in `ShardJob`.
        workers: number of processes.
    """
    good = [one for one in videos if one.status == OK]
    started = time.monotonic()
    for one in good[:SAMPLE]:
        with contextlib.suppress(ValueError, OSError):  # prep will record the error
            grid = clips.plan_grid(one.frames, one.height, one.width, **clip_settings)
            for _ in clips.iter_groups(reader.read_frames(root / one.path, one.raw), grid):
                pass
    decoding_seconds = (time.monotonic() - started) * len(good) / max(1, min(len(good), SAMPLE))
    size = LZ4_RATIO * len(good) * clips_per_video(clip_settings) * _clip_bytes(clip_settings)
    return (decoding_seconds + size / WRITE_BYTES) / workers


def require_space(out_dir: Path, needed: float) -> None:
    """Raise OSError if the disk has fewer than `needed` free bytes."""
    folder = Path(out_dir)
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"The shards need {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free. Choose another --out."
        )


def verify(out_dir: Path, progress: Callable[[int, int], None]) -> list[str]:
    """Compare every shard with its checksum; a damaged one is renamed to NAME.damaged, and prep writes it again.

    Args:
        out_dir: a complete data folder.
        progress: function(done, total), called after every shard.

    Returns:
        One line for each shard that is missing or damaged.

    Raises:
        FileNotFoundError: the preparation of the folder has not finished.
    """
    index, lines = atomic_files.read_json(DataFolder(out_dir).index, made_by="make prep"), []
    checksums = {number: checksum for number, checksum in enumerate(index["shards"]) if checksum is not None}
    for done, (number, checksum) in enumerate(checksums.items(), start=1):
        path = DataFolder(out_dir).shard(number)
        if not path.exists():
            lines.append(f"missing: {path}")
        elif (found := atomic_files.sha256(path)) != checksum:
            renamed = path.with_name(f"{path.name}.damaged")
            lines.append(f"damaged: {path}, SHA-256 {found}, index.json has {checksum}; renamed to {renamed.name}")
            path.replace(renamed)
        progress(done, len(checksums))
    return lines
