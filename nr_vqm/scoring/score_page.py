"""Plots of one video's score: quality over time, over the frame, and clip by clip; as a PNG file or an HTML page.

A colour stands for the same clip quality in all plots of a page.
"""

import base64
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from nr_vqm.common import atomic_files, figures, safe_output
from nr_vqm.common.safe_output import printable
from nr_vqm.dataset import label_origin

if TYPE_CHECKING:
    from nr_vqm.scoring.score import Score

COLOURS = "RdYlBu"  # red is bad, blue is good; also distinct with red-green colour blindness
LEAST_SPAN = 1.0  # smallest range of the colours, in quality: small differences must not look like large ones
DARK = "#1d2329"  # text and axes of the PNG, which has a white background


class _Draw(Protocol):
    """A function that draws one plot of a score onto Matplotlib axes, with text and axes in the colour `ink`."""

    def __call__(self, axes: Any, score: "Score", *, ink: str) -> None: ...


def write_html(path: str | os.PathLike[str], score: "Score") -> None:
    """Write the HTML page of a score."""
    atomic_files.write_text(path, render(score))


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
    _draw_time(over_time, score, ink=DARK)
    _draw_map(over_frame, score, ink=DARK)
    _draw_clips(by_clip, score, ink=DARK)
    title = figure.suptitle(
        f"{headline(score)}\n{figures.plain(_name(score))}", color=DARK, x=0.02, ha="left", fontsize=13
    )
    title.set_linespacing(1.5)
    with atomic_files.replace_when_complete(path) as temporary:
        figure.savefig(temporary, dpi=110)


def render(score: "Score") -> str:
    """Render the HTML page of a score; file names and warnings are escaped."""
    return _render_template("page", score)


def render_fragment(score: "Score") -> str:
    """Render the content of the page without <html> and <head>, for a notebook."""
    return _render_template("fragment", score)


def headline(score: "Score") -> str:
    """Summarise a score: '3.42 on 1-5, 95 % between 2.60 and 4.21; trained on simulated raters'."""
    between = f", 95 % between {score.interval[0]:.2f} and {score.interval[1]:.2f}" if score.interval else ""
    labels = label_origin.ORIGINS[score.labels]
    return f"{score.score:.2f} on {score.scale_min:g}-{score.scale_max:g}{between}; trained on {labels}"


def worst_moment(score: "Score") -> str:
    """Describe the group with the lowest mean clip quality: '3.2 s, frames 72 to 87'; frames count from 0."""
    start = score.grid.starts[score.worst_group]
    frames = f"frames {start} to {start + score.grid.clip_frames - 1}"
    return f"{_times(score)[score.worst_group]:.1f} s, {frames}" if score.fps else frames


def _render_template(part: str, score: "Score") -> str:
    values = {
        "part": part,
        "score": score,
        "name": _name(score),
        "path": printable(score.path),
        "labels": label_origin.ORIGINS[score.labels],
        "warnings": [printable(warning) for warning in score.warnings],
    }
    if score.has_clips:
        values |= {
            "worst": worst_moment(score),
            "worst_frame": _jpeg_uri(score.worst_frame),
            "quality_map": _map_uri(score),
            "over_time": _figure_uri(_draw_time, score, 9, 2.6),
            "by_clip": _figure_uri(_draw_clips, score, 9, 4.6),
        }
    return safe_output.render_html(Path(__file__).with_name("score.html.j2"), values)


def _figure_uri(draw: _Draw, score: "Score", width: float, height: float) -> str:
    figure = figures.new_figure(width, height)
    draw(figure.add_subplot(), score, ink=figures.INK)
    return figures.data_uri(figure)


def _map_uri(score: "Score") -> str:
    """Draw the quality map over the worst frame, without axes, in the size of that frame."""
    height, width = _worst_frame(score).shape[:2]
    figure = figures.new_figure(width / 100, height / 100)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    _overlay_map(axes, score, plot_width=0.72 * width)
    axes.set_axis_off()
    out = io.BytesIO()
    figure.savefig(out, dpi=100, format="jpg", pil_kwargs={"quality": 88})
    return _jpeg_uri(out.getvalue())


