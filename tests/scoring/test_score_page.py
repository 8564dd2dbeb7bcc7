"""The page and the picture of a score: what they show, that they stand alone, and that names from data stay text."""

import re
import shutil

import cv2
import numpy as np
import pytest
from sample_videos import place_frame, write_ffv1

import nr_vqm
from nr_vqm.runs import prediction_intervals
from nr_vqm.scoring import score_page

HOSTILE = '<script>alert(1)<_script> {{ 7 * 7 }} $\\frac$ "><img src=x>\n.mkv'


@pytest.fixture(scope="module")
def scorer(tiny_run, tmp_path_factory):
    run = shutil.copytree(tiny_run, tmp_path_factory.mktemp("page") / "run")
    mos = np.linspace(1, 5, 40)
    prediction_intervals.write(run, {head: (mos + 0.2 * (-1) ** np.arange(40), mos) for head in ("lstm", "svr")})
    return nr_vqm.load(run)


@pytest.fixture(scope="module")
def score(scorer):
    return scorer.score(np.stack([place_frame(9 * t, 40, 72) for t in range(20)]), fps=10)


def test_the_page_needs_nothing_from_elsewhere(score):
    page = score.to_html()
    sources = re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^">)]+)', page)
    assert len(sources) == 4
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "<dt>learned from</dt><dd>people&#39;s opinions (MOS)</dd>" in page
    assert f"{score.mos:.2f}" in page
    assert f"95 %: {score.interval[0]:.2f} to {score.interval[1]:.2f}" in page
    assert page.lstrip().startswith("<!doctype html>")


def test_the_page_states_that_no_person_gave_the_labels(score):
    import dataclasses

    assert "not from people" not in score.to_html()
    page = dataclasses.replace(score, labels="synthetic").to_html()
    assert "Learned from simulated raters, not from people's opinions." in page
    assert "learned from pseudo-labels" in score_page.headline(dataclasses.replace(score, labels="pseudo"))


def test_a_notebook_gets_a_part_without_the_frame_of_a_page(score):
    part = score._repr_html_()
    assert "<!doctype" not in part
    assert part.count("<img") == 4
    assert ".nrvqm h1" in part
    assert not re.search(
        r"^(?!\.nrvqm|@media|--|\s)[a-z*:]+ \{", part, re.MULTILINE
    )  # no rule for the rest of the page


def test_names_from_data_stay_text(scorer, tmp_path):
    path = tmp_path / HOSTILE
    write_ffv1(tmp_path / "x.mkv", [place_frame(t, 30, 44) for t in range(9)]).rename(path)
    score = scorer.score(path)
    page = score.to_html()
    assert "<script" not in page
    assert "<img src=x>" not in page
    assert "{{ 7 * 7 }}" in page
    score.save_plot(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_the_worst_moment_and_its_picture(score):
    start = score.grid.starts[score.worst_group]
    picture = cv2.imdecode(np.frombuffer(score.worst_picture, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (40, 72, 3)
    assert np.median(picture[..., 2]) == pytest.approx(9 * (start + 3), abs=4)  # red is the time
    assert score_page.worst_moment(score) == f"{(start + 3.5) / 10:.1f} s, frames {start} to {start + 6}"


def test_the_plot_is_a_png_of_the_map_and_the_clips(score, tmp_path):
    score.save_plot(tmp_path / "plot.png")
    assert cv2.imread(str(tmp_path / "plot.png")).shape == (902, 1320, 3)
    with pytest.raises(ValueError, match=r"ends in \.png is needed"):
        score.save_plot(tmp_path / "plot.pdf")


def test_the_map_paints_bad_places_red_and_good_ones_blue(score):
    import dataclasses

    quality = np.tile(np.repeat([1.5, 3.0, 4.5], 1), (5, 2)).astype(np.float32)
    grey = np.full((40, 72, 3), 128, np.uint8)
    painted = dataclasses.replace(
        score, clip_quality=quality, worst_picture=cv2.imencode(".jpg", cv2.resize(grey, (720, 400)))[1].tobytes()
    )
    figure = score_page._map_uri(painted)
    import base64

    map_ = cv2.imdecode(np.frombuffer(base64.b64decode(figure.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR)
    blue, _, red = (map_[..., channel].astype(float) for channel in range(3))
    third = map_.shape[1] // 6
    assert (red - blue)[:, :third].mean() > 40
    assert (blue - red)[:, -third:].mean() > 40
    assert abs((red - blue)[:, third * 2 + 20 : third * 4 - 20].mean()) < 40


@pytest.mark.parametrize("size", [(20, 44), (30, 44), (26, 200), (200, 26)])
def test_any_shape_can_be_drawn(scorer, size, tmp_path):
    score = scorer.score(np.full((7, *size, 3), 90, np.uint8))
    assert "time (frames)" not in score.to_html()  # text in figures is drawn, not written
    score.save_plot(tmp_path / "plot.png")
    assert score_page.worst_moment(score) == "frames 0 to 6"


def test_a_value_for_every_size_of_cell():
    edges = score_page._edges((0, 16, 40), 24, 64)
    assert edges.tolist() == [0, 20, 40, 64]
