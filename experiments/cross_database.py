"""python -m experiments.cross_database: a run's 3D-CNN and heads, trained on one database, tested on all of another."""

from pathlib import Path

from experiments import extract_features
from nr_vqm import commands

HEADS = ("lstm", "svr", "mean", "lstm_features")


def main(argv=None):
    args = _parser().parse_args(argv)
    from nr_vqm import bundle, devices, tables

    devices.quiet_tensorflow()
    from nr_vqm import features, heads, results

    run, data, out = Path(args.run), Path(args.data), Path(args.out)
    _start(run, data, out)
    extract_features.main(["--data", str(data), "--run", str(out)])
    for repeat, folder in enumerate(bundle.repeat_dirs(out)):
        videos = features.read_head_inputs(folder)
        rows = [
            row
            for name in HEADS
            for row in heads.score_rows(heads.load(folder, name), videos, name=name, repeat=repeat)
        ]
        results.write_scores(folder, rows, [])
    seed = bundle.read_preset(out).seed
    print(tables.to_text(results.write(out, num_resamples=args.resamples, seed=seed)))


def _parser():
    parser = commands.new_parser("python -m experiments.cross_database", __doc__)
    parser.add_argument("--run", required=True, help="a run folder whose heads are fitted")
    parser.add_argument("--data", required=True, help="the other database's folder, prepared; its clips are not read")
    parser.add_argument("--out", required=True, metavar="RUN", help="the folder to write; make report reads it")
    parser.add_argument("--resamples", type=commands.resamples, default=1000, help="of the bootstrap")
    return parser


def _start(run, data, out):
    """Make the folder of the test: the run's networks, and what is known about the other database."""
    from nr_vqm import bundle, files, manifest

    prep, videos = files.read_json(data / "prep.json", made_by="make prep"), manifest.usable(data)
    facts = {
        "database": f"{prep['database']}, trained on {bundle.read_run(run).get('database')}",
        "labels_sha256": prep["labels_sha256"],
        "data_dir": str(data.resolve()),
        "mos_range": [videos[0].mos_low, videos[0].mos_high],
        "videos": len(videos),
    }
    begun = bundle.read_run(out).get("data_dir")
    if begun not in (None, facts["data_dir"]):
        raise ValueError(f"{out} was begun with {begun}. Choose another --out, or delete it.")
    for folder in bundle.repeat_dirs(run):
        bundle.check_heads(folder)
        _refuse_known(folder, videos)
    bundle.derive(run, out, keep=bundle.MODELS, facts=facts)


def _refuse_known(run, videos):
    """Refuse a database with videos that the run was trained on."""
    from nr_vqm import splits

    split = splits.read(run / "splits.json")
    known = sorted({*split.train, *split.val} & {one.video_id for one in videos})
    if known:
        raise ValueError(
            f"Another database is needed, {run} was trained on {len(known)} of these videos, {known[0]!r} first. "
            "For videos of its own test part: make compare."
        )


if __name__ == "__main__":
    commands.run(main)
