"""python -m benchmarks.real_video: how the score of real video follows VMAF, and how little it depends on other things.

From every clip of a folder it creates the ladders of `benchmarks.real_damage`, measures VMAF of each step against the
clip, and prints Spearman's rank correlation between score and VMAF within each clip and over all. Then it compares the
score of the clip with those of the clip a few frames later, of crops, at half size, and encoded again. All scores are
on 1-5.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

import nr_vqm
from benchmarks import real_damage
from data_prep.contents import vmaf
from nr_vqm import command_line

MOST_FRAMES = 8  # of the shifts
SHIFTS = (1, 3, MOST_FRAMES)  # frames
CROPS = (2, 10, 24)  # pixels from the top and from the left
REENCODED = 35.0  # constant rate factor of x264


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    vmaf.ffmpeg()
    scorer = nr_vqm.load(args.run, head=args.head)
    pairs: list[list[tuple[float, float]]] = []
    changes: dict[str, list[float]] = {}
    for path in real_damage.clips(args.videos):
        try:
            frames = real_damage.read_clip(path, args)
            if len(frames) <= MOST_FRAMES:
                raise ValueError(f"{MOST_FRAMES + 1} frames are needed, found {len(frames)}")
            pairs.append(_against_vmaf(scorer, frames))
            found = _changes(scorer, frames)
        except (ValueError, OSError) as error:
            print(f"{path.name}: skipped: {error}")
            continue
        for name, value in found.items():
            changes.setdefault(name, []).append(value)
        parts = [f"VMAF {_srocc(pairs[-1]):5.2f}", *(f"{name} {value:+.2f}" for name, value in found.items())]
        print(f"{path.name[:40]:40s} {'  '.join(parts)}", flush=True)
    if not pairs:
        raise ValueError(f"At least one readable clip is needed in {args.videos}.")
    figures = {
        "vmaf_within_clips": float(np.mean([_srocc(one) for one in pairs])),
        "vmaf_over_all": _srocc([pair for one in pairs for pair in one]),
        **{f"mean_{name}": float(np.mean(values)) for name, values in changes.items()},
        **{f"largest_{name}": float(np.abs(values).max()) for name, values in changes.items()},
        "clips": len(pairs),
    }
    command_line.print_figures(figures, limits={"vmaf_within_clips": 0.9}, json_path=args.json)


def _parser() -> argparse.ArgumentParser:
    parser = real_damage.new_parser("python -m benchmarks.real_video", __doc__)
    parser.set_defaults(frames=48)
    return parser


def _srocc(pairs: list[tuple[float, float]]) -> float:
    """Compute Spearman's rank correlation of (score, VMAF); 0 where either is constant."""
    from scipy.stats import spearmanr

    scores, values = zip(*pairs, strict=True)
    if len(set(scores)) == 1 or len(set(values)) == 1:
        return 0.0
    return float(spearmanr(scores, values).statistic)


def _against_vmaf(scorer: Any, frames: np.ndarray) -> list[tuple[float, float]]:
    """Return (score, VMAF) of all steps of all ladders."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        reference, distorted = Path(folder, "reference.mkv"), Path(folder, "distorted.mkv")
        _write(reference, frames)
        for ladder, steps in real_damage.LADDERS.items():
            for step in steps:
                changed = real_damage.DISTORTIONS[ladder](frames, step)
                _write(distorted, changed)
                found.append((scorer.score(changed).quality, vmaf.measure(distorted, reference)))
    return found


def _write(path: Path, frames: np.ndarray) -> None:
    """Write frames as lossless 4:2:0 video."""
    with av.open(path, "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())


def _changes(scorer: Any, frames: np.ndarray) -> dict[str, float]:
    """Return the change of the score on 1-5 by each change of the clip; of shifts and crops the largest one."""
    kept = len(frames) - MOST_FRAMES
    start = scorer.score(frames[:kept]).quality
    shifted = [scorer.score(frames[shift : shift + kept]).quality - start for shift in SHIFTS]
    whole = scorer.score(frames).quality
    cropped = [scorer.score(frames[:, crop:, crop:]).quality - whole for crop in CROPS]
    half = np.stack([cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for frame in frames])
    return {
        "shifted": max(shifted, key=abs),
        "cropped": max(cropped, key=abs),
        "half_size": scorer.score(half).quality - whole,
        "encoded_again": scorer.score(real_damage.encode(frames, REENCODED)).quality - whole,
    }


if __name__ == "__main__":
    command_line.run(main)
