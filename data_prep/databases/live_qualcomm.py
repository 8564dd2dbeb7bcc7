"""Reader of LIVE-Qualcomm (Ghadiyaram et al., IEEE TCSVT 2018)."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from data_prep import label_files
from data_prep.databases.database import Database
from data_prep.label_files import Labelled
from nr_vqm.dataset.manifest import Video
from nr_vqm.video import raw_video


def read(root: str | os.PathLike[str], labels: Sequence[Path]) -> list[Video]:
    """Read the labels of LIVE-Qualcomm: 208 videos of 1920 x 1080 in 54 scenes; unBiasedMOS 16.56 to 73.64 on 0-100.

    From https://live.ece.utexas.edu/research/incaptureDatabase: raw 8-bit planar YUV 4:2:0 files at 30 frames a second
    in folders by distortion, and qualcommSubjectiveData.mat. A converted file has the same name with another suffix.
    video_id: the file's name without suffix. Content: the scene, which several phones recorded: the date and the
    word before the phone, lower-cased. Source: Ghadiyaram et al., IEEE TCSVT 2018.
    """
    rows = []
    for where, (name, mos) in label_files.read(labels[0], ["vidNames", "unBiasedMOS"]):
        video_id, date, scene = label_files.name_parts(r"((\d{4})_?([A-Za-z0-9]+?)_\w+)\.yuv", name, where)
        rows.append(Labelled(video_id, f"{date}_{scene}".lower(), mos, video_id.lower(), f"{video_id}.yuv", where))
    raw = dataclasses.asdict(raw_video.RawFormat(1920, 1080, "yuv420p", 30.0))
    return label_files.match(root, rows, key_of=label_files.stem_key(r"(\w+)"), mos_range=(0, 100), **raw)


DATABASE = Database(
    read, ("qualcommSubjectiveData.mat",), videos=208, contents=54, mos=(16.56, 73.64), contents_word="scenes"
)
