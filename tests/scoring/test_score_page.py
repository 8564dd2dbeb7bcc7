"""The HTML page and the PNG of a score: content, self-containedness, and escaping of file names."""

import dataclasses
import html
import re
import warnings
from pathlib import Path

import cv2
import markupsafe
import numpy as np
import pytest
from sample_scores import make_score
from sample_videos import place_frame, write_ffv1

import nr_vqm
from nr_vqm.dataset import label_origin
from nr_vqm.scoring import quality_view, score_page

ROOT = Path(__file__).parents[2]
TEMPLATES = [*(ROOT / "nr_vqm/scoring").glob("*.j2"), ROOT / "experiments/report.html.j2"]
HOSTILE = '<script>alert(1)<_script> {{ 7 * 7 }} $\\frac$ "><img src=x>\n.mkv'


@pytest.fixture(scope="module")
def score():
    return make_score()


@pytest.fixture(scope="module")
def scorer(tiny_run):
    return nr_vqm.load(tiny_run)


@pytest.fixture(scope="module")
def scored(scorer):
    """The score of an array of frames, from a run without intervals."""
    return scorer.score(np.stack([place_frame(9 * t, 40, 72) for t in range(20)]), fps=10)


def test_the_page_is_self_contained(score):
    page = score.to_html()
    sources = re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^">)]+)', page)
    assert len(sources) == 8 + len(quality_view.moments(score)) + 3  # film strip, moments, two frames, all clips
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "<dt>trained on</dt><dd>people&#39;s opinions (MOS)</dd>" in page
    assert f"{score.score:.2f}" in page
    assert f"95 % prediction interval: {score.interval[0]:.2f} to {score.interval[1]:.2f}." in page
    assert page.lstrip().startswith("<!doctype html>")


def test_page_and_terminal_show_the_same_two_decimals(score):
    other = dataclasses.replace(score, score=3.83501, interval_low=2.97501, interval_high=4.70501)
    shown = [f"{other.to_dict()[name]:.2f}" for name in ("score", "interval_low", "interval_high")]
    assert shown == ["3.83", "2.98", "4.71"]  # from three decimals; 3.83501 itself would be 3.84
    page = other.to_html()
    assert '<div class="number">3.83 <small>' in page
    assert "95 % prediction interval: 2.98 to 4.71." in page
    assert score_page.headline(other).startswith("3.83 on 0-100, 95 % between 2.98 and 4.71; ")
    assert repr(other).startswith("Score(3.83 on 0-100, 95 % 2.98 to 4.71, ")


@pytest.mark.parametrize("labels", ["synthetic", "pseudo", "mixed"])
def test_the_page_and_the_plot_state_the_origin_of_the_labels(score, labels):
    (warning,) = label_origin.WARNINGS[labels]
    assert str(markupsafe.escape(warning)) not in score.to_html()
    other = dataclasses.replace(score, labels=labels, warnings=(warning,))
    assert str(markupsafe.escape(warning)) in other.to_html()
    assert score_page.headline(other).endswith(f"; trained on {label_origin.ORIGINS[labels]}")


def test_a_notebook_gets_a_fragment_without_global_styles(score):
    part = score._repr_html_()
    assert "<!doctype" not in part
    assert part.count("<img") == score.to_html().count("<img")
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


def test_a_score_without_interval_and_percentile(scored):
    page = scored.to_html()
    assert "array of frames" in page
    assert "No interval: the run has too few validation videos." in page
    assert "Better than" not in page
    assert 'class="range"' not in page.partition("<main>")[2].partition("Quality over time")[0]


@pytest.mark.parametrize(
    ("head", "uses"),
    [
        ("lstm", "their order in time, so"),
        ("lstm_finetuned", "their order in time, so"),
        ("fusion", "their order in time and statistics of a few frames, so"),
        ("svr", None),
        ("mean", None),
    ],
)
def test_the_page_states_why_the_levels_of_curve_and_score_differ(score, head, uses):
    page = dataclasses.replace(score, head=head).to_html()
    assert ("The score also uses" in page) == (uses is not None)
    assert f"The score also uses {uses} the levels of curve and score can differ." in page or uses is None


