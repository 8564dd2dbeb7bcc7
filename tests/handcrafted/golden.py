"""Golden data in the folder that NR_VQM_DATA names. Without it the golden tests skip."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("NR_VQM_DATA") or "none")
needs_data = pytest.mark.skipif(
    not (DATA / "rivals").is_dir(), reason="no golden data: NR_VQM_DATA names no folder with rivals/"
)
# KoNViD-1k videos on the disk: row of the published tables -> file.
KONVID_VIDEOS = {
    0: "3339962845.mp4",
    3: "8751538577.mp4",
    345: "10053703034.mp4",
    355: "2999049224_original_centercrop_960x540_8s.mp4",
    1070: "5115335471.mp4",
}


def konvid_video(row):
    """The path of a KoNViD-1k video by its row in the published tables."""
    return DATA / "videos" / KONVID_VIDEOS[row]
