"""Every head of the table can be fitted, saved, loaded and used to score."""

import dataclasses
import json
import shutil

import commands
import keras
import numpy as np
import pytest

import nr_vqm
from nr_vqm import cli, presets
from nr_vqm.common import atomic_files
from nr_vqm.models import head_table, svr_head
from nr_vqm.runs import features, fitted_head, heads, model_check, rival_inputs
from nr_vqm.runs.run_folder import RunFolder

VIDEOS, GROUPS, BLOCKS, FEATURES = 24, 5, 6, 8
NETWORK_HEADS = [name for name in head_table.HEADS if name not in head_table.RIVALS]


def synthetic_inputs(num_videos=VIDEOS, *, seed=0):
    """Inputs whose clip qualities and first feature follow the MOS, on a scale of 0-100."""
    rng = np.random.default_rng(seed)
    mos = rng.uniform(0, 100, num_videos)
    quality = (1 + mos / 25)[:, None, None]
    group_features = rng.random((num_videos, GROUPS, FEATURES)).astype(np.float32)
    group_features[..., 0] += quality[..., 0]
    return features.HeadInputs(
        video_id=np.array([f"v{seed}-{n}" for n in range(num_videos)], object),
        content=np.array([f"c{seed}-{n}" for n in range(num_videos)], object),
        mos=mos,
        mos_low=np.zeros(num_videos),
        mos_high=np.full(num_videos, 100.0),
        clip_quality=(quality + rng.normal(0, 0.2, (num_videos, GROUPS, BLOCKS))).astype(np.float32),
        mean_features=group_features.mean(axis=1),
        row=np.arange(num_videos),
        stored=group_features,
    )


VAL = synthetic_inputs(7, seed=1)


def inputs_of(name, videos):
    """What a head reads of videos: for a method, features of which the first follows the MOS and one is missing."""
    row, num_videos = head_table.get(name), len(videos.mos)
    if not row.is_rival:
        return videos
    rival = np.random.default_rng(3).random((num_videos, 1 if row.method == "line" else 5))
    rival[:, 0] = 10 - videos.mos / 20
    rival[2, -1] = np.nan
    labels = {field: getattr(videos, field) for field in ("video_id", "content", "mos", "mos_low", "mos_high")}
    reason, seconds = np.full(num_videos, "", object), np.ones(num_videos)
    return rival_inputs.RivalInputs(**labels, rival=rival, reason=reason, seconds=seconds)


def fit(run_dir, name, train, val, **changes):
    """Fit a head of preset tiny in its stage; return it and its outputs for val."""
    preset, row, run = presets.get_preset("tiny"), head_table.get(name), RunFolder(run_dir)
    train, val = inputs_of(name, train), inputs_of(name, val)
    if row.is_rival:
        run.rivals.mkdir(exist_ok=True)
        atomic_files.write_text(run.codebook, "not read")
    with run.stage(row.stage):
        if not row.is_rival and run.head_cnn3d(name) != run.cnn3d:  # of a stage that trains both
            shutil.copy(run.cnn3d, run.head_cnn3d(name))
        if row.stage == "finetune":
            model = heads.load_lstm(run_dir, "lstm")
            return heads.continue_lstm(run_dir, name, model, train, val, **preset.lstm_training)
        return heads.fit(run_dir, name, train, val, **preset.heads[row.method] | changes)


@pytest.fixture(scope="module")
def fitted(tiny_run, tmp_path_factory):
    """(a run with every head of the table, {name: (head as it was fitted, its outputs for `VAL`)})."""
    run = shutil.copytree(tiny_run, tmp_path_factory.mktemp("fitted") / "run")
    return run, {name: fit(run, name, synthetic_inputs(), VAL) for name in head_table.HEADS}


@pytest.mark.parametrize("name", head_table.HEADS)
def test_a_head_is_fitted_saved_and_loaded(fitted, name):
    run, heads_as_fitted = fitted
    head, of_val = heads_as_fitted[name]
    val = inputs_of(name, VAL)
    outputs = heads.load(run, name).outputs(val)
    assert outputs.shape == (7,)
    np.testing.assert_allclose(outputs, head.outputs(val), rtol=1e-6)
    np.testing.assert_allclose(outputs, of_val, rtol=1e-6)
    row = head_table.get(name)
    assert row.file is None or (run / row.file).exists()
    assert row.history is None or (run / row.history).exists()