@pytest.mark.parametrize(("percentile", "words"), [(100.0, "all"), (99.8, "99 %"), (61.6, "62 %"), (0.0, "none")])
def test_the_page_states_the_percentile_in_words(score, percentile, words):
    page = dataclasses.replace(score, percentile=percentile).to_html()
    assert f" Better than {words} of the model's validation videos." in html.unescape(page)


def test_the_page_names_the_worst_moments(score):
    page = score.to_html()
    assert "<h2>Worst moments</h2>" in page
    assert "lowest" not in page.lower()


def test_the_worst_moment_and_its_frame(scored):
    start = scored.grid.starts[scored.worst_group]
    frame = cv2.imdecode(np.frombuffer(scored.worst_frame, np.uint8), cv2.IMREAD_COLOR)
    assert frame.shape == (40, 72, 3)
    assert np.median(frame[..., 2]) == pytest.approx(9 * (start + 3), abs=4)  # red is the time
    assert quality_view.worst_moment(scored) == f"{(start + 3.5) / 10:.1f} s, frames {start} to {start + 6}"


def test_every_group_has_a_thumbnail(scored):
    assert len(scored.thumbnails) == len(scored.grid.starts)
    for start, content in zip(scored.grid.starts, scored.thumbnails, strict=True):
        thumbnail = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert thumbnail.shape == (40, 72, 3)
        assert np.median(thumbnail[..., 2]) == pytest.approx(9 * (start + 3), abs=6)  # red is the time


def test_table_headers_have_a_scope(score):
    for header in re.findall(r"<th\b[^>]*>", score.to_html()):
        assert 'scope="' in header


def test_the_plot_is_a_png_of_the_map_and_the_clips(score, tmp_path):
    score.save_plot(tmp_path / "plot.png")
    assert cv2.imread(str(tmp_path / "plot.png")).shape == (902, 1320, 3)
    with pytest.raises(ValueError, match=r"must end in \.png"):
        score.save_plot(tmp_path / "plot.pdf")


def test_letters_that_the_font_of_a_plot_lacks_give_no_warning(score, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataclasses.replace(score, path="\u65e5\u672c.mp4").save_plot(tmp_path / "plot.png")


def test_a_colour_stands_for_the_same_quality_on_every_page(score):
    red, yellow, blue = quality_view.colours(np.array([1.0, 3.0, 5.0])).astype(int)
    assert red.tolist() == [165, 0, 38] and yellow.tolist() == [255, 255, 191] and blue.tolist() == [49, 54, 149]
    assert quality_view.colours(np.array([[0.2, 7.0]])).tolist() == [[red.tolist(), blue.tolist()]]
    for level in (1.5, 4.5):  # a video of one quality is not stretched over all colours
        quality = np.full_like(score.clip_quality, level)
        page = dataclasses.replace(score, clip_quality=quality).to_html()
        cells = re.findall(r"background:rgba\((\d+),(\d+),(\d+),\.6\)", page)
        assert len(cells) == 6
        assert {tuple(map(int, cell)) for cell in cells} == {tuple(quality_view.colours(np.array(level)))}


def test_the_cells_lie_over_their_blocks(score):
    quality = np.tile(np.arange(1, 7) / 2 + 1, (5, 1)).astype(np.float32)
    page = dataclasses.replace(score, clip_quality=quality).to_html()
    cell = r'<span style="top:([\d.]+)%;left:([\d.]+)%;width:[\d.]+%;height:[\d.]+%;[^>]*><b>([\d.]+)<'
    cells = [tuple(map(float, found)) for found in re.findall(cell, page)]
    assert [value for *_, value in cells] == [1.5, 2.0, 2.5, 3.0, 3.5, 4.0]  # row by row
    assert [top for top, *_ in cells] == [0.0] * 3 + [50.0] * 3
    assert [left for _, left, _ in cells[:3]] == [left for _, left, _ in cells[3:]]


def test_frames_of_an_upright_video_fit_on_a_screen(score):
    page = dataclasses.replace(score, width=1080, height=1920).to_html()
    assert page.count('style="max-width:315px"') == 2  # 560 pixels high: the map and the frame


def test_the_curve_is_drawn_on_the_whole_scale(score):
    quality = np.repeat(np.array([[1.0], [2.0], [3.0], [4.0], [5.0]], np.float32), 6, axis=1)
    page = dataclasses.replace(score, clip_quality=quality).to_html()
    points = re.search(r'<polyline points="([^"]+)"', page).group(1).split()
    xs, ys = zip(*[map(float, point.split(",")) for point in points], strict=True)
    assert ys == (400.0, 300.0, 200.0, 100.0, 0.0)
    assert xs == pytest.approx([1000 * time / 2.0 for time in quality_view.times(score)], abs=0.05)  # 20 frames, 10/s


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (4.0, [("0 s", "0.00%", False), ("1 s", "25.00%", False), ("2 s", "50.00%", False), ("3 s", "75.00%", False),
               ("4 s", "100.00%", True)]),
        (125.0, [("0 s", "0.00%", False), ("20 s", "16.00%", False), ("40 s", "32.00%", False),
                 ("1:00", "48.00%", False), ("1:20", "64.00%", False), ("1:40", "80.00%", False),
                 ("2:00", "96.00%", True)]),
        (0.5, [("0 s", "0.00%", False), ("0.1 s", "20.00%", False), ("0.2 s", "40.00%", False),
               ("0.3 s", "60.00%", False), ("0.4 s", "80.00%", False), ("0.5 s", "100.00%", True)]),
    ],
)  # fmt: skip
def test_ticks_of_the_time_axis(length, expected):
    assert quality_view.ticks(length, quality_view.seconds) == expected


