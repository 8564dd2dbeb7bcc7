"""The 3D-CNN computed by OpenVINO on the processor, from exported networks. It needs neither TensorFlow nor Keras.

An exported network is a file from elsewhere. It is read from memory, so it cannot name other files, and it is compiled
only if it consists of the operations that the 3D-CNN exports to, has its inputs and outputs, and finite weights.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino

from nr_vqm.common import devices
from nr_vqm.models.network_sizes import Convs
from nr_vqm.models.shared_trunk import Finish

MAX_OPERATIONS = 2000  # the network of preset `paper` has 200
# What `network_export` writes. None of them makes an output much larger than its inputs.
OPERATIONS = frozenset(
    "Add Concat Constant Convert Convolution MatMul MaxPool Multiply Parameter Relu Result Slice Transpose".split()
)


class OpenVinoEngine:
    """The engine of `shared_trunk` for an exported 3D-CNN; attributes and methods as described there."""

    weight_copies = 0  # computed in the precision of the weights

    def __init__(
        self,
        trunk: Mapping[str, bytes],
        fully_connected: Mapping[str, bytes],
        *,
        clip_frames: int,
        clip_size: int,
        convs: Convs,
        fc_dims: Sequence[int],
    ) -> None:
        """Validate and compile the two parts of a 3D-CNN.

        Args:
            trunk: the content of its files by suffix: '.xml' and '.bin', or '.onnx'.
            fully_connected: likewise of the layers after the trunk.
            clip_frames, clip_size, convs, fc_dims: sizes of the network, as in `cnn3d.build_cnn3d`.

        Raises:
            ValueError: a file is damaged, has other operations, inputs or outputs than this network, or weights that
                are not finite.
        """
        self.clip_frames, self.clip_size, self.convs = clip_frames, clip_size, convs
        core = openvino.Core()
        channels = _state_channels(convs)
        self._trunk = _compile(core, trunk, inputs=[3, *channels], outputs=[convs[-1][0], *channels])
        self._idle: list[openvino.InferRequest] = []  # of the trunk
        self._fully_connected = _compile(core, fully_connected, inputs=[None], outputs=[fc_dims[-1], 1])

    def zeros(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return a state of zeros."""
        return np.zeros(shape, np.float32)

    def start_trunk(self, pixels: np.ndarray, states: list[Any]) -> Finish:
        """Start to run the trunk over the next frames, in threads of OpenVINO."""
        request = self._idle.pop() if self._idle else self._trunk.create_infer_request()
        request.start_async([pixels, *states], share_inputs=True)

        def finish() -> tuple[np.ndarray, list[Any]]:
            request.wait()
            maps, *new_states = request.results.to_tuple()
            self._idle.append(request)
            return maps, new_states

        return finish

    def run_fully_connected(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the features and the clip quality of trunk outputs."""
        features, quality = self._fully_connected([windows], share_inputs=True).to_tuple()
        return features, quality


def _state_channels(convs: Convs) -> list[int]:
    """Return the number of channels of the state of every convolution over several frames."""
    channels, last = [], 3
    for filters, kernel, repeats in convs:
        for _ in range(repeats):
            if kernel > 1:
                channels.append(last)
            last = filters
    return channels


def _compile(
    core: openvino.Core, files: Mapping[str, bytes], *, inputs: Sequence[int | None], outputs: Sequence[int]
) -> openvino.CompiledModel:
    """Read, validate and compile one network.

    Args:
        core: reads and compiles it.
        files: content by suffix.
        inputs, outputs: size of the last axis of each; None accepts any.
    """
    if any(b"location" in content for suffix, content in files.items() if suffix == ".onnx"):
        raise ValueError("it names files with external data, which are not read")
    try:
        # From memory: what is read cannot refer to files beside it.
        model = core.read_model(files.get(".onnx") or files[".xml"], files.get(".bin", b""))
    except Exception as error:  # OpenVINO raises RuntimeError, and others for a damaged file
        raise ValueError(f"OpenVINO cannot read it ({str(error).strip().splitlines()[-1]})") from error
    _check_operations(model)
    for name, found, wanted in (("input", model.inputs, inputs), ("output", model.outputs, outputs)):
        sizes = [_last_size(one) for one in found]
        if len(sizes) != len(wanted) or any(w not in (None, size) for size, w in zip(sizes, wanted, strict=True)):
            raise ValueError(f"the last axes of its {name}s must have the sizes {list(wanted)}, found {sizes}")
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    return core.compile_model(model, "CPU", hints | {"INFERENCE_NUM_THREADS": devices.threads_of_process()})


def _last_size(port: Any) -> int | None:
    shape = port.partial_shape
    axis = shape[len(shape) - 1] if shape.rank.is_static and len(shape) else None
    return axis.get_length() if axis is not None and axis.is_static else None


def _check_operations(model: openvino.Model) -> None:
    """Raise ValueError for foreign operations and for weights that are not finite."""
    operations = model.get_ops()
    if len(operations) > MAX_OPERATIONS:
        raise ValueError(f"it has {len(operations)} operations, more than {MAX_OPERATIONS}")
    foreign = sorted({one.get_type_name() for one in operations} - OPERATIONS)
    if foreign:
        raise ValueError(f"it has the operation {foreign[0]!r}; only {', '.join(sorted(OPERATIONS))} are loaded")
    for one in operations:
        if one.get_type_name() == "Constant" and one.get_element_type().is_real() and not np.isfinite(one.data).all():
            raise ValueError(f"the values of {one.get_friendly_name()!r} must be finite numbers")
