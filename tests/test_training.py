import keras
import numpy as np
import pytest

from nr_vqm import cnn3d, devices, files, inputs, manifest, shards, training

NETWORK = {"clip_frames": 7, "clip_size": 24, "convs": ((3, 3, 1), (4, 2, 2)), "fc_dims": (11, 8), "dropout": 0.0}
SETTINGS = {
    "network": NETWORK,
    "dtype": "float32",
    "learning_rate": 1e-2,
    "warmup_epochs": 0.0,
    "patience": 99,
    "seed": 1,
}


@pytest.fixture
def data_dir(tmp_path):
    """Twelve videos of three clips each; the brighter, the better."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    folder.mkdir()
    with shards.writing(shards.shard_path(folder, 0), clip_frames=7, clip_size=24) as add:
        for video in videos():
            level = 40 * (video.mos - 1)
            groups = (rng.normal(40 + level, 8, (1, 7, 24, 24, 3)).clip(0, 255).astype(np.uint8) for _ in range(3))
            grid = type("Grid", (), {"corners": [(0, 0)], "starts": (0, 1, 2)})
            add(video, grid, groups)
    files.write_json(folder / "index.json", {"shards": ["x"]})
    return folder


def videos():
    return [
        manifest.Video(video_id=f"v{i}", path="", content=f"c{i}", mos=1 + i % 5, mos_low=1, mos_high=5)
        for i in range(12)
    ]


def batches(data_dir, first, last, *, batch_size=4, shuffle_seed=1, mirror=False):
    table = shards.read_table(data_dir)
    rows = inputs.rows_of(table, [f"v{i}" for i in range(first, last)])
    quality = inputs.quality_of(table, videos())
    return inputs.ClipBatches(table, rows, quality, batch_size=batch_size, shuffle_seed=shuffle_seed, mirror=mirror)


def fit(data_dir, run_dir, **changes):
    return fit_batches(batches(data_dir, 0, 9), batches(data_dir, 9, 12, shuffle_seed=None), run_dir, **changes)


def fit_batches(train, val, run_dir, *, num_devices=1, **changes):
    keras.utils.set_random_seed(3)
    run_dir.mkdir(exist_ok=True)
    return training.fit_cnn3d(
        train,
        val,
        run_dir=run_dir,
        strategy=devices.mirrored_strategy(num_devices),
        workers=2,
        **{**SETTINGS, "epochs": 3, **changes},
    )


def test_every_clip_once_an_epoch_in_a_new_order(data_dir):
    one = batches(data_dir, 0, 12, batch_size=6)
    seen = []
    for epoch in range(2):
        one.start_epoch(epoch)
        seen.append(np.concatenate([one[i][0].reshape(6, -1) for i in range(len(one))]))
    assert len(one) == 6
    assert not np.array_equal(*seen)
    np.testing.assert_array_equal(*(np.unique(part, axis=0) for part in seen))
    again = batches(data_dir, 0, 12, batch_size=6)
    again.start_epoch(1)
    np.testing.assert_array_equal(again[0][0].reshape(6, -1), seen[1][:6])


def test_labels_belong_to_the_clips(data_dir):
    one = batches(data_dir, 0, 12, batch_size=6)
    for index in range(len(one)):
        clips, quality, weight = one[index]
        assert np.all(weight == 1)
        np.testing.assert_allclose(clips.mean(axis=(1, 2, 3, 4)), 40 + 40 * (quality[:, 0] - 1), atol=2)


def test_training_drops_and_validation_pads_the_last_batch(data_dir):
    train, val = batches(data_dir, 0, 9, batch_size=8), batches(data_dir, 0, 9, batch_size=8, shuffle_seed=None)
    assert (len(train), len(val)) == (3, 4)  # 27 clips
    assert val[3][2].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert val[3][0].shape == (8, 7, 24, 24, 3)


def test_mirrored_clips_are_the_same_every_time_and_each_of_four_kinds(data_dir):
    plain, mirrored = (batches(data_dir, 0, 12, batch_size=36, mirror=mirror)[0][0] for mirror in (False, True))
    kinds = set()
    for one, other in zip(plain, mirrored, strict=True):
        ways = [one, one[:, ::-1], one[:, :, ::-1], one[:, ::-1, ::-1]]
        kinds.add(next(kind for kind, way in enumerate(ways) if np.array_equal(way, other)))
    assert kinds == {0, 1, 2, 3}
    np.testing.assert_array_equal(batches(data_dir, 0, 12, batch_size=36, mirror=True)[0][0], mirrored)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_dataset_gives_every_batch_in_order(data_dir, workers):
    one = batches(data_dir, 0, 12, batch_size=5, mirror=True)
    dataset = inputs.as_dataset(one, workers=workers)
    for epoch in range(2):
        one.start_epoch(epoch)
        got = list(dataset)
        assert len(got) == len(one) == 7
        for index, parts in enumerate(got):
            for part, wanted in zip(parts, one[index], strict=True):
                np.testing.assert_array_equal(part, wanted)


def test_a_shard_that_vanishes_in_training_is_said(data_dir, tmp_path):
    one = batches(data_dir, 0, 9)
    shards.shard_path(data_dir, 0).rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"clips-00000\.h5"):
        fit_batches(one, one, tmp_path)


def test_less_than_one_batch(data_dir):
    with pytest.raises(ValueError, match="One batch needs 8 clips, the training part has 6"):
        batches(data_dir, 0, 2, batch_size=8)


@pytest.mark.parametrize("batch_size", [4, 9])
def test_padded_validation_gives_the_exact_error(data_dir, batch_size):
    val = batches(data_dir, 0, 12, batch_size=batch_size, shuffle_seed=None)  # 36 clips: 9 full batches, or 4
    uneven = batches(data_dir, 0, 11, batch_size=batch_size, shuffle_seed=None)
    model = cnn3d.build_cnn3d(**NETWORK, dtype="float32")
    model.compile(loss="mse", weighted_metrics=["mse"])
    for one in (val, uneven):
        errors = []
        for index in range(len(one)):
            clips, quality, weight = one[index]
            errors.extend((np.asarray(model(clips)) - quality)[weight > 0, 0] ** 2)
        assert model.evaluate(one, verbose=0, return_dict=True)["mse"] == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_memorises_one_batch_on_two_replicas(data_dir, tmp_path, dtype):
    class OneBatch(inputs.ClipBatches):
        """The same full batch, eight times an epoch."""

        def __len__(self):
            return 8

        def __getitem__(self, index):
            return super().__getitem__(0)

        def start_epoch(self, epoch):
            super().start_epoch(0)

    table = shards.read_table(data_dir)
    quality = inputs.quality_of(table, videos())
    one = OneBatch(table, np.arange(0, 36, 4), quality, batch_size=8, shuffle_seed=1, mirror=False)
    keras.utils.set_random_seed(1)
    strategy = devices.mirrored_strategy(2)
    assert strategy.num_replicas_in_sync == 2
    (tmp_path / "run").mkdir()
    history = training.fit_cnn3d(
        one, one, run_dir=tmp_path / "run", strategy=strategy, workers=2, epochs=12, **{**SETTINGS, "dtype": dtype}
    )
    assert history[-1]["val_mse"] < 0.1 < 1 < history[0]["loss"]


def test_two_replicas_train_like_one(data_dir, tmp_path):
    histories = [fit(data_dir, tmp_path / f"run{n}", num_devices=n) for n in (1, 2)]
    for one, two in zip(*histories, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-4)
        assert one["val_mse"] == pytest.approx(two["val_mse"], rel=1e-4)
    models = [keras.models.load_model(tmp_path / f"run{n}" / "cnn3d.keras") for n in (1, 2)]
    for one, two in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


def test_a_stopped_training_goes_on_and_ends_the_same(data_dir, tmp_path, monkeypatch):
    whole = fit(data_dir, tmp_path / "whole")

    def stop_after_two(self, epoch, logs=None):
        save(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    save = training.SaveEpoch.on_epoch_end
    monkeypatch.setattr(training.SaveEpoch, "on_epoch_end", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        fit(data_dir, tmp_path / "stopped")
    monkeypatch.undo()
    resumed = fit(data_dir, tmp_path / "stopped")
    assert [row["epoch"] for row in resumed] == [1, 2, 3]
    for one, two in zip(whole, resumed, strict=True):
        assert one == pytest.approx(two, rel=1e-5)
    models = [keras.models.load_model(tmp_path / name / "cnn3d.keras") for name in ("whole", "stopped")]
    for one, two in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_worse_epoch_never_replaces_the_best(tmp_path):
    assert training.best_epoch([{"epoch": n, "val_mse": v} for n, v in ((1, 2.0), (2, 1.0), (3, 1.0), (4, 3.0))]) == 2
    model = cnn3d.build_cnn3d(**NETWORK, dtype="float32")
    state = {"history": []}
    callback = training.SaveEpoch(tmp_path, state, network=NETWORK, patience=2, epochs=9)
    callback.set_model(model)
    kept = model.get_weights()
    for epoch, error in enumerate([2.0, 1.0, 1.5, 1.5]):
        model.stop_training = False
        if epoch != 1:
            model.set_weights([weight + epoch + 1 for weight in kept])
        else:
            model.set_weights(kept)
        callback.on_epoch_end(epoch, {"loss": 1.0, "val_loss": error, "val_mse": error})
    assert model.stop_training  # two epochs without a better one
    for saved, best in zip(keras.models.load_model(tmp_path / "cnn3d.keras").get_weights(), kept, strict=True):
        np.testing.assert_array_equal(saved, best)


def test_a_loss_that_becomes_nan_is_said(data_dir, tmp_path):
    with pytest.raises(ValueError, match="The loss became NaN in epoch 1"):
        fit(data_dir, tmp_path / "run", learning_rate=1e30)


def test_warm_up_and_cosine_by_hand():
    schedule = training.cosine_schedule(0.1, 10, epochs=4, warmup_epochs=1.0)
    got = [float(schedule(step)) for step in (0, 5, 10, 25, 40)]
    np.testing.assert_allclose(got, [0, 0.05, 0.1, 0.05, 0], atol=1e-6)
    assert float(training.cosine_schedule(0.1, 10, epochs=4, warmup_epochs=0.0)(0)) == pytest.approx(0.1)


def test_saved_network_is_float32_without_an_optimizer(data_dir, tmp_path):
    fit(data_dir, tmp_path / "run", epochs=1, dtype="mixed_bfloat16")
    model = keras.models.load_model(tmp_path / "run" / "cnn3d.keras")
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}
    assert getattr(model, "optimizer", None) is None
