"""Test a run's 3D-CNN and its heads on all videos of another database. Heads on hand-crafted features are skipped."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments import extract_features
from nr_vqm import command_line
from nr_vqm.common import devices
from nr_vqm.dataset import label_origin, manifest, splits
from nr_vqm.evaluation import comparison_tables
from nr_vqm.models import head_table
from nr_vqm.runs import derived_runs, features, fitted_head, results, stage_records
from nr_vqm.runs.run_folder import RunFolder

FINETUNED = "lstm_finetuned"
REMEDY = "Test on a database that neither the run nor its --start was trained on; make compare tests on the run's own."


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    devices.start(args.device, hide_startup_lines=True)
    run, data, out = RunFolder(args.run), Path(args.data), RunFolder(args.out)
    with out.lock(new=True):
        names = _without_known(_heads_of(run), run, data)
        if skipped := [name for name in head_table.RIVALS if run.repeats()[0].is_complete(head_table.get(name).stage)]:
            print(f"Not tested, as they read hand-crafted features: {', '.join(map(head_table.label, skipped))}.")
        _start(run, data, out, names)
        extract_features.extract(out, data, args)
        for repeat, folder in enumerate(out.repeats()):
            _score(folder, repeat, names)
        metrics = results.write(out, num_resamples=args.resamples, seed=out.read_preset().seed)
    print(comparison_tables.to_text(metrics))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser(
        "python -m experiments.cross_database",
        __doc__,
        example="--run runs/mine --data data/other --out runs/mine-cross",
    )
    parser.add_argument("--run", required=True, help="a run folder whose heads are fitted")
    parser.add_argument("--data", required=True, help="the other database's data folder; its clips are not used")
    parser.add_argument("--out", required=True, metavar="RUN", help="the run folder to write, for make report")
    extract_features.add_options(parser)
    parser.add_argument("--resamples", type=command_line.resamples, default=1000, help="number of bootstrap draws")
    return parser


def _start(run: RunFolder, data: Path, out: RunFolder, names: Sequence[str]) -> None:
    """Create the run folder of the test with the run's models and the facts of the other database."""
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
        splits.refuse_fitted(folder.splits, tested, remedy=REMEDY)
        for name in names:
            folder.check_head(name)
    models = [head_table.get(name).file for name in names]
    derived_runs.derive(run, out, keep=(stage_records.CNN3D, *filter(None, models)), facts=facts)


def _without_known(names: Sequence[str], run: RunFolder, data: Path) -> list[str]:
    """Return the heads without the fine-tuned one, if that was first fitted on some of these videos."""
    started = {
        one for repeat in run.repeats() for one in repeat.read_facts().get("finetuned_from", {}).get("fitted", ())
    }
    if FINETUNED not in names or not started & {one.fingerprint for one in manifest.usable(data)}:
        return list(names)
    print(f"Not tested, as it was first fitted on some of these videos: {head_table.label(FINETUNED)}.")
    return [name for name in names if name != FINETUNED]


def _score(run: RunFolder, repeat: int, names: Sequence[str]) -> None:
    """Score all videos with the heads of one repeat; skip a complete repeat."""
    from nr_vqm.runs import heads

    if run.is_complete("cross_database", heads=names):
        print(f"{run}: all videos are scored already.")
        return
    with run.stage("cross_database", heads=names):
        videos = features.read_head_inputs(run)
        fitted = [heads.load(run, name) for name in names]
        rows = [row for head in fitted for row in fitted_head.score_rows(head, videos, repeat=repeat)]
        results.write_scores(run, "cross_database", rows, [])


def _heads_of(run: RunFolder) -> list[str]:
    """Return the names of the run's heads: those of compare, and those of other stages complete in every repeat.

    Heads with a 3D-CNN of their own or none are skipped: the other database has features of the run's 3D-CNN only.
    """
    repeats = run.repeats()
    return [
        row.name
        for row in head_table.HEADS.values()
        if row.cnn3d == head_table.CNN3D
        and (row.stage == "compare" or all(one.is_complete(row.stage) for one in repeats))
    ]


if __name__ == "__main__":
    command_line.run(main, resumes=True)
