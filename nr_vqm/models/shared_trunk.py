"""Run the 3D-CNN on all clips of a video with the convolutions computed once per frame and shared by the clips.

The result is exact, not an approximation: with 'valid' padding and block corners on multiples of the product of the
poolings, the trunk output of a clip is a window of the trunk output of a larger region. Along time, a convolution
needs only the last frames of its previous input. The trunk therefore runs over chunks of frames and keeps these last
frames as its state; each clip reads its window.
"""

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from nr_vqm.common import devices
from nr_vqm.models import network_sizes, trunk_regions
from nr_vqm.video import clips

CHUNK_PIXELS = 4_000_000  # pixels per chunk: limits memory; no value makes the trunk compute anything twice
CHUNK_FRAMES = (4, 32)  # minimum and maximum frames of a chunk: short ones copy much, longer ones are not faster
ACTIVATION_BYTES = 4  # of a filter and pixel: measured with `python -m benchmarks.memory`, decision 0011
LARGEST = 1e6  # of an output; those of trained networks are below 100, and the heads would overflow far beyond it
FC_BATCH = 256  # clips per call of the fully connected layers: their weights are read once per call


@dataclasses.dataclass(frozen=True)
class ClipOutputs:
    """Outputs of the 3D-CNN for one video, the inputs of the heads.

    Attributes:
        group_features: float32 (num_groups, fc_dims[-1]), the mean features over the blocks of each group.
        clip_quality: float32 (num_groups, num_blocks), on 1-5; blocks row by row.

    Raises:
        ValueError: a value is not a finite number, or its magnitude is above LARGEST.
    """

    group_features: np.ndarray
    clip_quality: np.ndarray

    def __post_init__(self) -> None:
        outputs = (self.group_features, self.clip_quality)
        if not all(np.isfinite(one).all() for one in outputs):
            raise ValueError("The 3D-CNN must give finite numbers, this one gave NaN or infinity. Train the run again.")
        largest = max(np.abs(one).max(initial=0) for one in outputs)
        if largest > LARGEST:
            raise ValueError(
                f"The 3D-CNN must give numbers within +-{LARGEST:g}, this one gave {largest:g}. Train the run again."
            )


# Waits for a computation of the trunk; returns (trunk output, new states).
Finish = Callable[[], tuple[np.ndarray, list[Any]]]


