"""python -m data_prep DATABASE --root DIR --out DIR: a database's videos and labels -> manifest and clip shards."""

import hashlib
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from nr_vqm import commands, label_origin

DATABASES = ("konvid1k", "live_qualcomm", "live_vqc", "cvd2014", "youtube_ugc", "lsvq", "csv", "synthetic")
LISTED = 20  # lines of one kind that are printed; the rest is counted
FRACTIONS = (0.8, 0.9)  # training parts that the paper has, beside the preset's own


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["verify"]:
        return _verify(argv[1:])
    args = _parser().parse_args(argv)
    preset = commands.preset_from(args, database=args.database)
    # Imported here, so that --help answers at once.
    from nr_vqm import files, manifest

    out = Path(args.out).resolve()  # workers elsewhere must find it
    rows, labels = _rows(args, preset, out)
    request = _request(args, preset, rows)
    if (out / "prep.json").exists() and files.read_json(out / "prep.json", made_by="make prep") != request:
        raise ValueError(
            f"{out} was prepared from other labels, videos or settings. Choose another --out or delete it."
        )
    from data_prep import build

    missing = [name for name in build.read_checksums(out) if not (out / name).exists()]
    if missing:
        print(f"{len(missing)} shards are missing, {missing[0]} first; only they are written.")
    elif (out / "index.json").exists():
        print(f"{out} is complete already.")
        return _report(manifest.read(out / "manifest.csv"))
    _print_labels(args.database, rows, labels, request["labels"], preset)
    _print_extra_files(args, rows)
    if args.dry_run and all(one.status for one in rows):
        print(f"None of the {len(rows):,} videos is on disk yet. This is what the labels promise.")
        return 0
    return _prepare(args, preset, rows, request, out)


