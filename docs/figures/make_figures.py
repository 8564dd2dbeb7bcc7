"""Draw the figures of docs/concepts.md: python -m docs.figures.make_figures writes the SVG files beside this one."""

from pathlib import Path
from typing import Any

import numpy as np

from nr_vqm.common import atomic_files, figures
from nr_vqm.dataset import splits
from nr_vqm.video import clips

FOLDER = Path(__file__).parent
HEIGHT, WIDTH, FRAMES, CLIP = 540, 960, 240, 224  # the video and the clip of the examples
STRIDE = 16  # of the trunk of preset `paper`, in pixels


def main() -> None:
    """Write the four figures."""
    for name, draw in (("clips", _clips), ("shared_trunk", _shared_trunk), ("heads", _heads), ("splits", _splits)):
        figure = draw()
        atomic_files.write_text(FOLDER / f"{name}.svg", figures.to_svg(figure))


def _grid() -> clips.ClipGrid:
    return clips.plan_grid(
        FRAMES, HEIGHT, WIDTH, num_groups=8, block_grid=(2, 4), clip_frames=16, clip_size=CLIP, stride=STRIDE,
        downscale=False,
    )  # fmt: skip


def _clips() -> Any:
    """Positions of the clips in time, and of the blocks in the frame."""
    from matplotlib.patches import Rectangle

    figure = figures.new_figure(8, 3.4)
    in_time, in_frame = figure.subplots(1, 2, width_ratios=[1.25, 1])
    grid = _grid()
    in_time.axhline(0.5, color=figures.INK, linewidth=1)
    for number, start in enumerate(grid.starts):
        in_time.add_patch(Rectangle((start, 0.15), grid.clip_frames, 0.7, color=figures.BLUE, alpha=0.75, linewidth=0))
        in_time.text(start + 8, 0.92, str(number + 1), color=figures.INK, ha="center", fontsize=9)
    in_time.set(xlim=(-2, FRAMES + 2), ylim=(-0.1, 1.2), xlabel="frame", yticks=[])
    in_time.set_title("8 groups of 16 frames, evenly spread", color=figures.INK, fontsize=11, loc="left")
    in_frame.add_patch(Rectangle((0, 0), WIDTH, HEIGHT, fill=False, edgecolor=figures.INK, linewidth=1.5))
    for number, (top, left) in enumerate(grid.corners):
        colour = figures.COLOURS[number % 4]
        in_frame.add_patch(Rectangle((left, top), CLIP, CLIP, color=colour, alpha=0.35, linewidth=0))
        in_frame.text(
            left + CLIP / 2, top + CLIP / 2, f"block {number + 1}", color=figures.INK, ha="center", fontsize=9
        )
    in_frame.set(xlim=(-10, WIDTH + 10), ylim=(HEIGHT + 10, -10), aspect="equal", xlabel="pixels")
    in_frame.set_title("2 x 4 blocks of 224 x 224 pixels", color=figures.INK, fontsize=11, loc="left")
    for axes in (in_time, in_frame):
        figures.style_axes(axes, grid=False)
    return figure


def _shared_trunk() -> Any:
    """How often each pixel of the frame is computed clip by clip, against once in the shared trunk."""
    grid = clips.plan_grid(
        FRAMES, HEIGHT, WIDTH, num_groups=32, block_grid=(4, 8), clip_frames=16, clip_size=CLIP, stride=STRIDE,
        downscale=False,
    )  # fmt: skip
    times = np.zeros((HEIGHT, WIDTH), int)
    for top, left in grid.corners:
        times[top : top + CLIP, left : left + CLIP] += 1
    figure = figures.new_figure(8, 2.9)
    by_clip, shared = figure.subplots(1, 2)
    titles = f"clip by clip: a pixel is in up to {times.max()} blocks", "shared trunk: each pixel is computed once"
    for axes, image, title in zip((by_clip, shared), (times, np.minimum(times, 1)), titles, strict=True):
        shown = axes.imshow(image, cmap="Blues", vmin=0, vmax=times.max())
        figures.style_axes(axes, grid=False)
        axes.set_title(title, color=figures.INK, fontsize=11, loc="left")
        axes.set(xticks=[0, 480, 960], yticks=[0, 270, 540])
    bar = figure.colorbar(shown, ax=[by_clip, shared], pad=0.02)
    bar.set_label("times computed", color=figures.INK)
    bar.ax.tick_params(colors=figures.INK, labelsize=9)
    return figure


def _heads() -> Any:
    """The boxes and arrows from a video to the scores of the heads."""
    figure = figures.new_figure(8, 3.0)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 100), ylim=(0, 40))
    axes.set_axis_off()
    _box(axes, 0, 15, 14, "video", "clips of 16 frames")
    _box(axes, 22, 15, 16, "3D-CNN", "shared by all heads")
    _box(axes, 47, 27, 22, "clip qualities", "32 groups x 32 blocks")
    _box(axes, 47, 3, 22, "features", "512, mean of all clips")
    _box(axes, 79, 27, 20, "LSTM, mean", "score of the video")
    _box(axes, 79, 3, 20, "SVR", "score of the video")
    for start, end in (
        ((14, 20), (22, 20)), ((38, 20), (47, 32)), ((38, 20), (47, 8)), ((69, 32), (79, 32)), ((69, 8), (79, 8))
    ):  # fmt: skip
        arrow = {"arrowstyle": "-|>", "color": figures.INK, "linewidth": 1.2}
        axes.annotate("", xy=end, xytext=start, arrowprops=arrow)
    return figure


def _box(axes: Any, left: float, bottom: float, width: float, title: str, text: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = {"boxstyle": "round,pad=0,rounding_size=1.2", "facecolor": figures.BLUE + "33", "edgecolor": figures.BLUE}
    axes.add_patch(FancyBboxPatch((left, bottom), width, 10, **style))
    axes.text(left + width / 2, bottom + 6.2, title, color=figures.INK, ha="center", fontsize=11, fontweight="bold")
    axes.text(left + width / 2, bottom + 2.2, text, color=figures.INK, ha="center", fontsize=8)


def _splits() -> Any:
    """A split of 60 videos of 20 contents: all videos of a content have one colour."""
    contents = {f"video{number}": f"content{number // 3}" for number in range(60)}
    split = splits.split_by_content(contents, train_fraction=0.6, val_fraction=0.2, seed=3)
    part = {name: index for index, names in enumerate((split.train, split.val, split.test)) for name in names}
    figure = figures.new_figure(8, 1.9)
    axes = figure.add_subplot()
    for number in range(60):
        colour = (figures.BLUE, figures.ORANGE, figures.GREEN)[part[f"video{number}"]]
        axes.plot(number // 3, number % 3, "s", color=colour, markersize=13)
    for index, name in enumerate(("train", "validation", "test")):
        colour = (figures.BLUE, figures.ORANGE, figures.GREEN)[index]
        axes.plot([], [], "s", color=colour, markersize=9, label=name)
    axes.set(xlabel="content (three videos each)", xticks=range(20), yticks=[], ylim=(-0.6, 2.6))
    figures.style_axes(axes, grid=False)
    axes.legend(frameon=False, labelcolor=figures.INK, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0)
    return figure


if __name__ == "__main__":
    main()
