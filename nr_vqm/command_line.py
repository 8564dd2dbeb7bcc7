"""Options, exit codes and error handling that all commands share."""

import argparse
import contextlib
import math
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

from nr_vqm import presets
from nr_vqm.common import atomic_files, devices, memory, safe_output

EXIT_FAILED = 1  # part of the input could not be processed
EXIT_USAGE = 2  # the options are invalid; argparse uses the same code
EXIT_NO_MODEL = 3  # the run has no usable model
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_STOPPED = 128 + signal.SIGTERM  # not 0: `make` must not start the next stage
MAX_UPLOAD = 1_000_000  # MB
_closed: set[str] = set()  # names of the standard streams that were closed when the command started


class Refusal(ValueError):
    """An error that ends the command with a given exit code.

    Attributes:
        code: the exit code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class HelpFormatter(argparse.HelpFormatter):
    """Help with the defaults of options, and with paragraphs; indented lines, such as examples, stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = textwrap.dedent(text).strip("\n").split("\n\n")
        return "\n\n".join(self._filled(paragraph, width, indent) for paragraph in paragraphs)

    def _filled(self, paragraph: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for line in paragraph.splitlines():
            if line.startswith(" ") or not lines or lines[-1].startswith(" "):
                lines.append(line)
            else:
                lines[-1] += f" {line}"
        return "\n".join(
            indent + line if line.startswith(" ") else super(HelpFormatter, self)._fill_text(line, width, indent)
            for line in lines
        )

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help or ""
        nothing = action.default is None or action.default is False or action.default in ([], argparse.SUPPRESS)
        if nothing or "(default:" in text:
            return text
        value = f"{action.default:g}" if isinstance(action.default, float) else "%(default)s"
        return f"{text} (default: {value})"


class _Parser(argparse.ArgumentParser):
    """A parser whose help fails where it cannot be printed; argparse hides the error."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            print_result(message, end="")
        else:
            super()._print_message(message, file)


def new_parser(
    prog: str, description: str | None, *, example: str | None = None, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Create a parser that shows defaults in its help and does not accept abbreviated options.

    Args:
        prog: the command.
        description: what it does.
        example: arguments of an example at the end of the help.
        epilog: examples and exit codes, in place of `example`; indented lines stay as they are.
    """
    if example:
        epilog = f"Example:\n  {prog} {example}"
    return _Parser(prog=prog, description=description, epilog=epilog, allow_abbrev=False, formatter_class=HelpFormatter)


def add_preset_options(parser: argparse.ArgumentParser) -> None:
    """Add --preset and --set, which `preset_from` evaluates."""
    parser.add_argument("--preset", default="small", help=f"one of {', '.join(presets.PRESETS)}")
    add_set_option(parser, "change one setting of the preset; may be repeated")


def add_set_option(parser: argparse.ArgumentParser, text: str) -> None:
    """Add --set with the help `text`; its values are overrides for `presets.get_preset` or `presets.overridden`."""
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="overrides", help=text)


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add --workers and --scheduler, the arguments of `parallel.map_in_order`."""
    needs = "needs Dask, which is in nr-vqm[train]"
    parser.add_argument(
        "--workers", type=positive, default=1, help=f"number of processes on this machine; more than one {needs}"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help=f"use a Dask cluster instead, such as tcp://10.0.0.5:8786; {needs}"
    )


def add_device_option(parser: argparse.ArgumentParser, *, note: str = "") -> None:
    """Add --device, the argument of `devices.start`; its help ends in `note`."""
    text = "auto (all GPUs, else the CPU), cpu, gpu, or one GPU: gpu:0, ..."
    parser.add_argument("--device", type=device, default="auto", help=text + note)


def add_precision_option(parser: argparse.ArgumentParser, *, note: str = "") -> None:
    """Add --precision, which overrides the run's setting; its help ends in `note`."""
    text = "of the 3D-CNN, instead of the run's setting; auto: mixed_bfloat16 where it is fast, else float32"
    parser.add_argument("--precision", choices=presets.PRECISIONS, help=text + note)


def add_verbosity_options(parser: argparse.ArgumentParser) -> None:
    """Add -q and -v."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument("-q", "--quiet", action="store_true", help="print scores and errors, no progress and no notes")
    either.add_argument("-v", "--verbose", action="store_true", help="print the model, and details of each video")


def preset_from(args: argparse.Namespace, *, database: str | None = None) -> presets.Preset:
    """Return the preset that the options of `add_preset_options` select, adapted to the database."""
    return presets.get_preset(args.preset, database=database, overrides=args.overrides)


def positive(text: str) -> int:
    """Parse a positive integer (argparse type)."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be above zero, received {text}")
    return value


def device(text: str) -> str:
    """Check the name of a device (argparse type)."""
    try:
        devices.gpu_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def resamples(text: str) -> int:
    """Parse a number of bootstrap resamples (argparse type)."""
    from nr_vqm.evaluation import comparison  # imports SciPy

    value = positive(text)
    if value < comparison.MIN_RESAMPLES:
        raise argparse.ArgumentTypeError(f"must be at least {comparison.MIN_RESAMPLES:,}, received {text}")
    return value


