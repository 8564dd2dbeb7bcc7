"""Sizes of the 3D-CNN, computed without TensorFlow: its smallest clip, number of weights and activations."""

import math
import reprlib

LETTERS = "abcdefgh"  # suffixes of a stage's convolutions: conv3a, conv3b, ...
MAX_LAYERS = 100
MAX_VALUES = 2_000_000_000  # weights of a network, or one layer's activations for a clip; `paper` has 190 million
MAX_CLIPS = 100_000  # per video; the paper's grid has 1,024

Convs = tuple[tuple[int, int, int], ...]


def smallest_clip(convs: Convs) -> tuple[int, int]:
    """Return the smallest clip of a network: the receptive field of one value after the last pooling.

    Args:
        convs: (filters, kernel, repeats) for each stage of 'valid' convolutions, a (1, 2, 2) pooling after each.

    Returns:
        (frames, height and width in pixels).

    >>> smallest_clip(((3, 3, 1), (4, 2, 2)))
    (5, 10)
    """
    frames = size = 1
    for _, kernel, repeats in reversed(convs):
        lost = (kernel - 1) * repeats
        frames, size = frames + lost, 2 * size + lost
    return frames, size


def check_network(*, clip_frames: int, clip_size: int, convs: Convs, fc_dims: tuple[int, ...]) -> None:
    """Raise ValueError if no network can be built with these sizes, or if its file would be refused when loaded.

    Args:
        clip_frames: clip length in frames.
        clip_size: clip height and width in pixels.
        convs: as in `smallest_clip`.
        fc_dims: widths of the fully connected layers.

    Raises:
        ValueError: with the required size, the given one and the setting to change.
    """
    if not convs or not fc_dims:
        raise ValueError(
            "The network needs at least one stage of convolutions and one fully connected layer. "
            f"Received: convs={reprlib.repr(convs)}, fc_dims={reprlib.repr(fc_dims)}."
        )
    repeats = max(repeats for _, _, repeats in convs)
    if repeats > len(LETTERS):
        raise ValueError(
            f"A stage of convs has at most {len(LETTERS)} repeats of its convolution, found {repeats}. "
            "Use fewer repeats, or more stages."
        )
    # Input, scaling, flatten, output and its scaling; one pooling per stage; one dropout per fully connected layer.
    num_layers = 5 + len(convs) + sum(repeats for _, _, repeats in convs) + 2 * len(fc_dims)
    if num_layers > MAX_LAYERS:
        raise ValueError(
            f"A network has at most {MAX_LAYERS} layers, found {num_layers}. Use fewer stages or repeats in convs, or "
            "fewer fc_dims."
        )
    for name, found, needed, unit in zip(
        ("clip_frames", "clip_size"), (clip_frames, clip_size), smallest_clip(convs), ("frames", "pixels"), strict=True
    ):
        if found < needed:
            raise ValueError(
                f"The convolutions and poolings of convs={reprlib.repr(convs)} need clips of at least {needed} {unit}, "
                f"found {name}={found}. Set {name}={needed} or more, or use fewer or smaller convolutions."
            )
    _check_memory(*_layer_sizes(clip_frames, clip_size, convs, fc_dims))


def trunk_shapes(frames: int, height: int, width: int, convs: Convs) -> list[tuple[int, int, int, int]]:
    """Return the shapes (frames, rows, columns, channels) of the pixels and of the output of every trunk layer.

    Args:
        frames, height, width: size of the input, in frames and pixels.
        convs: as in `smallest_clip`.

    >>> trunk_shapes(7, 24, 26, ((3, 3, 1),))
    [(7, 24, 26, 3), (5, 22, 24, 3), (5, 11, 12, 3)]
    """
    shapes = [(frames, height, width, 3)]
    for filters, kernel, repeats in convs:
        for _ in range(repeats):
            frames, height, width = (size - kernel + 1 for size in (frames, height, width))
            shapes.append((frames, height, width, filters))
        height, width = height // 2, width // 2
        shapes.append((frames, height, width, filters))
    return shapes


def _layer_sizes(
    clip_frames: int, clip_size: int, convs: Convs, fc_dims: tuple[int, ...]
) -> tuple[list[int], list[int]]:
    """Return (number of output values of every layer for one clip, number of weights of every layer)."""
    outputs = [math.prod(shape) for shape in trunk_shapes(clip_frames, clip_size, clip_size, convs)]
    weights, channels = [], 3
    for width, kernel, repeats in convs:
        for _ in range(repeats):
            weights.append((kernel**3 * channels + 1) * width)
            channels = width
    for width in (*fc_dims, 1):
        weights.append((outputs[-1] + 1) * width)
        outputs.append(width)
    return outputs, weights


def _check_memory(outputs: list[int], weights: list[int]) -> None:
    if max(outputs) > MAX_VALUES or sum(weights) > MAX_VALUES:
        raise ValueError(
            f"A network has at most {MAX_VALUES:,} weights, and as many values in one layer for one clip, found "
            f"{sum(weights):,} weights and {max(outputs):,} values. Use smaller clips (clip_frames, clip_size) or "
            "narrower layers (convs, fc_dims)."
        )


def check_grid(*, num_groups: int, block_grid: tuple[int, int]) -> None:
    """Raise ValueError if a grid has more clips than one video may have.

    Args:
        num_groups: positions in time.
        block_grid: positions in the frame, as (rows, columns).

    Raises:
        ValueError: there are more than MAX_CLIPS clips.
    """
    clips = num_groups * math.prod(block_grid)
    if clips > MAX_CLIPS:
        rows, columns = block_grid
        raise ValueError(
            f"A grid has at most {MAX_CLIPS:,} clips of one video, found {clips:,}: {num_groups} groups of "
            f"{rows} x {columns} blocks. Use fewer groups or blocks."
        )
