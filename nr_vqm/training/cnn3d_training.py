"""Fit the 3D-CNN on batches of clips; resume a stopped training."""

import json
import math
import time

import keras
import numpy as np

from nr_vqm.common import atomic_files, devices, jax_processes
from nr_vqm.dataset import clip_batches
from nr_vqm.models import cnn3d, initial_weights
from nr_vqm.runs import history_file
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.training import validation

SAVE_SECONDS = 900  # what a stop may cost at most: with `paper` an epoch takes hours, and saving 2.3 GB


def fit_cnn3d(
    train,
    val,
    *,
    run_dir,
    strategy,
    workers,
    network,
    dtype,
    epochs,
    learning_rate,
    warmup_epochs,
    accumulate,
    patience,
    start_clips,
    start_roughness,
    seed,
    stop_asked=lambda: False,
):
    """Train the 3D-CNN and save the best epoch's network as <run>/cnn3d.keras.

    After every epoch, and every SAVE_SECONDS within one, the whole training is saved: a stopped one resumes there
    and ends as if it had not been stopped. The best epoch so far is part of what is saved, so a worse network never
    replaces a better one. One line is printed per epoch.

    Args:
        train, val: clip_batches.ClipBatches; `train` is arranged anew for every epoch, `val` has no shuffle_seed.
        run_dir: the run folder.
        strategy: of `devices.replicas`.
        workers: threads that read clips.
        network: keyword arguments of `cnn3d.build_cnn3d`, without dtype.
        dtype: the dtype policy to train in; the saved network is float32.
        epochs: at most so many.
        learning_rate: the peak, after `warmup_epochs`; a cosine brings it to zero. Decision 0004.
        warmup_epochs: of linear growth from zero.
        accumulate: batches whose mean gradient makes one step: for batches that no device holds at once.
        patience: stop after so many epochs without a lower validation error.
        start_clips: how many clips of the first batch the starting weights are scaled by.
        start_roughness: as in `initial_weights.prepare`.
        seed: of the starting weights.
        stop_asked: asked after every batch; True saves and stops.

    Returns:
        list of dict: the history, one row per epoch.

    Raises:
        InterruptedError: `stop_asked`; all is saved.
        ValueError: the loss became NaN, whose batch's clips are named; a batch does not fit the device's memory.
    """
    run = RunFolder(run_dir)
    state, too_large = _read_state(run), _too_large(train.batch_size, accumulate)
    if jax_processes.is_first():
        run.drop_other_weights(_state_weights(run, state))  # of a training that was killed while it saved
    with devices.explained_memory(too_large), strategy.scope():
        if state["history"] or state["batches"]:
            model = keras.models.load_model(_state_weights(run, state))
            _restore(_seed_variables(model), state["seeds"])
        else:
            schedule = cosine_schedule(learning_rate, len(train), epochs=epochs, warmup_epochs=warmup_epochs)
            model = cnn3d.build_cnn3d(**network, dtype=dtype)
            initial_weights.prepare(model, train[0][0][:start_clips], roughness=start_roughness, seed=seed)
            compile_cnn3d(model, schedule, accumulate=accumulate)
    limits = {"epochs": epochs, "patience": patience}
    callbacks = [
        SaveTraining(run, state, train, val, network=network, workers=workers, stop_asked=stop_asked, **limits),
        *([keras.callbacks.TensorBoard(run.tensorboard, write_graph=False)] if jax_processes.is_first() else []),
    ]
    # An epoch that was stopped in the middle is a fit of its own, of its last batches.
    parts = [(len(state["history"]) + 1, state["batches"])] if state["batches"] else []
    for last, first_batch in [*parts, (epochs, 0)]:
        if not _finished(state, **limits):
            settings = {"initial_epoch": len(state["history"]), "epochs": last, "callbacks": callbacks}
            with devices.explained_memory(too_large):
                _fit(model, train, workers=workers, first_batch=first_batch, **settings)
    if jax_processes.is_first():
        _check_network(run, state)
    return state["history"]


