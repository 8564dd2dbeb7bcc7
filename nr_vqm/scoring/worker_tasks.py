"""Tasks for one video that run in worker processes: extract its features, or score it.

Each worker loads the models once.
"""

import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nr_vqm.common import atomic_files, devices
from nr_vqm.dataset import manifest
from nr_vqm.presets import Preset
from nr_vqm.runs import features
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import attempts, model_source, score_table
from nr_vqm.video import reader
from nr_vqm.video.work_limits import WorkLimits

if TYPE_CHECKING:
    from nr_vqm.models.shared_trunk import ClipOutputs, SharedTrunk
    from nr_vqm.scoring.feature_scorer import FeatureScorer
    from nr_vqm.scoring.score import Score
    from nr_vqm.scoring.scorer import Scorer

_LOADING = threading.Lock()  # two threads of a worker must not load the same models


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


def score(
    path: Path,
    *,
    run_dir: Path,
    head: str,
    engine: str | None,
    model_id: str,
    options: reader.ReadOptions,
    limits: WorkLimits,
    precision: str | None,
    device: str,
) -> "tuple[Score | None, ValueError | None]":
    """Score one video.

    Args:
        path: the video.
        run_dir: a run folder or an export.
        head: see `nr_vqm.load`.
        engine: see `nr_vqm.load`.
        model_id: of the models that the command found; a worker may have loaded earlier ones, or see other files.
        options: how files are read that leave a choice.
        limits: on the work for one video.
        precision: see `nr_vqm.load`.
        device: see `nr_vqm.load`.

    Returns:
        (Score, None), or (None, error) for a video that cannot be scored.

    Raises:
        ValueError: the worker's models are not those of `model_id`.
    """
    with _LOADING:
        loaded = _load_scorer(run_dir, head, engine, model_id, precision, device, limits)
    result, error = attempts.attempt(functools.partial(loaded.score, **vars(options)), path)
    # Not every exception can be pickled for another process, a ValueError can.
    return result, None if error is None else ValueError(score_table.error_text(error))


@functools.lru_cache(maxsize=1)
def _load_trunk(run_dir: Path, made_from: str, precision: str, device: str) -> "tuple[SharedTrunk, Preset]":
    devices.start(device, hide_startup_lines=True)  # must precede the import of TensorFlow
    from nr_vqm.scoring import keras_models

    run = RunFolder(run_dir)
    if atomic_files.sha256(run.cnn3d) != made_from:
        raise ValueError(f"{run.cnn3d} has changed since the extraction started. Start it again: make features.")
    return keras_models.load_trunk(run.cnn3d, made_by="make train", precision=precision), run.read_preset()


@functools.lru_cache(maxsize=1)
def _load_scorer(
    run_dir: Path,
    head: str,
    engine: str | None,
    model_id: str,
    precision: str | None,
    device: str,
    limits: WorkLimits,
) -> "Scorer | FeatureScorer":
    source = model_source.find(run_dir, head, engine=engine)
    if source.model_id != model_id:
        raise ValueError(
            f"The models of {run_dir} on a worker differ from those on this machine, or have changed since the start. "
            "Run the command again."
        )
    source.start(device, hide_startup_lines=True)
    return source.load(precision=precision, device=device, limits=limits)


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
