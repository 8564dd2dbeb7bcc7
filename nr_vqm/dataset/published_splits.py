"""Reader of published splits: the permutations in VSFA's *info.mat, and JSON or CSV files of video names.

Published files use different names for a video; `match` finds it by id, by file name, or by its Flickr number.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nr_vqm.common import atomic_files
from nr_vqm.dataset import label_tables, splits
from nr_vqm.dataset.manifest import Video

# Spellings of the three parts in published files.
PART_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
PART_NAMES |= {"test": "test", "testing": "test"}
FLICKR_NAME = re.compile(r"(\d+)_(?:original|cut)_centercrop")  # KoNViD-1k in some mirrors


def describe(path: str | os.PathLike[str], index: int) -> str:
    """Describe a published split by the name, checksum and entry of its file.

    Args:
        path: the file.
        index: number of the split in the file, from 0.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it is not a .mat, .json or .csv file.
    """
    return f"{Path(path).name} ({atomic_files.sha256(_checked(path))[:12]}), number {index}"


def read(
    path: str | os.PathLike[str], videos: Sequence[Video], *, index: int, val_share: float, seed: int
) -> tuple[splits.Split, list[str]]:
    """Read a published split of a database.

    Args:
        path: .mat with `index` (permutations), `ref_ids` and `video_names`; .json with lists of names for train, test
            and optionally val, or a list of such entries; .csv with a column of names and columns with train, val or
            test.
        videos: the usable videos of the database.
        index: number of the permutation, JSON entry or CSV column, from 0.
        val_share: fraction of the training contents that is used for validation if the file has no val part.
        seed: seed of the draw of these contents.

    Returns:
        (split, notes): the notes report how many videos are in the file or in the database only.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: the file is invalid, has no such split, or names none of the videos.
    """
    path = _checked(path)
    named = READERS[path.suffix.lower()](path, index)
    found = match([name for names in named.values() for name in names], videos)
    parts = {part: tuple(found[name] for name in named.get(part, ()) if name in found) for part in splits.PARTS}
    if not any(parts.values()):
        example = next((name for names in named.values() for name in names), "nothing")
        raise ValueError(
            f"{path} names none of the {len(videos)} videos; it names {example!r}. Use a split of this database."
        )
    if not parts["val"]:
        contents = {one.video_id: one.content for one in videos}
        parts["train"], parts["val"] = splits.take_val(parts["train"], contents, val_share=val_share, seed=seed)
    return splits.Split(**parts), _notes(named, found, videos)


def match(names: Iterable[str], videos: Iterable[Video]) -> dict[str, str]:
    """Match the names in a published file to the videos of a database.

    Returns:
        {name: video_id}, without the names of unknown videos.

    Raises:
        ValueError: two names match one video, or one name matches two videos.
    """
    by_key: dict[str, set[str]] = {}
    for one in videos:
        for key in {*_keys(one.video_id), *_keys(one.path)}:
            by_key.setdefault(key, set()).add(one.video_id)
    found = {}
    for name in names:
        ids: set[str] = next((by_key[key] for key in _keys(name) if key in by_key), set())
        if len(ids) > 1:
            raise ValueError(
                f"The name {name!r} in the split matches {' and '.join(sorted(ids)[:2])}. Use the video_id."
            )
        if ids:
            found[name] = next(iter(ids))
    if len(set(found.values())) < len(found):
        twice = next(one for one in found.values() if list(found.values()).count(one) > 1)
        raise ValueError(
            f"A split must name every video once, found {twice!r} under two names. Correct the split file."
        )
    return found


def _keys(name: str) -> list[str]:
    """List the forms by which a name is matched, the most reliable first."""
    path = Path(name)
    flickr = FLICKR_NAME.match(path.name)
    return [key.lower() for key in (str(name), path.name, path.stem, *(flickr.groups() if flickr else ()))]


def _notes(named: Mapping[str, Sequence[str]], found: Mapping[str, str], videos: Sequence[Video]) -> list[str]:
    total = sum(len(names) for names in named.values())
    notes = []
    if len(found) < total:
        notes.append(
            f"{total - len(found)} of the split's {total} videos are not among the usable ones and are skipped."
        )
    unused = len(videos) - len(found)
    if unused:
        notes.append(f"{unused} of {len(videos)} usable videos are not in the split and are not used.")
    return notes


def _read_mat(path: Path, index: int) -> dict[str, list[str]]:
    """Read a permutation: its first 60 % of references train, the next 20 % validate, the remaining ones test.

    The limits are rounded up, like in VSFA's published code.
    """
    table = label_tables.read_columns(path)
    missing = sorted({"index", "ref_ids", "video_names"} - set(table))
    if missing:
        raise ValueError(f"{path} needs index, ref_ids and video_names, it lacks {', '.join(missing)}.")
    references, names, orders = table["ref_ids"].ravel(), table["video_names"], np.atleast_2d(table["index"])
    num_references = len(set(references.tolist()))
    if orders.ndim != 2 or num_references not in orders.shape or len(names) != len(references):
        raise ValueError(
            f"{path} needs a reference for each video and permutations of them in index, found "
            f"{len(names)} video_names, {len(references)} ref_ids, index of shape {orders.shape}."
        )
    orders = orders if orders.shape[1] == num_references else orders.T
    order = _pick(list(orders), index, path, "permutations").tolist()
    if sorted(order) != sorted(set(references.tolist())):
        raise ValueError(f"{path}: permutation {index} does not hold every reference of ref_ids once.")
    end_train, end_val = -(-6 * len(order) // 10), -(-8 * len(order) // 10)
    references_of = dict(zip(splits.PARTS, (order[:end_train], order[end_train:end_val], order[end_val:]), strict=True))
    part_of = {reference: part for part, members in references_of.items() for reference in members}
    parts: dict[str, list[str]] = {part: [] for part in splits.PARTS}
    for name, reference in zip(names, references.tolist(), strict=True):
        parts[part_of[reference]].append(str(name))
    return parts


def _read_json(path: Path, index: int) -> dict[str, list[str]]:
    value = atomic_files.read_json(path, made_by="its publisher")
    entry = _pick(value if isinstance(value, list) else [value], index, path, "splits")
    if not isinstance(entry, dict):
        raise ValueError(f"{path} needs lists of video names under train, test and optionally val.")
    parts = {PART_NAMES[name.lower()]: names for name, names in entry.items() if name.lower() in PART_NAMES}
    if not {"train", "test"} <= set(parts) or not all(isinstance(names, list) for names in parts.values()):
        raise ValueError(f"{path} needs lists of video names under train, test and optionally val.")
    return {part: [str(name) for name in names] for part, names in parts.items()}


def _read_csv(path: Path, index: int) -> dict[str, list[str]]:
    table = label_tables.read_columns(path)
    by_lower = {name.lower(): values for name, values in table.items()}
    names = next((by_lower[name] for name in label_tables.NAME_NAMES if name in by_lower), None)
    lowered = [[str(value).strip().lower() for value in values] for values in table.values()]
    columns = [cells for cells in lowered if set(cells) - {""} <= set(PART_NAMES) and any(cells)]
    if names is None or not columns:
        raise ValueError(
            f"{path} needs a column of names ({', '.join(label_tables.NAME_NAMES[1:4])}, ...) and one with "
            f"train, val or test for each; found: {', '.join(table)}."
        )
    parts: dict[str, list[str]] = {part: [] for part in splits.PARTS}
    for name, part in zip(names, _pick(columns, index, path, "columns of parts"), strict=True):
        if part:
            parts[PART_NAMES[part]].append(str(name))
    return parts


def _pick(entries: Sequence[Any], index: int, path: Path, what: str) -> Any:
    if not 0 <= index < len(entries):
        raise ValueError(f"{path} has {len(entries)} {what}, numbered from 0: there is no number {index}.")
    return entries[index]


READERS = {".mat": _read_mat, ".json": _read_json, ".csv": _read_csv}


def _checked(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"A split is strict, paper or a .mat, .json or .csv file; there is no file {path}.")
    if path.suffix.lower() not in READERS:
        raise ValueError(f"A split file ends in {', '.join(READERS)}, found {path.name}.")
    return path
