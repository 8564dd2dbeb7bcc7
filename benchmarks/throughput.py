"""python -m benchmarks.throughput: videos per hour, processor hours per 1,000 videos and memory of a long batch.

Scores many short and some full videos of 540p with the command, in one process, with --workers, and on a Dask cluster
of this machine. The files are copies of a few synthetic ones. The memory is that of all processes together, after a
tenth of the videos and at the end: a batch may not need more memory the longer it runs.
"""

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks import score
from nr_vqm import command_line, presets
from nr_vqm.common import atomic_files

KINDS = {"short": 32, "full": 240}  # frames
SIZE = (540, 960)
MODES = ("one", "workers", "cluster")
DISTINCT = 4  # files that differ; the others are links to them
SAMPLE_SECONDS = 0.5
MAX_GROWTH = 1.15  # memory at the end, as a multiple of that after a tenth of the videos


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        run = args.run or _new_run(args.preset, Path(folder) / "run")
        for kind, count in (("short", args.short), ("full", args.full)):
            if count:
                videos = write_videos(Path(folder) / kind, count, (args.frames or KINDS[kind], *args.size))
                for mode in args.modes:
                    found = measure(videos, run, count, mode=mode, workers=args.workers)
                    figures |= {f"{name}_{kind}_{mode}": value for name, value in found.items()}
                    print(f"{kind} {mode}: " + ", ".join(f"{name} {value:.4g}" for name, value in found.items()))
                    _save(figures, args.json)
    figures |= speedups(figures)
    limits = {name: 1 / MAX_GROWTH for name in figures if name.startswith("memory_start_over_end")}
    command_line.print_figures(figures, limits=limits, json_path=args.json)


def speedups(figures: dict[str, float]) -> dict[str, float]:
    """Return the videos per hour of each mode over those of one process."""
    found = {}
    for kind, mode in itertools.product(KINDS, MODES[1:]):
        one, other = (figures.get(f"videos_per_hour_{kind}_{name}") for name in (MODES[0], mode))
        if one and other:
            found[f"speedup_{kind}_{mode}"] = other / one
    return found


def _save(figures: dict[str, float], path: str | None) -> None:
    """Write what is measured so far, so that a stopped benchmark leaves it; show what is printed so far."""
    sys.stdout.flush()
    if path:
        atomic_files.write_json(path, figures)


def write_videos(folder: Path, count: int, size: tuple[int, int, int]) -> Path:
    """Write a folder of videos.

    Args:
        folder: the folder to create.
        count: number of videos.
        size: frames, height and width of each.
    """
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05d}.mp4"
        if number < DISTINCT:
            frames, *shape = size
            score.write_video(path, (frames - number % 2, shape[0], shape[1]))
        else:
            os.link(folder / f"{number % DISTINCT:05d}.mp4", path)
    return folder


def measure(videos: Path, run: Path, count: int, *, mode: str, workers: int) -> dict[str, float]:
    """Score a folder of videos once.

    Args:
        videos: the folder.
        run: the run.
        count: number of videos.
        mode: one of MODES.
        workers: number of worker processes, but for mode 'one'.
    """
    rows = videos.with_name(f"{videos.name}-{mode}.jsonl")
    command = [sys.executable, "-m", "nr_vqm", "score", str(videos), "--run", str(run), "--out", str(rows)]
    started = time.monotonic()
    with _cluster(workers if mode == "cluster" else 0) as address:
        options = {"one": [], "workers": ["--workers", str(workers)], "cluster": ["--scheduler", address]}[mode]
        with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as process:
            samples = list(_samples(process, rows))
    if process.returncode:
        raise ValueError(f"The command failed with exit code {process.returncode}: {' '.join(command)}.")
    seconds = time.monotonic() - started
    figures = {
        "videos_per_hour": 3600 * count / seconds,
        "cpu_hours_per_1000": sum(samples[-1][2].values()) / 3.6 / count,
        "memory_gb": max(sample[1] for sample in samples) / 1e9,
    }
    if found := memory(samples, count):
        start, end = found
        figures["memory_start_over_end"] = start / end
    return figures


_Sample = tuple[int, int, dict[int, float]]  # finished videos, bytes of all processes, processor seconds of each


def _samples(process: subprocess.Popen[bytes], rows: Path) -> Iterator[_Sample]:
    """Yield a sample of all processes that this one has started, until `process` ends."""
    seconds: dict[int, float] = {}
    while process.poll() is None:
        memory_bytes = 0
        for child in psutil.Process().children(recursive=True):
            try:
                memory_bytes += child.memory_info().rss
                seconds[child.pid] = sum(child.cpu_times()[:2])
            except psutil.Error:  # it has ended meanwhile
                continue
        finished = rows.read_bytes().count(b"\n") if rows.exists() else 0
        yield finished, memory_bytes, dict(seconds)
        time.sleep(SAMPLE_SECONDS)


def memory(samples: list[_Sample], count: int) -> tuple[float, float] | None:
    """Return the largest memory between a tenth and a third of the videos, and in the last quarter, in bytes.

    None if too few videos were scored for a sample in both.
    """
    tenth, third, quarter = count / 10, count / 3, 3 * count / 4
    start = [used for finished, used, _ in samples if tenth <= finished <= third]
    end = [used for finished, used, _ in samples if quarter <= finished < count]
    return (float(max(start)), float(max(end))) if start and end else None


@contextlib.contextmanager
def _cluster(workers: int) -> Iterator[str]:
    """Start a Dask cluster on this machine and yield its address; without workers an empty address."""
    if not workers:
        yield ""
        return
    from distributed import LocalCluster

    settings: dict[str, Any] = {"memory_limit": 0, "dashboard_address": None, "silence_logs": "ERROR"}
    with LocalCluster(n_workers=workers, threads_per_worker=1, **settings) as cluster:
        yield str(cluster.scheduler_address)


def _new_run(preset: str, folder: Path) -> Path:
    from nr_vqm.runs import untrained_run

    return untrained_run.write(folder, presets.get_preset(preset), mos_range=(1.0, 5.0), labels="synthetic").path


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.throughput", __doc__)
    parser.add_argument("--short", type=int, default=1000, help=f"number of videos of {KINDS['short']} frames")
    parser.add_argument("--full", type=int, default=200, help=f"number of videos of {KINDS['full']} frames")
    parser.add_argument("--frames", type=command_line.positive, help="frames of each video instead")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("HEIGHT", "WIDTH"), help="of the frames")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="how they are scored (all)")
    parser.add_argument("--workers", type=command_line.positive, default=2, help="worker processes of two modes")
    parser.add_argument("--run", type=Path, help="a run; default: an untrained one")
    parser.add_argument("--preset", default="small", help="preset of the untrained run")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser


if __name__ == "__main__":
    command_line.run(main)
