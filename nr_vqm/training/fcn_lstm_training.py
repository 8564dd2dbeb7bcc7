"""Train the FCN-LSTM end to end on whole videos; resume a stopped training."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from nr_vqm.common import atomic_files, devices
from nr_vqm.dataset import mos_scale
from nr_vqm.dataset.batches import as_dataset
from nr_vqm.dataset.video_batches import VideoBatches
from nr_vqm.evaluation import metrics
from nr_vqm.models import cnn3d, fcn_lstm, head_table, initial_weights, lstm_head
from nr_vqm.runs import model_check
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.training import cnn3d_training, resumable_fit, training_state

HEAD = "lstm_features"  # the head of the FCN-LSTM reads what this head reads
Parts = tuple[keras.Model, keras.Model]


@keras.saving.register_keras_serializable("nr_vqm")
class VideoAndGroupsError(keras.losses.Loss):
    """Weighted mean of the squared error of the video's quality and of its groups' mean clip qualities."""

    def __init__(self, group_weight: float, **settings: Any) -> None:
        """Set the weight of the groups; that of the video is 1."""
        super().__init__(**settings)
        self.group_weight = group_weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the error of each video, float32 (batch,).

        Args:
            y_true: quality, float32 (batch, 1).
            y_pred: of `fcn_lstm.build_fcn_lstm`, float32 (batch, 1 + groups).
        """
        errors = ops.square(y_pred - y_true)
        video, groups = errors[:, 0], ops.mean(errors[:, 1:], axis=1)
        return (video + self.group_weight * groups) / (1 + self.group_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the settings, for Keras' files."""
        return {**super().get_config(), "group_weight": self.group_weight}


def fit_fcn_lstm(
    train: VideoBatches,
    val: VideoBatches,
    *,
    run: RunFolder,
    strategy: Any,
    workers: int,
    start: Callable[[], Parts],
    network: dict[str, Any],
    region_blocks: tuple[int, int],
    dtype: str,
    epochs: int,
    learning_rate: float,
    warmup_epochs: float,
    group_weight: float,
    on_epoch: resumable_fit.EpochCallback | None = None,
    on_batch: Callable[[float], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> list[dict]:
    """Train the FCN-LSTM and save the 3D-CNN and the LSTM head of the best epoch in the run.

    The files are the run's cnn3d.keras and its head `lstm_features`. The training resumes as `fit_cnn3d` does.

    Args:
        train: training videos; drawn anew in every epoch.
        val: validation videos, without a shuffle_seed.
        run: the folder of this training.
        strategy: tf.distribute strategy, of `devices.replicas`.
        workers: number of threads that read batches of videos.
        start: returns the 3D-CNN and the LSTM head to start from, of `trained_parts` or `new_parts`.
        network: keyword arguments of `cnn3d.build_cnn3d`, without dtype.
        region_blocks: blocks of a region, as (rows, columns).
        dtype: dtype policy of the convolutions; the saved networks are float32.
        epochs: number of epochs; the one with the lowest validation error is kept.
        learning_rate, warmup_epochs: as in `cnn3d_training.cosine_schedule`.
        group_weight: weight of the groups' error, see `VideoAndGroupsError`.
        on_epoch, on_batch, stop_requested: as in `cnn3d_training.fit_cnn3d`.

    Returns:
        The history, one row per epoch: 'epoch' (from 1), 'mse' (of `VideoAndGroupsError`), 'learning_rate', 'val_mse',
        'val_srocc_videos', 'val_plcc_videos' and 'videos_per_second'.

    Raises:
        InterruptedError: `stop_requested` returned True; the state is saved.
        ValueError: the loss became NaN, a video cannot be read, or a batch exceeds the memory.
    """
    state, too_large = training_state.read(run), _too_large(train.batch_size)
    run.drop_other_weights(state.weights_path(run))  # left by a training that was killed while it saved
    with devices.explain_out_of_memory(too_large), strategy.scope():
        if state.is_started:
            model = keras.models.load_model(state.weights_path(run))
            state.restore_seeds(model)
        else:
            model = _join(*start(), train, network=network, region_blocks=region_blocks, dtype=dtype)
            schedule = cnn3d_training.cosine_schedule(
                learning_rate, len(train), epochs=epochs, warmup_epochs=warmup_epochs
            )
            # XLA fails under MirroredStrategy and is slower on a CPU; JAX needs it to be fast at all.
            on_jax = keras.backend.backend() == "jax"
            adam = keras.optimizers.Adam(schedule)
            model.compile(adam, VideoAndGroupsError(group_weight), jit_compile=on_jax)
            adam.build(model.trainable_variables)  # as in `cnn3d_training.compile_cnn3d`
    saver = resumable_fit.SaveTraining(
        run, state, train,
        validate=lambda trained: validate(trained, val, network=network, workers=workers),
        network=_saved_network(run, network), unit="videos", epochs=epochs, patience=epochs,
        on_epoch=on_epoch, on_batch=on_batch, stop_requested=stop_requested,
    )  # fmt: skip
    with devices.explain_out_of_memory(too_large):
        return resumable_fit.fit(model, lambda first: _dataset(train, network, workers, first=first), saver)


def _join(cnn: keras.Model, head: keras.Model, train: VideoBatches, **settings: Any) -> keras.Model:
    """Build the FCN-LSTM that starts with the weights of a 3D-CNN and an LSTM head."""
    part, of_head = _part(train, settings.pop("region_blocks")), lstm_head.settings(head)
    found = (of_head.pop("num_groups"), of_head.pop("input_dim"))
    needed = (part.num_groups, settings["network"]["fc_dims"][-1])
    assert found == needed, (found, needed)
    model = fcn_lstm.build_fcn_lstm(part, head=of_head, **settings)
    fcn_lstm.set_parts(model, cnn, head)
    return model


def _part(videos: VideoBatches, region_blocks: tuple[int, int]) -> fcn_lstm.VideoPart:
    return fcn_lstm.VideoPart(videos.num_frames, videos.clip_settings["num_groups"], videos.num_regions, region_blocks)


def step_bytes(videos: VideoBatches, *, network: dict[str, Any], region_blocks: tuple[int, int], dtype: str) -> int:
    """Return the bytes of the activations that one step keeps for the gradient.

    The step needs about three times as much memory: gradients and temporary copies add to it. Decision 0016.

    Args:
        videos: training videos.
        network, region_blocks, dtype: as in `fit_fcn_lstm`.
    """
    values = fcn_lstm.activations_per_video(_part(videos, region_blocks), network)
    return videos.batch_size * values * (2 if dtype == "mixed_bfloat16" else 4)


def trained_parts(run: RunFolder) -> Parts:
    """Load the 3D-CNN of a run and its LSTM head on group features, to start from them.

    Raises:
        FileNotFoundError: one of them is missing.
        ValueError: one of them is damaged, or does not fit the other.
    """
    run.check_head(HEAD)
    cnn = model_check.load_model(run.cnn3d, made_by="make train")
    return cnn, model_check.load_model(run.head(HEAD), made_by=head_table.get(HEAD).made_by)


def new_parts(
    train: VideoBatches,
    *,
    network: dict[str, Any],
    lstm_units: int,
    fc_dim: int,
    forget_bias: float,
    input_bias: float,
    start_clips: int,
    start_roughness: float,
    seed: int,
) -> Parts:
    """Build an untrained 3D-CNN and LSTM head, with the initial weights that they have when trained one by one.

    Args:
        train: training videos; clips of the first batch scale the weights.
        network: as in `fit_fcn_lstm`.
        lstm_units, fc_dim: as in `lstm_head.build_lstm_head`.
        forget_bias, input_bias: as in `lstm_head.initialise_as_average`.
        start_clips, start_roughness: as in `cnn3d_training.fit_cnn3d`.
        seed: seed of the random weights.
    """
    cnn = cnn3d.build_cnn3d(**network, dtype="float32")
    clips = _first_clips(train, start_clips, network)
    initial_weights.initialise(cnn, clips, roughness=start_roughness, seed=seed)
    last = cnn.get_layer(f"fc{len(network['fc_dims'])}")
    features = ops.convert_to_numpy(keras.Model(cnn.input, last.output)(clips, training=False))
    head = lstm_head.build_lstm_head(
        num_groups=train.clip_settings["num_groups"],
        input_dim=features.shape[1],
        input_offset=float(features.mean()),
        input_scale=float(features.std()) or 1.0,
        lstm_units=lstm_units,
        fc_dim=fc_dim,
    )
    lstm_head.initialise_as_average(head, equal_blocks=False, forget_bias=forget_bias, input_bias=input_bias, seed=seed)
    return cnn, head


def _first_clips(train: VideoBatches, count: int, network: dict[str, Any]) -> np.ndarray:
    """Cut clips from the first batch, one of each video in turn: uint8 (count, frames, rows, columns, 3)."""
    frames, starts, *_ = train.read(0, train.part)
    size, length, clips = network["clip_size"], network["clip_frames"], []
    for number in range(count):
        group, video = divmod(number, len(frames))
        first = starts[video, group % starts.shape[1]]
        clips.append(frames[video, 0, first : first + length, :size, :size])
    return np.stack(clips)


def _dataset(videos: VideoBatches, network: dict[str, Any], workers: int, *, first: int = 0) -> Any:
    """Return the batches as a tf.data.Dataset of (inputs, quality) for the FCN-LSTM."""

    def arrange(frames: Any, starts: Any, quality: Any, _: Any) -> tuple[dict[str, Any], Any]:
        return {"frames": frames, "window_frames": fcn_lstm.window_frames(starts, network)}, quality

    return as_dataset(videos, workers=workers, first=first).map(arrange)


def validate(
    model: keras.Model, val: VideoBatches, *, network: dict[str, Any], workers: int
) -> dict[str, float | None]:
    """Compute the error and the correlations of the FCN-LSTM on the validation videos.

    Args:
        model: of `fcn_lstm.build_fcn_lstm`.
        val: validation videos, without a shuffle_seed; the padding of the last batch is ignored.
        network: as in `fit_fcn_lstm`.
        workers: number of threads that read batches.

    Returns:
        'val_mse', 'val_srocc_videos' and 'val_plcc_videos'; a correlation is None where undefined.
    """
    val.error = None
    try:
        predicted = model.predict(_dataset(val, network, workers), verbose=0)[: len(val.videos), 0]
    except Exception as error:  # TensorFlow wraps it in an exception of its own
        if val.error is None:
            raise
        raise val.error from error
    quality = np.array([mos_scale.to_unit_5(one.mos, one.mos_low, one.mos_high) for one in val.videos])
    row: dict[str, float | None] = {"val_mse": float(np.mean((predicted - quality) ** 2))}
    found = metrics.correlations(mos=quality, scores=predicted.astype(np.float64))
    return row | {f"val_{figure}_videos": found[figure] for figure in ("srocc", "plcc")}


def _saved_network(run: RunFolder, network: dict[str, Any]) -> resumable_fit.SavedNetwork:
    """Return how the best network is saved: as a 3D-CNN and an LSTM head, which nr-vqm scores with as they are."""
    paths = (run.cnn3d, run.head(HEAD))

    def save(model: keras.Model) -> None:
        cnn = cnn3d.build_cnn3d(**network, dtype="float32")
        head = lstm_head.build_lstm_head(**lstm_head.settings(model, prefix=fcn_lstm.HEAD))
        fcn_lstm.copy_parts(model, cnn, head)
        for path, one in zip(paths, (cnn, head), strict=True):
            with atomic_files.replace_when_complete(path) as temporary:
                one.save(temporary)

    def sha256() -> str | None:
        return " ".join(map(atomic_files.sha256, paths)) if all(path.exists() for path in paths) else None

    return resumable_fit.SavedNetwork(run.cnn3d, save, sha256)


def check_batches(batch_size: int, *, num_devices: int) -> None:
    """Raise ValueError unless a batch of videos divides evenly among the devices."""
    if batch_size % num_devices:
        raise ValueError(
            f"fcn_lstm_batch_size={batch_size} cannot be divided among {num_devices} devices. "
            f"Use --set fcn_lstm_batch_size={math.ceil(batch_size / num_devices) * num_devices}."
        )


def _too_large(batch_size: int) -> str:
    """Return the message for a batch that exceeds the memory."""
    found = f"The device's memory does not hold the training of {batch_size} videos at a time."
    smaller = "fewer or smaller regions (fcn_lstm_regions, fcn_lstm_region_blocks)"
    return f"{found} Use {smaller}." if batch_size == 1 else f"{found} Use a smaller fcn_lstm_batch_size, or {smaller}."


def epoch_line(row: dict, *, epochs: int, seconds_left: float) -> str:
    """Format the figures of one epoch as a line of text; arguments as in `validation.epoch_line`."""
    srocc, plcc = ("-" if row[name] is None else f"{row[name]:.3f}" for name in ("val_srocc_videos", "val_plcc_videos"))
    minutes = round(seconds_left / 60)
    return (
        f"epoch {row['epoch']} of {epochs}: mse {row['mse']:.3f}, val {row['val_mse']:.3f}, val SROCC/PLCC "
        f"{srocc}/{plcc}, {1 / row['videos_per_second']:.2f} s/video, {minutes // 60} h {minutes % 60:02d} min left"
    )
