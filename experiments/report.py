"""Write the report of a run: metrics.json and scores.csv -> <run>/report.html, one self-contained page."""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import report_headline, report_plots, report_videos
from nr_vqm import command_line
from nr_vqm.common import atomic_files, safe_output
from nr_vqm.dataset import label_origin
from nr_vqm.evaluation import comparison
from nr_vqm.models import head_table
from nr_vqm.runs.run_folder import RunFolder

# By origin of the labels: with whose opinions a head agrees.
RATERS = {
    "people": "people",
    "pseudo": "the pseudo-labels",
    "synthetic": "simulated raters",
    "mixed": "pseudo-labels and simulated raters",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see `--help`."""
    run = RunFolder(_parser().parse_args(argv).run)
    with run.lock():
        atomic_files.write_text(run.report, render(page_values(run)))
    print(f"Wrote {run.report}")


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m experiments.report", __doc__, example="--run runs/mine")
    parser.add_argument("--run", required=True, metavar="DIR", help="a run folder with metrics.json and scores.csv")
    return parser


def page_values(run: RunFolder) -> dict[str, Any]:
    """Collect the values of the template from the files of a run.

    Raises:
        FileNotFoundError: metrics.json, scores.csv or preset.json is missing.
        ValueError: one of them cannot be read, or the comparison is incomplete.
    """
    run.require_complete("results")
    metrics, rows = atomic_files.read_json(run.metrics, made_by="make compare"), comparison.read_scores(run.scores)
    if metrics.get("schema") != comparison.SCHEMA:
        raise ValueError(f"{run.metrics} was written by another version. Run again: make compare.")
    facts = run.read_facts()
    head = report_headline.shown_head(metrics)
    plots = report_plots.scatters(rows, facts.get("mos_range") or ())
    return {
        "metrics": metrics,
        "alpha": report_headline.ALPHA,
        "figures": metrics["figures"],
        "tested": comparison.TESTED,
        "label": head_table.label,
        "outcome": report_headline.outcome,
        "tests": report_headline.shown_tests(metrics),
        "database": facts.get("database"),
        "facts": _shown_facts(facts),
        "seconds": run.total_seconds(),
        "versions": facts.get("versions") or {},
        "preset": dataclasses.asdict(run.read_preset()),
        "labels": label_origin.describe(metrics["labels"], metrics["trained_labels"]),
        "is_cross_database": bool(facts.get("trained_on")),
        "headline": report_headline.headline(metrics, raters=RATERS[metrics["labels"]]),
        "shown": head,
        "forest": report_plots.forest(metrics),
        "scatters": {head: plots[head] for head in metrics["heads"]},
        "losses": report_plots.losses(run),
        "extremes": report_videos.extremes(rows, head, facts.get("data_dir")),
    }


def render(values: Mapping[str, Any]) -> str:
    """Render the page as HTML.

    Args:
        values: the result of `page_values`.
    """
    filters = {
        "number": _number,
        "count": "{:,}".format,
        "signed": _signed,
        "probability": report_headline.format_p,
        "duration": _duration,
    }
    return safe_output.render_html(Path(__file__).with_name("report.html.j2"), dict(values), filters=filters)


def _shown_facts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Select the facts of run.json for the page; of the data folder only its name, as a page may be published."""
    shown = {name: facts.get(name) for name in ("database", "hardware", "commit")}
    shown["data folder"] = Path(facts.get("data_dir") or "").name
    return {name: str(value) for name, value in shown.items() if value}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    command_line.run(main)