def test_the_lowest_moments_share_no_frame(score):
    grid = dataclasses.replace(score.grid, starts=(0, 5, 10, 20, 30), clip_frames=7)
    quality = np.array([2.0, 1.0, 1.5, 3.0, 2.5])[:, None].repeat(6, axis=1)
    found = quality_view.moments(dataclasses.replace(score, grid=grid, clip_quality=quality, frames=40))
    assert [(moment.group, moment.first, moment.last) for moment in found] == [(1, 5, 11), (4, 30, 36), (3, 20, 26)]
    assert [moment.middle for moment in found] == [0.85, 3.35, 2.35]


def test_the_page_is_small_even_if_the_video_is_noise(score):
    noise = np.random.default_rng(1).integers(0, 256, (600, 800, 3), np.uint8)
    small = cv2.resize(noise, (192, 144))
    worst, thumbnail = (cv2.imencode(".jpg", frame)[1].tobytes() for frame in (noise, small))
    quality = np.random.default_rng(1).uniform(1, 5, (32, 32)).astype(np.float32)
    grid = dataclasses.replace(score.grid, starts=tuple(range(0, 320, 10)), tops=(0, 9, 12, 16), lefts=tuple(range(8)))
    page = dataclasses.replace(
        score, grid=grid, frames=330, clip_quality=quality, worst_frame=worst, thumbnails=(thumbnail,) * 32
    ).to_html()
    assert len(page.encode()) < 400_000


def luminance(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_text_has_the_contrast_of_wcag_aa(template):
    text = template.read_text()
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", part)[::-1])
        for part in text.split("(prefers-color-scheme: dark)")
    )
    for names in (light, dark):
        pairs = [(ink, back) for ink in ("ink", "soft", "accent", "good", "bad") for back in ("paper", "card")]
        pairs += [("warn-ink", "warn"), ("mark-ink", "mark")]
        for ink, back in pairs:
            if ink in names:
                high, low = sorted((luminance(names[ink]), luminance(names[back])), reverse=True)
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, back)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(20, 44), (30, 44), (26, 200), (200, 26)])
def test_frames_of_any_size_can_be_drawn(scorer, size, tmp_path):
    score = scorer.score(np.full((7, *size, 3), 90, np.uint8))
    assert "frame 0</span>" in score.to_html()  # text in figures is text, here without a frame rate
    score.save_plot(tmp_path / "plot.png")
    assert quality_view.worst_moment(score) == "frames 0 to 6"


def test_cell_edges_lie_halfway_between_block_centres():
    edges = quality_view.cell_edges((0, 16, 40), 24, 64)
    assert edges.tolist() == [0, 20, 40, 64]
