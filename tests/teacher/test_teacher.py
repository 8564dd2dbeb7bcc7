"""The teacher's file: the same predictions after loading, and one line for a file that is not one."""

import dataclasses

import h5py
import numpy as np
import pytest
from sample_videos import write_bars

from nr_vqm.handcrafted import brisque
from nr_vqm.teacher import regression, teacher

SEARCH = regression.Search(num_trees=8, depth=3)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(3)
    features = rng.normal(1, 1, size=(60, 36))
    mos = 3 + 0.5 * features[:, 2]
    found = regression.fit(
        features, mos, np.ones(len(mos)), kind="both", svr_settings={"c": 1.0, "gamma": 0.05}, search=SEARCH
    )
    return teacher.Teacher(("brisque",), found, mos + 0.2 * rng.normal(size=60), mos, {"candidate": "both of brisque"})


@pytest.fixture
def path(fitted, tmp_path):
    teacher.save(tmp_path / "teacher.h5", fitted)
    return tmp_path / "teacher.h5"


def test_a_loaded_teacher_predicts_the_same(fitted, path):
    loaded = teacher.load(path)
    features = np.random.default_rng(5).normal(1, 1, size=(7, 36))
    assert np.array_equal(loaded.regression.predict(features), fitted.regression.predict(features))
    assert loaded.facts == fitted.facts
    assert loaded.feature_sets == ("brisque",)


def test_a_video_is_scored_with_an_interval(path, tmp_path):
    loaded, video = teacher.load(path), write_bars(tmp_path / "bars.mp4", encoder="libx264", num_frames=20)
    found = loaded.score(video)
    assert found.mos == loaded.predict(brisque.video_features(video))
    assert 1 <= found.low < found.mos < found.high <= 5


def test_a_regression_without_trees_is_stored(fitted, tmp_path):
    alone = dataclasses.replace(fitted, regression=dataclasses.replace(fitted.regression, trees=None))
    teacher.save(tmp_path / "svr.h5", alone)
    assert teacher.load(tmp_path / "svr.h5").regression.trees is None


def test_predictions_stay_on_the_scale(fitted):
    high = dataclasses.replace(fitted.regression.svr, intercept=np.float64(40))
    outside = dataclasses.replace(fitted, regression=dataclasses.replace(fitted.regression, svr=high))
    assert outside.predict(np.zeros((1, 36))) == 5.0


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("svr/vectors", lambda values: values[:, :-1], r"vectors must be finite, of shape \(\d+, 36\)"),
        ("svr/weights", lambda values: values * np.nan, "weights must be finite"),
        ("trees/left", lambda values: values + 10_000, "left must be integers from 0 to"),
        ("trees/feature", lambda values: values + 36, "feature must be integers from 0 to 35"),
        ("scaling/high", lambda values: values * 0 - 99, "a feature has no range"),
        ("validation/mos", lambda values: values[:-1], "validation/mos must be finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(path, name, change, message):
    with h5py.File(path, "r+") as file:
        values = change(file[name][()])
        del file[name]
        file[name] = values
    with pytest.raises(ValueError, match=f"{path} is not a usable teacher: {message}.*experiments.train_teacher"):
        teacher.load(path)


def test_a_huge_array_is_refused_before_it_is_read(path):
    with h5py.File(path, "r+") as file:
        del file["svr/vectors"]
        file.create_dataset("svr/vectors", (10**9, 36), "f4", chunks=(1000, 36))
    with pytest.raises(ValueError, match=r"svr/vectors' of shape \(1000000000, 36\) has 0 bytes"):
        teacher.load(path)


def test_other_files_are_refused(path, tmp_path):
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="is not a usable teacher"):
        teacher.load(path)
    with pytest.raises(FileNotFoundError, match=r"Make it first: python -m experiments.train_teacher"):
        teacher.load(tmp_path / "none.h5")
