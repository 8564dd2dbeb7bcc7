"""Splits that keep every content on one side: train, val, test."""

import dataclasses
import hashlib
import json
from collections import defaultdict

import numpy as np

from nr_vqm.common import atomic_files

PARTS = ("train", "val", "test")
MAX_LISTED = 60  # names in one message; LIVE-Qualcomm has 54 scenes


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


def paper_fractions(database: str, *, val_share: float) -> dict[str, float]:
    """Return train_fraction and val_fraction of the paper's split: val is taken out of its training part.

    Args:
        database: LIVE-Qualcomm trains on 80 %, KoNViD-1k and any other on 90 %.
        val_share: the part of the paper's training part that becomes val, in (0, 1).

    Source: ICIP 2019, section 4; the validation part is ours.
    """
    training = 0.8 if database == "live_qualcomm" else 0.9
    val = round(training * val_share, 6)
    return {"train_fraction": round(training - val, 6), "val_fraction": val}


def take_val(train, contents, *, val_share, seed):
    """Take whole contents out of a training part: (train, val), tuples of video_ids.

    Args:
        train: video_ids of at least two contents.
        contents: {video_id: content}.
        val_share: the part of the contents that is taken, in (0, 1); at least one.
        seed: decides which.
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


def leaks(split, contents):
    """The contents that are on two sides or more, sorted.

    Args:
        split: Split.
        contents: {video_id: content} of every usable video.

    Raises:
        ValueError: the split names a video that `contents` lacks, or one video twice.
    """
    sides, seen = defaultdict(set), set()
    for part in PARTS:
        for video_id in getattr(split, part):
            if video_id not in contents:
                raise ValueError(
                    f"The split's {part} part names video {video_id!r}, which the manifest lacks or leaves out."
                )
            if video_id in seen:
                raise ValueError(f"A split names every video once, {video_id!r} is there twice. Mend the split file.")
            seen.add(video_id)
            sides[contents[video_id]].add(part)
    return sorted(content for content, parts in sides.items() if len(parts) > 1)


def check(split, contents, *, allow_leak=False):
    """Raise ValueError where a content is on two sides, a part is empty, or an id is unknown or there twice.

    Args:
        split: Split.
        contents: {video_id: content} of every usable video.
        allow_leak: contents on two sides are no error.

    Returns:
        the contents on two sides; empty but for `allow_leak`.
    """
    found = leaks(split, contents)
    for part in PARTS:
        if not getattr(split, part):
            raise ValueError(f"A split needs videos to train, to validate and to test, its {part} part is empty.")
    if found and not allow_leak:
        raise ValueError(
            f"A content must be on one side of a split, {len(found)} are on two or more: {_list(found)}. "
            "Mend the split file, or train on it all the same: --allow-leak."
        )
    return found


def _list(names):
    return ", ".join(names[:MAX_LISTED]) + (f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else "")


def write(path, split, *, made_by="", leaks=(), fingerprints=None):
    """Store a split with its hash.

    Args:
        path: the file.
        split: Split.
        made_by: how it was made, for people.
        leaks: contents that are on two sides all the same.
        fingerprints: {video_id: fingerprint} of at least its videos, as in the manifest; `refuse_known` needs them.
    """
    named = [video_id for part in PARTS for video_id in getattr(split, part)]
    facts = {"hash": split.hash, "made_by": made_by, "leaks": list(leaks)}
    facts["fingerprints"] = {video_id: fingerprints[video_id] for video_id in named} if fingerprints else {}
    atomic_files.write_json(path, dataclasses.asdict(split) | facts)


def read_fingerprints(path):
    """{video_id: fingerprint} of the videos of a split.

    Raises:
        ValueError: a video has none, so that it could not be recognised in another database.
    """
    split, found = read(path), atomic_files.read_json(path, made_by="make train").get("fingerprints", {})
    for video_id in (*split.train, *split.val, *split.test):
        if not found.get(video_id):
            raise ValueError(f"{path} has no fingerprint of video {video_id!r}. Prepare and train in new folders.")
    return found


def refuse_known(path, tested, *, remedy):
    """Refuse to test a run on videos that it was fitted on, whatever they are called there.

    Video ids are unique within a database only, so videos are recognised by their content.

    Args:
        path: splits.json of the run whose models are to be tested.
        tested: {video_id: fingerprint} of the videos that they are to be tested on.
        remedy: what to do instead, a sentence.

    Raises:
        ValueError: some were in its train or val part, or a video has no fingerprint.
    """
    for video_id, fingerprint in tested.items():
        if not fingerprint:
            raise ValueError(
                f"The manifest has no fingerprint of video {video_id!r}. Prepare in a new folder: make prep."
            )
    split, fingerprints = read(path), read_fingerprints(path)
    fitted = {fingerprints[video_id] for video_id in (*split.train, *split.val)}
    known = sorted(video_id for video_id, fingerprint in tested.items() if fingerprint in fitted)
    if known:
        raise ValueError(
            f"The models of {path.parent} were fitted on {len(known)} of the {len(tested)} test videos, "
            f"{known[0]!r} first. {remedy}"
        )


def read_facts(path):
    """(how the split was made, contents on two sides) as `write` stored them; (None, []) in files without."""
    stored = atomic_files.read_json(path, made_by="make train")
    return stored.get("made_by"), stored.get("leaks", [])


def read(path):
    """Load a split; ValueError where it was changed by hand (its hash tells)."""
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
