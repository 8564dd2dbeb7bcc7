"""Validation of a .keras file before Keras loads it.

Keras itself refuses code in a file, but allocates whatever size a layer's configuration asks for.
"""

import dataclasses
import json
import math
import os
import zipfile
from collections.abc import Iterator, Sequence

from nr_vqm.models.network_sizes import MAX_LAYERS, MAX_VALUES

MEMBERS = ("config.json", "metadata.json", "model.weights.h5")  # the files that Keras writes, uncompressed
MAX_CONFIG_BYTES = 1_000_000
VALUE_BYTES = 4  # saved weights are float32
MAX_COPIES = 3  # a fitted head's file also holds Adam's two moments of every weight
SPARE_BYTES = 1_000_000  # HDF5's own bookkeeping
# The layers that the builders use, with those of their settings that are always the same.
LAYERS: dict[str, dict] = {
    "InputLayer": {},
    "Rescaling": {},
    "Conv3D": {"padding": "valid", "strides": [1, 1, 1], "dilation_rate": [1, 1, 1], "groups": 1},
    "MaxPooling3D": {"padding": "valid"},
    "Flatten": {},
    "Dense": {},
    "Dropout": {},
    "LSTM": {"unroll": False, "stateful": False, "return_sequences": False, "return_state": False},
}
# The other classes that a layer's configuration may name.
PARTS = frozenset(["DTypePolicy", "GlorotUniform", "Orthogonal", "Zeros", "__keras_tensor__"])
MODULES = frozenset([None, "keras", "keras.layers", "keras.initializers"])
ACTIVATIONS = frozenset(["linear", "relu", "sigmoid", "tanh"])


@dataclasses.dataclass(frozen=True)
class Contents:
    """Sizes of the model in a .keras file.

    Attributes:
        input_shape: shape of the input, without the batch axis.
        num_weights: number of trained parameters.
    """

    input_shape: tuple[int, ...]
    num_weights: int


