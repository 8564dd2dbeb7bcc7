"""What a comparison leaves in a run folder: the scores of all repeats, their metrics, and tables of them."""

import os
from typing import Any

from nr_vqm import presets
from nr_vqm.common import atomic_files, provenance
from nr_vqm.dataset import label_origin, splits
from nr_vqm.evaluation import comparison, comparison_tables
from nr_vqm.models import head_table
from nr_vqm.runs import features
from nr_vqm.runs.run_folder import RunFolder


def write_scores(run: RunFolder, stage: str, test_rows: list[dict], train_rows: list[dict]) -> None:
    """Write the scores of one repeat, within its stage.

    Args:
        run: a folder of `RunFolder.repeats`.
        stage: of `run_folder.SCORED`.
        test_rows, train_rows: of `heads.score_rows`; the training videos serve the curve that is fitted on them only,
            and there may be none.
    """
    if train_rows:
        comparison.write_scores(run.score_file(stage, train=True), train_rows)
    comparison.write_scores(run.score_file(stage), test_rows)


def write(run_dir: str | os.PathLike, *, num_resamples: int, seed: int) -> dict[str, Any]:
    """Join the scores of a run's repeats, compare the heads, and write metrics.json and the tables.

    Args:
        run_dir: the run folder; at least one of `run_folder.SCORED` is complete in every repeat.
        num_resamples, seed: of the bootstrap, as in `comparison.compare`.

    Returns:
        What metrics.json holds.
    """
    run = RunFolder(run_dir)
    atomic_files.drop_leftovers(run)
    folders = run.repeats()
    if not run.score_files():
        raise ValueError(f"{run} has no scores of a complete stage to compare. Run first: make compare.")
    with run.stage("results", facts={"versions": provenance.versions()}, num_resamples=num_resamples):
        rows, train_rows = _joined(run.score_files()), _joined(run.score_files(train=True))
        metrics = comparison.compare(
            rows,
            train_rows=train_rows,
            mos_ci95=features.read_ci95(folders[0]),
            num_resamples=num_resamples,
            seed=seed,
        )
        metrics |= _origin(run, metrics["heads"])
        metrics["leaked_contents"] = len(_leaks(folders))
        metrics["notes"] += _notes(folders, metrics)
        comparison.write_scores(run.scores, rows)
        atomic_files.write_json(run.metrics, metrics)
        atomic_files.write_text(run.comparison_csv, comparison_tables.to_csv(metrics))
        atomic_files.write_text(run.comparison_tex, comparison_tables.to_latex(metrics))
        atomic_files.write_text(run.results_table, comparison_tables.to_results(metrics, **_facts(run)))
    return metrics


def _joined(paths):
    """The rows of all files, in order."""
    return [row for path in paths if path.exists() for row in comparison.read_scores(path)]


def _origin(run, heads):
    """Where the labels come from, and the videos that each head was fitted on."""
    labels, trained_labels = run.read_labels()
    svr_fit_on = run.read_preset().svr_fit_on
    fitted_on = {head: head_table.fitted_on(head, svr_fit_on=svr_fit_on) for head in heads}
    return {"labels": labels, "trained_labels": trained_labels, "fitted_on": fitted_on}


def _leaks(folders):
    """The contents on two sides of a split; none where there is no split (another database)."""
    paths = [folder.splits for folder in folders]
    return {content for path in paths if path.exists() for content in splits.read_facts(path)[1]}


def _notes(folders, metrics):
    """What a reader of the figures must know: leaks, and the start of a fine-tuned head."""
    if leaked := metrics["leaked_contents"]:
        yield f"{leaked} contents are on two sides of the published split: the figures flatter."
    start = folders[0].read_facts().get("finetuned_from")
    if start and "lstm_finetuned" in metrics["heads"]:
        origin = label_origin.ORIGINS[start["labels"]]
        yield f"{head_table.label('lstm_finetuned')}: first fitted on {start['database']}, {origin}."


def _facts(run):
    """What a row of results.md says beside the figures."""
    facts, seconds, preset = run.read_facts(), run.total_seconds(), run.read_preset()
    return {
        "database": facts.get("database") or "-",
        "preset": " ".join([preset.name, *presets.differences(preset)]),
        "commit": facts.get("commit") or "-",
        "hardware": facts.get("hardware") or "-",
        "hours": sum(seconds.values()) / 3600,
    }
