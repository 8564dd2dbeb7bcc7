"""Extract the features of all videos: 3D-CNN and videos -> <run>/features.h5."""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nr_vqm import command_line, progress
from nr_vqm.common import atomic_files, devices, parallel
from nr_vqm.dataset import manifest
from nr_vqm.runs import features
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import feature_tasks


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    devices.start(args.device, hide_startup_lines=True)
    extract(RunFolder(args.run), Path(args.data), args)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `extract`."""
    parser.add_argument("--root", help="the folder of the videos, if it has moved since make prep")
    command_line.add_device_option(parser)
    command_line.add_precision_option(parser)
    command_line.add_worker_options(parser)


def extract(run: RunFolder, data: Path, args: argparse.Namespace) -> None:
    """Extract the features of all videos with the 3D-CNN of every repeat of a run; complete ones are kept.

    Args:
        run: the run, with a trained 3D-CNN.
        data: the data folder, with the labels that the run was started with.
        args: the values of the options of `add_options`.
    """
    prep, videos = manifest.read_prep(data), manifest.usable(data)
    with run.lock():
        for repeat in run.repeats():
            repeat.check_labels(prep, data)
            repeat.update_facts(data_dir=str(data.resolve()))  # it may have been moved since the training
            _extract_all(repeat, videos, data, args)


def _extract_all(run: RunFolder, videos: Sequence[manifest.Video], data: Path, args: argparse.Namespace) -> None:
    """Write features.h5 of one 3D-CNN; skip a complete file."""
    atomic_files.require(run.cnn3d, made_by="make train")
    atomic_files.drop_leftovers(run)
    wanted, made_from = args.precision or run.read_preset().precision, atomic_files.sha256(run.cnn3d)
    precision = devices.chosen_precision(wanted)
    made_of: dict[str, Any] = {"videos": features.videos_sha256(videos), "files": features.files_sha256(videos)}
    made_of |= {"clips": run.read_preset().head_clips, "schema": features.SCHEMA}
    # 'auto' accepts features of either precision, which another machine may have extracted.
    accepted = run.read_facts().get("precision", {}).get("features") if wanted == "auto" else precision
    file = features.FeatureFile(run, precision=precision)
    if run.is_complete("features", precision=accepted, **made_of):
        print(f"{file.path} is complete already.")
        file.drop_parts()
        return
    missing = [one for one in videos if not file.part(one, made_from).exists()]
    missing = manifest.locate(missing, manifest.find_root(data, args.root)) if missing else []
    print(f"{len(missing)} of {len(videos)} videos to extract", flush=True)
    facts = {"precision": {"features": precision}}
    with run.stage("features", facts=facts, precision=precision, **made_of):
        # Two videos at a time: one is decoded while the features of the other are computed.
        settings = {"made_from": made_from, "precision": precision, "device": args.device}
        extract = functools.partial(feature_tasks.write_part, run_dir=run.path.resolve(), **settings)
        done = parallel.map_in_order(extract, missing, workers=args.workers, scheduler=args.scheduler, threads=2)
        for _ in progress.track(
            done, len(missing), "videos", every=100, line=lambda number, _: f"{number} of {len(missing)} videos"
        ):
            pass
        file.join(videos, made_from)
    file.drop_parts()  # after the stage is recorded, so that a killed command keeps the extracted videos
    print(f"Saved in {file.path}")


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser(
        "python -m experiments.extract_features", __doc__, example="--data data/mine --run runs/mine"
    )
    parser.add_argument("--data", required=True, help="the data folder that the run was trained on")
    parser.add_argument("--run", required=True, help="a run folder with a trained 3D-CNN")
    add_options(parser)
    return parser


if __name__ == "__main__":
    command_line.run(main, resumes=True)
