"""The LSTM head: predicts the quality of a video from its groups in time order."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

PREDICT_BATCH = 1024  # videos; limits the memory of prediction: 67 MB per copy of 32 x 512 features

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Videos = tuple[np.ndarray, np.ndarray]


def build_lstm_head(
    *, num_groups: int, input_dim: int, input_offset: float, input_scale: float, lstm_units: int, fc_dim: int
) -> keras.Model:
    """Build the LSTM head: an LSTM, a fully connected layer with ReLU, and a linear output.

    Args:
        num_groups: number of time steps.
        input_dim: values per time step: the qualities of all blocks, or the features.
        input_offset: subtracted from the inputs.
        input_scale: the inputs are divided by it, after the subtraction.
        lstm_units: size of the LSTM; the paper has 32.
        fc_dim: width of the fully connected layer. With 16, and 32 units and blocks, the head has 8,865 parameters.

    Returns:
        float32 (batch, num_groups, input_dim) -> quality, float32 (batch, 1), on 1-5.

    Source: ICIP 2019, section 3; input and output scaling: decision 0005.
    """
    inputs = keras.Input((num_groups, input_dim), name="groups")
    quality = add_head(inputs, input_offset=input_offset, input_scale=input_scale, lstm_units=lstm_units, fc_dim=fc_dim)
    return keras.Model(inputs, quality, name="lstm_head")


def add_head(
    groups: keras.KerasTensor,
    *,
    input_offset: float,
    input_scale: float,
    lstm_units: int,
    fc_dim: int,
    prefix: str = "",
) -> keras.KerasTensor:
    """Add the layers of the LSTM head, in float32.

    Args:
        groups: float32 (batch, num_groups, input_dim).
        input_offset, input_scale, lstm_units, fc_dim: as in `build_lstm_head`.
        prefix: start of the layers' names.

    Returns:
        Quality, float32 (batch, 1), on 1-5.
    """
    options = {"dtype": "float32"}
    x = layers.Rescaling(1 / input_scale, -input_offset / input_scale, name=f"{prefix}scale", **options)(groups)
    x = layers.LSTM(lstm_units, name=f"{prefix}lstm", **options)(x)
    x = layers.Dense(fc_dim, activation="relu", name=f"{prefix}fc", **options)(x)
    x = layers.Dense(1, name=f"{prefix}output", **options)(x)
    return layers.Rescaling(1.0, offset=3.0, name=f"{prefix}quality", **options)(x)


def settings(model: keras.Model, *, prefix: str = "") -> dict[str, Any]:
    """Return the arguments of `build_lstm_head` for a copy of a head.

    Args:
        model: a head, or a model that contains one.
        prefix: start of the names of the head's layers.
    """
    scale, lstm, fc = (model.get_layer(prefix + name) for name in ("scale", "lstm", "fc"))
    num_groups, input_dim = lstm.input.shape[1:]
    return {
        "num_groups": num_groups,
        "input_dim": input_dim,
        "input_offset": -scale.offset / scale.scale,
        "input_scale": 1 / scale.scale,
        "lstm_units": lstm.units,
        "fc_dim": fc.units,
    }


def initialise_as_average(
    head: keras.Model, *, equal_blocks: bool, forget_bias: float, input_bias: float, seed: int
) -> None:
    """Set initial weights with which the LSTM's cells hold slow moving averages of their inputs.

    With gates that start half open a cell forgets a group after a few steps. With biases of 3 and -2 it keeps 95 % of
    its value at each step and adds 12 % of the new input where the quality is 3, so the first of 32 groups still has a
    quarter of the weight of the last. Decision 0005.

    Args:
        head: of `build_lstm_head`, untrained; changed in place.
        equal_blocks: each unit reads the mean of its inputs times a random number; for inputs that are clip qualities.
        forget_bias: bias of the gate that keeps a cell's value.
        input_bias: bias of the gate that writes to a cell.
        seed: seed of the random numbers.
    """
    lstm = head.get_layer("lstm")
    kernel, recurrent, bias = lstm.get_weights()
    bias[: lstm.units], bias[lstm.units : 2 * lstm.units] = input_bias, forget_bias
    recurrent *= 0.3
    if equal_blocks:
        factors = np.random.default_rng(seed).normal(size=(1, kernel.shape[1]))
        kernel = 0.1 * kernel + factors / len(kernel)
    lstm.set_weights([kernel, recurrent, bias])


def fit_lstm_head(
    head: keras.Model,
    train: Videos,
    val: Videos,
    *,
    epochs: int,
    patience: int,
    batch_size: int,
    learning_rate: float,
    augment: Augmentation | None,
    seed: int,
) -> list[dict]:
    """Train an LSTM head and keep the weights with the lowest validation error.

    Args:
        head: of `build_lstm_head`; trained in place.
        train, val: (inputs float32 (num_videos, num_groups, input_dim), quality float32 (num_videos,) on 1-5).
        epochs: maximum number of epochs.
        patience: stop after this many epochs without a lower validation error.
        batch_size: videos per step.
        learning_rate: initial learning rate of Adam; a cosine decreases it to zero.
        augment: function (inputs, rng) -> inputs, applied to every batch of every epoch; None for no augmentation.
        seed: seed of the shuffling and of `augment`.

    Returns:
        One row per epoch: 'epoch' (from 1), 'mse' and 'val_mse'.
    """
    inputs, quality = (np.asarray(part, np.float32) for part in train)
    val_inputs, val_quality = (np.asarray(part, np.float32) for part in val)
    batches = VideoBatches(inputs, quality[:, None], batch_size=batch_size, augment=augment, seed=seed)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, len(batches) * epochs)
    adam = keras.optimizers.Adam(schedule)
    head.compile(adam, loss="mse")
    adam.build(head.trainable_variables)  # else TensorFlow traces the first step twice, to create the variables
    stop = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    fitted = head.fit(
        batches, validation_data=(val_inputs, val_quality[:, None]), epochs=epochs, callbacks=[stop], verbose=0
    )
    losses = zip(fitted.history["loss"], fitted.history["val_loss"], strict=True)
    return [{"epoch": number, "mse": mse, "val_mse": val} for number, (mse, val) in enumerate(losses, start=1)]


class VideoBatches(keras.utils.PyDataset):
    """Full batches of videos, shuffled and augmented differently in every epoch; the remainder is dropped."""

    def __init__(
        self, inputs: np.ndarray, quality: np.ndarray, *, batch_size: int, augment: Augmentation | None, seed: int
    ) -> None:
        """Shuffle the videos for the first epoch; the arguments are those of `fit_lstm_head`."""
        super().__init__(workers=1)
        self.inputs, self.quality, self.augment, self.seed = inputs, quality, augment, seed
        self.batch_size = min(batch_size, len(inputs))
        self.epoch = -1
        self.on_epoch_end()

    def __len__(self) -> int:
        """Number of batches per epoch."""
        return len(self.inputs) // self.batch_size

    def __getitem__(self, index: int) -> Videos:
        """Return (inputs, quality) of one batch."""
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        inputs = self.inputs[rows]
        if self.augment:
            # Each batch has its own random generator: the result does not depend on the order of reading.
            inputs = self.augment(inputs, np.random.default_rng([self.seed, self.epoch, index]))
        return inputs, self.quality[rows]

    def on_epoch_end(self) -> None:
        """Shuffle the videos for the next epoch."""
        self.epoch += 1
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.inputs))


def shuffle_blocks(inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Augment clip qualities: permute the blocks of each video, in the same way in all its groups.

    The order of the blocks is a convention; the head should learn the course of quality over time. Decision 0005.

    Args:
        inputs: float32 (batch, num_groups, num_blocks).
        rng: draws the permutations.

    Returns:
        float32, the shape of `inputs`.
    """
    orders = rng.permuted(np.tile(np.arange(inputs.shape[2]), (len(inputs), 1)), axis=1)
    return np.take_along_axis(inputs, orders[:, None, :], axis=2)


