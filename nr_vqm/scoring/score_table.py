"""Many videos: which ones are meant, and their rows in a file that can be gone on with."""

import csv
import glob
import io
import json
import os
from pathlib import Path

from nr_vqm.common import atomic_files

COLUMNS = (
    "path status mos interval_low interval_high mos_low mos_high labels quality head model_id precision "
    "frames declared_frames width height fps grid seconds warnings error"
).split()
CLIP_COLUMNS = "path group block frame seconds top left size quality".split()
OK, FAILED = "ok", "failed"
# A path may hold bytes that are no UTF-8.
TEXT = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}


def find_videos(names):
    """Paths of the videos that files, folders and patterns stand for, in the order given.

    A name that leads to nothing stays, so that it becomes a row with its error.

    Args:
        names: paths of files, of folders (every video below) or patterns such as 'videos/**/*.mp4'.
    """
    from nr_vqm.video import reader

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


def find_skipped(names: list[str]) -> list[str]:
    """Paths of the files in the folders among `names` that are no videos by their extension: `find_videos` skips them.

    Args:
        names: as in `find_videos`.
    """
    from nr_vqm.video import reader

    return [str(path) for name in names if os.path.isdir(name) for path in reader.list_skipped(name)]


def read_list(file):
    """The paths in a list: one a line, or with NUL bytes between them as `find -print0` writes.

    Args:
        file: opened for reading bytes.
    """
    content = file.read()
    separator = b"\0" if b"\0" in content else b"\n"
    return [os.fsdecode(line.removesuffix(b"\r")) for line in content.split(separator) if line.strip()]


def row_of(score):
    """The row of a scored video."""
    values = {"status": OK, **score.to_dict(), "error": ""}
    return {name: values[name] for name in COLUMNS}


def failed_row(path, error):
    """The row of a video that could not be scored."""
    return {"path": str(path), "status": FAILED, "error": reason(error)}


def reason(error):
    """Why a video could not be scored, in words; an unexpected error is named with its class."""
    return str(error) if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {error}"


def to_line(row, format):
    """A row as one line of 'jsonl' or one record of 'csv', with its line end."""
    if format == "jsonl":
        return json.dumps(row, allow_nan=False) + "\n"
    out = io.StringIO()
    cells = {**row, "warnings": "; ".join(row.get("warnings", ()))}
    csv.DictWriter(out, COLUMNS, lineterminator="\n").writerow(cells)
    return out.getvalue()


def header(format):
    """What stands before the rows."""
    return ",".join(COLUMNS) + "\n" if format == "csv" else ""


class RowFile:
    """An output file to which rows are added as they finish; use it as a context manager."""

    def __init__(self, path, *, resume):
        """
        Args:
            path: a name that ends in .jsonl or .csv.
            resume: continue the file where there is one; a half-written last row is dropped.

        Raises:
            ValueError: another ending; the file is there and `resume` is not set; it is none of ours.
        """
        self.path, self.format = Path(path), Path(path).suffix[1:].lower()
        if self.format not in ("jsonl", "csv"):
            raise ValueError(
                f"Rows are written as .jsonl or .csv, a name with that ending is needed. Received: {path}."
            )
        if self.path.exists() and not resume:
            raise ValueError(f"{path} is there already. Go on with it: --resume, or choose another name.")
        self.rows, self.length = self._read() if self.path.exists() else ([], 0)
        self.done = {row["path"] for row in self.rows}

    def check_model(self, head, model_id):
        """Raise ValueError where rows of the file are of another model: their scores do not compare."""
        for row in self.rows:
            if row["status"] == OK and (row["head"], row["model_id"]) != (head, model_id):
                raise ValueError(
                    f"{self.path} holds scores of {row['head']} {row['model_id']}, this run is {head} {model_id}. "
                    "Choose another --out."
                )

    def __enter__(self):
        self.file = open(self.path, "a", **TEXT)
        self.file.truncate(self.length)
        if not self.length:
            self.file.write(header(self.format))
        return self

    def __exit__(self, *exc):
        self.file.close()

    def add(self, row):
        self.file.write(to_line(row, self.format))
        self.file.flush()

    def _read(self):
        """(rows, bytes up to the end of the last whole one)."""
        content = self.path.read_bytes()
        length = _whole_records(content) if self.format == "csv" else content.rfind(b"\n") + 1
        text = content[:length].decode(TEXT["encoding"], TEXT["errors"])
        try:
            if self.format == "csv":
                reader = csv.DictReader(io.StringIO(text, newline=""))
                if text and reader.fieldnames != COLUMNS:
                    raise ValueError("its columns are others")
                rows = list(reader)
            else:
                rows = [json.loads(line) for line in text.split("\n")[:-1]]
            if any(row["status"] not in (OK, FAILED) or row["path"] is None for row in rows):
                raise ValueError("it has a row without a status")
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise ValueError(f"{self.path} has no rows of this version to continue ({error}).") from error
        return rows, length


def _whole_records(content):
    """Bytes up to the end of the last whole CSV record: a line end outside quotes."""
    end = position = quotes = 0
    for line in content.splitlines(keepends=True):
        position += len(line)
        quotes += line.count(b'"')
        if line.endswith(b"\n") and quotes % 2 == 0:
            end = position
    return end


class ClipFile:
    """A CSV to which the clips of each video are added; use it as a context manager."""

    def __init__(self, path, *, keep):
        """
        Args:
            path: the CSV file.
            keep: videos whose clips stay in a file that is there; others are written again. None: no such file may be.
        """
        self.path, self.keep = Path(path), keep
        if self.path.exists() and keep is None:
            raise ValueError(f"{path} is there already. Go on with it: --resume, or choose another name.")

    def __enter__(self):
        if self.path.exists():
            self._drop_others()
        self.file = open(self.path, "a", **TEXT)
        self.writer = csv.DictWriter(self.file, CLIP_COLUMNS, lineterminator="\n")
        if not self.file.tell():
            self.writer.writeheader()
        return self

    def __exit__(self, *exc):
        self.file.close()

    def add(self, score):
        self.writer.writerows({"path": score.path, **clip} for clip in score.iter_clips())
        self.file.flush()

    def _drop_others(self):
        with (
            open(self.path, **TEXT) as old,
            atomic_files.replacing(self.path) as beside,
            open(beside, "w", **TEXT) as new,
        ):
            reader = csv.DictReader(old)
            if reader.fieldnames != CLIP_COLUMNS:
                raise ValueError(f"{self.path} holds no clips of this version. Choose another --clips.")
            writer = csv.DictWriter(new, CLIP_COLUMNS, lineterminator="\n", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(row for row in reader if row["path"] in self.keep)
