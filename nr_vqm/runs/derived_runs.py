"""Runs derived from another run: they share some of its files and differ in some settings or facts."""

import dataclasses
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from nr_vqm.common import atomic_files
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.runs.stage_records import STAGES


def derive(
    source: RunFolder,
    target: RunFolder,
    *,
    keep: Collection[str],
    facts: Mapping[str, Any] | None = None,
    **changes: Any,
) -> RunFolder:
    """Create or update a run that shares files with another run, for every repeat.

    Shared files are hard links; the stages of `target` create the others. Calling this again brings `target` up to
    date with `source`: a stage of `target` whose inputs have changed is no longer complete.

    Args:
        source: the run to derive from.
        target: a new folder, or one that an earlier call created with the same settings.
        keep: names of the files to share; files that `source` lacks are skipped.
        facts: values of run.json that differ from those of `source`.
        changes: settings of the preset that differ from those of `source`.

    Returns:
        `target`.

    Raises:
        ValueError: the folder was created with other settings.
    """
    for old in {one.path: one for one in (source, *source.repeats())}.values():
        _derive_one(old, RunFolder(target.path / old.path.relative_to(source.path)), keep, facts or {}, changes)
    return target


def _derive_one(
    old: RunFolder, new: RunFolder, keep: Collection[str], facts: Mapping[str, Any], changes: Mapping[str, Any]
) -> None:
    new.path.mkdir(parents=True, exist_ok=True)
    atomic_files.drop_leftovers(new.path)
    preset = dataclasses.replace(old.read_preset(), **changes)
    if new.preset.exists() and new.read_preset() != preset:
        raise ValueError(f"{new} was created with other settings. Delete it, or choose another folder.")
    new.write_preset(preset)
    for name in keep:
        if (old.path / name).exists():
            share_file(old.path / name, new.path / name)
    source_facts = old.read_facts()
    records = source_facts.get("stages", {})
    kept = {name: records[name] for name in STAGES if name in records and set(STAGES[name].writes) & set(keep)}
    others = {name: value for name, value in source_facts.items() if name not in ("seconds", "stages")}
    if "precision" in others:  # a stage that `new` runs itself may have another one
        others["precision"] = {stage: dtype for stage, dtype in others["precision"].items() if stage in kept}
    new.update_facts(**others | dict(facts), stages=kept)


def share_file(old: Path, new: Path) -> None:
    """Make `new` a hard link to `old`. This is safe: files of a run are replaced, never changed in place.

    Args:
        old: a file of a run.
        new: the path in another run; its folder is created if it is missing.
    """
    if new.exists() and new.samefile(old):
        return
    new.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files.replace_when_complete(new) as temporary:
        try:
            os.link(old, temporary)
        except OSError:  # on another disk, or the file system has no hard links
            shutil.copyfile(old, temporary)
