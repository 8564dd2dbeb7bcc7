"""python -m benchmarks.rivals: what each hand-crafted method costs, by part.

Seconds of one core in this process (decoding runs in another), on the first videos of a folder; the targets are for
8 seconds of 960 x 540. CORNIA runs with a codebook of noise, which takes as long as a learned one.
"""

import cProfile
import time
from pathlib import Path

from nr_vqm import command_line


def main(argv=None):
    """The command; see `--help`."""
    parser = command_line.new_parser("python -m benchmarks.rivals", __doc__)
    parser.add_argument("--videos", required=True, help="a folder of videos, KoNViD-1k's for the targets")
    parser.add_argument("--count", type=command_line.positive, default=3, help="its first so many are measured (3)")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="some of them, for example brisque niqe (all)")
    parser.add_argument("--json", help="write the figures there")
    args = parser.parse_args(argv)
    import cv2
    from threadpoolctl import threadpool_limits

    from benchmarks.rival_methods import METHODS

    cv2.setNumThreads(1)
    names, paths = args.methods or list(METHODS), usable(args.videos)[: args.count]
    if unknown := [name for name in names if name not in METHODS]:
        raise ValueError(f"Unknown method {unknown[0]!r}. Choose from: {', '.join(METHODS)}.")
    if not paths:
        raise ValueError(f"A video of at least 96x96 that declares a rate is needed, {args.videos} has none.")
    seconds = {}
    with threadpool_limits(1):
        for name in names:
            seconds[name] = measure(METHODS[name], paths)
            print_profile(name, METHODS[name], paths[0])
    units = {name: "frame" if METHODS[name].per_frame else "video" for name in names}
    figures = {f"{name}_seconds_a_{units[name]}": seconds[name] for name in names}
    command_line.print_figures(figures, limits={}, json_path=args.json)
    for name in names:
        target = METHODS[name].target
        print(f"{name} under {target:g} s a {units[name]}: {'yes' if seconds[name] < target else 'NO'}")


def usable(folder: str) -> list[Path]:
    """The videos of a folder, not of folders inside it, that all methods can read."""
    from nr_vqm.video import reader

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


def measure(method, paths: list[Path]) -> float:
    """Seconds of one core for a sampled frame or for a video, the mean over videos."""
    from nr_vqm.handcrafted.frame_sampling import sampled_frames
    from nr_vqm.video import reader

    infos = [reader.probe(path) for path in paths]
    frames = sum(len(sampled_frames(info.expected, info.fps)) for info in infos)
    began = time.process_time()
    for path in paths:
        method.run(path)
    return (time.process_time() - began) / (frames if method.per_frame else len(paths))


def print_profile(name: str, method, path: Path) -> None:
    """The shares of a method's parts in its time for one video."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(method.run, path)
    profile.create_stats()
    total = sum(own for _, _, own, _, _ in profile.stats.values())
    print(f"{name}, shares of")
    for part in method.parts:
        code = part.__code__
        place = (code.co_filename, code.co_firstlineno, code.co_name)
        share = profile.stats[place][3] / total if place in profile.stats else 0
        print(f"  {part.__module__.rpartition('.')[2]}.{part.__qualname__}: {share:.0%}")


if __name__ == "__main__":
    command_line.run(main)
