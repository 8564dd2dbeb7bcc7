"""python -m benchmarks.train_variants: forms of the first convolution and of the batch that might train faster.

oneDNN's convolutions are slow with few channels and filters. Each variant is compared with the network as it is, in
turn, on one thread of the CPU, by processor seconds: `speed` is the seconds of the network for a clip over those of the
variant. `difference` is the largest difference of the clip qualities of both, for variants of the same function.
`share` is the share of the peak matrix product, with the operations of the network as it is.
"""

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import train_step
from nr_vqm import command_line, presets
from nr_vqm.common import devices

PEAK_SIZE = 2048  # rows of the matrices of the peak product
KERNEL = 3  # frames, rows and columns of the first convolution

Batch = tuple[np.ndarray, np.ndarray]  # clips, MOS


def main(argv: list[str] | None = None) -> None:
    """Run the command; see `--help`."""
    args = _parser().parse_args(argv)
    os.environ.update(TF_NUM_INTRAOP_THREADS="1", OMP_NUM_THREADS="1")
    devices.start("cpu", hide_startup_lines=True)
    preset = presets.get_preset(args.preset, overrides=args.overrides)
    dtype = devices.best_precision()
    base = train_step.make_model(preset, dtype)
    work, peak = train_step.count_operations(base) * preset.batch_size, matrix_peak(dtype)
    figures = {"peak_gflops_of_a_thread": peak / 1e9}
    for name in args.variants:
        found = compare(base, name, preset, rounds=args.rounds, steps=args.steps)
        if found:
            network, variant = found.pop("network_seconds"), found.pop("seconds")
            figures.setdefault("share", work / network / peak)
            found |= {"speed": network / variant, "share": work / variant / peak}
        figures |= {f"{figure}_{name}": value for figure, value in found.items()}
    command_line.print_figures(figures, limits={}, json_path=args.json)


def compare(base: Any, name: str, preset: presets.Preset, *, rounds: int, steps: int) -> dict[str, float]:
    """Measure a variant and the network in turn.

    Args:
        base: the compiled 3D-CNN.
        name: of the variant, a key of VARIANTS or BATCHES.
        preset: of the network.
        rounds: number of measurements, of which the medians count.
        steps: training steps of each measurement.

    Returns:
        Processor seconds of the network and of the variant for the clips of the preset's batch, and the difference of a
        variant of the same function; nothing if TensorFlow cannot compute the variant.
    """
    multiple, make = BATCHES.get(name, 1), VARIANTS.get(name)
    batch, large = make_batch(preset, 1), make_batch(preset, multiple)
    model = make(base) if make else base
    seconds: tuple[list[float], list[float]] = ([], [])
    found: dict[str, float] = {}
    try:
        if make not in (None, frozen_first):
            one, other = (network.predict_on_batch(batch[0]) for network in (base, model))
            found["difference"] = float(np.abs(one - other).max())
        for count in (1, *[steps] * rounds):  # the first round compiles
            seconds[0].append(step_seconds(base, batch, count))
            seconds[1].append(step_seconds(model, large, count) / multiple)
    except Exception as error:
        if not type(error).__module__.startswith("tensorflow"):
            raise
        print(f"{name}: not possible: {' '.join(str(error).split())[-300:]}", flush=True)
        return {}
    ratios = [one / two for one, two in zip(*seconds, strict=True)][1:]
    print(f"{name}: {len(ratios)} rounds, {min(ratios):.3f} to {max(ratios):.3f} times as fast", flush=True)
    network, variant = (statistics.median(values[1:]) for values in seconds)
    return found | {"network_seconds": network, "seconds": variant}


def make_batch(preset: presets.Preset, multiple: int) -> Batch:
    """Return a batch of noise; its size is a multiple of the preset's."""
    rng, count = np.random.default_rng(0), multiple * preset.batch_size
    clip = (preset.clip_frames, preset.clip_size, preset.clip_size, 3)
    return rng.integers(0, 256, (count, *clip), np.uint8), rng.uniform(1, 5, count).astype(np.float32)


def step_seconds(model: Any, batch: Batch, steps: int) -> float:
    """Return the processor seconds of a training step."""
    started = time.process_time()
    for _ in range(steps):
        model.train_on_batch(*batch)
    return (time.process_time() - started) / steps


def matrix_peak(dtype: str) -> float:
    """Return the operations per processor second of the largest of five plain matrix products."""
    from keras import ops

    one = ops.cast(np.ones((PEAK_SIZE, PEAK_SIZE), np.float32), "bfloat16" if "bfloat16" in dtype else "float32")
    seconds = []
    for _ in range(6):
        started = time.process_time()
        train_step.wait(ops.matmul(one, one))
        seconds.append(time.process_time() - started)
    return 2 * PEAK_SIZE**3 / min(seconds)


