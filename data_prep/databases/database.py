"""Description of a supported database."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from nr_vqm.dataset.manifest import Video


@dataclasses.dataclass(frozen=True)
class Database:
    """A supported database.

    Attributes:
        read: function(root, label files) -> unopened videos in the order of the labels.
        label_files: names of its label files, the preferred one first.
        videos: number of videos of the whole database.
        mos: lowest and highest MOS of the whole database.
        contents: number of contents of the whole database; 0 if every video is a separate content.
        contents_word: plural noun for its contents.
        most: maximum number of rows of a label file; 0 is `videos`.
        several: whether the labels are in more than one file.
    """

    read: Callable[[str | os.PathLike[str], Sequence[Path]], list[Video]]
    label_files: tuple[str, ...]
    videos: int
    mos: tuple[float, float]
    contents: int = 0
    contents_word: str = "contents"
    most: int = 0
    several: bool = False

    def facts(self) -> str:
        """Describe the whole database: its number of videos and contents, and its range of MOS."""
        contents = f"{self.contents or self.videos:,} {self.contents_word}"
        return f"{self.videos:,} videos, {contents}, MOS {self.mos[0]:.2f} to {self.mos[1]:.2f}"
