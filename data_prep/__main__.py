"""python -m data_prep DATABASE --root DIR --out DIR: a database's videos and labels -> manifest and clip shards.

The same command resumes a stopped preparation. On a database that was repaired or extended it prepares what is new,
and the videos that failed before, and keeps the rest. Labels are those of the label file at the last run; a video that
the label file does not name any more keeps its clips, which are not used.
"""

import contextlib
import functools
import sys
import time
from collections import Counter
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
    from nr_vqm.folder_lock import folder_lock

    out = Path(args.out).resolve()  # workers elsewhere must find it
    _check_options(args)
    with contextlib.nullcontext() if args.dry_run else folder_lock(out):
        return _prepare(args, preset, out)


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
    from nr_vqm import files
    from nr_vqm.folder_lock import folder_lock

    out = Path(args.data)
    files.require(out / "index.json", made_by="make prep")
    with folder_lock(out):
        lines = build.verify(out, _print_progress)
    _print_some(lines)
    print(f"{len(lines)} shards are missing or damaged; make prep writes them again." if lines else "All are whole.")
    return commands.EXIT_FAILED if lines else 0


def _rows(args, preset, root):
    """(the database's videos, unopened, with paths relative to `root`; its label files)."""
    from data_prep import databases
    from nr_vqm import raw_video

    raw = raw_video.parse(args.raw) if args.raw else None
    if args.database in databases.DATABASES:
        rows, labels = databases.read(args.database, root, labels=args.labels)
    elif args.database == "csv":
        source = Path(args.root)
        rows, labels = databases.read_csv(source, mos_range=tuple(args.mos_range)), [databases.csv_path(source)]
    else:
        _make_synthetic(args, preset, root)
        rows, labels = databases.read_csv(root, mos_range=(1, 5)), [databases.csv_path(root)]
    if raw and not any(raw_video.is_raw(one.path) for one in rows):
        raise ValueError(f"--raw is for .yuv files, no label of {args.database} is of one.")
    return [databases.with_raw(one, raw) if raw and raw_video.is_raw(one.path) else one for one in rows], labels


def _root(args, out):
    """The folder that the paths of the videos are relative to."""
    root = Path(args.root) if args.root else out / "synthetic"
    return (root.parent if root.is_file() else root).absolute()


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
    from nr_vqm.folder_lock import folder_lock

    if args.dry_run:
        if not (root / "labels.csv").exists():
            raise ValueError(
                f"The synthetic videos are not made yet, there is no {root / 'labels.csv'}. Run without --dry-run."
            )
        return
    with folder_lock(root):
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


