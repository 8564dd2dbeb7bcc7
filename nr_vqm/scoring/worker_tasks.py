"""What a worker does for one video of many: extract its features, or score it. The models are loaded once a process."""

import functools
import threading

from nr_vqm.common import atomic_files, devices
from nr_vqm.runs import features
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import score_table
from nr_vqm.video import reader

_LOADING = threading.Lock()  # so that two threads do not load the same


def write_part(one, *, run_dir, made_from, precision, device):
    """Extract one video's features and write them as a part of the run's, unless that was done.

    Args:
        one: manifest.Video.
        run_dir: the run folder.
        made_from: checksum of the 3D-CNN, as in `features.FeatureFile`.
        precision: the dtype policy to compute in.
        device: as in `devices.start`.

    Raises:
        ValueError: the video cannot be decoded any more, or the 3D-CNN is another by now.
    """
    file = features.FeatureFile(run_dir, precision=precision)
    if not file.part(one.video_id, made_from).exists():
        with _LOADING:
            trunk, preset = _load(run_dir, made_from, precision, device)
        file.write_part(one.video_id, made_from, _extract(one, trunk, preset))


@functools.lru_cache(maxsize=1)
def _load(run_dir, made_from, precision, device):
    devices.start(device, hide_startup_lines=True)  # before anything imports TensorFlow
    from nr_vqm.scoring import scorer

    run = RunFolder(run_dir)
    if atomic_files.sha256(run.cnn3d) != made_from:
        raise ValueError(f"{run.cnn3d} has changed since the extraction started. Start it again: make features.")
    return scorer.load_trunk(run_dir, precision=precision), run.read_preset()


def _extract(one, trunk, preset):
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


def score(path, *, run_dir, head, model_id, raw, precision, device):
    """Score one video.

    Args:
        path: the video.
        run_dir, head: of the scorer, as in `nr_vqm.load`.
        model_id: of the run as the asker sees it: a worker may have loaded what was there before, or see another file.
        raw: as in `scorer.Scorer.score`.
        precision, device: as in `nr_vqm.load`.

    Returns:
        (Score, None), or (None, ValueError) for a video that cannot be scored.
    """
    with _LOADING:
        devices.start(device, hide_startup_lines=True)  # before anything imports TensorFlow
        from nr_vqm.scoring import scorer

        loaded = _scorer(run_dir, head, model_id, precision)
    found, error = scorer.attempt(loaded.score, path, raw)
    return found, error and ValueError(score_table.reason(error))  # not every error can be sent to another process


@functools.lru_cache(maxsize=1)
def _scorer(run_dir, head, model_id, precision):
    from nr_vqm.scoring import scorer

    loaded = scorer.Scorer(run_dir, head=head, precision=precision)
    if loaded.model_id != model_id:
        raise ValueError(f"{run_dir} holds other models on a worker than here, or has changed since. Begin again.")
    return loaded
