"""The regions of a video that the shared trunk computes, chosen for the fewest multiply-adds.

Neighbouring clips can share one region, which also covers the gap between them, or have separate regions. Along
each axis neighbours up to some distance are joined; the plan takes the distances that cost the least.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator

import numpy as np

from nr_vqm.models.network_sizes import Convs
from nr_vqm.video import clips

Spans = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The regions: every time span is combined with every row span and every column span.

    Attributes:
        times: the starts of the grid's groups, divided into spans of at least one.
        rows: the tops of its blocks, likewise.
        columns: the lefts of its blocks, likewise.
        multiply_adds: multiply-adds of the trunk's convolutions over all regions.
    """

    times: Spans
    rows: Spans
    columns: Spans
    multiply_adds: int


def plan(grid: clips.ClipGrid, convs: Convs) -> Plan:
    """Choose the regions with the fewest multiply-adds.

    Args:
        grid: the clip grid of one video.
        convs: of the trunk, as in `network_sizes.smallest_clip`.
    """
    axes = ((grid.starts, grid.clip_frames), (grid.tops, grid.clip_size), (grid.lefts, grid.clip_size))
    choices = []
    for axis, (positions, size) in enumerate(axes):
        divisions = _divisions(positions)
        choices.append([(spans, _axis_sizes(_lengths(spans, size), convs, axis)) for spans in divisions])
    kernel_sizes = _kernel_sizes(convs)
    plans = []
    for combined in itertools.product(*choices):
        (times, rows, columns), sizes = zip(*combined, strict=True)
        multiply_adds = sum(math.prod(factors) for factors in zip(kernel_sizes, *sizes, strict=True))
        plans.append(Plan(times, rows, columns, multiply_adds))
    return min(plans, key=lambda each: each.multiply_adds)  # of equals the first, with the fewest regions


def _kernel_sizes(convs: Convs) -> list[int]:
    """Return the number of values of every convolution's kernel."""
    sizes, channels = [], 3
    for filters, kernel, repeats in convs:
        for _ in range(repeats):
            sizes.append(kernel**3 * channels * filters)
            channels = filters
    return sizes


def _divisions(positions: tuple[int, ...]) -> Iterator[Spans]:
    """Yield divisions of sorted positions into spans, for every distance up to which neighbours can be joined."""
    for joined in sorted({0, *np.diff(positions).tolist()}, reverse=True):
        spans = [[positions[0]]]
        for previous, position in itertools.pairwise(positions):
            if position - previous > joined:
                spans.append([])
            spans[-1].append(position)
        yield tuple(tuple(span) for span in spans)


def _lengths(spans: Spans, size: int) -> list[int]:
    return [span[-1] - span[0] + size for span in spans]


def _axis_sizes(lengths: list[int], convs: Convs, axis: int) -> list[int]:
    """Return the output size of every convolution along one axis (0 time, 1 rows, 2 columns), summed over the spans."""
    remaining, sizes = np.array(lengths), []
    for _, kernel, repeats in convs:
        for _ in range(repeats):
            remaining = remaining - kernel + 1
            sizes.append(int(remaining.sum()))
        if axis:  # a (1, 2, 2) pooling
            remaining = remaining // 2
    return sizes
