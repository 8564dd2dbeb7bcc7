"""Synthetic videos among the versions of a folder's videos; their labels are those of simulated raters."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data_prep.synthetic import database
from nr_vqm.common import csv_files

FOLDER = "synthetic"  # below the folder of the database
SOURCE = "synthetic scene"  # in place of a file of the user's folder


def make(
    out_dir: Path,
    synthetic: Mapping[str, Any],
    *,
    workers: int,
    scheduler: str | None,
    progress: Callable[[str, int, int], None],
) -> list[dict[str, Any]]:
    """Generate the synthetic videos that are missing; return their rows, as those of `label_rows.make`.

    Args:
        out_dir: folder of the database.
        synthetic: num_videos, num_frames, size and seed, as in `synthetic.database.make_database`.
        workers, scheduler, progress: as in `database.make_database`.
    """
    if not synthetic["num_videos"]:
        return []
    folder = out_dir / FOLDER
    database.make_database(folder, **synthetic, workers=workers, scheduler=scheduler, progress=progress)
    labels, distortions = (_read(folder / name) for name in ("labels.csv", "distortions.csv"))
    return [
        {
            "video_id": f"{FOLDER}-{label['video_id']}",
            "path": f"{FOLDER}/{label['path']}",
            "content": label["content"],
            "source": SOURCE,
            "distortions": distorted["distortions"],
            "mos": label["mos"],
        }
        for label, distorted in zip(labels, distortions, strict=True)
    ]


def _read(path: Path) -> list[dict[str, str]]:
    with csv_files.reading(path) as file:
        return list(csv.DictReader(file))
