"""Find the videos of a batch, and write their scores to files that can be resumed."""

import csv
import glob
import io
import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Self

from nr_vqm.common import atomic_files
from nr_vqm.scoring.score import Score
from nr_vqm.video import reader

if TYPE_CHECKING:
    import pandas

COLUMNS = (
    "path status score scale_min scale_max interval_low interval_high percentile quality labels head engine precision "
    "model_id frames declared_frames width height fps grid seconds warnings error"
).split()
CLIP_COLUMNS = "path group block frame seconds top left size quality".split()
OK, FAILED = "ok", "failed"


def open_text(path: str | os.PathLike[str], mode: str) -> IO[str]:
    """Open a table as UTF-8 text; bytes of a path that are not UTF-8 survive a round trip."""
    return open(path, mode, encoding="utf-8", errors="surrogateescape", newline="")


def find_videos(names: Iterable[str]) -> list[str]:
    """List the videos that files, folders and patterns stand for, in the order given.

    Args:
        names: paths of files, of folders (every video below them), or patterns such as 'videos/**/*.mp4'.

    Returns:
        Paths of videos. A name without any video is kept, so that it gets a row with an error.
    """
    found = []
    for name in names:
        if os.path.isdir(name):
            inside = [str(path) for path in reader.list_videos(name)]
        elif not os.path.exists(name) and glob.has_magic(name):
            inside = sorted(path for path in glob.iglob(name, recursive=True) if os.path.isfile(path))
        else:
            inside = [name]
        found += inside or [name]
    return found


def find_skipped(names: Iterable[str]) -> list[str]:
    """List the files that `find_videos` skips: those in folders without the extension of a video.

    Args:
        names: the argument of `find_videos`.
    """
    return [str(path) for name in names if os.path.isdir(name) for path in reader.list_skipped(name)]


def read_list(file: BinaryIO) -> list[str]:
    """Read a list of paths, one per line or separated by NUL bytes as `find -print0` writes them.

    Args:
        file: opened in binary mode.
    """
    content = file.read()
    separator = b"\0" if b"\0" in content else b"\n"
    return [os.fsdecode(line.removesuffix(b"\r")) for line in content.split(separator) if line.strip()]


def score_row(score: Score) -> dict[str, Any]:
    """Return the row of a scored video: one value for each of COLUMNS."""
    values = {"status": OK, **score.to_dict(), "error": ""}
    return {name: values[name] for name in COLUMNS}


def failed_row(path: str, error: Exception) -> dict[str, Any]:
    """Return the row of a video that could not be scored: path, status and error; its other values are None."""
    known = {"path": str(path), "status": FAILED, "warnings": [], "error": error_text(error)}
    return {name: known.get(name) for name in COLUMNS}


