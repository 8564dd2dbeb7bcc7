import dataclasses

import keras
import numpy as np
import pytest

from nr_vqm.common import devices
from nr_vqm.dataset import manifest, mos_scale, video_batches
from nr_vqm.models import cnn3d, keras_engine, lstm_head
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.training import fcn_lstm_training, resumable_fit
from nr_vqm.video import clips

pytestmark = pytest.mark.slow
NETWORK = {"clip_frames": 7, "clip_size": 24, "convs": ((3, 3, 1), (4, 2, 2)), "fc_dims": (11, 8), "dropout": 0.3}
START = {"lstm_units": 9, "fc_dim": 10, "forget_bias": 3.0, "input_bias": -2.0}
FEATURES = "lstm_features"


class BrightVideos(video_batches.VideoBatches):
    """Videos that exist only in memory: the brighter, the better."""

    def _read_video(self, row, target):
        rng = np.random.default_rng([self.shuffle_seed or 0, self.epoch, row])
        level = 40 * self.videos[row].mos
        target[:] = rng.normal(level, 8, target.shape).clip(0, 255)
        return np.array([0, 1, 3, 4])


def videos(first, last, *, batch_size=2, shuffle_seed=1):
    listed = [
        manifest.Video(f"v{n}", "", f"c{n}", mos=1 + n % 5, mos_low=1, mos_high=5, frames=11, width=28, height=24)
        for n in range(first, last)
    ]
    return BrightVideos(
        listed, num_frames=11, num_regions=2, region_size=(24, 28), batch_size=batch_size, shuffle_seed=shuffle_seed,
        mirror=False, num_groups=4, clip_frames=7, clip_size=24, stride=4, downscale=False,
    )  # fmt: skip


def fit(run_dir, *, train=None, num_devices=1, **changes):
    keras.utils.set_random_seed(3)
    run_dir.mkdir(exist_ok=True)
    train = train or videos(0, 7)  # 3 batches; one video is dropped
    settings = {
        "dtype": "float32", "epochs": 2, "learning_rate": 1e-3, "warmup_epochs": 0.0, "group_weight": 0.5,
        "network": NETWORK,
    } | changes  # fmt: skip
    return fcn_lstm_training.fit_fcn_lstm(
        train,
        videos(7, 10, shuffle_seed=None),
        run=RunFolder(run_dir),
        strategy=devices.replicas(num_devices),
        workers=2,
        start=lambda: fcn_lstm_training.new_parts(
            train, network=settings["network"], **START, start_clips=5, start_roughness=0.2, seed=1
        ),
        region_blocks=(1, 2),
        **settings,
    )


def load(run_dir):
    run = RunFolder(run_dir)
    return [keras.models.load_model(path) for path in (run.cnn3d, run.head(FEATURES))]


def assert_same_weights(one_run, other_run, *, atol):
    for one, two in zip(load(one_run), load(other_run), strict=True):
        for old, new in zip(one.get_weights(), two.get_weights(), strict=True):
            np.testing.assert_allclose(old, new, atol=atol)