def _request(args, preset):
    """What the data folder is prepared with; a folder prepared with anything else is refused."""
    return {
        "database": args.database,
        "labels": _label_origin(args),
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


def _print_extra_files(args, rows, labels, root):
    """Count and list the videos that no label names, and name the files that are no videos."""
    from data_prep import label_files
    from nr_vqm import video

    if args.database == "synthetic":
        return
    extra = label_files.extra_files(root, rows)
    _print_some([f"extra file, not in the labels: {path}" for path in extra])
    known = {path.absolute() for path in labels}
    skipped = [path for path in video.list_skipped(root) if path not in known]
    if skipped:
        more = f" and {len(skipped) - LISTED} more" if len(skipped) > LISTED else ""
        print(f"{len(skipped):,} files are no videos: {', '.join(path.name for path in skipped[:LISTED])}{more}")
    missing = sum(one.status == label_files.MISSING for one in rows)
    print(f"On disk: {len(rows) - missing:,} of {len(rows):,} videos, {missing:,} missing, {len(extra):,} extra files")


def _print_some(lines):
    for line in lines[:LISTED]:
        print(line)
    if len(lines) > LISTED:
        print(f"... and {len(lines) - LISTED:,} more like these")


def _prepare(args, preset, out):
    """Compare the labels with what is prepared, prepare the rest; the exit code."""
    from data_prep import state
    from nr_vqm import files

    root, request = _root(args, out), _request(args, preset)
    rows, labels = _rows(args, preset, root)
    state.check_request(out, request)
    prepared = state.read(out)
    changes = state.compare(rows, prepared, root)
    jobs = _jobs(changes, prepared, preset, out, root)
    if not jobs and state.is_complete(out, changes.videos):
        print(f"{out} is complete already.")
        return _report(changes.videos)
    _print_labels(args.database, rows, labels, request["labels"], preset)
    _print_extra_files(args, rows, labels, root)
    _print_changes(changes, prepared)
    if args.dry_run:
        return _dry_run(args, changes, jobs, preset, root)
    if jobs:
        files.drop_leftovers(out)
        _print_size(jobs, preset, out)
        if not (out / "prep.json").exists():
            state.write_request(out, request, root)
        _write(args, jobs, prepared, out)
    videos = state.compare(rows, prepared, root).videos
    if not any(checksum for checksum in prepared.checksums.values()):
        _report(videos)
        (out / state.PROGRESS).unlink(missing_ok=True)
        raise ValueError("No video can be prepared. The reasons are above.")
    state.finish(out, videos, prepared, request=request, root=root, preset=preset)
    return _report(videos)


def _jobs(changes, prepared, preset, out, root):
    """The shards to write: those that are missing, then new ones for what is not prepared."""
    from data_prep import build
    from nr_vqm import manifest, shards

    settings = {**preset.training_clips, "stride": preset.block_stride}
    missing = [
        number
        for number, checksum in sorted(prepared.checksums.items())
        if checksum is not None and not shards.shard_path(out, number).exists()
    ]
    if missing:
        name = shards.shard_path(out, missing[0]).name
        print(f"{len(missing)} shards are missing, {name} first; they are written again.")
    jobs = []
    for number in missing:
        videos = tuple(one for one in changes.videos if one.status == manifest.OK and one.shard == number)
        jobs.append(build.ShardJob(number, shards.shard_path(out, number), root, videos, settings))
    used = prepared.checksums
    return jobs + build.plan_jobs(changes.todo, used=used, out=out, root=root, clip_settings=settings)


def _print_changes(changes, prepared):
    """What is kept, what is prepared, and what became of the rest."""
    if not prepared.videos:
        return
    from nr_vqm import manifest

    kept = sum(one.status == manifest.OK for one in changes.videos)
    print(
        f"Prepared before and kept: {kept:,} videos. To prepare: {len(changes.todo):,} videos, of which "
        f"{changes.retried:,} failed before and {changes.replaced:,} have another file than before."
    )
    if changes.relabelled:
        print(f"{changes.relabelled:,} videos have another label than before, which is taken over; their clips stay.")
    if changes.removed:
        print(f"{changes.removed:,} videos are not in the labels any more; their clips stay and are not used.")
    if changes.gone:
        print(f"{changes.gone:,} prepared videos have no file any more; make features needs the files.")


def _num_clips(jobs, preset):
    """Clips of all videos of the jobs, if every video is usable."""
    per_video = preset.train_groups * preset.train_grid[0] * preset.train_grid[1]
    return sum(len(job.videos) for job in jobs) * per_video


def _print_size(jobs, preset, out):
    """Print what will be written; refuse a disk that is too small for it."""
    from data_prep import build

    num_clips = _num_clips(jobs, preset)
    size = build.stored_size(num_clips, clip_frames=preset.clip_frames, clip_size=preset.clip_size)
    videos = sum(len(job.videos) for job in jobs)
    print(f"{videos:,} videos to prepare, {num_clips:,} clips, about {size / 1e9:.2f} GB on disk", flush=True)
    build.require_space(out, size)


def _dry_run(args, changes, jobs, preset, root):
    """Open what is to prepare, and print what it would take; the exit code."""
    from data_prep import build
    from nr_vqm import cluster, manifest

    if all(one.status for one in changes.videos) and not jobs:
        print(f"None of the {len(changes.videos):,} videos is on disk yet. This is what the labels promise.")
        return 0
    settings = {**preset.training_clips, "stride": preset.block_stride}
    inspect = functools.partial(build.inspect_video, root=root, clip_settings=settings, decode=False)
    opened = list(cluster.each(inspect, changes.todo, workers=args.workers, scheduler=args.scheduler))
    good = [one for one in opened if one.status == manifest.OK]
    num_clips = len(good) * build.clips_per_video(settings)
    size = build.stored_size(num_clips, clip_frames=preset.clip_frames, clip_size=preset.clip_size)
    seconds = build.estimate_seconds(good, root=root, clip_settings=settings, workers=args.workers)
    print(f"{len(good)} videos, {num_clips:,} clips, about {size / 1e9:.2f} GB on disk, {seconds / 60:.1f} minutes")
    by_id = {one.video_id: one for one in opened}
    return _report([by_id.get(one.video_id, one) for one in changes.videos])


def _write(args, jobs, prepared, out):
    """Write the shards, and record each as it is finished."""
    from data_prep import build, state

    began = time.monotonic()

    def progress(done, total):
        left = (time.monotonic() - began) / done * (total - done)
        print(f"shard {done} of {total}, about {left / 60:.1f} minutes left", flush=True)

    with state.Progress(out) as record:
        for result in build.write_shards(jobs, workers=args.workers, scheduler=args.scheduler, progress=progress):
            record.add(result)
            prepared.add(result)


def _print_progress(done, total):
    print(f"shard {done} of {total}", flush=True)


def _report(videos):
    """Print what was found doubtful, and the videos that are left out, each with its reason; the exit code."""
    from nr_vqm import manifest

    videos = [one for one in videos if one.status != manifest.REMOVED]
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
