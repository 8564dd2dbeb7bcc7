"""Reader of LIVE-VQC (Sinno and Bovik, IEEE TIP 2019)."""

import os
from collections.abc import Sequence
from pathlib import Path

from data_prep import label_files
from data_prep.databases.database import Database
from data_prep.label_files import Labelled
from nr_vqm.dataset.manifest import Video


def read(root: str | os.PathLike[str], labels: Sequence[Path]) -> list[Video]:
    """Read the labels of LIVE-VQC: 585 videos of many sizes, every video its own content; MOS 6.22 to 94.29 on 0-100.

    From https://live.ece.utexas.edu/research/LIVEVQC: the folder Video with A001.mp4 ... and data.mat.
    video_id: the file's name without suffix. Source: Sinno and Bovik, IEEE TIP 2019.
    """
    rows = []
    for where, (name, mos) in label_files.read(labels[0], ["video_list", "mos"]):
        (video_id,) = label_files.name_parts(r"([A-Z]\d{3})\.mp4", name, where)
        rows.append(Labelled(video_id, video_id, mos, video_id.lower(), f"Video/{video_id}.mp4", where))
    return label_files.match(root, rows, key_of=label_files.stem_key(r"([a-z]\d{3})"), mos_range=(0, 100))


DATABASE = Database(read, ("data.mat", "LIVE-VQC_data.mat"), videos=585, mos=(6.22, 94.29))
