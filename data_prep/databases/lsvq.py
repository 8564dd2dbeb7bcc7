"""Reader of LSVQ (Ying et al., CVPR 2021)."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from data_prep import label_files
from data_prep.databases.database import Database
from data_prep.label_files import Labelled
from nr_vqm.common import csv_files
from nr_vqm.dataset.manifest import Video


def read(root: str | os.PathLike[str], labels: Sequence[Path]) -> list[Video]:
    """Read the labels of LSVQ: 38,811 videos of many sizes, every video its own content; MOS on 0-100.

    From https://github.com/baidut/PatchVQ: folders yfcc-batch1 ..., ia-batch1 ..., labels_train_test.csv and
    labels_test_1080p.csv. Lists of 'path, -1, -1, mos' are supported, too.
    video_id: yfcc-batch1/747. Source: Ying et al., CVPR 2021.
    """
    rows = []
    for path in labels:
        table: Iterable[tuple[str, tuple[Any, ...]]]
        table = _read_list(path) if path.suffix == ".txt" else label_files.read(path, ["name", "mos"])
        for where, (name, mos) in table:
            (video_id,) = label_files.name_parts(r"([\w-]+/[^/\\]+?)(?:\.mp4)?", name, where)
            rows.append(Labelled(video_id, video_id, mos, video_id, f"{video_id}.mp4", where))
    return label_files.match(root, rows, key_of=lambda path: f"{path.parent.name}/{path.stem}", mos_range=(0, 100))


def _read_list(path: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    with csv_files.reading(path) as file:
        for number, row in enumerate(csv.reader(file, skipinitialspace=True), start=1):
            if len(row) != 4:
                raise ValueError(f"{path} row {number} is of another version: 'path, -1, -1, mos' is needed.")
            yield f"{path} row {number}", (row[0], row[3])


DATABASE = Database(
    read,
    ("labels_t*.csv", "LSVQ_whole_t*.csv", "LSVQ_labels_*.txt"),
    videos=38811,
    mos=(0, 100),
    most=39500,
    several=True,
)
