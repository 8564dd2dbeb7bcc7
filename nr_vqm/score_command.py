"""The command `nr-vqm score`: score many videos, print and write one row for each."""

import argparse
import contextlib
import dataclasses
import functools
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from nr_vqm import command_line, score_output
from nr_vqm.common import folder_lock, parallel, safe_output
from nr_vqm.models import head_table
from nr_vqm.scoring import model_source, page_folder, score_page, score_plot, score_table, worker_tasks
from nr_vqm.scoring.attempts import attempt
from nr_vqm.scoring.score import Score
from nr_vqm.video import raw_video, reader
from nr_vqm.video.work_limits import WorkLimits

if TYPE_CHECKING:
    from nr_vqm.scoring.feature_scorer import FeatureScorer
    from nr_vqm.scoring.scorer import Scorer

    AnyScorer = Scorer | FeatureScorer

Params = ParamSpec("Params")
Result = TypeVar("Result")

MAX_LISTED = 10  # skipped files that are named in the message; the others are counted


@dataclasses.dataclass(frozen=True)
class _Job:
    """The validated options of one command.

    Attributes:
        args: the parsed options.
        videos: paths of all videos.
        options: how files are read that leave a choice.
        limits: on the work for one video.
        rows: the file --out, or None.
        clips: the file --clips, or None.
        pages: the folder --html, or None.
        source: the models of the head.
    """

    args: argparse.Namespace
    videos: list[str]
    options: reader.ReadOptions
    limits: WorkLimits
    rows: score_table.RowFile | None
    clips: score_table.ClipFile | None
    pages: page_folder.PageFolder | None
    source: model_source.ModelSource


def score(args: argparse.Namespace) -> int:
    """Score the videos of the command line while no other command writes to the same output files.

    Args:
        args: the options of `nr-vqm score`, and `argv`, the arguments that they were parsed from.

    Returns:
        The exit code: 0, or EXIT_FAILED if a video could not be scored.

    Raises:
        command_line.Refusal: the options or the run are not usable.
        KeyboardInterrupt: the command was interrupted; the message states how to resume it.
    """
    with contextlib.ExitStack() as locks:
        for path in (args.out, args.clips):
            if path and Path(path).absolute().parent.is_dir():  # _check_options reports a missing folder
                _or_exit(command_line.EXIT_USAGE, locks.enter_context, folder_lock.file_lock(path))
        return _score_videos(_prepare(args))


def _prepare(args: argparse.Namespace) -> _Job:
    """Validate the options and the run before TensorFlow is loaded, which takes seconds."""
    options, limits = _or_exit(command_line.EXIT_USAGE, reading, args)
    videos, rows, clips = _or_exit(command_line.EXIT_USAGE, _check_options, args)
    source = _or_exit(command_line.EXIT_NO_MODEL, model_source.find, args.run, args.head, engine=args.engine)
    _or_exit(command_line.EXIT_USAGE, source.check, precision=args.precision, device=args.device)
    if rows:
        _or_exit(command_line.EXIT_USAGE, rows.check_model, source.head, source.model_id)
    is_folder = args.html and page_folder.is_folder(args.html)
    pages = _or_exit(command_line.EXIT_USAGE, page_folder.PageFolder, args.html) if is_folder else None
    return _Job(args, videos, options, limits, rows, clips, pages, source)


def reading(args: argparse.Namespace) -> tuple[reader.ReadOptions, WorkLimits]:
    """Return how files are read, and the limits on the work for each."""
    if _reads_features(args) and (args.stream is not None or args.deinterlace):
        raise ValueError(
            f"Head {args.head!r} reads videos as they are. Omit --stream and --deinterlace, or choose a head of the "
            "3D-CNN."
        )
    raw = raw_video.parse(args.raw) if args.raw else None
    limits = WorkLimits(args.max_pixels, args.max_seconds, args.max_memory and args.max_memory * 1e9)
    return reader.ReadOptions(raw, args.stream, args.deinterlace), limits


def load_scorer(args: argparse.Namespace, limits: WorkLimits) -> "AnyScorer":
    """Find, check and load the models that the options name, with a limit on the work for one video.

    Raises:
        command_line.Refusal: the run is not usable, or the engine cannot compute as requested.
    """
    source = _or_exit(command_line.EXIT_NO_MODEL, model_source.find, args.run, args.head, engine=args.engine)
    _or_exit(command_line.EXIT_USAGE, source.check, precision=args.precision, device=args.device)
    _or_exit(command_line.EXIT_USAGE, source.start, args.device, hide_startup_lines=True)
    return _or_exit(
        command_line.EXIT_NO_MODEL, source.load, precision=args.precision, device=args.device, limits=limits
    )


