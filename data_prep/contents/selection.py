"""Choose segments: copies of a video are skipped, videos of one scene share a content."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from data_prep.contents.scan import Scan, Scene

COPY_BITS = 6  # of 64: frames whose hashes differ in at most as many are copies
SIMILAR_BITS = 14  # frames that may show the same scene; two unrelated frames differ in 32 +- 4 bits
MATCHED_SHARE = 0.5  # of hashed frames that match: of the copy's own; of either one's of two videos of one scene


@dataclasses.dataclass(frozen=True)
class Source:
    """One video file of the folder.

    Attributes:
        path: relative to the folder, with slashes.
        fingerprint: of the file.
        file_bytes: size of the file.
        scan: what was found in it.
    """

    path: str
    fingerprint: str
    file_bytes: int
    scan: Scan


@dataclasses.dataclass(frozen=True)
class Segment:
    """A segment to take.

    Attributes:
        source: the video.
        start: first frame.
        content: the same for all segments of one video, and of videos that show the same scene.
    """

    source: Source
    start: int
    content: str

    @property
    def name(self) -> str:
        """Identifier that depends on the file's content and the frame only."""
        return f"{self.source.fingerprint[:12]}-{self.start:05d}"


def choose(
    sources: Sequence[Source], *, num_frames: int, max_segments: int
) -> tuple[list[Segment], dict[str, tuple[str, str]]]:
    """Choose the segments of all usable videos.

    Of several copies of a video the one with the most pixels is taken, then the largest file. A longer video of which
    a taken one shows a part is no copy, because most of it is new; it is taken with the same content.

    Args:
        sources: all videos, usable or not.
        num_frames: length of a segment.
        max_segments: of one video, each from a scene of its own.

    Returns:
        (segments by path and start, {path: (status, reason)} of the skipped videos).
    """
    skipped = {one.path: (one.scan.status, one.scan.reason) for one in sources if one.scan.status}
    usable = [one for one in sources if not one.scan.status]
    usable.sort(key=lambda one: (-one.scan.width * one.scan.height, -one.file_bytes, one.path))
    groups = _Groups()
    taken: list[Source] = []
    for one in usable:
        copy_of, similar = groups.match(one)
        if copy_of is not None:
            skipped[one.path] = ("duplicate", f"shows the same as {taken[copy_of].path}")
            continue
        groups.add(one, similar)
        taken.append(one)
    contents = groups.contents([one.fingerprint for one in taken])
    segments = [
        Segment(one, scene.start + (scene.length - num_frames) // 2, content)
        for one, content in zip(taken, contents, strict=True)
        for scene in _spread(one.scan.usable_scenes(num_frames), max_segments)
    ]
    return sorted(segments, key=lambda one: (one.source.path, one.start)), skipped


def _spread(scenes: Sequence[Scene], most: int) -> list[Scene]:
    """Take at most `most` scenes, evenly over the video."""
    if len(scenes) <= most:
        return list(scenes)
    return [scenes[round((number + 0.5) * len(scenes) / most - 0.5)] for number in range(most)]


class _Groups:
    """The hashes of the videos taken so far, and which of them show the same scene."""

    def __init__(self) -> None:
        self._hashes, self._owners = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._fingerprints: dict[str, int] = {}
        self._group: list[int] = []

    def match(self, one: Source) -> tuple[int | None, list[int]]:
        """Return (the video of which `one` is a copy or None, the videos that may show the same scene)."""
        if one.fingerprint in self._fingerprints:
            return self._fingerprints[one.fingerprint], []
        hashes = _hashes(one)
        if not len(hashes) or not len(self._hashes):
            return None, []
        copied, similar = np.zeros((2, len(self._group)))  # number of its hashes that each taken video has
        matched = np.zeros(len(self._hashes), bool)  # hashes of taken videos that it has
        for value in hashes:
            distances = np.bitwise_count(self._hashes ^ value)
            copied[np.unique(self._owners[distances <= COPY_BITS])] += 1
            similar[np.unique(self._owners[distances <= SIMILAR_BITS])] += 1
            matched |= distances <= SIMILAR_BITS
        copies = np.flatnonzero(copied >= MATCHED_SHARE * len(hashes))
        share = np.maximum(similar / len(hashes), self._share_of_each(matched))
        return (int(copies[0]) if len(copies) else None), np.flatnonzero(share >= MATCHED_SHARE).tolist()

    def _share_of_each(self, matched: np.ndarray) -> np.ndarray:
        """Return the share of each taken video's hashes that are matched, 0 for one without hashes."""
        total, found = (
            np.bincount(owners, minlength=len(self._group)) for owners in (self._owners, self._owners[matched])
        )
        return found / np.maximum(1, total)

    def add(self, one: Source, similar: Sequence[int]) -> None:
        """Take a video, and join the groups of all videos that may show the same scene."""
        number, hashes = len(self._group), _hashes(one)
        self._hashes = np.concatenate([self._hashes, hashes])
        self._owners = np.concatenate([self._owners, np.full(len(hashes), number)])
        self._fingerprints[one.fingerprint] = number
        joined = {self._group[other] for other in similar}
        self._group.append(min(joined, default=number))
        self._group = [self._group[number] if group in joined else group for group in self._group]

    def contents(self, names: Sequence[str]) -> list[str]:
        """Return the content of every video: the name of the first one of its group."""
        return [names[group][:12] for group in self._group]


def _hashes(one: Source) -> np.ndarray:
    return np.array([value for scene in one.scan.scenes for value in scene.hashes], np.uint64)


def counts(skipped: Mapping[str, tuple[str, str]]) -> dict[str, int]:
    """Count the skipped videos by status."""
    found: dict[str, int] = {}
    for status, _ in skipped.values():
        found[status] = found.get(status, 0) + 1
    return dict(sorted(found.items()))
