"""The HTML page and the PNG of a score: content, self-containedness, and escaping of file names."""

import base64
import dataclasses
import re
import shutil

import cv2
import markupsafe
import numpy as np
import pytest
from sample_videos import place_frame, write_ffv1

import nr_vqm
from nr_vqm.dataset import label_origin
from nr_vqm.runs import interval_file
from nr_vqm.scoring import score_page

HOSTILE = '<script>alert(1)<_script> {{ 7 * 7 }} $\\frac$ "><img src=x>\n.mkv'


@pytest.fixture(scope="module")
def scorer(tiny_run, tmp_path_factory):
    run = shutil.copytree(tiny_run, tmp_path_factory.mktemp("page") / "run")
    mos = np.linspace(1, 5, 40)
    interval_file.write(run, {head: (mos + 0.2 * (-1) ** np.arange(40), mos) for head in ("lstm", "svr")})
    return nr_vqm.load(run)


@pytest.fixture(scope="module")
def score(scorer):
    return scorer.score(np.stack([place_frame(9 * t, 40, 72) for t in range(20)]), fps=10)


def test_the_page_is_self_contained(score):
    page = score.to_html()
    sources = re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^">)]+)', page)
    assert len(sources) == 4
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "<dt>trained on</dt><dd>people&#39;s opinions (MOS)</dd>" in page
    assert f"{score.score:.2f}" in page
    assert f"95 %: {score.interval[0]:.2f} to {score.interval[1]:.2f}" in page
    assert page.lstrip().startswith("<!doctype html>")


@pytest.mark.parametrize("labels", ["synthetic", "pseudo"])
def test_the_page_and_the_plot_state_the_origin_of_the_labels(score, labels):
    (warning,) = label_origin.WARNINGS[labels]
    assert str(markupsafe.escape(warning)) not in score.to_html()
    other = dataclasses.replace(score, labels=labels, warnings=(warning,))
    assert str(markupsafe.escape(warning)) in other.to_html()
    assert score_page.headline(other).endswith(f"; trained on {label_origin.ORIGINS[labels]}")


def test_a_notebook_gets_a_fragment_without_global_styles(score):
    part = score._repr_html_()
    assert "<!doctype" not in part
    assert part.count("<img") == 4
    assert ".nrvqm h1" in part
    assert not re.search(
        r"^(?!\.nrvqm|@media|--|\s)[a-z*:]+ \{", part, re.MULTILINE
    )  # no rule for the rest of the page


def test_file_names_are_escaped(scorer, tmp_path):
    path = tmp_path / HOSTILE
    write_ffv1(tmp_path / "x.mkv", [place_frame(t, 30, 44) for t in range(9)]).rename(path)
    score = scorer.score(path)
    page = score.to_html()
    assert "<script" not in page
    assert "<img src=x>" not in page
    assert "{{ 7 * 7 }}" in page
    score.save_plot(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_the_worst_moment_and_its_frame(score):
    start = score.grid.starts[score.worst_group]
    frame = cv2.imdecode(np.frombuffer(score.worst_frame, np.uint8), cv2.IMREAD_COLOR)
    assert frame.shape == (40, 72, 3)
    assert np.median(frame[..., 2]) == pytest.approx(9 * (start + 3), abs=4)  # red is the time
    assert score_page.worst_moment(score) == f"{(start + 3.5) / 10:.1f} s, frames {start} to {start + 6}"


def test_the_plot_is_a_png_of_the_map_and_the_clips(score, tmp_path):
    score.save_plot(tmp_path / "plot.png")
    assert cv2.imread(str(tmp_path / "plot.png")).shape == (902, 1320, 3)
    with pytest.raises(ValueError, match=r"must end in \.png"):
        score.save_plot(tmp_path / "plot.pdf")


def test_the_map_is_red_where_quality_is_low_and_blue_where_it_is_high(score):
    quality = np.tile(np.repeat([1.5, 3.0, 4.5], 1), (5, 2)).astype(np.float32)
    grey = np.full((40, 72, 3), 128, np.uint8)
    painted = dataclasses.replace(
        score, clip_quality=quality, worst_frame=cv2.imencode(".jpg", cv2.resize(grey, (720, 400)))[1].tobytes()
    )
    figure = score_page._map_uri(painted)
    map_ = cv2.imdecode(np.frombuffer(base64.b64decode(figure.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    blue, _, red = (map_[..., channel].astype(float) for channel in range(3))
    third = map_.shape[1] // 6
    assert (red - blue)[:, :third].mean() > 40
    assert (blue - red)[:, -third:].mean() > 40
    assert abs((red - blue)[:, third * 2 + 20 : third * 4 - 20].mean()) < 40


@pytest.mark.parametrize("size", [(20, 44), (30, 44), (26, 200), (200, 26)])
def test_frames_of_any_size_can_be_drawn(scorer, size, tmp_path):
    score = scorer.score(np.full((7, *size, 3), 90, np.uint8))
    assert "time (frames)" not in score.to_html()  # text in figures is drawn, not written
    score.save_plot(tmp_path / "plot.png")
    assert score_page.worst_moment(score) == "frames 0 to 6"


def test_cell_edges_lie_halfway_between_block_centres():
    edges = score_page._cell_edges((0, 16, 40), 24, 64)
    assert edges.tolist() == [0, 20, 40, 64]
