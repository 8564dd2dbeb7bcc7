"""Export a run: write the few files that scoring needs, and check that they give the same scores."""

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nr_vqm
from nr_vqm.common import atomic_files
from nr_vqm.dataset import mos_scale
from nr_vqm.evaluation import comparison
from nr_vqm.models import head_arrays, head_table, line_head, network_export, numpy_heads, svr_head
from nr_vqm.runs import export_folder, heads, info, interval_file, model_check, rival_features
from nr_vqm.runs.export_folder import ExportFolder
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import export_check, export_options
from nr_vqm.scoring import fusion as fusions
from nr_vqm.teacher import teacher as teachers

# The facts of a run that its export states, as `info.facts` names them.
FACTS = (
    "preset settings database trained_on labels trained_labels label_method mos_range videos test_videos training "
    "clip grid heads versions"
).split()
MIN_ALIGNED = 20  # videos to fit a line to


def export(
    run_dir: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    format: str = "openvino",
    check: Sequence[str | os.PathLike[str]] = (),
    validation: str | os.PathLike[str] | None = None,
    align: bool = False,
    teacher: str | os.PathLike[str] | None = None,
    fusion: str | os.PathLike[str] | None = None,
    head: str | None = None,
) -> dict[str, Any]:
    """Export a run for scoring without TensorFlow.

    All heads that read the run's 3D-CNN are exported, those on hand-crafted features that need no codebook, and the
    teacher, if the run has one.

    Args:
        run_dir: a run folder that the stages train and compare have written.
        out: the folder to write; an earlier export is replaced. None writes it into the run folder.
        format: of the networks, a key of `export_folder.FORMATS`.
        check: videos to compare the scores of; those of generated frames are always compared.
        validation: a test of the run on another database (`make cross_database`), whose scores and MOS then give the
            prediction intervals and percentiles, instead of the run's own validation videos.
        align: map the quality by each head, and that of clips, to the MOS of `validation` by a line. It changes the
            level of the scores and not their order.
        teacher: another teacher.h5 than that of the run, for head 'teacher'.
        fusion: a teacher on frame statistics (`train_teacher --sets frame_statistics`): adds head 'fusion', the
            head 'lstm' corrected by this teacher within a limit. It implies `align`, and needs the frame statistics of
            `validation` (`extract_rivals --rivals frame_statistics`).
        head: the head that scores where none is named; None takes 'lstm'.

    Returns:
        'folder'; 'heads', their names; 'bytes' of all files; 'difference', the largest one of the scores on 1-5.

    Raises:
        FileNotFoundError: the run has no trained 3D-CNN.
        ValueError: the run is damaged; `validation` is no test of it, or gives no rising line, or lacks frame
            statistics; `out` holds something else; or the scores, before they are aligned, differ by more than
            `export_check.MAX_DIFFERENCE`.
    """
    run = RunFolder(run_dir)
    folder, names, chosen = export_options.resolve(
        run,
        export_options.check_run(run),
        out,
        check=check,
        validation=validation,
        align=align,
        teacher=teacher,
        fusion=fusion,
        head=head,
    )
    test = None if validation is None else RunFolder(validation)
    entries, described = _validation(run, test)
    if align or fusion:
        entries = {name: _aligned(name, entry) for name, entry in entries.items()}
    if test and fusion:
        entries[head_table.FUSION] = _fused(entries, test, fusion)
    with atomic_files.replace_folder_when_complete(folder) as temporary:
        _copy_teacher(Path(teacher) if teacher else run.teacher, temporary, required=teacher is not None)
        if fusion:
            shutil.copyfile(fusion, temporary / export_folder.FUSION)
        record = _write(run, temporary, {name: entries.get(name, {}) for name in names}, format=format)
        record |= described | {"default_head": chosen}
        difference = export_check.largest_difference(run, ExportFolder(temporary), videos=check)
        export_folder.write_record(temporary, **record, difference=difference)
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"folder": str(folder), "heads": names, "bytes": size, "difference": difference}


