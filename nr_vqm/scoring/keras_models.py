"""Load the models of a run with Keras."""

import os

from nr_vqm.common import devices
from nr_vqm.models import cnn3d, head_table, keras_engine
from nr_vqm.models.shared_trunk import SharedTrunk
from nr_vqm.runs import heads, model_check
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import head_model
from nr_vqm.scoring.scorer import Scorer
from nr_vqm.video.work_limits import WorkLimits


def load_scorer(
    run_dir: str | os.PathLike[str], head: str, *, precision: str | None = None, limits: WorkLimits | None = None
) -> Scorer:
    """Load the 3D-CNN and one head of a run.

    Args:
        run_dir: a run folder that the stages train and compare have written.
        head: a head of `head_table` that reads the outputs of a 3D-CNN.
        precision: a Keras dtype policy, or 'auto' for the fastest on this machine; None uses the run's setting.
        limits: on the work for one video file; None for the defaults of WorkLimits.

    Raises:
        FileNotFoundError: a model is missing.
        ValueError: a model is damaged or was not written by nr-vqm.
    """
    model = head_model.of_run(run_dir, head, lambda run: heads.load(run, head).predict)
    run = RunFolder(run_dir)
    chosen = devices.chosen_precision(precision or run.read_preset().precision)
    made_by = model_check.cnn3d_made_by(head_table.get(head))
    trunk = load_trunk(run.head_cnn3d(head), made_by=made_by, precision=chosen)
    return Scorer(model, trunk, engine="keras", precision=chosen, limits=limits)


def load_trunk(path: str | os.PathLike[str], *, made_by: str, precision: str) -> SharedTrunk:
    """Load a 3D-CNN of a run for whole videos.

    Args:
        path: its file.
        made_by: the command that writes it, for messages.
        precision: a Keras dtype policy.

    Raises:
        FileNotFoundError: the 3D-CNN is missing.
        ValueError: it is damaged or was not written by nr-vqm.
    """
    model = model_check.load_model(path, made_by=made_by)
    return keras_engine.shared_trunk(cnn3d.with_dtype(model, precision))