def _check_network(run, state):
    """Raise ValueError where the best network is not the one that this training saved: it cannot be made again."""
    if not run.cnn3d.exists() or atomic_files.sha256(run.cnn3d) != state["network"]:
        raise ValueError(
            f"{run.cnn3d} is missing or is not the network that this training saved. Copy it back, or delete "
            f"{run.training_state} to train again from the start."
        )


def _too_large(batch_size, accumulate):
    """What to change where a batch does not fit: less at a time, the same number of clips a step."""
    found = f"The device's memory does not hold the training of {batch_size} clips at a time."
    if batch_size == 1:
        return f"{found} Use a device with more memory, or smaller clips (clip_frames, clip_size)."
    half = batch_size // 2
    return (
        f"{found} Start a new run with a smaller batch_size and a larger accumulate, which make the same steps: "
        f"--set batch_size={half} --set accumulate={batch_size * accumulate // half}."
    )


def compile_cnn3d(model, learning_rate, *, accumulate):
    """Make a 3D-CNN ready to train: mean squared error, Adam; decision 0004."""
    adam = keras.optimizers.Adam(learning_rate, gradient_accumulation_steps=accumulate if accumulate > 1 else None)
    # XLA fails under MirroredStrategy and is slower on a CPU; JAX is nothing without it.
    model.compile(adam, loss="mse", jit_compile=keras.backend.backend() == "jax")


def check_batches(batch_size, *, accumulate, num_devices):
    """Raise ValueError where a batch cannot be divided evenly: unequal parts would count unequally in the mean."""
    if accumulate > 1 and num_devices > 1 and keras.backend.backend() == "tensorflow":
        raise ValueError(
            f"accumulate={accumulate} and {num_devices} devices do not go together on TensorFlow. Use one device, or "
            "Keras on JAX: KERAS_BACKEND=jax."
        )
    if batch_size % num_devices:
        raise ValueError(
            f"batch_size={batch_size} cannot be divided among {num_devices} devices. "
            f"Use --set batch_size={math.ceil(batch_size / num_devices) * num_devices}."
        )


def _fit(model, train, *, workers, first_batch, **settings):
    """Keras' fit on our batches; what goes wrong in reading is raised as it was."""
    batches = clip_batches.as_dataset(train, workers=workers, first=first_batch)
    train.error = None
    try:
        model.fit(batches, shuffle=False, verbose=0, **settings)  # the batches shuffle themselves
    except Exception as error:  # TensorFlow and JAX have classes of their own for it
        if train.error is None:
            raise
        raise train.error from error


def cosine_schedule(learning_rate, steps_per_epoch, *, epochs, warmup_epochs):
    """Linear growth over `warmup_epochs`, then a cosine to zero at the last step."""
    total, warmup = steps_per_epoch * epochs, round(steps_per_epoch * warmup_epochs)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(learning_rate, total)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, total - warmup), warmup_target=learning_rate, warmup_steps=warmup
    )


