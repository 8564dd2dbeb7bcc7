"""nr-vqm: score videos with a trained run."""

import contextlib
import dataclasses
import functools
import json
import shlex
import sys
from pathlib import Path

import nr_vqm
from nr_vqm import command_line
from nr_vqm.dataset import label_origin
from nr_vqm.models import head_table

LISTED = 10  # skipped files that are named; the rest is counted
FORMATS = ("text", "json", "jsonl", "csv")


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    args = _parser().parse_args(argv)
    args.argv = argv
    return args.command(args)


def entry_point(argv=None):
    """What the installed `nr-vqm` calls."""
    command_line.run(main, argv)


def _parser():
    parser = command_line.new_parser("nr-vqm", __doc__)
    parser.add_argument("--version", action="version", version=f"nr-vqm {nr_vqm.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_score(subparsers)
    info = subparsers.add_parser(
        "info", help="say what a run is", description="Say what a run is, also while it trains."
    )
    info.add_argument("run", metavar="RUN", help="a run folder")
    info.add_argument("--format", default="text", choices=("text", "json"), help="(default: text)")
    info.set_defaults(command=_info)
    doctor = subparsers.add_parser(
        "doctor",
        help="look at versions, devices, codecs and disk",
        description="Look at versions, devices, memory, disk, and decode a test video of each codec.",
    )
    doctor.add_argument("--folder", default=".", metavar="DIR", help="where runs will be written (default: here)")
    doctor.set_defaults(command=_doctor)
    return parser


def _add_score(subparsers):
    score = subparsers.add_parser(
        "score",
        help="print the quality of videos",
        description="Print the quality of videos.",
        epilog="Exit code: 0 all videos scored, 1 some failed, 2 wrong options, 3 no usable model.",
    )
    score.add_argument("videos", nargs="*", metavar="VIDEO", help="files, folders, patterns such as 'videos/**/*.mp4'")
    score.add_argument("--from-file", metavar="FILE", help="a list of them, one a line or NUL-separated; - is stdin")
    score.add_argument("--run", required=True, metavar="DIR", help="a run folder with trained models")
    score.add_argument("--head", default="lstm", choices=head_table.HEADS, help="what pools the clips (default: lstm)")
    score.add_argument("--format", default="text", choices=FORMATS, help="of what is printed (default: text)")
    score.add_argument(
        "--out", metavar="FILE", help="also add a row per video to a .jsonl or .csv file, as they finish"
    )
    score.add_argument("--resume", action="store_true", help="continue --out: skip the videos that it has")
    score.add_argument(
        "--plot", metavar="PNG", help="draw quality over time, a frame and its clips; numbered if several"
    )
    score.add_argument("--html", metavar="HTML", help="the same as a page that needs nothing else; numbered if several")
    score.add_argument("--clips", metavar="CSV", help="every clip with its time, place and quality")
    score.add_argument("--raw", metavar="WIDTHxHEIGHT:FORMAT:FPS", help="what .yuv files are: 1920x1080:yuv420p:30")
    command_line.add_device_option(score)
    command_line.add_precision_option(score)
    command_line.add_worker_options(score)
    score.set_defaults(command=_score)


def _score(args):
    """Score every video while no other command writes to the same output files."""
    from nr_vqm.common import folder_lock

    with contextlib.ExitStack() as locks:
        for path in (args.out, args.clips):
            if path and Path(path).absolute().parent.is_dir():  # _prepare refuses it otherwise
                _or_exit(command_line.EXIT_USAGE, locks.enter_context, folder_lock.file_lock(path))
        return _score_videos(args)


def _score_videos(args):
    """Score every video; a failed one is a row with its error."""
    from nr_vqm.runs import model_check
    from nr_vqm.scoring import score_table

    videos, raw, rows, clips = _or_exit(command_line.EXIT_USAGE, _prepare, args)
    model_id = _or_exit(command_line.EXIT_NO_MODEL, model_check.check_run, args.run, args.head)
    if rows:
        _or_exit(command_line.EXIT_USAGE, rows.check_model, args.head, model_id)
    known = {row["path"]: row["status"] for row in rows.rows} if rows else {}
    statuses = [known[path] for path in videos if path in known]
    # The number of a page is that of the video in the whole list, however often it was resumed.
    todo = [(number, path) for number, path in enumerate(videos, start=1) if path not in known]
    try:
        if todo:
            _score_all(args, model_id, todo, raw, rows, clips, statuses, several=len(videos) > 1)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_stopped(args.argv, statuses, len(videos))) from None
    failed = statuses.count(score_table.FAILED)
    if not todo:
        print(f"Nothing is left to do: {args.out} has all {len(videos)} videos, {failed} failed.", file=sys.stderr)
    return command_line.EXIT_FAILED if failed else 0


