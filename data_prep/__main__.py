"""python -m data_prep DATABASE --root DIR --out DIR: a database's videos and labels -> manifest and clip shards."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from nr_vqm import commands

DATABASES = ("csv", "synthetic")


def main(argv=None):
    args = _parser().parse_args(argv)
    preset = commands.preset_from(args)
    # Imported here, so that --help answers at once.
    from data_prep import build
    from nr_vqm import files, manifest

    out = Path(args.out)
    rows = _rows(args, preset, out)
    request = _request(args, preset, rows)
    if (out / "prep.json").exists() and files.read_json(out / "prep.json", made_by="make prep") != request:
        raise ValueError(f"{out} was prepared from other labels or settings. Choose another --out, or delete it.")
    if (out / "index.json").exists():
        print(f"{out} is complete already.")
        return _report(manifest.read(out / "manifest.csv"))
    grid_settings = {
        "clip_frames": preset.clip_frames,
        "clip_size": preset.clip_size,
        "num_groups": preset.train_groups,
        "block_grid": preset.train_grid,
        "stride": preset.block_stride,
    }
    if (out / "prep.json").exists() and (out / "manifest.csv").exists():
        videos = manifest.read(out / "manifest.csv")
    else:
        print(f"Opening {len(rows)} videos", flush=True)
        videos = build.open_all(rows, clip_frames=preset.clip_frames, decode=not args.dry_run, workers=args.workers)
    grids = build.plan(videos, **grid_settings)
    num_clips, size, seconds = build.estimate(videos, grids, workers=args.workers)
    print(f"{len(grids)} videos, {num_clips:,} clips, about {size / 1e9:.2f} GB on disk, {seconds / 60:.1f} minutes")
    build.require_space(out, size)
    if args.dry_run:
        return _report(videos)
    if not grids:
        _report(videos)
        raise ValueError("No video can be prepared. The reasons are above.")
    out.mkdir(parents=True, exist_ok=True)
    manifest.write(out / "manifest.csv", videos)
    files.write_json(out / "prep.json", request)
    build.write_shards(videos, grids, out_dir=out, preset=preset, workers=args.workers, progress=_print_progress)
    return _report(videos)


def _parser():
    parser = commands.new_parser("python -m data_prep", __doc__)
    parser.add_argument("database", choices=DATABASES, help="which label files to read")
    parser.add_argument("--root", help="the database's folder, as downloaded; for csv, also the csv file itself")
    parser.add_argument("--out", required=True, help="the data folder to write")
    commands.add_preset_options(parser)
    parser.add_argument("--mos-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="ends of a csv's MOS scale")
    parser.add_argument("--workers", type=commands.positive, default=2, help="processes")
    parser.add_argument(
        "--dry-run", action="store_true", help="open every video, say what it would take, write nothing"
    )
    return parser


def _rows(args, preset, out):
    """The database's videos, unopened."""
    from data_prep import databases

    if args.database == "csv":
        if not args.root or not args.mos_range:
            raise ValueError("csv needs --root DIR and --mos-range LOW HIGH.")
        return databases.read_csv(args.root, mos_range=tuple(args.mos_range))
    from data_prep import synthetic

    root = Path(args.root or out / "synthetic")
    if args.dry_run and not (root / "labels.csv").exists():
        raise ValueError(
            f"The synthetic videos are not made yet, there is no {root / 'labels.csv'}. Run without --dry-run."
        )
    if not args.dry_run:
        synthetic.make_database(
            root,
            num_videos=preset.synthetic_videos,
            num_frames=preset.synthetic_frames,
            size=preset.synthetic_size,
            seed=preset.seed,
            workers=args.workers,
        )
    return databases.read_csv(root, mos_range=(1, 5))


def _request(args, preset, rows):
    """What the data folder is made from; a folder made from anything else is refused."""
    labels = json.dumps([asdict(row) for row in rows]).encode()
    return {
        "database": args.database,
        "labels_sha256": hashlib.sha256(labels).hexdigest(),
        "clip_frames": preset.clip_frames,
        "clip_size": preset.clip_size,
        "train_groups": preset.train_groups,
        "train_grid": list(preset.train_grid),
        "block_stride": preset.block_stride,
    }


def _print_progress(done, total):
    print(f"shard {done} of {total}", flush=True)


def _report(videos):
    """Print every video that is left out, with its reason; the exit code."""
    from nr_vqm import manifest

    left_out = [video for video in videos if video.status != manifest.OK]
    for video in left_out:
        print(f"left out ({video.status}): {video.video_id}: {video.reason}")
    print(f"{len(videos) - len(left_out)} of {len(videos)} videos are ready, {len(left_out)} left out.")
    return commands.EXIT_FAILED if left_out else 0


if __name__ == "__main__":
    commands.run(main)
