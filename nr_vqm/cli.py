"""Score and compare videos with a trained run, describe a run, or check this machine."""

import argparse
import importlib.util
import json
import reprlib
import sys

import nr_vqm
from nr_vqm import command_line
from nr_vqm.common import devices
from nr_vqm.models import head_table
from nr_vqm.video import decoder_processes, work_limits

FORMATS = ("text", "json", "jsonl", "csv")
GPU_NOTE = "; a GPU needs a trained run: --run DIR --engine keras"
PRECISION_NOTE = "; bfloat16 needs a trained run: --run DIR --engine keras"
EPILOG = """
Examples:
  nr-vqm score clip.mp4
  nr-vqm score videos/ --run runs/mine --out scores.csv --resume
  nr-vqm compare before.mp4 after.mp4 --html page.html
  nr-vqm COMMAND --help

Exit codes:
  0    success
  1    part of the videos could not be scored, a check failed, or nothing could be printed
  2    wrong options
  3    no usable model
  130  interrupted by Ctrl-C
  143  stopped by SIGTERM

Environment variables:
  NR_VQM_RUN=FOLDER   the run or export to score with where --run names none
  NR_VQM_TRACEBACK=1  show the traceback of an error instead of one line
  NO_COLOR=1          progress without colours
  OMP_NUM_THREADS=N   the threads to compute with; default: one per core, in each of several
                      workers its share of them
  CUDA_VISIBLE_DEVICES, TF_NUM_INTRAOP_THREADS
                      the GPUs and threads that TensorFlow may use
"""
COMPARE_EPILOG = """
Example:
  nr-vqm compare before.mp4 after.mp4 --html page.html

Exit codes: 0 compared, 1 a video cannot be scored, 2 wrong options, 3 no usable model, 130 interrupted.
"""
EXPORT_EPILOG = """
Example:
  nr-vqm export runs/mine
  nr-vqm score clip.mp4 --run runs/mine

Exit codes: 0 exported, 1 failed (scores differ, for example), 2 wrong options, 3 no usable model, 130 interrupted.
"""
SERVE_EPILOG = """
Example:
  nr-vqm serve --run runs/mine --max-upload 50

Exit codes: 2 wrong options, 3 no usable model, 130 ended by Ctrl-C.
"""
SCORE_EPILOG = """
Examples:
  nr-vqm score clip.mp4
  nr-vqm score videos/ 'more/**/*.mp4' --run runs/mine --out scores.csv --html page.html
  find . -name '*.mp4' -print0 | nr-vqm score --from-file - --run runs/mine --format jsonl
  nr-vqm score videos/ --run runs/mine --out scores.csv --retry-failed

Exit codes: 0 all videos scored, 1 some failed, 2 wrong options, 3 no usable model, 130 interrupted.
"""


