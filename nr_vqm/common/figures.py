"""Figures as SVG data URIs for self-contained HTML pages, drawn without a display.

The background is transparent. In an SVG file, text is text, and text and axes have a colour for light and dark pages.
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#808892"  # text and axes; `to_svg` replaces it
GRID = "#80889240"
# Contrast above 4.5:1 on the cards of a page, WCAG AA.
STYLE = "<style>svg{color:#55606b}@media screen and (prefers-color-scheme:dark){svg{color:#a3aeb9}}</style>"
# Contrast of curves above 3:1 on light and dark pages, WCAG 1.4.11.
BLUE, ORANGE, GREEN, VIOLET = "#3b82d6", "#c9641a", "#2f9e6e", "#9a6bd0"
COLOURS = (BLUE, ORANGE, GREEN, VIOLET)


def scatter(
    *,
    mos: np.ndarray,
    scores: np.ndarray,
    mapping: Callable[[np.ndarray], np.ndarray] | None,
    limits: tuple[float, float],
) -> str:
    """Plot MOS against scores, with the diagonal and the fitted curve.

    Args:
        mos: shape (num_videos,).
        scores: shape (num_videos,), in the unit of the MOS.
        mapping: fitted function from scores to MOS, for example mos_mapping.Mapping; None draws no curve.
        limits: low and high end of both axes.

    Returns:
        a data URI.
    """
    figure, axes = _figure(3.3, 3.1)
    axes.plot(limits, limits, color=INK, linewidth=1, linestyle=(0, (2, 3)))
    axes.scatter(scores, mos, s=16, color=BLUE, alpha=0.55, linewidths=0)
    if mapping is not None:
        xs = np.linspace(np.min(scores), np.max(scores), 200)
        axes.plot(xs, mapping(xs), color=ORANGE, linewidth=2)
    axes.set(xlim=limits, ylim=limits, xlabel="score", ylabel="MOS", aspect="equal")
    return data_uri(figure)


def intervals(entries: Sequence[tuple[str, float, float | None, float | None]], *, label: str) -> str:
    """Plot values with intervals, one row each, the first at the top.

    Args:
        entries: (name, value, low, high); low and high may be None.
        label: label of the value axis.

    Returns:
        a data URI.
    """
    figure, axes = _figure(5.6, 0.8 + 0.42 * len(entries))
    for row, (_, value, low, high) in enumerate(entries):
        colour = COLOURS[row % len(COLOURS)]
        if low is not None and high is not None:
            axes.plot([low, high], [row, row], color=colour, linewidth=3, solid_capstyle="round", alpha=0.6)
        axes.plot([value], [row], "o", color=colour, markersize=8)
    axes.set(ylim=(len(entries) - 0.5, -0.5), xlabel=label)
    axes.set_yticks(range(len(entries)), [plain(name) for name, *_ in entries])
    axes.grid(visible=False, axis="y")
    return data_uri(figure)


def losses(rows: Sequence[Mapping[str, float]]) -> str | None:
    """Plot training and validation error per epoch and mark the best epoch.

    Args:
        rows: one mapping per epoch, with 'mse', 'val_mse' and, optionally, 'epoch'.

    Returns:
        a data URI; None if no epoch has both errors.
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
    axes.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]  # it is a MaxNLocator
    axes.legend(frameon=False, labelcolor=INK)
    return data_uri(figure)


def _figure(width: float, height: float) -> tuple["Figure", "Axes"]:
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    style_axes(axes)
    return figure, axes


def new_figure(width: float, height: float) -> "Figure":
    """Create an empty transparent figure, without pyplot and its global state.

    Args:
        width, height: size in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    return figure


def style_axes(axes: "Axes", *, ink: str = INK, grid: bool = True) -> None:
    """Style axes: left and bottom line and labels in one colour, a faint grid."""
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


def to_svg(figure: "Figure") -> str:
    """Return a figure as the text of an SVG file. The same figure gives the same text."""
    import matplotlib

    out = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "nr-vqm", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return out.getvalue().decode().replace("<defs>", STYLE + "<defs>", 1).replace(INK, "currentColor")


def data_uri(figure: "Figure") -> str:
    """Return a figure as an SVG data URI for an <img> element."""
    return "data:image/svg+xml;base64," + base64.b64encode(to_svg(figure).encode()).decode()


def plain(text: str) -> str:
    """Escape dollar signs, between which matplotlib would read a formula."""
    return text.replace("$", r"\$")
