"""An export of a run: the few files that scoring needs, which are read without TensorFlow and Keras.

    export.json     what the files are, their checksums, the facts of the run, and the validation scores of each head
    trunk.*         the convolutions of the 3D-CNN, see `cnn3d.streaming_trunk`
    clip_head.*     its fully connected layers, see `cnn3d.fully_connected_part`
    heads.npz       the arrays of all heads, see `numpy_heads`
    teacher.h5      the teacher, of head `teacher`, if the run has one
    fusion.h5       the teacher on frame statistics, of head `fusion`, if the export has this head

Decisions 0019 and 0022.
"""

import hashlib
import io
import os
import re
import reprlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nr_vqm.common import atomic_files
from nr_vqm.dataset import label_origin, mos_scale
from nr_vqm.evaluation.prediction_intervals import PredictionIntervals
from nr_vqm.models import head_table, numpy_heads
from nr_vqm.runs import interval_file, run_facts
from nr_vqm.runs.run_folder import RunFolder

SCHEMA = 1
RECORD, HEADS = "export.json", "heads.npz"
TRUNK, CLIP_HEAD = "trunk", "clip_head"  # the two networks
FUSION = "fusion.h5"
FORMATS = {"openvino": (".xml", ".bin"), "onnx": (".onnx",)}
MAX_BYTES = 2**30  # of one file; the largest one of preset `paper` has 0.8 GB
MADE_BY = "nr-vqm export RUN"
Line = tuple[float, float]  # gain and offset of a quality on 1-5
IDENTITY: Line = (1.0, 0.0)
RULES = dict.fromkeys(("created_by", "format", "default_head"), run_facts.TEXT)


