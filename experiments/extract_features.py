"""python -m experiments.extract_features: 3D-CNN + videos -> <run>/features.h5."""

import functools
from pathlib import Path

from nr_vqm import commands


def main(argv=None):
    args = _parser().parse_args(argv)
    from nr_vqm import devices, files, manifest
    from nr_vqm.run_folder import RunFolder

    devices.quiet_tensorflow()
    data = Path(args.data)
    prep, videos = files.read_json(data / "prep.json", made_by="make prep"), manifest.usable(data)
    run = RunFolder(args.run)
    with run.lock():
        for repeat in run.repeats():
            repeat.check_labels(prep, data)
            _extract_all(repeat, videos, args)


def _extract_all(run, videos, args):
    """Write features.h5 of one 3D-CNN, unless that is complete."""
    from nr_vqm import bundle, cluster, features, files, worker

    files.require(run.cnn3d, made_by="make train")
    files.drop_leftovers(run)
    file, made_from = features.FeatureFile(run), files.sha256(run.cnn3d)
    made_of = {"videos": features.videos_sha256(videos), "schema": features.SCHEMA}
    if run.is_complete("features", **made_of):
        print(f"{file.path} is complete already.")
        file.drop_parts()
        return
    missing = [one for one in videos if not file.part(one.video_id, made_from).exists()]
    print(f"{len(missing)} of {len(videos)} videos to do", flush=True)
    with run.stage("features", facts={"versions": bundle.versions()}, **made_of):
        # Two videos at a time: one decodes and waits for the disk while the other computes.
        extract = functools.partial(worker.write_part, run_dir=run.path.resolve(), made_from=made_from)
        done = cluster.each(extract, missing, workers=args.workers, scheduler=args.scheduler, threads=2)
        for number, _ in enumerate(done, start=1):
            if number % 100 == 0:
                print(f"{number} of {len(missing)} videos", flush=True)
        file.join(videos, made_from)
    file.drop_parts()  # after the record: a kill before it costs no video
    print(f"Saved in {file.path}")


def _parser():
    parser = commands.new_parser("python -m experiments.extract_features", __doc__)
    parser.add_argument("--data", required=True, help="the data folder that the run was trained on")
    parser.add_argument("--run", required=True, help="a run folder with a trained 3D-CNN")
    commands.add_worker_options(parser)
    return parser


if __name__ == "__main__":
    commands.run(main)
