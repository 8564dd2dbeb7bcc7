"""Heads on hand-crafted features in a comparison: fitted in stages of their own, on the same videos as the others."""

import dataclasses
import json
import shutil

import commands
import numpy as np
import pytest

from experiments import compare_heads, cross_database, report
from nr_vqm import presets
from nr_vqm.common import atomic_files
from nr_vqm.dataset import manifest, mos_scale, splits
from nr_vqm.evaluation import comparison
from nr_vqm.models import cnn3d, head_table, svr_head
from nr_vqm.models.shared_trunk import ClipOutputs
from nr_vqm.runs import features, interval_file, model_check, rival_features, stage_records
from nr_vqm.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow
PRESET = presets.get_preset("tiny", overrides=["head_epochs=1", "svr_linear_above=6"])
NUM_FEATURES = {"niqe": 1, "brisque": 5, "cornia": 7, "friquee": 3, "videval": 3}


def videos():
    return [manifest.Video(f"v{n}", f"v{n}.mp4", f"c{n}", 10 + 2.5 * n, 0.0, 100.0) for n in range(32)]


def write_rival(run, name, *, seed=0, noise=3.0, missing=(), without=(), version=1):
    """Write features of which the first follows the MOS, rising for niqe and falling for the others."""
    rng = np.random.default_rng(seed)
    if name == "cornia":
        run.rivals.mkdir(exist_ok=True)
        atomic_files.write_text(run.codebook, "words")
    file = rival_features.RivalFile(run.path, name, version, NUM_FEATURES[name])
    file.path.unlink(missing_ok=True)  # its rows would be kept, as the videos have not changed
    with run.stage(stage_records.rival_stage(name), seed=seed, version=version):
        for number, one in enumerate(videos()):
            row = rng.random(NUM_FEATURES[name])
            row[0] = 20 - one.mos / 5 + rng.normal(0, noise)
            if number in missing:
                row[-1] = np.inf
            found, reason = (None, "no texture") if number in without else (row, "")
            file.write_part(one, found, reason=reason, seconds=2.0)
        file.join(videos())
    file.drop_parts()


def compare(run):
    """Run make compare with few bootstrap draws; return what it printed."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(comparison, "MIN_RESAMPLES", 10)
        return commands.succeed(compare_heads.main, "--run", run, "--resamples", 10)


def metrics(run):
    return json.loads(run.metrics.read_text())


def network_files(run):
    names = ["lstm_head.keras", "svr.skops", "lstm_features_head.keras", "test_scores.csv", "intervals.json"]
    return {name: (run.path / name).read_bytes() for name in names}


def rival_scores(run, name):
    return [row["score"] for row in comparison.read_scores(run.scores) if row["head"] == name]


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A run whose heads of the 3D-CNN are fitted."""
    run = RunFolder(tmp_path_factory.mktemp("run"))
    run.write_preset(PRESET)
    run.update_facts(mos_range=[0.0, 100.0], labels_sha256="x", database="synthetic", labels="synthetic")
    ids = [one.video_id for one in videos()]
    splits.write(run.splits, splits.Split(tuple(ids[::2]), tuple(ids[1::4]), tuple(ids[3::4])))
    cnn3d.build_cnn3d(**PRESET.network, dtype="float32").save(run.cnn3d)
    rng = np.random.default_rng(1)
    file, made_from = features.FeatureFile(run, precision="float32"), atomic_files.sha256(run.cnn3d)
    with run.stage("features", videos=features.videos_sha256(videos())):
        for one in videos():
            quality = mos_scale.to_unit_5(one.mos, 0, 100) + rng.normal(0, 0.2, (5, 6))
            outputs = ClipOutputs(
                group_features=rng.random((5, 8), np.float32), clip_quality=quality.astype(np.float32)
            )
            file.write_part(one, made_from, outputs)
        file.join(videos(), made_from)
    compare(run)
    return run


@pytest.fixture(scope="module")
def fitted(networks, tmp_path_factory):
    """The same run with the heads of three methods, added after the comparison of the others."""
    run = RunFolder(shutil.copytree(networks.path, tmp_path_factory.mktemp("fitted") / "run"))
    for name in ("niqe", "brisque", "cornia"):
        write_rival(run, name, missing=(0, 3) if name == "brisque" else (), without=(3,) if name == "niqe" else ())
    compare(run)
    return run


