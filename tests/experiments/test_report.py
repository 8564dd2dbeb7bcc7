"""The report of a run: its statements, that it is self-contained, and that names from data are escaped."""

import base64
import functools
import re
import shutil

import numpy as np
import pytest

from experiments import report, report_headline, report_plots
from nr_vqm import command_line, presets
from nr_vqm.common import atomic_files, figures
from nr_vqm.dataset import manifest
from nr_vqm.evaluation import comparison, mos_mapping
from nr_vqm.runs.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("few_draws", "equal_plots_are_drawn_once")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<script>alert('id')</script>\"><img src=x onerror=alert(1)> {{ 7 * 7 }} $\\frac$"


@pytest.fixture(scope="module")
def equal_plots_are_drawn_once():
    """Many pages of this module show the same scores, and drawing takes most of the time of a page."""

    def drawn_once(draw):
        plots = {}

        def plot(*values):
            key = repr(values)
            if key not in plots:
                plots[key] = draw(*values)
            return plots[key]

        return plot

    with pytest.MonkeyPatch.context() as patched:
        for name in ("scatters", "forest"):
            patched.setattr(report_plots, name, drawn_once(getattr(report_plots, name)))
        yield


def synthetic_run(folder, noise, *, num_videos=30, names=lambda number: f"video{number}"):
    rng = np.random.default_rng(1)
    rows = []
    for number in range(num_videos):
        mos = float(rng.uniform(1, 5))
        for head, std in noise.items():
            row = {"repeat": 0, "head": head, "video_id": names(number), "content": f"scene{number // 3}"}
            rows.append(row | {"mos": mos, "score": mos + float(rng.normal(0, std))})
    write_results(folder, rows)
    RunFolder(folder).write_preset(presets.get_preset("tiny"))
    return rows


@functools.cache
def compared(rows):
    """Compare the heads of rows that are tuples of the items of a `ScoreRow`."""
    return comparison.compare([dict(row) for row in rows], num_resamples=1000, seed=1)


def write_results(folder, rows, **facts):
    """Write the files of stage 'results'; `facts` replace values of metrics.json."""
    run, found = RunFolder(folder), compared(tuple(tuple(row.items()) for row in rows))
    found = found | {"labels": "people", "trained_labels": "people", "leaked_contents": 0}
    found["fitted_on"] = dict.fromkeys(found["heads"], "train")
    found |= {"num_features": dict.fromkeys(found["heads"], 1024), "seconds_per_video": dict.fromkeys(found["heads"])}
    with run.stage("results"):
        comparison.write_scores(run.scores, rows)
        atomic_files.write_json(run.metrics, found | facts)
        for path in (run.comparison_csv, run.comparison_tex, run.results_table):
            atomic_files.write_text(path, "a table")


def make_report(folder):
    with pytest.raises(SystemExit) as ended:
        command_line.run(report.main, ["--run", str(folder)])
    assert ended.value.code == 0
    return (folder / "report.html").read_text()


def test_a_run_without_optional_files(tmp_path):
    synthetic_run(tmp_path, {"lstm": 0.3, "svr": 1.4})
    page = make_report(tmp_path)
    assert re.search(r"<h1>3D-CNN \+ LSTM: SROCC 0\.\d{3} with people</h1>", page)
    assert "Better than: 3D-CNN + SVR." in page
    assert ", a statistically significant difference (p " in page
    assert "not human opinions" not in page
    assert "Training</h2>" not in page
    assert '<th scope="col">plcc_<wbr>mapped</th>' in page
    assert ">better</span>" in page
    assert page.count("no thumbnail") == 12  # 6 best and 6 worst
    assert "synthetic_videos" in page  # a setting


def test_every_row_states_features_and_seconds(tmp_path):
    rows = synthetic_run(tmp_path, {"lstm": 0.3, "friquee": 0.4, "niqe": 0.6})
    costs = {"num_features": {"lstm": 1024, "friquee": 560, "niqe": 1}}
    write_results(tmp_path, rows, **costs, seconds_per_video={"lstm": None, "friquee": 48.21, "niqe": 1})
    page = make_report(tmp_path)
    assert "<small>fitted on: train</small><small>1,024 features</small>" in page
    assert "<small>560 features, 48.21 s a video</small>" in page
    assert "<small>1 feature, 1.00 s a video</small>" in page


@pytest.mark.slow
def test_the_tests_are_those_of_the_lstm_head(tmp_path):
    synthetic_run(tmp_path, {"lstm": 0.3, "friquee": 0.4, "svr": 0.5, "brisque": 0.6, "niqe": 0.7})
    page = make_report(tmp_path)
    second = re.findall(r"<small>compared with ([^<]+)</small>", page)
    assert second == ["3D-CNN + SVR", "NIQE", "BRISQUE", "FRIQUEE"]
    assert "with 4 lines, one may be significant by chance" in page


def test_without_the_lstm_head_all_tests_are_shown(tmp_path):
    synthetic_run(tmp_path, {"svr": 0.5, "brisque": 0.6, "niqe": 0.7})
    assert make_report(tmp_path).count("<small>compared with ") == 3


