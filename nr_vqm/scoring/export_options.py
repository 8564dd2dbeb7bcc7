"""Checks of a run and of the options of an export, before anything loads TensorFlow or Keras."""

import os
from collections.abc import Sequence
from pathlib import Path

from nr_vqm.handcrafted import methods
from nr_vqm.models import head_table
from nr_vqm.runs import export_folder, model_check
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import fusion as fusions
from nr_vqm.teacher import teacher as teachers

AnyPath = str | os.PathLike[str]
PRECISION = "float32"  # in which exports compute


def check_run(run: RunFolder) -> list[str]:
    """Check the models of a run that can be exported.

    Returns:
        Names of the heads that are fitted and that an export can hold.

    Raises:
        FileNotFoundError: the run has no trained 3D-CNN.
        ValueError: the folder is an export, or a model is damaged.
    """
    if export_folder.is_export(run.path):
        raise ValueError(f"{run} is an export. Name the run that it was made from.")
    if not run.cnn3d.exists():
        raise FileNotFoundError(f"No model in {run}. Name the folder of a trained run.")
    names = []
    for row in head_table.HEADS.values():
        possible = row.cnn3d == head_table.CNN3D or (row.is_rival and not methods.get(row.name).needs_codebook)
        if possible and (row.file is None or run.head(row.name).exists()):
            model_check.check_run(run, row.name)
            names.append(row.name)
    return names


def resolve(
    run: RunFolder,
    heads: Sequence[str],
    out: AnyPath | None,
    *,
    check: Sequence[AnyPath],
    validation: AnyPath | None,
    align: bool,
    teacher: AnyPath | None,
    fusion: AnyPath | None,
    head: str | None,
) -> tuple[Path, list[str], str]:
    """Check the options of `exporting.export`.

    Args:
        run: the run.
        heads: those of `check_run`.
        out, check, validation, align, teacher, fusion, head: see `exporting.export`.

    Returns:
        The folder to write, the heads of the export, and the head that scores where none is named.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: an option cannot be used with this run, or a teacher is damaged.
    """
    folder = run.export if out is None else Path(out)
    if folder.exists() and not export_folder.is_export(folder):
        raise ValueError(f"{folder} exists and is not an export. Choose another folder, or remove it.")
    names, chosen = [*heads, *([head_table.FUSION] if fusion else [])], head or "lstm"
    if chosen not in names:
        raise ValueError(f"{run} has the heads {', '.join(names)}, not {chosen!r}. Name one of these.")
    if align or fusion:
        _check_alignment(run, folder, validation)
    if validation is not None:
        _check_test(RunFolder(validation), run)
    if teacher is not None:
        teachers.load(teacher)
    if fusion is not None:
        fusions.load(fusion)
    for path in check:
        if not os.path.exists(path):
            raise FileNotFoundError(f"No video file at {path}.")
    return folder, names, chosen


def _check_alignment(run: RunFolder, folder: Path, validation: AnyPath | None) -> None:
    if validation is None:
        raise ValueError("Aligned scores need the MOS of other videos: name a test of the run as validation.")
    if folder.resolve() == run.export.resolve():
        raise ValueError("Aligned scores are not those of the run: name another folder than that inside the run.")


def _check_test(test: RunFolder, run: RunFolder) -> None:
    """Raise ValueError unless `test` is a complete test of the run as it is now, in the precision of exports."""
    if not test.cnn3d.exists() or test.check_file(test.cnn3d) != run.check_file(run.cnn3d):
        raise ValueError(f"{test} is not a test of {run}: its 3D-CNN is another one. Make it by: make cross_database.")
    if not (test.is_complete("cross_database") and test.is_complete("results")):
        raise ValueError(
            f"{test} was stopped before its end, or its files have changed since. Test again: make cross_database."
        )
    precision = test.read_facts().get("precision", {}).get("features", PRECISION)
    if precision != PRECISION:
        raise ValueError(
            f"{test} was computed in {precision}, exports compute in {PRECISION}, and the scores differ. Test again: "
            f"make cross_database PRECISION={PRECISION}."
        )
    for row in head_table.HEADS.values():
        if row.cnn3d != head_table.CNN3D or row.file is None or not run.head(row.name).exists():
            continue
        tested = test.head(row.name)
        if tested.exists() and test.check_file(tested) != run.check_file(run.head(row.name)):
            raise ValueError(
                f"{test} has tested another head {row.name!r} than {run} has now. Test again: make cross_database."
            )
