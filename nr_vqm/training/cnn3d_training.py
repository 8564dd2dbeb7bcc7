"""Train the 3D-CNN on batches of clips; resume a stopped training."""

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from nr_vqm.common import atomic_files, devices, jax_processes
from nr_vqm.dataset import clip_batches
from nr_vqm.models import cnn3d, initial_weights
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.training import training_state, validation

# The most work that a kill may lose. With `paper` an epoch takes hours, and a save writes 2.3 GB.
SAVE_SECONDS = 900

EpochCallback = Callable[[dict, float], None]


def fit_cnn3d(
    train: clip_batches.ClipBatches,
    val: clip_batches.ClipBatches,
    *,
    run: RunFolder,
    strategy: Any,
    workers: int,
    network: dict[str, Any],
    dtype: str,
    epochs: int,
    learning_rate: float,
    warmup_epochs: float,
    accumulate: int,
    patience: int,
    start_clips: int,
    start_roughness: float,
    seed: int,
    on_epoch: EpochCallback | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> list[dict]:
    """Train the 3D-CNN and save the network of the best epoch as the run's cnn3d.keras.

    The complete training state is saved after every epoch, and every SAVE_SECONDS within one. A stopped training
    resumes from it, and its result is identical to an uninterrupted run. The state includes the best epoch so far, so
    a worse network never replaces a better one.

    Args:
        train: training clips; shuffled differently in every epoch.
        val: validation clips, without a shuffle_seed.
        run: the run folder.
        strategy: tf.distribute strategy or Keras distribution, of `devices.replicas`.
        workers: number of threads that read clips.
        network: keyword arguments of `cnn3d.build_cnn3d`, without dtype.
        dtype: dtype policy of the training; the saved network is float32.
        epochs: maximum number of epochs.
        learning_rate: maximum, reached after `warmup_epochs`; a cosine decreases it to zero. Decision 0004.
        warmup_epochs: epochs of linear growth from zero.
        accumulate: number of batches whose mean gradient makes one step, for batches that exceed a device's memory.
        patience: stop after this many epochs without a lower validation error.
        start_clips: number of clips of the first batch that scale the initial weights.
        start_roughness: `roughness` of `initial_weights.initialise`.
        seed: seed of the initial weights.
        on_epoch: progress callback, called in the first process after every epoch with the epoch's row of the history
            and the estimated seconds left.
        stop_requested: called after every batch; the training is saved and stopped when it returns True.

    Returns:
        The history, one row per epoch: 'epoch' (from 1), 'mse', 'learning_rate', the figures of `validation.validate`
        and 'clips_per_second'.

    Raises:
        InterruptedError: `stop_requested` returned True; the state is saved.
        ValueError: the loss became NaN (the message names the clips of the batch), or a batch exceeds the memory.
    """
    state = training_state.read(run)
    if jax_processes.is_first():
        run.drop_other_weights(state.weights_path(run))  # left by a training that was killed while it saved
    saver = SaveTraining(
        run, state, train, val, network=network, workers=workers, epochs=epochs, patience=patience,
        on_epoch=on_epoch, stop_requested=stop_requested,
    )  # fmt: skip
    with devices.explained_memory(_too_large(train.batch_size, accumulate)):
        with strategy.scope():
            if state.is_started:
                model = keras.models.load_model(state.weights_path(run))
                state.restore_seeds(model)
            else:
                schedule = cosine_schedule(learning_rate, len(train), epochs=epochs, warmup_epochs=warmup_epochs)
                model = cnn3d.build_cnn3d(**network, dtype=dtype)
                initial_weights.initialise(model, train[0][0][:start_clips], roughness=start_roughness, seed=seed)
                compile_cnn3d(model, schedule, accumulate=accumulate)
        _fit_remaining_epochs(model, train, saver)
    if jax_processes.is_first():
        _check_network(run, state)
    return state.history


def _fit_remaining_epochs(model: keras.Model, train: clip_batches.ClipBatches, saver: "SaveTraining") -> None:
    """Train from the saved state to the end; an epoch that was stopped in the middle is a call of `fit` of its own."""
    state, callbacks = saver.state, [saver]
    if jax_processes.is_first():
        callbacks.append(keras.callbacks.TensorBoard(saver.run.tensorboard, write_graph=False))
    unfinished_epoch = [(len(state.history) + 1, state.batches)] if state.batches else []
    for last_epoch, first_batch in [*unfinished_epoch, (saver.limits["epochs"], 0)]:
        if not state.is_finished(**saver.limits):
            settings = {"initial_epoch": len(state.history), "epochs": last_epoch, "callbacks": callbacks}
            _fit(model, train, workers=saver.workers, first_batch=first_batch, **settings)


def _fit(
    model: keras.Model, train: clip_batches.ClipBatches, *, workers: int, first_batch: int, **settings: Any
) -> None:
    """Run `keras.Model.fit` on clip batches; an error while reading them is raised as the original exception."""
    batches = clip_batches.as_dataset(train, workers=workers, first=first_batch)
    train.error = None
    try:
        model.fit(batches, shuffle=False, verbose=0, **settings)  # ClipBatches shuffles
    except Exception as error:  # TensorFlow and JAX wrap it in exceptions of their own
        if train.error is None:
            raise
        raise train.error from error


def _check_network(run: RunFolder, state: training_state.TrainingState) -> None:
    """Raise ValueError unless the saved network is the one of this training: it cannot be computed again."""
    if not run.cnn3d.exists() or atomic_files.sha256(run.cnn3d) != state.network:
        raise ValueError(
            f"{run.cnn3d} is missing or is not the network that this training saved. Copy it back, or delete "
            f"{run.training_state} to train again from the start."
        )


def _too_large(batch_size: int, accumulate: int) -> str:
    """Return the message for a batch that exceeds the memory: smaller batches, the same number of clips per step."""
    found = f"The device's memory does not hold the training of {batch_size} clips at a time."
    if batch_size == 1:
        return f"{found} Use a device with more memory, or smaller clips (clip_frames, clip_size)."
    half = batch_size // 2
    return (
        f"{found} Start a new run with a smaller batch_size and a larger accumulate, which make the same steps: "
        f"--set batch_size={half} --set accumulate={batch_size * accumulate // half}."
    )


def compile_cnn3d(model: keras.Model, learning_rate: Any, *, accumulate: int) -> None:
    """Compile a 3D-CNN for training with mean squared error and Adam. Decision 0004.

    Args:
        model: of `cnn3d.build_cnn3d`.
        learning_rate: a number, or a Keras schedule such as that of `cosine_schedule`.
        accumulate: number of batches whose mean gradient makes one step.
    """
    adam = keras.optimizers.Adam(learning_rate, gradient_accumulation_steps=accumulate if accumulate > 1 else None)
    # XLA fails under MirroredStrategy and is slower on a CPU; JAX needs it to be fast at all.
    model.compile(adam, loss="mse", jit_compile=keras.backend.backend() == "jax")


def check_batches(batch_size: int, *, accumulate: int, num_devices: int) -> None:
    """Raise ValueError unless a batch divides evenly among the devices: unequal parts would bias the mean gradient."""
    if accumulate > 1 and num_devices > 1 and keras.backend.backend() == "tensorflow":
        raise ValueError(
            f"accumulate={accumulate} and {num_devices} devices do not work together on TensorFlow. Use one device, or "
            "Keras on JAX: KERAS_BACKEND=jax."
        )
    if batch_size % num_devices:
        raise ValueError(
            f"batch_size={batch_size} cannot be divided among {num_devices} devices. "
            f"Use --set batch_size={math.ceil(batch_size / num_devices) * num_devices}."
        )


def cosine_schedule(
    learning_rate: float, steps_per_epoch: int, *, epochs: int, warmup_epochs: float
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Build a learning rate schedule: linear growth over `warmup_epochs`, then a cosine to zero at the last step."""
    total, warmup = steps_per_epoch * epochs, round(steps_per_epoch * warmup_epochs)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(learning_rate, total)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, total - warmup), warmup_target=learning_rate, warmup_steps=warmup
    )


class SaveTraining(keras.callbacks.Callback):
    """Validate after every epoch, and save the training and the best network.

    Keras' ModelCheckpoint and EarlyStopping lose their best value at a restart, and do not save atomically.
    """

    def __init__(
        self,
        run: RunFolder,
        state: training_state.TrainingState,
        train: clip_batches.ClipBatches,
        val: clip_batches.ClipBatches,
        *,
        network: dict[str, Any],
        workers: int,
        epochs: int,
        patience: int,
        on_epoch: EpochCallback | None,
        stop_requested: Callable[[], bool],
    ) -> None:
        """Store the arguments, which are those of `fit_cnn3d`; `state` is updated in place."""
        super().__init__()
        self.run, self.state, self.train, self.val = run, state, train, val
        self.network, self.workers = network, workers
        self.on_epoch, self.stop_requested = on_epoch, stop_requested
        self.limits = {"epochs": epochs, "patience": patience}

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Arrange the batches of the epoch; restore the metrics of the batches that were done before a stop."""
        self.train.start_epoch(epoch)
        self.first = self.state.batches
        if self.first:
            self.state.restore_metrics(self.model)
        self.started = self.saved = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict) -> None:
        """Save the training if it is time to, or if it was requested to stop."""
        done = self.first + batch + 1
        if not math.isfinite(logs["loss"]):
            self._raise_diverged(done)
        stop = self._any_process_stops()
        if done < len(self.train) and (stop or time.monotonic() > self.saved + SAVE_SECONDS):
            self._save(batches=done)
        if stop and done < len(self.train):
            self._raise_stopped()

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Validate, save the network if it is the best so far, save the training, and report the epoch."""
        row = self._history_row(epoch, logs)
        logs.update({name: value for name, value in row.items() if value is not None})  # for TensorBoard
        self.state.history.append(row)
        if training_state.best_epoch(self.state.history) == epoch + 1 and jax_processes.is_first():
            save_network(self.model, self.run, network=self.network)
            self.state.network = atomic_files.sha256(self.run.cnn3d)
        self._save(batches=0)
        self.model.stop_training = self.state.is_finished(**self.limits)
        if self.on_epoch and jax_processes.is_first():
            self.on_epoch(row, self._seconds_left(epoch))
        if self._any_process_stops() and not self.model.stop_training:
            self._raise_stopped()

    def _history_row(self, epoch: int, logs: dict) -> dict:
        seconds = time.monotonic() - self.started
        clips = (len(self.train) - self.first) * self.train.batch_size
        row: dict = {"epoch": epoch + 1, "mse": float(logs["loss"])}  # training batches have no padding
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row |= validation.validate(self.model, self.val, workers=self.workers) | {"clips_per_second": clips / seconds}
        if not math.isfinite(row["val_mse"]):
            # The last step made the weights NaN: its loss was computed from the weights before it.
            self._raise_diverged(len(self.train))
        return row

    def _seconds_left(self, epoch: int) -> float:
        epochs_left = 0 if self.model.stop_training else self.limits["epochs"] - epoch - 1
        batch_seconds = (time.monotonic() - self.started) / (len(self.train) - self.first)
        return epochs_left * len(self.train) * batch_seconds

    def _any_process_stops(self) -> bool:
        """Return whether any process was requested to stop: all have to stop at the same batch."""
        stop = self.stop_requested()
        return stop if jax_processes.this()[1] == 1 else bool(jax_processes.all_gather(np.array(stop)).any())

    def _save(self, *, batches: int) -> None:
        self.state.capture(self.model, batches=batches)
        self.saved = time.monotonic()
        if jax_processes.is_first():
            with jax_processes.without_others():
                self.state.write(self.run, self.model)

    def _raise_diverged(self, batch: int) -> None:
        epoch, clips = len(self.state.history) + 1, ", ".join(self.train.clip_names(batch - 1))
        raise ValueError(
            f"The loss became NaN in epoch {epoch}, batch {batch}. Its clips: {clips}. Use a lower learning_rate in a "
            "new run, or remove a video whose name appears again."
        )

    def _raise_stopped(self) -> None:
        epoch = len(self.state.history)
        where = f"batch {self.state.batches} of epoch {epoch + 1}" if self.state.batches else f"epoch {epoch}"
        raise InterruptedError(
            f"Stopped on request after {where}, which is saved. Run the same command again to resume."
        )


def save_network(model: keras.Model, run: RunFolder, *, network: dict[str, Any]) -> None:
    """Save the network in the run atomically, as float32 and without the optimizer."""
    with jax_processes.without_others(), atomic_files.replacing(run.cnn3d) as beside:
        converted = cnn3d.build_cnn3d(**network, dtype="float32")
        converted.set_weights(model.get_weights())
        converted.save(beside)
