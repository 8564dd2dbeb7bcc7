"""The stored arrays predict what scikit-learn predicts."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.svm import SVR

from nr_vqm.teacher import regression

SEARCH = regression.Search(num_trees=30, depth=4)
SVR_SETTINGS = {"c": 4.0, "gamma": 0.1}
WEIGHTS = np.where(np.arange(150) < 50, 2.0, 1.0)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(150, 6))
    mos = 3 + np.sin(features[:, 0]) + 0.5 * (features[:, 1] > 0.3) + 0.05 * rng.normal(size=150)
    return features, mos, rng.normal(size=(40, 6))


def fit(data, kind):
    features, mos, _ = data
    return regression.fit(features, mos, WEIGHTS, kind=kind, svr_settings=SVR_SETTINGS, search=SEARCH)


def test_support_vectors_predict_as_scikit_learn(data):
    found = fit(data, "svr")
    scaled, others = found.scaling(data[0]), found.scaling(data[2])
    theirs = SVR(C=4.0, gamma=0.1, epsilon=SEARCH.epsilon).fit(scaled, data[1], sample_weight=WEIGHTS)
    assert found.predict(data[2]) == pytest.approx(theirs.predict(others), abs=1e-5)


def test_trees_predict_as_scikit_learn(data):
    found = fit(data, "trees")
    scaled, others = found.scaling(data[0]), found.scaling(data[2])
    settings = {"max_depth": 4, "learning_rate": 0.06, "subsample": 0.5, "min_samples_leaf": 5, "max_features": "sqrt"}
    theirs = GradientBoostingRegressor(n_estimators=30, random_state=1, **settings)
    theirs.fit(scaled, data[1], sample_weight=WEIGHTS)
    assert found.predict(data[2]) == pytest.approx(theirs.predict(others), abs=1e-9)


def test_both_is_the_mean(data):
    parts = [fit(data, kind).predict(data[2]) for kind in ("svr", "trees")]
    assert fit(data, "both").predict(data[2]) == pytest.approx(np.mean(parts, axis=0), abs=1e-9)


def test_undefined_features_are_filled_and_extreme_ones_clipped():
    features = np.column_stack([np.arange(1000.0), np.full(1000, 7.0)])
    features[3, 0] = np.nan
    scaling = regression.fit_scaling(features)
    scaled = scaling(np.array([[np.nan, 7.0], [-1e9, np.nan], [1e9, 7.0]]))
    assert scaled[0, 0] == pytest.approx((scaling.fill[0] - scaling.low[0]) / (scaling.high[0] - scaling.low[0]))
    assert scaled[1] == pytest.approx([0, 0])
    assert scaled[2, 0] == pytest.approx(1)


def test_constant_and_undefined_features_are_not_used():
    scaling = regression.fit_scaling(np.array([[1.0, np.nan, 7.0], [2.0, np.nan, 7.0]]))
    assert scaling(np.array([[1.5, 99.0, -99.0]]))[0] == pytest.approx([0.5, 0, 0], abs=1e-9)


def test_other_videos_extend_the_ranges_and_are_fitted_too(data):
    features, mos, new = data
    features = np.column_stack([features, np.full(150, 7.0)])  # a constant feature is not used, whatever others have
    others = regression.Sample(10 * features[:40], np.full(40, 1.5), np.full(40, 0.5))
    scaling, both = regression.scaled(regression.Sample(features, mos, WEIGHTS), others)
    alone, wider = regression.fit_scaling(features), regression.fit_scaling(others.features)
    used = np.arange(7) < 6
    np.testing.assert_array_equal(scaling.low[used], np.minimum(alone.low, wider.low)[used])
    np.testing.assert_array_equal(scaling.high[used], np.maximum(alone.high, wider.high)[used])
    np.testing.assert_array_equal(both.features, scaling(np.concatenate([features, others.features])))
    assert np.abs(both.features[:, 6]).max() < 1e-9
    assert (both.weights[149], both.weights[150], both.mos[150]) == (1.0, 0.5, 1.5)
    settings = {"kind": "svr", "svr_settings": SVR_SETTINGS, "search": SEARCH}
    found = regression.fit(features, mos, WEIGHTS, **settings, others=others)
    theirs = SVR(C=4.0, gamma=0.1, epsilon=SEARCH.epsilon).fit(both.features, both.mos, sample_weight=both.weights)
    new = np.column_stack([new, np.zeros(40)])
    assert found.predict(new) == pytest.approx(theirs.predict(scaling(new)), abs=1e-5)


def test_an_unknown_kind_is_refused(data):
    with pytest.raises(ValueError, match="Unknown regression 'forest'. Choose from: svr, trees, both"):
        fit(data, "forest")
