"""python -m benchmarks.real_damage: test whether the score of real video falls with the strength of a distortion.

From every clip of a folder it creates four ladders - H.264 at six rates, and out-of-focus blur, sensor noise and
rescaling in four steps each - scores each step with the run, and prints Spearman's rank correlation between the
strength of the distortion and the negative score for each clip and ladder. The limits are 0.95 for the mean and 0.85
for each ladder.
"""

import argparse
import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

import nr_vqm
from nr_vqm import command_line
from nr_vqm.models import head_table
from nr_vqm.video import reader

LADDERS: dict[str, tuple[float, ...]] = {
    "h264": (22, 27, 32, 37, 42, 47),  # constant rate factor of x264
    "blur": (0.8, 1.5, 3.0, 6.0),  # standard deviation in pixels
    "noise": (4, 8, 16, 32),  # standard deviation in 8-bit values, independent in each channel
    "scale": (1.5, 2.5, 4.0, 6.0),  # factor of downscaling, before upscaling to the original size
}


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    scorer = nr_vqm.load(args.run, head=args.head)
    rows = {}
    for path in clips(args.videos):
        try:
            frames = read_clip(path, args)
            rows[path.name] = {name: correlation(scorer, frames, name) for name in LADDERS}
        except (ValueError, OSError) as error:
            print(f"{path.name}: skipped: {error}")
            continue
        print(f"{path.name[:40]:40s} " + "  ".join(f"{k} {v:5.2f}" for k, v in rows[path.name].items()), flush=True)
    if not rows:
        raise ValueError(f"At least one readable clip is needed in {args.videos}.")
    figures = {name: float(np.mean([row[name] for row in rows.values()])) for name in LADDERS}
    figures["mean"] = float(np.mean(list(figures.values())))
    figures["lowest"] = min(value for row in rows.values() for value in row.values())
    figures["clips"] = len(rows)
    limits = {"mean": 0.95, **dict.fromkeys(LADDERS, 0.85)}
    command_line.print_figures(figures, limits=limits, json_path=args.json)


def _parser() -> argparse.ArgumentParser:
    return new_parser("python -m benchmarks.real_damage", __doc__)


def new_parser(prog: str, description: str | None) -> argparse.ArgumentParser:
    """Create the parser of a benchmark that scores the clips of a folder."""
    parser = command_line.new_parser(prog, description)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--videos", required=True, help="a folder of clips; its subfolders are ignored")
    parser.add_argument("--run", required=True, help="a run folder with trained models")
    parser.add_argument(
        "--head", choices=head_table.SCORERS, help="the head that scores (default: that of the export, or lstm)"
    )
    parser.add_argument(
        "--frames", type=command_line.positive, default=32, help="first frames of each clip that are scored (32)"
    )
    parser.add_argument("--rows", type=command_line.positive, default=540, help="height of the central crop (540)")
    parser.add_argument("--columns", type=command_line.positive, default=960, help="width of the central crop (960)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser


def clips(videos: str) -> list[Path]:
    """List the videos of a folder, without its subfolders."""
    folder = Path(videos)
    if not folder.is_dir():
        raise FileNotFoundError(f"A folder of clips is needed, there is no folder {folder}.")
    return [path for path in reader.list_videos(folder) if path.parent == folder]


def read_clip(path: Path, args: argparse.Namespace) -> np.ndarray:
    """Read the central crop of the first frames of a clip: uint8 RGB, with even height and width."""
    frames = np.stack([_middle(frame, args.rows, args.columns) for frame in
                       itertools.islice(reader.read_frames(path), args.frames)] or [np.empty((0, 0, 3))])  # fmt: skip
    if not frames.size:
        raise ValueError("no frame can be decoded")
    return frames


def _middle(frame: np.ndarray, rows: int, columns: int) -> np.ndarray:
    height, width = min(rows, frame.shape[0]) // 2 * 2, min(columns, frame.shape[1]) // 2 * 2
    top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return frame[top : top + height, left : left + width].copy()


def correlation(scorer: Any, frames: np.ndarray, ladder: str) -> float:
    """Compute the Spearman correlation between the steps of one ladder and the negative score; 1 is perfect."""
    from scipy.stats import spearmanr

    scores = [scorer.score(DISTORTIONS[ladder](frames, step)).quality for step in LADDERS[ladder]]
    if len(set(scores)) == 1:
        return 0.0  # the score does not depend on the distortion
    return float(spearmanr(range(len(scores)), [-score for score in scores]).statistic)


def encode(frames: np.ndarray, crf: float) -> np.ndarray:
    """Encode as H.264 at a constant rate factor, and decode."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": str(crf), "preset": "medium"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer, "r") as coded:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in coded.decode(video=0)])


def blur(frames: np.ndarray, sigma: float) -> np.ndarray:
    """Apply Gaussian out-of-focus blur."""
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def add_noise(frames: np.ndarray, sigma: float) -> np.ndarray:
    """Add independent Gaussian noise, the same in every run of the benchmark."""
    rng = np.random.default_rng(0)
    noisy = (frame + rng.normal(0, sigma, frame.shape).astype(np.float32) for frame in frames)
    return np.stack([np.clip(np.rint(frame), 0, 255).astype(np.uint8) for frame in noisy])


def rescale(frames: np.ndarray, factor: float) -> np.ndarray:
    """Downscale by area averaging and upscale by cubic interpolation."""
    height, width = frames.shape[1:3]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    down = (cv2.resize(frame, small, interpolation=cv2.INTER_AREA) for frame in frames)
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC) for frame in down])


DISTORTIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "h264": encode,
    "blur": blur,
    "noise": add_noise,
    "scale": rescale,
}


if __name__ == "__main__":
    command_line.run(main)
