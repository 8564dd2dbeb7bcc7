"""The convolutions once per frame, shared by all clips of a video. Exact, not an approximation.

With 'valid' padding and block corners on multiples of the poolings' product, the trunk of a clip is a
window of the trunk of the whole picture; and along time every convolution needs only the last frames of
its input from before. So the trunk runs over chunks of frames, keeping those, and clips read windows.
"""

import dataclasses
import itertools
from collections import deque

import numpy as np
from keras import layers, ops

from nr_vqm import clips, cnn3d

CHUNK_FRAMES = 8  # frames computed at a time: bounds memory, and nothing is computed twice at any value
HEAD_BATCH = 128  # clips through the fully connected layers at a time: their weights are read once for all


@dataclasses.dataclass(frozen=True)
class ClipOutputs:
    """What the 3D-CNN says of every clip of a video.

    Attributes:
        features: float32 (num_groups, num_blocks, fc_dims[-1]).
        clip_quality: float32 (num_groups, num_blocks), on 1-5; blocks row by row.
    """

    features: np.ndarray
    clip_quality: np.ndarray


class SharedTrunk:
    """Runs one 3D-CNN over videos of any size."""

    def __init__(self, model):
        """
        Args:
            model: the 3D-CNN of `cnn3d.build_cnn3d`.
        """
        self.layers = cnn3d.trunk_layers(model)
        self.head = cnn3d.head_view(model)
        self.stride = 2 ** sum(isinstance(layer, layers.MaxPooling3D) for layer in self.layers)
        _, self.window_frames, self.window_size, _, _ = model.get_layer("flatten").input.shape

    def run(self, frames, grid):
        """Features and quality of every clip.

        Args:
            frames: iterable of uint8 RGB, shape (height, width, 3).
            grid: clips.ClipGrid planned with this network's clip size and `stride`.

        Returns:
            ClipOutputs.

        Raises:
            ValueError: the frames end before the last group does.
        """
        outputs, waiting = [], []
        for group in self._windows(frames, grid):
            waiting.append(group)
            if len(waiting) * len(group) >= HEAD_BATCH:
                outputs.append(self._finish(waiting))
                waiting = []
        if waiting:
            outputs.append(self._finish(waiting))
        features, quality = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
        shape = (len(grid.starts), len(grid.tops) * len(grid.lefts))
        return ClipOutputs(features=features.reshape(*shape, -1), clip_quality=quality.reshape(shape))

    def _finish(self, groups):
        features, quality = self.head(ops.concatenate(groups), training=False)
        return ops.convert_to_numpy(ops.cast(features, "float32")), ops.convert_to_numpy(quality)

    def _windows(self, frames, grid):
        """Yield the flattened trunk outputs of each group's clips, (num_blocks, n), in time order."""
        frames, position = iter(frames), 0
        for starts in _connected(grid):
            first, end = starts[0], starts[-1] + grid.clip_frames
            pictures = (_covered(frame, grid) for frame in itertools.islice(frames, first - position, end - position))
            position = end
            yield from self._connected_windows(pictures, [start - first for start in starts], grid)

    def _connected_windows(self, pictures, starts, grid):
        waiting = deque(starts)
        maps, first, places = None, 0, None  # `first` is the time of the first of the kept maps
        for new in self._maps(pictures):
            maps = new if maps is None else ops.concatenate([maps, new])
            places = self._places(grid, maps.shape[2]) if places is None else places
            while waiting and waiting[0] + self.window_frames <= first + maps.shape[0]:
                start = waiting.popleft() - first
                yield self._cut(maps[start : start + self.window_frames], places)
            keep = min(self.window_frames - 1, maps.shape[0])
            first, maps = first + maps.shape[0] - keep, maps[maps.shape[0] - keep :]
        if waiting:
            raise ValueError(
                f"The clip grid needs {grid.starts[-1] + grid.clip_frames} frames, the video ended before."
            )

    def _places(self, grid, columns):
        """Where each block's window lies in a map with `columns` columns, rows after rows: int32 (num_blocks * n,)."""
        row, column = np.divmod(np.arange(self.window_size**2), self.window_size)
        tops, lefts = ((np.array(grid.corners) - (grid.tops[0], grid.lefts[0])) // self.stride).T[:, :, None]
        return ((tops + row) * columns + lefts + column).astype(np.int32).ravel()

    def _cut(self, recent, places):
        """The window of every block, flattened as the network does it: (num_blocks, n)."""
        frames, _, _, channels = recent.shape
        windows = ops.take(ops.reshape(recent, (frames, -1, channels)), places, axis=1)
        windows = ops.reshape(windows, (frames, -1, self.window_size**2, channels))
        blocks = windows.shape[1]
        return ops.reshape(ops.transpose(windows, (1, 0, 2, 3)), (blocks, -1))

    def _maps(self, pictures):
        """Yield the trunk's outputs for chunk after chunk of pictures, (frames, rows, columns, channels)."""
        state, pictures = {}, iter(pictures)
        while chunk := list(itertools.islice(pictures, CHUNK_FRAMES)):
            maps = self._step(ops.convert_to_tensor(np.stack(chunk)[None]), state)
            if maps is not None:
                yield maps

    def _step(self, x, state):
        """The trunk over the next frames; `state` keeps the last frames of each convolution's input."""
        for layer in self.layers:
            if isinstance(layer, layers.Conv3D) and layer.kernel_size[0] > 1:
                if layer.name in state:
                    x = ops.concatenate([state[layer.name], x], axis=1)
                state[layer.name] = x[:, -(layer.kernel_size[0] - 1) :]
                if x.shape[1] < layer.kernel_size[0]:
                    return None  # the first frames only fill the state
            x = layer(x)
        return x[0]


def _connected(grid):
    """The groups' starts, divided where no frame is shared: between those, nothing is computed."""
    runs = [[grid.starts[0]]]
    for start in grid.starts[1:]:
        if start >= runs[-1][-1] + grid.clip_frames:
            runs.append([])
        runs[-1].append(start)
    return runs


def _covered(frame, grid):
    """The part of a picture that some clip covers."""
    rows = slice(grid.tops[0], grid.tops[-1] + grid.clip_size)
    columns = slice(grid.lefts[0], grid.lefts[-1] + grid.clip_size)
    return clips.pad_frame(frame, grid)[rows, columns]
