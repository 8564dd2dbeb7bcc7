"""3D-CNN + videos -> what the heads read: each group's mean features and the clip qualities. Memory is bounded."""

import dataclasses
import hashlib
import json
import shutil

import h5py
import numpy as np

from nr_vqm.common import atomic_files, hdf5_files
from nr_vqm.dataset import mos_scale
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.video import clips

SCHEMA = 2
TEXTS, NUMBERS = ("video_id", "content"), ("mos", "mos_low", "mos_high", "mos_ci95")  # of the manifest
OUTPUTS = ("group_features", "clip_quality")  # of the 3D-CNN


def extract(
    frames, *, trunk, num_frames, height, width, num_groups, block_grid, clip_frames, clip_size, downscale=False
):
    """Extract the mean features of every group and the clip qualities of one video.

    Args:
        frames: iterable of uint8 RGB, shape (height, width, 3).
        trunk: shared_trunk.SharedTrunk of the 3D-CNN.
        num_frames, height, width: how many frames `frames` gives, and their size in pixels.
        num_groups, block_grid: the grid that the heads read.
        clip_frames, clip_size: of the 3D-CNN, in frames and pixels.
        downscale: as in `clips.plan_grid`.

    Returns:
        shared_trunk.ClipOutputs.

    Raises:
        ValueError: the video is shorter than one clip, or its frames end before `num_frames`.
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
    """<run>/features.h5, made of one part per video so that a stopped extraction goes on."""

    def __init__(self, run_dir, *, precision=None):
        """
        Args:
            run_dir: the run folder.
            precision: the dtype policy that the features are computed in; parts in another are others.
        """
        run = RunFolder(run_dir)
        self.path, self.parts, self.precision = run.features, run.feature_parts, precision

    def part(self, video_id, made_from):
        """Where the part of a video lies; another 3D-CNN (`made_from`) or precision has other parts."""
        # Hashed: a video_id comes from a label file and is no safe file name.
        name = hashlib.sha256(f"{SCHEMA}\n{made_from}\n{self.precision}\n{video_id}".encode()).hexdigest()[:32]
        return self.parts / f"{name}.h5"

    def write_part(self, video_id, made_from, outputs):
        """Store the shared_trunk.ClipOutputs of one video."""
        self.parts.mkdir(exist_ok=True)
        with hdf5_files.writing(self.part(video_id, made_from)) as file:
            for name in OUTPUTS:
                file.create_dataset(name, data=getattr(outputs, name))

    def join(self, videos, made_from):
        """Write features.h5 from the parts of all videos.

        Args:
            videos: list of manifest.Video.
            made_from: as in `part`.
        """
        with hdf5_files.writing(self.path) as out:
            out.attrs["schema"] = SCHEMA
            out.attrs["made_from"] = made_from
            for name in TEXTS:
                out.create_dataset(name, data=[getattr(one, name) for one in videos], dtype=h5py.string_dtype())
            for name in NUMBERS:
                out.create_dataset(name, data=[getattr(one, name) for one in videos])
            for index, one in enumerate(videos):
                with h5py.File(self.part(one.video_id, made_from)) as part:
                    for name in OUTPUTS:
                        if name not in out:
                            out.create_dataset(name, (len(videos), *part[name].shape), part[name].dtype)
                        out[name][index] = part[name][:]

    def drop_parts(self):
        """Delete the parts, which the joined file replaces once the stage is complete."""
        shutil.rmtree(self.parts, ignore_errors=True)


def videos_sha256(videos):
    """The SHA-256 of what features.h5 says of its videos: which they are, and their labels.

    Args:
        videos: list of manifest.Video.
    """
    rows = [[getattr(one, name) for name in (*TEXTS, *NUMBERS)] for one in videos]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class HeadInputs:
    """What the heads read of some videos.

    Attributes:
        video_id, content: object arrays of str (num_videos,).
        mos, mos_low, mos_high: float64 (num_videos,), the MOS in the database's unit and the ends of its scale.
        clip_quality: float32 (num_videos, num_groups, num_blocks), on 1-5.
        mean_features: float32 (num_videos, feature_dim), the means over all clips.
        row: int (num_videos,), the videos' rows in `stored`.
        stored: float32 (rows, num_groups, feature_dim), the group features of all videos of the run, on the disk.
    """

    video_id: np.ndarray
    content: np.ndarray
    mos: np.ndarray
    mos_low: np.ndarray
    mos_high: np.ndarray
    clip_quality: np.ndarray
    mean_features: np.ndarray
    row: np.ndarray
    stored: np.ndarray

    @property
    def quality(self) -> np.ndarray:
        """The MOS on 1-5, float32 (num_videos,)."""
        return mos_scale.to_unit_5(self.mos, self.mos_low, self.mos_high).astype(np.float32)

    @property
    def group_features(self) -> np.ndarray:
        """The means over the blocks of each group, float32 (num_videos, num_groups, feature_dim), read when asked for.

        They are the largest part of the features, and only one head reads them.
        """
        return self.stored[self.row]

    def of(self, video_ids):
        """The same for some videos, in the order asked for; ValueError where one is missing."""
        row_of = {video_id: row for row, video_id in enumerate(self.video_id)}
        missing = [video_id for video_id in video_ids if video_id not in row_of]
        if missing:
            raise ValueError(
                f"No features of video {missing[0]!r} ({len(missing)} missing). Extract again: make features."
            )
        rows = [row_of[video_id] for video_id in video_ids]
        names = [field.name for field in dataclasses.fields(self) if field.name != "stored"]
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in names})


def read_ci95(run_dir):
    """{video_id: half width of its MOS's 95 % interval} of the videos that have one; empty without features.h5."""
    path = RunFolder(run_dir).features
    if not path.exists():
        return {}
    with h5py.File(path) as file:
        if "mos_ci95" not in file:
            return {}
        pairs = zip(file["video_id"].asstr()[:], file["mos_ci95"][:].tolist(), strict=True)
        return {video_id: half_width for video_id, half_width in pairs if half_width > 0}


def read_head_inputs(run_dir):
    """The HeadInputs of all videos of a run.

    Raises:
        FileNotFoundError: features were not extracted.
        ValueError: a features.h5 of another schema.
    """
    path = RunFolder(run_dir).features
    atomic_files.require(path, made_by="make features")
    with h5py.File(path) as file:
        if file.attrs.get("schema") != SCHEMA:
            raise ValueError(f"{path} has schema {file.attrs.get('schema')}, {SCHEMA} is needed. Run: make features.")
        stored = hdf5_files.memory_map(path, "group_features")
        return HeadInputs(
            video_id=file["video_id"].asstr()[:],
            content=file["content"].asstr()[:],
            **{name: file[name][:] for name in ("mos", "mos_low", "mos_high", "clip_quality")},
            mean_features=np.stack([mean_features(groups) for groups in stored]),
            row=np.arange(len(stored)),
            stored=stored,
        )


def mean_features(group_features: np.ndarray) -> np.ndarray:
    """The mean over the groups of one video, what the SVR reads: (num_groups, feature_dim) -> (feature_dim,)."""
    return group_features.mean(axis=0)
