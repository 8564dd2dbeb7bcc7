"""The databases whose videos prep writes itself: synthetic scenes, and versions of a folder's videos."""

import argparse
import contextlib
import time
from pathlib import Path
from typing import Self

from data_prep.contents import database as contents
from data_prep.contents import selection, vmaf
from data_prep.messages import print_some
from data_prep.synthetic import database as synthetic
from nr_vqm import progress
from nr_vqm.common import atomic_files
from nr_vqm.common.folder_lock import folder_lock
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.handcrafted import videval
from nr_vqm.presets import Preset
from nr_vqm.teacher import teacher as teachers

REPORT_SECONDS = 20  # between two lines of progress


def make(args: argparse.Namespace, preset: Preset, out_dir: Path) -> None:
    """Generate the videos and labels of a database that is generated, unless they are complete.

    Args:
        args: options of prep.
        preset: settings.
        out_dir: folder of the generated database.

    Raises:
        ValueError: a dry run without videos, or no videos can be made.
        FileNotFoundError: a folder, the teacher or FFmpeg is missing.
    """
    if args.dry_run:
        if not (out_dir / "labels.csv").exists():
            raise ValueError(
                f"The {args.database} videos are not made yet, there is no {out_dir / 'labels.csv'}. Run without "
                "--dry-run."
            )
        return
    with folder_lock(out_dir), _Progress() as report:
        {"synthetic": _make_synthetic, "contents": _make_contents}[args.database](args, preset, out_dir, report)


def _make_synthetic(args: argparse.Namespace, preset: Preset, out_dir: Path, report: "_Progress") -> None:
    synthetic.make_database(
        out_dir,
        **preset.synthetic,
        workers=args.workers,
        scheduler=args.scheduler,
        progress=report,
    )


def _make_contents(args: argparse.Namespace, preset: Preset, out_dir: Path, report: "_Progress") -> None:
    teacher = _teacher(args, preset)
    result = contents.make_database(
        args.root,
        out_dir,
        settings={**preset.contents, "min_side": max(preset.clip_size, videval.MIN_SIZE)},
        synthetic=preset.added_synthetic,
        teacher=teacher,
        loss=preset.contents_loss,
        workers=args.workers,
        scheduler=args.scheduler,
        progress=report,
    )
    if teacher:
        atomic_files.copy(args.teacher, DataFolder(out_dir.parent).teacher)
    print_some([f"skipped ({status}): {path}: {reason}" for path, (status, reason) in sorted(result.skipped.items())])
    reasons = ", ".join(f"{number:,} {status}" for status, number in selection.counts(result.skipped).items())
    print(
        f"{result.num_versions:,} versions of {result.num_segments:,} segments, {result.num_contents:,} contents"
        + (f", {result.num_synthetic:,} synthetic videos" if result.num_synthetic else "")
        + f"; {len(result.skipped):,} videos, segments or versions skipped{f' ({reasons})' if reasons else ''}: "
        f"{out_dir / 'skipped.csv'}"
    )


def _teacher(args: argparse.Namespace, preset: Preset) -> teachers.Teacher | None:
    """Load the teacher where the labels need one."""
    if preset.contents_level == "none":
        return None
    if not args.teacher:
        raise ValueError(
            "contents needs --teacher FILE, which gives people's level of undistorted video: docs/adapt.md. Without "
            "one: --set contents_level=none."
        )
    return teachers.load(args.teacher)


def label_method(args: argparse.Namespace, preset: Preset) -> str:
    """Describe how the labels were formed: the teacher, VMAF and tables; empty for other databases than contents."""
    if args.database != "contents":
        return ""
    level = "level 5 for all undistorted video"
    if preset.contents_level == "teacher":
        candidate = teachers.load(args.teacher).facts.get("candidate", "unknown")
        level = f"level by the teacher {candidate} (SHA-256 {atomic_files.sha256(args.teacher)[:12]})"
    losses = {"vmaf": vmaf.MODEL, "tables": "tables of distortions", "both": f"mean of {vmaf.MODEL} and tables"}
    added = f"; {preset.contents_synthetic:,} synthetic videos by simulated raters" if preset.contents_synthetic else ""
    return f"{level}, loss by {losses[preset.contents_loss]}{added}"


class _Progress:
    """Shows the progress of a step: a bar on a terminal, else a line now and then. Use it as a context manager."""

    def __init__(self) -> None:
        self._started = self._printed = 0.0
        self._step = contextlib.ExitStack()  # closes the bar of the current step

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._step.close()

    def __call__(self, step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == 0:
            self._started = self._printed = now
            self._step.close()
            self._bar = self._step.enter_context(progress.Bar(total, "files"))
            self._bar.start_item(step)
            return
        self._bar.finish_item()
        if self._bar.shown:
            return
        if done == total or now - self._printed > REPORT_SECONDS:
            left = (now - self._started) / done * (total - done)
            print(f"{step}: {done:,} of {total:,}, about {left / 60:.1f} minutes left", flush=True)
            self._printed = now
