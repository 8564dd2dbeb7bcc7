"""python -m benchmarks.plan: what a database will take, before anything is started: clips, bytes, hours, memory.

The hours follow from the clips/s of one device: given, or measured now on this machine with a few training steps.
"""

import math

from nr_vqm import command_line

FORWARD_SHARE = 1 / 3  # of a training step's operations
SHARED = 3.47  # times fewer operations by the shared trunk, 240 frames of 540 x 960, 32 x 32 clips
BYTES_PER_WEIGHT = 4 * 4  # the weight, its gradient, Adam's two averages; float32


def main(argv=None):
    args = _parser().parse_args(argv)
    preset = command_line.preset_from(args, database=args.database)
    videos = args.videos or known_videos(args.database, preset)
    rate = args.clips_per_second or measured_rate(preset)
    rows = plan(preset, videos=videos, devices=args.devices, clips_per_second=rate)
    print(f"{args.database}, preset {preset.name}, {args.devices} device(s) of {rate:,.1f} clips/s each")
    for name, value, why in rows:
        print(f"{name:22s} {value:>14s}   {why}")


def _parser():
    parser = command_line.new_parser("python -m benchmarks.plan", __doc__)
    parser.add_argument("database", help="a database of docs/databases.md, synthetic, or any name with --videos")
    command_line.add_preset_options(parser)
    parser.add_argument("--devices", type=command_line.positive, default=1)
    parser.add_argument("--videos", type=command_line.positive, help="instead of the database's number")
    parser.add_argument("--clips-per-second", type=float, help="of training on one device, instead of measuring it")
    return parser


def known_videos(database, preset):
    """How many videos a database is known to have."""
    from data_prep import databases

    if database == "synthetic":
        return preset.synthetic_videos
    if database not in databases.DATABASES:
        raise ValueError(f"How many videos has {database!r}? Add --videos N.")
    return databases.DATABASES[database].videos


def measured_rate(preset):
    """Clips/s of training on this machine's device, from a few steps."""
    from benchmarks import train_step
    from nr_vqm.common import devices

    devices.start(hide_startup_lines=True)
    return train_step.measure(preset, rounds=1, steps=3)["clips_per_second"]


def plan(preset, *, videos, devices, clips_per_second):
    """Rows of (what, figure, arithmetic)."""
    device, per_device = f"{devices} x {clips_per_second:,.1f} clips/s", preset.batch_size / devices
    blocks = math.prod(preset.train_grid)
    per_video = preset.train_groups * blocks
    train = round(videos * preset.train_fraction) * per_video
    val = round(videos * preset.val_fraction) * per_video
    seconds = (train + val * FORWARD_SHARE) * preset.epochs / clips_per_second / devices
    weights, activations = network_bytes(preset)
    return [
        ("clips", f"{videos * per_video:,}", f"{videos:,} videos x {preset.train_groups} groups x {blocks} blocks"),
        *_disk_rows(preset, videos * per_video),
        ("training clips", f"{train:,}", f"{preset.train_fraction:g} of the videos; {val:,} clips to validate"),
        ("training", hours(seconds), f"{preset.epochs} epochs / ({device}); validating a clip costs a third"),
        ("reading", f"{devices * clips_per_second * clip_bytes(preset) / 1e6:,.0f} MB/s", "what the readers must give"),
        *_feature_rows(preset, videos, devices, clips_per_second),
        ("memory per device", gigabytes(weights + per_device * activations),
         f"weights and Adam {gigabytes(weights)}, {per_device:g} clips of {gigabytes(activations)}"),
        ("memory of the host", gigabytes(host_bytes(preset, videos * per_video)), "libraries, table, batches ahead"),
    ]  # fmt: skip


def _disk_rows(preset, clips):
    from data_prep import build

    stored = build.stored_size(clips, clip_frames=preset.clip_frames, clip_size=preset.clip_size)
    return [
        ("shards", gigabytes(stored), f"{clip_bytes(preset):,} bytes a clip, LZ4 leaves {build.LZ4_RATIO:g} of them"),
        ("prep", hours(stored / build.WRITE_BYTES), f"one process at {build.WRITE_BYTES / 1e6:.0f} MB/s; no decoding"),
    ]


def _feature_rows(preset, videos, devices, clips_per_second):
    clips = preset.num_groups * math.prod(preset.block_grid)
    seconds = videos * clips * FORWARD_SHARE / SHARED / clips_per_second / devices
    stored = 4 * videos * (preset.num_groups * preset.fc_dims[-1] + clips)
    return [
        ("features", hours(seconds), f"{clips:,} clips a video, forwards only, shared trunk {SHARED} times less"),
        ("features.h5", gigabytes(stored), f"{preset.fc_dims[-1]} means a group and a quality a clip, float32"),
    ]


def clip_bytes(preset):
    return preset.clip_frames * preset.clip_size**2 * 3


def hours(seconds):
    return f"{seconds / 3600:,.1f} h"


def gigabytes(count):
    return f"{count / 1e9:,.2f} GB"


def network_bytes(preset):
    """(bytes of the weights and what training keeps of each, bytes of one clip's activations and their gradients)."""
    from nr_vqm.common import devices

    devices.start(hide_startup_lines=True)
    from nr_vqm.models import cnn3d

    dtype = devices.best_precision()
    model = cnn3d.build_cnn3d(**preset.network, dtype=dtype)
    values = sum(math.prod(layer.output.shape[1:]) for layer in model.layers)
    return BYTES_PER_WEIGHT * model.count_params(), 2 * values * (2 if "16" in dtype else 4)


def host_bytes(preset, clips):
    """Memory of the process that feeds one machine's devices."""
    from nr_vqm.common import devices

    batches = devices.reading_threads() + 3
    return 0.7e9 + 24 * clips + batches * preset.batch_size * clip_bytes(preset)


if __name__ == "__main__":
    command_line.run(main)
