"""Plots of one video's score as a PNG file: quality over time, over the frame, and clip by clip."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nr_vqm.common import atomic_files, figures
from nr_vqm.scoring import quality_view, score_page

if TYPE_CHECKING:
    from nr_vqm.scoring.score import Score

INK = "#1d2329"  # text and axes, on a white background
RANGE = (quality_view.LOWEST, quality_view.HIGHEST)


def write_png(path: str | os.PathLike[str], score: "Score") -> None:
    """Write the plots of a score as one PNG file, 1320 x 902 pixels.

    Raises:
        ValueError: the name does not end in .png, or the score has no clips.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"The name of a plot must end in .png. Received: {path}.")
    if not score.has_clips:
        raise ValueError(
            f"Plots show the quality of clips, which head {score.head!r} does not predict. Use a head of the 3D-CNN."
        )
    figure = figures.new_figure(12, 8.2)
    figure.patch.set(facecolor="white", alpha=1)
    spaces = figure.add_gridspec(2, 2, height_ratios=[1, 1.35])
    over_time, over_frame, by_clip = (figure.add_subplot(space) for space in (spaces[0, :], spaces[1, 0], spaces[1, 1]))
    _draw_time(over_time, score)
    _draw_map(over_frame, score)
    _draw_clips(by_clip, score)
    name = figures.plain(score_page.name(score))
    title = figure.suptitle(f"{score_page.headline(score)}\n{name}", color=INK, x=0.02, ha="left", fontsize=13)
    title.set_linespacing(1.5)
    with atomic_files.replace_when_complete(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # letters of a name that the font lacks become boxes
        figure.savefig(temporary, dpi=110)


def _draw_time(axes: Any, score: "Score") -> None:
    """Plot the mean clip quality of each group with the middle 80 % of its blocks; mark the worst group."""
    times, means, worst = quality_view.times(score), score.quality_over_time, score.worst_group
    low, high = np.quantile(score.clip_quality, [0.1, 0.9], axis=1)
    axes.fill_between(times, low, high, color=figures.BLUE, alpha=0.18, linewidth=0, label="middle 80 % of the blocks")
    axes.plot(times, means, color=figures.BLUE, linewidth=2, marker="o", markersize=3.5, label="mean over the frame")
    axes.axvline(times[worst], color=figures.ORANGE, linewidth=1, linestyle=(0, (2, 3)))
    label = f"worst moment: {quality_view.worst_moment(score).split(',')[0]}"
    axes.plot(times[worst], means[worst], "o", color=figures.ORANGE, markersize=8, label=label)
    axes.set(xlabel=_time_label(score), ylabel="clip quality (1-5)", yticks=range(1, 6))
    axes.set(ylim=(RANGE[0] - 0.1, RANGE[1] + 0.1), xlim=(0, quality_view.duration(score)))
    figures.style_axes(axes, ink=INK)
    axes.legend(
        frameon=False, labelcolor=INK, fontsize=9, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0
    )


def _draw_map(axes: Any, score: "Score") -> None:
    """Plot the quality map over the worst frame in grey, with axes in pixels and values where there is room."""
    from matplotlib.patheffects import withStroke

    frame = quality_view.worst_frame(score, grey=True)
    axes.imshow(frame, extent=(0, score.width, score.height, 0), interpolation="bilinear")
    values, rows, columns = quality_view.map_cells(score)
    axes.pcolormesh(columns, rows, values, cmap="RdYlBu", vmin=RANGE[0], vmax=RANGE[1], alpha=0.5, edgecolors="none")
    axes.set(xlim=(0, score.width), ylim=(score.height, 0), aspect="equal", ylabel="pixels")
    axes.set(xlabel=f"pixels; frame: worst moment, {quality_view.worst_moment(score)}")
    figures.style_axes(axes, ink=INK, grid=False)
    axes.set_title("clip quality by position, mean over time", color=INK, fontsize=10, loc="left")
    plot_width = min(350, 280 * score.width / score.height)  # in points
    font_size = min(14.0, 0.28 * plot_width * np.diff(columns).min() / score.width)
    if font_size < 5:
        return
    for row, column in np.ndindex(values.shape):
        text = axes.text(
            columns[column : column + 2].mean(), rows[row : row + 2].mean(), f"{values[row, column]:.1f}",
            ha="center", va="center", fontsize=font_size, color="white", fontweight="bold",
        )  # fmt: skip
        text.set_path_effects([withStroke(linewidth=2, foreground="#000000b0")])


def _draw_clips(axes: Any, score: "Score") -> None:
    """Plot each clip as a cell: groups from left to right in time, blocks from top to bottom, row by row."""
    rows, columns = score.quality_map.shape
    groups, blocks = score.clip_quality.shape
    image = axes.imshow(
        score.clip_quality.T, cmap="RdYlBu", vmin=RANGE[0], vmax=RANGE[1], aspect="auto", interpolation="nearest"
    )
    figures.style_axes(axes, ink=INK, grid=False)
    for row in range(1, rows):
        axes.axhline(row * columns - 0.5, color=INK, linewidth=1)
    ticks = np.unique(np.linspace(0, groups - 1, min(groups, 9)).round().astype(int))
    times = quality_view.times(score)
    digits = (1 if times[-1] > 5 else 2) if score.fps else 0
    axes.set_xticks(ticks, [f"{times[tick]:.{digits}f}" for tick in ticks])
    axes.set_yticks([(row + 0.5) * columns - 0.5 for row in range(rows)], [f"row {row + 1}" for row in range(rows)])
    axes.set(xlabel=_time_label(score), ylabel=f"block: {columns} columns in each row" if columns > 1 else "block")
    axes.set_title(f"clip quality, {groups} groups x {blocks} blocks", color=INK, fontsize=10, loc="left")
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, ticks=range(1, 6))
    bar.set_label("clip quality (1-5)", color=INK)
    bar.ax.tick_params(colors=INK, labelsize=9)
    bar.outline.set_visible(False)


def _time_label(score: "Score") -> str:
    return "time (s)" if score.fps else "time (frames)"
