import csv
import functools
import re
import shutil

import bright_clips
import keras
import numpy as np
import pytest
import tensorflow as tf
from bright_clips import batches, videos

from nr_vqm.common import atomic_files, devices, jax_processes
from nr_vqm.dataset import clip_batches, shards
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.models import cnn3d
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.training import cnn3d_training, resumable_fit, training_state, validation

NETWORK = {"clip_frames": 7, "clip_size": 24, "convs": ((3, 3, 1), (4, 2, 2)), "fc_dims": (11, 8), "dropout": 0.0}
WITH_DROPOUT = {**NETWORK, "dropout": 0.3}
SETTINGS = {
    "network": NETWORK,
    "dtype": "float32",
    "learning_rate": 1e-2,
    "warmup_epochs": 0.0,
    "accumulate": 1,
    "patience": 99,
    "start_clips": 8,
    "start_roughness": 0.2,
    "seed": 1,
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return bright_clips.write(tmp_path_factory.mktemp("data"))


def fit(data_dir, run_dir, **changes):
    return fit_batches(batches(data_dir, 0, 9), batches(data_dir, 9, 12, shuffle_seed=None), run_dir, **changes)


def fit_batches(train, val, run_dir, *, num_devices=1, **changes):
    keras.utils.set_random_seed(3)
    run_dir.mkdir(exist_ok=True)
    return cnn3d_training.fit_cnn3d(
        train,
        val,
        run=RunFolder(run_dir),
        strategy=devices.replicas(num_devices),
        workers=2,
        **{**SETTINGS, "epochs": 2, **changes},
    )


def test_several_processes_are_refused_on_tensorflow(monkeypatch):
    monkeypatch.setenv(jax_processes.COUNT, "2")
    with pytest.raises(ValueError, match="needs JAX"):
        jax_processes.join()


@pytest.mark.slow
def test_a_shard_that_disappears_during_training_is_reported(data_dir, tmp_path):
    folder = shutil.copytree(data_dir, tmp_path / "data")
    path = DataFolder(folder).shard(0)

    def vanish():
        if path.exists():
            path.rename(tmp_path / "elsewhere")

    with pytest.raises(FileNotFoundError, match=r"clips-00000\.h5"):
        fit(folder, tmp_path / "run", stop_requested=vanish)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [4, 9])
@pytest.mark.parametrize("last", [12, 11])  # 36 clips: 9 full batches, or 4; 33 clips: the last batch is padded
def test_padding_does_not_change_the_validation_error(data_dir, batch_size, last):
    val = batches(data_dir, 0, last, batch_size=batch_size, shuffle_seed=None)
    model, errors = cnn3d.build_cnn3d(**NETWORK, dtype="float32"), []
    for index in range(len(val)):
        clips, quality, weight = val[index]
        errors.extend((np.asarray(model(clips)) - quality)[weight > 0, 0] ** 2)
    assert len(errors) == 3 * last
    assert validation.validate(model, val, workers=2)["val_mse"] == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_memorises_one_batch_on_two_replicas(data_dir, tmp_path, dtype):
    class OneBatch(clip_batches.ClipBatches):
        """The same full batch, eight times an epoch."""

        def __len__(self):
            return 8

        def read(self, index, part):
            return super().read(0, part)

        def start_epoch(self, epoch):
            super().start_epoch(0)

    table = shards.read_table(data_dir)
    quality = clip_batches.clip_labels(table, videos())
    one = OneBatch(table, np.arange(0, 36, 4), quality, batch_size=8, shuffle_seed=1, mirror=False)
    keras.utils.set_random_seed(1)
    strategy = devices.replicas(2)
    assert strategy.num_replicas_in_sync == 2
    (tmp_path / "run").mkdir()
    val = clip_batches.ClipBatches(table, np.arange(0, 36, 4), quality, batch_size=8, shuffle_seed=None, mirror=False)
    history = cnn3d_training.fit_cnn3d(
        one,
        val,
        run=RunFolder(tmp_path / "run"),
        strategy=strategy,
        workers=2,
        epochs=12,
        **{**SETTINGS, "dtype": dtype},
    )
    assert history[-1]["val_mse"] < 0.1 < 1 < history[0]["mse"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_size", "val_videos"),  # 6, 9 and 3 clips: the last batch holds 2, 1 and 3, or 6, 1 and 3
    [(4, 2), (4, 3), (4, 1), (8, 2), (8, 3), (8, 1)],
)
def test_two_replicas_train_like_one(data_dir, tmp_path, batch_size, val_videos):
    histories = []
    for number in (1, 2):
        train = batches(data_dir, 0, 9, batch_size=batch_size)  # 27 clips: 3 are dropped
        val = batches(data_dir, 9, 9 + val_videos, batch_size=batch_size, shuffle_seed=None)
        histories.append(fit_batches(train, val, tmp_path / f"run{number}", num_devices=number, learning_rate=1e-3))
    for one, two in zip(*histories, strict=True):
        del one["clips_per_second"], two["clips_per_second"]
        assert one == pytest.approx(two, abs=1e-5)
        assert all(value is None or np.isfinite(value) for value in two.values())
    assert_same_weights(tmp_path / "run1", tmp_path / "run2", atol=1e-5)