def test_the_error_worked_by_hand():
    error = fcn_lstm_training.VideoAndGroupsError(0.5)
    found = error(np.array([[3.0], [1.0]]), np.array([[4.0, 5.0, 3.0], [1.0, 1.0, 1.0]]))
    assert float(found) == pytest.approx((1 + 0.5 * (4 + 0) / 2) / 1.5 / 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(folder of an uninterrupted training, its history)."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, fit(folder)


def assert_same(whole, folder, history):
    """Check that a training has the history and the weights of an uninterrupted one."""
    other, expected = whole
    assert [row["epoch"] for row in history] == [1, 2]
    for one, two in zip(expected, history, strict=True):
        assert {**one, "videos_per_second": 0} == pytest.approx({**two, "videos_per_second": 0}, rel=1e-5)
    assert_same_weights(other, folder, atol=1e-6)


@pytest.mark.parametrize("batches_before_the_stop", [5, 3])  # 3 batches per epoch: within an epoch, and at its end
def test_a_resumed_training_gives_the_result_of_an_uninterrupted_one(whole, tmp_path, batches_before_the_stop):
    requests = iter([False] * (batches_before_the_stop - 1) + [True] * 9)
    where = {3: "epoch 1", 5: "batch 1 of epoch 2"}[batches_before_the_stop]
    with pytest.raises(InterruptedError, match=f"Stopped on request after {where}, which is saved"):
        fit(tmp_path, stop_requested=lambda: next(requests))
    assert_same(whole, tmp_path, fit(tmp_path))


def test_a_killed_training_resumes_from_its_last_save(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(resumable_fit, "SAVE_SECONDS", 0)  # after every batch
    count = iter(range(99))

    def kill_after_five():
        if next(count) == 5:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_requested=kill_after_five)
    assert_same(whole, tmp_path, fit(tmp_path))


def test_two_replicas_train_like_one(tmp_path):
    network = NETWORK | {"dropout": 0.0}  # replicas draw different dropouts
    histories = [fit(tmp_path / str(number), num_devices=number, network=network) for number in (1, 2)]
    for one, two in zip(*histories, strict=True):
        del one["videos_per_second"], two["videos_per_second"]
        assert one == pytest.approx(two, abs=1e-4)
    assert_same_weights(tmp_path / "1", tmp_path / "2", atol=1e-4)


def test_scoring_equals_the_training_model_on_the_full_grid(whole):
    folder, history = whole
    val = videos(7, 10, shuffle_seed=None)
    cnn, head = load(folder)
    trunk, features = keras_engine.shared_trunk(cnn), []
    for index in range(len(val)):
        frames, starts, _, weight = val.read(index, (0, 1))
        for video in np.flatnonzero(weight):
            grid = clips.ClipGrid(
                tuple(starts[video].tolist()), (0,), (0, 4), clip_frames=7, clip_size=24, height=24, width=28
            )
            of_regions = [trunk.run(iter(region), grid).group_features for region in frames[video]]
            features.append(np.mean(of_regions, axis=0))
    quality = [mos_scale.to_unit_5(one.mos, 1, 5) for one in val.videos]
    errors = lstm_head.predict(head, np.stack(features)) - quality
    assert np.mean(errors**2) == pytest.approx(min(row["val_mse"] for row in history), abs=1e-4)


def test_a_loss_that_becomes_nan_names_the_videos(tmp_path, monkeypatch):
    monkeypatch.setattr(mos_scale, "to_unit_5", lambda mos, low, high: np.nan if mos == 3 else mos)
    with pytest.raises(ValueError, match=r"The loss became NaN in epoch 1, batch \d\. Its videos: .*v2"):
        fit(tmp_path / "run")
    assert not (tmp_path / "run" / "cnn3d.keras").exists()


def test_a_video_that_cannot_be_read_ends_the_training_with_its_name(tmp_path):
    class LostInEpoch2(BrightVideos):
        def _read_video(self, row, target):
            if self.epoch == 1:
                raise ValueError(f"The prepared video 'v{row}' cannot be read: it is gone")
            return super()._read_video(row, target)

    train = videos(0, 7)
    train.__class__ = LostInEpoch2
    with pytest.raises(ValueError, match="The prepared video 'v[0-9]' cannot be read: it is gone"):
        fit(tmp_path / "run", train=train)


def test_the_bytes_of_a_step_are_bounded_by_what_is_drawn():
    settings = {"network": NETWORK, "region_blocks": (1, 2)}
    size = fcn_lstm_training.step_bytes(videos(0, 7), **settings, dtype="mixed_bfloat16")
    assert fcn_lstm_training.step_bytes(videos(0, 7), **settings, dtype="float32") == 2 * size
    assert fcn_lstm_training.step_bytes(videos(0, 7, batch_size=4), **settings, dtype="mixed_bfloat16") == 2 * size
    long = [dataclasses.replace(one, frames=900, width=960, height=540) for one in videos(0, 7).videos]
    assert video_batches.most_frames(long, num_groups=4, clip_frames=7) == 4 * 7


def test_a_batch_that_devices_cannot_share_is_refused():
    with pytest.raises(ValueError, match="fcn_lstm_batch_size=4 cannot be divided among 3 devices. Use --set fcn_lstm"):
        fcn_lstm_training.check_batches(4, num_devices=3)


def test_the_saved_networks_are_float32(tmp_path):
    fit(tmp_path / "run", epochs=1, dtype="mixed_bfloat16")
    for model in load(tmp_path / "run"):
        assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}
    assert load(tmp_path / "run")[0].count_params() == cnn3d.build_cnn3d(**NETWORK, dtype="float32").count_params()
