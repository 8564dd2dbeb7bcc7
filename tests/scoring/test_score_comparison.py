"""The difference of two scores, and whether it exceeds its interval."""

import dataclasses
import json
import re
import shutil

import commands
import numpy as np
import pytest
from sample_videos import place_frame

import nr_vqm
from nr_vqm import cli, command_line
from nr_vqm.runs import interval_file
from nr_vqm.scoring import score_comparison


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    run = shutil.copytree(tiny_run, tmp_path_factory.mktemp("comparison") / "run")
    mos = np.linspace(1, 5, 40)
    interval_file.write(run, {head: (mos + 0.2 * (-1) ** np.arange(40), mos) for head in ("lstm", "svr")})
    return run


@pytest.fixture(scope="module")
def score(run):
    return nr_vqm.load(run).score(np.stack([place_frame(9 * t, 40, 72) for t in range(20)]), fps=10)


def variant(score, path, value, half):
    interval = {"interval_low": value - half, "interval_high": value + half}
    return dataclasses.replace(score, path=path, score=value, **interval)


@pytest.mark.parametrize(
    ("second", "half", "exceeds", "text"),
    [
        (
            60.0,
            3.0,
            True,
            "Difference +10.00: b.mp4 is better; this exceeds the 95 % interval of a difference",
        ),
        (46.0, 3.0, False, "Difference -4.00: a.mp4 is better, but within the 95 % interval of a difference, ±5.00"),
        (50.0, 3.0, False, "Both videos have the same score."),
    ],
)
def test_difference_worked_by_hand(score, second, half, exceeds, text):
    found = score_comparison.compare(variant(score, "a.mp4", 50.0, 4.0), variant(score, "b.mp4", second, half))
    assert (found.difference, found.margin, found.exceeds_margin) == (second - 50, 5.0, exceeds)  # 3, 4, 5
    assert found.conclusion().startswith(text)


def test_an_interval_that_the_scale_cuts_off_keeps_its_width(score):
    top = dataclasses.replace(score, score=99.0, interval_low=95.0, interval_high=100.0)
    assert score_comparison.compare(top, variant(score, "b", 90.0, 3.0)).margin == 5.0


def test_without_intervals_nothing_is_claimed(score):
    other = dataclasses.replace(score, score=score.score + 1, interval_low=None, interval_high=None)
    found = score_comparison.compare(score, other)
    assert (found.margin, found.exceeds_margin) == (None, None)
    assert "too few validation videos" in found.conclusion()


def test_curves_at_the_same_positions(score):
    quality = np.repeat(np.array([1, 2, 3, 4, 5], np.float32)[:, None], 6, axis=1)
    first, second = (dataclasses.replace(score, clip_quality=one) for one in (quality, quality[::-1]))
    times = score_comparison.compare(first, second).times()
    starts = (np.array(score.grid.starts) - score.grid.starts[0]) / (score.grid.starts[-1] - score.grid.starts[0])
    assert [one["first"] for one in times] == pytest.approx(np.interp(np.linspace(0, 1, 8), starts, [1, 2, 3, 4, 5]))
    assert [one["difference"] for one in times] == pytest.approx([one["second"] - one["first"] for one in times])
    assert (times[0]["difference"], times[-1]["difference"]) == (4, -4)


def test_scores_of_two_models_are_not_compared(score):
    with pytest.raises(ValueError, match="Scores of one model are needed, these are of lstm .* and svr abc"):
        score_comparison.compare(score, dataclasses.replace(score, head="svr", model_id="abc"))


@pytest.mark.parametrize(("fps", "last"), [(5.0, [500, 1000]), (0.0, [1000, 1000])])
def test_both_curves_are_drawn_on_one_axis(score, fps, last):
    second = dataclasses.replace(score, fps=fps)  # 20 frames: 4 s instead of 2 s, or of unknown duration
    page = score_comparison.compare(score, second).to_html()
    curves = re.findall(r'<polyline points="([^"]+)"', page)
    middle = (score.grid.starts[-1] + score.grid.clip_frames / 2) / 20
    assert [float(curve.split()[-1].split(",")[0]) for curve in curves] == [
        pytest.approx(part * middle, abs=0.05) for part in last
    ]
    assert ("over the position in the video" in page, ">4 s<" in page, ">20 %<" in page) == (not fps, fps > 0, not fps)
    assert "so the levels of curve and score can differ." in page
    assert "<img" not in page  # text of the axes stays text, and readable on a phone


@pytest.mark.parametrize("card", ["#ffffff", "#1a2027"])  # of light and dark pages
def test_both_curves_have_contrast(card):
    def luminance(colour):
        shares = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
        linear = np.where(shares <= 0.03928, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    for colour in score_comparison.COLOURS:  # WCAG 1.4.11
        low, high = sorted([luminance(colour), luminance(card)])
        assert (high + 0.05) / (low + 0.05) > 3


def test_the_page_is_self_contained_and_escaped(score):
    first = variant(score, "<b>a</b>.mp4", 50.0, 4.0)
    second = dataclasses.replace(variant(score, "b.mp4", 60.0, 3.0), warnings=("damaged <u>",))
    page = score_comparison.compare(first, second).to_html()
    assert not re.findall(r'(?:src|href)="', page)
    assert "<script" not in page and "<u>" not in page and "default-src 'none'" in page
    assert "damaged &lt;u&gt;" in page and "this exceeds the 95 % interval" in page


@pytest.mark.slow
def test_the_command(run, place_video, tmp_path):
    a, b = place_video("a.mkv", num_frames=9), place_video("b.mkv", num_frames=12)
    page = tmp_path / "page.html"
    printed = commands.succeed(cli.main, "compare", a, b, "--run", run, "--html", page)
    scores = [nr_vqm.load(run).score(path).score for path in (a, b)]
    lines = printed.splitlines()
    assert lines[0].startswith("Score on 0-100, 95 % interval; trained on people's opinions (MOS)")
    assert [line.split()[0] for line in lines[1:3]] == [f"{score:.2f}" for score in scores]
    assert "difference" in lines[-1] and lines[-1].count(".") == score_comparison.NUM_TIMES
    assert page.read_text().startswith("<!doctype html>")
    found = json.loads(commands.succeed(cli.main, "compare", a, b, "--run", run, "--format", "json"))
    assert found["difference"] == pytest.approx(scores[1] - scores[0], abs=2e-3)
    assert [row["path"] for row in found["videos"]] == [str(a), str(b)]


@pytest.mark.parametrize(
    ("name", "message"),
    [("dir", "A comparison is one page: --html needs a name that ends in .html."), ("none/a.html", "does not exist")],
)
def test_a_page_that_cannot_be_written(tmp_path, name, message):
    ended = commands.run(cli.main, "compare", "a.mp4", "b.mp4", "--html", tmp_path / name)
    assert (ended.code, ended.err.count("\n")) == (command_line.EXIT_USAGE, 1)
    assert message in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_cannot_be_compared(run, place_video, tmp_path):
    (tmp_path / "empty.mp4").touch()
    message = commands.fail(cli.main, "compare", place_video(), tmp_path / "empty.mp4", "--run", run)
    assert f"cannot be compared: Cannot read {tmp_path}/empty.mp4: the file is empty." in message
    ended = commands.run(cli.main, "compare", "a.mp4", "b.mp4", "--run", tmp_path)
    assert (ended.code, ended.err.count("\n")) == (command_line.EXIT_NO_MODEL, 1)
