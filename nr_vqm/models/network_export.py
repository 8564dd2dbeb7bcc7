"""Write the two parts of a 3D-CNN in formats that need no TensorFlow to run: OpenVINO's and ONNX. Decision 0019.

The weights are stored in float16, which halves the files, and computed in float32.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import openvino
from onnx import helper, numpy_helper

from nr_vqm.models import cnn3d

OPSET, IR_VERSION = 18, 9  # of ONNX; understood since 2023
FLOAT, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
CHANNELS_FIRST, CHANNELS_LAST = [0, 4, 1, 2, 3], [0, 2, 3, 4, 1]
END = np.iinfo(np.int64).max


def write(model: keras.Model, trunk: Path, fully_connected: Path, *, format: str) -> None:
    """Write the trunk and the fully connected layers of a 3D-CNN.

    Args:
        model: of `cnn3d.build_cnn3d`.
        trunk: path of the network of `cnn3d.streaming_trunk`, without a suffix.
        fully_connected: path of the network of `cnn3d.fully_connected_part`, likewise.
        format: 'openvino', an .xml and a .bin file each, or 'onnx', an .onnx file each.
    """
    for graph, path in ((_trunk(model), trunk), (_fully_connected(model), fully_connected)):
        network = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="nr-vqm"
        )
        onnx.checker.check_model(network, full_check=True)
        content = network.SerializeToString()
        if format == "onnx":
            path.with_suffix(".onnx").write_bytes(content)
        else:
            openvino.save_model(
                openvino.Core().read_model(content, b""), path.with_suffix(".xml"), compress_to_fp16=True
            )


class _Graph:
    """An ONNX graph that grows node by node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        name = f"{operation.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [name], name=name, **attributes))
        return name

    def constant(self, values: Any) -> str:
        """Add a constant; return its name."""
        name = f"constant{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def half(self, weights: np.ndarray) -> str:
        """Add weights, stored in float16; return the name of their values in float32."""
        return self.add("Cast", self.constant(weights.astype(np.float16)), to=FLOAT)

    def rename(self, names: dict[str, str]) -> None:
        """Rename outputs of nodes wherever they occur."""
        for node in self.nodes:
            for field in (node.input, node.output):
                field[:] = [names.get(name, name) for name in field]


def _trunk(model: keras.Model) -> onnx.GraphProto:
    """Return the graph of `cnn3d.streaming_trunk`; inside, the channels precede the frames."""
    graph, layers = _Graph(), cnn3d.trunk_layers(model)
    inputs, outputs = [helper.make_tensor_value_info("pixels", UINT8, ["n", "t", "h", "w", 3])], []
    x = graph.add("Transpose", graph.add("Cast", "pixels", to=FLOAT), perm=CHANNELS_FIRST)
    for layer in layers:
        if isinstance(layer, keras.layers.Rescaling):
            x = graph.add("Mul", x, graph.constant(np.float32(layer.scale)))
            x = graph.add("Add", x, graph.constant(np.float32(layer.offset)))
        elif isinstance(layer, keras.layers.MaxPooling3D):
            x = graph.add("MaxPool", x, kernel_shape=layer.pool_size, strides=layer.pool_size)
        else:
            if cnn3d.is_temporal(layer):
                name, channels = f"{layer.name}_state", layer.kernel.shape[3]
                x = graph.add("Concat", graph.add("Transpose", name, perm=CHANNELS_FIRST), x, axis=2)
                last = [graph.constant(np.array([one])) for one in (1 - layer.kernel_size[0], END, 2, 1)]
                kept = graph.add("Slice", x, *last)
                outputs.append((graph.add("Transpose", kept, perm=CHANNELS_LAST), f"{layer.name}_new_state", channels))
                sizes = [f"{name}_{axis}" for axis in "nthw"]
                inputs.append(helper.make_tensor_value_info(name, FLOAT, [*sizes, channels]))
            kernel, bias = layer.get_weights()
            x = graph.add("Conv", x, graph.half(kernel.transpose(4, 3, 0, 1, 2)))
            x = graph.add("Relu", graph.add("Add", x, graph.constant(bias.reshape(1, -1, 1, 1, 1))))
    maps = graph.add("Transpose", x, perm=CHANNELS_LAST)
    outputs.insert(0, (maps, "maps", model.get_layer("flatten").input.shape[4]))
    graph.rename({made: name for made, name, _ in outputs})
    infos = [
        helper.make_tensor_value_info(name, FLOAT, [*(f"{name}_{axis}" for axis in "nthw"), channels])
        for _, name, channels in outputs
    ]
    return helper.make_graph(graph.nodes, "trunk", inputs, infos, graph.weights)


def _fully_connected(model: keras.Model) -> onnx.GraphProto:
    """Return the graph of `cnn3d.fully_connected_part`."""
    graph, x, features = _Graph(), "windows", ""
    flatten, output = model.get_layer("flatten"), model.get_layer("clip_quality")
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = layer.get_weights()
            x = graph.add("Add", graph.add("MatMul", x, graph.half(kernel)), graph.constant(bias))
            if layer.name.startswith("fc"):
                x = features = graph.add("Relu", x)
    quality = graph.add("Add", x, graph.constant(np.float32(output.offset)))
    graph.rename({features: "features", quality: "clip_quality"})
    inputs = [helper.make_tensor_value_info("windows", FLOAT, ["n", flatten.output.shape[1]])]
    outputs = [helper.make_tensor_value_info("features", FLOAT, ["n", kernel.shape[0]])]
    outputs.append(helper.make_tensor_value_info("clip_quality", FLOAT, ["n", 1]))
    return helper.make_graph(graph.nodes, "clip_head", inputs, outputs, graph.weights)