def main(argv: list[str] | None = None) -> int:
    """Run `nr-vqm` with these arguments, or those of the process; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    args = _parser().parse_args(argv)
    args.argv = argv
    return args.command(args)


def entry_point(argv: list[str] | None = None) -> None:
    """Run `nr-vqm` as a process: exits with its exit code."""
    command_line.run(main, argv)


def _parser() -> argparse.ArgumentParser:
    """Return the parser of `nr-vqm`."""
    top = command_line.new_parser("nr-vqm", __doc__, epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"nr-vqm {nr_vqm.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, help: str, description: str, epilog: str) -> argparse.ArgumentParser:
        formatter = command_line.HelpFormatter
        return commands.add_parser(
            name, help=help, description=description, epilog=epilog, formatter_class=formatter, allow_abbrev=False
        )

    _add_score(add("score", "score videos", "Score videos with a trained run.", SCORE_EPILOG))
    described = "Score two videos, and say whether the difference is significant."
    _add_compare(add("compare", "compare the scores of two videos", described, COMPARE_EPILOG))
    described = "Score videos uploaded in a web browser. Without --host only this machine can reach the server."
    _add_serve(add("serve", "score uploaded videos in a web browser", described, SERVE_EPILOG))
    described = "Export a run: scoring with an export needs neither TensorFlow nor Keras."
    _add_export(add("export", "write the few files of a run that scoring needs", described, EXPORT_EPILOG))
    described = "Describe a run, including one that is still being trained."
    _add_info(add("info", "describe a run", described, "Example:\n  nr-vqm info runs/mine --format json"))
    described = "Check versions, devices, memory and disk, and decode a test video of each codec."
    doctor = add(
        "doctor", "check versions, devices, codecs and disk", described, "Example:\n  nr-vqm doctor --folder runs"
    )
    doctor.add_argument("--folder", default=".", metavar="DIR", help="where runs will be written")
    doctor.set_defaults(command=_doctor)
    described = "Print the script that completes commands, options and their values in a shell."
    example = 'Example, in ~/.bashrc:\n  eval "$(nr-vqm completion bash)"'
    shell = add("completion", "print the completion script of a shell", described, example)
    shell.add_argument("shell", choices=("bash",), help="the shell")
    shell.set_defaults(command=lambda args: _completion(top))
    return top


def _add_info(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", nargs="?", metavar="RUN", help="a run folder or an export (default: $NR_VQM_RUN, else that of nr-vqm)")
    add("--format", default="text", choices=("text", "json"), help="(default: text)")
    parser.set_defaults(command=_info)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("videos", nargs=2, metavar="VIDEO", help="two video files")
    _add_model_options(parser)
    add("--format", default="text", choices=("text", "json"), help="format of the printed result")
    add("--html", metavar="HTML", help="save a self-contained page with both curves; the name ends in .html")
    command_line.add_verbosity_options(parser)
    parser.set_defaults(command=_compare)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which model scores, on what, and how raw videos are read."""
    add = parser.add_argument
    _add_run_options(parser)
    add("--raw", metavar="WIDTHxHEIGHT:FORMAT:FPS", help="format of .yuv files, such as 1920x1080:yuv420p:30")
    add("--stream", type=int, metavar="N", help="video stream to score, from 0 (default: the default one or largest)")
    add("--deinterlace", action="store_true", help="reconstruct the missing rows of interlaced frames before scoring")
    _add_limits(parser)
    command_line.add_device_option(parser, note=GPU_NOTE)
    command_line.add_precision_option(parser, note=PRECISION_NOTE)


