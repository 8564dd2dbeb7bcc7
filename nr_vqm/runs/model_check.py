"""Check and load the models of a run: foreign and damaged files are refused before Keras reads them."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nr_vqm.common import atomic_files
from nr_vqm.models import head_table, keras_files, line_head, svr_head
from nr_vqm.presets import Preset
from nr_vqm.runs.run_folder import RunFolder

if TYPE_CHECKING:
    import keras


def check_run(run_dir: str | os.PathLike[str], head: str) -> str:
    """Check all files that scoring loads, without importing Keras, which takes seconds.

    Args:
        run_dir: a folder that train and compare wrote.
        head: one of `head_table.SCORERS`.

    Returns:
        The identity of the head, the 3D-CNN that it needs, if any, and the MOS scale: 12 hex digits.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, was not written by nr-vqm, or does not fit the others; an unknown head.
    """
    run = RunFolder(run_dir)
    if head == head_table.TEACHER:
        return _check_teacher(run)
    row = head_table.get(head)
    if not run.preset.exists():
        raise FileNotFoundError(f"No model in {run}. Pass --run FOLDER, the folder of a trained run.")
    if len(repeats := run.repeats()) > 1:
        raise ValueError(f"{run} has {len(repeats)} repeats with models of their own. Name one: {repeats[0]}.")
    preset, mos_range = run.read_preset(), run.read_mos_range()
    run.read_labels()
    networks = []  # a head on hand-crafted features needs none; check_head compares its codebook
    if not row.is_rival:
        clip_shape = (preset.clip_frames, preset.clip_size, preset.clip_size, 3)
        _check_model(run.head_cnn3d(head), clip_shape, made_by=cnn3d_made_by(row))
        networks = [run.check_file(run.head_cnn3d(head))]
    _check_head(run, row, preset)
    identity = [*networks, run.check_head(head), *mos_range]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]


def _check_teacher(run: RunFolder) -> str:
    """Check that a run has a teacher; return its identity."""
    if not run.teacher.exists():
        raise FileNotFoundError(
            f"{run} has no teacher: {run.teacher.name} is missing. Runs that are trained on contents with --teacher "
            "have one: docs/adapt.md."
        )
    atomic_files.require(run.teacher, made_by="make train")
    return atomic_files.sha256(run.teacher)[:12]


def _check_head(run: RunFolder, row: head_table.HeadRow, preset: Preset) -> None:
    """Check the file of a head before anything loads it."""
    if row.file is None:
        return
    path = run.head(row.name)
    if row.method == "lstm":
        rows, columns = preset.block_grid
        widths = {"clip_quality": rows * columns, "group_features": preset.fc_dims[-1]}
        _check_model(path, (preset.num_groups, widths[row.input]), made_by=row.made_by)
        return
    atomic_files.require(path, made_by=row.made_by)
    if row.method == "svr":
        svr_head.check_types(path)
    elif row.method == "line":
        line_head.load_line(path)


def cnn3d_made_by(row: head_table.HeadRow) -> str:
    """Return the make target that trains the 3D-CNN of a head."""
    return "make train" if row.cnn3d == head_table.CNN3D else row.made_by


def _check_model(path: Path, input_shape: tuple[int, ...], *, made_by: str) -> None:
    atomic_files.require(path, made_by=made_by)
    found = keras_files.check(path).input_shape
    if found != input_shape:
        raise ValueError(
            f"{path} has the input shape {found}, this run's preset.json gives {input_shape}. "
            f"Copy it again, or make it again: {made_by}."
        )


def load_model(path: str | os.PathLike[str], *, made_by: str) -> "keras.Model":
    """Load a .keras file of a run after checking what it would build.

    Args:
        path: the file.
        made_by: the command that writes it, for messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a .keras file, has layers that nr-vqm does not use, or would need too much memory.
    """
    path = Path(path)
    atomic_files.require(path, made_by=made_by)
    keras_files.check(path)
    RunFolder(path.parent).check_file(path)
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types for weights that do not fit the layers
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"A model that nr-vqm saved is needed, {path} is not one: {reason}") from error