@pytest.fixture
def run(fitted, tmp_path):
    return RunFolder(shutil.copytree(fitted.path, tmp_path / "run"))


def test_every_head_scores_the_same_test_videos(fitted):
    rows, test = comparison.read_scores(fitted.scores), splits.read(fitted.splits).test
    heads = ["lstm", "svr", "mean", "lstm_features", "niqe", "brisque", "cornia"]
    assert list(metrics(fitted)["heads"]) == heads
    for head in heads:
        assert sorted(row["video_id"] for row in rows if row["head"] == head) == sorted(test)
    tested = {(one["first"], one["second"]) for one in metrics(fitted)["tests"]}
    assert {("lstm", head) for head in heads[1:]} <= tested


def test_adding_a_method_fits_no_other_head_again(networks, fitted, run):
    assert network_files(fitted) == network_files(networks)
    before = {name: run.head(name).read_bytes() for name in ("niqe", "brisque", "cornia")}
    write_rival(run, "friquee")
    printed = compare(run)
    assert "the heads are fitted already" in printed
    assert "BRISQUE is fitted already" in printed
    assert network_files(run) == network_files(networks)
    assert {name: run.head(name).read_bytes() for name in before} == before
    assert "friquee" in metrics(run)["heads"]


def test_changed_features_fit_only_their_own_head_again(run):
    before = {name: run.head(name).read_bytes() for name in ("niqe", "brisque", "cornia")}
    scores = rival_scores(run, "brisque")
    write_rival(run, "brisque", seed=5)
    compare(run)
    changed = [name for name in before if run.head(name).read_bytes() != before[name]]
    assert changed == ["brisque"]
    assert rival_scores(run, "brisque") != scores


def test_features_of_another_version_are_fitted_again(run):
    write_rival(run, "brisque", missing=(0, 3), version=2)
    compare(run)
    assert run.stage_settings("compare_brisque") == {"version": 2}


@pytest.mark.parametrize("stopped", [(svr_head, "save_svr"), (interval_file, "write"), (RunFolder, "update_facts")])
def test_a_stopped_fit_is_run_again_with_the_same_result(run, tmp_path, monkeypatch, stopped):
    write_rival(run, "friquee")
    whole = RunFolder(shutil.copytree(run.path, tmp_path / "whole"))
    compare(whole)
    place, function = stopped
    real = getattr(place, function)

    def stop(*args, **values):
        if place is RunFolder and "stages" not in values:
            return real(*args, **values)
        raise SystemError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(place, function, stop)
        with pytest.raises(SystemError, match="killed"):
            compare_heads.main(["--run", str(run)])
    assert not run.is_complete("compare_friquee")
    with pytest.raises((ValueError, FileNotFoundError), match="make compare"):
        model_check.check_run(run, "friquee")
    compare(run)
    assert rival_scores(run, "friquee") == rival_scores(whole, "friquee")
    assert interval_file.read_all(run) == interval_file.read_all(whole)
    # The time of the stages differs, and with it the seconds in run.json, but no figure.
    assert metrics(run) == metrics(whole)


def test_scores_of_a_method_whose_features_have_changed_since_are_skipped(run):
    run.rival_features("brisque").unlink()
    compare(run)
    assert "brisque" not in metrics(run)["heads"]
    assert "niqe" in metrics(run)["heads"]


def test_niqe_is_not_trained_and_its_sign_is_reversed(fitted):
    found = rival_features.read(fitted, "niqe").select(splits.read(fitted.splits).test)
    known = found.reason == ""
    scores = {row["video_id"]: row["score"] for row in comparison.read_scores(fitted.scores) if row["head"] == "niqe"}
    order = np.argsort(found.features[known, 0])
    ordered = np.array([scores[video_id] for video_id in found.video_id[known][order]])
    assert (np.diff(ordered) <= 0).all()  # equal where scores are clipped to the scale
    assert metrics(fitted)["fitted_on"]["niqe"] == "only its scale, on train"


