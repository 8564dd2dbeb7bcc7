"""Fit a network on batches, epoch by epoch, so that a stopped training resumes with an identical result."""

import dataclasses
import math
import os
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from nr_vqm.common import jax_processes
from nr_vqm.dataset.batches import Batches
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.training import training_state

# The most work that a kill may lose. With `paper` an epoch takes hours, and a save writes 2.3 GB.
SAVE_SECONDS = 900

EpochCallback = Callable[[dict, float], None]


@dataclasses.dataclass(frozen=True)
class SavedNetwork:
    """The network of the best or the last epoch in the run folder.

    Attributes:
        path: the file, or the first of several.
        save: save a model as this network.
        sha256: return the checksum of the saved network; None if there is none.
    """

    path: os.PathLike[str]
    save: Callable[[keras.Model], None]
    sha256: Callable[[], str | None]


def fit(model: keras.Model, dataset: Callable[[int], Any], saver: "SaveTraining") -> list[dict]:
    """Train from the saved state to the end; an epoch that was stopped in the middle is a `fit` of its own.

    Args:
        model: compiled, in the saved state.
        dataset: number of the first batch -> tf.data.Dataset of the rest of the current epoch.
        saver: the callback of this training.

    Returns:
        The history, one row per epoch.

    Raises:
        InterruptedError: the training was requested to stop; the state is saved.
        ValueError: the loss became NaN, or the saved network is missing or is another one.
    """
    state, callbacks = saver.state, [saver]
    if jax_processes.is_first():
        callbacks.append(keras.callbacks.TensorBoard(saver.run.tensorboard, write_graph=False))
    unfinished_epoch = [(len(state.history) + 1, state.batches)] if state.batches else []
    for last_epoch, first_batch in [*unfinished_epoch, (saver.limits["epochs"], 0)]:
        if not state.is_finished(**saver.limits):
            settings = {"initial_epoch": len(state.history), "epochs": last_epoch, "callbacks": callbacks}
            _fit(model, dataset(first_batch), saver.train, **settings)
    if jax_processes.is_first():
        _check_network(saver)
    return state.history


def _fit(model: keras.Model, dataset: Any, train: Batches, **settings: Any) -> None:
    """Run `keras.Model.fit`; an error while reading batches is raised as the original exception."""
    train.error = None
    try:
        model.fit(dataset, shuffle=False, verbose=0, **settings)  # the batches are shuffled
    except Exception as error:  # TensorFlow and JAX wrap it in exceptions of their own
        if train.error is None:
            raise
        raise train.error from error


def _check_network(saver: "SaveTraining") -> None:
    """Raise ValueError unless the saved network is the one of this training: it cannot be computed again."""
    if saver.network.sha256() != saver.state.network:
        raise ValueError(
            f"{saver.network.path} is missing or is not the network that this training saved. Copy it back, or delete "
            f"{saver.run.training_state} to train again from the start."
        )


class SaveTraining(keras.callbacks.Callback):
    """Validate after every epoch, and save the training and the best network.

    Keras' ModelCheckpoint and EarlyStopping lose their best value at a restart, and do not save atomically.
    """

    def __init__(
        self,
        run: RunFolder,
        state: training_state.TrainingState,
        train: Batches,
        *,
        validate: Callable[[keras.Model], dict[str, float | None]],
        network: SavedNetwork,
        unit: str,
        epochs: int,
        patience: int,
        keep: str = "best",
        on_epoch: EpochCallback | None,
        on_batch: Callable[[float], None] | None,
        stop_requested: Callable[[], bool],
    ) -> None:
        """Store the arguments.

        Args:
            run: the run folder.
            state: the state of the training, which is updated in place.
            train: the training batches.
            validate: model -> figures of the epoch, of which 'val_mse' chooses the best epoch.
            network: where the network of the best epoch is saved, or of the last one.
            unit: what a batch consists of, 'clips' or 'videos'.
            epochs: maximum number of epochs.
            patience: stop after this many epochs without a lower validation error.
            keep: 'best' saves the network of the epoch with the lowest validation error, 'last' that of the last epoch.
            on_epoch: called in the first process after every epoch with the epoch's row of the history and the
                estimated seconds left.
            on_batch: called in the first process after every batch with the finished share of the epoch, 0-1.
            stop_requested: called after every batch; the training is saved and stopped when it returns True.
        """
        super().__init__()
        self.run, self.state, self.train = run, state, train
        self.validate, self.network, self.unit = validate, network, unit
        self.on_epoch, self.on_batch, self.stop_requested = on_epoch, on_batch, stop_requested
        self.keep, self.limits = keep, {"epochs": epochs, "patience": patience}

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
        if self.on_batch and jax_processes.is_first():
            self.on_batch(done / len(self.train))
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
        is_kept = self.keep == "last" or training_state.best_epoch(self.state.history) == epoch + 1
        if is_kept and jax_processes.is_first():
            self.network.save(self.model)
            self.state.network = self.network.sha256()
        self._save(batches=0)
        self.model.stop_training = self.state.is_finished(**self.limits)
        if self.on_epoch and jax_processes.is_first():
            self.on_epoch(row, self._seconds_left(epoch))
        if self._any_process_stops() and not self.model.stop_training:
            self._raise_stopped()

    def _history_row(self, epoch: int, logs: dict) -> dict:
        seconds = time.monotonic() - self.started
        trained = (len(self.train) - self.first) * self.train.batch_size
        row: dict = {"epoch": epoch + 1, "mse": float(logs["loss"])}  # training batches have no padding
        row["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row |= self.validate(self.model) | {f"{self.unit}_per_second": trained / seconds}
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
        epoch, names = len(self.state.history) + 1, ", ".join(self.train.names(batch - 1))
        raise ValueError(
            f"The loss became NaN in epoch {epoch}, batch {batch}. Its {self.unit}: {names}. Use a lower learning_rate "
            "in a new run, or remove a video whose name appears again."
        )

    def _raise_stopped(self) -> None:
        epoch = len(self.state.history)
        where = f"batch {self.state.batches} of epoch {epoch + 1}" if self.state.batches else f"epoch {epoch}"
        raise InterruptedError(
            f"Stopped on request after {where}, which is saved. Run the same command again to resume."
        )
