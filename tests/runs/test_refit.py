"""A fit of the heads that is stopped at any point and run again has the result of an uninterrupted fit."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest

from experiments import compare_heads
from nr_vqm import command_line, presets
from nr_vqm.common import atomic_files
from nr_vqm.dataset import manifest, mos_scale, splits
from nr_vqm.evaluation import comparison
from nr_vqm.models import cnn3d, svr_head
from nr_vqm.models.shared_trunk import ClipOutputs
from nr_vqm.runs import features, interval_file, model_check, results
from nr_vqm.runs.run_folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_draws")]  # every case fits all heads twice
PRESET = presets.get_preset("tiny", overrides=["head_epochs=1"])


def videos():
    return [manifest.Video(f"v{n}", f"v{n}.mp4", f"c{n}", 10 + 2.5 * n, 0.0, 100.0) for n in range(32)]


def write_features(run, listed, *, seed):
    rng = np.random.default_rng(seed)
    file, made_from = features.FeatureFile(run, precision="float32"), atomic_files.sha256(run.cnn3d)
    with run.stage("features", videos=features.videos_sha256(listed)):
        for one in listed:
            quality = mos_scale.to_unit_5(one.mos, 0, 100) + rng.normal(0, 0.2, (5, 6))
            outputs = ClipOutputs(
                group_features=rng.random((5, 8), np.float32), clip_quality=quality.astype(np.float32)
            )
            file.write_part(one, made_from, outputs)
        file.join(listed, made_from)
    file.drop_parts()


def compare(run):
    with pytest.raises(SystemExit) as ended:
        command_line.run(compare_heads.main, ["--run", str(run)])
    assert ended.value.code == 0


def state(run):
    """The numbers in all files that compare writes."""
    weights = [
        keras.models.load_model(run.head(name), compile=False).get_weights() for name in ("lstm", "lstm_features")
    ]
    assert all(model_check.check_run(run, head) for head in ("lstm", "svr"))
    spread = atomic_files.read_json(run.intervals("compare"), made_by="make compare")
    figures = atomic_files.read_json(run.metrics, made_by="make compare")["heads"]
    return {
        "weights": [one for head in weights for one in head],
        "scores": [row["score"] for row in comparison.read_scores(run.scores)],
        "intervals": [spread[head]["scores"] for head in ("lstm", "svr")],
        "rmse": [figures[head]["rmse"]["median"] for head in figures],
    }


def assert_same(one, two):
    for name, tolerance in {"weights": 1e-6, "scores": 1e-4, "intervals": 1e-4, "rmse": 1e-4}.items():
        for first, second in zip(one[name], two[name], strict=True):
            np.testing.assert_allclose(first, second, atol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def fitted(few_draws, tmp_path_factory):
    """A run whose heads are fitted and whose features have changed since."""
    run = RunFolder(tmp_path_factory.mktemp("run"))
    run.write_preset(PRESET)
    run.update_facts(mos_range=[0.0, 100.0], labels_sha256="x", database="synthetic", labels="synthetic")
    ids = [one.video_id for one in videos()]
    splits.write(run.splits, splits.Split(tuple(ids[::2]), tuple(ids[1::4]), tuple(ids[3::4])))
    cnn3d.build_cnn3d(**PRESET.network, dtype="float32").save(run.cnn3d)
    write_features(run, videos(), seed=1)
    compare(run)
    corrected = [dataclasses.replace(videos()[0], mos=15.0), *videos()[1:]]
    write_features(run, corrected, seed=2)
    return run


@pytest.fixture(scope="module")
def uninterrupted(fitted, tmp_path_factory):
    run = RunFolder(shutil.copytree(fitted.path, tmp_path_factory.mktemp("whole") / "run"))
    compare(run)
    return state(run)


@pytest.mark.parametrize(
    ("place", "function"),
    [
        (svr_head, "save_svr"),  # one head is new
        (results, "write_scores"),  # the heads are new, the scores old
        (interval_file, "write"),  # the scores are new, the intervals old
        (RunFolder, "update_facts"),  # all files are new, the record is missing
        (comparison, "compare"),  # the record is new, the tables old
    ],
)
def test_a_stopped_fit_is_run_again(fitted, uninterrupted, tmp_path, monkeypatch, place, function, capsys):
    run = RunFolder(shutil.copytree(fitted.path, tmp_path / "run"))
    update_facts = RunFolder.update_facts

    def stop(*args, **values):
        if place is RunFolder and "stages" not in values:
            return update_facts(*args, **values)
        raise SystemError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(place, function, stop)
        with pytest.raises(SystemError, match="killed"):
            compare_heads.main(["--run", str(run)])
    assert run.is_complete("compare") == (place is comparison)
    if place is not comparison:
        with pytest.raises(ValueError, match=r"the fit of .* is not complete. Run again: make compare"):
            model_check.check_run(run, "svr")
    capsys.readouterr()
    compare(run)
    assert ("fitted already" in capsys.readouterr().out) == (place is comparison)
    assert_same(state(run), uninterrupted)
    assert run.is_complete("compare")
    assert run.is_complete("results")


def test_heads_are_fitted_again_when_the_features_have_changed(fitted, tmp_path, capsys):
    run = RunFolder(shutil.copytree(fitted.path, tmp_path / "run"))
    assert run.scores.exists()
    capsys.readouterr()
    compare(run)
    assert "fitted already" not in capsys.readouterr().out
    compare(run)
    assert "fitted already" in capsys.readouterr().out
    run.cnn3d.write_bytes(run.cnn3d.read_bytes() + b"trained further")
    with pytest.raises(ValueError, match="its files have changed since. Run again: make features"):
        compare_heads.main(["--run", str(run)])