def augment_clips(inputs: np.ndarray, rng: np.random.Generator, *, noise: float) -> np.ndarray:
    """Augment clip qualities: permute the blocks of each video and add noise to each quality.

    The 3D-CNN was trained on the same videos, so its clip qualities are more accurate there than on others; the noise
    keeps the head from relying on single clips. Decision 0005.

    Args:
        inputs: float32 (batch, num_groups, num_blocks), on 1-5.
        rng: draws the permutations and the noise.
        noise: standard deviation of the noise, on 1-5.

    Returns:
        float32, the shape of `inputs`.
    """
    return shuffle_blocks(inputs, rng) + rng.normal(0, noise, inputs.shape).astype(np.float32)


def predict(head: Callable, inputs: np.ndarray) -> np.ndarray:
    """Predict the qualities of videos.

    Args:
        head: of `build_lstm_head`, trained; called as head(batch, training=False).
        inputs: float32 (num_videos, num_groups, input_dim).

    Returns:
        float32 (num_videos,), on 1-5.
    """
    batches = (inputs[start : start + PREDICT_BATCH] for start in range(0, len(inputs), PREDICT_BATCH))
    outputs = [head(np.asarray(batch, np.float32), training=False) for batch in batches]
    return np.concatenate([keras.ops.convert_to_numpy(output)[:, 0] for output in outputs])