def test_a_batch_that_three_replicas_cannot_share_is_refused():
    with pytest.raises(ValueError, match="batch_size=4 cannot be divided among 3 devices. Use --set batch_size=6"):
        cnn3d_training.check_batches(4, accumulate=1, num_devices=3)


def test_validation_worked_by_hand(data_dir):
    class Bright:
        """A model that predicts the mean brightness."""

        def predict(self, dataset, verbose):
            return np.concatenate([np.mean(clips, axis=(1, 2, 3, 4))[:, None] for clips, _, _ in dataset])

    val = batches(data_dir, 0, 5, batch_size=4, shuffle_seed=None)  # 15 clips, the last batch lacks one
    row = validation.validate(Bright(), val, workers=1)
    clips = np.concatenate([val[index][0] for index in range(4)])[:15].mean(axis=(1, 2, 3, 4), dtype=np.float64)
    quality = np.repeat([1, 2, 3, 4, 5], 3)
    assert row["val_mse"] == pytest.approx(np.mean((clips - quality) ** 2))
    assert row["val_plcc_clips"] == pytest.approx(np.corrcoef(clips, quality)[0, 1])
    assert row["val_plcc_videos"] == pytest.approx(np.corrcoef(clips.reshape(5, 3).mean(1), [1, 2, 3, 4, 5])[0, 1])
    assert row["val_srocc_videos"] == pytest.approx(1)


@pytest.mark.slow
def test_every_epoch_is_reported_and_nothing_is_printed(data_dir, tmp_path, capsys):
    reported, shares = [], []
    history = fit(
        data_dir,
        tmp_path / "run",
        on_epoch=lambda row, left: reported.append((row, left)),
        on_batch=shares.append,
    )
    assert capsys.readouterr().out == ""
    half = len(shares) // 2
    assert shares == 2 * [number / half for number in range(1, half + 1)]
    assert [row for row, _ in reported] == history
    assert reported[0][1] > reported[1][1] == 0
    line = validation.epoch_line(history[0], epochs=2, seconds_left=3720.0)
    number = r"(-?\d\.\d{3}|  -  )"
    assert re.fullmatch(
        rf"epoch 1 of 2: mse \d\.\d{{3}}, val \d\.\d{{3}}, val SROCC/PLCC of clips {number}/{number}, "
        rf"of videos {number}/{number}, [\d,]+ clips/s, 1 h 02 min left",
        line,
    )
    with open(tmp_path / "run" / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"val_srocc_videos", "val_plcc_clips", "clips_per_second", "learning_rate"} < set(rows[0])


@pytest.fixture(scope="module")
def uninterrupted(data_dir, tmp_path_factory):
    """Return a function: number of devices -> (run folder, history) of a training that was not stopped."""

    @functools.cache
    def train(num_devices):
        folder = tmp_path_factory.mktemp("uninterrupted")
        return folder, fit(data_dir, folder, num_devices=num_devices, network=WITH_DROPOUT)

    return train


def assert_same_training(run, history, uninterrupted, num_devices):
    whole_run, whole_history = uninterrupted(num_devices)
    assert [row["epoch"] for row in history] == [1, 2]
    for one, two in zip(whole_history, history, strict=True):
        assert one | {"clips_per_second": 0} == pytest.approx(two | {"clips_per_second": 0}, rel=1e-5)
    assert_same_weights(whole_run, run, atol=1e-6)


