"""Tests of the SVR head: its fit, that no content leaks between folds, and that its file is safe to load."""

import json
import pickle
import zipfile

import numpy as np
import pytest
from sklearn import model_selection, svm

from nr_vqm import presets
from nr_vqm.models import svr_head

SEARCH = presets.PRESETS["tiny"].svr_search


def synthetic_features(num_videos=60, feature_dim=7, per_content=4, seed=5):
    rng = np.random.default_rng(seed)
    features = rng.random((num_videos, feature_dim)).astype(np.float32)
    mos = 1 + 4 * features[:, 2] ** 2
    return features, mos, np.arange(num_videos) // per_content


def fit(features, mos, contents, **changes):
    return svr_head.fit_svr(
        features, mos, contents=contents, **(SEARCH | {"num_folds": 3, "seed": 2, "num_jobs": 1} | changes)
    )


def test_learns_a_curve_and_is_deterministic():
    features, mos, contents = synthetic_features()
    pipeline = fit(features[:40], mos[:40], contents[:40])
    assert np.sqrt(np.mean((pipeline.predict(features[40:]) - mos[40:]) ** 2)) < 0.4
    again = fit(features[:40], mos[:40], contents[:40])
    np.testing.assert_array_equal(pipeline.predict(features), again.predict(features))


@pytest.fixture
def folds(monkeypatch):
    """Row indices (train, held out) of every fold that a search makes, with the features they index."""
    seen = []

    class Spy(model_selection.GroupKFold):
        def split(self, features, *args, **kwargs):
            for fold in super().split(features, *args, **kwargs):
                seen.append((features, *fold))
                yield fold

    monkeypatch.setattr(model_selection, "GroupKFold", Spy)
    return seen


def test_no_content_is_in_both_parts_of_a_fold(folds):
    features, mos, contents = synthetic_features()
    fit(features, mos, contents)
    content_of = {row.tobytes(): content for row, content in zip(features.astype(float), contents, strict=True)}
    held_out_contents = []
    for rows, *fold in folds:
        train, held_out = ({content_of[row.tobytes()] for row in rows[side]} for side in fold)
        assert not train & held_out
        held_out_contents += held_out
    assert sorted(held_out_contents) == sorted(set(contents))


def test_the_search_reads_a_part_of_a_large_set_and_the_fit_all_of_it(folds):
    features, mos, contents = synthetic_features()
    contents = np.repeat(np.arange(12), [1, 3, 11, 2, 5, 5, 4, 8, 9, 2, 6, 4])
    pipeline = fit(features, mos, contents, search_videos=25)
    part = folds[0][0]
    assert 15 <= len(part) <= 25  # the largest content has 11 videos
    inside = (features[:, None].astype(float) == part[None]).all(axis=2).any(axis=1)
    assert not set(contents[inside]) & set(contents[~inside])
    assert pipeline.named_steps["scale"].n_samples_seen_ == 60
    np.testing.assert_array_equal(
        pipeline.predict(features), fit(features, mos, contents, search_videos=25).predict(features)
    )


def test_the_part_for_the_search_has_at_least_two_contents(folds):
    features, mos, _ = synthetic_features()
    fit(features, mos, np.repeat([1, 2, 3], 20), search_videos=5)
    assert len(folds[0][0]) == 40


def test_the_result_does_not_depend_on_the_number_of_threads():
    features, mos, contents = synthetic_features()
    one, four = (fit(features, mos, contents, num_jobs=jobs).predict(features) for jobs in (1, 4))
    np.testing.assert_array_equal(one, four)


def test_the_search_finds_the_setting_that_generalises():
    features, mos, contents = synthetic_features()
    pipeline = fit(features, mos, contents, c_grid=(64.0,), gamma_grid=(1e-6, 0.5, 1e4), epsilon_grid=(0.1,))
    assert pipeline.named_steps["svr"].gamma == 0.5


