"""python -m benchmarks.score: speed of the shared trunk, compared with clip by clip and with the machine's peak.

Scores synthetic H.264 videos (or a real one) with untrained weights; the time includes decoding, convolutions and
fully connected layers. Both variants run in the machine's best precision and give the same clip qualities. The peak
is the fastest of several matrix products in that precision, measured before and after.
"""

import argparse
import dataclasses
import itertools
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from nr_vqm import command_line, presets
from nr_vqm.common import devices
from nr_vqm.video import clips, reader

SIZES = {"540p": (240, 540, 960), "1080p": (300, 1080, 1920)}  # frames, height, width
CLIP_BATCH = 8  # clips per call without a shared trunk: more is not faster
LIMITS = {"speedup_540p": 3.2, "peak_share_540p": 0.85}
MAXIMA = {"peak_memory_gb_540p": 3.0, "small_540p_seconds": 5.0}


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    if args.quick:
        args.frames, args.every = args.frames or 48, args.every or 16
    devices.start(hide_startup_lines=True)
    precision = devices.best_precision()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = {size: Path(folder) / f"{size}.mp4" for size in args.sizes}
        for size, path in paths.items():
            write_video(path, _shortened(size, args.frames))
        if args.video:
            paths["540p"] = Path(args.video)
        for size, path in paths.items():
            # All of 1080p clip by clip would take minutes, for the same result.
            every = args.every or (1 if size == "540p" else 8)
            found = measure(path, args.preset, precision, frames=_shortened(size, args.frames)[0], every=every)
            figures |= {f"{name}_{size}": value for name, value in found.items()}
        if "540p" in paths:
            frames = _shortened("540p", args.frames)[0]
            figures["small_540p_seconds"] = small_seconds(paths["540p"], precision, frames=frames)
    command_line.print_figures(figures, limits=LIMITS, json_path=args.json)
    for name in (name for name in MAXIMA if name in figures):
        print(f"{name} under {MAXIMA[name]:g}: {'yes' if figures[name] < MAXIMA[name] else 'NO'}")


def measure(path: Path, preset: str, precision: str, *, frames: int, every: int) -> dict[str, float]:
    """Measure one video with the shared trunk and clip by clip: seconds, multiply-adds, share of the peak, memory.

    Args:
        path: the video.
        preset: name of the preset.
        precision: a Keras dtype policy.
        frames: number of frames to read.
        every: clip by clip, compute one of so many groups and scale the time up.
    """
    from nr_vqm.models import cnn3d, keras_engine, trunk_regions

    model, grid = build(preset, precision), plan_grid(preset, path, frames)
    shared = keras_engine.shared_trunk(model)
    shared.run(read(path, grid.starts[1] + grid.clip_frames), dataclasses.replace(grid, starts=grid.starts[:2]))
    peaks = [matrix_gflops(precision)]
    outputs, seconds, memory_gb = timed(lambda: shared.run(read(path, frames), grid))
    peaks.append(matrix_gflops(precision))
    sampled = dataclasses.replace(grid, starts=grid.starts[::every])
    quality, clip_seconds = clip_by_clip(model, path, frames, sampled, scale=len(grid.starts) / len(sampled.starts))
    trunk_work, head_work = cnn3d.clip_multiply_adds(model)
    work = trunk_regions.plan(grid, shared.convs).multiply_adds + grid.num_clips * head_work
    gflops = 2e-9 * work / seconds
    how = f"{len(sampled.starts)} of {len(grid.starts)} groups timed" + (" and scaled up" if every > 1 else "")
    print(f"{path.name}: {frames} frames; clip by clip {how}", flush=True)
    return {
        "seconds": seconds,
        "clip_seconds_from_sample" if every > 1 else "clip_seconds": clip_seconds,
        "speedup": clip_seconds / seconds,
        "count_ratio": grid.num_clips * (trunk_work + head_work) / work,
        "gflops": gflops,
        "peak_gflops": max(peaks),
        "peak_share": gflops / max(peaks),
        "peak_memory_gb": memory_gb,
        "difference": float(np.abs(outputs.clip_quality[::every] - quality).max()),
    }


def clip_by_clip(
    model: Any, path: Path, frames: int, grid: clips.ClipGrid, *, scale: float
) -> tuple[np.ndarray, float]:
    """Compute (clip quality (groups, blocks), seconds) without sharing; `scale` multiplies the seconds of computing."""
    import keras
    from keras import ops

    from nr_vqm.models import cnn3d, shared_trunk

    convolve = devices.compiled(keras.Model(model.input, model.get_layer("flatten").output))
    head = devices.compiled(cnn3d.fully_connected_part(model))
    first = np.zeros((CLIP_BATCH, grid.clip_frames, grid.clip_size, grid.clip_size, 3), np.uint8)
    head(convolve(ops.convert_to_tensor(first)))  # compiles the network before the time is measured
    started, computing, quality, waiting = time.perf_counter(), 0.0, [], []
    for number, group in enumerate(clips.iter_groups(read(path, frames), grid), start=1):
        group_started = time.perf_counter()
        waiting += [convolve(ops.convert_to_tensor(part)) for part in batches(group)]
        if number == len(grid.starts) or len(waiting) * CLIP_BATCH >= shared_trunk.FC_BATCH:
            quality.append(ops.convert_to_numpy(head(ops.concatenate(waiting))[1]))
            waiting = []
        computing += time.perf_counter() - group_started
    others = time.perf_counter() - started - computing
    return np.concatenate(quality).reshape(len(grid.starts), -1), others + scale * computing


