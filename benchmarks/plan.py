"""python -m benchmarks.plan: estimate the clips, disk space, hours and memory that a database needs.

The hours follow from the clips/s of one device, which are given or measured on this machine with a few training steps.
"""

import argparse
import math

from benchmarks import train_step
from data_prep import build, databases
from nr_vqm import command_line
from nr_vqm.common import devices
from nr_vqm.presets import Preset

Row = tuple[str, str, str]  # name, figure, arithmetic

FORWARD_SHARE = 1 / 3  # of a training step's operations
SHARED = 3.47  # factor of multiply-adds that the shared trunk saves: 240 frames of 540 x 960, 32 x 32 clips
BYTES_PER_WEIGHT = 4 * 4  # the weight, its gradient and Adam's two moments, float32


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    preset = command_line.preset_from(args, database=args.database)
    videos = args.videos or known_videos(args.database, preset)
    rate = args.clips_per_second or measured_rate(preset)
    rows = plan(preset, videos=videos, num_devices=args.devices, clips_per_second=rate)
    print(f"{args.database}, preset {preset.name}, {args.devices} device(s) of {rate:,.1f} clips/s each")
    for name, value, why in rows:
        print(f"{name:22s} {value:>14s}   {why}")


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.plan", __doc__)
    parser.add_argument("database", help="a database of docs/databases.md, synthetic, or any name with --videos")
    command_line.add_preset_options(parser)
    parser.add_argument("--devices", type=command_line.positive, default=1, help="devices that train together (1)")
    parser.add_argument(
        "--videos", type=command_line.positive, help="number of videos, where it is not that of the database"
    )
    parser.add_argument("--clips-per-second", type=float, help="training speed of one device; default: measured")
    return parser


def known_videos(database: str, preset: Preset) -> int:
    """Return the number of videos of a known database."""
    if database == "synthetic":
        return preset.synthetic_videos
    if database not in databases.DATABASES:
        raise ValueError(f"The number of videos of {database!r} is unknown. Add --videos N.")
    return databases.DATABASES[database].videos


def measured_rate(preset: Preset) -> float:
    """Measure the clips/s of training on this machine's device with a few steps."""
    devices.start(hide_startup_lines=True)
    return train_step.measure(preset, rounds=1, steps=3)["clips_per_second"]


def plan(preset: Preset, *, videos: int, num_devices: int, clips_per_second: float) -> list[Row]:
    """Estimate what a database needs: rows of (name, figure, arithmetic)."""
    device, per_device = f"{num_devices} x {clips_per_second:,.1f} clips/s", preset.batch_size / num_devices
    blocks = math.prod(preset.train_grid)
    per_video = preset.train_groups * blocks
    train = round(videos * preset.train_fraction) * per_video
    val = round(videos * preset.val_fraction) * per_video
    seconds = (train + val * FORWARD_SHARE) * preset.epochs / clips_per_second / num_devices
    weights, activations = network_bytes(preset)
    return [
        ("clips", f"{videos * per_video:,}", f"{videos:,} videos x {preset.train_groups} groups x {blocks} blocks"),
        *_disk_rows(preset, videos * per_video),
        ("training clips", f"{train:,}", f"{preset.train_fraction:g} of the videos; {val:,} clips to validate"),
        ("training", hours(seconds), f"{preset.epochs} epochs / ({device}); validating a clip costs a third"),
        ("reading", f"{num_devices * clips_per_second * clip_bytes(preset) / 1e6:,.0f} MB/s", "to feed the devices"),
        *_feature_rows(preset, videos, num_devices, clips_per_second),
        ("memory per device", gigabytes(weights + per_device * activations),
         f"weights and Adam {gigabytes(weights)}, {per_device:g} clips of {gigabytes(activations)}"),
        ("memory of the host", gigabytes(host_bytes(preset, videos * per_video)), "libraries, table, batches ahead"),
    ]  # fmt: skip


def _disk_rows(preset: Preset, clips: int) -> list[Row]:
    stored = build.stored_size(clips, clip_frames=preset.clip_frames, clip_size=preset.clip_size)
    return [
        (
            "shards",
            gigabytes(stored),
            f"{clip_bytes(preset):,} bytes per clip, compressed by LZ4 to {build.LZ4_RATIO:g} of them",
        ),
        ("prep", hours(stored / build.WRITE_BYTES), f"one process at {build.WRITE_BYTES / 1e6:.0f} MB/s; no decoding"),
    ]


def _feature_rows(preset: Preset, videos: int, num_devices: int, clips_per_second: float) -> list[Row]:
    clips = preset.num_groups * math.prod(preset.block_grid)
    seconds = videos * clips * FORWARD_SHARE / SHARED / clips_per_second / num_devices
    stored = 4 * videos * (preset.num_groups * preset.fc_dims[-1] + clips)
    return [
        (
            "features",
            hours(seconds),
            f"{clips:,} clips per video, forward pass only, divided by {SHARED} for the shared trunk",
        ),
        (
            "features.h5",
            gigabytes(stored),
            f"{preset.fc_dims[-1]} features per group and one quality per clip, float32",
        ),
    ]


def clip_bytes(preset: Preset) -> int:
    """Return the bytes of one uncompressed clip."""
    return preset.clip_frames * preset.clip_size**2 * 3


def hours(seconds: float) -> str:
    """Format seconds as hours."""
    return f"{seconds / 3600:,.1f} h"


def gigabytes(count: float) -> str:
    """Format bytes as gigabytes."""
    return f"{count / 1e9:,.2f} GB"


def network_bytes(preset: Preset) -> tuple[int, int]:
    """Return (bytes of all weights with gradients and moments, bytes of one clip's activations with gradients)."""
    devices.start(hide_startup_lines=True)
    from nr_vqm.models import cnn3d

    dtype = devices.best_precision()
    model = cnn3d.build_cnn3d(**preset.network, dtype=dtype)
    values = sum(math.prod(layer.output.shape[1:]) for layer in model.layers)
    return BYTES_PER_WEIGHT * model.count_params(), 2 * values * (2 if "16" in dtype else 4)


def host_bytes(preset: Preset, clips: int) -> float:
    """Estimate the memory of the process that trains on one machine, in bytes."""
    batches = devices.reading_threads() + 3
    return 0.7e9 + 24 * clips + batches * preset.batch_size * clip_bytes(preset)


if __name__ == "__main__":
    command_line.run(main)
