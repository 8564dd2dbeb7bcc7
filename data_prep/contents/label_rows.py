"""Rows of labels.csv and contents.csv: the label of every version, and how it was formed; skipped.csv has the rest."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.contents import measurements, pseudo_labels
from data_prep.contents.measurements import Record
from nr_vqm.common import atomic_files


@dataclasses.dataclass(frozen=True)
class Failure:
    """A segment or version that gets no label.

    Attributes:
        source: the video, relative to the folder.
        part: 'segment NAME' or 'version NAME'.
        status, reason: as in skipped.csv.
    """

    source: str
    part: str
    status: str
    reason: str


def make(
    records: Sequence[Record], levels: Mapping[str, float], vmaf: Mapping[str, float], *, loss: str
) -> list[dict[str, Any]]:
    """Label all versions whose undistorted view has a level, and whose VMAF is known where the label depends on it.

    Args:
        records: of all segments.
        levels: {undistorted version: 1-5}.
        vmaf: {version: VMAF}, as of `measurements.vmaf_of`.
        loss: one of `presets.CONTENTS_LOSSES`.

    Returns:
        One row per version: video_id, path, segment, content, source, distortions, level, tables, vmaf, mos.
    """
    rows = []
    for record in records:
        views = measurements.undistorted(record)
        for one in record["versions"]:
            view = views[one["view"]]["name"]
            needs_vmaf = one["vmaf"] and loss != "tables"
            if view in levels and (not needs_vmaf or {one["name"], view} <= vmaf.keys()):
                rows.append(_row(record, one, levels[view], vmaf.get(one["name"]), vmaf.get(view), loss))
    return rows


def _row(record: Record, one: Record, level: float, vmaf: float | None, own: float | None, loss: str) -> dict[str, Any]:
    by_vmaf = None
    if one["vmaf"] and vmaf is not None and own is not None:
        by_vmaf = pseudo_labels.vmaf_impairment(vmaf, own=own)
    impairment = pseudo_labels.combined_impairment(one["impairment"], by_vmaf, loss=loss)
    return {
        "video_id": one["name"],
        "path": one["file"],
        "segment": record["name"],
        "content": record["content"],
        "source": record["source"],
        "distortions": one["distortions"],
        "level": round(level, 4),
        "tables": round(one["impairment"], 4),
        "vmaf": "" if by_vmaf is None else f"{vmaf:.3f}",
        "mos": round(pseudo_labels.label(level, impairment), 4),
    }


def failures(
    records: Sequence[Record], rows: Sequence[Mapping[str, Any]], reasons: Mapping[str, tuple[str, str]]
) -> list[Failure]:
    """List the versions that have no row.

    Args:
        records: of all segments.
        rows: of `make`.
        reasons: {version: (status, reason)}; that of an undistorted version is also that of the versions of its view.
    """
    labelled, found = {row["video_id"] for row in rows}, []
    for record in records:
        views = measurements.undistorted(record)
        for one in record["versions"]:
            if one["name"] not in labelled:
                status, reason = reasons.get(one["name"]) or reasons[views[one["view"]]["name"]]
                found.append(Failure(record["source"], f"version {one['name']}", status, reason))
    return found


def skipped(failed: Iterable[Failure], rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """Return {name: (status, reason)}: of a video where no version of it has a row, else of its failed parts."""
    labelled = {row["source"] for row in rows}
    found: dict[str, tuple[str, str]] = {}
    for one in failed:
        name = f"{one.source}, {one.part}" if one.source in labelled else one.source
        found.setdefault(name, (one.status, one.reason))
    return found


def write(out_dir: Path, rows: Sequence[Mapping[str, Any]], skipped: Mapping[str, tuple[str, str]]) -> None:
    """Write contents.csv and skipped.csv, then labels.csv, whose existence marks the database as complete."""
    columns = ("video_id", "source", "distortions", "level", "tables", "vmaf", "mos")
    atomic_files.write_text(out_dir / "contents.csv", _csv(columns, rows))
    reasons = [{"path": path, "status": status, "reason": reason} for path, (status, reason) in sorted(skipped.items())]
    atomic_files.write_text(out_dir / "skipped.csv", _csv(("path", "status", "reason"), reasons))
    atomic_files.write_text(out_dir / "labels.csv", _csv(("path", "mos", "content", "video_id"), rows))


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