@pytest.mark.parametrize(
    ("batches_before_the_stop", "num_devices"),  # 6 batches per epoch: within an epoch, and at its end
    [(8, 1), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(3, 1), (6, 1), (3, 2), (6, 2), (8, 2)])],
)
def test_a_resumed_training_gives_the_result_of_an_uninterrupted_one(
    data_dir, tmp_path, uninterrupted, batches_before_the_stop, num_devices
):
    settings = {"num_devices": num_devices, "network": WITH_DROPOUT}
    requests = iter([False] * (batches_before_the_stop - 1) + [True] * 9)
    where = {3: "batch 3 of epoch 1", 6: "epoch 1", 8: "batch 1 of epoch 2"}[batches_before_the_stop]
    with pytest.raises(InterruptedError, match=f"Stopped on request after {where}, which is saved"):
        fit(data_dir, tmp_path, stop_requested=lambda: next(requests), **settings)
    resumed = fit(data_dir, tmp_path, **settings)
    assert_same_training(tmp_path, resumed, uninterrupted, num_devices)
    assert len(list(tmp_path.glob("training_state*.keras"))) == 1


@pytest.mark.slow
def test_a_killed_training_resumes_from_its_last_save(data_dir, tmp_path, uninterrupted, monkeypatch):
    monkeypatch.setattr(resumable_fit, "SAVE_SECONDS", 0)  # after every batch
    count = iter(range(99))

    def kill_after_eight():
        if next(count) == 8:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        fit(data_dir, tmp_path, stop_requested=kill_after_eight, network=WITH_DROPOUT)
    assert atomic_files.read_json(RunFolder(tmp_path).training_state, made_by="")["batches"] == 1
    resumed = fit(data_dir, tmp_path, network=WITH_DROPOUT)
    assert_same_training(tmp_path, resumed, uninterrupted, num_devices=1)


@pytest.mark.parametrize(("text", "message"), [("{", "is not a JSON file"), ('{"colour": 1}', "is of another version")])
def test_a_damaged_state_is_named(tmp_path, text, message):
    RunFolder(tmp_path).training_state.write_text(text)
    with pytest.raises(ValueError, match=rf"training_state\.json {message}"):
        training_state.read(RunFolder(tmp_path))


def test_accumulating_on_two_replicas_is_refused():
    with pytest.raises(ValueError, match="accumulate=2 and 2 devices do not work together on TensorFlow"):
        cnn3d_training.check_batches(4, accumulate=2, num_devices=2)


def assert_same_weights(one_run, other_run, *, atol):
    models = [keras.models.load_model(run / "cnn3d.keras") for run in (one_run, other_run)]
    for one, two in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, two, atol=atol)


