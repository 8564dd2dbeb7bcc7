"""What a run folder holds, and loading it safely.

<run>/run.json says which database and versions made it, how long each stage took, and the checksums of its models.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import math
import os
import platform
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from nr_vqm import files, model_files, presets, svr_baseline

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "scikit-learn", "opencv-python-headless", "h5py", "skops")
CNN3D = "cnn3d.keras"
HEADS = {"lstm": "lstm_head.keras", "svr": "svr.skops"}  # the heads that score videos
OTHER_HEADS = {"lstm_features": "lstm_features_head.keras", "lstm_finetuned": "lstm_finetuned_head.keras"}
MODELS = (CNN3D, *HEADS.values(), *OTHER_HEADS.values())
MAX_REPEATS = 1000
MAX_JSON_BYTES = 10_000_000


def write_preset(run_dir, preset):
    """Store the settings of a run."""
    files.write_json(Path(run_dir) / "preset.json", dataclasses.asdict(preset))


def read_preset(run_dir):
    """The Preset of a run."""
    return presets.from_json(_read_object(Path(run_dir) / "preset.json"))


def read_run(run_dir):
    """run.json as a dict; empty where there is none yet."""
    path = Path(run_dir) / "run.json"
    run = _read_object(path) if path.exists() else {}
    for name in ("sha256", "seconds"):
        if not isinstance(run.get(name, {}), dict):
            raise ValueError(
                f"{path} must hold an object as {name!r}, found {run[name]!r}. Copy or make the run again."
            )
    repeats = run.get("repeats", 1)
    if type(repeats) is not int or not 1 <= repeats <= MAX_REPEATS:
        raise ValueError(f"{path} needs 1 to {MAX_REPEATS} repeats, found {repeats!r}. Copy or make the run again.")
    return run


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


def check_data(run_dir, prep, data):
    """Raise ValueError where a run was begun with other videos or labels than those of a data folder.

    Args:
        run_dir: a run folder; one that does not say is taken at its word.
        prep: prep.json of the data folder `data`.
    """
    begun = read_run(run_dir).get("labels_sha256")
    if begun not in (None, prep["labels_sha256"]):
        raise ValueError(f"{run_dir} was begun with other videos or labels than {data} holds. Choose another --run.")


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


def derive(source, target, *, keep, facts=None, **changes):
    """Make `target` a run with the networks of `source` and some other settings, for every repeat.

    What all ablations do: what does not change is shared by hard links, the rest is left to the stages.

    Args:
        source: a run folder.
        target: a folder; one that was made before with the same settings is taken up again.
        keep: names of files to share; those that `source` lacks are passed over.
        facts: what run.json says otherwise than that of `source`.
        changes: settings of the preset.

    Returns:
        `target` as a Path.

    Raises:
        ValueError: the folder was made from another network, or with other settings.
    """
    source, target = Path(source), Path(target)
    for old in dict.fromkeys([source, *repeat_dirs(source)]):
        _derive(old, target / old.relative_to(source), keep, facts or {}, changes)
    return target


def _derive(old, new, keep, facts, changes):
    new.mkdir(parents=True, exist_ok=True)
    preset = dataclasses.replace(read_preset(old), **changes)
    if (new / "preset.json").exists() and read_preset(new) != preset:
        raise ValueError(f"{new} was begun with other settings. Delete it, or choose another folder.")
    write_preset(new, preset)
    shared = [name for name in keep if (old / name).exists()]
    for name in shared:
        _share(old / name, new / name)
    run = read_run(old)
    facts = {name: value for name, value in run.items() if name not in ("seconds", "scored", "sha256")} | facts
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
    if len(repeats := repeat_dirs(run_dir)) > 1:
        raise ValueError(f"{run_dir} has {len(repeats)} repeats with models of their own. Name one: {repeats[0]}.")
    preset = read_preset(run_dir)
    blocks = preset.block_grid[0] * preset.block_grid[1]
    cnn3d, pooling = run_dir / CNN3D, run_dir / HEADS[head]
    _check_model(cnn3d, (preset.clip_frames, preset.clip_size, preset.clip_size, 3), made_by="make train")
    if head == "lstm":
        _check_model(pooling, (preset.num_groups, blocks), made_by="make compare")
    else:
        _require_file(pooling, made_by="make compare")
        svr_baseline.check_types(pooling)
    check_heads(run_dir)
    return hashlib.sha256((check_sum(cnn3d) + check_sum(pooling)).encode()).hexdigest()[:12]


def check_heads(run_dir):
    """Raise ValueError where the 3D-CNN has been trained further since the heads were fitted on its answers."""
    heads_of = read_run(run_dir).get("heads_of")
    if heads_of and heads_of != check_sum(Path(run_dir) / CNN3D):
        raise ValueError(
            f"{run_dir}: the heads were fitted on another 3D-CNN than {CNN3D}. Fit them again: make features compare."
        )


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
