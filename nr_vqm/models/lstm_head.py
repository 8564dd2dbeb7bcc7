"""The LSTM head: a video's groups, in time order -> its quality."""

import keras
import numpy as np
from keras import layers

PREDICTED_AT_ONCE = 1024  # videos: bounds the copies that predicting makes; 67 MB each of 32 x 512 features


def build_lstm_head(*, num_groups, input_dim, input_offset, input_scale, lstm_units, fc_dim):
    """LSTM -> FC with ReLU -> FC 1.

    Args:
        num_groups: time steps.
        input_dim: values per step: one quality per block, or one value per feature.
        input_offset, input_scale: (input - offset) / scale is what the LSTM reads.
        lstm_units, fc_dim: 32 and 16 in the paper; 8,865 parameters with 32 blocks.

    Returns:
        keras.Model: float32 (batch, num_groups, input_dim) -> quality, float32 (batch, 1) on 1-5.

    Source: ICIP 2019, section 3; input and output scaling: decision 0005.
    """
    inputs = keras.Input((num_groups, input_dim), name="groups")
    x = layers.Rescaling(1 / input_scale, offset=-input_offset / input_scale, name="scale")(inputs)
    x = layers.LSTM(lstm_units, name="lstm")(x)
    x = layers.Dense(fc_dim, activation="relu", name="fc")(x)
    x = layers.Dense(1, name="output")(x)
    quality = layers.Rescaling(1.0, offset=3.0, name="quality")(x)
    return keras.Model(inputs, quality, name="lstm_head")


def start_as_average(
    head: keras.Model, *, equal_blocks: bool, forget_bias: float, input_bias: float, seed: int
) -> None:
    """Set starting weights with which the LSTM's cells hold slow averages of what they read.

    Gates that start half open forget a group within a few others. With biases of 3 and -2 a cell keeps 95 % of itself
    at each step and adds 12 % of what is new where the quality is 3, so the first group of 32 still weighs a quarter of
    the last. Decision 0005.

    Args:
        head: of `build_lstm_head`, untrained; changed in place.
        equal_blocks: the inputs are clip qualities, of which each unit starts with the mean, times a random number.
        forget_bias, input_bias: of the gates that keep a cell and that write to it.
        seed: of the random numbers.
    """
    lstm = head.get_layer("lstm")
    kernel, recurrent, bias = lstm.get_weights()
    bias[: lstm.units], bias[lstm.units : 2 * lstm.units] = input_bias, forget_bias
    recurrent *= 0.3
    if equal_blocks:
        factors = np.random.default_rng(seed).normal(size=(1, kernel.shape[1]))
        kernel = 0.1 * kernel + factors / len(kernel)
    lstm.set_weights([kernel, recurrent, bias])


def fit_lstm_head(head, train, val, *, epochs, patience, batch_size, learning_rate, augment, seed):
    """Train a head; keep the weights with the lowest validation error.

    Args:
        head: of `build_lstm_head`; trained in place.
        train, val: (inputs float32 (num_videos, num_groups, input_dim), quality float32 (num_videos,) on 1-5).
        epochs, patience: at most so many; stop after `patience` without a lower val_loss.
        batch_size, learning_rate: of Adam.
        augment: None, or a function (inputs, rng) -> inputs, applied anew in every epoch.
        seed: of the shuffling and `augment`.

    Returns:
        list of dict: epoch, mse and val_mse per epoch.
    """
    inputs, quality = (np.asarray(part, np.float32) for part in train)
    val_inputs, val_quality = (np.asarray(part, np.float32) for part in val)
    batches = VideoBatches(inputs, quality[:, None], batch_size=batch_size, augment=augment, seed=seed)
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, len(batches) * epochs)
    head.compile(keras.optimizers.Adam(schedule), loss="mse")
    stop = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    fitted = head.fit(
        batches, validation_data=(val_inputs, val_quality[:, None]), epochs=epochs, callbacks=[stop], verbose=0
    )
    losses = zip(fitted.history["loss"], fitted.history["val_loss"], strict=True)
    return [{"epoch": number, "mse": mse, "val_mse": val} for number, (mse, val) in enumerate(losses, start=1)]


class VideoBatches(keras.utils.PyDataset):
    """Batches of whole videos, shuffled and augmented anew in every epoch; the remainder is left for another epoch."""

    def __init__(self, inputs, quality, *, batch_size, augment, seed):
        super().__init__(workers=1)
        self.inputs, self.quality, self.augment, self.seed = inputs, quality, augment, seed
        self.batch_size = min(batch_size, len(inputs))
        self.epoch = -1
        self.on_epoch_end()

    def __len__(self):
        return len(self.inputs) // self.batch_size

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        inputs = self.inputs[rows]
        if self.augment:
            # A generator of its own per batch: the result does not depend on the order of reading.
            inputs = self.augment(inputs, np.random.default_rng([self.seed, self.epoch, index]))
        return inputs, self.quality[rows]

    def on_epoch_end(self):
        self.epoch += 1
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.inputs))


def shuffle_blocks(inputs, rng):
    """An augmentation: give the blocks of each video another order, the same in all its groups.

    The order of the blocks is a convention; what the head should learn is the course over time. Decision 0005.

    Args:
        inputs: float32 (batch, num_groups, num_blocks).
        rng: a numpy Generator.
    """
    orders = rng.permuted(np.tile(np.arange(inputs.shape[2]), (len(inputs), 1)), axis=1)
    return np.take_along_axis(inputs, orders[:, None, :], axis=2)


def vary_clips(inputs: np.ndarray, rng: np.random.Generator, *, noise: float) -> np.ndarray:
    """Augment clip qualities: blocks in another order, and noise on each quality.

    The 3D-CNN has seen the training videos, so it is surer of them than it will be of others; with this the head learns
    not to trust single clips. Decision 0005.

    Args:
        inputs: float32 (batch, num_groups, num_blocks), on 1-5.
        rng: draws the order and the noise.
        noise: its standard deviation, on 1-5.

    Returns:
        float32, the shape of `inputs`.
    """
    return shuffle_blocks(inputs, rng) + rng.normal(0, noise, inputs.shape).astype(np.float32)


def predict(head, inputs):
    """Qualities of videos.

    Args:
        head: of `build_lstm_head`, trained.
        inputs: float32 (num_videos, num_groups, input_dim).

    Returns:
        float32 (num_videos,), on 1-5.
    """
    batches = (inputs[start : start + PREDICTED_AT_ONCE] for start in range(0, len(inputs), PREDICTED_AT_ONCE))
    answers = [head(np.asarray(batch, np.float32), training=False) for batch in batches]
    return np.concatenate([keras.ops.convert_to_numpy(answer)[:, 0] for answer in answers])