@pytest.mark.slow
def test_accumulated_gradients_equal_those_of_one_large_batch(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(cnn3d_training, "cosine_schedule", lambda learning_rate, *_, **__: learning_rate)
    val = batches(data_dir, 9, 12, shuffle_seed=None)
    for accumulate in (1, 2):
        train = batches(data_dir, 0, 12, batch_size=16 // accumulate)
        run = tmp_path / f"run{accumulate}"
        fit_batches(train, val, run, accumulate=accumulate, learning_rate=1e-3)
    assert_same_weights(tmp_path / "run1", tmp_path / "run2", atol=1e-5)


def test_the_best_epoch_is_the_earliest_with_the_lowest_error():
    history = [{"epoch": n, "val_mse": v} for n, v in ((1, 2.0), (2, 1.0), (3, 1.0), (4, 3.0))]
    assert training_state.best_epoch(history) == 2


@pytest.fixture
def validated(monkeypatch):
    """Return a function: validation errors of the epochs -> list to which each epoch adds its weights."""

    def replace_validation(*errors):
        weights, left = [], iter(errors)

        def validate(model, val, *, workers):
            weights.append(model.get_weights())
            names = ("val_srocc_clips", "val_plcc_clips", "val_srocc_videos", "val_plcc_videos")
            return {"val_mse": next(left), **dict.fromkeys(names)}

        monkeypatch.setattr(validation, "validate", validate)
        return weights

    return replace_validation


def saved_weights(run_dir):
    return keras.models.load_model(run_dir / "cnn3d.keras").get_weights()


def test_the_best_epoch_is_saved_and_patience_stops_the_training(data_dir, tmp_path, validated):
    weights = validated(2.0, 1.0, 1.5, 1.5, 0.5)
    assert len(fit(data_dir, tmp_path / "run", epochs=9, patience=2)) == 4  # two epochs without improvement
    for one, best in zip(saved_weights(tmp_path / "run"), weights[1], strict=True):
        np.testing.assert_array_equal(one, best)


def test_the_last_network_can_be_kept_instead_of_the_best(data_dir, tmp_path, validated):
    weights = validated(1.0, 2.0)
    assert training_state.best_epoch(fit(data_dir, tmp_path / "run", keep="last")) == 1
    saved, (best, last) = saved_weights(tmp_path / "run"), weights
    assert all(np.array_equal(one, other) for one, other in zip(saved, last, strict=True))
    assert not all(np.array_equal(one, other) for one, other in zip(best, last, strict=True))


def test_a_loss_that_becomes_nan_names_the_clips(data_dir, tmp_path):
    train = batches(data_dir, 0, 9)
    train.quality = train.quality.copy()
    train.quality[3 * 7 + 2] = np.nan  # video 7, its third clip
    with pytest.raises(ValueError, match=r"The loss became NaN in epoch 1, batch \d\. Its clips: .*v7 clip 2"):
        fit_batches(train, train, tmp_path / "run")
    assert not (tmp_path / "run" / "cnn3d.keras").exists()


def test_weights_that_become_nan_with_an_epoch_s_last_step_are_never_saved(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(cnn3d_training.validation, "validate", lambda *_, **__: {"val_mse": np.nan})
    with pytest.raises(ValueError, match="The loss became NaN in epoch 1"):
        fit(data_dir, tmp_path / "run", epochs=1)
    assert not list((tmp_path / "run").glob("*.keras"))


def test_warmup_and_cosine_worked_by_hand():
    schedule = cnn3d_training.cosine_schedule(0.1, 10, epochs=4, warmup_epochs=1.0)
    got = [float(schedule(step)) for step in (0, 5, 10, 25, 40)]
    np.testing.assert_allclose(got, [0, 0.05, 0.1, 0.05, 0], atol=1e-6)
    assert float(cnn3d_training.cosine_schedule(0.1, 10, epochs=4, warmup_epochs=0.0)(0)) == pytest.approx(0.1)


@pytest.mark.slow
def test_saved_network_is_float32_without_an_optimizer(data_dir, tmp_path):
    fit(data_dir, tmp_path / "run", epochs=1, dtype="mixed_bfloat16")
    model = keras.models.load_model(tmp_path / "run" / "cnn3d.keras")
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}
    assert getattr(model, "optimizer", None) is None


@pytest.mark.slow
def test_a_batch_that_exceeds_the_memory_names_the_settings_to_change(data_dir, tmp_path, monkeypatch):
    def compile_badly(model, learning_rate, *, accumulate):
        def loss(quality, answers):
            size = tf.cast(tf.reduce_sum(0 * answers), tf.int64) + 10**15  # more bytes than any machine has
            return tf.reduce_mean(tf.fill([size], answers[0, 0]))

        model.compile("sgd", loss=loss, jit_compile=False)

    monkeypatch.setattr(cnn3d_training, "compile_cnn3d", compile_badly)
    with pytest.raises(ValueError, match="does not hold the training of 4 clips at a time") as refused:
        fit(data_dir, tmp_path / "run")
    assert "--set batch_size=2 --set accumulate=2." in str(refused.value)
    assert isinstance(refused.value.__cause__, tf.errors.ResourceExhaustedError)


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "advice"),
    [(16, 1, "batch_size=8 --set accumulate=2"), (3, 2, "batch_size=1 --set accumulate=6"), (1, 4, "smaller clips")],
)
def test_the_advice_for_too_little_memory_keeps_the_clips_per_step(batch_size, accumulate, advice):
    assert advice in cnn3d_training._too_large(batch_size, accumulate)
