"""python -m data_prep DATABASE --root DIR --out DIR: a database's videos and labels -> manifest and clip shards.

The same command resumes a stopped preparation. If the database was repaired or extended, it prepares new videos,
videos that failed before and videos whose file has changed, and keeps the others. Labels are always those of the
current label file; the clips of videos that it no longer lists are kept and not used.
"""

import argparse
import contextlib
import dataclasses
import functools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nr_vqm import command_line, progress
from nr_vqm.dataset import label_origin, mos_scale
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.presets import Preset

if TYPE_CHECKING:
    from data_prep import build, state
    from nr_vqm.dataset.manifest import Video

DATABASES = (
    "konvid1k", "live_qualcomm", "live_vqc", "cvd2014", "youtube_ugc", "lsvq", "csv", "synthetic", "contents",
)  # fmt: skip
GENERATED = ("synthetic", "contents")  # prep writes their videos into the data folder

EPILOG = """
Another command: python -m data_prep verify DIR compares the shards of a data folder with their checksums.

Columns of a csv (comma-separated, UTF-8; the label file of the database 'csv' is --root, or labels.csv in it):
  path          of the video, relative to the csv; needed
  mos           mean opinion score within --mos-range; needed
  content       what the video shows; a split never divides a content (else: one per video)
  video_id      unique name (else: path)
  mos_ci95      half width of the 95 % confidence interval of the MOS
  width, height, pixel_format, fps
                format of a raw .yuv file

Examples:
  python -m data_prep csv --root videos/labels.csv --mos-range 1 5 --out data/mine --preset small
  python -m data_prep konvid1k --root KoNViD-1k --out data/konvid1k --preset paper --dry-run
  python -m data_prep verify data/mine

Exit codes: 0 all videos are ready, 1 some were skipped or a shard is damaged, 2 wrong options, 130 interrupted,
143 stopped by SIGTERM.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["verify"]:
        return _verify(argv[1:])
    args = _parser().parse_args(argv)
    preset = command_line.preset_from(args, database=args.database)
    # Imported here, so that --help answers at once.
    from nr_vqm.common.folder_lock import folder_lock

    out = Path(args.out).resolve()  # workers elsewhere must find it
    _check_options(args)
    with contextlib.nullcontext() if args.dry_run else folder_lock(out):
        return _prepare(args, preset, out)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m data_prep", __doc__, epilog=EPILOG)
    parser.add_argument("database", choices=DATABASES, help="which label files to read; docs/databases.md")
    parser.add_argument(
        "--root",
        help="the database's folder, as downloaded; for csv, also the csv file itself; for contents, any folder of "
        "videos",
    )
    parser.add_argument("--out", required=True, help="the data folder to write")
    command_line.add_preset_options(parser)
    parser.add_argument("--labels", metavar="FILE", help="the label file, if it is not below --root")
    parser.add_argument(
        "--label-origin", choices=label_origin.ORIGINS, help="origin of the labels of a csv (default: people)"
    )
    parser.add_argument("--teacher", metavar="FILE", help="teacher.h5, which gives the pseudo-labels of contents")
    parser.add_argument("--mos-range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="ends of a csv's MOS scale")
    parser.add_argument(
        "--raw",
        metavar="WxH:FORMAT:FPS",
        help="format of .yuv files, for example 1920x1080:yuv420p:30; also yuv422p, yuv420p10le, yuv422p10le",
    )
    command_line.add_worker_options(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="open every video, print the required space and time, write nothing",
    )
    return parser


def _verify(argv: Sequence[str]) -> int:
    """Run `python -m data_prep verify DIR` and return its exit code."""
    parser = command_line.new_parser(
        "python -m data_prep verify",
        "Compare every shard of a data folder with its checksum. A damaged one is renamed; prep writes it again.",
        example="data/mine",
    )
    parser.add_argument("data", metavar="DIR", help="a folder that data_prep wrote")
    args = parser.parse_args(argv)
    from data_prep import build, messages
    from nr_vqm.common import atomic_files
    from nr_vqm.common.folder_lock import folder_lock

    out = Path(args.data)
    atomic_files.require(DataFolder(out).index, made_by="make prep")
    with folder_lock(out):
        lines = build.verify(out, _print_progress)
    messages.print_some(lines)
    print(
        f"{len(lines)} shards are missing or damaged; make prep writes them again."
        if lines
        else "All shards are intact."
    )
    return command_line.EXIT_FAILED if lines else 0


def _rows(args: argparse.Namespace, preset: Preset, root: Path) -> "tuple[list[Video], list[Path]]":
    """Read the labels: the unopened videos, with paths relative to `root`, and the label files."""
    from data_prep import databases, generated
    from data_prep.databases import csv_labels
    from nr_vqm.video import raw_video

    raw = raw_video.parse(args.raw) if args.raw else None
    if args.database in databases.DATABASES:
        rows, labels = databases.read(args.database, root, labels=args.labels)
    elif args.database == "csv":
        source = Path(args.root)
        rows, labels = csv_labels.read(source, mos_range=tuple(args.mos_range)), [csv_labels.label_path(source)]
    else:
        generated.make(args, preset, root)
        rows, labels = csv_labels.read(root, mos_range=(1, 5)), [csv_labels.label_path(root)]
    if raw and not any(raw_video.is_raw(one.path) for one in rows):
        raise ValueError(f"--raw is for .yuv files, no label of {args.database} is of one.")
    return [csv_labels.with_raw(one, raw) if raw and raw_video.is_raw(one.path) else one for one in rows], labels


def _root(args: argparse.Namespace, out: Path) -> Path:
    """Return the folder to which the paths of the videos are relative."""
    if args.database == "contents" or not args.root:
        return out / args.database
    root = Path(args.root)
    return (root.parent if root.is_file() else root).absolute()


def _check_options(args: argparse.Namespace) -> None:
    """Raise ValueError for missing options, and for options that the database does not use."""
    if not args.root and args.database != "synthetic":
        raise ValueError(f"{args.database} needs --root DIR, the folder of the videos: docs/databases.md.")
    if args.database == "csv" and not args.mos_range:
        raise ValueError("csv needs --mos-range LOW HIGH, the ends of the MOS scale.")
    if args.mos_range and not -mos_scale.LARGEST <= args.mos_range[0] < args.mos_range[1] <= mos_scale.LARGEST:
        raise ValueError(
            f"--mos-range needs LOW below HIGH, both within +-{mos_scale.LARGEST:g}. "
            f"Received: {args.mos_range[0]:g} {args.mos_range[1]:g}."
        )
    if args.database != "csv" and args.mos_range:
        raise ValueError(f"--mos-range is for csv, the scale of {args.database} is known.")
    if args.database != "csv" and args.label_origin:
        raise ValueError(f"--label-origin is for csv, the origin of the labels of {args.database} is known.")
    if args.database != "contents" and args.teacher:
        raise ValueError(f"--teacher is for contents, {args.database} has labels.")
    if args.database in ("csv", *GENERATED) and args.labels:
        raise ValueError("--labels is for downloaded databases; csv takes its label file as --root.")


def _label_origin(args: argparse.Namespace, preset: Preset) -> str:
    """Return the origin of the labels, a key of `label_origin.ORIGINS`; supported databases have subjective scores."""
    if args.database == "contents":
        return "mixed" if preset.contents_synthetic else "pseudo"
    return "synthetic" if args.database == "synthetic" else args.label_origin or "people"


def _request(args: argparse.Namespace, preset: Preset) -> dict[str, Any]:
    """Return the settings of the data folder; a folder prepared with other settings is refused."""
    return {
        "database": args.database,
        "labels": _label_origin(args, preset),
        "clip_frames": preset.clip_frames,
        "clip_size": preset.clip_size,
        "train_groups": preset.train_groups,
        "train_grid": list(preset.train_grid),
        "block_stride": preset.block_stride,
        "downscale": preset.downscale,
    }


def _prepare(args: argparse.Namespace, preset: Preset, out: Path) -> int:
    """Prepare the videos that are not prepared yet; return the exit code."""
    from data_prep import generated, messages, state
    from nr_vqm.common import atomic_files

    root, request = _root(args, out), _request(args, preset)
    state.check_request(out, request)
    rows, labels = _rows(args, preset, root)
    prepared = state.read(out)
    changes = state.compare(rows, prepared, root)
    jobs = _jobs(changes, prepared, preset, out, root, is_dry_run=args.dry_run)
    if not jobs and state.is_complete(out, changes.videos):
        print(f"{out} is complete already.")
        return _result(changes.videos)
    messages.print_labels(args.database, rows, labels, request["labels"], preset)
    if args.database not in GENERATED:
        messages.print_files(rows, labels, root)
    if prepared.videos:
        messages.print_changes(changes)
    if args.dry_run:
        return _dry_run(args, jobs, changes, preset, root)
    if jobs:
        atomic_files.drop_leftovers(out)
        _print_size(jobs, preset, out)
        if not DataFolder(out).settings.exists():
            state.write_request(out, request, root)
        _write(args, jobs, prepared, out)
    videos = state.compare(rows, prepared, root).videos
    if not any(checksum for checksum in prepared.checksums.values()):
        _result(videos)
        DataFolder(out).progress.unlink(missing_ok=True)
        raise ValueError("No video can be prepared. The reasons are above.")
    method = generated.label_method(args, preset)
    state.finish(out, videos, prepared, request=request, root=root, preset=preset, label_method=method)
    return _result(videos)


def _result(videos: "list[Video]") -> int:
    """Print which videos are ready and which are skipped; return the exit code."""
    from data_prep import messages

    return command_line.EXIT_FAILED if messages.print_result(videos) else 0


def _jobs(
    changes: "state.Changes", prepared: "state.Prepared", preset: Preset, out: Path, root: Path, *, is_dry_run: bool
) -> "list[build.ShardJob]":
    """List the shards to write: missing ones, then new ones for videos that are not prepared."""
    from data_prep import build
    from nr_vqm.dataset import manifest

    settings = {**preset.training_clips, "stride": preset.block_stride}
    missing = [
        number
        for number, checksum in sorted(prepared.checksums.items())
        if checksum is not None and not DataFolder(out).shard(number).exists()
    ]
    if missing:
        name = DataFolder(out).shard(missing[0]).name
        verb = "would be" if is_dry_run else "are"
        print(f"{len(missing)} shards are missing, {name} first; they {verb} written again.")
    jobs = []
    for number in missing:
        videos = tuple(one for one in changes.videos if one.status == manifest.OK and one.shard == number)
        jobs.append(build.ShardJob(number, DataFolder(out).shard(number), root, videos, settings))
    used = prepared.checksums
    return jobs + build.plan_jobs(changes.todo, used=used, out=out, root=root, clip_settings=settings)


def _num_clips(jobs: "list[build.ShardJob]", preset: Preset) -> int:
    """Return the number of clips of all jobs, provided that every video is usable."""
    per_video = preset.train_groups * preset.train_grid[0] * preset.train_grid[1]
    return sum(len(job.videos) for job in jobs) * per_video


def _print_size(jobs: "list[build.ShardJob]", preset: Preset, out: Path) -> None:
    """Print the size of the shards to write; raise OSError if the disk is too small."""
    from data_prep import build

    num_clips = _num_clips(jobs, preset)
    size = build.stored_size(num_clips, clip_frames=preset.clip_frames, clip_size=preset.clip_size)
    videos = sum(len(job.videos) for job in jobs)
    print(f"{videos:,} videos to prepare, {num_clips:,} clips, about {size / 1e9:.2f} GB on disk", flush=True)
    build.require_space(out, size)


def _dry_run(
    args: argparse.Namespace, jobs: "list[build.ShardJob]", changes: "state.Changes", preset: Preset, root: Path
) -> int:
    """Open the videos of the shards to write and print the required disk space and time; return the exit code."""
    from data_prep import build, label_files
    from nr_vqm.common import parallel
    from nr_vqm.dataset import manifest

    if all(one.status == label_files.MISSING for one in changes.videos):
        print(f"None of the {len(changes.videos):,} videos is on disk yet. The numbers above are from the labels.")
        return 0
    settings = {**preset.training_clips, "stride": preset.block_stride}
    inspect = functools.partial(build.inspect_video, root=root, clip_settings=settings, decode=False)
    videos = [one for job in jobs for one in job.videos]
    opened = list(parallel.map_in_order(inspect, videos, workers=args.workers, scheduler=args.scheduler))
    good = [one for one in opened if one.status == manifest.OK]
    num_clips = len(good) * build.clips_per_video(settings)
    size = build.stored_size(num_clips, clip_frames=preset.clip_frames, clip_size=preset.clip_size)
    seconds = build.estimate_seconds(good, root=root, clip_settings=settings, workers=args.workers)
    print(f"{len(good)} videos, {num_clips:,} clips, about {size / 1e9:.2f} GB on disk, {seconds / 60:.1f} minutes")
    by_id = {one.video_id: one for one in opened}
    return _result([by_id.get(one.video_id, one) for one in changes.videos])


def _write(args: argparse.Namespace, jobs: "list[build.ShardJob]", prepared: "state.Prepared", out: Path) -> None:
    """Write the shards and record each finished one."""
    from data_prep import build, state

    started = time.monotonic()

    def report(done: int, total: int) -> None:
        bar.finish_item()
        if not bar.shown:
            left = (time.monotonic() - started) / done * (total - done)
            print(f"shard {done} of {total}, about {left / 60:.1f} minutes left", flush=True)

    with state.Progress(out) as record, progress.Bar(len(jobs), "shards") as bar:
        for result in build.write_shards(jobs, workers=args.workers, scheduler=args.scheduler, progress=report):
            # Stored with the shard: after the manifest is written, it no longer says where the replaced clips are.
            finished = dataclasses.replace(result, stale=prepared.replaced_by(result))
            record.add(finished)
            prepared.add(finished)


def _print_progress(done: int, total: int) -> None:
    print(f"shard {done} of {total}", flush=True)


if __name__ == "__main__":
    command_line.run(main, resumes=True)
