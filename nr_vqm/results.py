"""What a comparison leaves in a run folder: the scores of all repeats, their metrics, and tables of them."""

import os
from typing import Any

from nr_vqm import bundle, comparison, features, files, presets, splits, tables
from nr_vqm.run_folder import RunFolder


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
    files.drop_leftovers(run)
    folders = run.repeats()
    if not run.score_files():
        raise ValueError(f"{run} has no scores of a complete stage to compare. Run first: make compare.")
    with run.stage("results", facts={"versions": bundle.versions()}, num_resamples=num_resamples):
        rows, train_rows = _joined(run.score_files()), _joined(run.score_files(train=True))
        metrics = comparison.compare(
            rows,
            train_rows=train_rows,
            mos_ci95=features.read_ci95(folders[0]),
            num_resamples=num_resamples,
            seed=seed,
        )
        metrics["notes"] += _leak_notes(folders)
        comparison.write_scores(run.scores, rows)
        files.write_json(run.metrics, metrics)
        files.write_text(run.comparison_csv, tables.to_csv(metrics))
        files.write_text(run.comparison_tex, tables.to_latex(metrics))
        files.write_text(run.results_table, tables.to_results(metrics, **_facts(run)))
    return metrics


def _joined(paths):
    """The rows of all files, in order."""
    return [row for path in paths if path.exists() for row in comparison.read_scores(path)]


def _leak_notes(folders):
    """A note where contents were on two sides of a split; none where there is no split (another database)."""
    paths = [folder.splits for folder in folders]
    leaks = {content for path in paths if path.exists() for content in splits.read_facts(path)[1]}
    if leaks:
        yield f"{len(leaks)} contents are on two sides of the published split: the figures flatter."


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
