"""What a run folder holds, and loading it safely.

<run>/run.json says which database and versions made it, how long each stage took, and the checksums of its models.
"""

import importlib.metadata
import json
import math
import platform
import time
import zipfile
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from nr_vqm import files, presets

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "opencv-python-headless", "h5py", "skops")
LAYERS = frozenset(
    ["InputLayer", "Rescaling", "Conv3D", "MaxPooling3D", "Flatten", "Dense", "Dropout", "LSTM"]
)  # all that the builders use
MAX_VALUES = 2_000_000_000  # in one layer's weights or one clip's activations; `paper` has 190 million


def write_preset(run_dir, preset):
    """Store the settings of a run."""
    files.write_json(Path(run_dir) / "preset.json", asdict(preset))


def read_preset(run_dir):
    """The Preset of a run."""
    return presets.from_json(files.read_json(Path(run_dir) / "preset.json", made_by="make train"))


def read_run(run_dir):
    """run.json as a dict; empty where there is none yet."""
    path = Path(run_dir) / "run.json"
    return files.read_json(path, made_by="make train") if path.exists() else {}


def update_run(run_dir, **values):
    """Set values in run.json; a dict is merged into the one that is there."""
    run = read_run(run_dir)
    for name, value in values.items():
        run[name] = {**run.get(name, {}), **value} if isinstance(value, dict) else value
    files.write_json(Path(run_dir) / "run.json", run)


@contextmanager
def stage(run_dir, name):
    """Time a stage, and when it ends well note its seconds, and the checksums of the run's models."""
    began = time.monotonic()
    yield
    models = [path for path in sorted(Path(run_dir).iterdir()) if path.name in MODELS]
    update_run(
        run_dir,
        seconds={name: round(time.monotonic() - began, 1)},
        sha256={path.name: files.sha256(path) for path in models},
        versions=versions(),
    )


MODELS = ("cnn3d.keras", "lstm_head.keras", "lstm_features_head.keras", "svr.skops")


def versions():
    """Versions of what a result depends on."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def check_sum(path):
    """Raise ValueError where a model is not the one that run.json noted."""
    path = Path(path)
    noted = read_run(path.parent).get("sha256", {}).get(path.name)
    if noted and noted != files.sha256(path):
        raise ValueError(
            f"{path} is not the file that this run wrote: its checksum differs. Copy or make the run again."
        )


def load_model(path, *, made_by):
    """Load one of our .keras files, after looking at what it would build.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a .keras file, one with foreign layers, or one that asks for absurd sizes.
    """
    files.require(path, made_by=made_by)
    check_layers(path)
    check_sum(path)
    import keras

    return keras.models.load_model(path, compile=False, safe_mode=True)


def check_layers(path):
    """Refuse a .keras file with layers that ours never have, or with sizes that would fill the memory.

    Keras refuses code in a file by itself, but allocates whatever a layer's configuration asks for.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > 1_000_000:
                raise ValueError("its config.json is larger than a megabyte")
            config = json.loads(archive.read("config.json"))
            if config["class_name"] != "Functional":
                raise ValueError(f"it is a {config['class_name']!r}, not a functional model")
            _check_sizes(config["config"]["layers"])
    except (zipfile.BadZipFile, KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ValueError(f"A model that nr-vqm saved is needed, {path} is not one: {error}.") from error


def _check_sizes(layers):
    """Follow the shape through a chain of layers; ValueError where a layer is foreign or too large."""
    shape = ()
    for layer in layers:
        kind, config = layer["class_name"], layer["config"]
        if kind not in LAYERS or layer.get("module") not in ("keras.layers", None):
            raise ValueError(f"it has a layer of class {kind!r}; only {', '.join(sorted(LAYERS))} are loaded")
        shape, weights = _layer_sizes(kind, config, shape)
        if min(shape, default=1) < 1 or math.prod(shape) > MAX_VALUES or weights > MAX_VALUES:
            raise ValueError(f"layer {config.get('name')!r} asks for a shape of {shape} and {weights} weights")


def _layer_sizes(kind, config, shape):
    """(output shape without batch, number of weights) of one layer."""
    if kind == "InputLayer":
        return tuple(int(size) for size in config["batch_shape"][1:]), 0
    if kind == "Conv3D":
        if config["padding"] != "valid" or set(config["strides"]) != {1}:
            raise ValueError(f"layer {config.get('name')!r} is not a 'valid' convolution of stride 1")
        kernel, filters = config["kernel_size"], config["filters"]
        output = tuple(size - k + 1 for size, k in zip(shape[:3], kernel, strict=True))
        return (*output, filters), math.prod(kernel) * shape[3] * filters
    if kind == "MaxPooling3D":
        return (*(size // p for size, p in zip(shape[:3], config["pool_size"], strict=True)), shape[3]), 0
    if kind == "Flatten":
        return (math.prod(shape),), 0
    if kind == "Dense":
        return (*shape[:-1], config["units"]), shape[-1] * config["units"]
    if kind == "LSTM":
        return (config["units"],), 4 * config["units"] * (shape[-1] + config["units"] + 1)
    return shape, 0
