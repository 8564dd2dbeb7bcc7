"""The command `nr-vqm export`: write the few files of a run that scoring needs."""

import argparse
from typing import Any

from nr_vqm import command_line
from nr_vqm.common import devices
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import export_options

OPTIONS = ("check", "validation", "align", "teacher", "fusion", "head")


def export(args: argparse.Namespace) -> int:
    """Export a run; return the exit code.

    Args:
        args: the options of `nr-vqm export`.

    Raises:
        command_line.Refusal: the run or an option is not usable.
        ValueError: the scores of the export differ, or cannot be aligned.
    """
    options = {name: getattr(args, name) for name in OPTIONS}
    _check(args.run, args.out, options)
    devices.start("cpu", hide_startup_lines=True)
    from nr_vqm.scoring import exporting

    done = exporting.export(args.run, args.out, format=args.format, **options)
    command_line.print_result(
        f"{done['folder']}: {done['bytes'] / 1e6:.1f} MB, heads {', '.join(done['heads'])}; "
        f"scores differ by at most {done['difference']:.4f} on 1-5."
    )
    return 0


def _check(run_dir: str, out: str | None, options: dict[str, Any]) -> None:
    """Check the run and the options before TensorFlow is loaded, which takes seconds."""
    run = RunFolder(run_dir)
    try:
        heads = export_options.check_run(run)
    except (ValueError, OSError) as error:
        raise command_line.Refusal(str(error), command_line.EXIT_NO_MODEL) from error
    try:
        export_options.resolve(run, heads, out, **options)
    except (ValueError, OSError) as error:
        raise command_line.Refusal(str(error), command_line.EXIT_USAGE) from error
