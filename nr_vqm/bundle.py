"""What a run folder holds, and loading it safely.

<run>/run.json says which database and versions made it, how long each stage took, and the checksums of its models.
"""

import functools
import hashlib
import importlib.metadata
import math
import platform
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from nr_vqm import files, model_files, presets, svr_baseline

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "opencv-python-headless", "h5py", "skops")
CNN3D = "cnn3d.keras"
HEADS = {"lstm": "lstm_head.keras", "svr": "svr.skops"}  # the heads that score videos
MODELS = (CNN3D, *HEADS.values(), "lstm_features_head.keras")
MAX_CLIPS = 100_000  # of one video; the paper's grid has 1,024
MAX_JSON_BYTES = 10_000_000


def write_preset(run_dir, preset):
    """Store the settings of a run."""
    files.write_json(Path(run_dir) / "preset.json", asdict(preset))


def read_preset(run_dir):
    """The Preset of a run."""
    return presets.from_json(_read_object(Path(run_dir) / "preset.json"))


def read_run(run_dir):
    """run.json as a dict; empty where there is none yet."""
    path = Path(run_dir) / "run.json"
    return _read_object(path) if path.exists() else {}


def _read_object(path):
    """A small JSON file with an object, as a dict."""
    files.require(path, made_by="make train")
    if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path} must be a plain file of at most {MAX_JSON_BYTES} bytes. Copy or make the run again.")
    value = files.read_json(path, made_by="make train")
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object. Copy or make the run again.")
    return value


def read_mos_range(run_dir):
    """(low, high), the two ends of the database's scale; 1-5 where run.json does not say."""
    found = read_run(run_dir).get("mos_range", [1.0, 5.0])
    try:
        low, high = map(float, found)
    except (TypeError, ValueError):
        low = high = 0.0
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"{run_dir}/run.json needs a mos_range of two rising numbers, found {found!r}. Make it again.")
    return low, high


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


def versions():
    """Versions of what a result depends on."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def check_sum(path):
    """The SHA-256 of a model; ValueError where it is not the one that run.json noted."""
    path = Path(path)
    found, noted = _sha256(path), read_run(path.parent).get("sha256", {}).get(path.name)
    if noted and noted != found:
        raise ValueError(
            f"{path} is not the file that this run wrote: its checksum differs. Copy or make the run again."
        )
    return found


def _sha256(path):
    status = path.stat()
    return _sha256_of(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache
def _sha256_of(path, size, changed):
    """The sum of a file in this state: the network of `paper` takes half a second to read."""
    return files.sha256(path)


def check_run(run_dir, head):
    """Look at all that scoring will load, before Keras is imported, which takes seconds.

    Args:
        run_dir: a folder that train and compare wrote.
        head: 'lstm' or 'svr'.

    Returns:
        The identity of the 3D-CNN and the head: 12 hex digits, the same for the same models.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, not ours, or does not fit the others; an unknown head.
    """
    if head not in HEADS:
        raise ValueError(f"Unknown head {head!r}. Choose from: {', '.join(HEADS)}.")
    run_dir = Path(run_dir)
    preset = read_preset(run_dir)
    blocks = preset.block_grid[0] * preset.block_grid[1]
    if preset.num_groups * blocks > MAX_CLIPS:
        raise ValueError(f"{run_dir} asks for {preset.num_groups * blocks} clips of a video, more than {MAX_CLIPS}.")
    cnn3d, pooling = run_dir / CNN3D, run_dir / HEADS[head]
    _check_model(cnn3d, (preset.clip_frames, preset.clip_size, preset.clip_size, 3), made_by="make train")
    if head == "lstm":
        _check_model(pooling, (preset.num_groups, blocks), made_by="make compare")
    else:
        _require_file(pooling, made_by="make compare")
        svr_baseline.check_types(pooling)
    return hashlib.sha256((check_sum(cnn3d) + check_sum(pooling)).encode()).hexdigest()[:12]


def _check_model(path, input_shape, *, made_by):
    _require_file(path, made_by=made_by)
    found = model_files.check(path).input_shape
    if found != input_shape:
        raise ValueError(f"{path} reads {found}, this run's preset.json gives {input_shape}. Copy or make it again.")


def _require_file(path, *, made_by):
    files.require(path, made_by=made_by)
    if not path.is_file():
        raise ValueError(f"{path} must be a plain file. Copy or make the run again.")


def load_model(path, *, made_by):
    """Load one of our .keras files, after looking at what it would build.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a .keras file, one with foreign layers, or one that asks for absurd sizes.
    """
    path = Path(path)
    _require_file(path, made_by=made_by)
    model_files.check(path)
    check_sum(path)
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for weights that do not fit the layers
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"A model that nr-vqm saved is needed, {path} is not one: {reason}") from error
