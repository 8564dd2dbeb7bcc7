import keras
import numpy as np
import pytest

from nr_vqm.models import lstm_head

SIZES = {"num_groups": 5, "input_dim": 6, "input_offset": 3.0, "input_scale": 1.0, "lstm_units": 9, "fc_dim": 10}


def synthetic_videos(num_videos, seed=0):
    """Return synthetic videos whose quality is that of their worst group, which a mean cannot predict."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(1, 5, (num_videos, 5, 1)).astype(np.float32)
    inputs = quality + rng.normal(0, 0.05, (num_videos, 5, 6)).astype(np.float32)
    return inputs, quality.min(axis=(1, 2))


def fit(head, **changes):
    settings = {"epochs": 120, "patience": 40, "batch_size": 32, "learning_rate": 1e-2, "augment": None, "seed": 1}
    return lstm_head.fit_lstm_head(head, synthetic_videos(300), synthetic_videos(60, seed=1), **{**settings, **changes})


@pytest.mark.slow
def test_the_lstm_learns_what_a_mean_cannot():
    keras.utils.set_random_seed(1)
    head = lstm_head.build_lstm_head(**SIZES)
    fit(head)
    inputs, quality = synthetic_videos(100, seed=2)
    lstm = np.corrcoef(lstm_head.predict(head, inputs), quality)[0, 1]
    mean = np.corrcoef(inputs.mean(axis=(1, 2)), quality)[0, 1]
    assert lstm > 0.97 > 0.9 > mean


@pytest.mark.parametrize("equal_blocks", [True, False])
def test_the_initial_weights_remember_the_first_group(equal_blocks):
    keras.utils.set_random_seed(1)
    head = lstm_head.build_lstm_head(**{**SIZES, "num_groups": 32})
    lstm = keras.Model(head.input, head.get_layer("lstm").output)
    videos = np.full((3, 32, 6), 3.0, np.float32)  # the third is constant
    videos[0, 0], videos[1, 31] = 2, 2

    def first_over_last():
        first, last, constant = np.asarray(lstm(videos))
        return np.linalg.norm(first - constant) / np.linalg.norm(last - constant)

    assert first_over_last() < 0.01
    lstm_head.initialise_as_average(head, equal_blocks=equal_blocks, forget_bias=3.0, input_bias=-2.0, seed=1)
    assert first_over_last() > 0.1  # 0.95 to the power of 31 is 0.22; the recurrent weights change it


@pytest.mark.slow
def test_training_is_deterministic_and_keeps_the_best_epoch():
    scores = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        head = lstm_head.build_lstm_head(**SIZES)
        history = fit(head, epochs=3, augment=lstm_head.shuffle_blocks)
        inputs, quality = synthetic_videos(60, seed=1)
        scores.append(lstm_head.predict(head, inputs))
        best = min(row["val_mse"] for row in history)
        assert np.mean((scores[-1] - quality) ** 2) == pytest.approx(best, rel=1e-4)
    np.testing.assert_array_equal(*scores)


def test_a_loaded_head_equals_the_saved_one(tmp_path):
    head = lstm_head.build_lstm_head(**SIZES)
    head.save(tmp_path / "lstm_head.keras")
    again = keras.models.load_model(tmp_path / "lstm_head.keras")
    inputs, _ = synthetic_videos(4)
    np.testing.assert_array_equal(lstm_head.predict(head, inputs), lstm_head.predict(again, inputs))


def test_shuffled_blocks_keep_time_order_and_values():
    inputs = (np.arange(6) + 100 * np.arange(5)[:, None]).astype(np.float32)[None].repeat(64, axis=0)
    shuffled = lstm_head.shuffle_blocks(inputs, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(shuffled, axis=2), inputs)
    np.testing.assert_array_equal(shuffled[:, 4] - shuffled[:, 0], 400)  # one order in all groups
    assert len({tuple(video[0]) for video in shuffled}) > 50


def test_augmented_clips_have_the_given_noise():
    inputs = np.full((40, 5, 6), 2.5, np.float32)
    noisy = lstm_head.augment_clips(inputs, np.random.default_rng(0), noise=0.4)
    assert noisy.dtype == np.float32
    assert abs(noisy.mean() - 2.5) < 0.1
    assert abs(noisy.std() - 0.4) < 0.05
    assert len(np.unique(noisy[0, 0])) == 6  # independent noise on each clip


def test_many_videos_are_predicted_in_batches(monkeypatch):
    head = lstm_head.build_lstm_head(**SIZES)
    inputs, _ = synthetic_videos(7)
    at_once = lstm_head.predict(head, inputs)
    monkeypatch.setattr(lstm_head, "PREDICT_BATCH", 3)
    sizes = []
    batched = lstm_head.predict(
        lambda batch, training: sizes.append(len(batch)) or head(batch, training=training), inputs
    )
    assert sizes == [3, 3, 1]
    np.testing.assert_allclose(batched, at_once, atol=1e-6)
