"""Export a run: write the few files that scoring needs, and check that they give the same scores."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nr_vqm
from nr_vqm.common import atomic_files
from nr_vqm.handcrafted import methods
from nr_vqm.models import head_arrays, head_table, line_head, network_export, numpy_heads, svr_head
from nr_vqm.runs import export_folder, heads, info, interval_file, model_check
from nr_vqm.runs.export_folder import ExportFolder
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import export_check

# The facts of a run that its export states, as `info.facts` names them.
FACTS = (
    "preset settings database trained_on labels trained_labels label_method mos_range videos test_videos training "
    "clip grid heads versions"
).split()


def export(
    run_dir: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    format: str = "openvino",
    check: Sequence[str | os.PathLike[str]] = (),
) -> dict[str, Any]:
    """Export a run for scoring without TensorFlow.

    All heads that read the run's 3D-CNN are exported, and those on hand-crafted features that need no codebook.

    Args:
        run_dir: a run folder that the stages train and compare have written.
        out: the folder to write; an earlier export is replaced. None writes it into the run folder.
        format: of the networks, a key of `export_folder.FORMATS`.
        check: videos to compare the scores of; those of generated frames are always compared.

    Returns:
        'folder'; 'heads', their names; 'bytes' of all files; 'difference', the largest one of the scores on 1-5.

    Raises:
        FileNotFoundError: the run has no trained 3D-CNN.
        ValueError: the run is damaged; `out` holds something else; or the scores differ by more than
            `export_check.MAX_DIFFERENCE`.
    """
    run = RunFolder(run_dir)
    folder = run.export if out is None else Path(out)
    if folder.exists() and not export_folder.is_export(folder):
        raise ValueError(f"{folder} exists and is not an export. Choose another folder, or remove it.")
    names = _heads(run)
    with atomic_files.replace_folder_when_complete(folder) as temporary:
        record = _write(run, temporary, names, format=format)
        difference = export_check.largest_difference(run, ExportFolder(temporary), videos=check)
        export_folder.write_record(temporary, **record, difference=difference)
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"folder": str(folder), "heads": names, "bytes": size, "difference": difference}


def _heads(run: RunFolder) -> list[str]:
    """Return the heads of a run that are fitted and that an export can hold."""
    names = []
    for row in head_table.HEADS.values():
        possible = row.cnn3d == head_table.CNN3D or (row.is_rival and not methods.get(row.name).needs_codebook)
        if possible and (row.file is None or run.head(row.name).exists()):
            names.append(row.name)
    return names


def _write(run: RunFolder, folder: Path, names: Sequence[str], *, format: str) -> dict[str, Any]:
    """Write all files of an export into an empty folder; return its record."""
    facts = info.facts(run)
    record = {
        "format": format,
        "created_by": f"nr-vqm {nr_vqm.__version__}",
        "preset": dataclasses.asdict(run.read_preset()),
        "mos_range": list(run.read_mos_range()),
        "labels": run.read_labels()[1],
        "heads": {name: _head_entry(run, name) for name in names},
        "facts": {name: facts[name] for name in FACTS},
    }
    export_folder.write_arrays(folder / export_folder.HEADS, {name: _arrays(run, name) for name in names})
    model = model_check.load_model(run.cnn3d, made_by="make train")
    network_export.write(model, folder / export_folder.TRUNK, folder / export_folder.CLIP_HEAD, format=format)
    export_folder.write_record(folder, **record)
    return record


def _head_entry(run: RunFolder, name: str) -> dict[str, Any]:
    """Return the entry of a head in the record."""
    row = head_table.get(name)
    entry: dict[str, Any] = {"model_id": model_check.check_run(run, name)}
    if intervals := interval_file.read_all(run).get(name):
        entry["intervals"] = intervals
    if row.is_rival:
        entry["version"] = run.stage_settings(row.stage).get("version")
    return entry


def _arrays(run: RunFolder, name: str) -> numpy_heads.Arrays:
    """Return the arrays of a head of a run."""
    row = head_table.get(name)
    if row.method == "lstm":
        return head_arrays.of_lstm(heads.load_lstm(run, name))
    if row.method == "svr":
        return head_arrays.of_svr(svr_head.load_svr(run.head(name)))
    return head_arrays.of_line(line_head.load_line(run.head(name))) if row.method == "line" else {}
