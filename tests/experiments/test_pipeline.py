"""All stages on preset `tiny`, and the files that they write."""

import json
import shutil
from dataclasses import fields, replace

import commands
import h5py
import numpy as np
import pytest

from data_prep import __main__ as data_prep
from experiments import compare_heads, cross_database, extract_features, report, train_cnn
from nr_vqm import cli, presets
from nr_vqm.common import devices
from nr_vqm.dataset import manifest, splits
from nr_vqm.models import head_table
from nr_vqm.runs import features, heads
from nr_vqm.training import cnn3d_training


@pytest.fixture(scope="module")
def line(few_draws, synthetic_data, tmp_path_factory):
    """The data folder and the run after all five stages."""
    data, run = synthetic_data, tmp_path_factory.mktemp("run")
    commands.succeed(train_cnn.main, "--data", data, "--run", run, "--preset", "tiny", "--devices", 2)
    commands.succeed(extract_features.main, "--data", data, "--run", run)
    commands.succeed(compare_heads.main, "--run", run)
    commands.succeed(report.main, "--run", run)
    return data, run


def test_every_documented_file_exists(line):
    data, run = line
    assert {"manifest.csv", "index.json", "clips-00000.h5"} <= {path.name for path in data.iterdir()}
    assert {
        "preset.json", "splits.json", "cnn3d.keras", "features.h5", "lstm_head.keras", "svr.skops",
        "scores.csv", "metrics.json", "report.html", "history.csv", "run.json", "intervals.json",
    } <= {path.name for path in run.iterdir()}  # fmt: skip
    assert not [path for folder in line for path in folder.rglob("*.part-*")]


def test_precision_is_recorded_and_shown_by_info(line):
    _data, run = line
    facts = json.loads((run / "run.json").read_text())
    assert facts["precision"] == {stage: devices.best_precision() for stage in ("train", "features")}
    found = json.loads(commands.succeed(cli.main, "info", run, "--format", "json"))
    assert (found["precision"], found["settings"]) == (facts["precision"], [])
    assert set(json.loads((run / "preset.json").read_text())) == {one.name for one in fields(presets.Preset)}


def test_features_of_another_precision_are_extracted_again(line, tmp_path):
    data, run = line
    other = shutil.copytree(run, tmp_path / "run")
    extract = ["--data", data, "--run", other]
    asked = {"float32", "mixed_bfloat16"} - {devices.best_precision()}
    printed = commands.succeed(extract_features.main, *extract, "--precision", *asked)
    assert "20 of 20 videos to extract" in printed
    assert json.loads((other / "run.json").read_text())["precision"]["features"] in asked
    assert "complete already" in commands.succeed(extract_features.main, *extract)  # 'auto' accepts these features


def test_features_of_a_replaced_video_are_extracted_again(line, tmp_path):
    data, run = (shutil.copytree(one, tmp_path / one.name) for one in line)
    videos = manifest.read(data / "manifest.csv")
    manifest.write(data / "manifest.csv", [replace(videos[0], fingerprint="replaced"), *videos[1:]])
    extract = ["--data", data, "--run", run, "--root", line[0] / "synthetic"]
    assert "20 of 20 videos to extract" in commands.succeed(extract_features.main, *extract)
    assert "complete already" in commands.succeed(extract_features.main, *extract)


def test_settings_reach_the_training(line, tmp_path, monkeypatch):
    data, _ = line
    seen = {}

    def fit(train, val, **settings):
        seen.update(settings, mirrored=(train.mirror, val.mirror))
        return [{"epoch": 1, "val_mse": 1.0}]

    monkeypatch.setattr(cnn3d_training, "fit_cnn3d", fit)
    changed = ["mirror=false", "start_clips=3", "start_roughness=0.5"]
    settings = [word for setting in changed for word in ("--set", setting)]
    run = tmp_path / "run"
    train = ["--data", data, "--run", run, "--preset", "tiny", *settings, "--precision", "float32"]
    commands.succeed(train_cnn.main, *train)
    assert seen["mirrored"] == (False, False)
    assert (seen["start_clips"], seen["start_roughness"], seen["dtype"]) == (3, 0.5, "float32")
    text = commands.succeed(cli.main, "info", run)
    assert "mirror=False, start_clips=3, start_roughness=0.5, precision=float32" in text
    assert "train float32" in text


def test_a_start_that_was_fitted_on_test_videos_is_refused(line, tmp_path):
    data, run = line
    train = ["--data", data, "--run", tmp_path / "run", "--preset", "tiny", "--set", "seed=2", "--start", run]
    message = commands.fail(train_cnn.main, *train)
    assert f"The models of {run} were fitted on " in message
    assert "Start from a run of another database, or from one with the same test videos." in message
    assert not (tmp_path / "run" / "preset.json").exists()


