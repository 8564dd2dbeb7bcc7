"""Splits of a database into train, val and test, with every content in one part."""

import dataclasses
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nr_vqm.common import atomic_files

PARTS = ("train", "val", "test")
MAX_LISTED = 60  # names in one message; LIVE-Qualcomm has 54 scenes


@dataclasses.dataclass(frozen=True)
class Split:
    """The video_ids of the three parts of a split.

    Attributes:
        train: videos that the models are fitted on.
        val: videos that decide when training stops.
        test: videos that the scores are compared on.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def hash(self) -> str:
        """SHA-256 of the three parts as hex digits; it does not depend on the order of the videos."""
        parts = [sorted(getattr(self, part)) for part in PARTS]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def split_by_content(contents: Mapping[str, str], *, train_fraction: float, val_fraction: float, seed: int) -> Split:
    """Divide videos at random into train, val and test so that no content is in two parts.

    Every part gets at least one content.

    Args:
        contents: {video_id: content}.
        train_fraction: fraction of the contents for training, in (0, 1).
        val_fraction: fraction of the contents for validation, in (0, 1); the remaining contents are for testing.
        seed: seed of the draw. The split does not depend on the order of `contents`.

    Raises:
        ValueError: fewer than three contents.

    >>> contents = {"a1": "a", "a2": "a", "b": "b", "c": "c", "d": "d", "e": "e"}
    >>> split = split_by_content(contents, train_fraction=0.6, val_fraction=0.2, seed=1)
    >>> split.train, split.val, split.test
    (('a1', 'a2', 'b', 'e'), ('c',), ('d',))
    """
    names = sorted(set(contents.values()))
    if len(names) < 3:
        raise ValueError(f"Three contents are needed for train, val and test, found {len(names)}. Add videos.")
    order = np.random.default_rng(seed).permutation(len(names))
    num_train = min(max(1, round(train_fraction * len(names))), len(names) - 2)
    num_val = min(max(1, round(val_fraction * len(names))), len(names) - num_train - 1)
    part_of = {names[i]: "train" if n < num_train else "val" if n < num_train + num_val else "test"
               for n, i in enumerate(order)}  # fmt: skip
    parts: dict[str, list[str]] = defaultdict(list)
    for video_id in sorted(contents):
        parts[part_of[contents[video_id]]].append(video_id)
    return Split(**{part: tuple(parts[part]) for part in PARTS})


def paper_fractions(database: str, *, val_share: float) -> dict[str, float]:
    """Return the arguments train_fraction and val_fraction of `split_by_content` for the paper's split.

    The paper trains on 80 % of LIVE-Qualcomm and on 90 % of KoNViD-1k; the latter is used for every other database.

    Args:
        database: name of the database, for example 'live_qualcomm'.
        val_share: fraction of the paper's training part that is used for validation, in (0, 1).

    Source: ICIP 2019, section 4; the validation part is ours.

    >>> paper_fractions("konvid1k", val_share=0.1)
    {'train_fraction': 0.81, 'val_fraction': 0.09}
    """
    training = 0.8 if database == "live_qualcomm" else 0.9
    val = round(training * val_share, 6)
    return {"train_fraction": round(training - val, 6), "val_fraction": val}


def take_val(
    train: Sequence[str], contents: Mapping[str, str], *, val_share: float, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide a training part into a smaller training part and a validation part, by whole contents.

    Args:
        train: video_ids of at least two contents.
        contents: {video_id: content}.
        val_share: fraction of the contents that is used for validation, in (0, 1); at least one content.
        seed: seed of the draw.

    Returns:
        (train, val), each the video_ids of a part.

    Raises:
        ValueError: all videos have the same content.

    >>> take_val(("a1", "a2", "b"), {"a1": "a", "a2": "a", "b": "b"}, val_share=0.5, seed=1)
    (('b',), ('a1', 'a2'))
    """
    names = sorted({contents[video_id] for video_id in train})
    if len(names) < 2:
        raise ValueError(f"A val part needs two contents to train on, found {len(names)}. Name val in the split file.")
    num_val = min(max(1, round(val_share * len(names))), len(names) - 1)
    taken = {names[i] for i in np.random.default_rng(seed).permutation(len(names))[:num_val]}
    return (
        tuple(video_id for video_id in train if contents[video_id] not in taken),
        tuple(video_id for video_id in train if contents[video_id] in taken),
    )


def leaks(split: Split, contents: Mapping[str, str]) -> list[str]:
    """List the contents that are in more than one part of a split, sorted.

    Args:
        split: the split.
        contents: {video_id: content} of every usable video.

    Raises:
        ValueError: the split names an unknown video, or one video twice.

    >>> leaks(Split(train=("a1",), val=("b",), test=("a2",)), {"a1": "a", "a2": "a", "b": "b"})
    ['a']
    """
    parts_of: dict[str, set[str]] = defaultdict(set)
    seen: set[str] = set()
    for part in PARTS:
        for video_id in getattr(split, part):
            if video_id not in contents:
                raise ValueError(
                    f"The split's {part} part names video {video_id!r}, which is not a usable video of the manifest."
                )
            if video_id in seen:
                raise ValueError(
                    f"A split must name every video once, found {video_id!r} twice. Correct the split file."
                )
            seen.add(video_id)
            parts_of[contents[video_id]].add(part)
    return sorted(content for content, parts in parts_of.items() if len(parts) > 1)