class SaveTraining(keras.callbacks.Callback):
    """Watches and saves the training, and the network when it is the best so far.

    Keras' own ModelCheckpoint and EarlyStopping forget their best value at a restart, and save in place.
    """

    def __init__(self, run, state, train, val, *, network, workers, epochs, patience, stop_asked):
        super().__init__()
        self.run, self.state, self.train, self.val = run, state, train, val
        self.network, self.workers, self.stop_asked = network, workers, stop_asked
        self.limits = {"epochs": epochs, "patience": patience}

    def on_epoch_begin(self, epoch, logs=None):
        self.train.start_epoch(epoch)
        self.first = self.state["batches"]
        if self.first:
            _restore(_metric_variables(self.model), self.state["metrics"])  # of the batches before the stop
        self.started = self.saved = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        done = self.first + batch + 1
        if not math.isfinite(logs["loss"]):
            self._diverged(done)
        stop = self._stop()
        if done < len(self.train) and (stop or time.monotonic() > self.saved + SAVE_SECONDS):
            self._save(batches=done)
        if stop and done < len(self.train):
            self._stopped()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.monotonic() - self.started
        clips = (len(self.train) - self.first) * self.train.batch_size
        row = {"epoch": epoch + 1, "mse": float(logs["loss"])}  # no batch has padding
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row |= validation.validate(self.model, self.val, workers=self.workers) | {"clips_per_second": clips / seconds}
        if not math.isfinite(row["val_mse"]):
            self._diverged(len(self.train))  # with the last step, whose loss was of the weights before it
        logs.update({name: value for name, value in row.items() if value is not None})  # for TensorBoard
        self.state["history"].append(row)
        if best_epoch(self.state["history"]) == epoch + 1 and jax_processes.is_first():
            save_network(self.model, self.run.cnn3d, network=self.network)
            self.state["network"] = atomic_files.sha256(self.run.cnn3d)
        self._save(batches=0)
        self.model.stop_training = _finished(self.state, **self.limits)
        left = 0 if self.model.stop_training else self.limits["epochs"] - epoch - 1
        seconds_left = left * len(self.train) * (time.monotonic() - self.started) / (len(self.train) - self.first)
        if jax_processes.is_first():
            print(validation.epoch_line(row, epochs=self.limits["epochs"], seconds_left=seconds_left), flush=True)
        if self._stop() and not self.model.stop_training:
            self._stopped()

    def _stop(self):
        """Whether any process was asked to stop: all have to at the same batch."""
        asked = self.stop_asked()
        return asked if jax_processes.this()[1] == 1 else bool(jax_processes.all_gather(np.array(asked)).any())

    def _diverged(self, batch):
        epoch, clips = len(self.state["history"]) + 1, ", ".join(self.train.clip_names(batch - 1))
        raise ValueError(
            f"The loss became NaN in epoch {epoch}, batch {batch}. Its clips: {clips}. Use a lower learning_rate, "
            "in a new run, or leave out a video if its name returns."
        )

    def _save(self, *, batches):
        self.state["batches"] = batches
        self.state["metrics"] = _values(_metric_variables(self.model))
        self.state["seeds"] = _values(_seed_variables(self.model))
        self.saved = time.monotonic()
        if not jax_processes.is_first():
            return
        path = _state_weights(self.run, self.state)
        with jax_processes.without_others(), atomic_files.replacing(path) as beside:
            self.model.save(beside)
        if self.state["history"]:
            history_file.write(self.run.history, self.state["history"])
        atomic_files.write_json(self.run.training_state, self.state)
        self.run.drop_other_weights(path)

    def _stopped(self):
        epoch = len(self.state["history"])
        where = f"batch {self.state['batches']} of epoch {epoch + 1}" if self.state["batches"] else f"epoch {epoch}"
        raise InterruptedError(f"Stopped as asked after {where}, which is saved. Run the same command again to resume.")


def best_epoch(history):
    """The epoch, counted from 1, with the lowest validation error; the earliest of equals."""
    return min(history, key=lambda row: row["val_mse"])["epoch"]


def save_network(model, path, *, network):
    """Save the network as float32 without the optimizer, atomically."""
    with jax_processes.without_others(), atomic_files.replacing(path) as beside:
        twin = cnn3d.build_cnn3d(**network, dtype="float32")
        twin.set_weights(model.get_weights())
        twin.save(beside)


def _finished(state, *, epochs, patience):
    history = state["history"]
    return bool(history) and (len(history) >= epochs or len(history) - best_epoch(history) >= patience)


def _metric_variables(model):
    return [variable for metric in model.metrics for variable in metric.variables]


def _seed_variables(model):
    """The states of the dropouts' random numbers, which a .keras file does not hold."""
    return [layer.seed_generator.state for layer in model.layers if hasattr(layer, "seed_generator")]


def _values(variables):
    return [keras.ops.convert_to_numpy(variable).tolist() for variable in variables]


def _restore(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(np.asarray(value, variable.dtype))


def _state_weights(run, state):
    return run.training_weights(len(state["history"]), state["batches"])


def _read_state(run):
    """The epochs so far, the batches done of the next one, Keras' metrics over those, the dropouts' random numbers.

    `network` is the checksum of the best network. The state is written last: it decides which files count.
    """
    path = run.training_state
    empty = {"history": [], "batches": 0, "metrics": [], "seeds": [], "network": None}
    return empty | json.loads(path.read_text()) if path.exists() else empty
