"""The files of a data folder, which prep writes and the later stages read."""

import os
from pathlib import Path


class DataFolder:
    """The paths in a data folder. Only this class knows the names of its files.

    Attributes:
        path: the folder.
        manifest: the videos, see `manifest`.
        settings: prep.json, the settings of the folder.
        index: checksums of the shards; written last, so its presence means that the folder is complete.
        progress: the finished shards, from which a stopped prep resumes.
        teacher: a copy of the teacher that gave the labels; only of pseudo-labels.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.manifest, self.settings = self.path / "manifest.csv", self.path / "prep.json"
        self.index, self.progress = self.path / "index.json", self.path / "progress.jsonl"
        self.teacher = self.path / "teacher.h5"

    def shard(self, number: int) -> Path:
        """Return the path of a shard: <data>/clips-00000.h5 for number 0."""
        return self.path / f"clips-{number:05d}.h5"
