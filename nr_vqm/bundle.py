"""What a run folder holds, and loading it safely.

<run>/run.json says which database and versions made it, how long each stage took, and the checksums of its models.
"""

import dataclasses
import importlib.metadata
import json
import math
import os
import platform
import shutil
import subprocess
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

from nr_vqm import files, presets

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "opencv-python-headless", "h5py", "skops")
LAYERS = frozenset(
    ["InputLayer", "Rescaling", "Conv3D", "MaxPooling3D", "Flatten", "Dense", "Dropout", "LSTM"]
)  # all that the builders use
MAX_VALUES = 2_000_000_000  # in one layer's weights or one clip's activations; `paper` has 190 million


def write_preset(run_dir, preset):
    """Store the settings of a run."""
    files.write_json(Path(run_dir) / "preset.json", dataclasses.asdict(preset))


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
    """Time a stage; when it ends well note the checksums of the run's models.

    The seconds add up over restarts, those of a stop by an error or by Ctrl-C included.
    """
    began = time.monotonic()
    try:
        yield
    finally:
        before = read_run(run_dir).get("seconds", {}).get(name, 0)
        update_run(run_dir, seconds={name: round(before + time.monotonic() - began, 1)})
    models = [path for path in sorted(Path(run_dir).iterdir()) if path.name in MODELS]
    update_run(run_dir, sha256={path.name: files.sha256(path) for path in models}, versions=versions())


MODELS = (
    "cnn3d.keras",
    "lstm_head.keras",
    "lstm_features_head.keras",
    "lstm_finetuned_head.keras",
    "svr.skops",
)


def repeat_dirs(run_dir):
    """The folders that hold one 3D-CNN each: <run>/repeat-00 and so on, or the run itself where it has one."""
    run_dir = Path(run_dir)
    repeats = read_run(run_dir).get("repeats", 1)
    return [run_dir] if repeats == 1 else [run_dir / f"repeat-{number:02d}" for number in range(repeats)]


def total_seconds(run_dir):
    """{stage: seconds} over the run and all its repeats."""
    total = {}
    for folder in {Path(run_dir), *repeat_dirs(run_dir)}:
        for name, seconds in read_run(folder).get("seconds", {}).items():
            total[name] = round(total.get(name, 0) + seconds, 1)
    return total


def derive(source, target, *, keep, **changes):
    """Make `target` a run with the networks of `source` and some other settings, for every repeat.

    What all ablations do: what does not change is shared by hard links, the rest is left to the stages.

    Args:
        source: a run folder.
        target: a folder; one that was made before with the same settings is taken up again.
        keep: names of files to share; those that `source` lacks are passed over.
        changes: settings of the preset.

    Returns:
        `target` as a Path.

    Raises:
        ValueError: the folder was made from another network, or with other settings.
    """
    source, target = Path(source), Path(target)
    for old in dict.fromkeys([source, *repeat_dirs(source)]):
        _derive(old, target / old.relative_to(source), keep, changes)
    return target


def _derive(old, new, keep, changes):
    new.mkdir(parents=True, exist_ok=True)
    preset = dataclasses.replace(read_preset(old), **changes)
    if (new / "preset.json").exists() and read_preset(new) != preset:
        raise ValueError(f"{new} was begun with other settings. Delete it, or choose another folder.")
    write_preset(new, preset)
    shared = [name for name in keep if (old / name).exists()]
    for name in shared:
        _share(old / name, new / name)
    run = read_run(old)
    facts = {name: value for name, value in run.items() if name not in ("seconds", "scored", "sha256")}
    sums = {name: value for name, value in run.get("sha256", {}).items() if name in shared}
    update_run(new, **facts, sha256=sums)


def _share(old, new):
    """Make `new` the same file as `old`; files of a run are replaced and never written to."""
    if new.exists():
        if not new.samefile(old) and files.sha256(new) != files.sha256(old):
            raise ValueError(f"{new} is not that of {old.parent}. Delete the folder {new.parent}.")
        return
    with files.replacing(new) as beside:
        try:
            os.link(old, beside)
        except OSError:  # another disk, or one without links
            shutil.copyfile(old, beside)


def commit():
    """The checkout's commit, '-dirty' behind it where files were changed; None where this is no git checkout."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=10"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:  # no git on this machine
        return None
    return found.stdout.strip() or None


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
