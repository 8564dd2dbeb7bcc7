"""Find the models that scoring uses: those of a run, of its export, or of the run that ships with nr-vqm."""

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nr_vqm import presets, pretrained
from nr_vqm.common import devices, fork_check
from nr_vqm.models import head_table
from nr_vqm.runs import export_folder, interval_file, model_check
from nr_vqm.runs.export_folder import ExportFolder
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.video import decoder_processes
from nr_vqm.video.work_limits import WorkLimits

if TYPE_CHECKING:
    from nr_vqm.scoring.feature_scorer import FeatureScorer
    from nr_vqm.scoring.scorer import Scorer

RUN_VARIABLE = "NR_VQM_RUN"  # a run folder or an export, used where none is named


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """A folder with the models of one head.

    Attributes:
        folder: a run folder or an export.
        head: name of the head.
        engine: 'openvino' for an export, 'keras' for a run; 'numpy' for a head on hand-crafted features.
        model_id: 12 hexadecimal digits that identify the models.
    """

    folder: Path
    head: str
    engine: str
    model_id: str

    def check(self, *, precision: str | None, device: str) -> None:
        """Check that the engine can compute as requested; arguments as in `nr_vqm.load`.

        Raises:
            ValueError: there is no such precision, or only Keras can compute this.
        """
        if precision not in (None, *presets.PRECISIONS):
            raise ValueError(f"A precision is one of {', '.join(presets.PRECISIONS)}. Received: {precision!r}.")
        if self.engine == "keras" and importlib.util.find_spec("keras") is None:
            raise ValueError(
                f"{self.folder} needs Keras, which is not installed. Name an export of it (nr-vqm export), or install "
                "Keras in a checkout: pip install '.[train]'."
            )
        if self.engine != "openvino":
            return
        if precision == "mixed_bfloat16" or device not in ("auto", "cpu"):
            raise ValueError(
                f"{_title(self.folder)} is computed on the processor in float32 only. A GPU or another precision "
                f"needs a trained run: --run {_run_around(self.folder) or 'FOLDER'} --engine keras."
            )

    def check_intervals(self) -> None:
        """Raise ValueError if the validation scores for the prediction intervals are damaged."""
        if self.head == head_table.TEACHER:
            return
        if export_folder.is_export(self.folder):
            ExportFolder(self.folder).intervals(self.head)
        else:
            interval_file.read(self.folder, self.head, **RunFolder(self.folder).read_preset().interval)

    def start(self, device: str, *, hide_startup_lines: bool = False) -> None:
        """Start decoders and, for Keras, TensorFlow. Call it before TensorFlow is imported; arguments as there.

        Raises:
            ValueError: see `devices.start`.
            RuntimeError: see `fork_check.mark`.
        """
        fork_check.mark()
        decoder_processes.start()  # they start while TensorFlow or OpenVINO is imported
        if self.engine == "keras":
            devices.start(device, hide_startup_lines=hide_startup_lines)

    def load(self, *, precision: str | None, device: str, limits: WorkLimits | None = None) -> "Scorer | FeatureScorer":
        """Load the models; arguments as in `nr_vqm.load`."""
        self.check(precision=precision, device=device)
        self.start(device)
        if self.head == head_table.TEACHER:
            from nr_vqm.scoring.teacher_scorer import TeacherScorer

            return TeacherScorer(self.folder, limits=limits)
        if self.engine == "numpy":
            from nr_vqm.scoring import rival_scorer

            return rival_scorer.load_scorer(self.folder, self.head, limits=limits)
        if self.engine == "openvino":
            from nr_vqm.scoring import exported_models

            return exported_models.load_scorer(ExportFolder(self.folder), self.head, limits=limits)
        from nr_vqm.scoring import keras_models

        return keras_models.load_scorer(self.folder, self.head, precision=precision, limits=limits)


