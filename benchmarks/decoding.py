"""python -m benchmarks.decoding: what decoding in a process of its own costs and saves, and its memory.

For each video: seconds to read all frames in this process and through the decoder process, and seconds to read and
compute, where computing takes as long as decoding (a processor is needed for each). With --minutes, the first video
is repeated without encoding it again to that length, read, and the memory of both processes is printed.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from nr_vqm import command_line


def main(argv=None):
    args = _parser().parse_args(argv)
    figures = {}
    for path in args.videos:
        figures |= {f"{name}_{Path(path).stem}": value for name, value in compare(path, args.rounds).items()}
    if args.minutes:
        with tempfile.TemporaryDirectory() as folder:
            long = repeat(args.videos[0], Path(folder) / f"long{Path(args.videos[0]).suffix}", args.minutes)
            figures |= memory(long)
    command_line.print_figures(figures, limits={}, json_path=args.json)


def _parser():
    parser = command_line.new_parser("python -m benchmarks.decoding", __doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("videos", nargs="+", metavar="VIDEO")
    parser.add_argument("--rounds", type=command_line.positive, default=5, help="the fastest of so many counts (5)")
    parser.add_argument("--minutes", type=float, help="length of the long video")
    parser.add_argument("--json", help="write the figures there")
    return parser


def compare(path, rounds):
    """{figure: value} of one video; the fastest of several rounds."""
    from nr_vqm.video import backends, reader

    def here():
        return backends.read(os.path.abspath(path), raw=None, warnings=[])

    reader.probe(path)  # starts the process
    times = {"here": [], "apart": []}
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


def _seconds(frames, work=0.0):
    """Seconds to read all frames, computing for `work` seconds after each."""
    began = time.perf_counter()
    for _ in frames:
        until = time.perf_counter() + work
        while time.perf_counter() < until:
            pass
    return time.perf_counter() - began


def repeat(path, out, minutes):
    """Write a video that is another one again and again, its packets copied."""
    import av

    with av.open(str(out), "w") as container:
        stream, offset = None, 0
        while offset == 0 or float(offset * stream.time_base) < 60 * minutes:
            with av.open(str(path)) as source:
                first = source.streams.video[0]
                stream = stream or container.add_stream_from_template(first)
                step = int((first.duration or 0) + first.start_time)
                for packet in source.demux(first):
                    if packet.dts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                        container.mux(packet)
                offset += step
    return out


def memory(path):
    """Peak memory while a long video is read, in gigabytes: this process, the decoder's, and their growth."""
    from nr_vqm.video import decoder_processes, reader

    reader.probe(path)
    worker = decoder_processes._idle[-1].process.pid
    peaks = {}
    for number, _ in enumerate(reader.read_frames(path)):
        if number % 100 == 0:
            for name, pid in (("reader", "self"), ("decoder", worker)):
                peaks.setdefault(name, []).append(_resident(pid))
    figures = {f"{name}_peak_gb": max(values) / 1e9 for name, values in peaks.items()}
    growth = sum(max(values) - values[min(2, len(values) - 1)] for values in peaks.values())
    return {**figures, "growth_mb": growth / 1e6, "long_frames": number + 1}


def _resident(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS"))


if __name__ == "__main__":
    command_line.run(main)