class ExportFolder:
    """An export; the record is read and validated, the other files when they are needed.

    Attributes:
        path: the folder.
        record: the content of export.json.
        preset: settings of the run.
        mos_range: lowest and highest value of the MOS scale.
        labels: origin of the training labels, a key of `label_origin.ORIGINS`.
        format: of the networks, a key of FORMATS.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read the record.

        Raises:
            FileNotFoundError: there is no export in the folder.
            ValueError: the record is damaged, or was written by another version.
        """
        self.path = Path(path)
        where = self.path / RECORD
        atomic_files.require(where, made_by=MADE_BY)
        self.record = run_facts.read_object(where)
        if self.record.get("schema") != SCHEMA:
            raise ValueError(
                f"{where} has schema {reprlib.repr(self.record.get('schema'))}, {SCHEMA} is needed. Run: {MADE_BY}."
            )
        for name in ("preset", "heads", "files", "facts"):
            if not isinstance(self.record.get(name), dict):
                raise ValueError(f"{where} must hold an object as {name!r}. Make it again: {MADE_BY}.")
        run_facts.check(self.record, RULES, where, repair=f"Make it again: {MADE_BY}.")
        self.format = str(self.record.get("format"))
        if self.format not in FORMATS:
            raise ValueError(f"{where} needs a format of {', '.join(FORMATS)}. Make it again: {MADE_BY}.")
        self.preset = run_facts.preset(self.record["preset"], where)
        self.mos_range = run_facts.mos_range(self.record, where)
        self.labels = label_origin.check(self.record.get("labels"), f"{where} ({MADE_BY})")

    @property
    def heads(self) -> list[str]:
        """Names of the heads, in the order of `head_table.SCORERS`."""
        return [name for name in head_table.SCORERS if name in self.record["heads"]]

    @property
    def default_head(self) -> str:
        """The head that scores where none is named.

        Raises:
            ValueError: the export does not have it.
        """
        name = self.record.get("default_head", "lstm")
        self.head(name)
        return str(name)

    def head(self, name: str) -> dict[str, Any]:
        """Return the entry of a head in the record.

        'model_id' of the head in its run, 'intervals', 'line' of an aligned head, 'version' of hand-crafted features,
        'weight' and 'limit' of head `fusion`.

        Raises:
            ValueError: the export does not have this head, or its entry is damaged.
        """
        if name not in self.record["heads"]:
            names = [*self.heads, *([head_table.TEACHER] if RunFolder(self.path).teacher.exists() else [])]
            raise ValueError(
                f"{self.path} has the heads {', '.join(names)}, not {reprlib.repr(name)}. Name one of these."
            )
        entry = self.record["heads"][name]
        if not isinstance(entry, dict) or not re.fullmatch(r"[0-9a-f]{12}", str(entry.get("model_id"))):
            raise ValueError(f"{self.path / RECORD} has a damaged entry of head {name!r}. Make it again: {MADE_BY}.")
        return entry

    def line(self, name: str) -> Line:
        """Return the line that aligns the quality by a head with the validation MOS; the identity for most exports.

        Raises:
            ValueError: the entry of the head is damaged.
        """
        line = self.head(name).get("line", IDENTITY)
        numbers = isinstance(line, (list, tuple)) and all(
            type(one) is float and abs(one) <= mos_scale.LARGEST for one in line
        )
        if not numbers or len(line) != 2 or line[0] <= 0:
            raise ValueError(f"{self.path / RECORD} has a damaged line of head {name!r}. Make it again: {MADE_BY}.")
        return line[0], line[1]

    def model_id(self, name: str) -> str:
        """Return the 12 hexadecimal digits that identify a head as it scores: that of its run, or with its line."""
        model_id, line = self.head(name)["model_id"], self.line(name)
        if line == IDENTITY and name != head_table.FUSION:
            return str(model_id)
        parts = [model_id, line]
        if name == head_table.FUSION:
            parts += [self.fusion_settings(), self.head(name).get("version"), self.record["files"].get(FUSION)]
        return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:12]

    def fusion_settings(self) -> dict[str, float]:
        """Return the arguments 'weight' and 'limit' of `scoring.fusion.Fusion`.

        Raises:
            ValueError: the export does not have head `fusion`, or its entry is damaged.
        """
        entry = self.head(head_table.FUSION)
        weight, limit = (entry.get(name) for name in ("weight", "limit"))
        if type(weight) is not float or type(limit) is not float or not (0 <= weight <= 1 and 0 <= limit <= 4):
            raise ValueError(f"{self.path / RECORD} has damaged settings of the fusion. Make it again: {MADE_BY}.")
        return {"weight": weight, "limit": limit}

    def fusion_teacher(self) -> Path:
        """Return the file of the teacher of head `fusion`, after comparing it with the record."""
        self._read(FUSION)
        return self.path / FUSION

    def intervals(self, name: str) -> PredictionIntervals | None:
        """Return the prediction intervals of a head; None if the run has no validation scores of it."""
        entry = self.head(name).get("intervals")
        if entry is None:
            return None
        return interval_file.of_entry(entry, name, path=self.path / RECORD, made_by=MADE_BY, **self.preset.interval)

    def network(self, name: str) -> dict[str, bytes]:
        """Read a network.

        Args:
            name: TRUNK or CLIP_HEAD.

        Returns:
            The content of its files by suffix.
        """
        return {suffix: self._read(name + suffix) for suffix in FORMATS[self.format]}

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read and validate the arrays of a head.

        Raises:
            ValueError: they are damaged, or do not fit the run's settings.
        """
        row, content = head_table.get(name), self._read(HEADS)
        rows, columns = self.preset.block_grid
        widths = {"clip_quality": rows * columns, "rival": None}
        try:
            found = _read_arrays(content, prefix=f"{name}.")
            numpy_heads.check(row.method, found, input_dim=widths.get(row.input, self.preset.fc_dims[-1]))
        except Exception as error:  # zipfile and NumPy raise many types of exceptions for damaged files
            raise ValueError(
                f"{self.path / HEADS} has no usable arrays of head {name!r}: {error}. Make it again: {MADE_BY}."
            ) from error
        return found

    def _read(self, name: str) -> bytes:
        """Read a file of the export after comparing its size and checksum with the record."""
        path, entry = self.path / name, self.record["files"].get(name)
        atomic_files.require(path, made_by=MADE_BY)
        size = path.stat().st_size
        if not isinstance(entry, dict) or entry.get("bytes") != size or size > MAX_BYTES:
            raise ValueError(f"{path} has {size} bytes, which {RECORD} does not state. Copy the export again.")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
            raise ValueError(f"{path} is not the file that was exported: its checksum differs. Copy the export again.")
        return content


def is_export(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds an export."""
    return (Path(path) / RECORD).is_file()


def write_arrays(path: Path, heads: Mapping[str, numpy_heads.Arrays]) -> None:
    """Write the arrays of all heads: {head: {name: array}}."""
    named = {f"{head}.{name}": array for head, arrays in heads.items() for name, array in arrays.items()}
    with open(path, "wb") as file:
        np.savez(file, **named)  # type: ignore[arg-type]  # its other keyword is never the name of an array


def write_record(folder: Path, **values: Any) -> None:
    """Write export.json, which describes the other files of the folder.

    Args:
        folder: the export, complete except for the record.
        values: the record, except 'schema' and 'files'.
    """
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": atomic_files.sha256(path)}
        for path in sorted(folder.iterdir())
        if path.name != RECORD
    }
    atomic_files.write_json(folder / RECORD, {"schema": SCHEMA, **values, "files": files})


def _read_arrays(content: bytes, *, prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names start with the prefix, without it; nothing is unpickled."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its {member.filename} is compressed, which an export never is")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name.removeprefix(prefix): archive[name] for name in archive.files if name.startswith(prefix)}
