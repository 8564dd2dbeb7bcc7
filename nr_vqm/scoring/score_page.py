"""What a score says, to look at: over time, over the picture, clip by clip; as one PNG or one page.

A colour means the same clip quality everywhere on a page: red is bad, blue is good, for every kind of eye.
"""

import base64
import io
from pathlib import Path

import cv2
import numpy as np

from nr_vqm.common import atomic_files, figures
from nr_vqm.dataset import label_origin

COLOURS = "RdYlBu"
LEAST_SPAN = 1.0  # of the colours, in quality: a video that is good all over is not painted red and blue
DARK = "#1d2329"  # ink of the PNG, which brings its own white paper


def write_html(path, score):
    """Write the page of one score.Score."""
    atomic_files.write_text(path, render(score))


def write_png(path, score):
    """Write the figures of one scorer.Score as a PNG, on white.

    Raises:
        ValueError: the name does not end in .png.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"A plot is a PNG file: a name that ends in .png is needed. Received: {path}.")
    figure = figures.new_figure(12, 8.2)
    figure.patch.set(facecolor="white", alpha=1)
    spaces = figure.add_gridspec(2, 2, height_ratios=[1, 1.35])
    over_time, over_picture, by_clip = (
        figure.add_subplot(space) for space in (spaces[0, :], spaces[1, 0], spaces[1, 1])
    )
    _draw_time(over_time, score, ink=DARK)
    _draw_map(over_picture, score, ink=DARK)
    _draw_clips(by_clip, score, ink=DARK)
    title = figure.suptitle(
        f"{headline(score)}\n{figures.plain(_name(score))}", color=DARK, x=0.02, ha="left", fontsize=13
    )
    title.set_linespacing(1.5)
    with atomic_files.replacing(path) as beside:
        figure.savefig(beside, dpi=110)


def render(score):
    """The page of one scorer.Score as HTML. Whatever comes from data is escaped."""
    return _template("page", score)


def render_fragment(score):
    """The same without the frame of a page, for a notebook."""
    return _template("fragment", score)


def headline(score):
    """'3.42 on 1-5, 95 % between 2.60 and 4.21; learned from simulated raters'."""
    between = f", 95 % between {score.interval[0]:.2f} and {score.interval[1]:.2f}" if score.interval else ""
    learned = label_origin.ORIGINS[score.labels]
    return f"{score.mos:.2f} on {score.mos_low:g}-{score.mos_high:g}{between}; learned from {learned}"


def worst_moment(score):
    """'3.2 s, frames 72 to 87', the group with the lowest mean clip quality; frames count from 0."""
    start = score.grid.starts[score.worst_group]
    frames = f"frames {start} to {start + score.grid.clip_frames - 1}"
    return f"{_times(score)[score.worst_group]:.1f} s, {frames}" if score.fps else frames


def _template(part, score):
    from nr_vqm.common import html_pages

    values = {
        "part": part,
        "score": score,
        "name": _name(score),
        "path": printable(score.path),
        "labels": label_origin.ORIGINS[score.labels],
        "warnings": [printable(warning) for warning in score.warnings],
        "worst": worst_moment(score),
        "picture": _jpeg_uri(score.worst_picture),
        "quality_map": _map_uri(score),
        "over_time": _figure_uri(_draw_time, score, 9, 2.6),
        "by_clip": _figure_uri(_draw_clips, score, 9, 4.6),
    }
    return html_pages.render(Path(__file__).with_name("score.html.j2"), values)


def _figure_uri(draw, score, width, height):
    figure = figures.new_figure(width, height)
    draw(figure.add_subplot(), score, ink=figures.INK)
    return figures.data_uri(figure)


def _map_uri(score):
    """The map laid on the picture, without axes, as large as the picture."""
    height, width = _picture(score).shape[:2]
    figure = figures.new_figure(width / 100, height / 100)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    _lay_map(axes, score, plot_width=0.72 * width)
    axes.set_axis_off()
    out = io.BytesIO()
    figure.savefig(out, dpi=100, format="jpg", pil_kwargs={"quality": 88})
    return _jpeg_uri(out.getvalue())


def _jpeg_uri(content):
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def _draw_time(axes, score, *, ink):
    """Mean clip quality of each group, and where four of five of its blocks lie; the worst group is marked."""
    times, means, worst = _times(score), score.quality_over_time, score.worst_group
    low, high = np.quantile(score.clip_quality, [0.1, 0.9], axis=1)
    axes.fill_between(times, low, high, color=figures.BLUE, alpha=0.18, linewidth=0, label="middle 80 % of the places")
    axes.plot(times, means, color=figures.BLUE, linewidth=2, marker="o", markersize=3.5, label="mean over the picture")
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


def _draw_map(axes, score, *, ink):
    _lay_map(axes, score, plot_width=min(350, 280 * score.width / score.height))
    figures.style_axes(axes, ink=ink, grid=False)
    axes.set(xlabel=f"pixels; picture: worst moment, {worst_moment(score)}", ylabel="pixels", aspect="equal")
    axes.set_title("clip quality by place, mean over time", color=ink, fontsize=10, loc="left")


def _lay_map(axes, score, *, plot_width):
    """The worst picture, and over it a coloured cell for each place of clips, with its mean quality if there is room.

    plot_width: of the axes, in points, for the size of the numbers.
    """
    from matplotlib import colormaps
    from matplotlib.patheffects import withStroke

    axes.imshow(_picture(score), extent=(0, score.width, score.height, 0), interpolation="bilinear")
    # Where a picture has room for fewer places, some come twice.
    (tops, first_rows), (lefts, first_columns) = (
        np.unique(corners, return_index=True) for corners in (score.grid.tops, score.grid.lefts)
    )
    values = score.quality_map[np.ix_(first_rows, first_columns)]
    rows, columns = _edges(tops, score.grid.clip_size, score.height), _edges(lefts, score.grid.clip_size, score.width)
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


def _draw_clips(axes, score, *, ink):
    """Every clip as a cell: groups from left to right in time, blocks from top to bottom, row after row."""
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
    axes.set(xlabel=_time_label(score), ylabel=f"place: {columns} columns in each row" if columns > 1 else "place")
    axes.set_title(f"clip quality, {groups} times x {blocks} places", color=ink, fontsize=10, loc="left")
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label("clip quality (1-5)", color=ink)
    bar.ax.tick_params(colors=ink, labelsize=9)
    bar.outline.set_visible(False)


def _colour_range(score):
    """(low, high) of the colours: all clips but one in fifty at each end."""
    low, high = np.quantile(score.clip_quality, [0.02, 0.98])
    missing = max(0.0, LEAST_SPAN - (high - low)) / 2
    return low - missing, high + missing


def _edges(corners, size, length):
    """Limits of cells around the middles of blocks: halfway between neighbours, to the picture's ends."""
    middles = np.array(corners) + min(size, length) / 2
    return np.concatenate([[0], (middles[:-1] + middles[1:]) / 2, [length]])


def _times(score):
    """The middle of each group: seconds, or frames where the rate is not known."""
    return (np.array(score.grid.starts) + score.grid.clip_frames / 2) / (score.fps or 1.0)


def _time_label(score):
    return "time (s)" if score.fps else "time (frames)"


def _picture(score):
    """The worst picture, uint8 RGB (rows, columns, 3)."""
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(score.worst_picture, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def _name(score):
    return printable(Path(score.path).name) or "array of frames"


def printable(text):
    """Text that UTF-8 can hold and one line can show: a file name may be any bytes."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
