"""Reader of KoNViD-1k (Hosu et al., QoMEX 2017)."""

import os
from collections.abc import Sequence
from pathlib import Path

from data_prep import label_files
from data_prep.databases.database import Database
from data_prep.label_files import Labelled
from nr_vqm.dataset.manifest import Video


def read(root: str | os.PathLike[str], labels: Sequence[Path]) -> list[Video]:
    """Read the labels of KoNViD-1k: 1,200 videos of 960 x 540, every video its own content; MOS 1.22 to 4.64 on 1-5.

    From https://database.mmsp-kn.de/konvid-1k-database.html: KoNViD_1k_videos.zip and KoNViD_1k_metadata.zip.
    Files: <flickr id>.mp4, or <flickr id>_original_centercrop_960x540_8s.mp4 in some mirrors, identified by the id.
    video_id: the Flickr id. Source: Hosu et al., QoMEX 2017.
    """
    rows = []
    for where, (name, mos) in label_files.read(labels[0], ["flickr_id", "mos"]):
        (video_id,) = label_files.name_parts(r"(\d+)", name, where)
        rows.append(Labelled(video_id, video_id, mos, video_id, f"KoNViD_1k_videos/{video_id}.mp4", where))
    return label_files.match(root, rows, key_of=label_files.stem_key(r"(\d+)(?:_.*)?"), mos_range=(1, 5))


DATABASE = Database(
    read, ("KoNViD_1k_attributes.csv", "KoNViD_1k_mos.csv", "KONVID_1K_metadata.csv"), videos=1200, mos=(1.22, 4.64)
)
