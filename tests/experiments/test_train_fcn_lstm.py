"""The FCN-LSTM from end to end, preset tiny: trained, compared, reported, and used to score."""

import contextlib
import json
import shutil
import signal

import keras
import numpy as np
import pytest

import nr_vqm
from data_prep import __main__ as data_prep
from experiments import compare_heads, extract_features, report, train_cnn, train_fcn_lstm
from nr_vqm import command_line
from nr_vqm.evaluation import comparison
from nr_vqm.runs import interval_file
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.training import fcn_lstm_training

pytestmark = pytest.mark.slow


def call(main, *arguments):
    """Run a command in this process and require that it succeeds."""
    with pytest.raises(SystemExit) as ended:
        command_line.run(main, [str(argument) for argument in arguments])
    assert ended.value.code == 0, arguments


def fails(capsys, main, *arguments):
    """Run a command that must fail and return its error message, one line."""
    with pytest.raises(SystemExit) as ended:
        command_line.run(main, [str(argument) for argument in arguments])
    assert ended.value.code == 1
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    return message


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data folder, a run whose 3D-CNN is trained, and the same run with heads."""
    folder = tmp_path_factory.mktemp("fcn_lstm")
    data, run = folder / "data", folder / "run"
    call(data_prep.main, "synthetic", "--out", data, "--preset", "tiny")
    call(train_cnn.main, "--data", data, "--run", run, "--preset", "tiny")
    shutil.copytree(run, folder / "without_heads")
    call(extract_features.main, "--data", data, "--run", run)
    call(compare_heads.main, "--run", run)
    return data, folder / "without_heads", run


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory):
    """A data folder and a run with the FCN-LSTM, trained on two parts of the CPU."""
    data, _, run = trained
    run = shutil.copytree(run, tmp_path_factory.mktemp("whole") / "run")
    call(train_fcn_lstm.main, "--data", data, "--run", run, "--devices", 2)
    return data, run


def test_it_is_compared_and_reported_like_the_other_heads(whole):
    _, run = whole
    split = json.loads((run / "splits.json").read_text())
    rows = comparison.read_scores(run / "scores.csv")
    assert sorted(row["video_id"] for row in rows if row["head"] == "fcn_lstm") == sorted(split["test"])
    assert {row["head"] for row in rows} == {"lstm", "svr", "mean", "lstm_features", "fcn_lstm"}
    trained = comparison.read_scores(run / "fcn_lstm_train_scores.csv")
    assert sorted(row["video_id"] for row in trained) == sorted(split["train"])
    assert len(interval_file.read_all(run)["fcn_lstm"]["scores"]) == len(split["val"])
    call(report.main, "--run", run)
    assert "3D-FCN + LSTM, end to end</h3>" in (run / "report.html").read_text()
    assert "3D-FCN + LSTM, end to end" in (run / "results.md").read_text()


def test_it_scores_as_it_was_tested(whole):
    data, run = whole
    scorer = nr_vqm.load(run, head="fcn_lstm")
    for row in comparison.read_scores(run / "fcn_lstm_test_scores.csv"):
        (video,) = (data / "synthetic" / "videos").glob(f"{row['video_id']}.*")
        score = scorer.score(video)
        assert score.score == pytest.approx(row["score"], abs=2e-3)
        assert score.clip_quality.shape == (5, 6)
    assert scorer.model_id != nr_vqm.load(run, head="lstm_features").model_id
    # It has convolutions of its own, which the training has changed.
    weights = [keras.models.load_model(run / name).get_weights() for name in ("cnn3d.keras", "fcn_lstm_cnn3d.keras")]
    assert all(np.abs(one - two).max() > 0 for one, two in zip(*weights, strict=True))


def test_a_trained_one_is_not_trained_again(whole, capsys):
    data, run = whole
    before = (run / "fcn_lstm_head.keras").read_bytes()
    call(train_fcn_lstm.main, "--data", data, "--run", run)
    assert "the FCN-LSTM is trained already" in capsys.readouterr().out
    assert (run / "fcn_lstm_head.keras").read_bytes() == before


def test_a_stopped_training_resumes(whole, trained, tmp_path, monkeypatch, capsys):
    data, run = whole
    stopped = shutil.copytree(trained[2], tmp_path / "run")
    arguments = ["--data", data, "--run", stopped, "--devices", 2]
    requests = iter([False, False, True])
    monkeypatch.setattr(command_line, "catch_sigterm", lambda: contextlib.nullcontext(lambda: next(requests, False)))
    with pytest.raises(SystemExit) as ended:
        command_line.run(train_fcn_lstm.main, [str(argument) for argument in arguments])
    assert ended.value.code == command_line.EXIT_STOPPED
    assert "Run the same command again to resume" in capsys.readouterr().err
    call(train_fcn_lstm.main, *arguments)
    found, expected = (comparison.read_scores(one / "fcn_lstm_test_scores.csv") for one in (stopped, run))
    assert [row["score"] for row in found] == pytest.approx([row["score"] for row in expected], abs=1e-3)


def test_it_starts_from_random_weights(trained, tmp_path, capsys):
    data, without_heads, _ = trained
    run = shutil.copytree(without_heads, tmp_path / "run")
    (run / "cnn3d.keras").unlink()
    message = fails(capsys, train_fcn_lstm.main, "--data", data, "--run", run)
    assert "cnn3d.keras is missing. Make it first: make train. Or start from random weights: --from-scratch" in message
    call(train_fcn_lstm.main, "--data", data, "--run", run, "--from-scratch", "--epochs", 1)
    assert {row["head"] for row in comparison.read_scores(run / "scores.csv")} == {"fcn_lstm"}
    assert nr_vqm.load(run, head="fcn_lstm").score(np.full((9, 48, 72, 3), 90, np.uint8)).head == "fcn_lstm"


def test_a_run_without_heads_is_refused(trained, capsys):
    data, without_heads, _ = trained
    message = fails(capsys, train_fcn_lstm.main, "--data", data, "--run", without_heads)
    assert "lstm_features_head.keras is missing. Make it first: make compare. Or start" in message


def test_other_settings_and_models_than_at_the_start_are_refused(whole, tmp_path, capsys):
    data, source = whole
    run = shutil.copytree(source, tmp_path / "run")
    (run / "fcn_lstm_head.keras").unlink()  # it is to be made again
    arguments = ["--data", data, "--run", run]
    assert "was created with other settings" in fails(capsys, train_fcn_lstm.main, *arguments, "--epochs", 7)
    message = fails(capsys, train_fcn_lstm.main, *arguments, "--from-scratch")
    assert "was started from other models than" in message
    message = fails(capsys, train_fcn_lstm.main, *arguments, "--set", "epochs=3")
    assert "--set changes the fcn_lstm_ settings only; the run has the others. Received: 'epochs=3'" in message
    shutil.rmtree(RunFolder(run).fcn_lstm)
    call(train_fcn_lstm.main, *arguments, "--set", "fcn_lstm_epochs=1", "--set", "fcn_lstm_regions=1")


def test_a_repeat_has_one_of_its_own(trained, tmp_path):
    data, *_ = trained
    run = tmp_path / "run"
    call(train_cnn.main, "--data", data, "--run", run, "--preset", "tiny", "--set", "epochs=1", "--repeats", 2)
    call(train_fcn_lstm.main, "--data", data, "--run", run, "--from-scratch", "--epochs", 1)
    rows = comparison.read_scores(run / "scores.csv")
    assert {(row["repeat"], row["head"]) for row in rows} == {(0, "fcn_lstm"), (1, "fcn_lstm")}


def test_damaged_models_are_refused(whole, tmp_path):
    run = shutil.copytree(whole[1], tmp_path / "run")
    shutil.copy(run / "cnn3d.keras", run / "fcn_lstm_cnn3d.keras")
    with pytest.raises(ValueError, match="fcn_lstm_cnn3d.keras is not the file that this run wrote"):
        nr_vqm.load(run, head="fcn_lstm")
    (run / "fcn_lstm_cnn3d.keras").unlink()
    with pytest.raises(FileNotFoundError, match="fcn_lstm_cnn3d.keras is missing. Make it first: make fcn_lstm"):
        nr_vqm.load(run, head="fcn_lstm")


def test_settings_reach_the_training(trained, tmp_path, monkeypatch):
    data, _, source = trained
    run, seen = shutil.copytree(source, tmp_path / "run"), {}

    def fit(train, val, **settings):
        seen.update(settings, mirrored=(train.mirror, val.mirror), regions=train.num_regions, size=train.region_size)
        raise KeyboardInterrupt

    monkeypatch.setattr(fcn_lstm_training, "fit_fcn_lstm", fit)
    changes = ["fcn_lstm_regions=3", "fcn_lstm_region_blocks=1x2", "fcn_lstm_group_weight=0", "fcn_lstm_epochs=5"]
    settings = [word for change in changes for word in ("--set", change)]
    with pytest.raises(KeyboardInterrupt):
        train_fcn_lstm.main(["--data", str(data), "--run", str(run), *settings, "--precision", "float32"])
    assert (seen["mirrored"], seen["regions"], seen["size"]) == ((True, False), 3, (24, 28))
    assert (seen["group_weight"], seen["epochs"], seen["dtype"]) == (0.0, 5, "float32")


def test_sigterm_is_caught_during_the_training_only(trained, tmp_path, monkeypatch):
    data, _, source = trained
    run, seen, usual = shutil.copytree(source, tmp_path / "run"), [], signal.getsignal(signal.SIGTERM)

    def fit(*_, **settings):
        seen.append(signal.getsignal(signal.SIGTERM))
        return [{"epoch": 1, "val_mse": 1.0}]

    def extract(_):
        seen.append(signal.getsignal(signal.SIGTERM))
        raise KeyboardInterrupt

    monkeypatch.setattr(fcn_lstm_training, "fit_fcn_lstm", fit)
    monkeypatch.setattr(extract_features, "main", extract)
    with pytest.raises(KeyboardInterrupt):
        train_fcn_lstm.main(["--data", str(data), "--run", str(run)])
    assert seen[0] is not usual
    assert seen[1] is usual