def test_the_page_is_self_contained(tmp_path):
    synthetic_run(tmp_path, {"lstm": 0.3, "svr": 0.4})
    page = make_report(tmp_path)
    sources = re.findall(r'(?:src|href|url)\s*[=(]\s*"?([^">)]+)', page)
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


@pytest.mark.parametrize(
    ("labels", "trained_labels", "words", "raters"),
    [
        ("synthetic", "synthetic", "Simulated raters: the labels are not human opinions", "simulated raters"),
        ("synthetic", "people", "Labels: simulated raters, trained on people&#39;s opinions", "simulated raters"),
        ("pseudo", "pseudo", "Pseudo-labels: the labels are not human opinions", "the pseudo-labels"),
        ("mixed", "mixed", "Pseudo-labels and simulated raters: the labels are", "pseudo-labels and simulated raters"),
        ("people", "synthetic", "Tested on people&#39;s opinions (MOS), trained on simulated raters.", "people"),
        ("people", "people", "Labels: people&#39;s opinions (MOS).", "people"),
    ],
)
def test_the_page_states_the_origin_of_the_labels(tmp_path, labels, trained_labels, words, raters):
    rows = synthetic_run(tmp_path, {"lstm": 0.3, "svr": 0.4})
    write_results(tmp_path, rows, labels=labels, trained_labels=trained_labels)
    RunFolder(tmp_path).update_facts(database="other", seconds={"train": 7300})
    page = make_report(tmp_path)
    assert words in page
    assert f" with {raters}</h1>" in page
    assert "2.0 h" in page


@pytest.mark.slow
def test_the_page_states_whether_test_contents_were_used_for_training(tmp_path):
    rows = synthetic_run(tmp_path, {"lstm": 0.3, "svr": 0.4})
    assert "10 contents, none of which was used for training" in make_report(tmp_path)
    write_results(tmp_path, rows, leaked_contents=3)
    page = make_report(tmp_path)
    assert "none of which was used for training" not in page
    assert "3 contents are on two sides of the split" in page
    write_results(tmp_path, rows)
    RunFolder(tmp_path).update_facts(trained_on="other")
    assert "all of another database than the training videos" in make_report(tmp_path)


def test_names_from_data_stay_text(tmp_path):
    synthetic_run(tmp_path, {"lstm": 0.3, HOSTILE: 0.4}, names=lambda number: f"{number} {HOSTILE}")
    page = make_report(tmp_path)
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7 * 7 }}" in page


def test_thumbnails_and_broken_videos(tmp_path, place_video):
    synthetic_run(tmp_path, {"lstm": 0.3, "svr": 0.4}, num_videos=15)
    video = place_video("good.mkv", num_frames=9, height=40, width=64)
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    paths = ["good.mkv" if number % 2 else "broken.mp4" for number in range(15)]
    assert video.parent == tmp_path
    manifest.write(
        tmp_path / "manifest.csv",
        [manifest.Video(f"video{n}", path, "c", 3.0, 1.0, 5.0, frames=9, status="ok") for n, path in enumerate(paths)],
    )
    for name in ("prep.json", "index.json"):
        atomic_files.write_json(tmp_path / name, {"labels_sha256": "0", "root": "."})
    RunFolder(tmp_path).update_facts(data_dir=str(tmp_path))
    page = make_report(tmp_path)
    assert str(tmp_path) not in page
    assert f"<dt>data folder</dt><dd>{tmp_path.name}</dd>" in page
    assert 0 < page.count("data:image/jpeg") < 14
    assert page.count("data:image/jpeg") + page.count("no thumbnail") == 12


def test_loss_curves_of_the_histories_that_exist(tmp_path):
    synthetic_run(tmp_path, {"lstm": 0.3, "svr": 0.4})
    (tmp_path / "history.csv").write_text("epoch,mse,val_mse,val_srocc\n1,2.5,3.0,0.5\n2,1.5,2.0,nan\n")
    page = make_report(tmp_path)
    assert "<h3>3D-CNN</h3>" in page
    assert page.count("<h3>3D-CNN + LSTM</h3>") == 1  # the scatter, no history


def test_a_head_without_correlation_is_shown_without_figures(tmp_path):
    rows = synthetic_run(tmp_path, {"lstm": 0.3, "svr": 0.4})
    rows = [row | ({"score": 3.0} if row["head"] == "svr" else {}) for row in rows]
    write_results(tmp_path, rows)
    page = make_report(tmp_path)
    assert "cannot be compared: the scores of one of them are all the same" in page
    assert "Not tested against: 3D-CNN + SVR." in page
    assert "no correlation" in page


def test_too_few_contents_are_stated(tmp_path):
    synthetic_run(tmp_path, {"lstm": 0.3, "svr": 0.4}, num_videos=4)
    page = make_report(tmp_path)
    assert "too few test contents for a significance test" in page
    assert "at least 5 test contents, found 2" in page


