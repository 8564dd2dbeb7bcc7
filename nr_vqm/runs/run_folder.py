"""The files of a run folder: their names, the stage that writes each, and which stages are complete.

A stage removes its record from run.json before it writes its first file. After its last file it writes a new record
with the SHA-256 of every file that it has read and written, in one replacement of run.json. A stage is complete only
while its record agrees with the files in the folder, so a stage that was killed at any point is run again.
Decision 0013.
"""

import contextlib
import dataclasses
import functools
import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nr_vqm import presets
from nr_vqm.common import atomic_files, folder_lock
from nr_vqm.dataset import label_origin
from nr_vqm.models import head_table

PRESET, FACTS, SPLITS, CNN3D, FEATURES = "preset.json", "run.json", "splits.json", "cnn3d.keras", "features.h5"
HISTORY, INTERVALS = "history.csv", "intervals.json"
TEST_SCORES, TRAIN_SCORES = "test_scores.csv", "train_scores.csv"
SCORES, METRICS = "scores.csv", "metrics.json"
MAX_REPEATS = 1000
MAX_JSON_BYTES = 10_000_000


@dataclasses.dataclass(frozen=True)
class Stage:
    """What a stage reads of a run and writes to it: names of files; `target` is the command that runs it."""

    target: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def _head_files(stage: str) -> tuple[str, ...]:
    """The files of the heads that a stage fits: each head, and the history of one that is trained in epochs."""
    return tuple(name for row in head_table.fitted_by(stage) for name in (row.file, row.history) if name)


FITTED_ON = (PRESET, SPLITS, CNN3D, FEATURES)
STAGES = {
    "train": Stage("make train", (SPLITS,), (CNN3D, HISTORY)),
    "features": Stage("make features", (CNN3D,), (FEATURES,)),
    "compare": Stage(
        "make compare",
        FITTED_ON,
        (*_head_files("compare"), INTERVALS, TEST_SCORES, TRAIN_SCORES),
    ),
    "finetune": Stage(
        "make finetune",
        FITTED_ON,
        (*_head_files("finetune"), *(f"finetuned_{name}" for name in (INTERVALS, TEST_SCORES, TRAIN_SCORES))),
    ),
    "cross_database": Stage(
        "make cross_database", (PRESET, CNN3D, FEATURES, *head_table.FILES), (f"cross_database_{TEST_SCORES}",)
    ),
    # Reads the scores of every repeat; see RunFolder.score_files.
    "results": Stage("make compare", (), (SCORES, METRICS, "comparison.csv", "comparison.tex", "results.md")),
}


SCORED = ("compare", "finetune", "cross_database")  # stages that write scores of test videos
MODELS = (CNN3D, *head_table.FILES)


