"""Storage of the hand-crafted features of the videos of a run, one file per method: <run>/rivals/NAME.h5."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from nr_vqm.common import atomic_files, hdf5_files
from nr_vqm.dataset import manifest
from nr_vqm.models import head_table
from nr_vqm.runs import features, stage_records
from nr_vqm.runs.run_folder import RunFolder

SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class RivalFile:
    """The file of one method, joined from one part per video so that a stopped extraction resumes.

    A row that an earlier file holds for the same state of a video is kept, so that corrected labels or added videos
    do not make the extraction start from the beginning.

    Attributes:
        run_dir: the run folder.
        name: name of the method.
        version: version of the method.
        num_features: number of features of a video.
        codebook_sha256: SHA-256 of the codebook's file; empty for a method without a codebook.
    """

    run_dir: Path
    name: str
    version: int
    num_features: int
    codebook_sha256: str = ""

    @property
    def path(self) -> Path:
        """The joined file."""
        return RunFolder(self.run_dir).rival_features(self.name)

    @property
    def parts(self) -> Path:
        """The folder of the parts."""
        return RunFolder(self.run_dir).rival_parts(self.name)

    def key(self, video: manifest.Video) -> str:
        """Return the key of the features of a video: it changes with whatever the features depend on.

        Args:
            video: a video of the manifest, whose fingerprint identifies the state of its file.
        """
        # Hashed, because a video_id comes from a label file and need not be a safe file name.
        key = [SCHEMA, self.name, self.version, self.codebook_sha256, video.fingerprint, video.video_id]
        return _sha256(key)[:32]

    def keys_sha256(self, videos: Iterable[manifest.Video]) -> str:
        """Return the SHA-256 of the keys of some videos."""
        return _sha256([self.key(one) for one in videos])

    def part(self, video: manifest.Video) -> Path:
        """Return the path of the part of a video."""
        return self.parts / f"{self.key(video)}.h5"

    def write_part(
        self, video: manifest.Video, found: np.ndarray | None, *, reason: str = "", seconds: float = 0.0
    ) -> None:
        """Write the features of one video.

        Args:
            video: the video.
            found: float64, shape (num_features,); None if the features cannot be computed.
            reason: why they cannot be computed; empty if they are.
            seconds: CPU seconds of the computation.
        """
        self.parts.mkdir(parents=True, exist_ok=True)
        with hdf5_files.writing(self.part(video)) as file:
            file["features"] = np.full(self.num_features, np.nan) if found is None else found
            file.attrs["reason"], file.attrs["seconds"] = reason, seconds

    def missing(self, videos: Sequence[manifest.Video]) -> list[manifest.Video]:
        """List the videos that have neither a part nor a row in the joined file."""
        with self._earlier_rows() as (_, row_of):
            return [one for one in videos if self.key(one) not in row_of and not self.part(one).exists()]

    def join(self, videos: Sequence[manifest.Video]) -> None:
        """Write the joined file from its earlier rows and the parts, in the order of `videos`."""
        self.path.parent.mkdir(exist_ok=True)
        with self._earlier_rows() as (earlier, row_of), hdf5_files.writing(self.path) as out:
            out.attrs["schema"], out.attrs["method"], out.attrs["version"] = SCHEMA, self.name, self.version
            out.attrs["videos_sha256"] = features.videos_sha256(videos)
            if self.codebook_sha256:
                out.attrs["codebook_sha256"] = self.codebook_sha256
            text = h5py.string_dtype()
            out.create_dataset("video_id", data=[one.video_id for one in videos], dtype=text)
            out.create_dataset("key", data=[self.key(one) for one in videos], dtype=text)
            out.create_dataset("features", (len(videos), self.num_features), np.float64)
            out.create_dataset("reason", (len(videos),), text)
            out.create_dataset("seconds", (len(videos),), np.float64)
            for index, one in enumerate(videos):
                row = row_of.get(self.key(one))
                values = self._read_part(one) if row is None else _read_row(earlier, row)
                out["features"][index], out["reason"][index], out["seconds"][index] = values

    def drop_parts(self) -> None:
        """Delete the parts, which are unnecessary once the stage is complete."""
        shutil.rmtree(self.parts, ignore_errors=True)

    def _read_part(self, video: manifest.Video) -> tuple[np.ndarray, str, float]:
        with hdf5_files.reading(self.part(video)) as part:
            return part["features"][:], part.attrs["reason"], part.attrs["seconds"]

    @contextlib.contextmanager
    def _earlier_rows(self) -> Iterator[tuple[h5py.File | None, dict[str, int]]]:
        """Open the joined file; yield it and {key: row}. Without a file of this schema: None and an empty dict."""
        if not (self.path.is_file() and h5py.is_hdf5(self.path)):
            yield None, {}
            return
        with hdf5_files.reading(self.path) as file:
            usable = file.attrs.get("schema") == SCHEMA
            yield file, {key: row for row, key in enumerate(file["key"].asstr()[:])} if usable else {}


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _read_row(file: h5py.File, row: int) -> tuple[np.ndarray, str, float]:
    return file["features"][row], file["reason"].asstr()[row], file["seconds"][row]


@dataclasses.dataclass(frozen=True)
class RivalFeatures:
    """Hand-crafted features of some videos.

    Attributes:
        video_id: object array of str (num_videos,).
        features: float64 (num_videos, num_features); NaN in every column of a video whose features cannot be computed,
            and where a method leaves single values undefined.
        reason: object array of str (num_videos,): why the features cannot be computed; empty if they are.
        seconds: float64 (num_videos,), CPU seconds of the computation, without decoding.
        version: version of the method.
    """

    video_id: np.ndarray
    features: np.ndarray
    reason: np.ndarray
    seconds: np.ndarray
    version: int

    def select(self, video_ids: Iterable[str]) -> "RivalFeatures":
        """Return the features of some videos, in the given order.

        Raises:
            ValueError: a video has no row.
        """
        rows, missing = manifest.find_rows(self.video_id, video_ids)
        if missing:
            raise ValueError(
                f"No hand-crafted features of video {missing[0]!r} ({len(missing)} missing). Extract again: "
                "make rivals."
            )
        return RivalFeatures(
            self.video_id[rows], self.features[rows], self.reason[rows], self.seconds[rows], self.version
        )


def read(run_dir: str | os.PathLike[str], name: str) -> RivalFeatures:
    """Read the features that one method has computed for all videos of a run.

    Args:
        run_dir: a folder with one split: a repeat, or a run without repeats.
        name: name of the method.

    Raises:
        FileNotFoundError: they were not extracted.
        ValueError: the file has another schema.
    """
    return read_file(RunFolder(run_dir).rival_features(name), made_by=f"make rivals RIVALS={name}")


def read_file(path: str | os.PathLike[str], *, made_by: str = "make rivals") -> RivalFeatures:
    """Read a file of hand-crafted features, <run>/rivals/NAME.h5.

    Args:
        path: the file.
        made_by: the command that makes it, for messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a file of hand-crafted features, has another schema, or not one row per video.
    """
    atomic_files.require(path, made_by=made_by)
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path} is not a file of hand-crafted features. Make it again: {made_by}.")
    with hdf5_files.reading(path) as file:
        if file.attrs.get("schema") != SCHEMA or "features" not in file:
            raise ValueError(f"{path} has schema {file.attrs.get('schema')}, {SCHEMA} is needed. Run: {made_by}.")
        shapes = {name: file[name].shape for name in ("video_id", "reason", "seconds", "features")}
        if len({shape[:1] for shape in shapes.values()}) > 1 or [*map(len, shapes.values())] != [1, 1, 1, 2]:
            raise ValueError(f"{path} needs one row per video in every data set, found {shapes}. Run: {made_by}.")
        return RivalFeatures(
            video_id=file["video_id"].asstr()[:],
            features=file["features"][:],
            reason=file["reason"].asstr()[:],
            seconds=file["seconds"][:],
            version=int(file.attrs["version"]),
        )


def computed(run_dir: str | os.PathLike[str]) -> list[str]:
    """List the methods whose features a run has, complete and unchanged; arguments as in `read`."""
    run = RunFolder(run_dir)
    return [name for name in head_table.RIVALS if run.is_complete(stage_records.rival_stage(name))]
