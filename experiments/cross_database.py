"""python -m experiments.cross_database: a run's 3D-CNN and heads, trained on one database, tested on all of another."""

from pathlib import Path

from experiments import extract_features
from nr_vqm import commands

HEADS = ("lstm", "svr", "mean", "lstm_features")


def main(argv=None):
    args = _parser().parse_args(argv)
    from nr_vqm import devices, tables

    devices.start(hide_startup_lines=True)
    from nr_vqm import results
    from nr_vqm.run_folder import RunFolder

    run, data, out = RunFolder(args.run), Path(args.data), RunFolder(args.out)
    with out.lock(new=True):
        _start(run, data, out)
        extract_features.main(["--data", str(data), "--run", str(out)])
        for repeat, folder in enumerate(out.repeats()):
            _score(folder, repeat)
        metrics = results.write(out, num_resamples=args.resamples, seed=out.read_preset().seed)
    print(tables.to_text(metrics))


def _parser():
    parser = commands.new_parser("python -m experiments.cross_database", __doc__)
    parser.add_argument("--run", required=True, help="a run folder whose heads are fitted")
    parser.add_argument("--data", required=True, help="the other database's folder, prepared; its clips are not read")
    parser.add_argument("--out", required=True, metavar="RUN", help="the folder to write; make report reads it")
    parser.add_argument("--resamples", type=commands.resamples, default=1000, help="of the bootstrap")
    return parser


def _start(run, data, out):
    """Make the folder of the test: the run's networks, and what is known about the other database."""
    from nr_vqm import files, manifest, run_folder

    prep, videos = files.read_json(data / "prep.json", made_by="make prep"), manifest.usable(data)
    trained_on = run.read_facts().get("database")
    facts = {
        "database": f"{prep['database']}, trained on {trained_on}",
        "trained_on": trained_on,
        "labels_sha256": prep["labels_sha256"],
        "data_dir": str(data.resolve()),
        "mos_range": [videos[0].mos_low, videos[0].mos_high],
        "videos": len(videos),
    }
    started = out.read_facts().get("labels_sha256")
    if started not in (None, facts["labels_sha256"]):
        raise ValueError(f"{out} was started with other videos or labels than {data} has. Choose another --out.")
    for folder in run.repeats():
        for name in HEADS:
            if name != "mean":
                folder.check_head(name)
        _refuse_known(folder, videos)
    run_folder.derive(run, out, keep=run_folder.MODELS, facts=facts)


def _score(run, repeat):
    """Score all videos with the heads of one repeat, unless that is complete."""
    from nr_vqm import bundle, features, heads, results

    if run.is_complete("cross_database"):
        print(f"{run}: all videos are scored already.")
        return
    with run.stage("cross_database", facts={"versions": bundle.versions()}):
        videos = features.read_head_inputs(run)
        rows = [
            row for name in HEADS for row in heads.score_rows(heads.load(run, name), videos, name=name, repeat=repeat)
        ]
        results.write_scores(run, "cross_database", rows, [])


def _refuse_known(run, videos):
    """Refuse a database with videos that the run was trained on."""
    from nr_vqm import splits

    split = splits.read(run.splits)
    known = sorted({*split.train, *split.val} & {one.video_id for one in videos})
    if known:
        raise ValueError(
            f"Another database is needed, {run} was trained on {len(known)} of these videos, {known[0]!r} first. "
            "For videos of its own test part: make compare."
        )


if __name__ == "__main__":
    commands.run(main, resumes=True)
