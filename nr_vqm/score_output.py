"""What `nr-vqm score` prints: one row per video on standard output, progress on standard error."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Self

from nr_vqm import command_line, progress
from nr_vqm.common import safe_output
from nr_vqm.dataset import label_origin, mos_scale
from nr_vqm.scoring import quality_view, score_table

WORD_WIDTH = max(map(len, mos_scale.ACR_WORDS))


class Printer:
    """Prints each row as its video finishes; `json` prints one list at the end. Use it as a context manager.

    On a terminal, `text` is an aligned table, and a bar shows the progress; elsewhere each row is a complete sentence.
    """

    def __init__(self, format: str, *, total: int, done: int, quiet: bool) -> None:
        """Prepare the output.

        Args:
            format: 'text', 'json', 'jsonl' or 'csv'.
            total: number of videos, including those of an earlier command.
            done: number of videos that an earlier command has scored.
            quiet: print rows only, no progress.
        """
        self.format, self.quiet = format, quiet
        self.rows: list[Mapping[str, Any]] = []
        self._bar = progress.Bar(total, "videos", done=done, quiet=quiet)
        self._is_table = format == "text" and sys.stdout.isatty()
        self._has_heading = False

    def __enter__(self) -> Self:
        if self.format in ("csv", "jsonl"):
            command_line.print_result(score_table.header(self.format), end="")
        self._bar.__enter__()
        return self

    def start(self, path: str) -> None:
        """Show which video is scored now."""
        self._bar.start_item(path)

    def on_frames(self, share: float) -> None:
        """Show which share of the frames of the current video is read, 0-1."""
        self._bar.advance_item(share)

    def add(self, row: Mapping[str, Any], *, verbose: bool) -> None:
        """Print the row of a finished video; `verbose` adds size, seconds, percentile on standard error."""
        self._bar.finish_item()
        if verbose and row["status"] == score_table.OK:
            with self._bar.hidden():
                print(_details(row), file=sys.stderr, flush=True)
        if self.format == "json":
            self.rows.append(row)
            return
        with self._bar.hidden():
            if self.format != "text":
                command_line.print_result(score_table.to_line(row, self.format), end="")
                return
            if self._is_table and not self._has_heading and row["status"] == score_table.OK:
                command_line.print_result(heading(row))
                self._has_heading = True
            command_line.print_result(table_line(row) if self._is_table else to_text(row))

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self._bar.__exit__(kind, *exc)
        if self.format == "json" and kind in (None, KeyboardInterrupt):  # after Ctrl-C the finished rows are kept
            command_line.print_result(json.dumps(self.rows, indent=1, allow_nan=False))

    def close(self, statuses: Sequence[str]) -> None:
        """Print the numbers of scored and failed videos on standard error, if there are several."""
        if len(statuses) > 1 and not self.quiet:
            failed = statuses.count(score_table.FAILED)
            print(f"{len(statuses) - failed} scored, {failed} failed", file=sys.stderr)


def model_line(scorer: Any) -> str:
    """Describe the model that scores, a `Scorer` or `FeatureScorer`, in one sentence."""
    low, high = scorer.mos_range
    return (
        f"Head {scorer.head} of {safe_output.printable(str(scorer.run_dir))} (model {scorer.model_id}) predicts scores "
        f"on {low:g}-{high:g}; {scorer.engine} computes it in {scorer.precision}."
    )


def _details(row: Mapping[str, Any]) -> str:
    """Describe the size, the clips, the seconds and the percentile of a scored video."""
    size = f"{row['frames']} frames of {row['width']} x {row['height']}"
    clips = f", clips {row['grid']}" if row["grid"] else ""
    standing = "" if row["percentile"] is None else f", better than {quality_view.standing(row['percentile'])}"
    validation = f"{standing} of the model's validation videos" if standing else ""
    return f"{safe_output.printable(row['path'])}: {size}{clips}, {row['seconds']:.2f} s{validation}"


def to_text(row: Mapping[str, Any]) -> str:
    """Format a row as a line for people: score, scale, interval, origin of the labels, path and warnings."""
    path = safe_output.printable(row["path"])
    if row["status"] == score_table.FAILED:
        return f"failed  {path}: {safe_output.printable(row['error'])}"
    between = "" if row["interval_low"] is None else f", 95 % {row['interval_low']:.2f} to {row['interval_high']:.2f}"
    scale, labels = f"on {row['scale_min']:g}-{row['scale_max']:g}", label_origin.ORIGINS[row["labels"]]
    return f"{row['score']:6.2f}  {scale}{between}, {labels}  {path}{_warning_lines(row)}"


def heading(row: Mapping[str, Any]) -> str:
    """Describe the columns of the table, and what the run has learned from."""
    labels = label_origin.WARNINGS[row["labels"]] or (f"trained on {label_origin.ORIGINS[row['labels']]}",)
    interval = "" if row["interval_low"] is None else ", 95 % interval"
    return f"Score on {row['scale_min']:g}-{row['scale_max']:g}{interval}; {labels[0]}"


def table_line(row: Mapping[str, Any]) -> str:
    """Format a row of the table: '  2.98  fair       (1.5-4.4)  park.mp4'."""
    path = safe_output.printable(row["path"])
    if row["status"] == score_table.FAILED:
        return f"failed  {path}: {safe_output.printable(row['error'])}"
    interval, width = "", 2 * len(f"({row['scale_max']:.1f}")
    if row["interval_low"] is not None:
        ends = f"({row['interval_low']:.1f}-{row['interval_high']:.1f})"
        interval = f"{ends:{width + 1}s}  "
    word = mos_scale.acr_word(row["quality"])
    return f"{row['score']:6.2f}  {word:{WORD_WIDTH}s}  {interval}{path}{_warning_lines(row)}"


def _warning_lines(row: Mapping[str, Any]) -> str:
    """Format the warnings of a row, without those about the origin of the labels, which all rows share."""
    own = [warning for warning in row["warnings"] if warning not in label_origin.WARNINGS[row["labels"]]]
    return "".join(f"\n        warning: {safe_output.printable(warning)}" for warning in own)
