"""Generator of a database of pseudo-labels from a folder of videos: look, choose, make versions, measure, label.

Every step writes one file per video, segment or version, so that an interrupted run resumes where it was stopped.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from data_prep.contents import added_synthetic, label_rows, measurements, selection, versions, vmaf
from data_prep.contents.label_rows import Failure
from data_prep.contents.scan import SCAN_VERSION, Scan, Scene, scan
from data_prep.contents.selection import Segment, Source
from nr_vqm.common import atomic_files, parallel
from nr_vqm.teacher.teacher import Teacher
from nr_vqm.video import reader

VERSION = 1  # must increase whenever the same settings give different videos or measurements
SETTINGS_FILE = "settings.json"
FOLDERS = ("scan", "made", "vmaf", "features", "videos")
MIN_CONTENTS = 3  # one each for train, val and test
Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Result:
    """What was made.

    Attributes:
        num_versions: number of labelled versions.
        num_segments: number of segments that they show.
        num_contents: number of contents of the segments.
        num_synthetic: number of synthetic videos.
        skipped: {path below the folder: (status, reason)} of videos without a label; of a video with labels the path
            is followed by the segment or version that has none.
    """

    num_versions: int
    num_segments: int
    num_contents: int
    num_synthetic: int
    skipped: dict[str, tuple[str, str]]


def make_database(
    root: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any],
    synthetic: Mapping[str, Any],
    teacher: Teacher | None,
    loss: str,
    workers: int,
    scheduler: str | None,
    progress: Progress,
) -> Result:
    """Generate a database from a folder of videos. An interrupted run resumes; new videos are added to it.

    Writes videos/*, contents.csv (how each label was formed), skipped.csv, then labels.csv: path, mos, content,
    video_id; MOS on 1-5. Versions of one segment share a content.

    Args:
        root: folder of the videos, with subfolders.
        out_dir: folder of the database, created if missing.
        settings: num_frames and num_versions of a segment, size (largest rows and columns), max_segments of a video,
            max_seconds of it that are looked at, min_side, impairment (beta distribution), reencoded (share), seed.
        synthetic: num_videos (0: none), num_frames, size and seed of the synthetic videos that are added.
        teacher: gives the level of undistorted views; None takes 5 for all.
        loss: one of `presets.CONTENTS_LOSSES`.
        workers, scheduler: as in `parallel.map_in_order`.
        progress: called with the name of the step, and how many of its files are done and to do.

    Raises:
        FileNotFoundError: there is no folder, or VMAF is needed and there is no FFmpeg with libvmaf.
        ValueError: too few videos are usable, or the database has other settings.
    """
    root, out_dir, settings = Path(root).resolve(), Path(out_dir).resolve(), {"version": VERSION, **settings}
    if not root.is_dir():
        raise FileNotFoundError(f"A folder of videos is needed, there is no folder {root}. Give it by --root.")
    if loss != "tables":
        vmaf.ffmpeg()
    _prepare(out_dir, settings)
    each = functools.partial(_each, workers=workers, scheduler=scheduler, progress=progress)
    sources = _look(root, out_dir, settings, each)
    segments, skipped = selection.choose(
        sources, num_frames=settings["num_frames"], max_segments=settings["max_segments"]
    )
    _require_contents(root, segments, skipped)
    records, failed = _make(segments, root, out_dir, settings, each)
    values, without_vmaf = measurements.vmaf_of(records, out_dir, each) if loss != "tables" else ({}, {})
    levels, without_level = measurements.levels(records, out_dir, teacher, each)
    rows = label_rows.make(records, levels, values, loss=loss)
    reasons = {version: ("no_vmaf", reason) for version, reason in without_vmaf.items()}
    reasons |= {version: ("no_features", reason) for version, reason in without_level.items()}
    skipped |= label_rows.skipped([*failed, *label_rows.failures(records, rows, reasons)], rows)
    _require_contents(root, rows, skipped)
    added = added_synthetic.make(out_dir, synthetic, workers=workers, scheduler=scheduler, progress=progress)
    label_rows.write(out_dir, [*rows, *added], skipped)
    segments_made, contents = (len({row[name] for row in rows}) for name in ("segment", "content"))
    return Result(len(rows), segments_made, contents, len(added), skipped)


def _each(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    step: str,
    *,
    on_death: Callable[[Any, Exception], Any],
    workers: int,
    scheduler: str | None,
    progress: Progress,
) -> list[Any]:
    """Call a function for all items in parallel, and report the progress of the step."""
    found = []
    if items:
        progress(step, 0, len(items))
    for result in parallel.map_in_order(function, items, workers=workers, scheduler=scheduler, on_death=on_death):
        found.append(result)
        progress(step, len(found), len(items))
    return found


def _prepare(out_dir: Path, settings: Mapping[str, Any]) -> None:
    """Create the folders; raise ValueError where they hold a database of other settings."""
    for folder in (out_dir, *(out_dir / name for name in FOLDERS)):
        folder.mkdir(parents=True, exist_ok=True)
        atomic_files.drop_leftovers(folder)
    path, settings = out_dir / SETTINGS_FILE, _as_json(settings)
    if not path.exists():
        atomic_files.write_json(path, settings)
    found = atomic_files.read_json(path, made_by="make prep")
    for name in settings:
        if found.get(name) != settings[name]:
            raise ValueError(
                f"{out_dir} was generated with {name}={found.get(name)}, the command has {name}={settings[name]}. "
                "Choose another --out or delete it."
            )


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


# ---------------------------------------------------------------- looking


def _look(root: Path, out_dir: Path, settings: Mapping[str, Any], each: measurements.Each) -> list[Source]:
    """Look through all videos below the folder, except those of the database itself."""
    paths = [path for path in reader.list_videos(root) if not path.is_relative_to(out_dir)]
    if not paths:
        raise ValueError(f"{root} has no videos. Give a folder of videos by --root.")
    look = functools.partial(_look_at, root=root, out_dir=out_dir, settings=settings)
    return each(look, paths, "look", on_death=functools.partial(_unreadable, root=root))


def _unreadable(path: Path, error: Exception, *, root: Path) -> Source:
    return Source(path.relative_to(root).as_posix(), str(path), 0, Scan("unreadable", str(error)))


def _look_at(path: Path, *, root: Path, out_dir: Path, settings: Mapping[str, Any]) -> Source:
    """Look through one video, unless that was done before."""
    cv2.setNumThreads(1)  # the other workers have the other cores
    try:
        fingerprint, file_bytes = atomic_files.fingerprint(path), os.stat(path).st_size
    except OSError as error:
        return _unreadable(path, error, root=root)
    file = out_dir / "scan" / f"{fingerprint}.json"
    found = _read_scan(file)
    if found is None:
        names = ("num_frames", "min_side", "max_seconds")
        found = scan(path, **{name: settings[name] for name in names})
        if found.status != "unreadable":  # which may be a matter of the machine
            atomic_files.write_json(file, {"version": SCAN_VERSION, **dataclasses.asdict(found)})
    return Source(path.relative_to(root).as_posix(), fingerprint, file_bytes, found)


def _read_scan(path: Path) -> Scan | None:
    """Read a stored scan; None if there is none, or one of an earlier version."""
    found = atomic_files.read_json(path, made_by="make prep") if path.exists() else {}
    if found.pop("version", None) != SCAN_VERSION:
        return None
    scenes = tuple(Scene(**{**scene, "hashes": tuple(scene["hashes"])}) for scene in found.pop("scenes"))
    return Scan(**found, scenes=scenes)


def _require_contents(
    root: Path, items: Sequence[Segment] | Sequence[Mapping[str, Any]], skipped: Mapping[str, tuple[str, str]]
) -> None:
    """Raise ValueError where there are too few contents to split."""
    count = len({one.content if isinstance(one, Segment) else one["content"] for one in items})
    if count < MIN_CONTENTS:
        reasons = ", ".join(f"{number} {status}" for status, number in selection.counts(skipped).items())
        raise ValueError(
            f"At least {MIN_CONTENTS} different contents are needed, {root} has {count}"
            + (f" (skipped: {reasons})" if reasons else "")
            + ". Add videos of other scenes."
        )


def _make(
    segments: Sequence[Segment],
    root: Path,
    out_dir: Path,
    settings: Mapping[str, Any],
    each: measurements.Each,
) -> tuple[list[dict[str, Any]], list[Failure]]:
    """Write the versions of all segments; return the records of those that are made, and the others."""
    make = functools.partial(_make_one, root=root, out_dir=out_dir, settings=settings)
    found = each(make, segments, "make", on_death=lambda segment, error: str(error))
    records, failed = [], []
    for segment, record in zip(segments, found, strict=True):
        if isinstance(record, str):
            failed.append(Failure(segment.source.path, f"segment {segment.name}", "unreadable", record))
        else:  # the file may have another name now, and other videos may share its content
            records.append({**record, "content": segment.content, "source": segment.source.path})
    return records, failed


def _make_one(segment: Segment, *, root: Path, out_dir: Path, settings: Mapping[str, Any]) -> dict[str, Any] | str:
    """Make one segment; return its record, or why it cannot be made."""
    cv2.setNumThreads(1)
    try:
        return versions.make_segment(segment, root=root, out_dir=out_dir, settings=settings)
    except (ValueError, FileNotFoundError) as error:
        return str(error)
