"""Figures as SVG data URIs: drawn without a display, to be put into one page.

Backgrounds are transparent and lines of middle brightness, so that they read on light and dark pages.
"""

import base64
import io

import numpy as np

INK = "#808892"  # contrast above 3:1 on white and on the report's dark background
GRID = "#80889240"
BLUE, ORANGE, GREEN, VIOLET = "#3b82d6", "#e07b28", "#2f9e6e", "#9a6bd0"
COLOURS = (BLUE, ORANGE, GREEN, VIOLET)


def scatter(*, mos, scores, mapping, limits):
    """Score against MOS, with the diagonal and the fitted curve.

    Args:
        mos: shape (num_videos,).
        scores: the same shape and unit.
        mapping: metrics.Mapping, or None for no curve.
        limits: (low, high) of both axes.
    """
    figure, axes = _figure(3.3, 3.1)
    axes.plot(limits, limits, color=INK, linewidth=1, linestyle=(0, (2, 3)))
    axes.scatter(scores, mos, s=16, color=BLUE, alpha=0.55, linewidths=0)
    if mapping is not None:
        xs = np.linspace(np.min(scores), np.max(scores), 200)
        axes.plot(xs, mapping(xs), color=ORANGE, linewidth=2)
    axes.set(xlim=limits, ylim=limits, xlabel="score", ylabel="MOS", aspect="equal")
    return data_uri(figure)


def intervals(entries, *, label):
    """Values with intervals, one line each, the first on top.

    Args:
        entries: (name, value, low, high); low and high may be None.
        label: of the axis.
    """
    figure, axes = _figure(5.6, 0.8 + 0.42 * len(entries))
    for row, (_, value, low, high) in enumerate(entries):
        colour = COLOURS[row % len(COLOURS)]
        if low is not None:
            axes.plot([low, high], [row, row], color=colour, linewidth=3, solid_capstyle="round", alpha=0.6)
        axes.plot([value], [row], "o", color=colour, markersize=8)
    axes.set(ylim=(len(entries) - 0.5, -0.5), xlabel=label)
    axes.set_yticks(range(len(entries)), [plain(name) for name, *_ in entries])
    axes.grid(visible=False, axis="y")
    return data_uri(figure)


def losses(rows):
    """Training and validation error per epoch, the best epoch marked; None where no epoch has both.

    Args:
        rows: dicts of floats, one per epoch.
    """
    rows = [row for row in rows if {"mse", "val_mse"} <= set(row)]
    if not rows:
        return None
    figure, axes = _figure(4.8, 3.0)
    epochs = [row.get("epoch", number) for number, row in enumerate(rows, start=1)]
    marker = "o" if len(rows) < 20 else None
    train, val = ([row[name] for row in rows] for name in ("mse", "val_mse"))
    axes.plot(epochs, train, color=BLUE, linewidth=2, marker=marker, label="train")
    axes.plot(epochs, val, color=ORANGE, linewidth=2, marker=marker, label="validation")
    axes.axvline(epochs[int(np.argmin(val))], color=INK, linewidth=1, linestyle=(0, (2, 3)))
    if min(train) > 0:
        axes.set_yscale("log")
        for axis_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis_formatter("{x:g}")
    axes.set(xlabel="epoch", ylabel="mean squared error")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, labelcolor=INK)
    return data_uri(figure)


def _figure(width, height):
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    style_axes(axes)
    return figure, axes


def new_figure(width, height):
    """An empty transparent figure, in inches, without pyplot: no display, nothing global."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    return figure


def style_axes(axes, *, ink=INK, grid=True):
    """Two thin lines and their labels in one colour, a faint grid."""
    axes.patch.set_alpha(0)
    axes.tick_params(which="both", colors=ink, labelsize=9)
    axes.xaxis.label.set_color(ink)
    axes.yaxis.label.set_color(ink)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(ink)
    if grid:
        axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def data_uri(figure):
    """A figure as an SVG that an <img> can show."""
    import matplotlib

    out = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "nr-vqm"}):  # the same figure gives the same bytes
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()


def plain(text):
    """Text that matplotlib draws as it is; between dollar signs it would read mathematics."""
    return text.replace("$", r"\$")
