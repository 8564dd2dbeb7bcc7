"""What every command shares: preset options, and errors as one line with an exit code."""

import argparse
import os
import signal
import sys
import threading

from nr_vqm import presets
from nr_vqm.common import atomic_files, devices

EXIT_FAILED = 1  # something in the input could not be processed
EXIT_USAGE = 2  # the options ask for what cannot be done; also argparse's own
EXIT_NO_MODEL = 3  # a run without a usable model
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_STOPPED = 128 + signal.SIGTERM  # not 0: `make` must not start the next stage


class Refusal(ValueError):
    """An error that the user can repair, with the exit code of its kind."""

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


def new_parser(prog, description):
    """An ArgumentParser that shows defaults and refuses abbreviated options."""
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )


def add_preset_options(parser):
    """Add --preset and --set; `preset_from` reads them."""
    parser.add_argument("--preset", default="small", help=f"one of {', '.join(presets.PRESETS)}")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="overrides",
        help="change one setting of the preset; may be given several times",
    )


def add_worker_options(parser):
    """Add --workers and --scheduler, which `parallel.each` takes."""
    parser.add_argument("--workers", type=positive, default=1, help="processes on this machine, a local Dask cluster")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster instead: tcp://10.0.0.5:8786")


def add_device_option(parser):
    """Add --device, which `devices.start` takes."""
    parser.add_argument(
        "--device", type=device, default="auto", help="auto (all there are), cpu, gpu, or one GPU: gpu:0, gpu:1, ..."
    )


def add_precision_option(parser):
    """Add --precision, which stands for the run's setting where it is not given."""
    parser.add_argument(
        "--precision",
        choices=presets.PRECISIONS,
        help="of the 3D-CNN, instead of the run's setting; auto: mixed_bfloat16 where it is fast, else float32",
    )


def preset_from(args, *, database=None):
    """The preset that the options of `add_preset_options` ask for, as it is for that database."""
    return presets.get_preset(args.preset, database=database, overrides=args.overrides)


def positive(text):
    """An argparse type: a whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be above zero, received {text}")
    return value


def device(text):
    """An argparse type: what `devices.start` takes."""
    try:
        devices.gpu_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def resamples(text):
    """An argparse type: how often a bootstrap draws."""
    from nr_vqm.evaluation import comparison

    value = positive(text)
    if value < comparison.MIN_RESAMPLES:
        raise argparse.ArgumentTypeError(f"must be at least {comparison.MIN_RESAMPLES:,}, received {text}")
    return value


def share(text):
    """An argparse type: a number between 0 and 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, received {text}")
    return value


def stop_asked():
    """A function that says whether SIGTERM came: what a cluster sends before it takes the machine away."""
    came = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: came.set())
    return came.is_set


def print_figures(figures, *, limits, json_path):
    """Print a benchmark's figures beside their limits, and write them to a file where one is asked for.

    Args:
        figures: {name: number}.
        limits: {name: at least}; figures without one are for information.
        json_path: where to write `figures`, or None.
    """
    for name, value in figures.items():
        limit = (
            f"   limit {limits[name]:g}   {'reached' if value >= limits[name] else 'NOT REACHED'}"
            if name in limits
            else ""
        )
        print(f"{name:24s} {value:10.4g}{limit}")
    if json_path:
        atomic_files.write_json(json_path, figures)


def run(main, argv=None, *, resumes=False):
    """Run `main(argv)`; turn what users can repair into one line and an exit code.

    Set NR_VQM_TRACEBACK=1 to see the traceback instead.

    Args:
        main: a function of the argument list that returns an exit code or None.
        argv: the arguments; None takes those of the process.
        resumes: after Ctrl-C the same command continues where it was; a KeyboardInterrupt may bring its own message.
    """
    try:
        code = main(argv)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILED
    except KeyboardInterrupt as stop:
        usual = "Stopped. Run the same command again to resume." if resumes else "Stopped."
        code = _fail(str(stop) or usual, EXIT_INTERRUPTED)
    except InterruptedError as error:
        code = _fail(str(error), EXIT_STOPPED)
    except (ValueError, OSError) as error:
        if os.environ.get("NR_VQM_TRACEBACK") == "1":
            raise
        code = _fail(str(error), getattr(error, "code", EXIT_FAILED))
    raise SystemExit(code or 0)


def _fail(message, code):
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return code