def find(run: str | os.PathLike[str] | None, head: str | None, *, engine: str | None = None) -> ModelSource:
    """Find and check the models of a head. Loads neither TensorFlow nor OpenVINO.

    Args:
        run: a run folder or an export; None takes that of NR_VQM_RUN, or the one that ships with nr-vqm.
        head: one of `head_table.SCORERS`; None takes that of the export, 'lstm' where it names none.
        engine: one of `devices.ENGINES`; None takes the export of a run where it has one, else the run.

    Raises:
        FileNotFoundError: the folder has no such models.
        ValueError: a file is damaged or was not written by nr-vqm, or the folder has no models for the engine.
    """
    folder = folder_of(run)
    head = head or _default_head(folder)
    by_networks = head_table.needs_networks(head)
    if engine not in (None, *devices.ENGINES):
        raise ValueError(f"An engine is one of {', '.join(devices.ENGINES)}. Received: {engine!r}.")
    if engine and not by_networks:
        raise ValueError(f"Head {head!r} is computed by NumPy and has no other engine. Omit the engine.")
    if head == head_table.TEACHER:
        return ModelSource(folder, head, "numpy", model_check.check_run(folder, head))
    if head == head_table.FUSION and not export_folder.is_export(folder):
        model_check.check_run(folder, head_table.FUSED)
        raise FileNotFoundError(
            f"{folder} is a run, and only an export has head {head!r}: nr-vqm export RUN OUT --validation TEST "
            "--fusion TEACHER (docs/adapt.md)."
        )
    export = _export_of(folder, head, engine)
    if export is None:
        return ModelSource(folder, head, "keras" if by_networks else "numpy", model_check.check_run(folder, head))
    return ModelSource(export.path, head, "openvino" if by_networks else "numpy", export.model_id(head))


def folder_of(run: str | os.PathLike[str] | None) -> Path:
    """Return the folder to score with: the given one, that of NR_VQM_RUN, or the one that ships with nr-vqm.

    Raises:
        FileNotFoundError: none is given, and none ships with this installation.
    """
    chosen = run or os.environ.get(RUN_VARIABLE) or pretrained.FOLDER
    if chosen == pretrained.FOLDER and not export_folder.is_export(chosen):
        raise FileNotFoundError(
            f"This installation has no pretrained run. Name a run: --run FOLDER, or {RUN_VARIABLE}."
        )
    return Path(chosen)


def _default_head(folder: Path) -> str:
    """Return the head that scores where none is named."""
    for one in (folder, RunFolder(folder).export):
        if export_folder.is_export(one):
            return ExportFolder(one).default_head
    return "lstm"


def _export_of(folder: Path, head: str, engine: str | None) -> ExportFolder | None:
    """Return the export to use; None to use the run itself."""
    if export_folder.is_export(folder):
        if engine == "keras":
            raise ValueError(
                f"{_title(folder)} is an export, which has no Keras files. Name a trained run: "
                f"--run {_run_around(folder) or 'FOLDER'}."
            )
        return ExportFolder(folder)
    inside = RunFolder(folder).export
    if engine == "keras" or not export_folder.is_export(inside):
        if engine == "openvino":
            raise FileNotFoundError(f"{folder} has no export for OpenVINO. Make it first: nr-vqm export {folder}.")
        return None
    export = ExportFolder(inside)
    if engine is None and head not in export.heads:
        return None
    if model_check.check_run(folder, head) != export.head(head)["model_id"]:
        raise ValueError(
            f"{inside} was made from other models than {folder} has now. Make it again: nr-vqm export {folder}."
        )
    return export


def _title(export: Path) -> str:
    """Return the words for an export in a message."""
    return "The model that ships with nr-vqm" if export == pretrained.FOLDER else f"The export {export}"


def _run_around(export: Path) -> Path | None:
    """Return the run that an export lies in; None for an export elsewhere, whose run may not be on this machine."""
    run = RunFolder(export.parent)
    return run.path if run.export == export and run.cnn3d.exists() else None