def _stopped(argv, statuses, num_videos):
    """What Ctrl-C ends the command with: how far it is, and how to score the rest."""
    from nr_vqm.scoring import score_table

    scored, failed = (statuses.count(status) for status in (score_table.OK, score_table.FAILED))
    found = f"Stopped: {scored} of {num_videos} videos scored, {failed} failed."
    if "--out" not in argv and not any(word.startswith("--out=") for word in argv):
        return f"{found} Nothing resumes them; write their rows to a file next time: --out FILE."
    again = shlex.join(["nr-vqm", *argv, *([] if "--resume" in argv else ["--resume"])])
    return f"{found} Score the rest with: {again}"


def _score_all(args, model_id, todo, raw, rows, clips, statuses, *, several):
    """Score the videos of `todo`, (number, path) each, and write what is asked for; add their status to `statuses`."""
    from nr_vqm.scoring import score_table

    scorer = _or_exit(command_line.EXIT_NO_MODEL, _load, args)
    with _Printer(args.format) as printer, rows or contextlib.nullcontext(), clips or contextlib.nullcontext():
        scores = _scores(args, scorer, model_id, [path for _, path in todo], raw)
        for (number, path), (score, error) in zip(todo, scores, strict=True):
            row = score_table.row_of(score) if score else score_table.failed_row(path, error)
            if score:
                _write_pages(args, score, number if several else None)
                if clips:
                    clips.add(score)
            if rows:
                rows.add(row)
            printer.add(row)
            statuses.append(row["status"])


def _scores(args, scorer, model_id, paths, raw):
    """(Score, None) or (None, error) of every path, in order."""
    if scorer:
        return scorer.score_many(paths, raw)
    from nr_vqm.common import parallel
    from nr_vqm.scoring import worker_tasks

    settings = {"head": args.head, "model_id": model_id, "precision": args.precision, "device": args.device}
    work = functools.partial(worker_tasks.score, run_dir=Path(args.run).resolve(), raw=raw, **settings)
    found = parallel.each(
        work,
        [Path(path).absolute() for path in paths],  # workers may be in another folder
        workers=args.workers,
        scheduler=args.scheduler,
        on_death=lambda path, error: (None, error),
    )
    return ((score and dataclasses.replace(score, path=str(path)), error)
            for path, (score, error) in zip(paths, found, strict=True))  # fmt: skip


def _or_exit(code, function, *args):
    """Call it; what it cannot do ends the command with this exit code."""
    try:
        return function(*args)
    except command_line.Refusal:
        raise
    except (ValueError, OSError) as error:
        raise command_line.Refusal(str(error), code) from error


def _prepare(args):
    """(videos, RawFormat or None, RowFile or None, ClipFile or None) of the options."""
    from nr_vqm.scoring import score_table
    from nr_vqm.video import raw_video

    if args.resume and not args.out:
        raise ValueError("--resume continues a file of rows, and none is given. Add --out FILE.")
    if args.plot and Path(args.plot).suffix.lower() != ".png":
        raise ValueError(f"--plot needs a name that ends in .png. Received: {args.plot}.")
    for path in (args.out, args.plot, args.html, args.clips):
        if path and not Path(path).absolute().parent.is_dir():
            raise ValueError(f"There is no folder to write {path} in. Make it first.")
    names = list(args.videos)
    if args.from_file == "-":
        names += score_table.read_list(sys.stdin.buffer)
    elif args.from_file:
        with open(args.from_file, "rb") as file:
            names += score_table.read_list(file)
    if not names:
        raise ValueError("No video was given. Name files, folders or patterns, or a list: --from-file FILE.")
    _print_skipped(score_table.find_skipped(names))
    rows = score_table.RowFile(args.out, resume=args.resume) if args.out else None
    clips = score_table.ClipFile(args.clips, keep=rows.done if args.resume else None) if args.clips else None
    return score_table.find_videos(names), raw_video.parse(args.raw) if args.raw else None, rows, clips