def to_frame(scores: Iterable[Score]) -> "pandas.DataFrame":
    """Collect scores in a pandas DataFrame; it needs pandas, which the extra `pandas` installs.

    Args:
        scores: the scores, for example the first items of what `Scorer.score_many` yields.

    Returns:
        One row per score with the columns of docs/file_formats.md, in the order given.

    Raises:
        ValueError: an item is no Score.
        ModuleNotFoundError: pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise ModuleNotFoundError("to_frame needs pandas: pip install pandas.", name="pandas") from error

    rows = []
    for score in scores:
        if not isinstance(score, Score):
            raise ValueError(f"to_frame needs Scores, those of score_many that are not None. Received: {score!r:.100}.")
        rows.append(score_row(score))
    return pandas.DataFrame(rows, columns=COLUMNS)


def error_text(error: Exception | None) -> str:
    """Describe an error in words; an unexpected one includes the name of its class."""
    return str(error) if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {error}"


def to_line(row: Mapping[str, Any], format: str) -> str:
    """Format a row as one line of 'jsonl' or one record of 'csv', including the line end."""
    if format == "jsonl":
        return json.dumps(row, allow_nan=False) + "\n"
    out = io.StringIO()
    warnings = row["warnings"]  # a string if it was read from a file
    cells = {**row, "warnings": warnings if isinstance(warnings, str) else "; ".join(warnings)}
    csv.DictWriter(out, COLUMNS, lineterminator="\n").writerow(cells)
    return out.getvalue()


def header(format: str) -> str:
    """Return the text before the first row: the column names for 'csv', nothing for 'jsonl'."""
    return ",".join(COLUMNS) + "\n" if format == "csv" else ""


class RowFile:
    """A .jsonl or .csv file with one row per video, written as the videos finish. Use it as a context manager.

    Attributes:
        rows: the rows that the file already had.
        done: paths of these rows.
    """

    def __init__(self, path: str | os.PathLike[str], *, resume: bool, retry: Collection[str] = ()) -> None:
        """Read the rows of an existing file.

        Args:
            path: a name that ends in .jsonl or .csv.
            resume: append to an existing file; an incomplete last row is dropped.
            retry: paths whose rows are removed if the video has failed, so that it is scored again.

        Raises:
            ValueError: the name ends otherwise, the file exists and `resume` is false, or it holds other data.
        """
        self.path, self.format = Path(path), Path(path).suffix[1:].lower()
        if self.format not in ("jsonl", "csv"):
            raise ValueError(f"The name of an output file must end in .jsonl or .csv. Received: {path}.")
        if self.path.exists() and not resume:
            raise ValueError(f"{path} exists already. Add --resume to continue it, or choose another name.")
        self.rows: list[dict[str, Any]] = []
        self._length = 0  # of the complete rows, in bytes
        self._retries = 0
        if self.path.exists():
            rows, self._length = self._read()
            self.rows = [row for row in rows if row["status"] == OK or row["path"] not in retry]
            self._retries = len(rows) - len(self.rows)
        self.done = {row["path"] for row in self.rows}

    def check_model(self, head: str, model_id: str) -> None:
        """Raise ValueError if the file has scores of another model, which would not be comparable."""
        for row in self.rows:
            if row["status"] == OK and (row["head"], row["model_id"]) != (head, model_id):
                raise ValueError(
                    f"{self.path} has scores of {row['head']} {row['model_id']}, this run is {head} {model_id}. "
                    "Choose another --out."
                )

    def __enter__(self) -> Self:
        if self._retries:
            self._rewrite()
        self._file = open_text(self.path, "a")
        self._file.truncate(self._length)
        if not self._length:
            self._file.write(header(self.format))
        return self

    def __exit__(self, *exc: object) -> None:
        with atomic_files.naming(self.path):
            self._file.close()

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row and flush it, so that a killed process loses at most the current video."""
        with atomic_files.naming(self.path):
            self._file.write(to_line(row, self.format))
            self._file.flush()

    def _rewrite(self) -> None:
        """Replace the file by one without the rows of the videos that are scored again."""
        with atomic_files.replace_when_complete(self.path) as temporary, open_text(temporary, "w") as file:
            file.write(header(self.format))
            file.writelines(to_line(row, self.format) for row in self.rows)
        self._length = self.path.stat().st_size

    def _read(self) -> tuple[list[dict[str, Any]], int]:
        """Return (rows, length of the complete rows in bytes)."""
        content = self.path.read_bytes()
        length = _complete_records(content) if self.format == "csv" else content.rfind(b"\n") + 1
        text = content[:length].decode("utf-8", "surrogateescape")
        try:
            rows: list[dict[str, Any]]
            if self.format == "csv":
                table = csv.DictReader(io.StringIO(text, newline=""))
                if text and table.fieldnames != COLUMNS:
                    raise ValueError("its columns differ")
                rows = list(table)
            else:
                rows = [json.loads(line) for line in text.split("\n")[:-1]]
                if any(list(row) != COLUMNS for row in rows):
                    raise ValueError("its columns differ")
            if any(row["status"] not in (OK, FAILED) or row["path"] is None for row in rows):
                raise ValueError("a row has no status")
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise ValueError(
                f"{self.path} cannot be resumed: it was not written by this version ({error}). Choose another --out."
            ) from error
        return rows, length


class ClipFile:
    """A .csv file with one row per clip. Use it as a context manager."""

    def __init__(self, path: str | os.PathLike[str], *, keep: Collection[str] | None) -> None:
        """Check that the file may be written.

        Args:
            path: the CSV file.
            keep: videos whose clips are kept when an existing file is resumed, the others are written again; None
                does not resume.

        Raises:
            ValueError: the file exists and `keep` is None.
        """
        self.path, self.keep = Path(path), keep
        if self.path.exists() and keep is None:
            raise ValueError(f"{path} exists already. Add --resume to continue it, or choose another name.")

    def __enter__(self) -> Self:
        if self.path.exists():
            self._drop_unfinished(self.keep or ())
        self._file = open_text(self.path, "a")
        self._writer = csv.DictWriter(self._file, CLIP_COLUMNS, lineterminator="\n")
        if not self._file.tell():
            self._writer.writeheader()
        return self

    def __exit__(self, *exc: object) -> None:
        with atomic_files.naming(self.path):
            self._file.close()

    def add(self, score: Score) -> None:
        """Append the clips of one video and flush them."""
        with atomic_files.naming(self.path):
            self._writer.writerows({"path": score.path, **clip} for clip in score.iter_clips())
            self._file.flush()

    def _drop_unfinished(self, keep: Collection[str]) -> None:
        """Remove the clips of videos without a row: they are scored again."""
        with (
            open_text(self.path, "r") as old,
            atomic_files.replace_when_complete(self.path) as temporary,
            open_text(temporary, "w") as new,
        ):
            table = csv.DictReader(old)
            if table.fieldnames != CLIP_COLUMNS:
                raise ValueError(f"{self.path} has other columns than a file of clips. Choose another --clips.")
            writer = csv.DictWriter(new, CLIP_COLUMNS, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(row for row in table if row["path"] in keep)


def _complete_records(content: bytes) -> int:
    """Return the length of the complete CSV records in bytes; a record ends at a line end outside quotes."""
    end = position = quotes = 0
    for line in content.splitlines(keepends=True):
        position += len(line)
        quotes += line.count(b'"')
        if line.endswith(b"\n") and quotes % 2 == 0:
            end = position
    return end
