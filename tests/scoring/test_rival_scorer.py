"""Scoring of videos with heads on hand-crafted features, without the 3D-CNN and TensorFlow."""

import csv
import dataclasses
import json
import subprocess
import sys
import warnings

import commands
import numpy as np
import pytest
import stand_ins

import nr_vqm
from nr_vqm import cli, command_line, presets
from nr_vqm.dataset import label_origin
from nr_vqm.handcrafted import brisque, cornia, methods, niqe
from nr_vqm.models import head_table, line_head, svr_head
from nr_vqm.runs import interval_file
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring.rival_scorer import RivalScorer

WORDS = 20


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with the heads brisque, cornia and niqe and nothing else."""
    run = RunFolder(tmp_path_factory.mktemp("run"))
    run.write_preset(presets.PRESETS["tiny"])
    run.update_facts(mos_range=[0.0, 100.0], labels="synthetic")
    run.rivals.mkdir()
    rng = np.random.default_rng(0)
    frames = [rng.uniform(0, 255, (40, 40)) for _ in range(2)]
    cornia.save_codebook(run.codebook, cornia.learn_codebook(frames, videos=["v1"], num_words=WORDS, seed=1))
    mos = np.linspace(1, 5, 24)
    for name, size in {"brisque": 36, "cornia": 2 * WORDS}.items():
        features = rng.random((24, size))
        features[:, 0] = mos
        pipeline = svr_head.fit_svr(
            features, mos, contents=range(24), seed=1, num_jobs=1, fill=True, **presets.PRESETS["tiny"].svr_search
        )
        with run.stage(head_table.get(name).stage, version=1):
            svr_head.save_svr(run.head(name), pipeline)
            interval_file.write(run, {name: (mos + 0.2 * (-1) ** np.arange(24), mos)})
    with run.stage(head_table.get("niqe").stage, version=1):
        line_head.save_line(run.head("niqe"), line_head.Line(offset=6.0, slope=-0.3, fill=7.0))
    return run


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    return stand_ins.write_h264(path, stand_ins.noisy_frames(3, 40, 96, 192, noise=20.0))


def test_the_table_of_heads_has_a_row_for_every_method():
    assert {name: head_table.label(name) for name in head_table.RIVALS} == {
        name: method.label for name, method in methods.METHODS.items()
    }


@pytest.mark.parametrize("head", ["brisque", "cornia"])
def test_a_video_is_scored_by_its_features(run, video, head):
    scorer = nr_vqm.load(run, head=head)
    assert isinstance(scorer, RivalScorer)
    assert repr(scorer) == f"RivalScorer('{run}', head {head}, model {scorer.model_id}, 0-100)"
    score = scorer.score(video)
    codebook = cornia.load_codebook(run.codebook)
    features = methods.get(head).compute(video, codebook=codebook, video_id="clip")
    output = float(svr_head.load_svr(run.head(head)).predict(features[None])[0])
    assert score.score == pytest.approx(25 * (np.clip(output, 1, 5) - 1))
    assert score.quality == pytest.approx(np.clip(output, 1, 5))
    assert (score.head, score.labels, score.precision) == (head, "synthetic", "float64")
    assert (score.frames, score.declared_frames, score.width, score.height, score.fps) == (40, 40, 192, 96, 30)
    assert score.interval[0] <= score.score <= score.interval[1]
    assert score.engine == "numpy"
    assert score.warnings == label_origin.WARNINGS["synthetic"]


def test_niqe_scores_without_training(run, video):
    distance = niqe.video_features(video)[0]
    score = nr_vqm.score(video, run, head="niqe")
    assert score.quality == pytest.approx(np.clip(6 - 0.3 * distance, 1, 5))
    assert score.interval is None  # this run has no validation scores of it


def test_the_score_has_no_clips(run, video):
    score = nr_vqm.load(run, head="brisque").score(video)
    assert not score.has_clips
    assert [len(values) for values in (score.quality_over_time, score.quality_map, list(score.iter_clips()))] == [0] * 3
    assert json.loads(json.dumps(score.to_dict()))["grid"] == ""
    page = score.to_html()
    assert "It gives no quality over time or over the frame." in page
    assert "<img" not in page
    assert "<dt>clips</dt>" not in page
    assert "trained on simulated raters, not on people&#39;s opinions" in page
    assert f"{score.score:.2f}" in page
    assert repr(score).startswith(f"Score({score.score:.2f} on 0-100, 95 % ")
    assert "Quality over time" not in score._repr_html_()
    with pytest.raises(ValueError, match="which head 'brisque' does not predict"):
        score.save_plot("x.png")


def test_an_array_of_frames_is_refused(run):
    with pytest.raises(ValueError, match="needs a path. Received: ndarray. Save frames as a video"):
        nr_vqm.load(run, head="brisque").score(np.zeros((9, 96, 96, 3), np.uint8))


def test_missing_features_are_a_warning(run, video, monkeypatch):
    def undefined(path, **_):
        features = brisque.video_features(path)
        features[:2] = np.nan, np.inf
        warnings.warn(f"{path}: only 3 of 40 declared frames could be decoded", stacklevel=1)
        return features

    scorer = nr_vqm.load(run, head="brisque")
    monkeypatch.setattr(scorer, "_method", dataclasses.replace(methods.get("brisque"), video_features=undefined))
    score = scorer.score(video)
    assert score.warnings[1:] == (
        "only 3 of 40 declared frames could be decoded",
        "2 of 36 features are undefined; the training means replace them",
    )
    assert 0 <= score.score <= 100


def test_the_command_prints_and_writes_rows(run, video, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    out, page = tmp_path / "rows.csv", tmp_path / "page.html"
    options = ("--run", run, "--head", "brisque", "--out", out, "--html", page)
    printed = commands.run(cli.main, "score", video, broken, *options)
    assert printed.code == command_line.EXIT_FAILED
    assert "simulated raters" in printed.out
    assert "failed" in printed.out
    rows = list(csv.DictReader(out.open()))
    assert [row["status"] for row in rows] == ["ok", "failed"]
    assert (rows[0]["head"], rows[0]["grid"], rows[0]["labels"]) == ("brisque", "", "synthetic")
    assert (tmp_path / "page-0001.html").exists()


@pytest.mark.parametrize("option", ["--plot", "--clips"])
def test_the_command_refuses_plots_of_clips(run, video, tmp_path, option):
    name = tmp_path / ("x.png" if option == "--plot" else "x.csv")
    printed = commands.run(cli.main, "score", video, "--run", run, "--head", "brisque", option, name)
    assert printed.code == command_line.EXIT_USAGE
    assert "show the quality of clips, which head 'brisque' does not predict" in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.slow
def test_workers_give_the_same_scores(run, video):
    arguments = ("score", video, video, "--run", run, "--head", "brisque", "--format", "json")
    printed = commands.succeed(cli.main, *arguments), commands.succeed(cli.main, *arguments, "--workers", 2)
    alone, by_workers = ([row["score"] for row in json.loads(text)] for text in printed)
    assert alone == by_workers


@pytest.mark.slow
def test_tensorflow_is_not_loaded(run, video):
    code = "import sys, nr_vqm\n"
    code += f"nr_vqm.load({str(run)!r}, head='brisque').score({str(video)!r})\n"
    code += "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_head_that_was_not_fitted_names_the_command(run):
    with pytest.raises(FileNotFoundError, match="Make it first: make compare"):
        nr_vqm.load(run, head="friquee")


def test_a_head_of_another_version_of_the_features_is_refused(run, monkeypatch):
    newer = dataclasses.replace(methods.get("brisque"), version=2)
    monkeypatch.setitem(methods.METHODS, "brisque", newer)
    with pytest.raises(
        ValueError, match="fitted on version 1 of the features of BRISQUE, this nr-vqm computes version 2"
    ):
        nr_vqm.load(run, head="brisque")
