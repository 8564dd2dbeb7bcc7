"""Tables of a comparison: text for a terminal, CSV, LaTeX, and Markdown rows for docs/results.md.

`metrics` is the content of metrics.json: `comparison.compare` and the values that `results.write` adds. Each row states
the number of features that the head reads of a video, the seconds that they take, and the videos it was fitted on.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from nr_vqm.dataset import label_origin
from nr_vqm.models.head_table import label

COSTS = ("num_features", "seconds_per_video")  # keys of metrics.json, as {head: value}
DESCRIPTIONS = ("features", "seconds a video", "fitted on")  # titles of columns


def to_text(metrics: Mapping[str, Any]) -> str:
    """Format medians, and their standard deviation over repeats, for a terminal."""
    widths = {name: max(9, len(name) + 2) for name in metrics["figures"]}
    lines = [_text_line("", {name: name for name in widths}, widths)]
    for head, summary in metrics["heads"].items():
        lines.append(_text_line(label(head), {name: _cell(summary[name]["median"]) for name in widths}, widths))
        if metrics["num_repeats"] > 1:
            spread = {name: f"±{_cell(summary[name]['std'])}" for name in widths}
            lines.append(_text_line("  over repeats", spread, widths))
    first = metrics["tests"][0]["srocc"] if metrics["tests"] else None
    if first and first["p"] is not None:
        names = [label(metrics["tests"][0][side]) for side in ("first", "second")]
        interval = f"[{first['low']:+.3f}, {first['high']:+.3f}]"
        difference = f"{first['difference']:+.3f} {interval}, p = {first['p']:.3f}"
        lines.append(f"SROCC of {names[0]} minus that of {names[1]}: {difference}")
    return "\n".join([*lines, _labels(metrics), "", *_description_lines(metrics), *metrics["notes"]])


def to_csv(metrics: Mapping[str, Any]) -> str:
    """Format one line per head and figure, with the origin of the labels and the description of the head."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["head", "figure", "median", "low", "high", "std", *COSTS, "labels", "trained_labels", "fitted_on"])
    origins = metrics["labels"], metrics["trained_labels"]
    for head, summary in metrics["heads"].items():
        for name in metrics["figures"]:
            values = (summary[name][key] for key in ("median", "low", "high", "std"))
            costs = (metrics[column][head] for column in COSTS)
            writer.writerow([head, name, *values, *costs, *origins, metrics["fitted_on"][head]])
    return out.getvalue()


def to_latex(metrics: Mapping[str, Any]) -> str:
    """Format medians with intervals as a LaTeX tabular for the booktabs package; its last row describes the labels."""
    figures = metrics["figures"]
    titles = ["", *figures, *DESCRIPTIONS]
    lines = [r"\begin{tabular}{l" + "c" * len(figures) + "rrl}", r"\toprule", _latex_row(titles), r"\midrule"]
    for head, summary in metrics["heads"].items():
        cells = (_with_interval(summary[name]) for name in figures)
        lines.append(_latex_row([label(head), *cells, *_descriptions(metrics, head)]))
    lines += [r"\midrule", rf"\multicolumn{{{len(titles)}}}{{l}}{{{_latex(_labels(metrics))}}} \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def of_variants(variants: Mapping[str, Mapping[str, Any]]) -> str:
    """Format medians with intervals as Markdown, one line per variant and head, and the origin of the labels below.

    Args:
        variants: {name of the variant: content of its metrics.json}.
    """
    figures = ("srocc", "plcc", "plcc_mapped", "rmse")
    lines = [_markdown(["variant", "head", *figures]), "|" + "-|" * (2 + len(figures))]
    for name, metrics in variants.items():
        for head, summary in metrics["heads"].items():
            lines.append(_markdown([name, label(head), *(_with_interval(summary[figure]) for figure in figures)]))
    origins = sorted({_labels(metrics) for metrics in variants.values()})
    return "\n".join([*lines, "", *origins, ""])


def to_results(
    metrics: Mapping[str, Any], *, database: str, preset: str, commit: str, hardware: str, hours: float
) -> str:
    """Format the Markdown table for docs/results.md: one row per head with its run and its medians.

    Args:
        metrics: content of metrics.json.
        database: name of the database.
        preset: name of the preset and the changed settings.
        commit: Git commit that the run was started with.
        hardware: description of the machine.
        hours: computing time of all stages.
    """
    titles = ["head", *DESCRIPTIONS, "database", "labels", "preset", "commit", "hardware", "hours", "repeats"]
    titles += metrics["figures"]
    origin = label_origin.describe(metrics["labels"], metrics["trained_labels"])
    facts = [database, origin, preset, commit, hardware, f"{hours:.2f}", metrics["num_repeats"]]
    lines = [_markdown(titles), "|" + "-|" * len(titles)]
    for head, summary in metrics["heads"].items():
        figures = (_results_cell(summary[name]) for name in metrics["figures"])
        lines.append(_markdown([label(head), *_descriptions(metrics, head), *facts, *figures]))
    return "\n".join([*lines, ""])


def _text_line(head: str, cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    return f"{head:27}" + "".join(f"{cells[name]:>{width}}" for name, width in widths.items())


def _labels(metrics: Mapping[str, Any]) -> str:
    """Return the origin of the labels of test and training videos: 'Labels: simulated raters'."""
    return f"Labels: {label_origin.describe(metrics['labels'], metrics['trained_labels'])}"


def _description_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table of descriptions for a terminal."""
    rows = [["", *DESCRIPTIONS], *([label(head), *_descriptions(metrics, head)] for head in metrics["heads"])]
    return [f"{head:27}{size:>9}{seconds:>16}  {fitted_on}" for head, size, seconds, fitted_on in rows]


def _descriptions(metrics: Mapping[str, Any], head: str) -> list[str]:
    """Return the cells of DESCRIPTIONS for a head."""
    size, seconds = (metrics[column][head] for column in COSTS)
    return [
        "-" if size is None else f"{size:,}",
        "-" if seconds is None else f"{seconds:.2f}",
        metrics["fitted_on"][head],
    ]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _results_cell(figure: Mapping[str, Any]) -> str:
    return _cell(figure["median"]) + (f" ± {figure['std']:.3f}" if figure["std"] is not None else "")


def _markdown(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def _with_interval(figure: Mapping[str, Any]) -> str:
    if figure["low"] is None:
        return _cell(figure["median"])
    return f"{figure['median']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(_latex(cell) for cell in cells) + r" \\"


def _latex(text: str) -> str:
    return "".join({"\\": r"\textbackslash{}"}.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)
