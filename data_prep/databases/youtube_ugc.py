"""Reader of YouTube-UGC (Wang et al., MMSP 2019)."""

import os
from collections.abc import Sequence
from pathlib import Path

from data_prep import label_files
from data_prep.databases.database import Database
from data_prep.label_files import Labelled
from nr_vqm.dataset.manifest import Video


def read(root: str | os.PathLike[str], labels: Sequence[Path]) -> list[Video]:
    """Read the labels of YouTube-UGC: 1,149 of 1,380 videos have a MOS, 1.24 to 4.68 on 1-5.

    Sizes are 360p to 2160p, every video is a separate content.

    From https://media.withyoutube.com: original_videos or the H.264 copies (<vid>_crf_10_ss_00_t_20.0.mp4), and the MOS
    as original_videos_MOS_for_YouTube_UGC_dataset.xlsx (its sheet MOS), or YOUTUBE_UGC_metadata.csv.
    video_id: the vid, Animation_360P-08c9. Source: Wang et al., MMSP 2019; Yim et al., arXiv 2002.12275.
    """
    rows = []
    for where, (name, mos) in label_files.read(labels[0], ["vid", "mos|MOS full"], sheet="MOS"):
        video_id, category, size = label_files.name_parts(r"(([A-Za-z]+)_(\d+P)-[0-9a-f]{4})", name, where)
        rows.append(Labelled(video_id, video_id, mos, video_id.lower(), f"{category}/{size}/{video_id}.mkv", where))
    return label_files.match(
        root, rows, key_of=label_files.stem_key(r"([a-z]+_\d+p-[0-9a-f]{4})(?:_.*)?"), mos_range=(1, 5)
    )


DATABASE = Database(
    read,
    ("original_videos_MOS_for_YouTube_UGC_dataset.xlsx", "YOUTUBE_UGC_metadata.csv"),
    videos=1149,
    mos=(1.24, 4.68),
    most=1500,
)