def rebuilt(
    base: Any,
    *,
    before: Callable[[Any], Any] | None = None,
    changes: dict[str, dict[str, Any]] | None = None,
    channels_first: bool = False,
    weights: Callable[[list[np.ndarray]], list[np.ndarray]] = list,
) -> Any:
    """Build a variant of the network, compiled for training.

    Args:
        base: the compiled 3D-CNN.
        before: applied to what the first convolution reads, (batch, frames, rows, columns, channels).
        changes: changed settings of layers by name.
        channels_first: compute the trunk with the channels before frames, rows and columns.
        weights: converts the weights of the network to those of the variant.
    """
    import keras

    from nr_vqm.training import cnn3d_training

    pixels = x = keras.Input(base.input.shape[1:], dtype="uint8")
    for layer in base.layers[1:]:
        config = layer.get_config() | (changes or {}).get(layer.name, {})
        if layer.name == "conv1a":
            x = before(x) if before else x
            x = keras.layers.Permute((4, 1, 2, 3), dtype=x.dtype)(x) if channels_first else x
        if layer.name == "flatten" and channels_first:
            x = keras.layers.Permute((2, 3, 4, 1), dtype=x.dtype)(x)
        if channels_first and "data_format" in config and layer.name != "flatten":
            config["data_format"] = "channels_first"
        x = type(layer).from_config(config)(x)
    model = keras.Model(pixels, x)
    model.set_weights(weights(base.get_weights()))
    cnn3d_training.compile_cnn3d(model, float(base.optimizer.learning_rate), accumulate=1)
    return model


def input_16(base: Any) -> Any:
    """Read 16 channels, of which 13 are zero."""
    from keras import ops

    def pad(weights: list[np.ndarray]) -> list[np.ndarray]:
        return [np.pad(weights[0], [(0, 0)] * 3 + [(0, 13), (0, 0)]), *weights[1:]]

    def add_zeros(x: Any) -> Any:
        zeros = ops.zeros_like(x)
        # TensorFlow would fuse a padding with the convolution, and ignore that of the channels.
        return ops.concatenate([x, *[zeros] * 4, zeros[..., :1]], axis=-1)

    return rebuilt(base, before=add_zeros, weights=pad)


def filters_32(base: Any) -> Any:
    """Compute 32 filters in the first convolution; the additional ones are zero, and their gradients too."""
    layer = base.get_layer("conv1a")
    more = 32 - layer.filters

    def pad(weights: list[np.ndarray]) -> list[np.ndarray]:
        kernel, bias, following, *others = weights
        widened = np.pad(kernel, [(0, 0)] * 4 + [(0, more)]), np.pad(bias, (0, more))
        return [*widened, np.pad(following, [(0, 0)] * 3 + [(0, more), (0, 0)]), *others]

    return rebuilt(base, changes={"conv1a": {"filters": 32}}, weights=pad)


def frames_as_channels(base: Any) -> Any:
    """Give the first convolution the three frames of its kernel as channels, nine instead of three."""
    from keras import ops

    def stack(x: Any) -> Any:
        count = x.shape[1] - KERNEL + 1
        return ops.concatenate([x[:, start : start + count] for start in range(KERNEL)], axis=-1)

    def convert(weights: list[np.ndarray]) -> list[np.ndarray]:
        kernel = weights[0].transpose(1, 2, 0, 3, 4)
        return [kernel.reshape(1, KERNEL, KERNEL, -1, kernel.shape[-1]), *weights[1:]]

    return rebuilt(base, before=stack, changes={"conv1a": {"kernel_size": (1, KERNEL, KERNEL)}}, weights=convert)


def one_product(base: Any) -> Any:
    """Compute the first convolution as one matrix product of 81 values for each output pixel."""
    from keras import ops

    def gather(x: Any) -> Any:
        frames, rows, columns = (size - KERNEL + 1 for size in x.shape[1:4])
        return ops.concatenate(
            [
                x[:, t : t + frames, row : row + rows, column : column + columns]
                for t, row, column in itertools.product(range(KERNEL), repeat=3)
            ],
            axis=-1,
        )

    def convert(weights: list[np.ndarray]) -> list[np.ndarray]:
        return [weights[0].reshape(1, 1, 1, -1, weights[0].shape[-1]), *weights[1:]]

    return rebuilt(base, before=gather, changes={"conv1a": {"kernel_size": (1, 1, 1)}}, weights=convert)


def channels_first(base: Any) -> Any:
    """Compute the trunk with the channels before frames, rows and columns (NCDHW)."""
    return rebuilt(base, channels_first=True)


def frozen_first(base: Any) -> Any:
    """Do not train the first convolution, which changes the result."""
    return rebuilt(base, changes={"conv1a": {"trainable": False}})


VARIANTS = {
    one.__name__: one
    for one in (input_16, filters_32, frames_as_channels, one_product, channels_first, frozen_first)
}  # fmt: skip
BATCHES = {"batch_x2": 2, "batch_x4": 4}


def _parser() -> argparse.ArgumentParser:
    parser = command_line.new_parser("python -m benchmarks.train_variants", __doc__)
    command_line.add_preset_options(parser)
    names = [*VARIANTS, *BATCHES]
    parser.add_argument("--variants", nargs="+", choices=names, default=names, help="which to compare (all)")
    parser.add_argument("--rounds", type=command_line.positive, default=5, help="measurements of each")
    parser.add_argument("--steps", type=command_line.positive, default=4, help="training steps of a measurement")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    return parser


if __name__ == "__main__":
    command_line.run(main)