def _reads_features(args: argparse.Namespace) -> bool:
    """Return whether a head on hand-crafted features, or the teacher, was asked for."""
    return args.head is not None and not head_table.needs_networks(args.head)


def _check_options(
    args: argparse.Namespace,
) -> tuple[list[str], score_table.RowFile | None, score_table.ClipFile | None]:
    if (args.resume or args.retry_failed) and not args.out:
        option = "--resume" if args.resume else "--retry-failed"
        raise ValueError(f"{option} continues an output file, and none is given. Add --out FILE.")
    if args.plot and Path(args.plot).suffix.lower() != ".png":
        raise ValueError(f"--plot needs a name that ends in .png. Received: {args.plot}.")
    if _reads_features(args) and (args.plot or args.clips):
        raise ValueError(
            f"--plot and --clips show the quality of clips, which head {args.head!r} does not predict. Omit them, or "
            "choose a head of the 3D-CNN."
        )
    _check_outputs(args)
    names = [*args.videos, *_listed_videos(args.from_file)]
    if not names:
        raise ValueError("No video was given. Name files, folders or patterns, or a list: --from-file FILE.")
    if not args.quiet:
        _print_skipped(score_table.find_skipped(names))
    videos, resume = score_table.find_videos(names), args.resume or args.retry_failed
    retry = set(videos) if args.retry_failed else ()
    rows = score_table.RowFile(args.out, resume=resume, retry=retry) if args.out else None
    clips = score_table.ClipFile(args.clips, keep=rows.done if rows and resume else None) if args.clips else None
    return videos, rows, clips


def _check_outputs(args: argparse.Namespace) -> None:
    """Raise ValueError where output files have no folder or the same name, or would lose what they have."""
    outputs = [path for path in (args.out, args.plot, args.html, args.clips) if path]
    for path in outputs:
        if not Path(path).absolute().parent.is_dir():
            raise ValueError(f"The folder of {path} does not exist. Create it first.")
    if len({Path(path).resolve() for path in outputs}) < len(outputs):
        raise ValueError(f"Each output needs a name of its own. Received: {', '.join(outputs)}.")
    resume = args.resume or args.retry_failed
    if resume and args.clips and Path(args.clips).exists() and not Path(args.out).exists():
        raise ValueError(
            f"{args.clips} exists, {args.out} does not: nothing can be resumed. Pass the --out that was written with "
            f"{args.clips}, or choose another --clips."
        )


def _listed_videos(from_file: str | None) -> list[str]:
    if from_file is None:
        return []
    if from_file == "-":
        return score_table.read_list(sys.stdin.buffer)
    with open(from_file, "rb") as file:
        return score_table.read_list(file)


def _print_skipped(paths: list[str]) -> None:
    """Print one line on standard error about the files in folders that are not videos."""
    if paths:
        more = f" and {len(paths) - MAX_LISTED} more" if len(paths) > MAX_LISTED else ""
        names = ", ".join(safe_output.printable(path) for path in paths[:MAX_LISTED])
        print(f"Files in folders that are not videos were skipped ({len(paths)}): {names}{more}", file=sys.stderr)


def _score_videos(job: _Job) -> int:
    """Score the videos that have no row yet; return the exit code."""
    known = {row["path"]: row["status"] for row in job.rows.rows} if job.rows else {}
    statuses = [known[path] for path in job.videos if path in known]
    # Pages are numbered by the position in the whole list, so that a resumed command gives the same names.
    todo = [(number, path) for number, path in enumerate(job.videos, start=1) if path not in known]
    try:
        with job.pages or contextlib.nullcontext():
            _add_known_pages(job)
            if todo:
                _score_missing(job, todo, statuses)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_interrupted(job.args.argv, statuses, len(job.videos))) from None
    if job.pages and not job.args.quiet:
        print(f"Pages of all videos: {safe_output.printable(str(job.pages.index))}", file=sys.stderr)
    failed = statuses.count(score_table.FAILED)
    if not todo and not job.args.quiet:
        print(f"{job.args.out} is complete: {len(job.videos)} videos, {failed} failed.", file=sys.stderr)
    return command_line.EXIT_FAILED if failed else 0


def _add_known_pages(job: _Job) -> None:
    """Add the videos that --out has already to the index of the folder --html."""
    if job.pages and job.rows:
        rows = {row["path"]: row for row in job.rows.rows}
        for number, path in enumerate(job.videos, start=1):
            if path in rows:
                job.pages.add(number, rows[path])


def _interrupted(argv: list[str], statuses: list[str], num_videos: int) -> str:
    """Describe how many videos are scored after Ctrl-C, and the command that scores the others."""
    scored, failed = (statuses.count(status) for status in (score_table.OK, score_table.FAILED))
    found = f"Stopped: {scored} of {num_videos} videos scored, {failed} failed."
    if "--out" not in argv and not any(word.startswith("--out=") for word in argv):
        return f"{found} The command cannot be resumed without an output file; add --out FILE next time."
    rest = [word for word in argv if word != "--retry-failed"]
    again = shlex.join(["nr-vqm", *rest, *([] if "--resume" in argv else ["--resume"])])
    return f"{found} Score the rest with: {again}"


