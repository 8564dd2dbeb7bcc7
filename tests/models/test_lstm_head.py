import keras
import numpy as np
import pytest

from nr_vqm.models import lstm_head

SIZES = {"num_groups": 5, "input_dim": 6, "input_offset": 3.0, "input_scale": 1.0, "lstm_units": 9, "fc_dim": 10}


def made_up(num_videos, seed=0):
    """Videos whose quality is that of their worst group: a mean cannot tell, an LSTM can."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(1, 5, (num_videos, 5, 1)).astype(np.float32)
    inputs = quality + rng.normal(0, 0.05, (num_videos, 5, 6)).astype(np.float32)
    return inputs, quality.min(axis=(1, 2))


def fit(head, **changes):
    settings = {"epochs": 120, "patience": 40, "batch_size": 32, "learning_rate": 1e-2, "augment": None, "seed": 1}
    return lstm_head.fit_lstm_head(head, made_up(300), made_up(60, seed=1), **{**settings, **changes})


@pytest.mark.slow
def test_learns_what_a_mean_cannot():
    keras.utils.set_random_seed(1)
    head = lstm_head.build_lstm_head(**SIZES)
    fit(head)
    inputs, quality = made_up(100, seed=2)
    lstm = np.corrcoef(lstm_head.predict(head, inputs), quality)[0, 1]
    mean = np.corrcoef(inputs.mean(axis=(1, 2)), quality)[0, 1]
    assert lstm > 0.97 > 0.9 > mean


@pytest.mark.parametrize("equal_blocks", [True, False])
def test_the_starting_weights_remember_the_first_group(equal_blocks):
    keras.utils.set_random_seed(1)
    head = lstm_head.build_lstm_head(**{**SIZES, "num_groups": 32})
    lstm = keras.Model(head.input, head.get_layer("lstm").output)
    videos = np.full((3, 32, 6), 3.0, np.float32)  # nothing happens in the third
    videos[0, 0], videos[1, 31] = 2, 2

    def first_over_last():
        first, last, nothing = np.asarray(lstm(videos))
        return np.linalg.norm(first - nothing) / np.linalg.norm(last - nothing)

    assert first_over_last() < 0.01
    lstm_head.start_as_average(head, equal_blocks=equal_blocks, forget_bias=3.0, input_bias=-2.0, seed=1)
    assert first_over_last() > 0.1  # 0.95 to the power of 31 is 0.22, the recurrent weights move it


def test_the_same_seed_gives_the_same_head_and_the_best_epoch_is_kept():
    scores = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        head = lstm_head.build_lstm_head(**SIZES)
        history = fit(head, epochs=6, augment=lstm_head.shuffle_blocks)
        inputs, quality = made_up(60, seed=1)
        scores.append(lstm_head.predict(head, inputs))
        best = min(row["val_mse"] for row in history)
        assert np.mean((scores[-1] - quality) ** 2) == pytest.approx(best, rel=1e-4)
    np.testing.assert_array_equal(*scores)


def test_saved_and_loaded(tmp_path):
    head = lstm_head.build_lstm_head(**SIZES)
    head.save(tmp_path / "lstm_head.keras")
    again = keras.models.load_model(tmp_path / "lstm_head.keras")
    inputs, _ = made_up(4)
    np.testing.assert_array_equal(lstm_head.predict(head, inputs), lstm_head.predict(again, inputs))


def test_shuffled_blocks_keep_time_and_values():
    inputs = (np.arange(6) + 100 * np.arange(5)[:, None]).astype(np.float32)[None].repeat(64, axis=0)
    shuffled = lstm_head.shuffle_blocks(inputs, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(shuffled, axis=2), inputs)
    np.testing.assert_array_equal(shuffled[:, 4] - shuffled[:, 0], 400)  # one order in all groups
    assert len({tuple(video[0]) for video in shuffled}) > 50


def test_clips_vary_around_what_they_were():
    inputs = np.full((40, 5, 6), 2.5, np.float32)
    varied = lstm_head.vary_clips(inputs, np.random.default_rng(0), noise=0.4)
    assert varied.dtype == np.float32
    assert abs(varied.mean() - 2.5) < 0.1
    assert abs(varied.std() - 0.4) < 0.05
    assert len(np.unique(varied[0, 0])) == 6  # each clip by itself


def test_many_videos_are_predicted_a_batch_at_a_time(monkeypatch):
    head = lstm_head.build_lstm_head(**SIZES)
    inputs, _ = made_up(7)
    at_once = lstm_head.predict(head, inputs)
    monkeypatch.setattr(lstm_head, "PREDICTED_AT_ONCE", 3)
    sizes = []
    batched = lstm_head.predict(
        lambda batch, training: sizes.append(len(batch)) or head(batch, training=training), inputs
    )
    assert sizes == [3, 3, 1]
    np.testing.assert_allclose(batched, at_once, atol=1e-6)