class RunFolder:
    """A run folder. Only this class knows the names of its files, and only it joins them to the folder's path.

    Attributes:
        path: the folder.
        cnn3d, features, ...: paths of files, whether they exist or not.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.preset, self.facts, self.splits = self.path / PRESET, self.path / FACTS, self.path / SPLITS
        self.cnn3d, self.history, self.tensorboard = self.path / CNN3D, self.path / HISTORY, self.path / "tensorboard"
        self.features, self.feature_parts = self.path / FEATURES, self.path / "features.parts"
        self.scores, self.metrics = self.path / SCORES, self.path / METRICS
        self.training_state = self.path / "training_state.json"
        self.comparison_csv, self.comparison_tex = self.path / "comparison.csv", self.path / "comparison.tex"
        self.results_table, self.report = self.path / "results.md", self.path / "report.html"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunFolder) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def training_weights(self, epoch: int, batch: int) -> Path:
        """The network and optimizer of an unfinished training after some batches of an epoch."""
        return self.path / f"training_state-{epoch:04d}-{batch:07d}.keras"

    def drop_other_weights(self, kept: Path) -> None:
        """Delete the files of `training_weights` but one."""
        for path in self.path.glob("training_state-*.keras"):
            if path != kept:
                path.unlink()

    def head(self, name: str) -> Path:
        """The file of a head that is fitted."""
        return self.path / head_table.get(name).file

    def head_history(self, name: str) -> Path:
        """The epochs of an LSTM head's fit, as CSV."""
        return self.path / head_table.get(name).history

    def intervals(self, stage: str) -> Path:
        """The spread of the heads that a stage has fitted."""
        return self.path / next(name for name in STAGES[stage].writes if name.endswith(INTERVALS))

    def score_file(self, stage: str, *, train: bool = False) -> Path | None:
        """Where one of SCORED writes the scores of one repeat: of its test videos, or of those it was fitted on."""
        ending = TRAIN_SCORES if train else TEST_SCORES
        return next((self.path / name for name in STAGES[stage].writes if name.endswith(ending)), None)

    def models(self) -> list[Path]:
        """The models that are there: the 3D-CNN and the fitted heads."""
        return [self.path / name for name in MODELS if (self.path / name).exists()]

    def repeats(self) -> list["RunFolder"]:
        """The folders with one 3D-CNN each: repeat-00, repeat-01, ..., or the run itself where it has one."""
        number = self.read_facts().get("repeats", 1)
        return [self] if number == 1 else [RunFolder(self.path / f"repeat-{one:02d}") for one in range(number)]

    def ablation(self, setting: str, variant: str) -> "RunFolder":
        """The run with one value of a setting that an ablation varies."""
        return RunFolder(self.path / "ablations" / setting / variant)

    def ablation_table(self, setting: str) -> Path:
        """The table of all values of a setting."""
        return self.path / "ablations" / f"{setting}.md"

    def lock(self, *, new: bool = False) -> contextlib.AbstractContextManager:
        """Keep other commands from writing to this run; see `folder_lock.folder_lock`.

        Args:
            new: whether the folder may be missing; it is created then.
        """
        if not new:
            atomic_files.require(self.preset, made_by="make train")
        return folder_lock.folder_lock(self.path)

    def write_preset(self, preset: presets.Preset) -> None:
        """Store the settings of the run."""
        atomic_files.write_json(self.preset, dataclasses.asdict(preset))

    def read_preset(self) -> presets.Preset:
        """The settings of the run."""
        return presets.from_json(_read_object(self.preset))

    def read_facts(self) -> dict[str, Any]:
        """What run.json holds; empty where the run has none yet.

        Raises:
            ValueError: the file is damaged or none of ours.
        """
        facts = _read_object(self.facts) if self.facts.exists() else {}
        for name in ("stages", "seconds", "precision"):
            if not isinstance(facts.get(name, {}), dict):
                raise ValueError(f"{self.facts} must hold an object as {name!r}, found {facts[name]!r}. {_REPAIR}")
        repeats = facts.get("repeats", 1)
        if type(repeats) is not int or not 1 <= repeats <= MAX_REPEATS:
            raise ValueError(f"{self.facts} needs 1 to {MAX_REPEATS} repeats, found {repeats!r}. {_REPAIR}")
        return facts

    def update_facts(self, **values: Any) -> None:
        """Set values in run.json; an object is merged into the one that is there."""
        facts = self.read_facts()
        for name, value in values.items():
            facts[name] = {**facts.get(name, {}), **value} if isinstance(value, dict) else value
        atomic_files.write_json(self.facts, facts)

    def check_labels(self, prep: Mapping[str, Any], data: str | os.PathLike) -> None:
        """Raise ValueError where the run was started with other videos or labels than those of a data folder.

        Args:
            prep: prep.json of the data folder `data`.
        """
        facts = self.read_facts()
        if facts and facts.get("labels_sha256") != prep["labels_sha256"]:
            raise ValueError(f"{self} was started with other videos or labels than {data} has. Choose another --run.")

    def read_mos_range(self) -> tuple[float, float]:
        """The two ends of the MOS scale that the run was trained on.

        Raises:
            FileNotFoundError: the run has no run.json.
            ValueError: run.json does not state the scale.
        """
        atomic_files.require(self.facts, made_by="make train")
        found = self.read_facts().get("mos_range")
        if not isinstance(found, list) or [type(end) in (int, float) for end in found] != [True, True]:
            found_text = "none" if found is None else repr(found)
        elif -math.inf < found[0] < found[1] < math.inf:
            return float(found[0]), float(found[1])
        else:
            found_text = repr(found)
        raise ValueError(
            f"{self.facts} needs the MOS scale as 'mos_range': [low, high], two finite numbers that rise; "
            f"found {found_text}. {_REPAIR}"
        )

    def read_labels(self) -> tuple[str, str]:
        """The origins of the labels and of the training videos' labels, which differ in a test on another database.

        Raises:
            ValueError: run.json does not state them.
        """
        facts, where = self.read_facts(), f"{self.facts} (made by make train)"
        labels = label_origin.check(facts.get("labels"), where)
        return labels, label_origin.check(facts.get("trained_labels", labels), where)

    def total_seconds(self) -> dict[str, float]:
        """{stage: seconds} over the run and all its repeats."""
        total: dict[str, float] = {}
        for path in {self.path, *(repeat.path for repeat in self.repeats())}:
            for name, seconds in RunFolder(path).read_facts().get("seconds", {}).items():
                total[name] = round(total.get(name, 0) + seconds, 1)
        return total

    @contextlib.contextmanager
    def stage(self, name: str, *, facts: Mapping[str, Any] | None = None, **settings: Any) -> Iterator[None]:
        """Run a stage: remove its record, run the block, then write the record of what it has read and written.

        The seconds add up over restarts, those before an error or Ctrl-C included.

        Args:
            name: of STAGES.
            facts: values for run.json, written together with the record.
            settings: what the result depends on besides the files that the stage reads; JSON values.
        """
        self._remove_record(name)
        started, reads = time.monotonic(), self._sums(self._reads(name))
        try:
            yield
        finally:
            seconds = self.read_facts().get("seconds", {}).get(name, 0) + time.monotonic() - started
            self.update_facts(seconds={name: round(seconds, 1)})
        record = {"settings": _as_stored(settings), "reads": reads, "writes": self._sums(STAGES[name].writes)}
        self.update_facts(**facts or {}, stages={name: record})

    def is_complete(self, name: str, **settings: Any) -> bool:
        """Whether a stage has ended, with these settings, and neither its inputs nor its outputs have changed since."""
        record = self._record(name)
        return record is not None and record == {
            "settings": _as_stored(settings) or record["settings"],
            "reads": self._sums(self._reads(name)),
            "writes": self._sums(STAGES[name].writes),
        }

    def require_complete(self, name: str) -> None:
        """Raise an error unless a stage is complete, whatever its settings were."""
        for file in STAGES[name].writes:
            atomic_files.require(self.path / file, made_by=STAGES[name].target)
        if not self.is_complete(name):
            raise ValueError(
                f"{self.path}: {name!r} was stopped before its end, or its files have changed since. "
                f"Run again: {STAGES[name].target}."
            )

    def score_files(self, *, train: bool = False) -> list[Path]:
        """The score files of all repeats; those of a stage that is not complete in every repeat are left out."""
        repeats = self.repeats()
        complete = [name for name in SCORED if all(one.is_complete(name) for one in repeats)]
        found = [one.score_file(name, train=train) for one in repeats for name in complete]
        return [path for path in found if path]

    def check_sum(self, path: Path) -> str:
        """The SHA-256 of a file of this run; ValueError where it is not the one that a stage has recorded."""
        found, recorded = _sha256(path), {}
        for name in STAGES:
            recorded |= (self._record(name) or {}).get("writes", {})
        if recorded.get(path.name, found) != found:
            raise ValueError(f"{path} is not the file that this run wrote: its checksum differs. {_REPAIR}")
        return found

    def check_head(self, name: str) -> str:
        """The SHA-256 of a head, which must have been fitted completely, on the 3D-CNN that the run has now.

        A head without a file has no checksum: its name stands for it.

        Raises:
            FileNotFoundError: there is none.
            ValueError: its fit was stopped, or the head or the 3D-CNN has changed since.
        """
        if head_table.get(name).file is None:
            return name
        path, stage = self.head(name), head_table.get(name).stage
        atomic_files.require(path, made_by=STAGES[stage].target)
        atomic_files.require(self.cnn3d, made_by=STAGES["train"].target)
        record = self._record(stage)
        if not record or path.name not in record["writes"]:
            raise ValueError(f"{self.path}: the fit of {path.name} has not ended. Run again: {STAGES[stage].target}.")
        if record["reads"].get(CNN3D) != self.check_sum(self.cnn3d):
            raise ValueError(
                f"{self.path}: {path.name} was fitted on another 3D-CNN than {CNN3D}. "
                f"Fit it again: make features, then {STAGES[stage].target}."
            )
        return self.check_sum(path)

    def _reads(self, name: str) -> list[str]:
        if name != "results":
            return list(STAGES[name].reads)
        found = [*self.score_files(), *self.score_files(train=True)]
        return [str(path.relative_to(self.path)) for path in found]

    def _sums(self, names: list[str] | tuple[str, ...]) -> dict[str, str]:
        """{name: SHA-256} of those files that exist."""
        paths = {name: self.path / name for name in names}
        return {name: _sha256(path) for name, path in paths.items() if path.is_file()}

    def _record(self, name: str) -> dict[str, Any] | None:
        """The record of a stage; None where the stage has not ended."""
        record = self.read_facts().get("stages", {}).get(name)
        parts = [record.get(part) if isinstance(record, dict) else None for part in ("settings", "reads", "writes")]
        if record is not None and not all(isinstance(part, dict) for part in parts):
            raise ValueError(f"{self.facts} has a damaged record of stage {name!r}: {record!r}. {_REPAIR}")
        return record

    def _remove_record(self, name: str) -> None:
        facts = self.read_facts()
        if facts.get("stages", {}).pop(name, None) is not None:
            atomic_files.write_json(self.facts, facts)


