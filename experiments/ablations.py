"""Vary one setting of the heads of a run, with the same 3D-CNN, and compare the results."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import compare_heads, extract_features
from nr_vqm import command_line
from nr_vqm.common import atomic_files, devices, safe_output
from nr_vqm.evaluation import comparison_tables
from nr_vqm.runs import derived_runs, stage_records
from nr_vqm.runs.run_folder import RunFolder

GRIDS = {8: (2, 4), 16: (4, 4), 32: (4, 8)}  # number of groups, and of blocks as (rows, columns)
UNITS = (8, 16, 32, 64, 128)
GRID_SETTINGS = ("num_groups", "block_grid")
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "grid": {f"{n} x {n}": {"num_groups": n, "block_grid": grid} for n, grid in GRIDS.items()},
    "lstm_units": {str(units): {"lstm_units": units} for units in UNITS},
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    run = RunFolder(args.run)
    for repeat in run.repeats():
        atomic_files.require(repeat.cnn3d, made_by="make train")
    devices.start(args.device, hide_startup_lines=True)
    with run.lock():
        extract_features.extract(run, Path(args.data), args)  # once, for all variants with the run's grid
        variants = SETTINGS[args.setting]
        table = comparison_tables.of_variants(
            {name: _measure(run, args, name, changes) for name, changes in variants.items()}
        )
        path = run.ablation_table(args.setting)
        atomic_files.write_text(path, table)
    print(safe_output.printable(f"{args.setting}, {run.read_facts().get('database')}, also in {path}"))
    print(table)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser(
        "python -m experiments.ablations", __doc__, example="grid --run runs/mine --data data/mine"
    )
    parser.add_argument("setting", choices=SETTINGS, help="the clip grid of the heads, or the number of LSTM units")
    parser.add_argument("--run", required=True, help="a run folder with extracted features")
    parser.add_argument("--data", required=True, help="the data folder that the run was trained on")
    extract_features.add_options(parser)
    return parser


def _measure(run: RunFolder, args: argparse.Namespace, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Fit and test the heads with changed settings; reuse the features if the grid is the same."""
    preset, variant = run.read_preset(), run.ablation(args.setting, name.replace(" ", ""))
    same_grid = all(changes.get(one, getattr(preset, one)) == getattr(preset, one) for one in GRID_SETTINGS)
    keep = (stage_records.CNN3D, stage_records.SPLITS, *([stage_records.FEATURES] if same_grid else []))
    derived_runs.derive(run, variant, keep=keep, **changes)
    extract_features.extract(variant, Path(args.data), args)
    compare_heads.main(["--run", str(variant), "--device", args.device])
    metrics: dict[str, Any] = atomic_files.read_json(variant.metrics, made_by="make compare")
    return metrics


if __name__ == "__main__":
    command_line.run(main, resumes=True)
