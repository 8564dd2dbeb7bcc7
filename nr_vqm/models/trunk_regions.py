"""Which parts of a video the shared trunk computes, chosen by counted multiply-adds.

Clips that overlap can share a region or be computed apart: sharing computes what lies between them too. Along
each axis neighbours are joined up to some distance; the plan takes the distances that cost the least.
"""

import dataclasses
import itertools
import math

import numpy as np
from keras import layers


@dataclasses.dataclass(frozen=True)
class Plan:
    """The regions: every time span is combined with every row span and every column span.

    Attributes:
        times, rows, columns: the grid's starts, tops and lefts, divided into spans; each at least one.
        multiply_adds: of the trunk's convolutions over all regions.
    """

    times: tuple[tuple[int, ...], ...]
    rows: tuple[tuple[int, ...], ...]
    columns: tuple[tuple[int, ...], ...]
    multiply_adds: int


def plan(grid, trunk_layers):
    """The cheapest Plan.

    Args:
        grid: clips.ClipGrid.
        trunk_layers: as `cnn3d.trunk_layers` gives them.
    """
    axes = ((grid.starts, grid.clip_frames), (grid.tops, grid.clip_size), (grid.lefts, grid.clip_size))
    choices = []
    for axis, (places, size) in enumerate(axes):
        divisions = list(_divisions(places))
        choices.append([(one, _axis_sizes(_lengths(one, size), trunk_layers, axis)) for one in divisions])
    each = [math.prod(layer.kernel.shape) for layer in trunk_layers if isinstance(layer, layers.Conv3D)]
    plans = []
    for combined in itertools.product(*choices):
        spans, sizes = zip(*combined, strict=True)
        plans.append(Plan(*spans, sum(math.prod(of_layer) for of_layer in zip(each, *sizes, strict=True))))
    return min(plans, key=lambda one: one.multiply_adds)  # the first of equals: the one with fewest regions


def clip_multiply_adds(model):
    """Multiply-adds of the 3D-CNN on one clip: (trunk, fully connected layers)."""
    trunk = head = 0
    for layer in model.layers:
        if isinstance(layer, layers.Conv3D):
            trunk += math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:4])
        elif isinstance(layer, layers.Dense):
            head += math.prod(layer.kernel.shape)
    return trunk, head


def _divisions(places):
    """Ways to divide sorted places into spans: neighbours joined up to the largest distance, the next, ..., none."""
    for joined in sorted({0, *np.diff(places).tolist()}, reverse=True):
        spans = [[places[0]]]
        for before, place in itertools.pairwise(places):
            if place - before > joined:
                spans.append([])
            spans[-1].append(place)
        yield tuple(tuple(span) for span in spans)


def _lengths(spans, size):
    return [span[-1] - span[0] + size for span in spans]


def _axis_sizes(lengths, trunk_layers, axis):
    """Output sizes of every convolution along one axis (0 time, 1 rows, 2 columns), summed over the spans."""
    lengths, sizes = np.array(lengths), []
    for layer in trunk_layers:
        if isinstance(layer, layers.Conv3D):
            lengths = lengths - layer.kernel_size[axis] + 1
            sizes.append(int(lengths.sum()))
        elif isinstance(layer, layers.MaxPooling3D):
            lengths = lengths // layer.pool_size[axis]
    return sizes