def _parser():
    parser = commands.new_parser("python -m data_prep", __doc__)
    parser.add_argument("database", choices=DATABASES, help="which label files to read; docs/databases.md")
    parser.add_argument("--root", help="the database's folder, as downloaded; for csv, also the csv file itself")
    parser.add_argument("--out", required=True, help="the data folder to write")
    commands.add_preset_options(parser)
    parser.add_argument("--labels", metavar="FILE", help="the label file, where it does not lie below --root")
    parser.add_argument(
        "--label-origin", choices=label_origin.ORIGINS, help="where a csv's labels come from (default: people)"
    )
    parser.add_argument("--mos-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="ends of a csv's MOS scale")
    parser.add_argument(
        "--raw",
        metavar="WxH:FORMAT:FPS",
        help="what .yuv files hold, for example 1920x1080:yuv420p:30; also yuv422p, yuv420p10le, yuv422p10le",
    )
    commands.add_worker_options(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="open every video, say what it would take, write nothing"
    )
    return parser


def _verify(argv):
    """python -m data_prep verify DIR"""
    parser = commands.new_parser(
        "python -m data_prep verify",
        "Compare every shard of a data folder with its checksum. A damaged one is put aside; prep writes it again.",
    )
    parser.add_argument("data", metavar="DIR", help="a folder that data_prep wrote")
    args = parser.parse_args(argv)
    from data_prep import build

    lines = build.verify(args.data, _print_progress)
    _print_some(lines)
    print(f"{len(lines)} shards are missing or damaged; make prep writes them again." if lines else "All are whole.")
    return commands.EXIT_FAILED if lines else 0


def _rows(args, preset, out):
    """(the database's videos, unopened; its label files)."""
    from data_prep import databases
    from nr_vqm import raw_video

    raw = raw_video.parse(args.raw) if args.raw else None
    _check_options(args)
    root = Path(args.root or out / "synthetic")
    if args.database in databases.DATABASES:
        rows, labels = databases.read(args.database, root, labels=args.labels)
    elif args.database == "csv":
        rows, labels = databases.read_csv(root, mos_range=tuple(args.mos_range)), [databases.csv_path(root)]
    else:
        _make_synthetic(args, preset, root)
        rows, labels = databases.read_csv(root, mos_range=(1, 5)), [databases.csv_path(root)]
    if raw and not any(raw_video.is_raw(one.path) for one in rows):
        raise ValueError(f"--raw is for .yuv files, no label of {args.database} is of one.")
    return [databases.with_raw(one, raw) if raw and raw_video.is_raw(one.path) else one for one in rows], labels


def _check_options(args):
    """Refuse options that are missing, or that this database does not look at."""
    if not args.root and args.database != "synthetic":
        raise ValueError(f"{args.database} needs --root DIR, the folder of the videos: docs/databases.md.")
    if args.database == "csv" and not args.mos_range:
        raise ValueError("csv needs --mos-range LOW HIGH, the ends of the MOS scale.")
    if args.mos_range and not args.mos_range[0] < args.mos_range[1]:
        raise ValueError(f"--mos-range needs LOW below HIGH. Received: {args.mos_range[0]:g} {args.mos_range[1]:g}.")
    if args.database != "csv" and args.mos_range:
        raise ValueError(f"--mos-range is for csv, the scale of {args.database} is known.")
    if args.database != "csv" and args.label_origin:
        raise ValueError(f"--label-origin is for csv, the origin of the labels of {args.database} is known.")
    if args.database in ("csv", "synthetic") and args.labels:
        raise ValueError("--labels is for downloaded databases; csv takes its label file as --root.")


def _make_synthetic(args, preset, root):
    from data_prep import synthetic

    if args.dry_run:
        if not (root / "labels.csv").exists():
            raise ValueError(
                f"The synthetic videos are not made yet, there is no {root / 'labels.csv'}. Run without --dry-run."
            )
        return
    synthetic.make_database(
        root,
        num_videos=preset.synthetic_videos,
        num_frames=preset.synthetic_frames,
        size=preset.synthetic_size,
        seed=preset.seed,
        workers=args.workers,
        scheduler=args.scheduler,
    )


def _label_origin(args):
    """Where the labels come from: a key of `label_origin.ORIGINS`. Known databases asked people."""
    return "synthetic" if args.database == "synthetic" else args.label_origin or "people"


def _request(args, preset, rows):
    """What the data folder is made from; a folder made from anything else is refused."""
    labels = json.dumps([asdict(row) for row in rows]).encode()
    return {
        "database": args.database,
        "labels": _label_origin(args),
        "labels_sha256": hashlib.sha256(labels).hexdigest(),
        "clip_frames": preset.clip_frames,
        "clip_size": preset.clip_size,
        "train_groups": preset.train_groups,
        "train_grid": list(preset.train_grid),
        "block_stride": preset.block_stride,
        "downscale": preset.downscale,
    }


def _print_labels(name, rows, labels, origin, preset):
    """What the labels promise, beside what the whole database is known to hold, before any video is opened."""
    from data_prep import build, databases

    known = databases.DATABASES.get(name)
    word = known.contents_word if known else "contents"
    mos, contents = [one.mos for one in rows], len({one.content for one in rows})
    low, high = rows[0].mos_low, rows[0].mos_high
    print(f"Labels: {', '.join(str(path) for path in labels)}; {label_origin.ORIGINS[origin]}")
    print(
        f"{len(rows):,} videos, {contents:,} {word}, MOS {min(mos):.2f} to {max(mos):.2f} on {low:g} to {high:g}"
        + (f" (the whole {name}: {known.facts()})" if known else "")
    )
    grid_rows, grid_columns = preset.train_grid
    per_video = preset.train_groups * grid_rows * grid_columns
    num_clips, frames, size = len(rows) * per_video, preset.clip_frames, preset.clip_size
    print(
        f"{preset.train_groups} x {grid_rows * grid_columns} clips a video (groups x blocks, "
        f"{grid_rows} x {grid_columns}), each {frames} frames of {size} x {size}: {num_clips:,} clips, "
        f"about {build.stored_size(num_clips, clip_frames=frames, clip_size=size) / 1e9:,.2f} GB on disk"
    )
    for fraction in sorted({preset.train_fraction, *FRACTIONS}):
        videos = round(fraction * len(rows))
        # Contents of several videos are kept together: how many videos a split gets depends on its draw.
        exactly = "exactly" if contents == len(rows) else "about"
        print(
            f"  for a {100 * fraction:g} % split {exactly} {videos * per_video:,} training clips, of {videos:,} videos"
        )


def _print_extra_files(args, rows):
    """Count and list the videos that no label names."""
    from data_prep import label_files

    if args.database == "synthetic":
        return
    root = Path(args.root)
    extra = label_files.extra_files(root if root.is_dir() else root.parent, rows)
    _print_some([f"extra file, not in the labels: {path}" for path in extra])
    missing = sum(one.status == label_files.MISSING for one in rows)
    print(f"On disk: {len(rows) - missing:,} of {len(rows):,} videos, {missing:,} missing, {len(extra):,} extra files")


def _print_some(lines):
    for line in lines[:LISTED]:
        print(line)
    if len(lines) > LISTED:
        print(f"... and {len(lines) - LISTED:,} more like these")


def _prepare(args, preset, rows, request, out):
    """Open the videos, plan their clips, write the shards; the exit code."""
    from data_prep import build
    from nr_vqm import files, manifest

    workers = {"workers": args.workers, "scheduler": args.scheduler}
    notes = out / f"opened-{request['labels_sha256'][:16]}-{preset.clip_frames}.csv"
    if (out / "prep.json").exists() and (out / "manifest.csv").exists():
        videos = manifest.read(out / "manifest.csv")
    else:
        print(f"Opening {sum(not one.status for one in rows):,} videos", flush=True)
        settings = {"clip_frames": preset.clip_frames, "decode": not args.dry_run, **workers}
        videos = build.open_all(rows, notes=None if args.dry_run else notes, **settings)
    grids = build.plan(videos, stride=preset.block_stride, **preset.training_clips)
    num_clips, size, seconds = build.estimate(videos, grids, workers=args.workers)
    print(f"{len(grids)} videos, {num_clips:,} clips, about {size / 1e9:.2f} GB on disk, {seconds / 60:.1f} minutes")
    if out.exists() and not args.dry_run:
        files.drop_leftovers(out)
    build.require_space(out, size * build.clips_to_write(videos, grids, out_dir=out) / max(num_clips, 1))
    if args.dry_run:
        return _report(videos)
    if not grids:
        _report(videos)
        raise ValueError("No video can be prepared. The reasons are above.")
    out.mkdir(parents=True, exist_ok=True)
    manifest.write(out / "manifest.csv", videos)
    files.write_json(out / "prep.json", request)
    notes.unlink(missing_ok=True)
    build.write_shards(videos, grids, out_dir=out, preset=preset, progress=_print_progress, **workers)
    return _report(videos)


def _print_progress(done, total):
    print(f"shard {done} of {total}", flush=True)


def _report(videos):
    """Print what was found doubtful, and the videos that are left out, each with its reason; the exit code."""
    from nr_vqm import manifest

    noted = [one for one in videos if one.status == manifest.OK and one.reason]
    _print_some([f"ready, but: {one.video_id}: {one.reason}" for one in noted])
    left_out = sorted((one for one in videos if one.status != manifest.OK), key=lambda one: one.status == "missing")
    _print_some([f"left out ({one.status}): {one.video_id}: {one.reason}" for one in left_out])
    kinds = ", ".join(f"{number:,} {status}" for status, number in Counter(one.status for one in left_out).items())
    print(
        f"{len(videos) - len(left_out):,} of {len(videos):,} videos are ready, {len(left_out):,} left out"
        f"{f' ({kinds})' if kinds else ''}."
    )
    return commands.EXIT_FAILED if left_out else 0


if __name__ == "__main__":
    commands.run(main, resumes=True)
