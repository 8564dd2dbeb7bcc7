"""python -m benchmarks.fuzz: damaged files are scored, warned about or refused, each within its time limit.

Creates small videos in seven codecs, damages copies of them (truncated, flipped bytes, zero-filled, header only; by a
seed), and scores each with an untrained run of the preset `tiny`. Any result other than a score or an error with a
reason is a failure; so is a file that takes longer than --seconds.
"""

import argparse
import collections
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import nr_vqm
from nr_vqm import command_line, presets
from nr_vqm.common import devices

CODECS = {
    "h264": ("libx264", "mp4"),
    "h265": ("libx265", "mp4"),
    "vp9": ("libvpx-vp9", "webm"),
    "av1": ("libsvtav1", "mkv"),
    "mjpeg": ("mjpeg", "avi"),
    "mpeg4": ("mpeg4", "avi"),
    "mpeg2": ("mpeg2video", "ts"),
}
DAMAGE = ("truncated", "flipped", "zeroed", "header")
OUTCOMES = ("scored", "warned", "refused", "failed")
NUM_FRAMES, HEIGHT, WIDTH = 24, 96, 128

Result = tuple[str, str, str, float, str]  # codec, type of damage, outcome, seconds, message


def main(argv: list[str] | None = None) -> int:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    devices.start(hide_startup_lines=True)
    with tempfile.TemporaryDirectory() as folder:
        results = list(run(Path(folder), num_files=args.files, seed=args.seed, seconds=args.seconds, keep=args.keep))
    report(results)
    figures = summary(results)
    command_line.print_figures(figures, limits={"files": args.files}, json_path=args.json)
    return command_line.EXIT_FAILED if figures["failed"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.fuzz", __doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--files", type=command_line.positive, default=2000, help="number of damaged files (2000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the damage (0)")
    parser.add_argument("--seconds", type=float, default=20, help="time limit for one file (20)")
    parser.add_argument("--keep", metavar="DIR", help="copy the files that failed to this folder")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser


def run(folder: Path, *, num_files: int, seed: int, seconds: float, keep: str | None = None) -> Iterator[Result]:
    """Damage and score files.

    Args:
        folder: an empty folder for temporary files.
        num_files: number of damaged files.
        seed: seed of the damage; that of file number i depends on (seed, i) only.
        seconds: time limit; a file that takes longer has failed.
        keep: a folder for copies of the files that failed, or None.

    Yields:
        (codec, type of damage, outcome, seconds, message) of each file.
    """
    from nr_vqm.runs import untrained_run

    untrained_run.write(folder / "run", presets.PRESETS["tiny"], mos_range=(1.0, 5.0), labels="people")
    scorer = nr_vqm.load(folder / "run")
    sources = {
        name: make_video(folder / f"{name}.{container}", encoder) for name, (encoder, container) in CODECS.items()
    }
    for number in range(num_files):
        codec = list(CODECS)[number % len(CODECS)]
        kind = DAMAGE[number // len(CODECS) % len(DAMAGE)]
        path = folder / f"{number}.{CODECS[codec][1]}"
        path.write_bytes(damaged(sources[codec], kind, np.random.default_rng([seed, number])))
        started = time.monotonic()
        outcome, message = _score(scorer, path)
        took = time.monotonic() - started
        if took > seconds:
            outcome, message = "failed", f"took {took:.1f} seconds; {message}"
        if outcome == "failed":
            print(f"FAILED {codec} {kind} {number}: {message}", flush=True)
            if keep:
                Path(keep).mkdir(parents=True, exist_ok=True)
                (Path(keep) / path.name).write_bytes(path.read_bytes())
        path.unlink()
        yield codec, kind, outcome, took, message


def _score(scorer: Any, path: Path) -> tuple[str, str]:
    """Score one file: (outcome, message). An exception other than ValueError and OSError is a failure."""
    try:
        score = scorer.score(path)
    except (ValueError, OSError) as error:
        return ("refused", str(error)) if str(error).strip() else ("failed", repr(error))
    except Exception as error:
        return "failed", repr(error)
    if not (np.isfinite(score.score) and score.frames > 0):
        return "failed", f"a score of {score.score} from {score.frames} frames"
    return ("warned", "; ".join(score.warnings)) if score.warnings else ("scored", "")


def damaged(original: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Return a damaged copy of the content of a file.

    Args:
        original: content of the file.
        kind: type of damage, one of DAMAGE.
        rng: draws the positions and the values.
    """
    data, size = bytearray(original), len(original)
    if kind == "truncated":
        return original[: rng.integers(1, size)]
    if kind == "header":
        return original[: rng.integers(0, min(size, 1500))]
    if kind == "flipped":
        # Half of them near the start, where the headers are.
        places = rng.integers(0, size if rng.random() < 0.5 else min(size, 1500), rng.integers(1, 30))
        for place in places:
            data[place] ^= int(rng.integers(1, 256))
    else:
        start = int(rng.integers(0, size))
        end = min(size, start + int(rng.integers(1, size)))
        data[start:end] = bytes(end - start)
    return bytes(data)


def make_video(path: Path, encoder: str) -> bytes:
    """Write a small video of a moving bar on noise, and return the content of the file."""
    os.environ.setdefault("SVT_LOG", "1")
    import av  # after the variable that silences SVT-AV1

    rng = np.random.default_rng(0)
    options = (
        {"movflags": "faststart"} if encoder == "libx264" else {}
    )  # otherwise a truncated mp4 has no header at all
    with av.open(str(path), "w", options=options) as container:
        stream: Any = container.add_stream(encoder, rate=25)
        stream.height, stream.width = HEIGHT, WIDTH
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        stream.options = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
        for number in range(NUM_FRAMES):
            frame = rng.integers(60, 120, (HEIGHT, WIDTH, 3), np.uint8)
            frame[:, 4 * number : 4 * number + 20] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def report(results: list[Result]) -> None:
    """Print the number of outcomes by codec and type of damage."""
    counts = collections.Counter((codec, kind, outcome) for codec, kind, outcome, _, _ in results)
    print(f"{'':6s} {'':10s} " + " ".join(f"{outcome:>8s}" for outcome in OUTCOMES))
    for codec in CODECS:
        for kind in DAMAGE:
            print(f"{codec:6s} {kind:10s} " + " ".join(f"{counts[codec, kind, outcome]:8d}" for outcome in OUTCOMES))


def summary(results: list[Result]) -> dict[str, float]:
    """Count the outcomes, decoder crashes and truncated files scored without a warning; add the seconds."""
    figures: dict[str, float] = {"files": len(results)}
    figures.update({outcome: sum(one[2] == outcome for one in results) for outcome in OUTCOMES})
    figures["decoder_died"] = sum("crashed" in one[4] or "did not respond" in one[4] for one in results)
    figures["truncated_silent"] = sum(one[1] == "truncated" and one[2] == "scored" for one in results)
    figures["slowest_seconds"] = max(one[3] for one in results)
    figures["seconds"] = sum(one[3] for one in results)
    return figures


if __name__ == "__main__":
    command_line.run(main)