def _jpeg_uri(content: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def _draw_time(axes: Any, score: "Score", *, ink: str) -> None:
    """Plot the mean clip quality of each group with the middle 80 % of its blocks; mark the worst group."""
    times, means, worst = _times(score), score.quality_over_time, score.worst_group
    low, high = np.quantile(score.clip_quality, [0.1, 0.9], axis=1)
    axes.fill_between(times, low, high, color=figures.BLUE, alpha=0.18, linewidth=0, label="middle 80 % of the blocks")
    axes.plot(times, means, color=figures.BLUE, linewidth=2, marker="o", markersize=3.5, label="mean over the frame")
    axes.axvline(times[worst], color=figures.ORANGE, linewidth=1, linestyle=(0, (2, 3)))
    label = f"worst moment: {worst_moment(score).split(',')[0]}"
    axes.plot(times[worst], means[worst], "o", color=figures.ORANGE, markersize=8, label=label)
    middle, half = (low.min() + high.max()) / 2, max(LEAST_SPAN, high.max() - low.min()) * 0.56
    axes.set(xlabel=_time_label(score), ylabel="clip quality (1-5)", ylim=(middle - half, middle + half))
    axes.margins(x=0.01)
    figures.style_axes(axes, ink=ink)
    axes.legend(
        frameon=False, labelcolor=ink, fontsize=9, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0
    )


def _draw_map(axes: Any, score: "Score", *, ink: str) -> None:
    """Plot the quality map over the worst frame, with axes in pixels."""
    _overlay_map(axes, score, plot_width=min(350, 280 * score.width / score.height))
    figures.style_axes(axes, ink=ink, grid=False)
    axes.set(xlabel=f"pixels; frame: worst moment, {worst_moment(score)}", ylabel="pixels", aspect="equal")
    axes.set_title("clip quality by position, mean over time", color=ink, fontsize=10, loc="left")


def _overlay_map(axes: Any, score: "Score", *, plot_width: float) -> None:
    """Draw the worst frame and a coloured cell for each block position, with its mean quality if there is room.

    Args:
        axes: Matplotlib axes.
        score: the score.
        plot_width: width of the axes in points, which limits the font size.
    """
    from matplotlib import colormaps
    from matplotlib.patheffects import withStroke

    axes.imshow(_worst_frame(score), extent=(0, score.width, score.height, 0), interpolation="bilinear")
    # In a small frame several blocks can have the same position.
    (tops, first_rows), (lefts, first_columns) = (
        np.unique(corners, return_index=True) for corners in (score.grid.tops, score.grid.lefts)
    )
    values = score.quality_map[np.ix_(first_rows, first_columns)]
    rows = _cell_edges(tops, score.grid.clip_size, score.height)
    columns = _cell_edges(lefts, score.grid.clip_size, score.width)
    low, high = _colour_range(score)
    axes.pcolormesh(columns, rows, values, cmap=colormaps[COLOURS], vmin=low, vmax=high, alpha=0.45, edgecolors="none")
    axes.set(xlim=(0, score.width), ylim=(score.height, 0))
    font_size = min(14.0, 0.28 * plot_width * np.diff(columns).min() / score.width)
    if font_size < 5:
        return
    for row, column in np.ndindex(values.shape):
        text = axes.text(
            columns[column : column + 2].mean(), rows[row : row + 2].mean(), f"{values[row, column]:.1f}",
            ha="center", va="center", fontsize=font_size, color="white", fontweight="bold",
        )  # fmt: skip
        text.set_path_effects([withStroke(linewidth=2, foreground="#000000b0")])


def _draw_clips(axes: Any, score: "Score", *, ink: str) -> None:
    """Plot each clip as a cell: groups from left to right in time, blocks from top to bottom, row by row."""
    rows, columns = score.quality_map.shape
    groups, blocks = score.clip_quality.shape
    low, high = _colour_range(score)
    image = axes.imshow(score.clip_quality.T, cmap=COLOURS, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    figures.style_axes(axes, ink=ink, grid=False)
    for row in range(1, rows):
        axes.axhline(row * columns - 0.5, color=ink, linewidth=1)
    ticks = np.unique(np.linspace(0, groups - 1, min(groups, 9)).round().astype(int))
    times = _times(score)
    digits = (1 if times[-1] > 5 else 2) if score.fps else 0
    axes.set_xticks(ticks, [f"{times[tick]:.{digits}f}" for tick in ticks])
    axes.set_yticks([(row + 0.5) * columns - 0.5 for row in range(rows)], [f"row {row + 1}" for row in range(rows)])
    axes.set(xlabel=_time_label(score), ylabel=f"block: {columns} columns in each row" if columns > 1 else "block")
    axes.set_title(f"clip quality, {groups} groups x {blocks} blocks", color=ink, fontsize=10, loc="left")
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label("clip quality (1-5)", color=ink)
    bar.ax.tick_params(colors=ink, labelsize=9)
    bar.outline.set_visible(False)


def _colour_range(score: "Score") -> tuple[float, float]:
    """Return the (low, high) quality of the colours: the 2nd and the 98th percentile, at least LEAST_SPAN apart."""
    low, high = np.quantile(score.clip_quality, [0.02, 0.98])
    missing = max(0.0, LEAST_SPAN - (high - low)) / 2
    return low - missing, high + missing


def _cell_edges(corners: np.ndarray, size: int, length: int) -> np.ndarray:
    """Return the edges of cells around the centres of blocks: halfway between neighbours, and 0 and `length`.

    Args:
        corners: int, shape (num_blocks,), first pixel of each block along one axis, ascending.
        size: of a block in pixels.
        length: of the frame in pixels.
    """
    middles = np.array(corners) + min(size, length) / 2
    return np.concatenate([[0], (middles[:-1] + middles[1:]) / 2, [length]])


def _times(score: "Score") -> np.ndarray:
    """Return the middle of each group in seconds, or in frames if the frame rate is unknown; shape (num_groups,)."""
    return (np.array(score.grid.starts) + score.grid.clip_frames / 2) / (score.fps or 1.0)


def _time_label(score: "Score") -> str:
    return "time (s)" if score.fps else "time (frames)"


def _worst_frame(score: "Score") -> np.ndarray:
    """Decode the worst frame: uint8 RGB, shape (height, width, 3)."""
    frame = cv2.imdecode(np.frombuffer(score.worst_frame, np.uint8), cv2.IMREAD_COLOR)
    assert frame is not None  # the scorer encoded it
    return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def _name(score: "Score") -> str:
    return printable(Path(score.path).name) or "array of frames"
