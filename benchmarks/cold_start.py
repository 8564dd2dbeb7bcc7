"""python -m benchmarks.cold_start: time and memory of `nr-vqm score` of one video, by an export and by Keras.

Each command is a process of its own, the two engines in turn. Without --run the networks are untrained.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import score
from nr_vqm import command_line, presets
from nr_vqm.common import devices
from nr_vqm.runs.run_folder import RunFolder

FRAMES, HEIGHT, WIDTH = 240, 540, 960  # 8 seconds at 30 frames/s
TARGET_SECONDS = 2.0  # on two idle cores
LIMITS = {"keras_over_export": 3.0, "target_over_export": 1.0}


def main(argv: list[str] | None = None) -> int:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "540p.mp4"
        score.write_video(video, (args.frames, HEIGHT, WIDTH))
        run = args.run or _untrained(Path(folder) / "run", args.preset)
        if not RunFolder(run).export.exists():
            _command("export", str(run))
        figures = measure(run, video, repeats=args.repeats)
    limits = {} if args.frames < FRAMES else LIMITS
    command_line.print_figures(figures, limits=limits, json_path=args.json)
    return 0 if all(figures[name] >= limit for name, limit in limits.items()) else command_line.EXIT_FAILED


def measure(run: Path, video: Path, *, repeats: int) -> dict[str, float]:
    """Measure the median time and memory of one process of each engine, in turn.

    Args:
        run: a run folder with an export.
        video: the video that is scored.
        repeats: number of processes of each engine.
    """
    names = dict(zip(devices.ENGINES, ("export", "keras"), strict=True))
    found: dict[str, list[float]] = {}
    for _ in range(repeats):
        for engine, name in names.items():
            started = time.monotonic()
            usage = _command("score", str(video), "--run", str(run), "--engine", engine)
            found.setdefault(f"{name}_seconds", []).append(time.monotonic() - started)
            found.setdefault(f"{name}_processor_seconds", []).append(usage.ru_utime + usage.ru_stime)
            found.setdefault(f"{name}_gb", []).append(1024 * usage.ru_maxrss / 1e9)
    figures = {name: statistics.median(values) for name, values in found.items()}
    return figures | {
        "keras_over_export": figures["keras_seconds"] / figures["export_seconds"],
        "target_over_export": TARGET_SECONDS / figures["export_seconds"],
    }


def _command(*arguments: str) -> resource.struct_rusage:
    """Run nr-vqm; return the time and the memory that it and its processes used."""
    process = subprocess.Popen([sys.executable, "-m", "nr_vqm", *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ValueError(f"nr-vqm {arguments[0]} has ended with exit code {process.returncode}.")
    return usage


def _untrained(folder: Path, preset: str) -> Path:
    """Write an untrained run in a process of its own, so that this one stays small."""
    code = "import sys; from nr_vqm import presets; from nr_vqm.runs import untrained_run\n"
    code += "untrained_run.write(sys.argv[1], presets.PRESETS[sys.argv[2]], mos_range=(1.0, 5.0), labels='synthetic')"
    subprocess.run([sys.executable, "-c", code, str(folder), preset], check=True)
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("benchmarks.cold_start", __doc__)
    parser.add_argument("--run", type=Path, metavar="RUN", help="a run folder; without an export, one is written to it")
    parser.add_argument("--preset", default="default", choices=presets.PRESETS, help="of the untrained run")
    parser.add_argument("--repeats", type=command_line.positive, default=3, help="processes of each engine")
    parser.add_argument("--frames", type=command_line.positive, default=FRAMES, help="length of the video")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    command_line.run(main)
