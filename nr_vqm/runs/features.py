"""Features of the videos of a run: extraction, storage in features.h5, and the inputs of the heads."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import h5py
import numpy as np

from nr_vqm.common import atomic_files, hdf5_files
from nr_vqm.dataset import manifest, mos_scale
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.video import clips

if TYPE_CHECKING:  # imports Keras, and workers choose their device before that
    from nr_vqm.models.shared_trunk import ClipOutputs, SharedTrunk

SCHEMA = 2
TEXTS, NUMBERS = ("video_id", "content"), ("mos", "mos_low", "mos_high", "mos_ci95")  # of the manifest
OUTPUTS = ("group_features", "clip_quality")  # of the 3D-CNN


def extract(
    frames: Iterable[np.ndarray],
    *,
    trunk: "SharedTrunk",
    num_frames: int,
    height: int,
    width: int,
    num_groups: int,
    block_grid: tuple[int, int],
    clip_frames: int,
    clip_size: int,
    downscale: bool,
) -> "ClipOutputs":
    """Extract the mean features of every group and the clip qualities of one video. Memory is bounded.

    Args:
        frames: uint8 RGB, shape (height, width, 3) each.
        trunk: the 3D-CNN.
        num_frames: number of frames in `frames`.
        height, width: their size in pixels.
        num_groups: clip positions in time.
        block_grid: clip positions in the frame, as (rows, columns).
        clip_frames: clip length of the 3D-CNN in frames.
        clip_size: clip height and width of the 3D-CNN in pixels.
        downscale: as in `clips.plan_grid`.

    Returns:
        The group features and clip qualities, checked to be finite.

    Raises:
        ValueError: the video is shorter than one clip, or `frames` has fewer than `num_frames` frames.
    """
    grid = clips.plan_grid(
        num_frames,
        height,
        width,
        num_groups=num_groups,
        block_grid=block_grid,
        clip_frames=clip_frames,
        clip_size=clip_size,
        stride=trunk.stride,
        downscale=downscale,
    )
    return trunk.run(frames, grid)


class FeatureFile:
    """<run>/features.h5, joined from one part per video so that a stopped extraction resumes."""

    def __init__(self, run_dir: str | os.PathLike[str], *, precision: str | None = None) -> None:
        """Name the files; nothing is read or written.

        Args:
            run_dir: the run folder.
            precision: the dtype policy in which the features are computed; each precision has parts of its own.
        """
        run = RunFolder(run_dir)
        self.path, self.parts, self.precision = run.features, run.feature_parts, precision

    def part(self, video: manifest.Video, cnn_sha256: str) -> Path:
        """Return the path of the part of a video.

        A part belongs to one state of the video file, one 3D-CNN and one precision: whatever changes between a
        stopped and a resumed extraction, an outdated part is never used.

        Args:
            video: a video of the manifest, whose fingerprint identifies the state of its file.
            cnn_sha256: SHA-256 of the 3D-CNN's file.
        """
        # Hashed, because a video_id comes from a label file and need not be a safe file name.
        key = [SCHEMA, cnn_sha256, self.precision, video.fingerprint, video.video_id]
        return self.parts / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]}.h5"

    def write_part(self, video: manifest.Video, cnn_sha256: str, outputs: "ClipOutputs") -> None:
        """Write the features of one video; arguments as in `part`."""
        self.parts.mkdir(exist_ok=True)
        with hdf5_files.writing(self.part(video, cnn_sha256)) as file:
            for name in OUTPUTS:
                file.create_dataset(name, data=getattr(outputs, name))

    def join(self, videos: Sequence[manifest.Video], cnn_sha256: str) -> None:
        """Write features.h5 from the parts of all videos; arguments as in `part`."""
        with hdf5_files.writing(self.path) as out:
            out.attrs["schema"] = SCHEMA
            out.attrs["made_from"] = cnn_sha256
            for name in TEXTS:
                out.create_dataset(name, data=[getattr(one, name) for one in videos], dtype=h5py.string_dtype())
            for name in NUMBERS:
                out.create_dataset(name, data=[getattr(one, name) for one in videos])
            for index, one in enumerate(videos):
                with hdf5_files.reading(self.part(one, cnn_sha256)) as part:
                    values = {name: part[name][:] for name in OUTPUTS}
                for name, value in values.items():
                    if name not in out:
                        out.create_dataset(name, (len(videos), *value.shape), value.dtype)
                    out[name][index] = value

    def drop_parts(self) -> None:
        """Delete the parts, which are unnecessary once the stage is complete."""
        shutil.rmtree(self.parts, ignore_errors=True)


def videos_sha256(videos: Iterable[manifest.Video]) -> str:
    """Return the SHA-256 of the video ids, contents and labels that features.h5 stores."""
    rows = [[getattr(one, name) for name in (*TEXTS, *NUMBERS)] for one in videos]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def files_sha256(videos: Iterable[manifest.Video]) -> str:
    """Return the SHA-256 of the ids of some videos and the states of their files."""
    rows = [[one.video_id, one.fingerprint] for one in videos]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class LabelledVideos:
    """Labels of some videos; a subclass adds what heads read of them.

    Attributes:
        video_id, content: object arrays of str (num_videos,).
        mos: float64 (num_videos,), in the database's unit.
        mos_low, mos_high: float64 (num_videos,), lowest and highest value of the database's MOS scale.
    """

    video_id: np.ndarray
    content: np.ndarray
    mos: np.ndarray
    mos_low: np.ndarray
    mos_high: np.ndarray

    @property
    def quality(self) -> np.ndarray:
        """MOS on 1-5, float32 (num_videos,)."""
        return mos_scale.to_unit_5(self.mos, self.mos_low, self.mos_high).astype(np.float32)

    def select(self, video_ids: Iterable[str]) -> Self:
        """Return some videos, in the given order.

        Raises:
            ValueError: a video has no features.
        """
        rows, missing = manifest.find_rows(self.video_id, video_ids)
        if missing:
            raise ValueError(
                f"No features of video {missing[0]!r} ({len(missing)} missing). Extract again: make features."
            )
        return self._take(rows)

    def _take(self, rows: Sequence[int]) -> Self:
        return dataclasses.replace(
            self, **{field.name: getattr(self, field.name)[rows] for field in dataclasses.fields(self)}
        )


@dataclasses.dataclass(frozen=True)
class HeadInputs(LabelledVideos):
    """What the heads of the 3D-CNN read of some videos, and their labels.

    Attributes:
        clip_quality: float32 (num_videos, num_groups, num_blocks), on 1-5.
        mean_features: float32 (num_videos, feature_dim), the means over all clips.
        row: int (num_videos,), the videos' rows in `stored`.
        stored: float32 (rows, num_groups, feature_dim), the group features of all videos of the run, on disk.
    """

    clip_quality: np.ndarray
    mean_features: np.ndarray
    row: np.ndarray
    stored: np.ndarray

    @property
    def group_features(self) -> np.ndarray:
        """Mean features of each group, float32 (num_videos, num_groups, feature_dim), read from disk at each access.

        They are by far the largest input, and only one head reads them.
        """
        return self.stored[self.row]

    def _take(self, rows: Sequence[int]) -> Self:
        names = [field.name for field in dataclasses.fields(self) if field.name != "stored"]
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in names})


def num_videos(run_dir: str | os.PathLike[str]) -> int:
    """Return the number of videos in features.h5; 0 if it does not exist."""
    path = RunFolder(run_dir).features
    if not path.exists():
        return 0
    with hdf5_files.reading(path) as file:
        return len(file["video_id"])


def read_ci95(run_dir: str | os.PathLike[str]) -> dict[str, float]:
    """Read {video_id: half width of the 95 % interval of its MOS}; videos without one are skipped.

    Returns:
        Empty if features.h5 does not exist or the database has no intervals.
    """
    path = RunFolder(run_dir).features
    if not path.exists():
        return {}
    with hdf5_files.reading(path) as file:
        if "mos_ci95" not in file:
            return {}
        pairs = zip(file["video_id"].asstr()[:], file["mos_ci95"][:].tolist(), strict=True)
        return {video_id: half_width for video_id, half_width in pairs if half_width > 0}


def read_head_inputs(run_dir: str | os.PathLike[str]) -> HeadInputs:
    """Read the inputs of the heads of all videos of a run.

    Raises:
        FileNotFoundError: features were not extracted.
        ValueError: features.h5 has another schema, is damaged, or holds NaN or infinity.
    """
    path = RunFolder(run_dir).features
    atomic_files.require(path, made_by="make features")
    with hdf5_files.reading(path) as file:
        if file.attrs.get("schema") != SCHEMA:
            raise ValueError(f"{path} has schema {file.attrs.get('schema')}, {SCHEMA} is needed. Run: make features.")
        _check_shapes(file, path)
        stored = hdf5_files.memory_map(path, "group_features")
        numbers = {name: file[name][:] for name in ("mos", "mos_low", "mos_high", "clip_quality")}
        numbers["mean_features"] = np.stack([mean_features(groups) for groups in stored])
        for name, values in numbers.items():
            if not np.isfinite(values).all():
                raise ValueError(f"{path} needs finite numbers, {name} has NaN or infinity. Run: make features.")
        return HeadInputs(
            video_id=file["video_id"].asstr()[:],
            content=file["content"].asstr()[:],
            **numbers,
            row=np.arange(len(stored)),
            stored=stored,
        )


def _check_shapes(file: h5py.File, path: Path) -> None:
    """Raise ValueError unless every data set has one row per video and the dimensions that the heads read."""
    dims = dict.fromkeys((*TEXTS, "mos", "mos_low", "mos_high"), 1) | dict.fromkeys(OUTPUTS, 3)
    shapes = {name: file[name].shape for name in dims}
    if any(len(shape) != dims[name] or 0 in shape for name, shape in shapes.items()):
        raise ValueError(f"{path} has data sets of unusable shapes: {shapes}. Run: make features.")
    if len({shape[0] for shape in shapes.values()}) > 1:
        raise ValueError(f"{path} needs one row per video in every data set, found {shapes}. Run: make features.")


def mean_features(group_features: np.ndarray) -> np.ndarray:
    """Return the mean over the groups of one video, the input of the SVR: (num_groups, dim) -> (dim,)."""
    return group_features.mean(axis=0)