def _aligned(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the validation scores of a head after alignment, and the line: least squares of the MOS on the scores."""
    scores, mos = np.array(entry["scores"]), np.array(entry["mos"])
    if len(scores) < MIN_ALIGNED or np.ptp(scores) == 0:
        raise ValueError(
            f"Alignment needs {MIN_ALIGNED} different scores of head {name!r}, found {len(scores)} videos."
        )
    gain, offset = (round(float(one), 4) for one in np.polyfit(scores, mos, 1))
    if gain <= 0:
        raise ValueError(f"The MOS of the validation videos falls with the scores of head {name!r}: do not align it.")
    found = np.clip(gain * scores + offset, 1, 5).round(4)
    return {"scores": found.tolist(), "mos": entry["mos"], "line": [gain, offset]}


def _fused(
    entries: Mapping[str, Mapping[str, Any]], test: RunFolder, teacher: str | os.PathLike[str]
) -> dict[str, Any]:
    """Return the validation scores of head 'fusion', the line of the head that it reads, and its settings.

    Args:
        entries: {head: its aligned validation scores, MOS and line}.
        test: the test of the run that they come from.
        teacher: on frame statistics.
    """
    if head_table.FUSED not in entries:
        raise ValueError(
            f"A fusion needs head {head_table.FUSED!r} in the test {test}. Test it again: make cross_database."
        )
    found, entry = fusions.load(teacher), entries[head_table.FUSED]
    videos = [row["video_id"] for row in comparison.read_scores(test.scores) if row["head"] == head_table.FUSED]
    statistics = rival_features.read(test.path, fusions.METHOD).select(videos)
    fusions.check_version(statistics.version, test.path)
    if any(statistics.reason):
        row = next(row for row, reason in enumerate(statistics.reason) if reason)
        raise ValueError(f"{test} has no frame statistics of {videos[row]}: {statistics.reason[row]}")
    scores = [found.quality(one, features) for one, features in zip(entry["scores"], statistics.features, strict=True)]
    settings = {"weight": found.weight, "limit": found.limit, "version": statistics.version}
    return {**entry, "scores": np.round(scores, 4).tolist(), **settings}


def _copy_teacher(path: Path, folder: Path, *, required: bool) -> None:
    """Copy a teacher into the export, if there is one."""
    if required or path.exists():
        teachers.load(path)
        shutil.copyfile(path, RunFolder(folder).teacher)


def _validation(run: RunFolder, test: RunFolder | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return {head: {'scores', 'mos'}} of the validation videos, on 1-5, and what the record says about them."""
    if test is None:
        return dict(interval_file.read_all(run)), {}
    rows, ends = comparison.read_scores(test.scores), test.read_mos_range()
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        entry = found.setdefault(row["head"], {"scores": [], "mos": []})
        entry["scores"].append(round(mos_scale.to_unit_5(row["score"], *ends), 4))
        entry["mos"].append(round(mos_scale.to_unit_5(row["mos"], *ends), 4))
    database = str(test.read_facts().get("database")).partition(", trained on ")[0]
    return found, {"validation": {"database": database, "labels": test.read_labels()[0]}}


def _write(run: RunFolder, folder: Path, entries: Mapping[str, Mapping[str, Any]], *, format: str) -> dict[str, Any]:
    """Write all files of an export into an empty folder; return its record.

    Args:
        run: the run.
        folder: the folder.
        entries: {head to export: its validation scores and line}, empty for a head that has none.
        format: of the networks.
    """
    names = list(entries)
    facts = info.facts(run)
    record = {
        "format": format,
        "created_by": f"nr-vqm {nr_vqm.__version__}",
        "preset": dataclasses.asdict(run.read_preset()),
        "mos_range": list(run.read_mos_range()),
        "labels": run.read_labels()[1],
        "heads": {name: _head_entry(run, name, entry) for name, entry in entries.items()},
        "facts": {name: facts[name] for name in FACTS},
    }
    export_folder.write_arrays(
        folder / export_folder.HEADS, {name: _arrays(run, name) for name in names if name != head_table.FUSION}
    )
    model = model_check.load_model(run.cnn3d, made_by="make train")
    network_export.write(model, folder / export_folder.TRUNK, folder / export_folder.CLIP_HEAD, format=format)
    export_folder.write_record(folder, **record)
    return record


def _head_entry(run: RunFolder, name: str, validation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of a head in the record; `validation` as the entries of `_write`."""
    row = head_table.get(head_table.FUSED if name == head_table.FUSION else name)
    entry: dict[str, Any] = {"model_id": model_check.check_run(run, row.name)}
    if validation:
        entry["intervals"] = {part: validation[part] for part in ("scores", "mos")}
    entry |= {part: validation[part] for part in ("line", "weight", "limit", "version") if part in validation}
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
