"""The heads that NumPy computes give what Keras and scikit-learn give."""

import keras
import numpy as np
import pytest

from nr_vqm.models import head_arrays, line_head, lstm_head, numpy_heads, svr_head


def test_lstm():
    keras.utils.set_random_seed(3)
    sizes = {"num_groups": 7, "input_dim": 5, "lstm_units": 6, "fc_dim": 4}
    model = lstm_head.build_lstm_head(**sizes, input_offset=2.5, input_scale=1.7)
    for weights in model.trainable_weights:
        weights.assign(np.random.default_rng(len(weights.shape)).normal(0, 0.7, weights.shape))
    inputs = np.random.default_rng(0).normal(3, 2, (9, 7, 5)).astype(np.float32)
    arrays = head_arrays.of_lstm(model)
    numpy_heads.check("lstm", arrays, input_dim=5)
    expected = lstm_head.predict(model, inputs)
    assert expected.std() > 0.05
    np.testing.assert_allclose(numpy_heads.predict("lstm", arrays, inputs), expected, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.3, None])
@pytest.mark.parametrize("fill", [True, False])
def test_svr(gamma, fill):
    random = np.random.default_rng(1)
    features, mos = random.normal(20, 5, (60, 8)), random.uniform(1, 5, 60)
    if fill:
        features[random.random(features.shape) < 0.1] = np.nan
    pipeline = svr_head.fit_with(features, mos, c=8.0, gamma=gamma, epsilon=0.1, fill=fill)
    arrays = head_arrays.of_svr(pipeline)
    numpy_heads.check("svr", arrays, input_dim=8)
    expected = pipeline.predict(features[:13])
    np.testing.assert_allclose(numpy_heads.predict("svr", arrays, features[:13]), expected, atol=1e-4)


def test_line():
    line = line_head.Line(offset=4.5, slope=-0.2, fill=6.0)
    distances, arrays = np.array([[3.0], [np.nan]]), head_arrays.of_line(line)
    numpy_heads.check("line", arrays, input_dim=None)
    np.testing.assert_array_equal(numpy_heads.predict("line", arrays, distances), [3.9, 3.3])
    np.testing.assert_array_equal(line.predict(distances), [3.9, 3.3])


def test_mean():
    numpy_heads.check("mean", {}, input_dim=6)
    assert numpy_heads.predict("mean", {}, np.array([[[1.0, 2.0], [4.0, 5.0]]])).tolist() == [3.0]


@pytest.mark.parametrize("name", ["vectors", "weights", "gamma", "scale", "intercept"])
def test_arrays_that_do_not_fit_are_refused(name):
    random = np.random.default_rng(1)
    pipeline = svr_head.fit_with(random.random((20, 4)), random.random(20), c=1.0, gamma=0.5, epsilon=0.1, fill=False)
    arrays = head_arrays.of_svr(pipeline)
    with pytest.raises(ValueError, match="must hold finite floats of shape"):
        numpy_heads.check("svr", arrays | {name: arrays[name][..., None]}, input_dim=4)
    with pytest.raises(ValueError, match=f"{name} must hold finite floats of shape"):
        numpy_heads.check("svr", arrays | {name: np.full_like(arrays[name], np.inf)}, input_dim=4)
