"""State of a data folder: which videos are prepared, and which must be. Prep resumes, repairs and extends by it.

manifest.csv and index.json describe the finished folder. While prep runs, it appends one line per finished
shard to progress.jsonl, so that an interrupted run resumes; at the end the lines become part of the two files.
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
    """One shard, prepared.

    Attributes:
        number: of the shard.
        checksum: SHA-256 of the file; None where no video of it is usable, so that there is no file.
        videos: its videos, opened: their status and, of usable ones, frames and size.
    """

    number: int
    checksum: str | None
    videos: tuple[Video, ...]


@dataclasses.dataclass
class Prepared:
    """The finished shards and videos of a data folder.

    Attributes:
        videos: by video_id, of the manifest and of the shards since.
        checksums: by the number of the shard; None where it has no file.
        stale: (shard, video_id) of clips that are no longer used.
        session: the video_ids of an interrupted prep; failed ones are not attempted again by the run that resumes it.
    """

    videos: dict[str, Video]
    checksums: dict[int, str | None]
    stale: set[tuple[int, str]]
    session: set[str]

    def add(self, result: ShardResult) -> None:
        """Add a finished shard."""
        self.checksums[result.number] = result.checksum
        self.stale = {pair for pair in self.stale if pair[0] != result.number}
        self.videos = {name: one for name, one in self.videos.items() if one.shard != result.number}
        for one in result.videos:
            old = self.videos.get(one.video_id)
            if old and old.shard >= 0:
                self.stale.add((old.shard, one.video_id))
            self.videos[one.video_id] = one
            self.session.add(one.video_id)


def read(out: Path) -> Prepared:
    """Read which shards and videos are finished in the data folder `out`, which may be empty or missing."""
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
    """Read the shards of an interrupted prep; an incomplete last line is dropped."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    found = [json.loads(line) for line in lines]
    return [ShardResult(**{**one, "videos": tuple(Video(**row) for row in one["videos"])}) for one in found]


class Progress:
    """Appends finished shards to progress.jsonl; use it as a context manager."""

    def __init__(self, out: Path) -> None:
        """Set the data folder."""
        self._path = DataFolder(out).progress

    def __enter__(self) -> Self:
        """Open the file, without a last line that was interrupted."""
        whole = self._path.read_bytes() if self._path.exists() else b""
        self._file = open(self._path, "ab")
        self._file.truncate(whole.rfind(b"\n") + 1)
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self._file.close()

    def add(self, result: ShardResult) -> None:
        """Append one shard; it survives a power cut."""
        self._file.write(json.dumps(dataclasses.asdict(result)).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


@dataclasses.dataclass(frozen=True)
class Changes:
    """The label file compared with what is prepared.

    Attributes:
        videos: every row of the label file in its order, finished or not, then the removed ones.
        todo: the rows to prepare: new ones, ones whose file is another one now, and ones that failed before.
        retried: how many of `todo` failed before.
        replaced: how many of `todo` were usable with another file.
        relabelled: how many finished ones have another label than before.
        removed: how many finished ones the label file does not name any more.
        gone: how many finished ones have no file any more.
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
    label file. The clips of a video that the label file no longer names are kept and not used.

    Args:
        rows: the label file's videos, unopened.
        prepared: what is finished.
        root: the folder that the paths are relative to.
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
    """The finished video with the label file's label and path."""
    status = OK if old.status == REMOVED else old.status
    label = {name: getattr(row, name) for name in ("path", "content", "mos", "mos_low", "mos_high", "mos_ci95")}
    return dataclasses.replace(old, status=status, **label)


def _label(one: Video) -> tuple[Any, ...]:
    return one.content, one.mos, one.mos_low, one.mos_high, one.mos_ci95


def finish(out: Path, videos: list[Video], prepared: Prepared, *, request: dict, root: Path, preset: Preset) -> None:
    """Write prep.json, manifest.csv and index.json, each whole; until the last one is there the folder is unfinished.

    Args:
        out: the data folder.
        videos: the rows of the manifest, of `compare` when nothing is left to do.
        prepared: all shards.
        request: the settings that the folder is prepared with.
        root: the folder that the paths are relative to.
        preset: recorded in index.json.
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
    write_request(out, request, root, labels_sha256=labels_sha256)
    folder = DataFolder(out)
    manifest.write(folder.manifest, videos)
    atomic_files.write_json(folder.index, index)
    folder.progress.unlink(missing_ok=True)


def is_complete(out: Path, videos: list[Video]) -> bool:
    """Whether the data folder is finished with these rows of the manifest."""
    folder = DataFolder(out)
    finished = all(path.exists() for path in (folder.index, folder.settings, folder.manifest))
    if not finished or folder.progress.exists() or manifest.read(folder.manifest) != videos:
        return False
    index, prep = (atomic_files.read_json(path, made_by="make prep") for path in (folder.index, folder.settings))
    return index["labels_sha256"] == prep.get("labels_sha256") == hash_labels(videos)


def write_request(out: Path, request: dict, root: Path, **more: str) -> None:
    """Write prep.json; a root inside the data folder is recorded relative to it, so that both can be moved."""
    place = root.relative_to(out) if root.is_relative_to(out) else root
    atomic_files.write_json(DataFolder(out).settings, {**request, "root": place.as_posix(), **more})


def check_request(out: Path, request: dict) -> None:
    """Raise ValueError where the data folder was prepared from another database or with other settings."""
    path = DataFolder(out).settings
    if not path.exists():
        return
    found = atomic_files.read_json(path, made_by="make prep")
    if "root" not in found:
        raise ValueError(f"{out} was prepared by an older version. Choose another --out or delete it.")
    for name, value in request.items():
        if found.get(name) != value:
            raise ValueError(
                f"{out} was prepared with {name}={found.get(name)}, asked for is {value}. Choose another --out or "
                "delete it."
            )


def hash_labels(videos: list[Video]) -> str:
    """The SHA-256 of the usable videos and their labels, as hex digits.

    It is the same wherever the videos and the data folder lie, and in any order of the rows.
    """
    rows = [
        [one.video_id, one.path, one.frames, one.width, one.height, one.pixel_format, *_label(one)]
        for one in videos
        if one.status == OK
    ]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()
