"""Describe an export: the run that it was made from, its heads, files and accuracy."""

import os
from collections.abc import Mapping
from typing import Any

from nr_vqm.common import safe_output
from nr_vqm.dataset import label_origin
from nr_vqm.models import head_table
from nr_vqm.runs import info, run_facts
from nr_vqm.runs.export_folder import IDENTITY, MADE_BY, RECORD, ExportFolder


def _is_figure(value: Any) -> bool:
    """Return whether a JSON value may be a figure of a head; it is null where the figure is not defined."""
    return value is None or (type(value) in (int, float) and run_facts.is_number(abs(value)))


RECORD_RULES: dict[str, run_facts.Rule] = {
    "difference": run_facts.NUMBER,
    "validation": ("null or an object of texts", lambda value: value is None or run_facts.TEXTS[1](value)),
}
FACT_RULES: dict[str, run_facts.Rule] = {
    **run_facts.RULES,
    **dict.fromkeys(("preset", "clip", "grid"), run_facts.TEXT),
    "settings": (
        "a list of texts",
        lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    ),
    "videos": ("null or an object of numbers", lambda value: value is None or run_facts.NUMBERS[1](value)),
    "test_videos": run_facts.RULES["videos"],
    "training": ("an object", lambda value: isinstance(value, dict)),
    "heads": ("an object of objects of numbers", run_facts.object_of(run_facts.object_of(_is_figure))),
}


def facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Collect the facts of an export.

    Args:
        path: the export.

    Returns:
        Values for JSON, as `nr-vqm info --format json` prints them: those of `info.facts` that the export has, and
        'export' with its folder, format, largest difference from the run, model_id and line of each head, and the
        settings of its fusion.

    Raises:
        FileNotFoundError: there is no export in the folder.
        ValueError: its record is damaged.
    """
    export = ExportFolder(path)
    record, where, repair = export.record, export.path / RECORD, f"Make it again: {MADE_BY}."
    run_facts.check(record, RECORD_RULES, where, repair=repair)
    run_facts.check(record["facts"], FACT_RULES, where, repair=repair)
    if "mos_range" in record["facts"]:
        run_facts.mos_range(record["facts"], where)
    about = {
        "folder": str(export.path),
        "format": export.format,
        "created_by": record.get("created_by"),
        "difference": record.get("difference"),
        "model_ids": {name: export.model_id(name) for name in export.heads},
        "lines": {name: export.line(name) for name in export.heads},
        "fusion": export.fusion_settings() if head_table.FUSION in export.heads else None,
        "validation": record.get("validation"),
        "validation_videos": {name: _num_videos(export, name) for name in export.heads},
    }
    return {**record["facts"], "export": about, "bytes": _num_bytes(export)}


def _num_videos(export: ExportFolder, name: str) -> int:
    intervals = export.intervals(name)
    return intervals.num_videos if intervals else 0


def _num_bytes(export: ExportFolder) -> int:
    """Return the size of all files of the export."""
    names = [RECORD, *export.record["files"]]
    return sum((export.path / name).stat().st_size for name in names)


def to_text(found: Mapping[str, Any]) -> str:
    """Format the result of `facts` as lines of text.

    Raises:
        ValueError: the record lacks a fact.
    """
    about = found["export"]
    try:
        lines = [
            ("export", f"{about['folder']}, {about['format']}, by {about['created_by']}"),
            *info.origin_lines(found),
            ("preset", found["preset"]),
            ("settings", ", ".join(found["settings"]) or "as in the preset"),
            ("clips", f"{found['clip']}, {found['grid']}"),
            *(("test" if not row else "", text) for row, text in enumerate(info.test_lines(found))),
            *(("heads" if not row else "", _head(about, name)) for row, name in enumerate(about["model_ids"])),
            ("intervals", _validation(about["validation"])),
            ("accuracy", f"scores differ from those of the run by at most {about['difference']:.4f} on 1-5"),
            ("size", f"{found['bytes'] / 1e6:,.1f} MB"),
        ]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{about['folder']} lacks a fact ({error}). Make it again: nr-vqm export RUN.") from error
    return "\n".join(safe_output.printable(f"{name:12s}{text}") for name, text in lines)


def _head(about: Mapping[str, Any], name: str) -> str:
    text = f"{name}: model {about['model_ids'][name]}, {about['validation_videos'][name]} val videos"
    gain, offset = about["lines"][name]
    if (gain, offset) != IDENTITY:
        text += f", aligned: {gain:.3f} x quality {offset:+.3f}"
    if name == head_table.FUSION:
        settings = about["fusion"]
        text += f", corrected by frame statistics: weight {settings['weight']:g}, limit {settings['limit']:g}"
    return text


def _validation(found: Mapping[str, str] | None) -> str:
    """Say which videos give the prediction intervals."""
    if found is None:
        return "from the run's own validation videos"
    return f"from {label_origin.ORIGINS[found['labels']]} of {found['database']}"
