"""python -m experiments.compare_heads: features -> the SVR and LSTM heads, their test scores and metrics."""

from nr_vqm import command_line


def main(argv=None):
    args = _parser().parse_args(argv)
    from nr_vqm.common import devices
    from nr_vqm.evaluation import comparison_tables

    devices.start(args.device, hide_startup_lines=True)
    from nr_vqm.runs import results
    from nr_vqm.runs.run_folder import RunFolder

    run = RunFolder(args.run)
    with run.lock():
        for repeat, folder in enumerate(run.repeats()):
            _fit_and_score(folder, repeat)
        metrics = results.write(run, num_resamples=args.resamples, seed=run.read_preset().seed)
    print(comparison_tables.to_text(metrics))


def _parser():
    parser = command_line.new_parser("python -m experiments.compare_heads", __doc__)
    parser.add_argument("--run", required=True, help="a run folder with extracted features")
    command_line.add_device_option(parser)
    parser.add_argument("--resamples", type=command_line.resamples, default=1000, help="of the bootstrap")
    return parser


def _fit_and_score(run, repeat):
    """Fit all heads of one repeat on train and val and score its test videos, unless that is complete."""
    from nr_vqm.common import atomic_files, provenance
    from nr_vqm.dataset import splits
    from nr_vqm.runs import features, heads, prediction_intervals, results

    preset = run.read_preset()
    atomic_files.drop_leftovers(run)
    run.require_complete("features")
    if run.is_complete("compare"):
        print(f"{run}: the heads are fitted already; delete its {run.score_file('compare').name} to fit them again.")
        return
    videos, split = features.read_head_inputs(run), splits.read(run.splits)
    train, val, test = (videos.of(getattr(split, part)) for part in splits.PARTS)
    with run.stage("compare", facts={"versions": provenance.versions()}):
        fitted = _fit(run, preset, train, val)
        test_rows, train_rows = (
            [row for head, _ in fitted for row in heads.score_rows(head, part, repeat=repeat)] for part in (test, train)
        )
        results.write_scores(run, "compare", test_rows, train_rows)
        prediction_intervals.write(run, {head.row.name: (outputs, val.quality) for head, outputs in fitted})


def _fit(run, preset, train, val):
    """[(Head, its outputs for val)] of every head of this stage."""
    from nr_vqm.common import devices
    from nr_vqm.models import head_table
    from nr_vqm.runs import heads

    devices.seed_everything(preset.seed)
    rows = head_table.fitted_by("compare")
    return [heads.fit(run, row.name, train, val, **preset.heads[row.method]) for row in rows]


if __name__ == "__main__":
    command_line.run(main, resumes=True)
