"""State of a data folder: which videos are prepared, and which ones prep has to prepare.

manifest.csv and index.json describe a finished folder. While prep runs, it appends one line per finished shard to
progress.jsonl, from which an interrupted preparation resumes. At the end it writes these shards to the two files.
"""

import dataclasses
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any, Self

from data_prep import label_files
from nr_vqm.common import atomic_files, provenance
from nr_vqm.dataset import manifest, shards
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.dataset.manifest import OK, REMOVED, Video
from nr_vqm.presets import Preset


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """A finished shard.

    Attributes:
        number: number of the shard.
        checksum: SHA-256 of the file; None if there is no file, because no video of the shard is usable.
        videos: its videos with their status and, if usable, their frames and size.
        stale: (shard, video_id) of the clips in other shards that it replaces.
    """

    number: int
    checksum: str | None
    videos: tuple[Video, ...]
    stale: tuple[tuple[int, str], ...] = ()


@dataclasses.dataclass
class Prepared:
    """The finished shards and videos of a data folder.

    Attributes:
        videos: {video_id: video} of the manifest and of progress.jsonl.
        checksums: {number of the shard: SHA-256}; None for a shard without a file.
        stale: (shard, video_id) of clips that are no longer used.
        session: ids of the videos in progress.jsonl. Prep attempts failed videos again each time, except when it
            resumes an interrupted preparation in which they failed.
    """

    videos: dict[str, Video]
    checksums: dict[int, str | None]
    stale: set[tuple[int, str]]
    session: set[str]

    def replaced_by(self, result: ShardResult) -> tuple[tuple[int, str], ...]:
        """Return (shard, video_id) of the clips in other shards that a finished shard replaces."""
        old = [self.videos[one.video_id] for one in result.videos if one.video_id in self.videos]
        return tuple((one.shard, one.video_id) for one in old if one.shard not in (-1, result.number))

    def add(self, result: ShardResult) -> None:
        """Add a finished shard."""
        self.checksums[result.number] = result.checksum
        stale = {*result.stale, *self.replaced_by(result)}
        self.stale = {pair for pair in self.stale if pair[0] != result.number} | stale
        self.videos = {name: one for name, one in self.videos.items() if one.shard != result.number}
        for one in result.videos:
            self.videos[one.video_id] = one
            self.session.add(one.video_id)


def read(out: Path) -> Prepared:
    """Read the finished shards and videos of a data folder, which may be empty or missing."""
    prepared = Prepared({}, {}, set(), set())
    folder = DataFolder(out)
    if folder.index.exists():
        index = atomic_files.read_json(folder.index, made_by="make prep")
        prepared.checksums = dict(enumerate(index["shards"]))
        prepared.stale = {(number, video_id) for number, video_id in index["stale"]}
        prepared.videos = {one.video_id: one for one in manifest.read(folder.manifest)}
    for result in _read_progress(folder.progress):
        prepared.add(result)
    return prepared