def check(split: Split, contents: Mapping[str, str], *, allow_leak: bool = False) -> list[str]:
    """Validate a split.

    Args:
        split: the split.
        contents: {video_id: content} of every usable video.
        allow_leak: accept contents that are in more than one part.

    Returns:
        The contents in more than one part, sorted; always empty without `allow_leak`.

    Raises:
        ValueError: a content is in more than one part, a part is empty, or a video is unknown or named twice.
    """
    found = leaks(split, contents)
    for part in PARTS:
        if not getattr(split, part):
            raise ValueError(f"A split needs videos for train, val and test, its {part} part is empty.")
    if found and not allow_leak:
        raise ValueError(
            f"Every content must be in one part of a split, found {len(found)} in two or more: {_list(found)}. "
            "Correct the split file, or accept the leak: --allow-leak."
        )
    return found


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_LISTED]) + (f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else "")


def write(
    path: str | os.PathLike[str],
    split: Split,
    *,
    made_by: str = "",
    leaks: Iterable[str] = (),
    fingerprints: Mapping[str, str] | None = None,
    inherited: Iterable[str] = (),
) -> None:
    """Write a split to a JSON file, with its hash.

    Args:
        path: the file.
        split: the split.
        made_by: description of how it was made.
        leaks: contents that are in more than one part, accepted by the user.
        fingerprints: {video_id: fingerprint} of at least the videos of the split, as in the manifest;
            `refuse_fitted` needs them.
        inherited: `read_fitted` of the run whose 3D-CNN the training starts from.
    """
    named = [video_id for part in PARTS for video_id in getattr(split, part)]
    facts: dict[str, Any] = {"hash": split.hash, "made_by": made_by, "leaks": list(leaks)}
    facts["fingerprints"] = {video_id: fingerprints[video_id] for video_id in named} if fingerprints else {}
    if inherited := sorted(inherited):
        facts["inherited"] = inherited
    atomic_files.write_json(path, dataclasses.asdict(split) | facts)


def read_fingerprints(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the fingerprints of the videos of a split file, as {video_id: fingerprint}.

    Raises:
        ValueError: a video has no fingerprint, so it cannot be recognised in another database.
    """
    split, found = read(path), atomic_files.read_json(path, made_by="make train").get("fingerprints", {})
    for video_id in (*split.train, *split.val, *split.test):
        if not found.get(video_id):
            raise ValueError(f"{path} has no fingerprint of video {video_id!r}. Prepare and train in new folders.")
    return found


def read_fitted(path: str | os.PathLike[str]) -> set[str]:
    """Read the fingerprints of the videos that the models of a run were fitted on.

    These are the videos of its train and val parts, and those that the 3D-CNN which its training started from was
    fitted on. The latter are missing from files of earlier versions.

    Args:
        path: splits.json of the run.

    Raises:
        ValueError: a video has no fingerprint.
    """
    split, fingerprints = read(path), read_fingerprints(path)
    inherited = atomic_files.read_json(path, made_by="make train").get("inherited", [])
    return {fingerprints[video_id] for video_id in (*split.train, *split.val)} | set(inherited)


def refuse_fitted(path: Path, tested: Mapping[str, str], *, remedy: str) -> None:
    """Refuse to test the models of a run on videos that they were fitted on.

    Video ids are unique within a database only, so videos are recognised by the fingerprints of their files.

    Args:
        path: splits.json of the run whose models are tested.
        tested: {video_id: fingerprint} of the test videos.
        remedy: the last sentence of the message, which says what to do instead.

    Raises:
        ValueError: a test video is one of `read_fitted`, or has no fingerprint.
    """
    for video_id, fingerprint in tested.items():
        if not fingerprint:
            raise ValueError(
                f"The manifest has no fingerprint of video {video_id!r}. Prepare in a new folder: make prep."
            )
    fitted = read_fitted(path)
    known = sorted(video_id for video_id, fingerprint in tested.items() if fingerprint in fitted)
    if known:
        raise ValueError(
            f"The models of {path.parent} were fitted on {len(known)} of the {len(tested)} test videos, "
            f"{known[0]!r} first. {remedy}"
        )


def read_facts(path: str | os.PathLike[str]) -> tuple[str | None, list[str]]:
    """Read how a split was made, and the contents in more than one of its parts.

    Returns:
        (made_by, leaks), the arguments of `write`; (None, []) for files without them.
    """
    stored = atomic_files.read_json(path, made_by="make train")
    return stored.get("made_by"), stored.get("leaks", [])


def read(path: str | os.PathLike[str]) -> Split:
    """Read a split file.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it lacks a part, or was changed after it was written, so that its hash does not match.
    """
    stored = atomic_files.read_json(path, made_by="make train")
    try:
        split = Split(**{part: tuple(stored[part]) for part in PARTS})
    except (KeyError, TypeError):
        raise ValueError(f"{path} needs lists of video ids named train, val and test.") from None
    if stored.get("hash") != split.hash:
        raise ValueError(
            f"{path} does not match its hash: it was changed after it was written. Train again in a new run."
        )
    return split
