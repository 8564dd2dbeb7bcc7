"""python -m experiments.extract_features: 3D-CNN + videos -> <run>/features.h5."""

import functools
from pathlib import Path

from nr_vqm import commands


def main(argv=None):
    args = _parser().parse_args(argv)
    from nr_vqm import bundle, devices, files, manifest

    devices.quiet_tensorflow()
    data = Path(args.data)
    prep, videos = files.read_json(data / "prep.json", made_by="make prep"), manifest.usable(data)
    for run in bundle.repeat_dirs(args.run):
        bundle.check_data(run, prep, data)
        _extract_all(run, videos, args)


def _extract_all(run, videos, args):
    """Write features.h5 of one 3D-CNN, unless it is there."""
    from nr_vqm import bundle, cluster, features, files, worker

    files.require(run / "cnn3d.keras", made_by="make train")
    files.drop_leftovers(run)
    file, made_from = features.FeatureFile(run), files.sha256(run / "cnn3d.keras")
    if file.holds(videos, made_from):
        print(f"{file.path} is complete already.")
        file.drop_parts()
        return
    missing = [one for one in videos if not file.part(one.video_id, made_from).exists()]
    print(f"{len(missing)} of {len(videos)} videos to do", flush=True)
    with bundle.stage(run, "features"):
        # Two videos at a time: one decodes and waits for the disk while the other computes.
        extract = functools.partial(worker.write_part, run_dir=run.resolve(), made_from=made_from)
        done = cluster.each(extract, missing, workers=args.workers, scheduler=args.scheduler, threads=2)
        for number, _ in enumerate(done, start=1):
            if number % 100 == 0:
                print(f"{number} of {len(missing)} videos", flush=True)
        file.join(videos, made_from)
    print(f"Saved in {file.path}")


def _parser():
    parser = commands.new_parser("python -m experiments.extract_features", __doc__)
    parser.add_argument("--data", required=True, help="the data folder that the run was trained on")
    parser.add_argument("--run", required=True, help="a run folder with a trained 3D-CNN")
    commands.add_worker_options(parser)
    return parser


if __name__ == "__main__":
    commands.run(main)
