"""Read and validate run.json, the facts of a run, and other small JSON files of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nr_vqm.common import atomic_files
from nr_vqm.dataset import mos_scale
from nr_vqm.runs.stage_records import REPAIR

MAX_REPEATS = 1000
MAX_JSON_BYTES = 10_000_000


def read(path: Path) -> dict[str, Any]:
    """Read run.json; empty if the run has none yet.

    Raises:
        ValueError: the file is damaged or was not written by nr-vqm.
    """
    facts = read_object(path) if path.exists() else {}
    for name in ("stages", "seconds", "precision"):
        if not isinstance(facts.get(name, {}), dict):
            raise ValueError(f"{path} must hold an object as {name!r}, found {facts[name]!r}. {REPAIR}")
    repeats = facts.get("repeats", 1)
    if type(repeats) is not int or not 1 <= repeats <= MAX_REPEATS:
        raise ValueError(f"{path} needs 1 to {MAX_REPEATS} repeats, found {repeats!r}. {REPAIR}")
    return facts


def mos_range(facts: Mapping[str, Any], path: Path) -> tuple[float, float]:
    """Return the lowest and highest value of the MOS scale that a run was trained on.

    Args:
        facts: the content of run.json.
        path: run.json, for the message.

    Raises:
        ValueError: the facts do not state the scale.
    """
    found = facts.get("mos_range")
    if isinstance(found, list) and [type(end) in (int, float) for end in found] == [True, True]:
        low, high = found
        if -mos_scale.LARGEST <= low < high <= mos_scale.LARGEST:
            return float(low), float(high)
    raise ValueError(
        f"{path} needs the MOS scale as 'mos_range': [low, high], in rising order within +-{mos_scale.LARGEST:g}; "
        f"found {'none' if found is None else repr(found)}. {REPAIR}"
    )


def read_object(path: Path) -> dict[str, Any]:
    """Read a small JSON file that holds an object.

    Raises:
        FileNotFoundError: it does not exist.
        ValueError: it is too large, is not JSON or does not hold an object.
    """
    atomic_files.require(path, made_by="make train")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path} must have at most {MAX_JSON_BYTES} bytes. {REPAIR}")
    value = atomic_files.read_json(path, made_by="make train")
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object. {REPAIR}")
    return value
