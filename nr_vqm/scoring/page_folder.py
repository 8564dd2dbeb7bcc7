"""A folder of score pages: one page for each video, thumbnails, and an index that can be sorted."""

import base64
import dataclasses
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import markupsafe
import numpy as np

from nr_vqm.common import atomic_files, safe_output
from nr_vqm.common.safe_output import printable
from nr_vqm.dataset import label_origin, mos_scale
from nr_vqm.scoring import quality_view, score_page, score_table
from nr_vqm.scoring.score import Score

INDEX, THUMBNAILS = "index.html", "thumbnails"
MAX_NAME = 60  # letters of a video's name in the name of its page
SORT_SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const header = button.parentElement, body = header.closest("table").tBodies[0], column = header.cellIndex;
  const down = header.getAttribute("aria-sort") === "ascending", sign = down ? -1 : 1;
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (row) => row.cells[column].dataset.key;
  const compare = button.dataset.kind === "number" ? (a, b) => key(a) - key(b) : (a, b) => key(a).localeCompare(key(b));
  body.append(...[...body.rows].sort((a, b) => sign * compare(a, b)));
});
"""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One scored video of the index.

    Attributes:
        number: position of the video in the command, from 1.
        name: its file name.
        page, thumbnail: addresses relative to the index, or ''.
        score, low, high: the score and its interval as text; the interval is empty if there is none.
        quality: the score on 1-5.
        colour: of the quality, as 'red,green,blue'.
        word: of the quality.
        warnings: number of warnings about this video, without those about the labels, which all videos share.
    """

    number: int
    name: str
    page: str
    thumbnail: str
    score: str
    low: str
    high: str
    quality: float
    colour: str
    word: str
    warnings: int


class PageFolder:
    """Writes the pages of the videos of one command as they finish; as a context manager, the index at the end.

    After an interruption the index has the videos that are finished.

    Attributes:
        path: the folder.
        index: path of the index.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Create the folder if it is missing.

        Raises:
            OSError: it cannot be created, for example because a file has its name.
        """
        self.path = Path(path)
        self.index = self.path / INDEX
        (self.path / THUMBNAILS).mkdir(parents=True, exist_ok=True)
        self._scored: dict[int, Entry] = {}
        self._failed: dict[int, tuple[str, str]] = {}
        self._scale, self._origin = "", ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.write_index()

    def add(self, number: int, row: Mapping[str, Any], score: Score | None = None) -> None:
        """Write the page of a video and add it to the index.

        Args:
            number: position of the video in the command, from 1; part of the names of its files.
            row: its row of `score_table`; values may be text, as in a .csv file.
            score: its score; None for a video that failed, or whose page an earlier command has written.
        """
        name = printable(Path(row["path"]).name)
        if row["status"] == score_table.FAILED:
            self._failed[number] = name, printable(row["error"])
            return
        page = file_name(number, row["path"])
        thumbnail = f"{THUMBNAILS}/{Path(page).stem}.jpg"
        if score:
            score_page.write_html(self.path / page, score, back=(INDEX, "All videos"))
            (self.path / thumbnail).unlink(missing_ok=True)  # of an earlier score of this video
            if score.thumbnails:
                with atomic_files.replace_when_complete(self.path / thumbnail) as temporary:
                    temporary.write_bytes(score.thumbnails[len(score.thumbnails) // 2])
        self._scale = f"{float(row['scale_min']):g}–{float(row['scale_max']):g}"
        self._origin = label_origin.ORIGINS[row["labels"]]
        page, thumbnail = (address if (self.path / address).exists() else "" for address in (page, thumbnail))
        self._scored[number] = _entry(number, name, row, page=page, thumbnail=thumbnail)

    def write_index(self) -> None:
        """Write index.html with the videos added so far, in the order of the command."""
        entries = [self._scored[number] for number in sorted(self._scored)]
        values = {
            "entries": entries,
            "failed": [(number, *self._failed[number]) for number in sorted(self._failed)],
            "median": float(np.median([float(entry.score) for entry in entries])) if entries else None,
            "scale": self._scale,
            "labels": self._origin,
            "script": markupsafe.Markup(SORT_SCRIPT),
            "script_hash": base64.b64encode(hashlib.sha256(SORT_SCRIPT.encode()).digest()).decode(),
        }
        page = safe_output.render_html(Path(__file__).with_name("index.html.j2"), values)
        atomic_files.write_text(self.index, page)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a name stands for a folder of pages: it does not end in .html or .htm."""
    return Path(path).suffix.lower() not in (".html", ".htm")


def file_name(number: int, path: str | os.PathLike[str]) -> str:
    """Return a name for the page of a video, of letters that are safe in a file name and in an address.

    It ends in a checksum of the path: another video with this number and name has another page.

    >>> file_name(7, "videos/a b#1?.mp4")
    '0007-a_b_1_-e43a7157.html'
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(path).stem)[:MAX_NAME]
    checksum = hashlib.sha256(str(path).encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{number:04d}-{name}-{checksum}.html"


def _entry(number: int, name: str, row: Mapping[str, Any], *, page: str, thumbnail: str) -> Entry:
    quality = float(row["quality"])
    low, high = (
        "" if row[end] in ("", None) else f"{float(row[end]):.2f}" for end in ("interval_low", "interval_high")
    )
    warnings = row["warnings"].split("; ") if isinstance(row["warnings"], str) else row["warnings"]
    shared = label_origin.WARNINGS[row["labels"]]
    return Entry(
        number=number,
        name=name,
        page=page,
        thumbnail=thumbnail,
        score=f"{float(row['score']):.2f}",
        low=low,
        high=high,
        quality=quality,
        colour=",".join(map(str, quality_view.colours(np.array(quality)).tolist())),
        word=mos_scale.acr_word(quality),
        warnings=sum(warning not in ("", *shared) for warning in warnings),
    )