def heads(srocc, p):
    """The values of metrics.json that the headline reads; `srocc` by head, one p for all pairs."""
    names = list(srocc)
    pairs = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]]
    tests = [
        {"first": a, "second": b, "srocc": {"difference": srocc[a] - srocc[b], "low": -0.1, "high": 0.1, "p": p}}
        for a, b in pairs
    ]
    return {"heads": {name: {"srocc": {"median": value}} for name, value in srocc.items()}, "tests": tests}


@pytest.mark.parametrize(
    ("srocc", "p", "title", "others", "claim"),
    [
        ({"lstm": 0.8, "svr": 0.7}, 0.2, "LSTM: SROCC 0.800", "Not significantly different from: 3D-CNN . SVR", "0.20"),
        ({"lstm": 0.8, "svr": 0.7}, None, "LSTM: SROCC 0.800", "Not tested against: 3D-CNN . SVR", "too few test"),
        ({"lstm": 0.7, "svr": 0.8}, 0.01, "LSTM: SROCC 0.700", "Worse than: 3D-CNN . SVR.$", "lower .* significant"),
        ({"svr": 0.8, "lstm": 0.7}, 0.01, "LSTM: SROCC 0.700", "Worse than: 3D-CNN . SVR.$", "lower .* significant"),
        ({"lstm": 0.7, "mean": 0.9, "niqe": 0.6}, 0.01, "LSTM: ", "Better than: NIQE. Worse than: mean", "^$"),
        ({"svr": 0.7, "niqe": 0.6}, 0.01, "SVR: SROCC 0.700", "Better than: NIQE.", "^$"),
        ({"lstm": 0.7}, 0.01, "LSTM: SROCC 0.700", "^$", "^$"),
    ],
)
def test_the_headline_is_about_the_head_that_scores_videos(srocc, p, title, others, claim):
    got = report_headline.headline(heads(srocc, p), raters="people")
    assert title in got["title"] and got["title"].endswith("with people")
    assert re.search(others, got["others"])
    assert re.search(claim, got["claim"])


def test_a_head_whose_scores_are_all_the_same_leads_without_a_figure():
    got = report_headline.headline(heads({"lstm": None}, 0.01), raters="people")
    assert got["title"] == "3D-CNN + LSTM: no rank correlation with people, as all its scores are the same"


@pytest.mark.parametrize(
    ("scores", "colour"), [({"lstm": 0.3, "svr": 1.4}, "better"), ({"lstm": 1.4, "svr": 0.3}, "worse")]
)
def test_a_loss_is_not_shown_as_a_gain(tmp_path, scores, colour):
    synthetic_run(tmp_path, scores)
    page = make_report(tmp_path)
    assert set(re.findall(r'<td><span class="([\w-]+)">', page)) == {colour}
    (row,) = re.findall(r'<tr class="shown"><th scope="row">([^<]+)<', page)
    assert row == "3D-CNN + LSTM"  # the head that scores videos, not the best one


def test_the_page_can_be_printed(tmp_path):
    synthetic_run(tmp_path, {"lstm": 0.3, "svr": 0.4})
    printed = make_report(tmp_path).partition("@media print")[2].partition("</style>")[0]
    assert "details::details-content { content-visibility: visible; block-size: auto; }" in printed


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_tables_fit_on_paper(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    synthetic_run(tmp_path, {"lstm": 0.3, "svr": 0.4})
    make_report(tmp_path)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 718, "height": 1040})  # A4 at 96 dots an inch, margins of 1 cm
        page.emulate_media(media="print")
        page.goto((tmp_path / "report.html").as_uri())
        assert page.locator("thead th").count() >= 9
        assert page.evaluate("document.documentElement.scrollWidth") <= 718
        browser.close()


@pytest.mark.parametrize("missing", ["metrics.json", "scores.csv", "preset.json"])
def test_a_missing_file_names_the_make_target(tmp_path, missing, capsys):
    synthetic_run(tmp_path, {"lstm": 0.3, "svr": 0.4}, num_videos=4)
    (tmp_path / missing).unlink()
    with pytest.raises(SystemExit) as ended:
        command_line.run(report.main, ["--run", str(tmp_path)])
    assert ended.value.code == 1
    assert f"{missing} is missing. Make it first: make" in capsys.readouterr().err


def test_metrics_of_other_scores_are_refused(tmp_path, capsys):
    rows = synthetic_run(tmp_path, {"lstm": 0.3, "svr": 0.4}, num_videos=4)
    comparison.write_scores(tmp_path / "scores.csv", [row for row in rows if row["head"] == "svr"])
    with pytest.raises(SystemExit):
        command_line.run(report.main, ["--run", str(tmp_path)])
    assert "its files have changed since. Run again: make compare" in capsys.readouterr().err


def test_the_same_figure_gives_the_same_svg():
    mapping = mos_mapping.Mapping("line", (1.0, 0.0))
    first, second = (figures.scatter(mos=[1, 2, 3], scores=[1, 2, 4], mapping=mapping, limits=(0, 5)) for _ in range(2))
    assert first == second
    svg = base64.b64decode(first.partition(",")[2]).decode()
    assert re.search("<text[^>]*>score</text>", svg) and re.search("<text[^>]*>MOS</text>", svg)
    assert figures.INK not in svg and "currentColor" in svg
    assert figures.losses([]) is None
