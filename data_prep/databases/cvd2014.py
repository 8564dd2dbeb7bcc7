"""Reader of CVD2014 (Nuutinen et al., IEEE TIP 2016)."""

import os
from collections.abc import Sequence
from pathlib import Path

from data_prep import label_files
from data_prep.databases.database import Database
from data_prep.label_files import Labelled
from nr_vqm.dataset.manifest import Video


def read(root: str | os.PathLike[str], labels: Sequence[Path]) -> list[Video]:
    """Read the labels of CVD2014: 234 videos of 5 scenes, realigned MOS -6.50 to 93.38 on -10 to 100.

    The videos have 640 x 480 or 1280 x 720 pixels.

    From https://doi.org/10.5281/zenodo.2646315: folders Test1 ... Test6 with a folder for every scene, and
    CVD2014_ratings/Realignment_MOS.csv. The realignment of the six tests gave some MOS below 0: the scale's lower end
    is ours.
    video_id: Test01_City_D01. Content: the scene alone, as all tests used the same five.
    Source: Nuutinen et al., IEEE TIP 2016.
    """
    rows = []
    for where, (name, mos) in label_files.read(labels[0], ["File_name", "Realignment MOS|MOS"]):
        video_id, test, scene = label_files.name_parts(r"(Test0(\d)_(\w+)_D\d\d)(?:\.avi)?", name, where)
        path = f"Test{test}/{scene}/{video_id}.avi"
        rows.append(Labelled(video_id, scene.lower(), mos, video_id.lower(), path, where))
    return label_files.match(root, rows, key_of=label_files.stem_key(r"(test0\d_\w+_d\d\d)"), mos_range=(-10, 100))


DATABASE = Database(
    read,
    ("Realignment_MOS.csv", "CVD2014_Realignment_MOS.csv", "CVD2014_attributes.csv"),
    videos=234,
    contents=5,
    mos=(-6.5, 93.38),
    contents_word="scenes",
)