def _read_progress(path: Path) -> list[ShardResult]:
    """Read the shards of an interrupted preparation; an incomplete last line is ignored."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    try:
        return [_result_from(json.loads(line)) for line in lines]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} is damaged or of another version ({error}). Delete it to prepare its videos again."
        ) from error


def _result_from(stored: dict[str, Any]) -> ShardResult:
    videos = tuple(Video(**row) for row in stored["videos"])
    stale = tuple((number, video_id) for number, video_id in stored.get("stale", ()))
    return ShardResult(**stored | {"videos": videos, "stale": stale})


class Progress:
    """Context manager that appends finished shards to progress.jsonl."""

    def __init__(self, out: Path) -> None:
        """Set the data folder."""
        self._path = DataFolder(out).progress

    def __enter__(self) -> Self:
        """Open the file, and remove a last line that is incomplete."""
        whole = self._path.read_bytes() if self._path.exists() else b""
        self._file = open(self._path, "ab")
        self._file.truncate(whole.rfind(b"\n") + 1)
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self._file.close()

    def add(self, result: ShardResult) -> None:
        """Append one shard, synchronised to the disk."""
        self._file.write(json.dumps(dataclasses.asdict(result)).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


@dataclasses.dataclass(frozen=True)
class Changes:
    """Differences between the label file and the prepared videos.

    Attributes:
        videos: the videos of the label file in its order, then prepared videos that it no longer lists.
        todo: the videos to prepare: new ones, ones whose file has changed, and ones that failed before.
        retried: number of videos in `todo` that failed before.
        replaced: number of videos in `todo` that were usable and whose file has changed.
        relabelled: number of prepared videos whose label has changed.
        removed: number of prepared videos that the label file no longer lists.
        gone: number of prepared videos whose file no longer exists.
    """

    videos: list[Video]
    todo: list[Video]
    retried: int = 0
    replaced: int = 0
    relabelled: int = 0
    removed: int = 0
    gone: int = 0


def compare(rows: list[Video], prepared: Prepared, root: Path) -> Changes:
    """Compare the labels with the prepared videos, and list the videos to prepare.

    A video is kept if it was usable and its file has not changed, wherever the file is now; its label is that of the
    label file. The clips of a video that the label file no longer lists are kept and not used.

    Args:
        rows: the videos of the label file, as its reader returns them.
        prepared: the finished shards and videos.
        root: the folder to which the paths are relative.
    """
    videos, todo = [], []
    counts = dict.fromkeys(("retried", "replaced", "relabelled", "removed", "gone"), 0)
    for row in rows:
        row, old = _with_fingerprint(row, root), prepared.videos.get(row.video_id)
        if old and _is_kept(row, old, prepared.session):
            kept = _relabel(old, row)
            counts["relabelled"] += kept.status == OK and _label(kept) != _label(old)
            counts["gone"] += kept.status == OK and row.status == label_files.MISSING
            videos.append(kept)
            continue
        videos.append(row)
        if row.status != label_files.MISSING:
            todo.append(row)
            counts["retried"] += old is not None and old.status not in (OK, REMOVED, label_files.MISSING)
            counts["replaced"] += old is not None and old.status in (OK, REMOVED)
    named = {row.video_id for row in rows}
    for old in prepared.videos.values():
        if old.video_id not in named and old.status in (OK, REMOVED):
            videos.append(dataclasses.replace(old, status=REMOVED))
            counts["removed"] += 1
    return Changes(videos, todo, **counts)


def _with_fingerprint(row: Video, root: Path) -> Video:
    """Return the row with the fingerprint of its file, or with status 'missing' if the file does not exist."""
    if row.status:
        return row
    try:
        return dataclasses.replace(row, fingerprint=atomic_files.fingerprint(root / row.path))
    except FileNotFoundError as error:
        return dataclasses.replace(row, status=label_files.MISSING, reason=str(error))
    except OSError:  # preparing it will fail as well, and record the reason
        return row


def _is_kept(row: Video, old: Video, session: set[str]) -> bool:
    same_file = row.status == label_files.MISSING or (row.fingerprint, row.raw) == (old.fingerprint, old.raw)
    if old.status in (OK, REMOVED):
        return same_file
    return same_file and old.video_id in session


def _relabel(old: Video, row: Video) -> Video:
    """Return the prepared video with the label and the path of the label file."""
    status = OK if old.status == REMOVED else old.status
    label = {name: getattr(row, name) for name in ("path", "content", "mos", "mos_low", "mos_high", "mos_ci95")}
    return dataclasses.replace(old, status=status, **label)


def _label(one: Video) -> tuple[Any, ...]:
    return one.content, one.mos, one.mos_low, one.mos_high, one.mos_ci95


def finish(
    out: Path,
    videos: list[Video],
    prepared: Prepared,
    *,
    request: dict,
    root: Path,
    preset: Preset,
    label_method: str,
) -> None:
    """Write prep.json, manifest.csv and, last, index.json, without which a folder counts as unfinished.

    Args:
        out: the data folder.
        videos: the rows of the manifest: those of `compare` when no video is left to prepare.
        prepared: the finished shards and videos.
        request: the settings with which the folder was prepared.
        root: the folder to which the paths are relative.
        preset: recorded in index.json.
        label_method: how the labels were formed, recorded in prep.json; empty where the database says it.
    """
    labels_sha256 = hash_labels(videos)
    used = {(one.shard, one.video_id) for one in videos if one.status == OK}
    known = {(one.shard, one.video_id) for one in prepared.videos.values() if one.shard >= 0}
    index = {
        "schema": shards.SCHEMA,
        "labels_sha256": labels_sha256,
        "videos": len(used),
        "clips": len(used) * request["train_groups"] * math.prod(request["train_grid"]),
        "preset": dataclasses.asdict(preset),
        "versions": provenance.versions(),
        "shards": [prepared.checksums.get(number) for number in range(max(prepared.checksums, default=-1) + 1)],
        "stale": sorted((prepared.stale | known) - used),
    }
    method = {"label_method": label_method} if label_method else {}
    write_request(out, request, root, labels_sha256=labels_sha256, **method)
    folder = DataFolder(out)
    manifest.write(folder.manifest, videos)
    atomic_files.write_json(folder.index, index)
    folder.progress.unlink(missing_ok=True)


def is_complete(out: Path, videos: list[Video]) -> bool:
    """Return whether the data folder is finished and its manifest has exactly these rows."""
    folder = DataFolder(out)
    finished = all(path.exists() for path in (folder.index, folder.settings, folder.manifest))
    if not finished or folder.progress.exists() or manifest.read(folder.manifest) != videos:
        return False
    index, prep = (atomic_files.read_json(path, made_by="make prep") for path in (folder.index, folder.settings))
    return index["labels_sha256"] == prep.get("labels_sha256") == hash_labels(videos)


def write_request(out: Path, request: dict, root: Path, **more: str) -> None:
    """Write prep.json. A root inside the data folder is recorded relative to it, so that both can be moved together."""
    place = root.relative_to(out) if root.is_relative_to(out) else root
    atomic_files.write_json(DataFolder(out).settings, {**request, "root": place.as_posix(), **more})


def check_request(out: Path, request: dict) -> None:
    """Raise ValueError if the data folder was prepared from another database or with other settings."""
    path = DataFolder(out).settings
    if not path.exists():
        return
    found = atomic_files.read_json(path, made_by="make prep")
    if "root" not in found:
        raise ValueError(f"{out} was prepared by an older version. Choose another --out or delete it.")
    for name, value in request.items():
        if found.get(name) != value:
            raise ValueError(
                f"{out} was prepared with {name}={found.get(name)}. Received: {value}. "
                "Choose another --out or delete it."
            )


def hash_labels(videos: list[Video]) -> str:
    """Return the SHA-256 of the usable videos and their labels, as hexadecimal digits.

    It depends neither on the place of the videos and the data folder nor on the order of the rows.
    """
    rows = [
        [one.video_id, one.path, one.frames, one.width, one.height, one.pixel_format, *_label(one)]
        for one in videos
        if one.status == OK
    ]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()
