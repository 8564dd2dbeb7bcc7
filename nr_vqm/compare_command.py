"""The command `nr-vqm compare`: score two videos and print the difference of their scores."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from nr_vqm import command_line, progress, score_command, score_output
from nr_vqm.common import atomic_files
from nr_vqm.common.safe_output import printable
from nr_vqm.scoring import page_folder, score_comparison, score_table
from nr_vqm.scoring.score import Score
from nr_vqm.video.reader import ReadOptions
from nr_vqm.video.work_limits import WorkLimits

LABEL_WIDTH = 24  # characters of the first column


def compare(args: argparse.Namespace) -> int:
    """Score and compare the two videos of the command line.

    Args:
        args: the options of `nr-vqm compare`.

    Returns:
        The exit code 0.

    Raises:
        command_line.Refusal: the run is not usable.
        ValueError: an option is not usable, or a video cannot be scored.
    """
    try:
        options, limits = score_command.reading(args)
    except ValueError as error:
        raise command_line.Refusal(str(error), command_line.EXIT_USAGE) from error
    if args.html:
        _check_page(args.html)
    found = score_comparison.compare(*_score_both(args, options, limits))
    if args.html:
        atomic_files.write_text(args.html, found.to_html())
    text = json.dumps(found.to_dict(), indent=1, allow_nan=False) if args.format == "json" else to_text(found)
    command_line.print_result(text)
    return 0


def _check_page(path: str) -> None:
    """Raise a Refusal where the page cannot be written."""
    message = ""
    if page_folder.is_folder(path):
        message = f"A comparison is one page: --html needs a name that ends in .html. Received: {path}."
    elif not Path(path).absolute().parent.is_dir():
        message = f"The folder of {path} does not exist. Create it first."
    if message:
        raise command_line.Refusal(message, command_line.EXIT_USAGE)


def _score_both(args: argparse.Namespace, options: ReadOptions, limits: WorkLimits) -> Sequence[Score]:
    scorer = score_command.load_scorer(args, limits)
    if args.verbose:
        print(score_output.model_line(scorer), file=sys.stderr)
    scores = []
    with progress.Bar(len(args.videos), "videos", quiet=args.quiet) as bar:
        bar.start_item(args.videos[0])
        outcomes = scorer.score_many(args.videos, **vars(options), on_frames=bar.advance_item)
        for path, (score, reason) in zip(args.videos, outcomes, strict=True):
            if score is None:
                raise ValueError(f"{path} cannot be compared: {score_table.error_text(reason)}") from reason
            scores.append(score)
            bar.finish_item()
            bar.start_item(args.videos[-1])
    return scores


def to_text(found: score_comparison.ScoreComparison) -> str:
    """Format a comparison: a table of both scores, the conclusion, and both curves at several moments."""
    rows = [score_table.score_row(score) for score in (found.first, found.second)]
    lines = [score_output.heading(rows[0]), *map(score_output.table_line, rows), found.conclusion()]
    if times := found.times():
        lines += ["", _cells("clip quality at", [f"{100 * one['position']:.0f} %" for one in times])]
        for name, score in (("first", found.first), ("second", found.second)):
            lines.append(_cells(printable(Path(score.path).name), [f"{one[name]:.2f}" for one in times]))
        lines.append(_cells("difference", [f"{one['difference']:+.2f}" for one in times]))
    return "\n".join(lines)


def _cells(label: str, cells: Sequence[str]) -> str:
    label = label if len(label) <= LABEL_WIDTH else f"...{label[3 - LABEL_WIDTH :]}"
    return f"{label:{LABEL_WIDTH}s}" + "".join(f"{cell:>7s}" for cell in cells)
