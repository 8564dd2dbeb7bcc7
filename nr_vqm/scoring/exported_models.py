"""Load the models of an export with OpenVINO."""

from nr_vqm.models.openvino_engine import OpenVinoEngine
from nr_vqm.models.shared_trunk import SharedTrunk
from nr_vqm.runs import export_folder
from nr_vqm.runs.export_folder import ExportFolder
from nr_vqm.scoring import head_model
from nr_vqm.scoring.scorer import Scorer
from nr_vqm.video.work_limits import WorkLimits


def load_scorer(export: ExportFolder, head: str, *, limits: WorkLimits | None = None) -> Scorer:
    """Load the 3D-CNN and one head of an export.

    Args:
        export: the export.
        head: one of its heads that reads the outputs of the 3D-CNN.
        limits: on the work for one video file; None for the defaults of WorkLimits.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, has changed since it was exported, or holds anything but this network.
    """
    model, trunk = head_model.of_export(export, head), load_trunk(export)
    return Scorer(model, trunk, engine="openvino", precision="float32", limits=limits)


def load_trunk(export: ExportFolder) -> SharedTrunk:
    """Load the 3D-CNN of an export for whole videos; errors as in `load_scorer`."""
    sizes = {name: value for name, value in export.preset.network.items() if name != "dropout"}
    parts = [export.network(name) for name in (export_folder.TRUNK, export_folder.CLIP_HEAD)]
    try:
        return SharedTrunk(OpenVinoEngine(*parts, **sizes))
    except ValueError as error:
        raise ValueError(
            f"{export.path} must hold the network of its preset: {error}. Make it again: {export_folder.MADE_BY}."
        ) from error
