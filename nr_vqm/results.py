"""What a comparison leaves in a run folder: the scores of all repeats, their metrics, and tables of them."""

from pathlib import Path

from nr_vqm import bundle, comparison, features, files, presets, splits, tables

TRAIN_SCORES = "train_scores.csv"


def write_scores(run_dir, test_rows, train_rows):
    """Write the scores.csv and train_scores.csv of one repeat.

    Args:
        run_dir: a folder of `bundle.repeat_dirs`.
        test_rows, train_rows: of `heads.score_rows`; the training videos serve the curve that is fitted on them only,
            and there may be none.
    """
    if train_rows:
        comparison.write_scores(Path(run_dir) / TRAIN_SCORES, train_rows)
    comparison.write_scores(Path(run_dir) / "scores.csv", test_rows)


def add_head(run_dir, test_rows, train_rows):
    """Add one head's rows to the scores of a repeat, in place of those it had."""
    name = test_rows[0]["head"]
    kept = [
        [row for row in comparison.read_scores(Path(run_dir) / file) if row["head"] != name]
        for file in ("scores.csv", TRAIN_SCORES)
    ]
    write_scores(run_dir, kept[0] + test_rows, kept[1] + train_rows)


def write(run_dir, *, num_resamples, seed):
    """Join the scores of a run's repeats, compare the heads, and write metrics.json and the tables.

    Args:
        run_dir: the run folder.
        num_resamples, seed: of the bootstrap, as in `comparison.compare`.

    Returns:
        what metrics.json holds.
    """
    run_dir = Path(run_dir)
    folders = bundle.repeat_dirs(run_dir)
    rows, train_rows = _joined(folders, "scores.csv"), _joined(folders, TRAIN_SCORES)
    if folders != [run_dir]:
        comparison.write_scores(run_dir / "scores.csv", rows)
    metrics = comparison.compare(
        rows,
        train_rows=train_rows,
        mos_ci95=features.read_ci95(folders[0]),
        num_resamples=num_resamples,
        seed=seed,
    )
    metrics["notes"] += _leak_notes(folders)
    files.write_json(run_dir / "metrics.json", metrics)
    files.write_text(run_dir / "comparison.csv", tables.to_csv(metrics))
    files.write_text(run_dir / "comparison.tex", tables.to_latex(metrics))
    files.write_text(run_dir / "results.md", tables.to_results(metrics, **_facts(run_dir)))
    return metrics


def _joined(folders, name):
    """The rows of all repeats; empty where there is no such file."""
    return [row for folder in folders if (folder / name).exists() for row in comparison.read_scores(folder / name)]


def _leak_notes(folders):
    """A note where contents were on two sides of a split; none where there is no split (another database)."""
    paths = [folder / "splits.json" for folder in folders]
    leaks = {content for path in paths if path.exists() for content in splits.read_facts(path)[1]}
    if leaks:
        yield f"{len(leaks)} contents are on two sides of the published split: the figures flatter."


def _facts(run_dir):
    """What a row of results.md says beside the figures."""
    run, seconds = bundle.read_run(run_dir), bundle.total_seconds(run_dir)
    preset = bundle.read_preset(run_dir)
    changed = presets.differences(preset)
    return {
        "database": run.get("database") or "-",
        "preset": " ".join([preset.name, *changed]),
        "commit": run.get("commit") or "-",
        "hardware": run.get("hardware") or "-",
        "hours": sum(seconds.values()) / 3600,
    }