def test_fewer_contents_than_folds_reduce_the_folds():
    features, mos, _ = synthetic_features(12)
    assert fit(features, mos, ["a"] * 5 + ["b"] * 7, num_folds=5).predict(features).shape == (12,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contents": ["one"] * 60}, "2 contents, found 3 folds and 1 contents"),
        ({"num_folds": 1}, "at least 2 folds"),
        ({"mos": np.ones(59)}, r"features \(60, 7\), mos \(59,\)"),
        ({"features": np.full((60, 7), np.nan)}, "features must be a finite number, found 420"),
    ],
)
def test_wrong_input_is_refused(change, message):
    features, mos, contents = synthetic_features()
    with pytest.raises(ValueError, match=message):
        fit(**({"features": features, "mos": mos, "contents": contents} | change))


@pytest.fixture
def saved(tmp_path):
    features, mos, contents = synthetic_features()
    path = tmp_path / "svr.skops"
    pipeline = fit(features, mos, contents)
    svr_head.save_svr(path, pipeline)
    return path, pipeline, features


def test_saved_and_loaded_it_predicts_the_same(saved):
    path, pipeline, features = saved
    np.testing.assert_array_equal(svr_head.load_svr(path).predict(features), pipeline.predict(features))
    assert [file.name for file in path.parent.iterdir()] == ["svr.skops"]