def amount(text: str) -> float:
    """Parse a finite number above zero (argparse type)."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a finite number above zero, received {text}")
    return value


def upload_size(text: str) -> float:
    """Parse the size of an upload in MB (argparse type)."""
    value = amount(text)
    if value > MAX_UPLOAD:
        raise argparse.ArgumentTypeError(f"must be at most {MAX_UPLOAD:,} (1 TB), received {text}")
    return value


def port(text: str) -> int:
    """Parse the number of a TCP port, or 0 (argparse type)."""
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"must be between 0 and 65535, received {text}")
    return value


def share(text: str) -> float:
    """Parse a number between 0 and 1, both excluded (argparse type)."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, received {text}")
    return value


@contextlib.contextmanager
def catch_sigterm() -> Iterator[Callable[[], bool]]:
    """Replace the action of SIGTERM, which clusters send before they reclaim a machine, within a block.

    Yields:
        A function that returns whether the signal has been received.

    Raises:
        InterruptedError: the signal was received and the block has ended as if it had not been.
    """
    received = threading.Event()
    earlier = signal.signal(signal.SIGTERM, lambda *_: received.set())
    try:
        yield received.is_set
    finally:
        signal.signal(signal.SIGTERM, earlier)
    if received.is_set():
        raise InterruptedError("Stopped on request. Run the same command again to resume.")


def print_figures(
    figures: Mapping[str, float], *, limits: Mapping[str, float], json_path: str | os.PathLike[str] | None
) -> None:
    """Print the figures of a benchmark next to their limits; optionally write them to a JSON file.

    Args:
        figures: value of each figure.
        limits: lowest accepted value of a figure; figures without a limit are informative.
        json_path: file for `figures`, or None.
    """
    for name, value in figures.items():
        line = f"{name:24s} {value:10.4g}"
        if name in limits:
            line += f"   limit {limits[name]:g}   {'reached' if value >= limits[name] else 'NOT REACHED'}"
        print(line)
    if json_path:
        atomic_files.write_json(json_path, figures)


def run(
    main: Callable[[list[str] | None], int | None], argv: list[str] | None = None, *, resumes: bool = False
) -> None:
    """Run a command and exit; report errors that the user can fix as one line and an exit code.

    The environment variable NR_VQM_TRACEBACK=1 shows the traceback instead.

    Args:
        main: the command: takes the argument list, returns an exit code or None.
        argv: the arguments; None uses those of the process.
        resumes: the same command continues after Ctrl-C where it stopped. A KeyboardInterrupt with a message of its
            own overrides the default message.

    Raises:
        SystemExit: always, with the exit code.
    """
    _replace_closed_streams()
    memory.keep_freed_memory()
    safe_output.make_printable(sys.stdout)
    try:
        code = _exit_code(main, argv)
        with atomic_files.naming("standard output"):
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of the pipe has closed it, as `head` does
        code = EXIT_FAILED
    except KeyboardInterrupt as stop:
        usual = "Stopped. Run the same command again to resume." if resumes else "Stopped."
        code = _fail(str(stop) or usual, EXIT_INTERRUPTED)
    except InterruptedError as error:
        code = _fail(str(error), EXIT_STOPPED)
    except ModuleNotFoundError as error:
        if os.environ.get("NR_VQM_TRACEBACK") == "1" or str(error.name).startswith("nr_vqm"):
            raise
        code = _fail(
            f"This command needs the package {error.name}. Install it in a checkout: pip install '.[train]'.",
            EXIT_FAILED,
        )
    except (ValueError, OSError) as error:
        if os.environ.get("NR_VQM_TRACEBACK") == "1":
            raise
        code = _fail(str(error), error.code if isinstance(error, Refusal) else EXIT_FAILED)
    _flush_or_discard(sys.stdout)
    raise SystemExit(code or 0)


def print_result(text: str, *, end: str = "\n") -> None:
    """Print a result of a command; an OSError names standard output."""
    with atomic_files.naming("standard output"):
        print(text, end=end, flush=True)


def require_output(alternative: str = "") -> None:
    """Check that standard output is open, before a command computes what it would print there.

    Args:
        alternative: another way to get the result, for the message, such as ', or add --out FILE'.

    Raises:
        Refusal: it was closed when the command started, as by '>&-' in a shell.
    """
    if "stdout" in _closed:
        raise Refusal(f"Standard output is closed, so nothing can be printed. Open it{alternative}.", EXIT_FAILED)


def _exit_code(main: Callable[[list[str] | None], int | None], argv: list[str] | None) -> Any:
    """Run a command; return its exit code, also where argparse ends it, as after --help."""
    try:
        return main(argv)
    except SystemExit as ended:
        return ended.code


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # standard error may be closed, or its disk full
        print("error: " + safe_output.printable(" ".join(message.split())), file=sys.stderr)
    return code


def _replace_closed_streams() -> None:
    """Open /dev/null in place of closed standard streams: the next file would get their number, and their output."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            _closed.add(name)
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))


def _flush_or_discard(stream: IO[str]) -> None:
    """Flush a stream; if that fails, discard its text, which the interpreter would try to write again at its exit."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
