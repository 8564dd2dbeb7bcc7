"""python -m experiments.ablations: what a setting of the heads does, the 3D-CNN of a run unchanged."""

from pathlib import Path

from experiments import compare_heads, extract_features
from nr_vqm import commands

GRIDS = {8: (2, 4), 16: (4, 4), 32: (4, 8)}  # so many groups, and blocks as (rows, columns)
UNITS = (8, 16, 32, 64, 128)
GRID_SETTINGS = ("num_groups", "block_grid")
SETTINGS = {
    "grid": {f"{n} x {n}": {"num_groups": n, "block_grid": grid} for n, grid in GRIDS.items()},
    "lstm_units": {str(units): {"lstm_units": units} for units in UNITS},
}


def main(argv=None):
    args = _parser().parse_args(argv)
    from nr_vqm import bundle, files, tables

    for run in bundle.repeat_dirs(args.run):
        files.require(run / bundle.CNN3D, made_by="make train")
    folder = Path(args.run) / "ablations"
    found = {
        name: _measure(args, folder / args.setting / name.replace(" ", ""), changes)
        for name, changes in SETTINGS[args.setting].items()
    }
    table = tables.of_variants(found)
    files.write_text(folder / f"{args.setting}.md", table)
    print(f"{args.setting}, {bundle.read_run(args.run).get('database')}, also in {folder / args.setting}.md\n{table}")


def _parser():
    parser = commands.new_parser("python -m experiments.ablations", __doc__)
    parser.add_argument("setting", choices=SETTINGS, help="the clip grid that the heads read, or the size of the LSTM")
    parser.add_argument("--run", required=True, help="a run folder with extracted features")
    parser.add_argument("--data", required=True, help="the data folder that the run was trained on")
    return parser


def _measure(args, folder, changes):
    """The metrics of the run with some settings changed: its features are taken where the grid is the same."""
    from nr_vqm import bundle, files

    preset = bundle.read_preset(args.run)
    same_grid = all(changes.get(name, getattr(preset, name)) == getattr(preset, name) for name in GRID_SETTINGS)
    keep = ("cnn3d.keras", "splits.json", *(["features.h5"] if same_grid else []))
    bundle.derive(args.run, folder, keep=keep, **changes)
    extract_features.main(["--data", args.data, "--run", str(folder)])
    compare_heads.main(["--run", str(folder)])
    return files.read_json(folder / "metrics.json", made_by="make compare")


if __name__ == "__main__":
    commands.run(main)
