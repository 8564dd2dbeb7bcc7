"""Splits that keep every content on one side: train, val, test."""

import dataclasses
import hashlib
import json
from collections import defaultdict

import numpy as np

from nr_vqm import files

PARTS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Split:
    """video_ids of the three parts."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def hash(self):
        """SHA-256 over the parts; the same split, whoever made it, has the same hash."""
        parts = [sorted(getattr(self, part)) for part in PARTS]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def split_by_content(contents, *, train_fraction, val_fraction, seed):
    """Divide videos at random so that no content is on two sides.

    The fractions are of contents; the rest is test. Every part gets at least one content.

    Args:
        contents: {video_id: content}.
        train_fraction, val_fraction: in (0, 1).
        seed: same seed, same split, whatever the order of `contents`.

    Raises:
        ValueError: fewer than three contents.
    """
    names = sorted(set(contents.values()))
    if len(names) < 3:
        raise ValueError(f"Three contents are needed for train, val and test, found {len(names)}. Add videos.")
    order = np.random.default_rng(seed).permutation(len(names))
    num_train = min(max(1, round(train_fraction * len(names))), len(names) - 2)
    num_val = min(max(1, round(val_fraction * len(names))), len(names) - num_train - 1)
    part_of = {names[i]: "train" if n < num_train else "val" if n < num_train + num_val else "test"
               for n, i in enumerate(order)}  # fmt: skip
    parts = defaultdict(list)
    for video_id in sorted(contents):
        parts[part_of[contents[video_id]]].append(video_id)
    return Split(**{part: tuple(parts[part]) for part in PARTS})


def check(split, contents):
    """Raise ValueError where a content is on two sides or an id is unknown.

    Args:
        split: Split.
        contents: {video_id: content} of every usable video.
    """
    sides = defaultdict(set)
    for part in PARTS:
        for video_id in getattr(split, part):
            if video_id not in contents:
                raise ValueError(
                    f"The split's {part} part names video {video_id!r}, which the manifest lacks or leaves out."
                )
            sides[contents[video_id]].add(part)
    leaks = sorted(content for content, parts in sides.items() if len(parts) > 1)
    if leaks:
        shown = ", ".join(leaks[:5]) + (", ..." if len(leaks) > 5 else "")
        raise ValueError(f"A content must be on one side of a split, {len(leaks)} are on two or more: {shown}.")


def write(path, split):
    """Store a split with its hash."""
    files.write_json(path, {**dataclasses.asdict(split), "hash": split.hash})


def read(path):
    """Load a split; ValueError where it was changed by hand (its hash tells)."""
    stored = files.read_json(path, made_by="make train")
    try:
        split = Split(**{part: tuple(stored[part]) for part in PARTS})
    except (KeyError, TypeError):
        raise ValueError(f"{path} needs lists of video ids named train, val and test.") from None
    if stored.get("hash") != split.hash:
        raise ValueError(
            f"{path} does not match its hash: it was changed after it was written. Train again in a new run."
        )
    return split