def small_seconds(path: Path, precision: str, *, frames: int) -> float:
    """Measure the seconds of the preset `small` for its first video, including the compilation of the network."""
    from nr_vqm.models import keras_engine

    shared, grid = keras_engine.shared_trunk(build("small", precision)), plan_grid("small", path, frames)
    return timed(lambda: shared.run(read(path, frames), grid))[1]


def matrix_gflops(precision: str) -> float:
    """Measure the GFLOP/s of the fastest of several square matrix products in the precision of the layers."""
    import keras
    from keras import ops

    dtype, best = keras.dtype_policies.get(precision).compute_dtype, 0.0
    for size in (1024, 2048, 4096):
        x = ops.cast(keras.random.normal((size, size), seed=0), dtype)
        for _ in range(6):
            started = time.perf_counter()
            ops.convert_to_numpy(ops.matmul(x, x)[0])
            best = max(best, 2e-9 * size**3 / (time.perf_counter() - started))
    return best


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Call a function: (its result, seconds, peak gigabytes of new TensorFlow tensors and NumPy arrays).

    The size of the process would not show it: TensorFlow keeps freed memory and reuses it.
    """
    import tensorflow as tf

    tf.config.experimental.reset_memory_stats("CPU:0")
    tensors_before = tf.config.experimental.get_memory_info("CPU:0")["current"]
    tracemalloc.start()
    started = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - started
    arrays = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    tensors = tf.config.experimental.get_memory_info("CPU:0")["peak"] - tensors_before
    return result, seconds, (arrays + tensors) / 1e9


def build(preset: str, precision: str) -> Any:
    """Build the preset's untrained 3D-CNN."""
    from nr_vqm.models import cnn3d

    return cnn3d.build_cnn3d(**presets.get_preset(preset).network, dtype=precision)


def plan_grid(preset: str, path: Path, frames: int) -> clips.ClipGrid:
    """Plan the clip grid of the preset's heads for the first frames of a video."""
    values, info = presets.get_preset(preset), reader.probe(path)
    if info.frames < frames:
        raise ValueError(f"A video of at least {frames} frames is needed, {path} has {info.frames}. Use --frames.")
    return clips.plan_grid(frames, info.height, info.width, stride=values.block_stride, **values.head_clips)


def read(path: Path, frames: int) -> Iterator[np.ndarray]:
    """Read the first frames of a video."""
    return itertools.islice(reader.read_frames(path), frames)


def batches(group: np.ndarray) -> list[np.ndarray]:
    """Divide the clips of a group into batches of CLIP_BATCH; the last may be smaller."""
    return [group[i : i + CLIP_BATCH] for i in range(0, len(group), CLIP_BATCH)]


def write_video(path: Path, size: tuple[int, int, int]) -> None:
    """Write a synthetic H.264 video of (frames, height, width): a moving textured scene with weak noise."""
    frames, height, width = size
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8 + 40, width // 8 + 40, 3), np.uint8)
    scene = cv2.resize(coarse, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "23", "preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for time_ in range(frames):
            view = scene[time_ % 300 :, 2 * (time_ % 150) :][:height, :width]
            noise = rng.integers(0, 9, view.shape, np.uint8)
            frame: Any = cv2.add(view, noise)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())


def _shortened(size: str, frames: int | None) -> tuple[int, int, int]:
    """Return (frames, height, width) of a video size, with at most `frames` frames."""
    count, height, width = SIZES[size]
    return min(count, frames or count), height, width


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.score", __doc__)
    parser.add_argument("--preset", default="paper", help="preset of the comparison (paper)")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="sizes of the videos (all)")
    parser.add_argument(
        "--frames", type=command_line.positive, help="maximum frames of each video; default: 240 and 300"
    )
    parser.add_argument(
        "--every", type=command_line.positive, help="clip by clip: compute every n-th group; default: 1 and 8"
    )
    parser.add_argument(
        "--quick", action="store_true", help="same as --frames 48 --every 16: one minute instead of six"
    )
    parser.add_argument("--video", metavar="FILE", help="a real video instead of the synthetic one of 540p")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser


if __name__ == "__main__":
    command_line.run(main)
