"""python -m benchmarks.train_step: share of the device's peak that a training step reaches, and overhead of the loop.

The peak is the fastest plain matrix product, measured in the same run and precision; the step counts the multiply-adds
of the forward and backward pass. Runs on TensorFlow, or on JAX with KERAS_BACKEND=jax; on a GPU if there is one.
"""

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nr_vqm import command_line, presets
from nr_vqm.common import atomic_files, devices
from nr_vqm.dataset import clip_batches, manifest, shards
from nr_vqm.dataset.batches import as_dataset
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.video import clips

PAPER_CLIPS = 224_640 * 50  # KoNViD-1k's training part, 50 epochs
PAPER_HOURS = 5 * 24  # on two GPUs; paper, section 4


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    parser = command_line.new_parser("python -m benchmarks.train_step", __doc__)
    command_line.add_preset_options(parser)
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    args = parser.parse_args(argv)
    devices.start(hide_startup_lines=True)
    rounds, steps = (1, 3) if args.quick else (5, 20)
    figures = measure(presets.get_preset(args.preset, overrides=args.overrides), rounds=rounds, steps=steps)
    limits = {"peak_share": 0.7, "loop_headroom": 0.95}
    command_line.print_figures(figures, limits=limits, json_path=args.json)


def measure(preset: presets.Preset, *, rounds: int, steps: int) -> dict[str, float]:
    """Measure the peak, the bare step and the whole loop in turn: {figure: median over the rounds}."""
    dtype = devices.best_precision()
    with tempfile.TemporaryDirectory() as folder:
        batches = make_batches(folder, preset, num_batches=steps)
        model = make_model(preset, dtype)
        operations, rows = count_operations(model) * preset.batch_size, []
        for number in range(rounds + 1):
            peak = matrix_peak(dtype)
            step, loop = step_seconds(model, batches, steps), loop_seconds(model, batches, folder) / len(batches)
            if number:  # the first round compiles
                row = {"peak_tflops": peak, "step_seconds": step, "peak_share": operations / step / 1e12 / peak}
                rows.append(row | {"loop_overhead": loop / step - 1, "clips_per_second": preset.batch_size / loop})
    figures = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    figures["loop_headroom"] = 1 - figures["loop_overhead"]
    if preset.name != "paper":
        return figures
    hours = PAPER_CLIPS / figures["clips_per_second"] / 3600
    return figures | {"konvid1k_50_epochs_hours": hours, "paper_gpu_hours_over_ours": 2 * PAPER_HOURS / hours}


def make_batches(folder: str, preset: presets.Preset, *, num_batches: int) -> clip_batches.ClipBatches:
    """Create batches from shards of noise, which LZ4 cannot compress: reading takes at least as long as for video."""
    clip = (preset.clip_frames, preset.clip_size)
    video = manifest.Video(video_id="noise", path="", content="", mos=3, mos_low=1, mos_high=5)
    rng, num_clips = np.random.default_rng(0), num_batches * preset.batch_size
    grid = clips.ClipGrid(tuple(range(num_clips)), (0,), (0,), clip[0], clip[1], height=clip[1], width=clip[1])
    groups = (rng.integers(0, 256, (1, clip[0], clip[1], clip[1], 3), np.uint8) for _ in range(num_clips))
    with shards.writing(DataFolder(folder).shard(0), clip_frames=clip[0], clip_size=clip[1]) as add:
        add(video, grid, groups)
    atomic_files.write_json(f"{folder}/index.json", {"shards": [""]})
    table = shards.read_table(folder)
    quality = rng.uniform(1, 5, num_clips).astype(np.float32)
    rows = np.arange(num_clips)
    return clip_batches.ClipBatches(table, rows, quality, batch_size=preset.batch_size, shuffle_seed=1, mirror=True)


def make_model(preset: presets.Preset, dtype: str) -> Any:
    """Build the 3D-CNN and compile it for training."""
    from nr_vqm.models import cnn3d
    from nr_vqm.training import cnn3d_training

    model = cnn3d.build_cnn3d(**preset.network, dtype=dtype)
    cnn3d_training.compile_cnn3d(model, preset.learning_rate, accumulate=preset.accumulate)
    return model


def count_operations(model: Any) -> int:
    """Count the additions and multiplications of one clip: forward pass, gradients of the weights and of the inputs.

    The inputs of the first convolution are the pixels, for which no gradient is computed.
    """
    kernels = [layer for layer in model.layers if hasattr(layer, "kernel")]
    products = [math.prod(layer.output.shape[1:-1]) * math.prod(layer.kernel.shape) for layer in kernels]
    return 2 * (3 * sum(products) - products[0])


def matrix_peak(dtype: str) -> float:
    """Measure the TFLOP/s of the fastest plain matrix product."""
    from keras import ops

    precision = "bfloat16" if "bfloat16" in dtype else "float32"
    best = 0.0
    for size in (2048, 4096) if not _on_gpu() else (8192, 16384):
        one = ops.cast(np.random.default_rng(0).standard_normal((size, size), np.float32), precision)
        product = _compiled(ops.matmul)
        wait(product(one, one))
        count = 0
        started = time.perf_counter()
        while time.perf_counter() < started + 1:
            result = product(one, one)
            wait(result)
            count += 1
        best = max(best, 2 * size**3 * count / (time.perf_counter() - started) / 1e12)
    return best


def _on_gpu() -> bool:
    import keras

    return any(not name.startswith("cpu") for name in keras.distribution.list_devices())


def _compiled(function: Callable) -> Callable:
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function)


def wait(tensor: Any) -> np.ndarray:
    """Wait until a tensor is computed: GPUs compute asynchronously."""
    return np.asarray(tensor[:1, :1])


def step_seconds(model: Any, batches: clip_batches.ClipBatches, steps: int) -> float:
    """Measure the seconds of one training step on a batch that is in the device's memory."""
    from keras import ops

    pixels, quality, weight = (ops.convert_to_tensor(part) for part in batches[0])
    started = time.perf_counter()
    for _ in range(steps):
        model.train_on_batch(pixels, quality, weight)
    return (time.perf_counter() - started) / steps


def loop_seconds(model: Any, batches: clip_batches.ClipBatches, folder: str) -> float:
    """Measure the seconds of an epoch's batches in `fit`, read from the shards and with the callback of training."""
    from nr_vqm.training import resumable_fit, training_state

    class WithoutSaving(resumable_fit.SaveTraining):
        def on_epoch_end(self, epoch: int, logs: dict) -> None:
            """Skip validation and saving: a real epoch takes hours."""

    run, state = RunFolder(folder), training_state.TrainingState()
    unsaved = resumable_fit.SavedNetwork(run.cnn3d, save=lambda _: None, sha256=lambda: None)
    callback = WithoutSaving(
        run, state, batches, validate=lambda _: {}, network=unsaved, unit="clips", epochs=1, patience=1,
        on_epoch=None, stop_requested=lambda: False,
    )  # fmt: skip
    dataset = as_dataset(batches, workers=devices.reading_threads())
    started = time.perf_counter()
    model.fit(dataset, verbose=0, shuffle=False, callbacks=[callback])
    return time.perf_counter() - started


if __name__ == "__main__":
    command_line.run(main)
