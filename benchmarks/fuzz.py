"""python -m benchmarks.fuzz: damaged files are scored, warned about or refused, each within its time limit.

Makes tiny videos in seven codecs, damages copies of them (truncated, flipped bytes, zero-filled, header only; seeded),
and scores each with a run of the preset `tiny`, untrained and made here. Anything else than a score or a refusal with
its reason is a failure; so is a file that takes longer than --seconds.
"""

import argparse
import collections
import tempfile
import time
from pathlib import Path

import numpy as np

from nr_vqm import command_line

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


def main(argv=None):
    args = _parser().parse_args(argv)
    from nr_vqm.common import devices

    devices.start(hide_startup_lines=True)
    with tempfile.TemporaryDirectory() as folder:
        results = list(run(Path(folder), num_files=args.files, seed=args.seed, seconds=args.seconds, keep=args.keep))
    report(results)
    figures = summary(results)
    command_line.print_figures(figures, limits={"files": args.files}, json_path=args.json)
    return command_line.EXIT_FAILED if figures["failed"] else 0


def _parser():
    parser = command_line.new_parser("python -m benchmarks.fuzz", __doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--files", type=command_line.positive, default=2000, help="how many damaged files (2000)")
    parser.add_argument("--seed", type=int, default=0, help="another one damages other places (0)")
    parser.add_argument("--seconds", type=float, default=20, help="the time limit of one file (20)")
    parser.add_argument("--keep", metavar="DIR", help="copy the files that failed there")
    parser.add_argument("--json", help="write the figures there")
    return parser


def run(folder, *, num_files, seed, seconds, keep=None):
    """Damage and score.

    Args:
        folder: an empty folder to work in.
        num_files, seed: what is damaged; file number i depends on (seed, i) only.
        seconds: a file that takes longer has failed.
        keep: a folder for copies of the files that failed, or None.

    Yields:
        (codec, kind of damage, outcome, seconds, message) of each file.
    """
    import nr_vqm
    from nr_vqm import presets
    from nr_vqm.runs import untrained_run

    untrained_run.write(folder / "run", presets.PRESETS["tiny"], mos_range=(1.0, 5.0), labels="synthetic")
    scorer = nr_vqm.load(folder / "run")
    sources = {
        name: make_video(folder / f"{name}.{container}", encoder) for name, (encoder, container) in CODECS.items()
    }
    for number in range(num_files):
        codec = list(CODECS)[number % len(CODECS)]
        kind = DAMAGE[number // len(CODECS) % len(DAMAGE)]
        path = folder / f"{number}.{CODECS[codec][1]}"
        path.write_bytes(damaged(sources[codec], kind, np.random.default_rng([seed, number])))
        began = time.monotonic()
        outcome, message = _score(scorer, path)
        took = time.monotonic() - began
        if took > seconds:
            outcome, message = "failed", f"took {took:.1f} seconds; {message}"
        if outcome == "failed":
            print(f"FAILED {codec} {kind} {number}: {message}", flush=True)
            if keep:
                Path(keep).mkdir(parents=True, exist_ok=True)
                (Path(keep) / path.name).write_bytes(path.read_bytes())
        path.unlink()
        yield codec, kind, outcome, took, message


def _score(scorer, path):
    """(outcome, message) of one file; whatever is raised but a refusal has failed."""
    try:
        score = scorer.score(path)
    except (ValueError, OSError) as error:
        return ("refused", str(error)) if str(error).strip() else ("failed", repr(error))
    except Exception as error:
        return "failed", repr(error)
    if not (np.isfinite(score.mos) and score.frames > 0):
        return "failed", f"a score of {score.mos} from {score.frames} frames"
    return ("warned", "; ".join(score.warnings)) if score.warnings else ("scored", "")


def damaged(data, kind, rng):
    """A damaged copy of a file's bytes.

    Args:
        data: bytes.
        kind: of DAMAGE.
        rng: numpy Generator.
    """
    data, size = bytearray(data), len(data)
    if kind == "truncated":
        return bytes(data[: rng.integers(1, size)])
    if kind == "header":
        return bytes(data[: rng.integers(0, min(size, 1500))])
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


def make_video(path, encoder):
    """Write a tiny video of a moving bar on noise; its bytes."""
    import os

    os.environ.setdefault("SVT_LOG", "1")
    import av

    rng = np.random.default_rng(0)
    options = {"movflags": "faststart"} if encoder == "libx264" else {}  # else a cut mp4 has no header at all
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(encoder, rate=25)
        stream.height, stream.width = HEIGHT, WIDTH
        stream.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
        stream.options = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
        for number in range(NUM_FRAMES):
            picture = rng.integers(60, 120, (HEIGHT, WIDTH, 3), np.uint8)
            picture[:, 4 * number : 4 * number + 20] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def report(results):
    """Print outcomes by codec and kind of damage."""
    counts = collections.Counter((codec, kind, outcome) for codec, kind, outcome, _, _ in results)
    print(f"{'':6s} {'':10s} " + " ".join(f"{outcome:>8s}" for outcome in OUTCOMES))
    for codec in CODECS:
        for kind in DAMAGE:
            print(f"{codec:6s} {kind:10s} " + " ".join(f"{counts[codec, kind, outcome]:8d}" for outcome in OUTCOMES))


def summary(results):
    """{figure: value}: numbers of outcomes, decoder crashes, silently scored truncated files, seconds."""
    figures = {"files": len(results)}
    figures.update({outcome: sum(one[2] == outcome for one in results) for outcome in OUTCOMES})
    figures["decoder_died"] = sum("crashed" in one[4] or "did not respond" in one[4] for one in results)
    figures["truncated_silent"] = sum(one[1] == "truncated" and one[2] == "scored" for one in results)
    figures["slowest_seconds"] = max(one[3] for one in results)
    figures["seconds"] = sum(one[3] for one in results)
    return figures


if __name__ == "__main__":
    command_line.run(main)