def check(path: str | os.PathLike[str]) -> Contents:
    """Validate a .keras file: only the layers that nr-vqm uses, and sizes that fit in memory.

    Reads the list of the archive's files and its config.json, at most one megabyte; never imports Keras.

    Returns:
        The input shape and the number of weights.

    Raises:
        ValueError: not a .keras file, one with unsupported layers, or one with sizes that no network here has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = _member_sizes(archive)
            config = json.loads(archive.read("config.json"))
        contents = _check_model(config)
        _check_weights(contents.num_weights, sizes["model.weights.h5"])
        return contents
    except Exception as error:  # zipfile, json and an arbitrary config raise many types of exceptions
        reason = (
            str(error) if isinstance(error, (ValueError, zipfile.BadZipFile)) else f"{type(error).__name__} {error}"
        )
        raise ValueError(f"A model that nr-vqm saved is needed, {path} is not one: {reason}.") from error


def _member_sizes(archive: zipfile.ZipFile) -> dict[str, int]:
    """Return {member: bytes}; raise ValueError if the archive holds other members than Keras writes."""
    members = archive.infolist()
    names = sorted(member.filename for member in members)
    if names != sorted(MEMBERS):
        raise ValueError(f"it holds {', '.join(map(repr, names[:5]))}; only {', '.join(MEMBERS)} are loaded")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ValueError(f"its {member.filename} is compressed, which a saved network never is")
    sizes = {member.filename: member.file_size for member in members}
    if sizes["config.json"] > MAX_CONFIG_BYTES:
        raise ValueError(f"its config.json has {sizes['config.json']} bytes, more than {MAX_CONFIG_BYTES}")
    return sizes


def _check_weights(num_weights: int, stored_bytes: int) -> None:
    least = VALUE_BYTES * num_weights
    if not least <= stored_bytes <= MAX_COPIES * least + SPARE_BYTES:
        raise ValueError(f"its layers ask for {num_weights} weights, which do not fit the {stored_bytes} bytes stored")


def _check_model(config: dict) -> Contents:
    """Compute the shapes along a chain of layers; raise ValueError for an unsupported, too large or misplaced layer."""
    if config["class_name"] != "Functional":
        raise ValueError(f"it is a {config['class_name']!r}, not a functional model")
    layers = config["config"]["layers"]
    if len(layers) > MAX_LAYERS:
        raise ValueError(f"it has {len(layers)} layers, more than {MAX_LAYERS}")
    shape: tuple[int, ...] = ()
    num_weights, previous = 0, None
    for layer in layers:
        kind, settings = layer["class_name"], layer["config"]
        _check_layer(layer, shape, previous)
        shape, weights = _layer_sizes(kind, settings, shape)
        num_weights += weights
        if min(shape, default=1) < 1 or math.prod(shape) > MAX_VALUES or num_weights > MAX_VALUES:
            raise ValueError(f"layer {settings['name']!r} asks for a shape of {shape} and {weights} weights")
        previous = settings["name"]
    return Contents(tuple(layers[0]["config"]["batch_shape"][1:]), num_weights)


def _check_layer(layer: dict, shape: tuple[int, ...], previous: str | None) -> None:
    """Raise ValueError if a layer has settings or a place in the graph that the builders never give it."""
    kind, settings, name = layer["class_name"], layer["config"], layer["config"]["name"]
    if kind not in LAYERS or layer.get("module") not in MODULES:
        raise ValueError(f"it has a layer of class {kind!r}; only {', '.join(sorted(LAYERS))} are loaded")
    for setting, only in LAYERS[kind].items():
        if settings[setting] != only:
            raise ValueError(f"layer {name!r} has {setting} {settings[setting]!r}; only {only!r} is loaded")
    for setting in ("activation", "recurrent_activation"):
        if settings.get(setting, "linear") not in ACTIVATIONS:
            raise ValueError(f"layer {name!r} has {setting} {settings[setting]!r}")
    for part in _parts(settings):
        if part["class_name"] not in PARTS or part.get("module") not in MODULES:
            raise ValueError(f"layer {name!r} has a part of class {part['class_name']!r}")
    # Keras builds a layer for the shape recorded here before it reads the graph.
    built = (layer.get("build_config") or {}).get("input_shape")
    if built is not None and tuple(built[1:]) != shape:
        raise ValueError(f"layer {name!r} is built for inputs of shape {built[1:]}, its inputs have {shape}")
    inputs = [part["config"]["keras_history"] for part in _parts(layer["inbound_nodes"])]
    if inputs != ([] if previous is None else [[previous, 0, 0]]) or (kind == "InputLayer") != (previous is None):
        raise ValueError(f"layer {name!r} must have exactly one input, the output of the previous layer")


def _parts(value: object) -> Iterator[dict]:
    """Yield every dict with a class_name, at any depth."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _parts(item)


def _layer_sizes(kind: str, settings: dict, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Return (output shape without batch, number of weights) of one layer."""
    if kind == "InputLayer":
        return _whole(settings["batch_shape"][1:]), 0
    if kind == "Conv3D":
        kernel, (filters,) = _whole(settings["kernel_size"]), _whole([settings["filters"]])
        output = tuple(size - k + 1 for size, k in zip(shape[:3], kernel, strict=True))
        return (*output, filters), (math.prod(kernel) * shape[3] + 1) * filters
    if kind == "MaxPooling3D":
        pool = _whole(settings["pool_size"])
        if settings["strides"] != settings["pool_size"]:
            raise ValueError(f"layer {settings['name']!r} has strides other than its pool_size")
        return (*(size // p for size, p in zip(shape[:3], pool, strict=True)), shape[3]), 0
    if kind == "Flatten":
        return (math.prod(shape),), 0
    if kind == "Dense":
        (units,) = _whole([settings["units"]])
        return (*shape[:-1], units), (shape[-1] + 1) * units
    if kind == "LSTM":
        (units,) = _whole([settings["units"]])
        return (units,), 4 * units * (shape[-1] + units + 1)
    return shape, 0


def _whole(values: Sequence) -> tuple[int, ...]:
    """Return the values as a tuple; raise ValueError unless all are positive integers."""
    for value in values:
        if type(value) is not int or value < 1:
            raise ValueError(f"a size must be a positive integer, found {value!r}")
    return tuple(values)
