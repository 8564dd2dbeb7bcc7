"""python -m benchmarks.memory: memory, seconds and share of peak of scoring one video, by the size of its frames.

Each size of frames is scored in a process of its own with an untrained run. The memory is the growth of that process
since the models were loaded, and all of the decoder process; it is compared with the estimate of `work_limits`. The
share is that of the fastest matrix product; decoding and fully connected layers are included.
"""

import argparse
import itertools
import math
import multiprocessing
import os
import re
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import score
from nr_vqm import command_line, presets
from nr_vqm.models import network_sizes, trunk_regions
from nr_vqm.video import clips, work_limits

SIZES = {"270p": (270, 480), "540p": (540, 960), "1080p": (1080, 1920), "2160p": (2160, 3840), "8192": (8192, 8192)}


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            height, width = SIZES[size]
            path = Path(folder) / f"{size}.mp4"
            score.write_video(path, (args.frames, height, width))
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.apply(measure, (path, args.preset, Path(folder) / "run"))
            path.unlink()
            print(f"{size}: " + ", ".join(f"{name} {value:.3g}" for name, value in found.items()), flush=True)
            figures |= {f"{name}_{size}": value for name, value in found.items()}
    command_line.print_figures(figures, limits=dict.fromkeys(_ratios(figures), 1.0), json_path=args.json)


def measure(path: Path, preset: str, run_dir: Path) -> dict[str, float]:
    """Score a video and return the figures.

    Args:
        path: the video.
        preset: name of the preset.
        run_dir: folder for an untrained run.
    """
    import nr_vqm
    from nr_vqm.runs import untrained_run
    from nr_vqm.video import decoder_processes

    if not run_dir.exists():
        untrained_run.write(run_dir, presets.get_preset(preset), mos_range=(1.0, 5.0), labels="synthetic")
    scorer = nr_vqm.load(run_dir, head="svr", device="cpu")
    values = presets.get_preset(preset)
    scorer.score(np.zeros((values.clip_frames, values.clip_size, values.clip_size, 3), np.uint8))  # compiles
    before, started = _resident(), time.perf_counter()
    found = scorer.score(path)
    seconds = time.perf_counter() - started
    after = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decoder = sum(_peak(worker.process.pid) for worker in decoder_processes._idle)
    needed = after - before + decoder
    trunk_bytes = scorer.trunk.needed_bytes(found.width, found.height)
    estimate = work_limits.needed_bytes(found.width, found.height, model_bytes=trunk_bytes)
    gflops = 2e-9 * multiply_adds(values, found.grid) / seconds
    return {
        "seconds": seconds,
        "gb": needed / 1e9,
        "estimate_over_measured": estimate / needed,
        "gflops": gflops,
        "peak_share": gflops / score.matrix_gflops(scorer.precision),
    }


def multiply_adds(preset: presets.Preset, grid: clips.ClipGrid) -> int:
    """Count the multiply-adds of the 3D-CNN for one video: its shared trunk, and the fully connected layers."""
    clip = network_sizes.trunk_shapes(preset.clip_frames, preset.clip_size, preset.clip_size, preset.convs)[-1]
    widths = (math.prod(clip), *preset.fc_dims, 1)
    head = sum(one * following for one, following in itertools.pairwise(widths))
    return trunk_regions.plan(grid, preset.convs).multiply_adds + grid.num_clips * head


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
