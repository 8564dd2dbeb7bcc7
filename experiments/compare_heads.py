"""Fit and compare the heads of a run: features -> SVR and LSTM heads, test scores and metrics.

The heads on hand-crafted features are included for every method that `make rivals` has completed.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from nr_vqm import command_line, progress
from nr_vqm.common import atomic_files, devices
from nr_vqm.dataset import splits
from nr_vqm.evaluation import comparison_tables
from nr_vqm.models import head_table
from nr_vqm.runs import features, fitted_head, interval_file, results, rival_features, rival_inputs
from nr_vqm.runs.run_folder import RunFolder


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    devices.start(args.device, hide_startup_lines=True)
    run = RunFolder(args.run)
    with run.lock():
        folders = run.repeats()
        with progress.Bar(sum(map(_num_heads, folders)), "heads") as bar:
            for repeat, folder in enumerate(folders):
                _fit_and_score(folder, repeat, bar)
        metrics = results.write(run, num_resamples=args.resamples, seed=run.read_preset().seed)
    print(comparison_tables.to_text(metrics))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m experiments.compare_heads", __doc__, example="--run runs/mine")
    parser.add_argument("--run", required=True, help="a run folder with extracted features")
    command_line.add_device_option(parser)
    parser.add_argument("--resamples", type=command_line.resamples, default=1000, help="number of bootstrap draws")
    return parser


def _num_heads(run: RunFolder) -> int:
    return len(head_table.fitted_by("compare")) + len(rival_features.computed(run))


def _fit_and_score(run: RunFolder, repeat: int, bar: progress.Bar) -> None:
    """Fit all heads of one repeat and score its test videos; skip those that are complete."""
    for folder in (run.path, run.rivals):
        atomic_files.drop_leftovers(folder)
    run.require_complete("features")
    videos, split = features.read_head_inputs(run), splits.read(run.splits)
    if run.is_complete("compare"):
        _print(bar, f"{run}: the heads are fitted already; delete {run.score_file('compare')} to fit them again.")
        for _ in head_table.fitted_by("compare"):
            bar.finish_item()
    else:
        _fit_stage(run, "compare", repeat, {part: videos.select(getattr(split, part)) for part in splits.PARTS}, bar)
    for name in rival_features.computed(run):
        found = rival_features.read(run, name)
        inputs = rival_inputs.attach(videos, found)
        parts = {part: inputs.select(getattr(split, part)) for part in splits.PARTS}
        _fit_rival(run, name, repeat, parts, bar, version=found.version)


def _fit_rival(
    run: RunFolder,
    name: str,
    repeat: int,
    parts: Mapping[str, rival_inputs.RivalInputs],
    bar: progress.Bar,
    *,
    version: int,
) -> None:
    """Fit the head of one hand-crafted method, in a stage of its own; skip it if it is complete or has no features."""
    row, reasons = head_table.get(name), parts["train"].reason
    if run.is_complete(row.stage, version=version):
        _print(bar, f"{run}: {row.label} is fitted already.")
        bar.finish_item()
    elif all(reasons):
        why = f"as no training video has its features. The first reason: {reasons[0]}"
        _print(bar, f"{run}: {row.label} is skipped, {why}")
        bar.finish_item()
    else:
        facts = {"rivals": {name: rival_inputs.describe(parts)}}
        _fit_stage(run, row.stage, repeat, parts, bar, facts=facts, version=version)


def _fit_stage(
    run: RunFolder,
    stage: str,
    repeat: int,
    parts: Mapping[str, features.LabelledVideos],
    bar: progress.Bar,
    *,
    facts: Mapping[str, Any] | None = None,
    **settings: Any,
) -> None:
    """Fit every head of a stage, and write its scores and the validation scores for its intervals.

    Args:
        run: the folder of one repeat.
        stage: 'compare', or the stage of a hand-crafted method.
        repeat: number of the repeat.
        parts: the inputs of the heads for 'train', 'val' and 'test'.
        bar: shows which head is fitted.
        facts: values for run.json.
        settings: of the stage's record.
    """
    from nr_vqm.runs import heads

    preset, (train, val, test) = run.read_preset(), (parts[part] for part in splits.PARTS)
    devices.seed_everything(preset.seed)
    with run.stage(stage, facts=facts, **settings):
        fitted = []
        for row in head_table.fitted_by(stage):
            bar.start_item(row.label)
            fitted.append(heads.fit(run, row.name, train, val, **preset.heads[row.method]))
            bar.finish_item()
        test_rows, train_rows = (
            [row for head, _ in fitted for row in fitted_head.score_rows(head, part, repeat=repeat)]
            for part in (test, train)
        )
        results.write_scores(run, stage, test_rows, train_rows)
        interval_file.write(run, {head.row.name: (outputs, val.quality) for head, outputs in fitted})


def _print(bar: progress.Bar, line: str) -> None:
    with bar.hidden():
        print(line)


if __name__ == "__main__":
    command_line.run(main, resumes=True)