def test_every_row_states_features_seconds_and_videos(fitted):
    found = metrics(fitted)
    assert found["num_features"] == {
        "lstm": 30, "svr": 8, "mean": 30, "lstm_features": 40, "niqe": 1, "brisque": 5, "cornia": 7,
    }  # fmt: skip
    assert found["seconds_per_video"]["brisque"] == 2.0
    seconds = fitted.read_facts()["seconds"]["features"]
    assert found["seconds_per_video"]["lstm"] == pytest.approx(seconds / 32, abs=1e-3)
    assert found["fitted_on"]["cornia"] == "train; codebook: train"


def test_missing_features_are_stated(fitted):
    notes = [note for note in metrics(fitted)["notes"] if "missing" in note]
    assert notes == [
        "NIQE: features are missing for 0 train, 0 val, 1 test videos; the means of the training videos replace them.",
        "BRISQUE: features are missing for 1 train, 0 val, 1 test videos; the means of the training videos replace "
        "them.",
    ]


def test_more_features_than_the_limit_give_a_linear_svr(fitted):
    last = {name: svr_head.load_svr(fitted.head(name)).named_steps["svr"] for name in ("brisque", "cornia")}
    assert last["brisque"].kernel == "rbf"  # 5 features, limit 6
    assert last["cornia"].coef_.shape == (7,)


def test_a_method_without_features_of_a_training_video_is_skipped(run):
    write_rival(run, "videval", without=range(32))
    assert "VIDEVAL is skipped, as no training video has its features. The first reason: no texture" in compare(run)
    assert "videval" not in metrics(run)["heads"]


def test_the_report_has_a_row_for_every_method(fitted):
    report.main(["--run", str(fitted)])
    page = fitted.report.read_text()
    for label in ("NIQE", "BRISQUE", "V-CORNIA*"):
        assert f">{label}<small>fitted on: " in page
        assert f"<small>compared with {label}</small>" in page
    assert "<small>5 features, 2.00 s a video</small>" in page
    assert page.count("<small>compared with ") == 6
    assert "V-CORNIA*" in fitted.results_table.read_text()


def test_a_head_of_another_codebook_is_refused(run):
    model_check.check_run(run, "cornia")
    atomic_files.write_text(run.codebook, "other words")
    with pytest.raises(ValueError, match=r"cornia.skops was fitted on another codebook than codebook.h5. Fit it again"):
        model_check.check_run(run, "cornia")
    run.codebook.unlink()
    with pytest.raises(FileNotFoundError, match="make rivals"):
        model_check.check_run(run, "cornia")


def test_a_rival_head_does_not_depend_on_the_3d_cnn(run):
    identity = model_check.check_run(run, "brisque")
    run.cnn3d.unlink()
    assert model_check.check_run(run, "brisque") == identity


def test_a_test_on_another_database_leaves_rival_heads_out(fitted):
    assert set(cross_database._heads_of(fitted)).isdisjoint(head_table.RIVALS)


def test_a_video_without_a_row_of_features_is_refused(run):
    write_rival(run, "friquee")
    file = rival_features.RivalFile(run.path, "friquee", 1, 3)
    with run.stage(stage_records.rival_stage("friquee")):
        file.join(videos()[:-1])
    with pytest.raises(ValueError, match="No hand-crafted features of video 'v31'"):
        compare_heads.main(["--run", str(run)])


def test_corrected_labels_fit_every_head_again(run):
    corrected = [dataclasses.replace(videos()[0], mos=35.0), *videos()[1:]]
    made_from = atomic_files.sha256(run.cnn3d)
    file = features.FeatureFile(run, precision="float32")
    with run.stage("features", videos=features.videos_sha256(corrected)):
        for one in corrected:
            quality = np.full((5, 6), mos_scale.to_unit_5(one.mos, 0, 100), np.float32)
            file.write_part(one, made_from, ClipOutputs(group_features=np.ones((5, 8)), clip_quality=quality))
        file.join(corrected, made_from)
    assert not run.is_complete("compare_brisque")
    compare(run)
    assert run.is_complete("compare_brisque")