def _print_skipped(paths: list[str]) -> None:
    """One line on standard error with the files of folders that are no videos."""
    from nr_vqm.scoring.score_page import printable

    if paths:
        more = f" and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
        names = ", ".join(printable(path) for path in paths[:LISTED])
        print(f"{len(paths)} files in folders are skipped, they are no videos: {names}{more}", file=sys.stderr)


def _load(args):
    """The Scorer, or None where workers load their own."""
    from nr_vqm.common import devices
    from nr_vqm.runs import prediction_intervals
    from nr_vqm.runs.run_folder import RunFolder

    if args.workers == 1 and not args.scheduler:
        _or_exit(command_line.EXIT_USAGE, functools.partial(devices.start, args.device, hide_startup_lines=True))
        return nr_vqm.load(args.run, head=args.head, precision=args.precision, device=args.device)
    # What each of them would refuse is refused once and here.
    prediction_intervals.read(args.run, args.head, **RunFolder(args.run).read_preset().interval)
    return None


def _write_pages(args, score, number):
    from nr_vqm.scoring import score_page

    for path, write in ((args.plot, score_page.write_png), (args.html, score_page.write_html)):
        if path:
            path = Path(path)
            write(path if number is None else path.with_stem(f"{path.stem}-{number:04d}"), score)


class _Printer:
    """Rows to standard output as they come; `json` as one list at the end."""

    def __init__(self, format):
        from nr_vqm.scoring import score_table

        self.format, self.rows, self.batch = format, [], score_table

    def __enter__(self):
        sys.stdout.reconfigure(errors="surrogateescape")  # a path may hold bytes that are no UTF-8
        if self.format in ("csv", "jsonl"):
            print(self.batch.header(self.format), end="")
        return self

    def add(self, row):
        if self.format == "json":
            self.rows.append(row)
        elif self.format == "text":
            print(_text(row), flush=True)
        else:
            print(self.batch.to_line(row, self.format), end="", flush=True)

    def __exit__(self, kind, *exc):
        if self.format == "json" and kind in (None, KeyboardInterrupt):  # what was finished is kept
            print(json.dumps(self.rows, indent=1, allow_nan=False))


def _text(row):
    from nr_vqm.scoring.score_page import printable

    if row["status"] != "ok":
        return f"failed  {printable(row['path'])}: {printable(row['error'])}"
    between = "" if row["interval_low"] is None else f", 95 % {row['interval_low']:.2f} to {row['interval_high']:.2f}"
    labels = label_origin.ORIGINS[row["labels"]]
    warnings = "".join(f"\n        warning: {printable(warning)}" for warning in row["warnings"])
    scale = f"{row['mos_low']:g}-{row['mos_high']:g}"
    return f"{row['mos']:6.2f}  on {scale}{between}, {labels}  {printable(row['path'])}{warnings}"


def _info(args):
    from nr_vqm.runs import info

    try:
        facts = info.facts(args.run)
    except (ValueError, OSError) as error:
        raise command_line.Refusal(str(error), command_line.EXIT_NO_MODEL) from error
    print(json.dumps(facts, indent=1, allow_nan=False) if args.format == "json" else info.to_text(facts))
    return 0


def _doctor(args):
    """Print every finding; the exit code says whether all is well."""
    from nr_vqm import doctor
    from nr_vqm.common import devices

    devices.start(hide_startup_lines=True)
    failed = 0
    for finding in doctor.examine(args.folder):
        failed += not finding.ok
        print(f"{'ok' if finding.ok else 'FAILED':7s} {finding.name:14s} {finding.text}", flush=True)
    return command_line.EXIT_FAILED if failed else 0


if __name__ == "__main__":
    entry_point()
