"""The task of a worker process that extracts the features of one video. Each worker loads the 3D-CNN once."""

import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nr_vqm.common import atomic_files, devices
from nr_vqm.dataset import manifest
from nr_vqm.presets import Preset
from nr_vqm.runs import features
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.video import reader

if TYPE_CHECKING:
    from nr_vqm.models.shared_trunk import ClipOutputs, SharedTrunk

_LOADING = threading.Lock()  # two threads of a worker must not load the same model


def write_part(one: manifest.Video, *, run_dir: Path, made_from: str, precision: str, device: str) -> None:
    """Extract the features of one video and write them as a part of the run's features, if they are missing.

    Args:
        one: the video.
        run_dir: the run folder.
        made_from: SHA-256 of the 3D-CNN's file.
        precision: Keras dtype policy of the computation.
        device: see `devices.start`.

    Raises:
        ValueError: the video cannot be decoded, or the 3D-CNN has changed.
    """
    file = features.FeatureFile(run_dir, precision=precision)
    if not file.part(one, made_from).exists():
        with _LOADING:
            trunk, preset = _load_trunk(run_dir, made_from, precision, device)
        file.write_part(one, made_from, _extract(one, trunk, preset))


@functools.lru_cache(maxsize=1)
def _load_trunk(run_dir: Path, made_from: str, precision: str, device: str) -> "tuple[SharedTrunk, Preset]":
    devices.start(device, hide_startup_lines=True)  # must precede the import of TensorFlow
    from nr_vqm.scoring import keras_models

    run = RunFolder(run_dir)
    if atomic_files.sha256(run.cnn3d) != made_from:
        raise ValueError(f"{run.cnn3d} has changed since the extraction started. Start it again: make features.")
    return keras_models.load_trunk(run.cnn3d, made_by="make train", precision=precision), run.read_preset()


def _extract(one: manifest.Video, trunk: "SharedTrunk", preset: Preset) -> "ClipOutputs":
    try:
        return features.extract(
            reader.read_frames(one.path, one.raw),
            trunk=trunk,
            num_frames=one.frames,
            height=one.height,
            width=one.width,
            **preset.head_clips,
        )
    except (ValueError, OSError) as error:
        raise ValueError(f"Features of the prepared video {one.video_id!r} cannot be extracted: {error}") from error
