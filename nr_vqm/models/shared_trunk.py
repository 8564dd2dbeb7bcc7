"""The convolutions once per frame, shared by all clips of a video. Exact, not an approximation.

With 'valid' padding and block corners on multiples of the poolings' product, the trunk of a clip is a
window of the trunk of a larger region; and along time every convolution needs only the last frames of its
input from before. So the trunk runs over chunks of frames, keeping those, and clips read windows.
"""

import dataclasses
import itertools
from collections import deque

import numpy as np
from keras import layers, ops

from nr_vqm.common import devices
from nr_vqm.models import cnn3d, trunk_regions
from nr_vqm.video import clips

CHUNK_PIXELS = 4_000_000  # computed at a time: bounds memory, and nothing is computed twice at any value
CHUNK_FRAMES = (4, 32)  # but at least and at most so many frames: short chunks copy much, long ones gain nothing
HEAD_BATCH = 256  # clips through the fully connected layers at a time: their weights are read once for all


@dataclasses.dataclass(frozen=True)
class ClipOutputs:
    """Outputs of the 3D-CNN for one video, as the heads read them; all values are finite.

    Attributes:
        group_features: float32 (num_groups, fc_dims[-1]), the features' means over the blocks of each group.
        clip_quality: float32 (num_groups, num_blocks), on 1-5; blocks row by row.

    Raises:
        ValueError: a value is not a finite number, whichever head will read it.
    """

    group_features: np.ndarray
    clip_quality: np.ndarray

    def __post_init__(self):
        if not (np.isfinite(self.group_features).all() and np.isfinite(self.clip_quality).all()):
            raise ValueError("The 3D-CNN must give finite numbers, this one gave NaN or infinity. Train the run again.")


