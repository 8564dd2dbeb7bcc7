"""python -m benchmarks.rivals: measure the computing time of each hand-crafted method and of its parts.

Times are CPU seconds of one core in this process, on the first videos of a folder; decoding runs in another process and
is not included. The time limits are for videos of 8 seconds of 960 x 540 pixels. CORNIA uses a codebook of random
words, which takes as long as a learned one.
"""

import cProfile
import pstats
import time
from collections.abc import Sequence
from pathlib import Path

import cv2

from benchmarks.rival_methods import MEASURED, run
from nr_vqm import command_line
from nr_vqm.handcrafted import methods
from nr_vqm.handcrafted.frame_sampling import sampled_frames
from nr_vqm.video import reader


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    parser = command_line.new_parser("python -m benchmarks.rivals", __doc__)
    parser.add_argument("--videos", required=True, help="folder of videos; the time limits assume KoNViD-1k")
    parser.add_argument(
        "--count",
        type=command_line.positive,
        default=3,
        help="number of videos to measure, the first of the folder (3)",
    )
    parser.add_argument(
        "--methods", nargs="+", metavar="METHOD", help="methods to measure, for example brisque niqe (all)"
    )
    parser.add_argument("--json", help="write the measured times to this file")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    names, paths = args.methods or list(MEASURED), usable_videos(args.videos)[: args.count]
    for name in names:
        methods.get(name)
    if not paths:
        raise ValueError(f"A video of at least 96x96 that declares a frame rate is needed, {args.videos} has none.")
    seconds = {}
    for name in names:
        seconds[name] = measure(name, paths)
        print_profile(name, paths[0])
    units = {name: "frame" if MEASURED[name].per_frame else "video" for name in names}
    figures = {f"{name}_seconds_a_{units[name]}": seconds[name] for name in names}
    command_line.print_figures(figures, limits={}, json_path=args.json)
    for name in names:
        limit = MEASURED[name].limit
        print(f"{name} under {limit:g} s per {units[name]}: {'yes' if seconds[name] < limit else 'NO'}")


def usable_videos(folder: str) -> list[Path]:
    """Return the videos directly inside a folder that all methods can read."""
    found = []
    for path in reader.list_videos(folder):
        if path.parent != Path(folder):
            continue
        try:
            info = reader.probe(path)
        except ValueError:
            continue
        if min(info.width, info.height) >= 96 and info.fps and info.expected:
            found.append(path)
    return found


def measure(name: str, paths: list[Path]) -> float:
    """Return the mean CPU seconds of a method per sampled frame or per video (`Measurement.per_frame`)."""
    infos = [reader.probe(path) for path in paths]
    frames = sum(len(sampled_frames(info.expected, info.fps)) for info in infos)
    start = time.process_time()
    for path in paths:
        run(name, path)
    return (time.process_time() - start) / (frames if MEASURED[name].per_frame else len(paths))


def print_profile(name: str, path: Path) -> None:
    """Print the share of each part of a method in its CPU time for one video."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(run, name, path)
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]  # missing from the type stubs
    total = sum(own for _, _, own, _, _ in stats.values())
    print(f"{name}, share of the CPU time of")
    for part in MEASURED[name].parts:
        code = part.__code__
        place = (code.co_filename, code.co_firstlineno, code.co_name)
        share = stats[place][3] / total if place in stats else 0
        print(f"  {part.__module__.rpartition('.')[2]}.{part.__qualname__}: {share:.0%}")


if __name__ == "__main__":
    command_line.run(main)
