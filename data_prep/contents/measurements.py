"""Measurements of the versions: VMAF against their undistorted views, and the teacher's level of these views."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_prep.contents import pseudo_labels, vmaf
from nr_vqm.common import atomic_files
from nr_vqm.handcrafted.methods import METHODS
from nr_vqm.teacher.teacher import Teacher

Record = Mapping[str, Any]  # of a segment, the result of `versions.make_segment`
Each = Callable[..., list[Any]]  # calls a function for all items in parallel: (function, items, step, on_death=...)


def undistorted(record: Record) -> dict[str, Record]:
    """Return the undistorted versions of a segment by view."""
    return {one["view"]: one for one in record["versions"] if one["distortions"] == "none"}


def vmaf_of(records: Sequence[Record], out_dir: Path, each: Each) -> tuple[dict[str, float], dict[str, str]]:
    """Measure VMAF.

    Args:
        records: of all segments.
        out_dir: the database; it keeps the values in vmaf/*.json.
        each: runs the measurements.

    Returns:
        ({version: VMAF} of the versions that VMAF judges, and of their undistorted views compared with themselves,
        {version: reason} where it cannot be computed).

    Raises:
        FileNotFoundError: there is no FFmpeg with libvmaf.
        ValueError: it cannot be computed for any version.
    """
    pairs = []
    for record in records:
        views, judged = undistorted(record), [one for one in record["versions"] if one["vmaf"]]
        pairs += [(one, views[one["view"]]) for one in judged]
        pairs += [(views[name], views[name]) for name in sorted({one["view"] for one in judged})]
    measured = each(
        functools.partial(_measure_vmaf, out_dir=out_dir), pairs, "vmaf", on_death=lambda _, error: str(error)
    )
    found: dict[str, float] = {}
    failed: dict[str, str] = {}
    for (one, _), value in zip(pairs, measured, strict=True):
        (failed if isinstance(value, str) else found)[one["name"]] = value
    if failed and not found:
        raise ValueError(f"VMAF cannot be computed for any version. {next(iter(failed.values()))}")
    return found, failed


def _measure_vmaf(pair: tuple[Record, Record], *, out_dir: Path) -> float | str:
    """Return VMAF of a version, or why it cannot be computed."""
    distorted, reference = pair
    path = out_dir / "vmaf" / f"{distorted['name']}.json"
    stored = atomic_files.read_json(path, made_by="make prep") if path.exists() else {}
    if stored.get("model") != vmaf.MODEL:
        try:
            value = vmaf.measure(out_dir / distorted["file"], out_dir / reference["file"])
        except ValueError as error:
            return str(error)
        stored = {"model": vmaf.MODEL, "vmaf": value}
        atomic_files.write_json(path, stored)
    return float(stored["vmaf"])


def levels(
    records: Sequence[Record], out_dir: Path, teacher: Teacher | None, each: Each
) -> tuple[dict[str, float], dict[str, str]]:
    """Estimate the level of all undistorted versions.

    Args:
        records: of all segments.
        out_dir: the database; it keeps the teacher's features in features/*.json.
        teacher: None gives every version the best level.
        each: runs the measurements.

    Returns:
        ({version: level on 1-5}, {version: reason} where the teacher's features cannot be computed).
    """
    if teacher is None:
        return {one["name"]: pseudo_labels.BEST for record in records for one in undistorted(record).values()}, {}
    views = [one for record in records for one in undistorted(record).values()]
    items = [(one["name"], one["file"], method) for one in views for method in teacher.feature_sets]
    measured = each(
        functools.partial(_features, out_dir=out_dir), items, "teacher", on_death=lambda _, error: str(error)
    )
    parts: dict[str, list[Any]] = {}
    for (version, _, _), values in zip(items, measured, strict=True):
        parts.setdefault(version, []).append(values)
    found: dict[str, float] = {}
    failed: dict[str, str] = {}
    for version, of_methods in parts.items():
        reasons = [values for values in of_methods if isinstance(values, str)]
        if reasons:
            failed[version] = reasons[0]
        else:
            numbers = [number for values in of_methods for number in values]
            found[version] = teacher.predict(np.array(numbers, np.float64))  # None becomes NaN
    return found, failed


def _features(item: tuple[str, str, str], *, out_dir: Path) -> list[float | None] | str:
    """Return the features of an undistorted version by one method, or why they cannot be computed."""
    version, file, name = item
    path = out_dir / "features" / f"{version}-{name}.json"
    stored = atomic_files.read_json(path, made_by="make prep") if path.exists() else {}
    if stored.get("version") != METHODS[name].version:
        cv2.setNumThreads(1)
        try:
            values = METHODS[name].compute(out_dir / file)
        except (ValueError, OSError) as error:
            return str(error)
        numbers = [float(value) if np.isfinite(value) else None for value in values]
        stored = {"version": METHODS[name].version, "features": numbers}
        atomic_files.write_json(path, stored)
    return list(stored["features"])
