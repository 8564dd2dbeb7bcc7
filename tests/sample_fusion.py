"""A teacher on frame statistics, and the frame statistics of tested videos, for tests of a fusion."""

import numpy as np

from nr_vqm.dataset import manifest
from nr_vqm.handcrafted import frame_statistics, methods
from nr_vqm.runs.rival_features import RivalFile
from nr_vqm.teacher import regression, teacher

VERSION = methods.get("frame_statistics").version


def write_teacher(path):
    rng = np.random.default_rng(2)
    features = rng.normal(1, 1, size=(40, frame_statistics.NUM_FEATURES))
    mos = np.clip(3 + features[:, 0], 1, 5)
    settings = {"kind": "svr", "svr_settings": {"c": 1.0, "gamma": 0.05}, "search": regression.Search(num_trees=4)}
    found = regression.fit(features, mos, np.ones(40), **settings)
    teacher.save(path, teacher.Teacher(("frame_statistics",), found, mos, mos, {}))
    return path


def add_statistics(test, *, failed="", version=VERSION):
    """Add the frame statistics of 25 videos, v0 to v24, to a run folder."""
    videos = [manifest.Video(f"v{number}", "", "", 1.0, 1.0, 5.0) for number in range(25)]
    file = RivalFile(test.path, "frame_statistics", version, frame_statistics.NUM_FEATURES)
    rng = np.random.default_rng(5)
    for one in videos:
        if one.video_id == failed:
            file.write_part(one, None, reason="too short")
        else:
            file.write_part(one, rng.normal(1, 1, frame_statistics.NUM_FEATURES))
    file.join(videos)