def test_a_run_is_not_tested_on_the_videos_of_its_start(line, tmp_path, monkeypatch):
    (data, run), other, last = line, tmp_path / "other", tmp_path / "run"
    shutil.copytree(data, other)
    renamed = [replace(one, fingerprint=f"other {one.fingerprint}") for one in manifest.read(data / "manifest.csv")]
    manifest.write(other / "manifest.csv", renamed)
    monkeypatch.setattr(cnn3d_training, "fit_cnn3d", lambda *_, **settings: [{"epoch": 1, "val_mse": 1.0}])
    start = ["--preset", "tiny", "--start", run]
    commands.succeed(train_cnn.main, "--data", data, "--run", tmp_path / "same_split", *start)
    commands.succeed(train_cnn.main, "--data", other, "--run", last, "--set", "seed=2", *start)
    inherited = splits.read_fitted(run / "splits.json")
    assert splits.read_fitted(last / "splits.json") > inherited
    message = commands.fail(cross_database.main, "--run", last, "--data", data, "--out", tmp_path / "cross")
    assert f"The models of {last} were fitted on {len(inherited)} of the 20 test videos" in message


def test_features_of_every_video(line):
    _, run = line
    with h5py.File(run / "features.h5") as file:
        assert file["group_features"].shape == (20, 5, 8)
        assert file["clip_quality"].shape == (20, 5, 6)


def test_scores_are_of_test_videos_only_and_of_every_head(line):
    _, run = line
    split = json.loads((run / "splits.json").read_text())
    rows = [row.split(",") for row in (run / "scores.csv").read_text().splitlines()]
    head, video_id = rows[0].index("head"), rows[0].index("video_id")
    assert {row[head] for row in rows[1:]} == {"lstm", "svr", "mean", "lstm_features"}
    for name in ("lstm", "svr"):
        assert sorted(row[video_id] for row in rows[1:] if row[head] == name) == sorted(split["test"])


def test_every_head_has_an_interval_from_the_validation_videos(line):
    _, run = line
    split = json.loads((run / "splits.json").read_text())
    stored = json.loads((run / "intervals.json").read_text())
    videos = features.read_head_inputs(run).select(split["val"])
    assert set(stored) == {"lstm", "svr", "mean", "lstm_features"}
    for name, spread in stored.items():
        assert spread["mos"] == pytest.approx(videos.quality, abs=1e-4)
        scores = np.clip(heads.load(run, name).outputs(videos), 1, 5)
        assert spread["scores"] == pytest.approx(scores, abs=1e-4)


def test_the_report_states_that_the_labels_are_not_human_opinions(line):
    _, run = line
    page = (run / "report.html").read_text()
    assert "ynthetic" in page
    assert "the labels are not human opinions" in page
    assert 'src="http' not in page


def test_the_origin_of_the_labels_is_stated_everywhere(line):
    data, run = line
    for path in (data / "prep.json", run / "run.json"):
        assert json.loads(path.read_text())["labels"] == "synthetic"
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["labels"], metrics["trained_labels"]) == ("synthetic", "synthetic")
    assert metrics["fitted_on"]["svr"] == "train"
    for name in ("results.md", "comparison.tex", "report.html"):
        assert "simulated raters" in (run / name).read_text().lower(), name
    assert ",synthetic,synthetic,train\n" in (run / "comparison.csv").read_text()


@pytest.mark.parametrize("head", [row.name for row in head_table.fitted_by("compare")])
def test_scoring_agrees_with_the_comparison(line, head):
    data, run = line
    rows = [row.split(",") for row in (run / "scores.csv").read_text().splitlines()]
    columns = {name: rows[0].index(name) for name in ("head", "video_id", "score")}
    row = next(row for row in rows[1:] if row[columns["head"]] == head)
    video = next((data / "synthetic" / "videos").glob(f"{row[columns['video_id']]}.*"))
    (scored,) = json.loads(commands.succeed(cli.main, "score", video, "--run", run, "--head", head, "--format", "json"))
    assert scored["score"] == pytest.approx(float(row[columns["score"]]), abs=2e-3)


def test_a_repeated_stage_changes_nothing(line):
    data, run = line
    before = {path: path.read_bytes() for path in (run / "cnn3d.keras", run / "features.h5", data / "index.json")}
    arguments = ["--data", data, "--run", run]
    for main, settings in (
        (data_prep.main, ["synthetic", "--out", data, "--preset", "tiny"]),
        (train_cnn.main, [*arguments, "--preset", "tiny", "--devices", 2]),
        (extract_features.main, arguments),
    ):
        assert "complete already" in commands.succeed(main, *settings)
    assert {path: path.read_bytes() for path in before} == before


def test_a_missing_input_names_the_make_target(tmp_path):
    message = commands.fail(compare_heads.main, "--run", tmp_path)
    assert message == f"error: {tmp_path}/preset.json is missing. Make it first: make train.\n"
