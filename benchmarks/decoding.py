"""python -m benchmarks.decoding: cost and benefit of decoding in a separate process, and its memory.

For each video: the time to read all frames in this process and through the decoder process, and the time to read and
compute, where computing takes as long as decoding (this needs two processor cores). With --minutes, the first video is
repeated to that length without re-encoding, read, and the peak memory of both processes is printed.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from nr_vqm import command_line
from nr_vqm.video import backends, decoder_processes, reader


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    figures: dict[str, float] = {}
    for path in args.videos:
        figures |= {f"{name}_{Path(path).stem}": value for name, value in compare(path, args.rounds).items()}
    if args.minutes:
        with tempfile.TemporaryDirectory() as folder:
            long = repeat(args.videos[0], Path(folder) / f"long{Path(args.videos[0]).suffix}", args.minutes)
            figures |= memory(long)
    command_line.print_figures(figures, limits={}, json_path=args.json)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.decoding", __doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    parser.add_argument("--rounds", type=command_line.positive, default=5, help="repetitions; the fastest counts (5)")
    parser.add_argument("--minutes", type=float, help="length of the long video")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser


def compare(path: str, rounds: int) -> dict[str, float]:
    """Measure one video: {figure: value}, the fastest of several rounds."""

    def here() -> Iterator[np.ndarray]:
        return backends.read(os.path.abspath(path), raw=None, stream=None, deinterlace=False, warnings=[])

    reader.probe(path)  # starts the decoder process
    times: dict[str, list[float]] = {"here": [], "apart": []}
    for _ in range(rounds):
        times["here"].append(_seconds(here()))
        times["apart"].append(_seconds(reader.read_frames(path)))
    frames, (here_seconds, apart_seconds) = reader.count_frames(path), map(min, times.values())
    work = here_seconds / frames
    both_here = min(_seconds(here(), work) for _ in range(rounds))
    both_apart = min(_seconds(reader.read_frames(path), work) for _ in range(rounds))
    return {
        "ms_a_frame_here": 1000 * here_seconds / frames,
        "ms_a_frame_apart": 1000 * apart_seconds / frames,
        "speedup_with_work": both_here / both_apart,
    }


def _seconds(frames: Iterable[np.ndarray], work: float = 0.0) -> float:
    """Measure the seconds to read all frames, computing for `work` seconds after each."""
    started = time.perf_counter()
    for _ in frames:
        until = time.perf_counter() + work
        while time.perf_counter() < until:
            pass
    return time.perf_counter() - started


def repeat(path: str, out: Path, minutes: float) -> Path:
    """Write a video that repeats another one, by copying its packets."""
    with av.open(str(out), "w") as container:
        stream: Any = None
        offset = 0
        while offset == 0 or float(offset * stream.time_base) < 60 * minutes:
            with av.open(str(path)) as source:
                first: Any = source.streams.video[0]
                stream = stream or container.add_stream_from_template(first)
                step = int((first.duration or 0) + first.start_time)
                packet: Any
                for packet in source.demux(first):
                    if packet.dts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                        container.mux(packet)
                offset += step
    return out


def memory(path: Path) -> dict[str, float]:
    """Measure the peak memory of this process and of the decoder while a long video is read, and their growth."""
    reader.probe(path)
    worker = decoder_processes._idle[-1].process.pid
    peaks: dict[str, list[int]] = {}
    count = 0
    for count, _ in enumerate(reader.read_frames(path), start=1):
        if count % 100 == 1:
            for name, pid in (("reader", "self"), ("decoder", worker)):
                peaks.setdefault(name, []).append(_resident(pid))
    figures = {f"{name}_peak_gb": max(values) / 1e9 for name, values in peaks.items()}
    growth = sum(max(values) - values[min(2, len(values) - 1)] for values in peaks.values())
    return {**figures, "growth_mb": growth / 1e6, "long_frames": count}


def _resident(pid: int | str) -> int:
    """Read the resident memory of a process in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


if __name__ == "__main__":
    command_line.run(main)
