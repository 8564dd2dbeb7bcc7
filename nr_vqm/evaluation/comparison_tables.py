"""A comparison as tables: for the terminal, as CSV, as LaTeX and as rows of docs/results.md.

All take what metrics.json holds, as `results.write` writes it.
"""

import csv
import io

from nr_vqm.dataset import label_origin
from nr_vqm.models.head_table import label


def to_text(metrics):
    """The table for a terminal: medians, and the standard deviation over repeats below them."""
    figures = metrics["figures"]
    lines = [f"{'':27}" + "".join(f"{_short(name):>14}" for name in figures)]
    for head, summary in metrics["heads"].items():
        lines.append(f"{label(head):27}" + "".join(f"{_cell(summary[name]['median']):>14}" for name in figures))
        if metrics["num_repeats"] > 1:
            cells = "".join(f"{'±' + _cell(summary[name]['std']):>14}" for name in figures)
            lines.append(f"{'  over repeats':27}{cells}")
    first = metrics["tests"][0]["srocc"] if metrics["tests"] else None
    if first and first["p"] is not None:
        names = [label(metrics["tests"][0][side]) for side in ("first", "second")]
        interval = f"[{first['low']:+.3f}, {first['high']:+.3f}]"
        lines.append(f"SROCC of {names[0]} less {names[1]}: {first['difference']:+.3f} {interval}, p {first['p']:.3f}")
    return "\n".join([*lines, _labels(metrics), _fitted_on(metrics), *metrics["notes"]])


def to_csv(metrics):
    """One line per head and figure: head, figure, median, low, high, std, and what the figures are of."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["head", "figure", "median", "low", "high", "std", "labels", "trained_labels", "fitted_on"])
    origins = metrics["labels"], metrics["trained_labels"]
    for head, summary in metrics["heads"].items():
        for name in metrics["figures"]:
            values = (summary[name][key] for key in ("median", "low", "high", "std"))
            writer.writerow([head, name, *values, *origins, metrics["fitted_on"][head]])
    return out.getvalue()


def to_latex(metrics):
    """A tabular of the medians with their intervals, for the booktabs package; its last row says what they are of."""
    figures = metrics["figures"]
    header = " & ".join(["", *(_latex(_title(name)) for name in figures)])
    lines = [r"\begin{tabular}{l" + "c" * len(figures) + "}", r"\toprule", header + r" \\", r"\midrule"]
    for head, summary in metrics["heads"].items():
        lines.append(" & ".join([_latex(label(head)), *(_with_interval(summary[name]) for name in figures)]) + r" \\")
    lines.append(r"\midrule")
    for text in (_labels(metrics), _fitted_on(metrics)):
        lines.append(rf"\multicolumn{{{1 + len(figures)}}}{{l}}{{{_latex(text)}}} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def of_variants(variants):
    """One line per variant and head, medians with intervals, as Markdown, and the origin of the labels below.

    Args:
        variants: {name: what metrics.json holds}.
    """
    figures = ("srocc", "plcc", "plcc_mapped", "rmse")
    lines = [_markdown(["variant", "head", *map(_title, figures)]), "|" + "-|" * (2 + len(figures))]
    for name, metrics in variants.items():
        for head, summary in metrics["heads"].items():
            lines.append(_markdown([name, label(head), *(_with_interval(summary[figure]) for figure in figures)]))
    origins = sorted({_labels(metrics) for metrics in variants.values()})
    return "\n".join([*lines, "", *origins, ""])


def to_results(metrics, *, database, preset, commit, hardware, hours):
    """The table for docs/results.md: one row per head with what it was made with and its medians."""
    titles = ["head", "fitted on", "database", "labels", "preset", "commit", "hardware", "hours", "repeats"]
    titles += map(_title, metrics["figures"])
    origin = label_origin.describe(metrics["labels"], metrics["trained_labels"])
    facts = [database, origin, preset, commit, hardware, f"{hours:.2f}", metrics["num_repeats"]]
    lines = [_markdown(titles), "|" + "-|" * len(titles)]
    for head, summary in metrics["heads"].items():
        figures = (_results_cell(summary[name]) for name in metrics["figures"])
        lines.append(_markdown([label(head), metrics["fitted_on"][head], *facts, *figures]))
    return "\n".join([*lines, ""])


def _labels(metrics):
    """'Labels: simulated raters', of the tested and, where they are of another origin, of the training videos."""
    return f"Labels: {label_origin.describe(metrics['labels'], metrics['trained_labels'])}"


def _fitted_on(metrics):
    """'Fitted on: 3D-CNN + LSTM train, val stops it; 3D-CNN + SVR train'."""
    parts = "; ".join(f"{label(head)}: {metrics['fitted_on'][head]}" for head in metrics["heads"])
    return f"Fitted on: {parts}"


def _short(name):
    return name.replace("_mapped", "_m").replace("outlier_ratio", "outliers")


def _cell(value):
    return "-" if value is None else f"{value:.3f}"


def _title(name):
    """A figure's name for people: plcc_mapped_train -> PLCC (mapped, train)."""
    measure, *curve = name.replace("outlier_ratio", "outlier ratio").split("_")
    return (measure if " " in measure else measure.upper()) + (f" ({', '.join(curve)})" if curve else "")


def _results_cell(figure):
    return _cell(figure["median"]) + (f" ± {figure['std']:.3f}" if figure["std"] is not None else "")


def _markdown(cells):
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def _with_interval(figure):
    if figure["low"] is None:
        return _cell(figure["median"])
    return f"{figure['median']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _latex(text):
    return "".join({"\\": r"\textbackslash{}"}.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)
