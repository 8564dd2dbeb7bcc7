"""The HTML page of one video's score, self-contained and below 400 KB; text is text, lines are drawn by CSS and SVG.

Quality is shown over time, over the frame, and clip by clip, on the fixed scale 1-5.
"""

import base64
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from nr_vqm.common import atomic_files, safe_output
from nr_vqm.common.safe_output import printable
from nr_vqm.dataset import label_origin, mos_scale
from nr_vqm.models import head_table
from nr_vqm.scoring import quality_view
from nr_vqm.scoring.quality_view import two_decimals

if TYPE_CHECKING:
    from nr_vqm.scoring.score import Score

STRIP = 8  # frames of the film strip
FRAME_WIDTH = 640  # pixels, of the two large frames
FRAME_BYTES, THUMBNAIL_BYTES = 80_000, 7_000  # largest sizes, so that the page stays below 400 KB
FRAME_HEIGHT = 560  # largest height in which they are shown, for upright videos
NUMBERED_COLUMNS = 12  # largest number of columns of the quality map whose cells have room for a number


def write_html(path: str | os.PathLike[str], score: "Score", *, back: tuple[str, str] | None = None) -> None:
    """Write the HTML page of a score; see `render`."""
    atomic_files.write_text(path, render(score, back=back))


def render(score: "Score", *, back: tuple[str, str] | None = None) -> str:
    """Render the HTML page of a score; file names and warnings are escaped.

    Args:
        score: the score.
        back: address and text of a link to the page before it, or None.
    """
    return _render_template("page", score, back)


def render_fragment(score: "Score") -> str:
    """Render the content of the page without <html> and <head>, for a notebook."""
    return _render_template("fragment", score, None)


def headline(score: "Score") -> str:
    """Summarise a score: '3.42 on 1-5, 95 % between 2.60 and 4.21; trained on simulated raters'."""
    between = f", 95 % between {' and '.join(map(two_decimals, score.interval))}" if score.interval else ""
    labels = label_origin.ORIGINS[score.labels]
    return f"{two_decimals(score.score)} on {score.scale_min:g}-{score.scale_max:g}{between}; trained on {labels}"


def name(score: "Score") -> str:
    """Return the file name of the video, on one line."""
    return printable(Path(score.path).name) or "array of frames"


def _render_template(part: str, score: "Score", back: tuple[str, str] | None) -> str:
    span = score.scale_max - score.scale_min
    values = {
        "part": part,
        "back": back,
        "score": score,
        "name": name(score),
        "path": printable(score.path),
        "word": mos_scale.acr_word(score.quality),
        "words": mos_scale.ACR_WORDS,
        "labels": label_origin.ORIGINS[score.labels],
        "head_label": head_table.label(score.head),
        "warnings": [printable(warning) for warning in score.warnings],
        "score_left": quality_view.percent((score.score - score.scale_min) / span),
        "standing": "" if score.percentile is None else quality_view.standing(score.percentile),
        "interval": [quality_view.percent((end - score.scale_min) / span) for end in score.interval or ()],
        "gradient": [_rgb(colour) for colour in quality_view.COLOURS],
        "clips": _clip_values(score) if score.has_clips else None,
    }
    template = Path(__file__).with_name("score.html.j2")
    return safe_output.render_html(template, values, filters={"two_decimals": two_decimals})


def _clip_values(score: "Score") -> dict[str, Any]:
    """Return what the page shows of the clips."""
    length = quality_view.duration(score)
    return {
        "curve": _curve(score),
        "levels_note": quality_view.levels_note(score.head),
        "ticks": quality_view.ticks(length, functools.partial(_time, score)),
        "unit": "s" if score.fps else "frames",
        "strip": _strip(score),
        "moments": [_moment(score, moment) for moment in quality_view.moments(score)],
        "frame": _frame(quality_view.worst_frame(score)),
        "grey_frame": _frame(quality_view.worst_frame(score, grey=True)),
        "max_width": round(FRAME_HEIGHT * score.width / score.height),
        "cells": _cells(score),
        "numbered": score.quality_map.shape[1] <= NUMBERED_COLUMNS,
        "by_clip": _clip_image(score),
        "rows": len(score.grid.tops),
        "columns": len(score.grid.lefts),
    }


