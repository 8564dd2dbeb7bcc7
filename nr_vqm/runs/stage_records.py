"""Stages of a run: the files that each stage reads and writes, and the records that show whether it is complete.

A stage removes its record from run.json before it writes its first file. After its last file it writes a new record
with the SHA-256 of every file that it has read and written, in one replacement of run.json. A stage is complete only
while its record agrees with the files in the folder, so a stage that was killed at any point is run again.
Decision 0013.
"""

import dataclasses
import functools
import json
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nr_vqm.common import atomic_files
from nr_vqm.models import head_table

PRESET, FACTS, SPLITS, FEATURES = "preset.json", "run.json", "splits.json", "features.h5"
CNN3D = head_table.CNN3D
HISTORY, INTERVALS = "history.csv", "intervals.json"
TEST_SCORES, TRAIN_SCORES = "test_scores.csv", "train_scores.csv"
SCORES, METRICS = "scores.csv", "metrics.json"
COMPARISON_CSV, COMPARISON_TEX, RESULTS_TABLE = "comparison.csv", "comparison.tex", "results.md"
MODELS = tuple(
    dict.fromkeys([CNN3D, *(name for row in head_table.HEADS.values() for name in (row.cnn3d, row.file) if name)])
)
CODEBOOK = "rivals/codebook.h5"
REPAIR = "Copy the run again, or create it again."  # what to do about a damaged file


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Attributes:
        target: the command that runs it.
        reads: names of the files that it reads.
        writes: names of the files that it writes.
    """

    target: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]

    def output(self, ending: str) -> str | None:
        """Return the name of the first file written whose name ends like this; None if there is none."""
        return next((name for name in self.writes if name.endswith(ending)), None)


def _head_files(stage: str) -> tuple[str, ...]:
    """Return the files of the heads that a stage fits: models, and the histories of heads trained in epochs."""
    rows = head_table.fitted_by(stage)
    own_networks = [row.cnn3d for row in rows if row.cnn3d and row.cnn3d != CNN3D]
    return (*own_networks, *(name for row in rows for name in (row.file, row.history) if name))


def rival_stage(name: str) -> str:
    """Return the name of the stage that extracts the features of a hand-crafted method."""
    return f"rivals_{name}"


def rival_file(name: str) -> str:
    """Return the name of the file of a hand-crafted method's features, relative to the run folder."""
    return f"rivals/{name}.h5"


def _rival_stages() -> dict[str, Stage]:
    """Return the stages of the hand-crafted methods: the codebook, and for each its features and its head.

    Only CORNIA's features depend on the split, through its codebook. The labels are those of the features file.
    """
    stages = {"codebook": Stage("make rivals RIVALS=cornia", (SPLITS,), (CODEBOOK,))}
    for name in head_table.RIVALS:
        row, file = head_table.get(name), rival_file(name)
        reads = (CODEBOOK,) if name == "cornia" else ()
        stages[rival_stage(name)] = Stage(f"make rivals RIVALS={name}", reads, (file,))
        writes = (*_head_files(row.stage), *_scores(f"rivals/{name}_"))
        stages[row.stage] = Stage(row.made_by, (PRESET, SPLITS, FEATURES, file, *reads), writes)
    return stages


def _scores(prefix: str) -> tuple[str, ...]:
    """Return the names of the files of scores that a stage writes about its heads."""
    return tuple(f"{prefix}{name}" for name in (INTERVALS, TEST_SCORES, TRAIN_SCORES))


_FITTED_ON = (PRESET, SPLITS, CNN3D, FEATURES)
_CNN3D_HEADS = tuple(row.file for row in head_table.HEADS.values() if row.file and row.cnn3d == CNN3D)
STAGES = {
    "train": Stage("make train", (SPLITS,), (CNN3D, HISTORY)),
    "features": Stage("make features", (CNN3D,), (FEATURES,)),
    **_rival_stages(),
    "compare": Stage("make compare", _FITTED_ON, (*_head_files("compare"), *_scores(""))),
    "finetune": Stage(
        "make finetune",
        _FITTED_ON,
        (*_head_files("finetune"), *_scores("finetuned_")),
    ),
    "fcn_lstm": Stage(
        "make fcn_lstm",
        (PRESET, SPLITS),
        (*_head_files("fcn_lstm"), *_scores("fcn_lstm_")),
    ),
    "cross_database": Stage(
        "make cross_database", (PRESET, CNN3D, FEATURES, *_CNN3D_HEADS), (f"cross_database_{TEST_SCORES}",)
    ),
    # Reads the scores of every repeat; see RunFolder.score_files.
    "results": Stage("make compare", (), (SCORES, METRICS, COMPARISON_CSV, COMPARISON_TEX, RESULTS_TABLE)),
}
_RIVAL_STAGES = (head_table.get(name).stage for name in head_table.RIVALS)
SCORED = (
    "compare",
    "finetune",
    "fcn_lstm",
    *_RIVAL_STAGES,
    "cross_database",
)  # stages that write scores of test videos


def create(stage: str, settings: Mapping[str, Any], reads: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Create the record of a stage that has just ended.

    Args:
        stage: a key of STAGES.
        settings: what the result depends on besides the files that the stage reads; JSON values.
        reads: `checksums` of the files that it has read, computed before it started.
        folder: the run folder.
    """
    return {"settings": as_stored(settings), "reads": dict(reads), "writes": checksums(folder, STAGES[stage].writes)}


def find(facts: Mapping[str, Any], stage: str, *, path: Path) -> dict[str, Any] | None:
    """Return the record of a stage; None if the stage has not ended.

    Args:
        facts: the content of run.json.
        stage: a key of STAGES.
        path: run.json, for the message.

    Raises:
        ValueError: the record is damaged.
    """
    record = facts.get("stages", {}).get(stage)
    parts = [record.get(part) if isinstance(record, dict) else None for part in ("settings", "reads", "writes")]
    if record is not None and not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"{path} has a damaged record of stage {stage!r}: {reprlib.repr(record)}. {REPAIR}")
    return record


def as_stored(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as they are read back from JSON: tuples become lists."""
    return json.loads(json.dumps(dict(settings)))


def checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return {name: SHA-256} of the files of a folder that exist."""
    return {name: sha256(folder / name) for name in names if (folder / name).is_file()}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as hex digits; computed once for each state of the file."""
    status = path.stat()
    return _sha256_of(path.resolve(), status.st_ino, status.st_size, status.st_mtime_ns)


@functools.lru_cache
def _sha256_of(path: Path, inode: int, size: int, modified_ns: int) -> str:
    """Cached, because the network of preset `paper` takes half a second to read."""
    return atomic_files.sha256(path)