def _add_score(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("videos", nargs="*", metavar="VIDEO", help="files, folders, patterns such as 'videos/**/*.mp4'")
    add("--from-file", metavar="FILE", help="list of videos, one per line or NUL-separated; - is standard input")
    _add_model_options(parser)
    add("--format", default="text", choices=FORMATS, help="format of the printed rows")
    add("--out", metavar="FILE", help="also write one row per video to a .jsonl or .csv file as videos finish")
    add("--resume", action="store_true", help="continue the file --out: skip the videos that it has")
    add("--retry-failed", action="store_true", help="like --resume, and score the videos again that failed before")
    add("--plot", metavar="PNG", help="save plots of quality over time and over the frame; numbered if several videos")
    add(
        "--html",
        metavar="PATH",
        help="write self-contained pages: a name that ends in .html or .htm is one page, numbered if several videos; "
        "any other name is a folder with an index of all videos",
    )
    add("--clips", metavar="CSV", help="write the time, position and quality of every clip")
    command_line.add_worker_options(parser)
    command_line.add_verbosity_options(parser)
    parser.set_defaults(command=_score)


def _add_serve(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_run_options(parser)
    add("--host", default="127.0.0.1", help="address to listen on; the default is reachable from this machine only")
    add("--port", type=command_line.port, default=8000, help="port to listen on; 0 chooses a free one")
    add("--max-upload", type=command_line.upload_size, default=200.0, metavar="MB", help="size of an uploaded file")
    add("--max-duration", type=command_line.amount, default=60.0, metavar="S", help="duration of a video")
    add("--max-waiting", type=command_line.positive, default=4, metavar="N", help="uploads at the same time")
    add("--max-pixels", type=float, default=4e9, metavar="N", help="height x width x frames of a video")
    add("--max-seconds", type=float, default=300.0, metavar="S", help="time for a video")
    command_line.add_device_option(parser, note=GPU_NOTE)
    command_line.add_precision_option(parser, note=PRECISION_NOTE)
    parser.set_defaults(command=_serve)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that select the models, the arguments of `model_source.find`."""
    add = parser.add_argument
    add("--run", metavar="DIR", help="a run folder or an export (default: $NR_VQM_RUN, else the one of nr-vqm itself)")
    names = ", ".join(head_table.SCORERS)
    add(
        "--head",
        choices=head_table.SCORERS,
        metavar="HEAD",
        help=f"head that predicts the score: {names} (default: lstm, or that of an export)",
    )
    add("--engine", choices=devices.ENGINES, help="of the 3D-CNN (default: openvino where there is an export)")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """Add the options for the limits on the work for each video, beyond which it fails."""
    add, limits = parser.add_argument, work_limits.WorkLimits()
    add("--max-pixels", type=float, default=limits.max_pixels, metavar="N", help="height x width x frames of a video")
    add("--max-seconds", type=float, default=limits.max_seconds, metavar="S", help="time for a video")
    add("--max-memory", type=float, metavar="GB", help="memory for a video's frames (default: what is available)")


def _add_export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run", metavar="RUN", help="a run folder with trained models")
    add("out", nargs="?", metavar="OUT", help="folder to write or replace (default: RUN/export, which score then uses)")
    add("--format", default="openvino", choices=("openvino", "onnx"), help="of the networks")
    add(
        "--check",
        nargs="+",
        default=[],
        metavar="VIDEO",
        help="compare the scores of these videos by Keras and by the export, besides those of generated ones",
    )
    add(
        "--validation",
        metavar="RUN",
        help="a test of RUN on another database (make cross_database), which then gives intervals and percentiles",
    )
    add("--align", action="store_true", help="map the scores to the MOS of --validation by a line for each head")
    add(
        "--fusion",
        metavar="FILE",
        help="a teacher on frame statistics: adds head fusion, the lstm corrected by this teacher (implies --align)",
    )
    add(
        "--head",
        choices=(*head_table.HEADS, head_table.FUSION),
        metavar="HEAD",
        help="the head that scores with the export where none is named (lstm); names as in nr-vqm score --help",
    )
    add("--teacher", metavar="FILE", help="teacher.h5 for --head teacher (default: that of RUN, if it has one)")
    parser.set_defaults(command=_export)


# The commands are imported when they run, so that --help starts at once.


def _score(args: argparse.Namespace) -> int:
    if not any((args.out, args.html, args.plot, args.clips)):
        command_line.require_output(", or add --out FILE")
    if args.workers == 1 and not args.scheduler:
        decoder_processes.start()  # it starts while our modules are imported
    from nr_vqm import score_command

    return score_command.score(args)


def _compare(args: argparse.Namespace) -> int:
    if not args.html:
        command_line.require_output(", or add --html FILE")
    decoder_processes.start()
    from nr_vqm import compare_command

    return compare_command.compare(args)


def _serve(args: argparse.Namespace) -> int:
    from nr_vqm import serve_command

    return serve_command.serve(args)


def _completion(parser: argparse.ArgumentParser) -> int:
    from nr_vqm import completion

    command_line.require_output()
    command_line.print_result(completion.bash(parser))
    return 0


def _export(args: argparse.Namespace) -> int:
    from nr_vqm import export_command

    return export_command.export(args)


def _info(args: argparse.Namespace) -> int:
    """Print the facts about a run or an export; return the exit code."""
    from nr_vqm.runs import export_folder, export_info, info, stage_records
    from nr_vqm.scoring import model_source

    command_line.require_output()
    try:
        folder = model_source.folder_of(args.run)
        module = export_info if export_folder.is_export(folder) else info
        facts = module.facts(folder)
        text = json.dumps(facts, indent=1, allow_nan=False) if args.format == "json" else module.to_text(facts)
    except (ValueError, OSError) as error:
        raise command_line.Refusal(str(error), command_line.EXIT_NO_MODEL) from error
    except (TypeError, OverflowError, AttributeError, KeyError, IndexError) as error:
        found = f"{type(error).__name__}: {reprlib.repr(str(error))}"
        message = f"{folder} has a file with unusable values ({found}). {stage_records.REPAIR}"
        raise command_line.Refusal(message, command_line.EXIT_NO_MODEL) from error
    command_line.print_result(text)
    return 0


def _doctor(args: argparse.Namespace) -> int:
    """Print one line per check; return EXIT_FAILED if one of them failed."""
    from nr_vqm import doctor

    command_line.require_output()
    if importlib.util.find_spec("tensorflow"):  # it is not needed to score with an export
        devices.start(hide_startup_lines=True)
    failed = 0
    for finding in doctor.examine(args.folder):
        failed += not finding.ok
        command_line.print_result(f"{'ok' if finding.ok else 'FAILED':7s} {finding.name:14s} {finding.text}")
    return command_line.EXIT_FAILED if failed else 0


if __name__ == "__main__":
    entry_point()
