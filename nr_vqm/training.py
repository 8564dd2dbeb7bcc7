"""Fit the 3D-CNN on batches of clips; go on where a stopped training was."""

import csv
import json
import math
from pathlib import Path

import keras

from nr_vqm import cnn3d, files, inputs, starting_weights

STARTING_CLIPS = 8  # that the starting weights are scaled by; more change little and cost memory
STATE = "training_state.json"  # names the epoch whose model is whole; written last


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
    patience,
    seed,
):
    """Train the 3D-CNN and save the best epoch's network as <run>/cnn3d.keras.

    After every epoch the whole training is saved, so a stopped one goes on with the next epoch; the best
    epoch so far is part of what is saved, so a worse network never replaces a better one.

    Args:
        train, val: inputs.ClipBatches; `train` is arranged anew for every epoch.
        run_dir: the run folder.
        strategy: a tf.distribute strategy.
        workers: threads that read clips.
        network: keyword arguments of `cnn3d.build_cnn3d`, without dtype.
        dtype: the dtype policy to train in; the saved network is float32.
        epochs: at most so many.
        learning_rate: the peak, after `warmup_epochs`; a cosine brings it to zero. Decision 0004.
        warmup_epochs: of linear growth from zero.
        patience: stop after so many epochs without a lower validation error.
        seed: of the starting weights.

    Returns:
        list of dict: the history, one row per epoch.
    """
    run_dir = Path(run_dir)
    state = _read_state(run_dir)
    with strategy.scope():
        if state["history"]:
            model = keras.models.load_model(_state_model(run_dir, len(state["history"])))
        else:
            model = cnn3d.build_cnn3d(**network, dtype=dtype)
            starting_weights.prepare(model, train[0][0][:STARTING_CLIPS], seed=seed)
            schedule = cosine_schedule(learning_rate, len(train), epochs=epochs, warmup_epochs=warmup_epochs)
            model.compile(keras.optimizers.Adam(schedule), loss="mse", weighted_metrics=["mse"])
    done = len(state["history"])
    if _finished(state, epochs=epochs, patience=patience):
        return state["history"]
    model.fit(
        inputs.as_dataset(train, workers=workers),
        validation_data=inputs.as_dataset(val, workers=workers),
        initial_epoch=done,
        epochs=epochs,
        shuffle=False,  # the batches shuffle themselves
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: train.start_epoch(epoch)),
            SaveEpoch(run_dir, state, network=network, patience=patience, epochs=epochs),
            keras.callbacks.TensorBoard(run_dir / "tensorboard", write_graph=False),
            keras.callbacks.TerminateOnNaN(),
        ],
        verbose=2,
    )
    if not _finished(state, epochs=epochs, patience=patience):
        epoch = len(state["history"]) + 1
        raise ValueError(f"The loss became NaN in epoch {epoch}. Use a lower learning_rate, in a new run.")
    return state["history"]


def cosine_schedule(learning_rate, steps_per_epoch, *, epochs, warmup_epochs):
    """Linear growth over `warmup_epochs`, then a cosine to zero at the last step."""
    total, warmup = steps_per_epoch * epochs, round(steps_per_epoch * warmup_epochs)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(learning_rate, total)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, total - warmup), warmup_target=learning_rate, warmup_steps=warmup
    )


class SaveEpoch(keras.callbacks.Callback):
    """Saves the training after every epoch, and the network when it is the best so far.

    Keras' own ModelCheckpoint and EarlyStopping forget their best value at a restart, and save in place.
    """

    def __init__(self, run_dir, state, *, network, patience, epochs):
        super().__init__()
        self.run_dir, self.state, self.network = run_dir, state, network
        self.patience, self.epochs = patience, epochs

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        if not math.isfinite(row["loss"]) or not math.isfinite(row["val_loss"]):
            self.model.stop_training = True
            return
        self.state["history"].append(row)
        best = best_epoch(self.state["history"])
        if best == epoch + 1:
            save_network(self.model, self.run_dir / "cnn3d.keras", network=self.network)
        path = _state_model(self.run_dir, epoch + 1)
        with files.replacing(path) as beside:
            self.model.save(beside)
        write_history(self.run_dir / "history.csv", self.state["history"])
        files.write_json(self.run_dir / STATE, self.state)
        for old in self.run_dir.glob("training_state-*.keras"):
            if old != path:
                old.unlink()
        self.model.stop_training = _finished(self.state, epochs=self.epochs, patience=self.patience)


def best_epoch(history):
    """The epoch, counted from 1, with the lowest validation error; the earliest of equals."""
    return min(history, key=lambda row: row["val_mse"])["epoch"]


def save_network(model, path, *, network):
    """Save the network as float32 without the optimizer, atomically."""
    twin = cnn3d.build_cnn3d(**network, dtype="float32")
    twin.set_weights(model.get_weights())
    with files.replacing(path) as beside:
        twin.save(beside)


def write_history(path, history):
    """One row per epoch as CSV."""
    with files.replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def _finished(state, *, epochs, patience):
    history = state["history"]
    return bool(history) and (len(history) >= epochs or len(history) - best_epoch(history) >= patience)


def _state_model(run_dir, epoch):
    return run_dir / f"training_state-{epoch:04d}.keras"


def _read_state(run_dir):
    path = run_dir / STATE
    return json.loads(path.read_text()) if path.exists() else {"history": []}