def _score_missing(job: _Job, todo: list[tuple[int, str]], statuses: list[str]) -> None:
    """Score videos, print and write their results, and append their statuses.

    Args:
        job: the options.
        todo: (number, path) of each video; the number is part of the names of its plots.
        statuses: a list to append to, OK or FAILED; up to date also after an interruption.
    """
    scorer = _or_exit(command_line.EXIT_NO_MODEL, _load, job)
    if scorer and job.args.verbose:
        print(score_output.model_line(scorer), file=sys.stderr)
    total, quiet = len(statuses) + len(todo), job.args.quiet
    printer = score_output.Printer(job.args.format, total=total, done=len(statuses), quiet=quiet)
    with printer, job.rows or contextlib.nullcontext(), job.clips or contextlib.nullcontext():
        outcomes = _outcomes(job, scorer, [path for _, path in todo], printer)
        for (number, path), (score, error) in zip(_announced(todo, printer), outcomes, strict=True):
            error = _write_views(job, number, score) if score else error
            if error:
                row = score_table.failed_row(path, error)
                if job.pages:
                    job.pages.add(number, row)
            else:
                assert score is not None
                row = score_table.score_row(score)
                if job.clips:
                    job.clips.add(score)
            if job.rows:
                job.rows.add(row)
            printer.add(row, verbose=job.args.verbose)
            statuses.append(row["status"])
    printer.close(statuses)


def _announced(todo: list[tuple[int, str]], printer: score_output.Printer) -> Iterator[tuple[int, str]]:
    """Yield the videos, each when its scoring starts, which the printer shows."""
    for number, path in todo:
        printer.start(path)
        yield number, path


def _load(job: _Job) -> "AnyScorer | None":
    """Load the Scorer; None if worker processes load their own."""
    args, source = job.args, job.source
    if args.workers == 1 and not args.scheduler:
        _or_exit(command_line.EXIT_USAGE, source.start, args.device, hide_startup_lines=True)
        return source.load(precision=args.precision, device=args.device, limits=job.limits)
    source.check_intervals()  # damaged ones are reported here, once, instead of by every worker
    return None


def _outcomes(
    job: _Job, scorer: "AnyScorer | None", paths: list[str], printer: score_output.Printer
) -> Iterator[tuple[Score | None, Exception | None]]:
    """Score the videos in this process or in workers; yield (Score, None) or (None, error) in order."""
    if scorer:
        yield from scorer.score_many(paths, **vars(job.options), on_frames=printer.on_frames)
        return
    args, source = job.args, job.source
    settings = {name: getattr(args, name) for name in ("engine", "precision", "device")}
    settings |= {"run_dir": source.folder.resolve(), "head": source.head, "model_id": source.model_id}
    task = functools.partial(worker_tasks.score, options=job.options, limits=job.limits, **settings)
    outcomes = parallel.map_in_order(
        task,
        [Path(path).absolute() for path in paths],  # workers may run in another folder
        workers=args.workers,
        scheduler=args.scheduler,
        on_death=lambda path, error: (None, error),
    )
    for path, (score, error) in zip(paths, outcomes, strict=True):
        yield score and dataclasses.replace(score, path=str(path)), error


def _write_views(job: _Job, number: int, score: Score) -> Exception | None:
    """Write the plots and pages of a video; return the error by which it fails.

    Raises:
        OSError: a file cannot be written, for example on a full disk, which ends the command.
    """
    _, error = attempt(_write_plots, job.args, score, number if len(job.videos) > 1 else None)
    if job.pages and not error:
        _, error = attempt(job.pages.add, number, score_table.score_row(score), score)
    if isinstance(error, OSError):
        raise error
    return error


def _write_plots(args: argparse.Namespace, score: Score, number: int | None) -> None:
    """Write the files of --plot and --html; a number is appended to their names if there are several videos."""
    html = None if args.html and page_folder.is_folder(args.html) else args.html
    for name, write in ((args.plot, score_plot.write_png), (html, score_page.write_html)):
        if name:
            path = Path(name)
            write(path if number is None else path.with_stem(f"{path.stem}-{number:04d}"), score)


def _or_exit(code: int, function: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs) -> Result:
    """Call a function; its ValueError or OSError ends the command with this exit code."""
    try:
        return function(*args, **kwargs)
    except command_line.Refusal:
        raise
    except (ValueError, OSError) as error:
        raise command_line.Refusal(str(error), code) from error