_REPAIR = "Copy or make the run again."


def derive(
    source: RunFolder,
    target: RunFolder,
    *,
    keep: tuple[str, ...],
    facts: Mapping[str, Any] | None = None,
    **changes: Any,
) -> RunFolder:
    """Make `target` a run with some files of `source` and some other settings, for every repeat.

    What stays the same is shared by hard links; stages make the rest. Called again, it brings `target` up to date with
    `source`: a stage of `target` whose inputs have changed is no longer complete.

    Args:
        source: a run.
        target: a folder, new or made by the same call.
        keep: names of files to share; those that `source` lacks are skipped.
        facts: values of run.json that differ from those of `source`.
        changes: settings of the preset.

    Raises:
        ValueError: the folder was made with other settings.
    """
    for old in {one.path: one for one in (source, *source.repeats())}.values():
        _derive(old, RunFolder(target.path / old.path.relative_to(source.path)), keep, facts or {}, changes)
    return target


def _derive(
    old: RunFolder, new: RunFolder, keep: tuple[str, ...], facts: Mapping[str, Any], changes: dict[str, Any]
) -> None:
    new.path.mkdir(parents=True, exist_ok=True)
    atomic_files.drop_leftovers(new.path)
    preset = dataclasses.replace(old.read_preset(), **changes)
    if new.preset.exists() and new.read_preset() != preset:
        raise ValueError(f"{new} was created with other settings. Delete it, or choose another folder.")
    new.write_preset(preset)
    for name in keep:
        if (old.path / name).exists():
            _share(old.path / name, new.path / name)
    theirs = old.read_facts()
    stages = theirs.get("stages", {})
    kept = {name: stages[name] for name in STAGES if name in stages and set(STAGES[name].writes) & set(keep)}
    others = {name: value for name, value in theirs.items() if name not in ("seconds", "stages")}
    new.update_facts(**others | dict(facts), stages=kept)


def _share(old: Path, new: Path) -> None:
    """Make `new` the same file as `old`; files of a run are replaced and never written to."""
    if new.exists() and new.samefile(old):
        return
    with atomic_files.replacing(new) as beside:
        try:
            os.link(old, beside)
        except OSError:  # another disk, or one without links
            shutil.copyfile(old, beside)


def _as_stored(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back: lists for tuples."""
    return json.loads(json.dumps(settings))


def _read_object(path: Path) -> dict[str, Any]:
    """A small JSON file with an object, as a dict."""
    atomic_files.require(path, made_by="make train")
    if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path} must be a plain file of at most {MAX_JSON_BYTES} bytes. {_REPAIR}")
    value = atomic_files.read_json(path, made_by="make train")
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold a JSON object. {_REPAIR}")
    return value


def _sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_of(path.resolve(), status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache
def _sha256_of(path: Path, inode: int, size: int, changed: int) -> str:
    """The sum of a file in this state: the network of `paper` takes half a second to read."""
    return atomic_files.sha256(path)