def change_schema(path, old, new):
    """Rewrite the schema of a skops file as text."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert old in parts["schema.json"].decode()
    parts["schema.json"] = parts["schema.json"].decode().replace(old, new).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"sklearn.svm._classes"', '"os"'),
        ('"MinMaxScaler"', '"RobustScaler"'),  # skops itself would trust this one
        ('"__loader__": "JsonNode"', '"__loader__": "FunctionNode"'),
    ],
)
def test_foreign_types_are_refused_before_anything_is_built(saved, monkeypatch, old, new):
    import skops.io

    path, _, _ = saved
    change_schema(path, old, new)
    monkeypatch.setattr(skops.io, "load", lambda *_, **__: pytest.fail("constructed a foreign type"))
    with pytest.raises(ValueError, match="A saved SVR head is needed, .* it holds the type"):
        svr_head.load_svr(path)


def test_arrays_of_inconsistent_shapes_are_refused(saved):
    # libsvm reads the support vectors in C and trusts the given shapes
    path, pipeline, _ = saved
    pipeline.named_steps["svr"]._dual_coef_ = np.ones((1, 3))
    svr_head.save_svr(path, pipeline)
    with pytest.raises(ValueError, match="_dual_coef_ must be finite float64 of shape"):
        svr_head.load_svr(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", pickle.dumps({"a": 1})])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "svr.skops"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="A saved SVR head is needed"):
        svr_head.load_svr(path)


def test_files_that_unpack_to_too_many_bytes_are_refused(saved, monkeypatch):
    monkeypatch.setattr(svr_head, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="it unpacks to"):
        svr_head.load_svr(saved[0])


def test_a_missing_file_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="make compare"):
        svr_head.load_svr(tmp_path / "none.skops")


def test_every_allowed_type_is_used_by_a_saved_head(saved, saved_with_fill, saved_linear):
    # an allowed type that no head needs would only help an attacker
    used = set()
    for path, _, _ in (saved, saved_with_fill, saved_linear):
        with zipfile.ZipFile(path) as archive:
            used |= set(svr_head._types_in(json.loads(archive.read("schema.json"))))
    assert used == svr_head.SVR_TYPES


@pytest.fixture
def saved_linear(tmp_path):
    features, mos, contents = synthetic_features()
    path, pipeline = tmp_path / "linear.skops", fit(features, mos, contents, linear_above=6)
    svr_head.save_svr(path, pipeline)
    return path, pipeline, features


def test_with_many_features_the_svr_is_linear(saved_linear):
    path, pipeline, features = saved_linear
    assert SEARCH["linear_above"] == 4000  # as published for CORNIA
    scaled = pipeline.named_steps["scale"].transform(features)
    np.testing.assert_allclose((scaled.min(axis=0), scaled.max(axis=0)), ([-1] * 7, [1] * 7), rtol=1e-6)
    np.testing.assert_array_equal(svr_head.load_svr(path).predict(features), pipeline.predict(features))
    _, mos, contents = synthetic_features()
    assert fit(features, mos, contents, linear_above=7).named_steps["svr"].kernel == "rbf"


def test_a_linear_svr_predicts_as_that_of_libsvm():
    features, mos, _ = synthetic_features()
    scaled = 2 * (features - features.min(axis=0)) / np.ptp(features, axis=0) - 1
    expected = svm.SVR(kernel="linear", C=8.0, epsilon=0.1).fit(scaled, mos).predict(scaled)
    pipeline = svr_head.fit_with(features, mos, c=8.0, gamma=None, epsilon=0.1)
    np.testing.assert_allclose(pipeline.predict(features), expected, atol=2e-3)  # libsvm's tolerance


def test_weights_of_another_shape_are_refused(saved_linear):
    path, pipeline, _ = saved_linear
    pipeline.named_steps["svr"].coef_ = np.ones(3)
    svr_head.save_svr(path, pipeline)
    with pytest.raises(ValueError, match=r"scale_ must be finite float64 of shape \(3,\)"):
        svr_head.load_svr(path)


@pytest.fixture
def saved_with_fill(tmp_path):
    features, mos, contents = synthetic_features()
    features[3, 1] = features[5] = features[:, 6] = np.nan
    path = tmp_path / "filled.skops"
    pipeline = fit(features, mos, contents, fill=True)
    svr_head.save_svr(path, pipeline)
    return path, pipeline, features


def test_missing_features_are_filled_with_the_training_mean(saved_with_fill):
    path, pipeline, features = saved_with_fill
    loaded = svr_head.load_svr(path)
    np.testing.assert_array_equal(loaded.predict(features), pipeline.predict(features))
    mean = np.append(np.nanmean(features[:, :6].astype(np.float64), axis=0), 0)  # the last column has no value
    row = np.array([features[0], features[0]])
    row[0, 1:] = np.nan
    row[1, 1:] = mean[1:]
    np.testing.assert_allclose(*pipeline.predict(row), rtol=1e-6)


def test_in_the_search_features_are_filled_with_the_mean_of_the_fold(folds, monkeypatch):
    from sklearn import impute

    means, real = [], impute.SimpleImputer.fit

    def spy(self, features, *args):
        means.append(np.nanmean(features[:, 1]))
        return real(self, features, *args)

    monkeypatch.setattr(impute.SimpleImputer, "fit", spy)
    features, mos, contents = synthetic_features()
    features[3, 1] = np.nan
    fit(features, mos, contents, fill=True)
    of_folds = {np.nanmean(rows[train][:, 1]) for rows, train, _ in folds}
    assert set(means) == of_folds | {np.nanmean(features[:, 1].astype(np.float64))}


@pytest.mark.parametrize(("value", "fill"), [(np.nan, False), (np.inf, True)])
def test_only_nan_stands_for_a_missing_feature(value, fill):
    features, mos, contents = synthetic_features()
    features[3, 1] = value
    with pytest.raises(ValueError, match="features must be a finite number, found 1"):
        fit(features, mos, contents, fill=fill)


def test_means_of_another_shape_are_refused(saved_with_fill):
    path, pipeline, _ = saved_with_fill
    pipeline.named_steps["fill"].statistics_ = np.ones(3)
    svr_head.save_svr(path, pipeline)
    with pytest.raises(ValueError, match=r"statistics_ must be finite float64 of shape \(7,\), found float64 \(3,\)"):
        svr_head.load_svr(path)
