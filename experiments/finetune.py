"""Fine-tune the LSTM head of another database's run on this run's training videos."""

import argparse
from collections.abc import Sequence
from typing import Any

from nr_vqm import command_line
from nr_vqm.common import atomic_files, devices
from nr_vqm.dataset import splits
from nr_vqm.evaluation import comparison_tables
from nr_vqm.runs import features, fitted_head, interval_file, results
from nr_vqm.runs.run_folder import RunFolder

REMEDY = "Start from a run of another database, or of the same split."


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    devices.start(args.device, hide_startup_lines=True)
    run, starts = RunFolder(args.run), RunFolder(args.start).repeats()
    with run.lock():
        for folder in run.repeats():
            folder.require_complete("compare")
        for repeat, folder in enumerate(run.repeats()):
            _finetune(folder, starts[repeat % len(starts)], repeat, args.learning_rate)
        metrics = results.write(run, num_resamples=args.resamples, seed=run.read_preset().seed)
    print(comparison_tables.to_text(metrics))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser(
        "python -m experiments.finetune", __doc__, example="--run runs/mine --start runs/konvid1k-paper"
    )
    parser.add_argument("--run", required=True, help="a run folder whose heads are fitted and compared")
    parser.add_argument("--start", required=True, metavar="RUN", help="the other database's run with its LSTM head")
    command_line.add_device_option(parser)
    parser.add_argument(
        "--learning-rate", type=command_line.amount, help="instead of finetune_rate x head_learning_rate"
    )
    parser.add_argument("--resamples", type=command_line.resamples, default=1000, help="number of bootstrap draws")
    return parser


def _finetune(run: RunFolder, start: RunFolder, repeat: int, learning_rate: float | None) -> None:
    """Fine-tune one repeat's head and score its videos; skip a complete repeat.

    The scales of the two databases may differ, because inputs and outputs of a head are on the 1-5 scale.
    """
    from nr_vqm.runs import heads

    atomic_files.drop_leftovers(run)
    preset, videos, split = run.read_preset(), features.read_head_inputs(run), splits.read(run.splits)
    train, val, test = (videos.select(getattr(split, part)) for part in splits.PARTS)
    _check_start(run, start, split)
    model = heads.load_lstm(start, "lstm")
    if model.input_shape[1:] != train.clip_quality.shape[1:]:
        raise ValueError(
            f"Both runs need one clip grid: the head of {start} reads {model.input_shape[1:]} groups x blocks, "
            f"{run} has {train.clip_quality.shape[1:]}. Use the same num_groups and block_grid."
        )
    rate = preset.finetune_rate * preset.head_learning_rate if learning_rate is None else learning_rate
    settings = preset.lstm_training | {"learning_rate": rate}
    made_of = {"start": start.check_head("lstm"), "learning_rate": rate}
    if run.is_complete("finetune", **made_of):
        print(f"{run}: the head is fine-tuned already.")
        return
    devices.seed_everything(preset.seed)
    facts = {"finetuned_from": _origin(start) | {"fitted": sorted(splits.read_fitted(start.splits))}}
    with run.stage("finetune", facts=facts, **made_of):
        head, outputs = heads.continue_lstm(run, "lstm_finetuned", model, train, val, **settings)
        test_rows, train_rows = (fitted_head.score_rows(head, part, repeat=repeat) for part in (test, train))
        results.write_scores(run, "finetune", test_rows, train_rows)
        interval_file.write(run, {head.row.name: (outputs, val.quality)})


def _check_start(run: RunFolder, start: RunFolder, split: splits.Split) -> None:
    """Check that the head was not fitted on test videos of the run.

    Raises:
        FileNotFoundError: `start` has no split, as a copy of a few files of a run, or a test on another database.
        ValueError: the head was fitted on test videos.
    """
    if not start.splits.exists():
        raise FileNotFoundError(
            f"{start.splits} is needed, as it states the videos that the head was fitted on, and is missing. "
            "Start from the whole folder of the run in which the head was fitted."
        )
    fingerprints = splits.read_fingerprints(run.splits)
    tested = {video_id: fingerprints[video_id] for video_id in split.test}
    splits.refuse_fitted(start.splits, tested, remedy=REMEDY)


def _origin(start: RunFolder) -> dict[str, Any]:
    """Return the facts for run.json about the run that the head comes from."""
    return {"run": str(start), "database": start.read_facts().get("database"), "labels": start.read_labels()[0]}


if __name__ == "__main__":
    command_line.run(main, resumes=True)
