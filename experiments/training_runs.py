"""Run folders of a training: settings, facts and splits, written before the first 3D-CNN is trained."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from nr_vqm import presets
from nr_vqm.common import atomic_files, jax_processes
from nr_vqm.dataset import manifest, published_splits, shards, splits
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.runs.run_folder import RunFolder

GENERATED = ("strict", "paper")  # splits drawn at random; any other name is a file with published splits
PREPARED = ("clip_frames", "clip_size", "train_groups", "train_grid", "downscale")  # settings fixed by make prep
REMEDY = "Start from a run of another database, or from one with the same test videos."


@dataclasses.dataclass(frozen=True)
class SplitOptions:
    """Options that select the splits of a run.

    Attributes:
        name: 'strict', 'paper', or the path of a file with published splits.
        index: number of the first split in the file; repeats use the next ones.
        allow_leak: accept a published split that divides a content.
    """

    name: str
    index: int = 0
    allow_leak: bool = False


@dataclasses.dataclass(frozen=True)
class Training:
    """One 3D-CNN to train: its folder, settings and split."""

    folder: RunFolder
    preset: presets.Preset
    split: splits.Split
    is_complete: bool


def check_prepared(
    preset: presets.Preset, prep: Mapping[str, Any], table: shards.ClipTable, data: str | os.PathLike[str]
) -> None:
    """Raise ValueError if a data folder was prepared with other settings than those of a run.

    Args:
        preset: settings of the run.
        prep: prep.json of the data folder.
        table: its clips.
        data: its path, for the message.
    """
    for name in PREPARED:
        found, wanted = prep.get(name, False), getattr(preset, name)
        if (tuple(found) if isinstance(found, list) else found) != wanted:
            raise ValueError(
                f"The run's preset {preset.name!r} has {name}={wanted}, {data} was prepared with {found}. "
                "Use the same preset and --set for both."
            )
    needed = (preset.clip_frames, preset.clip_size, preset.clip_size, 3)
    if table.clip_shape != needed:
        raise ValueError(f"Clips of shape {needed} are needed, {data} has {table.clip_shape}. Run again: make prep.")


def start(
    run: RunFolder,
    preset: presets.Preset,
    *,
    facts: Mapping[str, Any],
    videos: Sequence[manifest.Video],
    repeats: int,
    options: SplitOptions,
    parent: RunFolder | None = None,
) -> list[Training]:
    """Create the folders of a run and its repeats, or check that existing ones have the same settings and splits.

    All splits are made before the first training, because a file may hold too few.

    Args:
        run: the run folder, locked by the first process.
        preset: settings of the first repeat; each further repeat has the next seed.
        facts: values for run.json.
        videos: the usable videos of the data folder.
        repeats: number of 3D-CNNs, each with its own split.
        options: selection of the splits.
        parent: the run whose 3D-CNN the training starts from.

    Raises:
        ValueError: the run was started with other settings, labels, repeats or splits, a split cannot be made, or
            `parent` was fitted on test videos.
    """
    if options.name not in GENERATED:
        published_splits.describe(options.name, options.index)  # checks the file before the run is created
    if parent and not run.facts.exists():
        for number in range(repeats):
            changed, option = _of_repeat(number, preset, options)
            _refuse_parent(parent, _new_split(changed, videos, option), videos)
    _start_folder(run, preset, {**facts, "repeats": repeats})
    trainings = []
    for number, folder in enumerate(run.repeats()):
        settings, option = _of_repeat(number, preset, options)
        if folder != run:
            _start_folder(folder, settings, facts)
        split = _split(folder, settings, videos, option, parent)
        trainings.append(Training(folder, settings, split, folder.is_complete("train")))
    return trainings


def _of_repeat(number: int, preset: presets.Preset, options: SplitOptions) -> tuple[presets.Preset, SplitOptions]:
    """Return the settings and the split of one repeat."""
    settings = dataclasses.replace(preset, seed=preset.seed + number)
    return settings, dataclasses.replace(options, index=options.index + number)


def _refuse_parent(parent: RunFolder, split: splits.Split, videos: Sequence[manifest.Video]) -> None:
    """Raise ValueError if `parent` was fitted on a test video of the split."""
    test = set(split.test)
    tested = {video.video_id: video.fingerprint for video in videos if video.video_id in test}
    splits.refuse_fitted(parent.splits, tested, remedy=REMEDY)


def _start_folder(run: RunFolder, preset: presets.Preset, facts: Mapping[str, Any]) -> None:
    """Create a run folder and store its settings, in the first process; refuse one with other settings."""
    if not jax_processes.is_first():
        return
    run.path.mkdir(parents=True, exist_ok=True)
    atomic_files.drop_leftovers(run)
    run.check_labels(facts, facts["data_dir"])
    if run.preset.exists() and run.read_preset() != preset:
        raise ValueError(f"{run} was started with other settings. Choose another --run, or delete it.")
    if run.facts.exists() and run.read_facts().get("started_from") != facts.get("started_from"):
        raise ValueError(f"{run} was started from another 3D-CNN. Choose another --run, or the same --start.")
    repeats = facts.get("repeats", 1)
    started = run.read_facts().get("repeats", repeats)
    if started != repeats and (repeats < started or started == 1):
        raise ValueError(f"{run} was started with --repeats {started}, which is now {repeats}. Choose another --run.")
    run.write_preset(preset)
    teacher = DataFolder(facts["data_dir"]).teacher
    if teacher.exists():
        atomic_files.copy(teacher, run.teacher)
    run.update_facts(**facts)


def _split(
    run: RunFolder,
    preset: presets.Preset,
    videos: Sequence[manifest.Video],
    options: SplitOptions,
    parent: RunFolder | None,
) -> splits.Split:
    """Return the split of a run; create it if the run has none, refuse a stored one of another origin."""
    contents = {video.video_id: video.content for video in videos}
    made_by = options.name if options.name in GENERATED else published_splits.describe(options.name, options.index)
    if not run.splits.exists():
        split = _new_split(preset, videos, options)
        leaks = splits.check(split, contents, allow_leak=options.allow_leak)
        fingerprints = {video.video_id: video.fingerprint for video in videos}
        inherited = splits.read_fitted(parent.splits) if parent else ()
        splits.write(run.splits, split, made_by=made_by, leaks=leaks, fingerprints=fingerprints, inherited=inherited)
    split, (stored, leaks) = splits.read(run.splits), splits.read_facts(run.splits)
    if stored not in (None, made_by):
        raise ValueError(f"{run} was started with the split {stored!r}, not {made_by!r}. Choose another --run.")
    if splits.check(split, contents, allow_leak=bool(leaks)):
        print(f"{len(leaks)} contents are on two sides of this split: its figures are too optimistic.")
    if parent:
        _refuse_parent(parent, split, videos)
    return split


def _new_split(preset: presets.Preset, videos: Sequence[manifest.Video], options: SplitOptions) -> splits.Split:
    """Draw a split at random, or read it from a file."""
    if options.name in GENERATED:
        return splits.split_by_content(
            {video.video_id: video.content for video in videos},
            train_fraction=preset.train_fraction,
            val_fraction=preset.val_fraction,
            seed=preset.seed,
        )
    split, notes = published_splits.read(
        options.name, videos, index=options.index, val_share=preset.val_share, seed=preset.seed
    )
    for note in notes:
        print(note)
    return split