def test_the_svr_is_fitted_on_train_or_on_train_and_val(tmp_path):
    train, val = synthetic_inputs(), synthetic_inputs(9, seed=1)
    assert presets.get_preset("paper").svr_fit_on == "train"
    fit(tmp_path, "svr", train, val)
    scaler = svr_head.load_svr(tmp_path / "svr.skops").named_steps["scale"]
    assert scaler.n_samples_seen_ == len(train.mos)
    both, of_val = fit(tmp_path, "svr", train, val, fit_on="train+val")
    pipeline = svr_head.load_svr(tmp_path / "svr.skops")
    assert pipeline.named_steps["scale"].n_samples_seen_ == len(train.mos) + len(val.mos)
    without = pipeline.fit(train.mean_features.astype(np.float64), train.quality).predict(val.mean_features)
    np.testing.assert_allclose(of_val, without)
    assert not np.allclose(of_val, both.outputs(val))  # this head was fitted on them


def test_svr_fit_on_accepts_two_values():
    assert presets.get_preset("tiny", overrides=["svr_fit_on=train+val"]).svr_fit_on == "train+val"
    with pytest.raises(ValueError, match="'svr_fit_on' must be one of train, train.val. Received: 'val'"):
        presets.get_preset("tiny", overrides=["svr_fit_on=val"])


@pytest.mark.parametrize(("output", "score"), [(7.5, 100.0), (-2.0, 0.0), (2.0, 25.0)])
def test_comparing_and_scoring_give_the_same_score(tiny_run, output, score):
    row = head_table.get("mean")
    constant = fitted_head.Head(row, lambda inputs: np.full(len(inputs), output))
    rows = fitted_head.score_rows(constant, synthetic_inputs(3), repeat=0)
    assert [one["score"] for one in rows] == [score] * 3
    scorer = nr_vqm.load(tiny_run, head="mean")  # on 0-100, too
    scorer._model = dataclasses.replace(scorer._model, predict=constant.predict)
    scored = scorer.score(np.full((9, 30, 44, 3), 90, np.uint8))
    assert (scored.score, scored.quality) == (score, 1 + score / 25)


@pytest.mark.parametrize("output", [np.nan, np.inf])
def test_a_head_whose_output_is_not_finite_is_refused(tiny_run, output):
    broken = fitted_head.Head(head_table.get("mean"), lambda inputs: np.full(len(inputs), output))
    with pytest.raises(ValueError, match="gave no finite number for a video"):
        fitted_head.score_rows(broken, synthetic_inputs(3), repeat=0)
    scorer = nr_vqm.load(tiny_run, head="mean")
    scorer._model = dataclasses.replace(scorer._model, predict=broken.predict)
    with pytest.raises(ValueError, match="gave no finite number for a video"):
        scorer.score(np.full((9, 30, 44, 3), 90, np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORK_HEADS)
def test_every_head_of_the_3d_cnn_scores_a_video(fitted, place_video, name):
    run, _ = fitted
    printed = commands.succeed(
        cli.main, "score", place_video(num_frames=12), "--run", run, "--head", name, "--format", "json"
    )
    (row,) = json.loads(printed)
    assert (row["status"], row["head"]) == ("ok", name)
    assert 0 <= row["score"] <= 100
    others = {model_check.check_run(run, other) for other in head_table.HEADS if other != name}
    assert row["model_id"] == model_check.check_run(run, name)
    assert row["model_id"] not in others


def test_a_head_of_another_input_shape_is_refused(fitted, tmp_path):
    run = shutil.copytree(fitted[0], tmp_path / "run")
    shutil.copy(run / "lstm_head.keras", run / "lstm_features_head.keras")
    with pytest.raises(ValueError, match=r"lstm_features_head.keras has the input shape \(5, 6\), .* gives \(5, 8\)"):
        model_check.check_run(run, "lstm_features")


@pytest.fixture(scope="module")
def run_that_gives_nan(fitted, tmp_path_factory):
    """A run whose 3D-CNNs give features and no clip quality."""
    run = shutil.copytree(fitted[0], tmp_path_factory.mktemp("nan") / "run")
    model = keras.models.load_model(run / "cnn3d.keras")
    weights = model.get_weights()
    weights[-1] = np.full_like(weights[-1], np.nan)  # of the output alone: the features are finite
    model.set_weights(weights)
    with RunFolder(run).stage("train"):
        model.save(run / "cnn3d.keras")
    shutil.copy(run / "cnn3d.keras", run / "fcn_lstm_cnn3d.keras")
    for stage in ("compare", "finetune", "fcn_lstm"):  # as if the heads were fitted on this network
        with RunFolder(run).stage(stage):
            pass
    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORK_HEADS)
def test_a_3d_cnn_whose_output_is_not_finite_scores_with_no_head(run_that_gives_nan, name):
    scorer = nr_vqm.load(run_that_gives_nan, head=name)
    with pytest.raises(ValueError, match="The 3D-CNN must give finite numbers, this one gave NaN or infinity"):
        scorer.score(np.full((9, 30, 44, 3), 90, np.uint8))
