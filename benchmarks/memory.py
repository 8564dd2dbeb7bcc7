"""python -m benchmarks.memory: memory that scoring one video needs, compared with the estimate of `work_limits`.

Each size of frames is scored in a process of its own with an untrained run. The memory is the growth of that process
since the models were loaded, and all of the decoder process.
"""

import argparse
import multiprocessing
import os
import re
import resource
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import score
from nr_vqm import command_line, presets
from nr_vqm.video import work_limits

SIZES = {"270p": (270, 480), "540p": (540, 960), "1080p": (1080, 1920), "2160p": (2160, 3840), "8192": (8192, 8192)}


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            height, width = SIZES[size]
            path = Path(folder) / f"{size}.mp4"
            score.write_video(path, (args.frames, height, width))
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                measured, trunk_bytes = pool.apply(measure, (path, SIZES[size], args.preset, Path(folder) / "run"))
            path.unlink()
            estimate = work_limits.needed_bytes(width, height, trunk_bytes=trunk_bytes)
            figures |= {f"gb_{size}": measured / 1e9, f"estimate_over_measured_{size}": estimate / measured}
    command_line.print_figures(figures, limits=dict.fromkeys(_ratios(figures), 1.0), json_path=args.json)


def measure(path: Path, size: tuple[int, int], preset: str, run_dir: Path) -> tuple[int, float]:
    """Score a video; return the bytes of growth and of the decoder, and the estimated bytes of the network.

    Args:
        path: the video.
        size: its height and width.
        preset: name of the preset.
        run_dir: folder for an untrained run.
    """
    import nr_vqm
    from nr_vqm.runs import untrained_run
    from nr_vqm.video import decoder_processes

    if not run_dir.exists():
        untrained_run.write(run_dir, presets.get_preset(preset), mos_range=(1.0, 5.0), labels="synthetic")
    scorer = nr_vqm.load(run_dir, head="svr", device="cpu")
    clip = presets.get_preset(preset)
    scorer.score(np.zeros((clip.clip_frames, clip.clip_size, clip.clip_size, 3), np.uint8))  # compiles the network
    before = _resident()
    scorer.score(path)
    after = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decoder = sum(_peak(worker.process.pid) for worker in decoder_processes._idle)
    return after - before + decoder, scorer.trunk.needed_bytes(*size[::-1])


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _peak(pid: int) -> int:
    """Return the largest resident size of a process so far, in bytes."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return 1024 * int(found[1]) if found else 0


def _ratios(figures: dict[str, float]) -> list[str]:
    return [name for name in figures if name.startswith("estimate")]


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.memory", __doc__)
    parser.add_argument("--preset", default="small", help="preset of the untrained run")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="sizes of the frames (all)")
    parser.add_argument("--frames", type=command_line.positive, default=40, help="frames of each video")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser


if __name__ == "__main__":
    command_line.run(main)
