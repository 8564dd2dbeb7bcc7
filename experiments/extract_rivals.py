"""Extract the hand-crafted features of other methods: videos -> <run>/rivals/NAME.h5, one file per method.

The 3D-CNN is not needed. A stopped command resumes; a video whose features cannot be computed becomes a row with the
reason. If the decoder died on a video, the command ends with an error, and computes that video when it is run again.
CORNIA needs the run's split: its codebook is learned from the training videos.
"""

import argparse
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

from nr_vqm import command_line, progress
from nr_vqm.common import atomic_files, parallel, safe_output
from nr_vqm.dataset import manifest, splits
from nr_vqm.handcrafted import cornia, extraction, methods
from nr_vqm.runs import derived_runs, features, rival_features, stage_records
from nr_vqm.runs.rival_features import RivalFile
from nr_vqm.runs.run_folder import RunFolder

NOT_PUBLISHED = ("videval_light", "frame_statistics")  # variants of ours: not in a table of published methods
DEFAULT = tuple(name for name in methods.METHODS if name not in NOT_PUBLISHED)
MAX_STEP = 100  # videos between two lines of progress
MAX_LISTED = 10  # failed videos of a method that are printed


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    prep, videos = manifest.read_prep(args.data), manifest.usable(args.data)
    run = RunFolder(args.run)
    with run.lock():
        for folder in {run, *run.repeats()}:
            folder.check_labels(prep, args.data)
            folder.rivals.mkdir(exist_ok=True)
            atomic_files.drop_leftovers(folder.rivals)
        for method in args.rivals:
            if method.needs_codebook:
                for repeat in run.repeats():
                    _learn_codebook(repeat, videos, args)
                    _extract(repeat, method, videos, args)
            else:
                _extract(run, method, videos, args)


def _extract(run: RunFolder, method: methods.Method, videos: list[manifest.Video], args: argparse.Namespace) -> None:
    """Write the features of one method; skip a complete file. Repeats of the run share the file."""
    codebook = run.codebook.resolve() if method.needs_codebook else None
    checksum = atomic_files.sha256(codebook) if codebook else ""
    file = RivalFile(run.path.resolve(), method.name, method.version, method.num_features, checksum)
    stage = stage_records.rival_stage(method.name)
    made_of = {"videos": features.videos_sha256(videos), "keys": file.keys_sha256(videos)}
    if run.is_complete(stage, **made_of):
        print(f"{file.path} is complete already.")
    else:
        _drop_changed(run, file.path)
        with run.stage(stage, **made_of):
            _compute(file, codebook, method.label, videos, args)
            file.join(videos)
        _print_result(file)
    file.drop_parts()  # after the stage is recorded, so that a killed command keeps the computed videos
    for repeat in [] if method.needs_codebook else run.repeats():
        if not repeat.is_complete(stage, **made_of):
            with repeat.stage(stage, **made_of):
                derived_runs.share_file(file.path, repeat.rival_features(method.name))


def _compute(
    file: RivalFile, codebook: Path | None, label: str, videos: list[manifest.Video], args: argparse.Namespace
) -> None:
    """Compute the missing features and print the progress; ValueError if the decoder died on a video."""
    missing = file.missing(videos)
    print(f"{label}: {len(missing)} of {len(videos)} videos to compute", flush=True)
    if missing:
        missing = manifest.locate(missing, manifest.find_root(args.data, args.root))
    compute = functools.partial(extraction.write_part, file=file, codebook=codebook)

    def record_death(one: manifest.Video, error: parallel.WorkerDied) -> None:
        file.write_part(one, None, reason=str(error))

    done = parallel.map_in_order(
        compute, missing, workers=args.workers, scheduler=args.scheduler, on_death=record_death
    )
    _print_progress(done, label, len(missing))
    left = [one.video_id for one in file.missing(videos)]
    if left:
        more = f" and {len(left) - MAX_LISTED} more" if len(left) > MAX_LISTED else ""
        raise ValueError(
            f"{label}: the decoder died on {len(left)} videos: {', '.join(left[:MAX_LISTED])}{more}. Run the same "
            "command again, which computes only these; remove a video on which it always dies from the label file."
        )


def _print_progress(done: Iterable[None], label: str, total: int) -> None:
    """Show a bar, or print a line for every twentieth part of the videos, or every hundredth video."""

    def line(number: int, seconds_left: float) -> str:
        minutes = round(seconds_left / 60)
        return f"{label}: {number} of {total} videos, {minutes // 60} h {minutes % 60:02d} min left"

    for _ in progress.track(done, total, "videos", every=min(MAX_STEP, max(1, total // 20)), line=line):
        pass


def _print_result(file: RivalFile) -> None:
    found = rival_features.read(file.run_dir, file.name)
    failed = [index for index, reason in enumerate(found.reason) if reason]
    print(f"Saved in {file.path}: {len(found.video_id) - len(failed)} videos, {found.seconds.mean():.3g} s per video")
    for index in failed[:MAX_LISTED]:
        print(safe_output.printable(f"  no features of {found.video_id[index]}: {found.reason[index]}"))
    if len(failed) > MAX_LISTED:
        print(f"  and of {len(failed) - MAX_LISTED} more videos; their reasons are in the file")


def _learn_codebook(run: RunFolder, videos: list[manifest.Video], args: argparse.Namespace) -> None:
    """Learn the codebook of a split; skip a complete one."""
    atomic_files.require(run.splits, made_by="make train")
    chosen = set(splits.read(run.splits).train)
    train = [one for one in videos if one.video_id in chosen]
    seed = run.read_preset().seed
    made_of = {"videos": features.files_sha256(train), "seed": seed}
    if run.is_complete("codebook", **made_of):
        return
    print(f"Learning CORNIA's codebook from {len(train)} training videos", flush=True)
    located = manifest.locate(train, manifest.find_root(args.data, args.root))
    with run.stage("codebook", **made_of):
        cornia.save_codebook(run.codebook, extraction.learn_codebook(located, seed=seed))


def _drop_changed(run: RunFolder, path: Path) -> None:
    """Delete a file of features that is not the recorded one, because its rows would be used again."""
    if path.exists():
        try:
            run.check_file(path)
        except ValueError:
            print(f"{path} has changed since it was written: it is computed again.")
            path.unlink()


def _method_list(text: str) -> list[methods.Method]:
    """Parse names of methods, separated by commas (argparse type)."""
    try:
        return [methods.get(name) for name in dict.fromkeys(text.split(","))]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser(
        "python -m experiments.extract_rivals",
        __doc__,
        example="--data data/mine --run runs/mine --rivals niqe,brisque",
    )
    parser.add_argument("--data", required=True, help="the data folder of the run")
    parser.add_argument("--run", required=True, help="a run folder; make train has at least created its splits")
    parser.add_argument(
        "--rivals", type=_method_list, default=",".join(DEFAULT), metavar="METHOD,...", help=_rivals_help()
    )
    parser.add_argument("--root", help="the folder of the videos, if it has moved since make prep")
    command_line.add_worker_options(parser)
    return parser


def _rivals_help() -> str:
    return (
        f"methods to compute: {', '.join(methods.METHODS)}. CPU seconds per video of 8 s and 960 x 540: niqe 1, "
        "brisque 1, cornia 1, video_bliinds 16, friquee 45, videval 46, videval_light 7, frame_statistics 2"
    )


if __name__ == "__main__":
    command_line.run(main, resumes=True)
