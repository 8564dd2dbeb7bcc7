"""The FCN-LSTM: the 3D-CNN as a fully convolutional network and the LSTM head, in one model of whole videos.

The fully connected layers of the 3D-CNN become convolutions: the first has the kernel of one clip's trunk output, the
others 1x1x1. Over a region larger than a clip they give the features of every block in it at once. Decision 0016.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from nr_vqm.models import cnn3d, lstm_head, network_sizes

HEAD = "head_"  # prefix of the layers of the LSTM head: the 3D-CNN has layers of the same names


@dataclasses.dataclass(frozen=True)
class VideoPart:
    """The part of each video that one step of the training reads.

    Attributes:
        num_frames: number of frames.
        num_groups: number of groups; they may share frames.
        num_regions: number of regions of the frame; each is read in all of these frames.
        region_blocks: blocks of a region, as (rows, columns): one at every multiple of the trunk's stride.
    """

    num_frames: int
    num_groups: int
    num_regions: int
    region_blocks: tuple[int, int]

    def region_size(self, network: dict[str, Any]) -> tuple[int, int]:
        """Return the height and width of a region in pixels; `network` as in `build_fcn_lstm`."""
        size, stride = network["clip_size"], 2 ** len(network["convs"])
        rows, columns = self.region_blocks
        return size + stride * (rows - 1), size + stride * (columns - 1)


def build_fcn_lstm(part: VideoPart, *, network: dict[str, Any], head: dict[str, Any], dtype: str) -> keras.Model:
    """Build the FCN-LSTM with new weights; `set_parts` gives it those of a 3D-CNN and an LSTM head.

    Args:
        part: what it reads of a video.
        network: keyword arguments of `cnn3d.build_cnn3d`, without dtype.
        head: keyword arguments of `lstm_head.add_head`.
        dtype: a Keras dtype policy of the convolutions, 'float32' or 'mixed_bfloat16'.

    Returns:
        {'frames': uint8 RGB (batch, regions, frames, rows, columns, 3), 'window_frames': int32 (batch, groups, window
        frames) of `window_frames`} -> quality, float32 (batch, 1 + groups), on 1-5: of the video, then of each group,
        the mean of its clip qualities.
    """
    window = window_shape(network)
    pixels = (part.num_frames, *part.region_size(network), 3)
    frames = keras.Input((part.num_regions, *pixels), dtype="uint8", name="frames")
    times = keras.Input((part.num_groups, window[0]), dtype="int32", name="window_frames")
    x = cnn3d.add_trunk(ops.reshape(frames, (-1, *pixels)), network["convs"], dtype=dtype)
    x = _cut_windows(x, times, part.num_regions)
    for number, width in enumerate(network["fc_dims"], start=1):
        kernel = window[:3] if number == 1 else 1
        x = layers.Conv3D(width, kernel, activation="relu", dtype=dtype, name=f"fc{number}")(x)
        x = layers.Dropout(network["dropout"], dtype=dtype, name=f"dropout{number}")(x)
    x = layers.GlobalAveragePooling3D(dtype="float32", name="mean_of_blocks")(x)
    x = ops.reshape(x, (-1, part.num_regions, part.num_groups, network["fc_dims"][-1]))
    groups = ops.mean(x, axis=1)
    x = layers.Dense(1, dtype="float32", name="output")(groups)
    group_quality = layers.Rescaling(1.0, offset=3.0, dtype="float32", name="group_quality")(x)
    quality = lstm_head.add_head(groups, prefix=HEAD, **head)
    outputs = ops.concatenate([quality, ops.squeeze(group_quality, axis=2)], axis=1)
    return keras.Model({"frames": frames, "window_frames": times}, outputs, name="fcn_lstm")


def _cut_windows(maps: keras.KerasTensor, times: keras.KerasTensor, num_regions: int) -> keras.KerasTensor:
    """Copy the trunk output of every group: (batch * regions * groups, window frames, rows, columns, channels).

    A product with a matrix of zeros and ones, which is exact, because Keras has no gather along the axes of a batch.
    """
    num_times, *shape = maps.shape[1:]
    selection = ops.one_hot(times, num_times, dtype=maps.dtype)
    maps = ops.reshape(maps, (-1, num_regions, num_times, math.prod(shape)))
    windows = ops.einsum("bgwt,brtv->brgwv", selection, maps)
    return ops.reshape(windows, (-1, times.shape[2], *shape))


def window_shape(network: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return the shape of the trunk output of one clip, (frames, rows, columns, channels)."""
    size = network["clip_size"]
    return network_sizes.trunk_shapes(network["clip_frames"], size, size, network["convs"])[-1]


def window_frames(starts: Any, network: dict[str, Any]) -> Any:
    """Return the trunk output frames of every group, an input of the FCN-LSTM.

    Args:
        starts: int32 (batch, num_groups), array or tensor: the first frame of each group among those that are read.
        network: as in `build_fcn_lstm`.

    Returns:
        int32 (batch, num_groups, window frames), array or tensor.
    """
    return starts[:, :, None] + np.arange(window_shape(network)[0], dtype=np.int32)


def set_parts(model: keras.Model, cnn: keras.Model, head: keras.Model) -> None:
    """Give an FCN-LSTM the weights of a 3D-CNN and of an LSTM head on group features."""
    for whole, one in _layer_pairs(model, cnn, head):
        whole.set_weights([new.reshape(old.shape) for new, old in zip(one.get_weights(), whole.weights, strict=True)])


def copy_parts(model: keras.Model, cnn: keras.Model, head: keras.Model) -> None:
    """Give a 3D-CNN and an LSTM head on group features the weights of an FCN-LSTM."""
    for whole, one in _layer_pairs(model, cnn, head):
        one.set_weights([new.reshape(old.shape) for new, old in zip(whole.get_weights(), one.weights, strict=True)])


def _layer_pairs(model: keras.Model, cnn: keras.Model, head: keras.Model) -> list[tuple[keras.Layer, keras.Layer]]:
    """Return (layer of the FCN-LSTM, layer of one of its parts) for every layer with weights."""
    parts = [(one, one.name) for one in cnn.layers] + [(one, HEAD + one.name) for one in head.layers]
    return [(model.get_layer(name), one) for one, name in parts if one.weights]


def activations_per_video(part: VideoPart, network: dict[str, Any]) -> int:
    """Count the outputs of all convolutions and poolings for one video, which training keeps for the gradient.

    They depend on the number of blocks and frames that a step reads, not on the size or length of the videos: a part
    has at most num_groups * clip_frames frames.
    """
    height, width = part.region_size(network)
    trunk = network_sizes.trunk_shapes(part.num_frames, height, width, network["convs"])[1:]
    _, *map_shape = trunk[-1]
    windows = part.num_groups * window_shape(network)[0] * math.prod(map_shape)
    features = part.num_groups * math.prod(part.region_blocks) * sum(network["fc_dims"])
    return part.num_regions * (sum(math.prod(shape) for shape in trunk) + windows + features)
