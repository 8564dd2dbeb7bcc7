"""The files of a run folder: paths, settings, facts, and the stages that are complete."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nr_vqm import presets
from nr_vqm.common import atomic_files, folder_lock, provenance
from nr_vqm.dataset import label_origin
from nr_vqm.models import head_table
from nr_vqm.runs import run_facts, stage_records
from nr_vqm.runs.stage_records import REPAIR, STAGES

# What the input of a head depends on: {file: (label, the command that makes it, the one that renews the input)}.
_BASES = {
    stage_records.CNN3D: ("3D-CNN", "make train", "make features"),
    stage_records.CODEBOOK: ("codebook", "make rivals", "make rivals"),
}


class RunFolder:
    """A run folder. Only this package knows the names of its files and joins them to the folder's path.

    Attributes:
        path: the folder.
        cnn3d, features, ...: paths of files, whether they exist or not.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.preset = self.path / stage_records.PRESET
        self.facts = self.path / stage_records.FACTS
        self.splits = self.path / stage_records.SPLITS
        self.cnn3d = self.path / stage_records.CNN3D
        self.history = self.path / stage_records.HISTORY
        self.tensorboard = self.path / "tensorboard"
        self.training_state = self.path / "training_state.json"
        self.features = self.path / stage_records.FEATURES
        self.feature_parts = self.path / "features.parts"
        self.rivals = self.path / "rivals"
        self.codebook = self.path / stage_records.CODEBOOK
        self.scores = self.path / stage_records.SCORES
        self.metrics = self.path / stage_records.METRICS
        self.comparison_csv = self.path / stage_records.COMPARISON_CSV
        self.comparison_tex = self.path / stage_records.COMPARISON_TEX
        self.results_table = self.path / stage_records.RESULTS_TABLE
        self.report = self.path / "report.html"
        self.export = self.path / "export"
        self.teacher = self.path / "teacher.h5"  # a copy of the teacher that gave the labels, if one did

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

    def rival_features(self, name: str) -> Path:
        """Return the path of the features of a hand-crafted method."""
        return self.path / stage_records.rival_file(name)

    def rival_parts(self, name: str) -> Path:
        """Return the folder of the features of single videos that an unfinished extraction has computed."""
        return self.rivals / f"{name}.parts"

    def training_weights(self, epoch: int, batch: int) -> Path:
        """Return the path of the network and optimizer of an unfinished training.

        Args:
            epoch: epochs that are finished.
            batch: batches of the next epoch that are finished.
        """
        return self.path / f"training_state-{epoch:04d}-{batch:07d}.keras"

    def drop_other_weights(self, kept: Path) -> None:
        """Delete the files of `training_weights` except one."""
        for path in self.path.glob("training_state-*.keras"):
            if path != kept:
                path.unlink()

    def head(self, name: str) -> Path:
        """Return the path of a fitted head; ValueError for a head that has no file."""
        return self.path / _file_of(name, head_table.get(name).file)

    def head_cnn3d(self, name: str) -> Path:
        """Return the path of the 3D-CNN whose outputs a head reads; ValueError for a head that reads none."""
        return self.path / _file_of(name, head_table.get(name).cnn3d)

    @property
    def fcn_lstm(self) -> "RunFolder":
        """The folder in which the FCN-LSTM of this run is trained: a run with the same videos and split."""
        return RunFolder(self.path / "fcn_lstm")

    def head_history(self, name: str) -> Path:
        """Return the path of the history of an LSTM head; ValueError for a head that is not trained in epochs."""
        return self.path / _file_of(name, head_table.get(name).history)

    def intervals(self, stage: str) -> Path:
        """Return the path of the validation scores from which the heads of a stage get their prediction intervals."""
        return self._output(stage, stage_records.INTERVALS)

    def score_file(self, stage: str, *, train: bool = False) -> Path:
        """Return the path of the scores of one repeat.

        Args:
            stage: of `stage_records.SCORED`.
            train: the scores of the training videos instead of the test videos.

        Raises:
            ValueError: the stage writes no such scores.
        """
        return self._output(stage, stage_records.TRAIN_SCORES if train else stage_records.TEST_SCORES)

    def models(self) -> list[Path]:
        """Return the paths of the models that exist: the 3D-CNN and the fitted heads."""
        return [self.path / name for name in stage_records.MODELS if (self.path / name).exists()]

    def repeats(self) -> list["RunFolder"]:
        """Return the folders with one 3D-CNN each: repeat-00, repeat-01, ..., or the run itself without repeats."""
        number = self.read_facts().get("repeats", 1)
        return [self] if number == 1 else [RunFolder(self.path / f"repeat-{one:02d}") for one in range(number)]

    def ablation(self, setting: str, variant: str) -> "RunFolder":
        """Return the run with one value of a setting that an ablation varies."""
        return RunFolder(self.path / "ablations" / setting / variant)

    def ablation_table(self, setting: str) -> Path:
        """Return the path of the table that compares all values of a setting."""
        return self.path / "ablations" / f"{setting}.md"

    def lock(self, *, new: bool = False) -> contextlib.AbstractContextManager[None]:
        """Keep other commands from writing to this run; see `folder_lock.folder_lock`.

        Args:
            new: create the folder if it is missing.

        Raises:
            FileNotFoundError: there is no run in the folder, and `new` is False.
        """
        if not new:
            atomic_files.require(self.preset, made_by="make train")
        return folder_lock.folder_lock(self.path)

    def write_preset(self, preset: presets.Preset) -> None:
        """Store the settings of the run."""
        atomic_files.write_json(self.preset, dataclasses.asdict(preset))

    def read_preset(self) -> presets.Preset:
        """Read the settings of the run.

        Raises:
            FileNotFoundError: there is no run in the folder.
            ValueError: the file is damaged or was not written by nr-vqm.
        """
        return run_facts.preset(run_facts.read_object(self.preset), self.preset)

    def read_facts(self) -> dict[str, Any]:
        """Read run.json; empty if the run has none yet.

        Raises:
            ValueError: the file is damaged or was not written by nr-vqm.
        """
        return run_facts.read(self.facts)

    def update_facts(self, **values: Any) -> None:
        """Set values in run.json; an object is merged into the existing one."""
        facts = self.read_facts()
        for name, value in values.items():
            facts[name] = {**facts.get(name, {}), **value} if isinstance(value, dict) else value
        atomic_files.write_json(self.facts, facts)

    def check_labels(self, prep: Mapping[str, Any], data: str | os.PathLike[str]) -> None:
        """Check that the run was started with the videos and labels of a data folder.

        Args:
            prep: prep.json of the data folder.
            data: the data folder, for the message.

        Raises:
            ValueError: the videos or labels differ.
        """
        facts = self.read_facts()
        if facts and facts.get("labels_sha256") != prep["labels_sha256"]:
            raise ValueError(f"{self} was started with other videos or labels than {data} has. Choose another --run.")

    def read_mos_range(self) -> tuple[float, float]:
        """Read the lowest and highest value of the MOS scale that the run was trained on.

        Raises:
            FileNotFoundError: the run has no run.json.
            ValueError: run.json does not state the scale.
        """
        atomic_files.require(self.facts, made_by="make train")
        return run_facts.mos_range(self.read_facts(), self.facts)

    def read_labels(self) -> tuple[str, str]:
        """Read the origins of the run's labels and of its training labels, which differ in a cross-database test.

        Raises:
            ValueError: run.json does not state them.
        """
        facts, where = self.read_facts(), f"{self.facts} (made by make train)"
        labels = label_origin.check(facts.get("labels"), where)
        return labels, label_origin.check(facts.get("trained_labels", labels), where)

    def total_seconds(self) -> dict[str, float]:
        """Return {stage: seconds} summed over the run and all its repeats."""
        total: dict[str, float] = {}
        for path in {self.path, *(repeat.path for repeat in self.repeats())}:
            for name, seconds in RunFolder(path).read_facts().get("seconds", {}).items():
                total[name] = round(total.get(name, 0) + seconds, 1)
        return total

    @contextlib.contextmanager
    def stage(self, name: str, *, facts: Mapping[str, Any] | None = None, **settings: Any) -> Iterator[None]:
        """Run a stage: remove its record, run the block, then write a new record and the software versions.

        The seconds add up over restarts and include those before an error or Ctrl-C. They start from zero if the stage
        had ended before.

        Args:
            name: a key of `stage_records.STAGES`.
            facts: values for run.json, written together with the record.
            settings: what the result depends on besides the files that the stage reads; JSON values.
        """
        self._remove_record(name)
        started, reads = time.monotonic(), stage_records.checksums(self.path, self._reads(name))
        try:
            yield
        finally:
            seconds = self.read_facts().get("seconds", {}).get(name, 0) + time.monotonic() - started
            self.update_facts(seconds={name: round(seconds, 1)})
        record = stage_records.create(name, settings, reads, self.path)
        self.update_facts(**{"versions": provenance.versions(), **(facts or {}), "stages": {name: record}})

    def is_complete(self, name: str, **settings: Any) -> bool:
        """Return whether a stage has ended with these settings and its inputs and outputs are unchanged since.

        Args:
            name: a key of `stage_records.STAGES`.
            settings: as in `stage`; none accepts any settings.
        """
        record = self._record(name)
        return record is not None and record == stage_records.create(
            name,
            settings or record["settings"],
            stage_records.checksums(self.path, self._reads(name)),
            self.path,
        )

    def require_complete(self, name: str) -> None:
        """Check that a stage is complete, whatever its settings were.

        Raises:
            FileNotFoundError: one of its files is missing.
            ValueError: it was stopped before its end, or its files have changed since.
        """
        for file in STAGES[name].writes:
            atomic_files.require(self.path / file, made_by=STAGES[name].target)
        if not self.is_complete(name):
            raise ValueError(
                f"{self.path}: stage {name!r} was stopped before its end, or its files have changed since. "
                f"Run again: {STAGES[name].target}."
            )

    def score_files(self, *, train: bool = False) -> list[Path]:
        """Return the score files of all repeats. A stage that is not complete in every repeat is skipped."""
        repeats = self.repeats()
        complete = [name for name in stage_records.SCORED if all(one.is_complete(name) for one in repeats)]
        ending = stage_records.TRAIN_SCORES if train else stage_records.TEST_SCORES
        names = [STAGES[name].output(ending) for name in complete]
        return [one.path / name for one in repeats for name in names if name]

    def check_file(self, path: Path) -> str:
        """Return the SHA-256 of a file of this run after comparing it with the recorded one.

        Raises:
            ValueError: a stage has recorded another checksum.
        """
        found = stage_records.sha256(path)
        recorded: dict[str, str] = {}
        for name in STAGES:
            recorded |= (self._record(name) or {}).get("writes", {})
        if recorded.get(self._name(path), found) != found:
            raise ValueError(f"{path} is not the file that this run wrote: its checksum differs. {REPAIR}")
        return found

    def check_head(self, name: str) -> str:
        """Return the SHA-256 of a head after checking its fit, and that its 3D-CNN or its codebook is unchanged.

        Args:
            name: a head of `head_table`. A head without a file has no checksum: its name is returned.

        Raises:
            FileNotFoundError: the head, its 3D-CNN or its codebook is missing.
            ValueError: the fit was stopped, or one of these files has changed since.
        """
        row = head_table.get(name)
        if row.file is None:
            return name
        path, stage, base = self.head(name), STAGES[row.stage], self._base(row)
        atomic_files.require(path, made_by=stage.target)
        label, made_by, again = _BASES.get(self._name(base) if base else "", ("3D-CNN", stage.target, "make features"))
        if base:
            atomic_files.require(base, made_by=made_by)
        record = self._record(row.stage)
        if not record or row.file not in record["writes"]:
            raise ValueError(f"{self.path}: the fit of {path.name} is not complete. Run again: {stage.target}.")
        if base:
            recorded = record["writes"] | record["reads"]
            if recorded.get(self._name(base)) != self.check_file(base):
                raise ValueError(
                    f"{self.path}: {path.name} was fitted on another {label} than {base.name}. "
                    f"Fit it again: {again}, then {stage.target}."
                )
        return self.check_file(path)

    def _base(self, row: head_table.HeadRow) -> Path | None:
        """Return the file that the input of a head depends on: its 3D-CNN or its codebook, None if it has neither."""
        if not row.is_rival:
            return self.head_cnn3d(row.name)
        return self.codebook if stage_records.CODEBOOK in STAGES[row.stage].reads else None

    def stage_settings(self, name: str) -> dict[str, Any]:
        """Return the settings with which a stage has ended; empty if it has not ended."""
        record = self._record(name)
        return record["settings"] if record else {}

    def _name(self, path: Path) -> str:
        """Return the name of a file in the records of stages: its path relative to the run folder."""
        return path.relative_to(self.path).as_posix()

    def _output(self, stage: str, ending: str) -> Path:
        name = STAGES[stage].output(ending)
        if name is None:
            raise ValueError(f"Stage {stage!r} writes no {ending}.")
        return self.path / name

    def _reads(self, stage: str) -> list[str]:
        if stage != "results":
            return list(STAGES[stage].reads)
        found = [*self.score_files(), *self.score_files(train=True)]
        return [str(path.relative_to(self.path)) for path in found]

    def _record(self, stage: str) -> dict[str, Any] | None:
        return stage_records.find(self.read_facts(), stage, path=self.facts)

    def _remove_record(self, stage: str) -> None:
        """Remove the record of a stage and the seconds that it took, unless it computes only what is missing."""
        facts = self.read_facts()
        if facts.get("stages", {}).pop(stage, None) is not None:
            if stage not in map(stage_records.rival_stage, head_table.RIVALS):
                facts.get("seconds", {}).pop(stage, None)
            atomic_files.write_json(self.facts, facts)


def _file_of(head: str, name: str | None) -> str:
    if name is None:
        raise ValueError(f"Head {head!r} has no such file.")
    return name
