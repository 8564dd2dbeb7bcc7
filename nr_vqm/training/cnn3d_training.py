"""Train the 3D-CNN on batches of clips; resume a stopped training."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from nr_vqm.common import atomic_files, devices, jax_processes
from nr_vqm.dataset import clip_batches
from nr_vqm.dataset.batches import as_dataset
from nr_vqm.models import cnn3d, initial_weights
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.training import resumable_fit, training_state, validation


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
    keep: str = "best",
    start_clips: int,
    start_roughness: float,
    seed: int,
    start: Sequence[np.ndarray] | None = None,
    on_epoch: resumable_fit.EpochCallback | None = None,
    on_batch: Callable[[float], None] | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> list[dict]:
    """Train the 3D-CNN and save the network of the best epoch, or of the last one, as the run's cnn3d.keras.

    The complete training state is saved after every epoch, and every `resumable_fit.SAVE_SECONDS` within one. A
    stopped training resumes from it, and its result is identical to an uninterrupted run. The state includes the best
    epoch so far, so a worse network never replaces a better one.

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
        keep: 'best' keeps the network of the epoch with the lowest validation error, 'last' that of the last epoch.
        start_clips: number of clips of the first batch that scale the initial weights.
        start_roughness: `roughness` of `initial_weights.initialise`.
        seed: seed of the initial weights.
        start: initial weights, those of another 3D-CNN with the same `network`; None initialises them.
        on_epoch: progress callback, called in the first process after every epoch with the epoch's row of the history
            and the estimated seconds left.
        on_batch: progress callback, called in the first process after every batch with the finished share of the epoch.
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
    network_file = resumable_fit.SavedNetwork(
        path=run.cnn3d,
        save=lambda trained: save_network(trained, run, network=network),
        sha256=lambda: atomic_files.sha256(run.cnn3d) if run.cnn3d.exists() else None,
    )
    saver = resumable_fit.SaveTraining(
        run, state, train,
        validate=lambda trained: validation.validate(trained, val, workers=workers),
        network=network_file, unit="clips", epochs=epochs, patience=patience, keep=keep,
        on_epoch=on_epoch, on_batch=on_batch, stop_requested=stop_requested,
    )  # fmt: skip
    with devices.explain_out_of_memory(_too_large(train.batch_size, accumulate)):
        with strategy.scope():
            if state.is_started:
                model = keras.models.load_model(state.weights_path(run))
                state.restore_seeds(model)
            else:
                schedule = cosine_schedule(learning_rate, len(train), epochs=epochs, warmup_epochs=warmup_epochs)
                model = cnn3d.build_cnn3d(**network, dtype=dtype)
                if start is None:
                    initial_weights.initialise(model, train[0][0][:start_clips], roughness=start_roughness, seed=seed)
                else:
                    model.set_weights(start)
                compile_cnn3d(model, schedule, accumulate=accumulate)
        return resumable_fit.fit(model, lambda first: as_dataset(train, workers=workers, first=first), saver)


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
    adam.build(model.trainable_variables)  # else TensorFlow traces the first step twice, to create the variables


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


def save_network(model: keras.Model, run: RunFolder, *, network: dict[str, Any]) -> None:
    """Save the network in the run atomically, as float32 and without the optimizer."""
    with jax_processes.without_others(), atomic_files.replace_when_complete(run.cnn3d) as temporary:
        converted = cnn3d.build_cnn3d(**network, dtype="float32")
        converted.set_weights(model.get_weights())
        converted.save(temporary)
