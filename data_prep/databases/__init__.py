"""Supported databases: their label files -> unopened rows of the manifest. docs/databases.md is the user's guide.

A reader gets the folder of the database as downloaded and the label files found in it. Every label becomes a row of the
manifest; a row without a file on disk has the status `missing`. MOS remain on the database's own scale.
"""

import os
from pathlib import Path

from data_prep import label_files
from data_prep.databases import cvd2014, konvid1k, live_qualcomm, live_vqc, lsvq, youtube_ugc
from nr_vqm.dataset.manifest import Video

DATABASES = {
    "konvid1k": konvid1k.DATABASE,
    "live_qualcomm": live_qualcomm.DATABASE,
    "live_vqc": live_vqc.DATABASE,
    "cvd2014": cvd2014.DATABASE,
    "youtube_ugc": youtube_ugc.DATABASE,
    "lsvq": lsvq.DATABASE,
}


def read(
    name: str, root: str | os.PathLike[str], *, labels: str | os.PathLike[str] | None = None
) -> tuple[list[Video], list[Path]]:
    """Read the labels of a database.

    Args:
        name: a key of DATABASES.
        root: the folder of the database, as downloaded.
        labels: the label file, if it is not below `root`; None searches for it.

    Returns:
        (videos, paths): the unopened videos in the order of the labels, and the label files.

    Raises:
        FileNotFoundError: the folder or the label file does not exist.
        ValueError: a label file of another version, a duplicate video, or a MOS outside the range.
    """
    database = DATABASES[name]
    paths = label_files.find(root, database.label_files, several=database.several, labels=labels)
    videos = database.read(root, paths)
    most = database.most or database.videos
    if not 0 < len(videos) <= most:
        raise ValueError(
            f"{paths[0]} is another version of the label file: {name} has 1 to {most:,} videos, it lists "
            f"{len(videos):,}. Take the file that docs/databases.md names."
        )
    return videos, paths