def _curve(score: "Score") -> dict[str, str]:
    """Return the points of the curve and the band, as `quality_view.points`."""
    shares = quality_view.times(score) / quality_view.duration(score)
    low, high = np.quantile(score.clip_quality, [0.1, 0.9], axis=1)
    band = f"{quality_view.points(shares, high)} {quality_view.points(shares[::-1], low[::-1])}"
    return {"mean": quality_view.points(shares, score.quality_over_time), "band": band}


def _strip(score: "Score") -> list[str]:
    """Return one frame for each of STRIP equal parts of the video: that of the group nearest to its middle."""
    middles = (np.arange(STRIP) + 0.5) * quality_view.duration(score) / STRIP
    groups = [int(np.argmin(abs(quality_view.times(score) - middle))) for middle in middles]
    return [_thumbnail(score, group) for group in groups]


def _moment(score: "Score", moment: quality_view.Moment) -> dict[str, Any]:
    return {
        "time": _time(score, moment.middle),
        "frames": f"{moment.first}–{moment.last}",
        "quality": moment.quality,
        "word": mos_scale.acr_word(moment.quality),
        "frame": _thumbnail(score, moment.group),
        "left": quality_view.percent(moment.middle / quality_view.duration(score)),
        "top": quality_view.percent((quality_view.HIGHEST - moment.quality) / 4),
    }


def _cells(score: "Score") -> list[dict[str, Any]]:
    """Return position, colour and value of each cell of the quality map."""
    values, rows, columns = quality_view.map_cells(score)
    colours = quality_view.colours(values)
    tops, lefts = (rows / score.height).tolist(), (columns / score.width).tolist()
    return [
        {
            "top": quality_view.percent(tops[row]), "height": quality_view.percent(tops[row + 1] - tops[row]),
            "left": quality_view.percent(lefts[column]),
            "width": quality_view.percent(lefts[column + 1] - lefts[column]),
            "colour": _rgb(colours[row, column]), "value": float(values[row, column]),
        }
        for row, column in np.ndindex(values.shape)
    ]  # fmt: skip


def _clip_image(score: "Score") -> str:
    """Return an image with one pixel for each clip, groups from left to right, blocks from top to bottom."""
    pixels = quality_view.colours(score.clip_quality.T)
    content = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))[1].tobytes()
    return "data:image/png;base64," + base64.b64encode(content).decode()


def _frame(frame: np.ndarray) -> str:
    """Return a frame with at most FRAME_WIDTH columns as a data URI."""
    height, width = frame.shape[:2]
    if width > FRAME_WIDTH:
        frame = cv2.resize(frame, (FRAME_WIDTH, max(1, height * FRAME_WIDTH // width)), interpolation=cv2.INTER_AREA)
    return _jpeg_uri(_jpeg(frame[..., ::-1], FRAME_BYTES))


def _thumbnail(score: "Score", group: int) -> str:
    content = score.thumbnails[group]
    if len(content) > THUMBNAIL_BYTES:
        frame = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert frame is not None  # the scorer encoded it
        content = _jpeg(frame, THUMBNAIL_BYTES)
    return _jpeg_uri(content)


def _jpeg(frame: np.ndarray, max_bytes: int) -> bytes:
    """Encode a BGR frame in at most `max_bytes` bytes, if the lowest quality allows it."""
    content = b""
    for quality in (85, 70, 50, 30, 10):
        content = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(content) <= max_bytes:
            break
    return content


def _jpeg_uri(content: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def _time(score: "Score", value: float) -> str:
    """Format a time in seconds, or a number of frames as a whole number."""
    return quality_view.seconds(value) if score.fps else f"frame {value:.0f}"


def _rgb(colour: np.ndarray) -> str:
    return ",".join(str(int(channel)) for channel in colour)
