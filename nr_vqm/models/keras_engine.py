"""The 3D-CNN computed by Keras, on the processor or a GPU."""

from typing import Any

import keras
import numpy as np
from keras import ops

from nr_vqm.common import devices
from nr_vqm.models import cnn3d
from nr_vqm.models.shared_trunk import Finish, SharedTrunk


class KerasEngine:
    """The engine of `shared_trunk` for a 3D-CNN of `cnn3d.build_cnn3d`; attributes and methods as described there."""

    def __init__(self, model: keras.Model) -> None:
        """Compile the two parts of a 3D-CNN."""
        self.clip_frames, self.clip_size = model.input_shape[1:3]
        self.convs = cnn3d.convs(model)
        self._dtype = model.get_layer("flatten").compute_dtype
        fully_connected = cnn3d.fully_connected_part(model)
        self.weight_copies = 0 if self._dtype == "float32" else 2 * fully_connected.count_params()
        self._trunk = devices.compiled(cnn3d.streaming_trunk(model))
        self._fully_connected = devices.compiled(fully_connected)

    def zeros(self, shape: tuple[int, ...]) -> Any:
        """Return a state of zeros, as a tensor."""
        return ops.zeros(shape, self._dtype)

    def start_trunk(self, pixels: np.ndarray, states: list[Any]) -> Finish:
        """Run the trunk over the next frames; the states stay on the device. A GPU computes until `finish` returns."""
        maps, *new_states = self._trunk(ops.convert_to_tensor(pixels), *states)
        return lambda: (ops.convert_to_numpy(maps), new_states)

    def run_fully_connected(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the features and the clip quality of trunk outputs."""
        features, quality = self._fully_connected(ops.convert_to_tensor(windows))
        return ops.convert_to_numpy(features).astype(np.float32), ops.convert_to_numpy(quality)


def shared_trunk(model: keras.Model) -> SharedTrunk:
    """Return the shared trunk of a 3D-CNN of `cnn3d.build_cnn3d`, computed by Keras."""
    return SharedTrunk(KerasEngine(model))
