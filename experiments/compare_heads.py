"""Fit and compare the heads of a run: features -> SVR and LSTM heads, test scores and metrics."""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from nr_vqm import command_line, presets
from nr_vqm.common import atomic_files, devices
from nr_vqm.dataset import splits
from nr_vqm.evaluation import comparison_tables
from nr_vqm.models import head_table
from nr_vqm.runs import features, interval_file, results
from nr_vqm.runs.run_folder import RunFolder


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    devices.start(args.device, hide_startup_lines=True)
    run = RunFolder(args.run)
    with run.lock():
        for repeat, folder in enumerate(run.repeats()):
            _fit_and_score(folder, repeat)
        metrics = results.write(run, num_resamples=args.resamples, seed=run.read_preset().seed)
    print(comparison_tables.to_text(metrics))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m experiments.compare_heads", __doc__)
    parser.add_argument("--run", required=True, help="a run folder with extracted features")
    command_line.add_device_option(parser)
    parser.add_argument("--resamples", type=command_line.resamples, default=1000, help="number of bootstrap draws")
    return parser


def _fit_and_score(run: RunFolder, repeat: int) -> None:
    """Fit all heads of one repeat and score its test videos; skip a complete repeat."""
    from nr_vqm.runs import heads

    preset = run.read_preset()
    atomic_files.drop_leftovers(run)
    run.require_complete("features")
    if run.is_complete("compare"):
        print(f"{run}: the heads are fitted already; delete {run.score_file('compare')} to fit them again.")
        return
    videos, split = features.read_head_inputs(run), splits.read(run.splits)
    train, val, test = (videos.select(getattr(split, part)) for part in splits.PARTS)
    with run.stage("compare"):
        fitted = _fit(run, preset, train, val)
        test_rows, train_rows = (
            [row for head, _ in fitted for row in heads.score_rows(head, part, repeat=repeat)] for part in (test, train)
        )
        results.write_scores(run, "compare", test_rows, train_rows)
        interval_file.write(run, {head.row.name: (outputs, val.quality) for head, outputs in fitted})


def _fit(
    run: RunFolder, preset: presets.Preset, train: features.HeadInputs, val: features.HeadInputs
) -> list[tuple[Any, np.ndarray]]:
    """Fit every head of this stage; return each head with its outputs for the validation videos."""
    from nr_vqm.runs import heads

    devices.seed_everything(preset.seed)
    rows = head_table.fitted_by("compare")
    return [heads.fit(run, row.name, train, val, **preset.heads[row.method]) for row in rows]


if __name__ == "__main__":
    command_line.run(main, resumes=True)