class SharedTrunk:
    """Runs one 3D-CNN over videos of any size."""

    def __init__(self, model):
        """
        Args:
            model: the 3D-CNN of `cnn3d.build_cnn3d`.
        """
        self.layers = cnn3d.trunk_layers(model)
        self.stride = 2 ** sum(isinstance(layer, layers.MaxPooling3D) for layer in self.layers)
        _, self.window_frames, self.window_size, _, _ = model.get_layer("flatten").input.shape
        self._delay = model.input_shape[1] - self.window_frames  # frames before the first output
        self._step = devices.compiled(cnn3d.chunk_view(model))
        self._head = devices.compiled(cnn3d.head_view(model))

    def run(self, frames, grid):
        """Compute the clip qualities and the mean features of every group.

        Args:
            frames: iterable of uint8 RGB, shape (height, width, 3).
            grid: clips.ClipGrid planned with this network's clip size and `stride`.

        Returns:
            ClipOutputs.

        Raises:
            ValueError: the frames end before the last group does, or the device's memory does not hold them.
        """
        with devices.explained_memory(
            f"The device's memory does not hold the network over frames of {grid.width} x {grid.height}. Free what "
            "other processes use of it, or compute on the processor: --device cpu."
        ):
            return self._run(frames, grid)

    def _run(self, frames, grid):
        plan = trunk_regions.plan(grid, self.layers)
        stacks = _stacks(plan, grid)
        num_groups, num_blocks = len(grid.starts), len(grid.corners)
        batch, outputs, windows = max(1, HEAD_BATCH // num_blocks), [], None
        for number, (maps, start) in enumerate(self._groups(frames, grid, plan, stacks), start=1):
            if windows is None:  # one array for all batches: fresh memory costs more than the copying
                shape = (batch, num_blocks, self.window_frames, self.window_size, self.window_size, maps[0].shape[-1])
                windows = np.empty(shape, maps[0].dtype)
            self._cut_windows(maps, start, stacks, windows[(number - 1) % batch])
            if number % batch == 0 or number == num_groups:
                outputs.append(self._finish(windows[: (number - 1) % batch + 1]))
        group_features, clip_quality = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
        return ClipOutputs(group_features=group_features, clip_quality=clip_quality)

    def _finish(self, windows):
        """(mean features, clip qualities) of the groups whose windows these are."""
        groups, blocks = windows.shape[:2]
        features, quality = self._head(ops.convert_to_tensor(windows.reshape(groups * blocks, -1)))
        features = ops.convert_to_numpy(features).astype(np.float32).reshape(groups, blocks, -1)
        return features.mean(axis=1), ops.convert_to_numpy(quality).reshape(groups, blocks)

    def _groups(self, frames, grid, plan, stacks):
        """Yield for each group in order: each stack's recent trunk outputs, and the frame of them it starts at."""
        pixels = sum(len(stack) * stack[0].height * stack[0].width for stack in stacks)
        chunk_frames = int(np.clip(CHUNK_PIXELS // pixels, *CHUNK_FRAMES))
        cuts = (_cut_regions(clips.pad_frame(frame, grid), stacks) for frame in frames)
        for starts, of_span in _time_spans(cuts, plan, grid):
            waiting, first = deque(starts), starts[0]  # `first` is the time of the first of the recent outputs
            recent = None
            for new in self._maps(of_span, chunk_frames):
                recent = [np.concatenate(two, axis=1) for two in zip(recent, new, strict=True)] if recent else new
                end = first + recent[0].shape[1]
                while waiting and waiting[0] + self.window_frames <= end:
                    yield recent, waiting.popleft() - first
                keep = min(self.window_frames - 1, end - first)
                first, recent = end - keep, [maps[:, maps.shape[1] - keep :] for maps in recent]
            if waiting:
                needed = grid.starts[-1] + grid.clip_frames
                raise ValueError(f"The clip grid needs {needed} frames, the video ended before.")

    def _cut_windows(self, maps, start, stacks, out):
        """Copy the window of every block, from frame `start` of the maps on, to out[block]."""
        size, times = self.window_size, slice(start, start + self.window_frames)
        for stack, stack_maps in zip(stacks, maps, strict=True):
            for region, region_maps in zip(stack, stack_maps, strict=True):
                for block, (top, left) in region.blocks:
                    row, column = (top - region.top) // self.stride, (left - region.left) // self.stride
                    out[block] = region_maps[times, row : row + size, column : column + size]

    def _maps(self, cuts, chunk_frames):
        """Yield the trunk's outputs of chunk after chunk, each stack's (regions, frames, rows, columns, channels)."""
        chunk = list(itertools.islice(cuts, max(chunk_frames, self._delay + 1)))  # every layer gets enough to begin
        states = None
        while len(chunk) > (0 if states else self._delay):
            stacks = [np.stack(frames, axis=1) for frames in zip(*chunk, strict=True)]
            states = states or [self._no_state(stack.shape) for stack in stacks]
            stepped = [self._step(ops.convert_to_tensor(x), *state) for x, state in zip(stacks, states, strict=True)]
            states = [state for _, *state in stepped]
            yield [ops.convert_to_numpy(maps) for maps, *_ in stepped]
            chunk = list(itertools.islice(cuts, chunk_frames))

    def _no_state(self, shape):
        """The state before the first frame, for pixels of this shape: zero frames for each convolution."""
        states = []
        for layer in self.layers:
            if cnn3d.keeps_frames(layer):
                states.append(ops.zeros((shape[0], 0, *shape[2:]), layer.compute_dtype))
            shape = layer.compute_output_shape(shape)
        return states


@dataclasses.dataclass(frozen=True)
class _Region:
    """A rectangle of the picture and the blocks that read it, each (number, (top, left))."""

    top: int
    left: int
    height: int
    width: int
    blocks: tuple


def _stacks(plan, grid):
    """The plan's regions, those of one shape together: they are computed as one batch."""
    numbers = {corner: [] for corner in grid.corners}
    for number, corner in enumerate(grid.corners):
        numbers[corner].append(number)  # blocks repeat in a small picture
    stacks = {}
    for tops, lefts in itertools.product(plan.rows, plan.columns):
        corners = dict.fromkeys(itertools.product(tops, lefts))
        blocks = tuple((number, corner) for corner in corners for number in numbers[corner])
        shape = (tops[-1] - tops[0] + grid.clip_size, lefts[-1] - lefts[0] + grid.clip_size)
        stacks.setdefault(shape, []).append(_Region(tops[0], lefts[0], *shape, blocks))
    return list(stacks.values())


def _cut_regions(frame, stacks):
    """One picture's regions: for each stack uint8 (regions, height, width, 3)."""
    return [
        np.stack([frame[one.top : one.top + one.height, one.left : one.left + one.width] for one in stack])
        for stack in stacks
    ]


def _time_spans(cuts, plan, grid):
    """Yield (starts, iterator over its cuts) for each time span; what two spans share is kept between them."""
    cuts, position = iter(cuts), 0
    kept = deque(maxlen=grid.clip_frames)

    def remembered(new):
        for cut in new:
            kept.append(cut)
            yield cut

    for starts in plan.times:
        first, end = starts[0], starts[-1] + grid.clip_frames
        shared = list(kept)[len(kept) - max(0, position - first) :]
        new = itertools.islice(cuts, max(0, first - position), end - position)
        yield starts, itertools.chain(shared, remembered(new))
        position = end
