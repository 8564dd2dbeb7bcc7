"""Results of a run: scores of all repeats, metrics.json and its tables."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nr_vqm import presets
from nr_vqm.common import atomic_files
from nr_vqm.dataset import label_origin, splits
from nr_vqm.evaluation import comparison, comparison_tables
from nr_vqm.models import head_table
from nr_vqm.runs import features
from nr_vqm.runs.run_folder import RunFolder


def write_scores(
    run: RunFolder, stage: str, test_rows: Sequence[Mapping[str, object]], train_rows: Sequence[Mapping[str, object]]
) -> None:
    """Write the scores of one repeat; called within its stage.

    Args:
        run: a folder of `RunFolder.repeats`.
        stage: one of `stage_records.SCORED`.
        test_rows: rows of test videos from `fitted_head.score_rows`.
        train_rows: rows of training videos, for the curve that is fitted on them only; may be empty.
    """
    for train, rows in ((True, train_rows), (False, test_rows)):
        if rows:
            comparison.write_scores(run.score_file(stage, train=train), rows)


def write(run_dir: str | os.PathLike[str], *, num_resamples: int, seed: int) -> dict[str, Any]:
    """Join the scores of a run's repeats, compare the heads, and write metrics.json and the tables.

    Args:
        run_dir: the run folder; at least one of `stage_records.SCORED` is complete in every repeat.
        num_resamples: number of bootstrap draws, see `comparison.compare`.
        seed: seed of the draws.

    Returns:
        The content of metrics.json.

    Raises:
        ValueError: no stage is complete in every repeat, or the scores cannot be compared.
    """
    run = RunFolder(run_dir)
    atomic_files.drop_leftovers(run)
    folders = run.repeats()
    if not run.score_files():
        raise ValueError(f"{run} has no scores of a complete stage. Run first: make compare.")
    with run.stage("results", num_resamples=num_resamples):
        rows, train_rows = _joined(run.score_files()), _joined(run.score_files(train=True))
        metrics = comparison.compare(
            rows,
            train_rows=train_rows,
            mos_ci95=features.read_ci95(folders[0]),
            num_resamples=num_resamples,
            seed=seed,
        )
        metrics |= _origin(run, metrics["heads"]) | _costs(run, metrics["heads"])
        metrics["leaked_contents"] = len(_leaks(folders))
        metrics["notes"] += _notes(folders, metrics)
        comparison.write_scores(run.scores, rows)
        atomic_files.write_json(run.metrics, metrics)
        atomic_files.write_text(run.comparison_csv, comparison_tables.to_csv(metrics))
        atomic_files.write_text(run.comparison_tex, comparison_tables.to_latex(metrics))
        atomic_files.write_text(run.results_table, comparison_tables.to_results(metrics, **_facts(run)))
    return metrics


def _joined(paths: Iterable[Path]) -> list[comparison.ScoreRow]:
    """Read the rows of all files that exist, in order."""
    return [row for path in paths if path.exists() for row in comparison.read_scores(path)]


def _origin(run: RunFolder, heads: Iterable[str]) -> dict[str, Any]:
    """Return the origin of the labels and the videos that each head was fitted on."""
    labels, trained_labels = run.read_labels()
    svr_fit_on = run.read_preset().svr_fit_on
    fitted_on = {head: head_table.fitted_on(head, svr_fit_on=svr_fit_on) for head in heads}
    return {"labels": labels, "trained_labels": trained_labels, "fitted_on": fitted_on}


def _costs(run: RunFolder, heads: Iterable[str]) -> dict[str, Any]:
    """Return the number of features that each head reads of a video, and the seconds that they take; None if unknown.

    The seconds of a head of the 3D-CNN are wall time of the stage 'features' on the run's machine, those of a
    hand-crafted method CPU seconds of one core, without decoding.
    """
    preset, folders = run.read_preset(), run.repeats()
    rivals = folders[0].read_facts().get("rivals", {})
    blocks, width = preset.block_grid[0] * preset.block_grid[1], preset.fc_dims[-1]
    sizes = {
        "clip_quality": preset.num_groups * blocks,
        "group_features": preset.num_groups * width,
        "mean_features": width,
    }
    videos, seconds = features.num_videos(folders[0]), run.total_seconds().get("features")
    network_seconds = round(seconds / videos / len(folders), 3) if videos and seconds else None
    num_features, seconds_per_video = {}, {}
    for head in heads:
        row, rival = head_table.HEADS.get(head), rivals.get(head, {})
        num_features[head] = sizes.get(row.input, rival.get("num_features")) if row else None
        is_network = row is not None and row.cnn3d == head_table.CNN3D
        seconds_per_video[head] = network_seconds if is_network else rival.get("seconds_per_video")
    return {"num_features": num_features, "seconds_per_video": seconds_per_video}


def _leaks(folders: Iterable[RunFolder]) -> set[str]:
    """Return the contents on two sides of a split; empty for a test on another database, which has no split."""
    paths = [folder.splits for folder in folders]
    return {content for path in paths if path.exists() for content in splits.read_facts(path)[1]}


def _notes(folders: Sequence[RunFolder], metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield warnings for the reader: leaked contents, the start of a fine-tuned head, and missing features."""
    if leaked := metrics["leaked_contents"]:
        yield f"{leaked} contents are on two sides of the published split: the figures are too optimistic."
    start = folders[0].read_facts().get("finetuned_from")
    if start and "lstm_finetuned" in metrics["heads"]:
        origin = label_origin.ORIGINS[start["labels"]]
        yield f"{head_table.label('lstm_finetuned')}: first fitted on {start['database']}, {origin}."
    for head in metrics["heads"]:
        described = [folder.read_facts().get("rivals", {}).get(head, {}).get("filled", {}) for folder in folders]
        filled = {part: sum(one.get(part, 0) for one in described) for part in splits.PARTS}
        if any(filled.values()):
            counts = ", ".join(f"{number} {part}" for part, number in filled.items())
            repeats = ", all repeats together" if len(folders) > 1 else ""
            yield (
                f"{head_table.label(head)}: features are missing for {counts} videos{repeats}; the means of the "
                "training videos replace them."
            )


def _facts(run: RunFolder) -> dict[str, Any]:
    """Return the arguments of `comparison_tables.to_results` that describe the run."""
    facts, seconds, preset = run.read_facts(), run.total_seconds(), run.read_preset()
    return {
        "database": facts.get("database") or "-",
        "preset": " ".join([preset.name, *presets.differences(preset)]),
        "commit": facts.get("commit") or "-",
        "hardware": facts.get("hardware") or "-",
        "hours": sum(seconds.values()) / 3600,
    }
