import keras
import numpy as np
import pytest

from nr_vqm.models import cnn3d, fcn_lstm, keras_engine, lstm_head, network_sizes
from nr_vqm.video import clips

NETWORK = {"clip_frames": 7, "clip_size": 24, "convs": ((3, 3, 1), (4, 2, 2)), "fc_dims": (11, 8), "dropout": 0.3}
HEAD = {"input_offset": 0.2, "input_scale": 0.7, "lstm_units": 9, "fc_dim": 10}
PART = fcn_lstm.VideoPart(num_frames=15, num_groups=5, num_regions=2, region_blocks=(3, 2))  # 32 x 28 pixels


def parts():
    keras.utils.set_random_seed(1)
    cnn = cnn3d.build_cnn3d(**NETWORK, dtype="float32")
    return cnn, lstm_head.build_lstm_head(num_groups=5, input_dim=8, **HEAD)


def joined(dtype="float32"):
    cnn, head = parts()
    model = fcn_lstm.build_fcn_lstm(PART, network=NETWORK, head=HEAD, dtype=dtype)
    fcn_lstm.set_parts(model, cnn, head)
    return model, cnn, head


def inputs(num_videos=3):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (num_videos, 2, 15, 32, 28, 3), np.uint8)
    starts = np.sort(rng.integers(0, 9, (num_videos, 5)), axis=1).astype(np.int32)
    return {"frames": frames, "window_frames": fcn_lstm.window_frames(starts, NETWORK)}, starts


def test_it_starts_with_the_outputs_of_the_3d_cnn_and_its_head():
    model, cnn, head = joined()
    data, starts = inputs()
    outputs = np.asarray(model(data, training=False))
    assert outputs.shape == (3, 6)
    trunk = keras_engine.shared_trunk(cnn)
    for video in range(3):
        # A grid with a block at every multiple of the stride has the blocks of a region.
        grid = clips.ClipGrid(
            tuple(starts[video].tolist()), (0, 4, 8), (0, 4), clip_frames=7, clip_size=24, height=32, width=28
        )
        found = [trunk.run(iter(region), grid) for region in data["frames"][video]]
        features = np.mean([one.group_features for one in found], axis=0)
        np.testing.assert_allclose(outputs[video, 0], lstm_head.predict(head, features[None])[0], atol=1e-5)
        quality = np.mean([one.clip_quality for one in found], axis=(0, 2))
        np.testing.assert_allclose(outputs[video, 1:], quality, atol=1e-5)


def test_gradients_reach_every_weight_of_both_parts():
    model, _, _ = joined()
    before = {weight.path: weight.numpy() for weight in model.trainable_weights}
    model.compile(keras.optimizers.SGD(1.0), loss="mse")
    data, _ = inputs()
    model.train_on_batch(data, np.full((3, 6), 5, np.float32))
    moved = {weight.path: np.abs(weight.numpy() - before[weight.path]).max() for weight in model.trainable_weights}
    assert len(moved) == 2 * (3 + 2 + 1) + 3 + 2 * 2  # convolutions, fully connected, output; LSTM; its two layers
    for name in ("conv1a", "conv2b", "fc1", "fc2", "output", "head_lstm", "head_fc", "head_output"):
        assert all(change > 0 for path, change in moved.items() if f"{name}/" in path), name


def test_its_parts_are_taken_out_as_they_were_put_in():
    model, cnn, head = joined()
    keras.utils.set_random_seed(2)
    settings = lstm_head.settings(model, prefix=fcn_lstm.HEAD)
    assert settings == pytest.approx({"num_groups": 5, "input_dim": 8, **HEAD})
    copies = cnn3d.build_cnn3d(**NETWORK, dtype="float32"), lstm_head.build_lstm_head(**settings)
    fcn_lstm.copy_parts(model, *copies)
    for one, copy in zip((cnn, head), copies, strict=True):
        for old, new in zip(one.get_weights(), copy.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_saved_model_gives_the_same_outputs(tmp_path, dtype):
    model, _, _ = joined(dtype)
    model.save(tmp_path / "model.keras")
    data, _ = inputs()
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(model(data, training=False), again(data, training=False))
    exact = np.asarray(joined()[0](data, training=False))
    np.testing.assert_allclose(model(data, training=False), exact, atol=1e-5 if dtype == "float32" else 0.05)


def test_the_memory_of_a_step_worked_by_hand():
    shapes = network_sizes.trunk_shapes(15, 32, 28, NETWORK["convs"])
    assert shapes[1:] == [(13, 30, 26, 3), (13, 15, 13, 3), (12, 14, 12, 4), (11, 13, 11, 4), (11, 6, 5, 4)]
    trunk = 13 * 30 * 26 * 3 + 13 * 15 * 13 * 3 + 12 * 14 * 12 * 4 + 11 * 13 * 11 * 4 + 11 * 6 * 5 * 4
    windows, features = 5 * 3 * 6 * 5 * 4, 5 * 6 * (11 + 8)
    assert fcn_lstm.activations_per_video(PART, NETWORK) == 2 * (trunk + windows + features)
