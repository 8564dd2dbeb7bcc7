"""The state of a training between two batches, saved so that a stopped training resumes exactly there."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from nr_vqm.common import atomic_files
from nr_vqm.runs import history_file
from nr_vqm.runs.run_folder import RunFolder


@dataclasses.dataclass
class TrainingState:
    """What a training needs to resume besides its weights and its optimizer.

    Attributes:
        history: one row per finished epoch; see `cnn3d_training.fit_cnn3d`.
        batches: batches done in the epoch after those.
        metrics: values of Keras' metrics over these batches.
        seeds: states of the random number generators of the dropout layers, which a .keras file does not contain.
        network: SHA-256 of the file of the best network; None before the first epoch has finished.
    """

    history: list[dict] = dataclasses.field(default_factory=list)
    batches: int = 0
    metrics: list = dataclasses.field(default_factory=list)
    seeds: list = dataclasses.field(default_factory=list)
    network: str | None = None

    @property
    def is_started(self) -> bool:
        """Whether at least one batch was trained and saved."""
        return bool(self.history) or self.batches > 0

    def weights_path(self, run: RunFolder) -> Path:
        """Return the file of the model and its optimizer in this state."""
        return run.training_weights(len(self.history), self.batches)

    def is_finished(self, *, epochs: int, patience: int) -> bool:
        """Return whether all epochs are done, or `patience` epochs passed without a lower validation error."""
        done = len(self.history)
        return bool(done) and (done >= epochs or done - best_epoch(self.history) >= patience)

    def capture(self, model: keras.Model, *, batches: int) -> None:
        """Take over the values of a model's metrics and dropout seeds, after so many batches of the epoch."""
        self.batches = batches
        self.metrics = _values(_metric_variables(model))
        self.seeds = _values(_seed_variables(model))

    def restore_metrics(self, model: keras.Model) -> None:
        """Set the model's metrics to the saved values."""
        _assign(_metric_variables(model), self.metrics)

    def restore_seeds(self, model: keras.Model) -> None:
        """Set the states of the model's dropout seeds to the saved values."""
        _assign(_seed_variables(model), self.seeds)

    def write(self, run: RunFolder, model: keras.Model) -> None:
        """Save the model, the history and this state in a run, and delete the weights of earlier states.

        The state is written last: a training that is killed while it saves resumes from the previous one.
        """
        path = self.weights_path(run)
        with atomic_files.replace_when_complete(path) as temporary:
            model.save(temporary)
        if self.history:
            history_file.write(run.history, self.history)
        atomic_files.write_json(run.training_state, dataclasses.asdict(self))
        run.drop_other_weights(path)


def read(run: RunFolder) -> TrainingState:
    """Read the state of a run's training; an initial state where there is none."""
    path = run.training_state
    if not path.exists():
        return TrainingState()
    try:
        return TrainingState(**atomic_files.read_json(path, made_by="make train"))
    except TypeError as error:
        raise ValueError(f"{path} is of another version ({error}). Train in a new folder.") from error


def best_epoch(history: list[dict]) -> int:
    """Return the number, from 1, of the epoch with the lowest validation error; of equals the earliest.

    >>> best_epoch([{"epoch": 1, "val_mse": 0.7}, {"epoch": 2, "val_mse": 0.4}, {"epoch": 3, "val_mse": 0.5}])
    2
    """
    return min(history, key=lambda row: row["val_mse"])["epoch"]


def _metric_variables(model: keras.Model) -> list[keras.Variable]:
    return [variable for metric in model.metrics for variable in metric.variables]


def _seed_variables(model: keras.Model) -> list[keras.Variable]:
    return [layer.seed_generator.state for layer in model.layers if hasattr(layer, "seed_generator")]


def _values(variables: Sequence[keras.Variable]) -> list:
    return [keras.ops.convert_to_numpy(variable).tolist() for variable in variables]


def _assign(variables: Sequence[keras.Variable], values: list) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(np.asarray(value, variable.dtype))