class Engine(Protocol):
    """Computes the two parts of a 3D-CNN. States are arrays of the engine's own type.

    Attributes:
        clip_frames, clip_size: length in frames, and height and width in pixels, of one clip.
        convs: the convolutions, as in `network_sizes.smallest_clip`.
        weight_copies: bytes of the weights that `run_fully_connected` converts to another precision at each call.
    """

    clip_frames: int
    clip_size: int
    convs: network_sizes.Convs
    weight_copies: int

    def zeros(self, shape: tuple[int, ...]) -> Any:
        """Return a state of zeros."""

    def start_trunk(self, pixels: np.ndarray, states: list[Any]) -> Finish:
        """Start to run the trunk over the next frames of a video; see `cnn3d.streaming_trunk`."""

    def run_fully_connected(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute (features, clip quality), float32 (batch, fc_dims[-1]) and (batch, 1), of outputs (batch, n)."""


class SharedTrunk:
    """A 3D-CNN for all clips of a video of any size.

    Attributes:
        convs: its convolutions, as in `network_sizes.smallest_clip`.
        stride: block corners are multiples of it, in pixels.
        window_frames: trunk output frames of one clip.
        window_size: height and width of the trunk output of one clip.
    """

    def __init__(self, engine: Engine) -> None:
        """Take the sizes of the network from the engine."""
        self.convs = engine.convs
        self.stride = 2 ** len(engine.convs)
        shapes = network_sizes.trunk_shapes(engine.clip_frames, engine.clip_size, engine.clip_size, engine.convs)
        self.window_frames, self.window_size, _, _ = shapes[-1]
        self._delay = engine.clip_frames - self.window_frames  # input frames before the first output
        self._engine = engine

    def needed_bytes(self, width: int, height: int) -> float:
        """Estimate the memory to compute the 3D-CNN over frames of this size, in bytes.

        That is the activations of all convolutions over a chunk of frames, and the copies of weights.
        """
        stages = enumerate(self.convs)  # each pooling leaves a quarter of the pixels
        per_pixel = ACTIVATION_BYTES * sum(filters * repeats / 4**stage for stage, (filters, _, repeats) in stages)
        return per_pixel * min(CHUNK_FRAMES[1] * width * height, CHUNK_PIXELS) + self._engine.weight_copies

    def run(self, frames: Iterable[np.ndarray], grid: clips.ClipGrid) -> ClipOutputs:
        """Compute the clip qualities and the mean features of every group of one video.

        Args:
            frames: iterable of uint8 RGB, shape (height, width, 3).
            grid: the clip grid, planned with this network's clip size and `stride`.

        Returns:
            The inputs of the heads.

        Raises:
            ValueError: the frames end before the last group does, or the device has too little memory.
        """
        with devices.explain_out_of_memory(
            f"The device's memory does not hold the network over frames of {grid.width} x {grid.height}. Free what "
            "other processes use of it, or compute on the processor: --device cpu."
        ):
            return self._run(frames, grid)

    def _run(self, frames: Iterable[np.ndarray], grid: clips.ClipGrid) -> ClipOutputs:
        plan = trunk_regions.plan(grid, self.convs)
        stacks = _stacks(plan, grid)
        num_groups, num_blocks = len(grid.starts), len(grid.corners)
        batch, outputs, windows = max(1, FC_BATCH // num_blocks), [], None
        for number, (maps, start) in enumerate(self._groups(frames, grid, plan, stacks), start=1):
            if windows is None:  # one array for all batches: new memory costs more than the copying
                shape = (batch, num_blocks, self.window_frames, self.window_size, self.window_size, maps[0].shape[-1])
                windows = np.empty(shape, maps[0].dtype)
            self._cut_windows(maps, start, stacks, windows[(number - 1) % batch])
            if number % batch == 0 or number == num_groups:
                outputs.append(self._group_outputs(windows[: (number - 1) % batch + 1]))
        group_features, clip_quality = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
        return ClipOutputs(group_features=group_features, clip_quality=clip_quality)

    def _group_outputs(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute (mean features, clip qualities) of some groups from the trunk outputs of their clips."""
        groups, blocks = windows.shape[:2]
        features, quality = self._engine.run_fully_connected(windows.reshape(groups * blocks, -1))
        with np.errstate(over="ignore", invalid="ignore"):  # ClipOutputs refuses such values
            means = features.reshape(groups, blocks, -1).mean(axis=1)
        return means, quality.reshape(groups, blocks)

    def _groups(
        self, frames: Iterable[np.ndarray], grid: clips.ClipGrid, plan: trunk_regions.Plan, stacks: "list[_Stack]"
    ) -> Iterator[tuple[list[np.ndarray], int]]:
        """Yield (recent trunk outputs of each stack, the first output frame of the group in them) for each group."""
        pixels = sum(len(stack) * stack[0].height * stack[0].width for stack in stacks)
        chunk_frames = int(np.clip(CHUNK_PIXELS // pixels, *CHUNK_FRAMES))
        cuts = (_cut_regions(clips.pad_frame(frame, grid), stacks) for frame in frames)
        for starts, span_cuts in _time_spans(cuts, plan, grid):
            waiting, first = deque(starts), starts[0]  # `first` is the time of the first recent output
            recent: list[np.ndarray] = []
            for new in self._maps(span_cuts, chunk_frames):
                recent = [np.concatenate(two, axis=1) for two in zip(recent, new, strict=True)] if recent else new
                end = first + recent[0].shape[1]
                while waiting and waiting[0] + self.window_frames <= end:
                    yield recent, waiting.popleft() - first
                keep = min(self.window_frames - 1, end - first)
                first, recent = end - keep, [maps[:, maps.shape[1] - keep :] for maps in recent]
            if waiting:
                needed = grid.starts[-1] + grid.clip_frames
                raise ValueError(f"The clip grid needs {needed} frames, the video ended before.")

    def _cut_windows(self, maps: list[np.ndarray], start: int, stacks: "list[_Stack]", out: np.ndarray) -> None:
        """Copy the window of every block, starting at frame `start` of the maps, to out[block]."""
        size, times = self.window_size, slice(start, start + self.window_frames)
        for stack, stack_maps in zip(stacks, maps, strict=True):
            for region, region_maps in zip(stack, stack_maps, strict=True):
                for block, (top, left) in region.blocks:
                    row, column = (top - region.top) // self.stride, (left - region.left) // self.stride
                    out[block] = region_maps[times, row : row + size, column : column + size]

    def _maps(self, cuts: "Iterator[_Cut]", chunk_frames: int) -> Iterator[list[np.ndarray]]:
        """Yield the trunk outputs of every chunk: one (regions, frames, rows, columns, channels) per stack."""
        chunk = list(itertools.islice(cuts, max(chunk_frames, self._delay + 1)))  # enough for an output of every layer
        states: list[list[Any]] = []
        while len(chunk) > (0 if states else self._delay):
            stacks = [np.stack(frames, axis=1) for frames in zip(*chunk, strict=True)]
            states = states or [self._initial_state(stack.shape) for stack in stacks]
            finishes = [self._engine.start_trunk(x, state) for x, state in zip(stacks, states, strict=True)]
            try:
                chunk = list(itertools.islice(cuts, chunk_frames))  # read while the engine computes
            finally:
                outputs = [finish() for finish in finishes]
            states = [state for _, state in outputs]
            yield [maps for maps, _ in outputs]

    def _initial_state(self, shape: tuple[int, ...]) -> list[Any]:
        """Return the state before the first frame, for pixels of this shape: zero frames for each convolution."""
        regions, _, rows, columns, channels = shape
        states = []
        for filters, kernel, repeats in self.convs:
            for _ in range(repeats):
                if kernel > 1:
                    states.append(self._engine.zeros((regions, 0, rows, columns, channels)))
                rows, columns, channels = rows - kernel + 1, columns - kernel + 1, filters
            rows, columns = rows // 2, columns // 2
        return states


@dataclasses.dataclass(frozen=True)
class _Region:
    """A rectangle of the frame and the blocks inside it, each (number, (top, left))."""

    top: int
    left: int
    height: int
    width: int
    blocks: tuple[tuple[int, tuple[int, int]], ...]


_Stack = list[_Region]  # regions of the same shape
_Cut = list[np.ndarray]  # the pixels of all regions in one frame, an array per stack


def _stacks(plan: trunk_regions.Plan, grid: clips.ClipGrid) -> list[_Stack]:
    """Group the regions of a plan by shape: those of one shape are computed as one batch."""
    numbers: dict[tuple[int, int], list[int]] = {corner: [] for corner in grid.corners}
    for number, corner in enumerate(grid.corners):
        numbers[corner].append(number)  # blocks repeat in a small frame
    stacks: dict[tuple[int, int], _Stack] = {}
    for tops, lefts in itertools.product(plan.rows, plan.columns):
        corners = dict.fromkeys(itertools.product(tops, lefts))
        blocks = tuple((number, corner) for corner in corners for number in numbers[corner])
        shape = (tops[-1] - tops[0] + grid.clip_size, lefts[-1] - lefts[0] + grid.clip_size)
        stacks.setdefault(shape, []).append(_Region(tops[0], lefts[0], *shape, blocks))
    return list(stacks.values())


def _cut_regions(frame: np.ndarray, stacks: list[_Stack]) -> _Cut:
    """Cut the regions out of one frame: for each stack uint8 (regions, height, width, 3)."""
    return [np.stack([frame[r.top : r.top + r.height, r.left : r.left + r.width] for r in stack]) for stack in stacks]


def _time_spans(
    cuts: Iterator[_Cut], plan: trunk_regions.Plan, grid: clips.ClipGrid
) -> Iterator[tuple[tuple[int, ...], Iterator[_Cut]]]:
    """Yield (starts, iterator over its cuts) for each time span; the cuts that two spans share are kept for both."""
    position = 0
    kept: deque[_Cut] = deque(maxlen=grid.clip_frames)

    def keep(new: Iterator[_Cut]) -> Iterator[_Cut]:
        for cut in new:
            kept.append(cut)
            yield cut

    for starts in plan.times:
        first, end = starts[0], starts[-1] + grid.clip_frames
        shared = list(kept)[len(kept) - max(0, position - first) :]
        new = itertools.islice(cuts, max(0, first - position), end - position)
        yield starts, itertools.chain(shared, keep(new))
        position = end
