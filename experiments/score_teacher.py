"""Score videos with the teacher, or all videos of a csv database, and measure their agreement with its MOS."""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

from nr_vqm import command_line
from nr_vqm.common import parallel, safe_output


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    from nr_vqm.evaluation import checks, metrics
    from nr_vqm.teacher import teacher

    teacher.load(args.teacher)  # a missing file ends the command before the first video
    mos = _read_mos(Path(args.labels)) if args.labels else {}
    paths = [Path(path) for path in args.videos] or list(mos)
    if not paths:
        raise ValueError("Videos are needed: name them, or give --labels FILE.")
    scored = {}
    score = functools.partial(_score, teacher_path=Path(args.teacher).absolute())
    files = [path.absolute() for path in paths]  # workers may run in another folder
    results = parallel.map_in_order(score, files, workers=args.workers, scheduler=args.scheduler, on_death=_failed)
    for path, found in zip(paths, results, strict=True):
        if isinstance(found, str):
            print(safe_output.printable(f"skipped: {path}: {found}"), flush=True)
            continue
        scored[path] = found[0]
        own = f"  MOS {mos[path]:.2f}" if path in mos else ""
        line = f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]{own}  {path}"
        print(safe_output.printable(line), flush=True)
    rated = [path for path in scored if path in mos]
    if len(rated) >= checks.MIN_VIDEOS:
        agreement = metrics.agreement(mos=[mos[path] for path in rated], scores=[scored[path] for path in rated])
        bias = sum(scored[path] - mos[path] for path in rated) / len(rated)
        srocc, plcc = ("none" if value is None else f"{value:.3f}" for value in (agreement.srocc, agreement.plcc))
        print(f"{len(rated)} videos: SROCC {srocc}, PLCC {plcc}, RMSE {agreement.rmse:.3f}, score - MOS {bias:+.3f}")
    return 0 if len(scored) == len(paths) else command_line.EXIT_FAILED


def _score(path: Path, *, teacher_path: Path) -> tuple[float, float, float] | str:
    """Return (MOS, low, high) on 1-5, or why the video cannot be scored."""
    from nr_vqm.teacher import teacher

    try:
        found = teacher.load(teacher_path).score(path)
    except (ValueError, OSError) as error:
        return str(error)
    return found.mos, found.low, found.high


def _failed(path: Path, error: Exception) -> str:
    return str(error)


def _read_mos(labels: Path) -> dict[Path, float]:
    """Read {video: MOS} of a csv database on 1-5, with paths relative to the csv."""
    from nr_vqm.dataset import label_tables

    columns = label_tables.read_columns(labels)
    if not {"path", "mos"} <= set(columns):
        raise ValueError(f"{labels} needs the columns path and mos. Found: {', '.join(columns)}.")
    return {labels.parent / str(path): float(mos) for path, mos in zip(columns["path"], columns["mos"], strict=True)}


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser(
        "python -m experiments.score_teacher", __doc__, example="clip.mp4 --teacher teacher.h5"
    )
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="video files; none: those of --labels")
    parser.add_argument("--teacher", required=True, metavar="FILE", help="teacher.h5 of experiments.train_teacher")
    parser.add_argument("--labels", metavar="FILE", help="csv with the columns path and mos (1-5)")
    command_line.add_worker_options(parser)
    return parser


if __name__ == "__main__":
    command_line.run(main)
