"""python -m experiments.cross_database: a run's 3D-CNN and heads, trained on one database, tested on all of another."""

from pathlib import Path

from experiments import extract_features
from nr_vqm import command_line

REMEDY = "Test on another database; for the test part of its own: make compare."


def main(argv=None):
    args = _parser().parse_args(argv)
    from nr_vqm.common import devices
    from nr_vqm.evaluation import comparison_tables

    devices.start(hide_startup_lines=True)
    from nr_vqm.runs import results
    from nr_vqm.runs.run_folder import RunFolder

    run, data, out = RunFolder(args.run), Path(args.data), RunFolder(args.out)
    with out.lock(new=True):
        names = _heads_of(run)
        _start(run, data, out, names)
        root = ["--root", args.root] if args.root else []
        extract_features.main(["--data", str(data), "--run", str(out), *root])
        for repeat, folder in enumerate(out.repeats()):
            _score(folder, repeat, names)
        metrics = results.write(out, num_resamples=args.resamples, seed=out.read_preset().seed)
    print(comparison_tables.to_text(metrics))


def _parser():
    parser = command_line.new_parser("python -m experiments.cross_database", __doc__)
    parser.add_argument("--run", required=True, help="a run folder whose heads are fitted")
    parser.add_argument("--data", required=True, help="the other database's folder, prepared; its clips are not read")
    parser.add_argument("--root", help="the folder of the other database's videos, where it has moved since prep")
    parser.add_argument("--out", required=True, metavar="RUN", help="the folder to write; make report reads it")
    parser.add_argument("--resamples", type=command_line.resamples, default=1000, help="of the bootstrap")
    return parser


def _start(run, data, out, names):
    """Make the folder of the test: the run's networks, and what is known about the other database."""
    from nr_vqm.dataset import label_origin, manifest, splits
    from nr_vqm.models import head_table
    from nr_vqm.runs import run_folder

    prep, videos = manifest.read_prep(data), manifest.usable(data)
    trained_on = run.read_facts().get("database")
    facts = {
        "database": f"{prep['database']}, trained on {trained_on}",
        "trained_on": trained_on,
        "labels": label_origin.check(prep.get("labels"), f"{data}/prep.json (made by make prep)"),
        "trained_labels": run.read_labels()[1],
        "labels_sha256": prep["labels_sha256"],
        "data_dir": str(data.resolve()),
        "mos_range": [videos[0].mos_low, videos[0].mos_high],
        "videos": len(videos),
    }
    started = out.read_facts().get("labels_sha256")
    if started not in (None, facts["labels_sha256"]):
        raise ValueError(f"{out} was started with other videos or labels than {data} has. Choose another --out.")
    tested = {one.video_id: one.fingerprint for one in videos}
    for folder in run.repeats():
        for name in names:
            folder.check_head(name)
        splits.refuse_fitted(folder.splits, tested, remedy=REMEDY)
    models = [head_table.get(name).file for name in names]
    run_folder.derive(run, out, keep=(run_folder.CNN3D, *filter(None, models)), facts=facts)


def _score(run, repeat, names):
    """Score all videos with the heads of one repeat, unless that is complete."""
    from nr_vqm.common import provenance
    from nr_vqm.runs import features, heads, results

    if run.is_complete("cross_database", heads=names):
        print(f"{run}: all videos are scored already.")
        return
    with run.stage("cross_database", facts={"versions": provenance.versions()}, heads=names):
        videos = features.read_head_inputs(run)
        fitted = [heads.load(run, name) for name in names]
        rows = [row for head in fitted for row in heads.score_rows(head, videos, repeat=repeat)]
        results.write_scores(run, "cross_database", rows, [])


def _heads_of(run):
    """The names of the run's heads: those of compare, and those of later stages that are complete in every repeat."""
    from nr_vqm.models import head_table

    repeats = run.repeats()
    return [
        row.name
        for row in head_table.HEADS.values()
        if row.stage == "compare" or all(one.is_complete(row.stage) for one in repeats)
    ]


if __name__ == "__main__":
    command_line.run(main, resumes=True)
