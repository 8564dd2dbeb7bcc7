"""Small databases with the layout of the downloads."""

import pytest
import stand_ins


@pytest.fixture
def konvid(tmp_path):
    stand_ins.make_konvid1k(tmp_path / "konvid", num_videos=5, num_frames=9)
    return tmp_path / "konvid"


@pytest.fixture
def qualcomm(tmp_path):
    stand_ins.make_live_qualcomm(tmp_path / "qualcomm", num_scenes=3, num_frames=8, height=48, width=72)
    return tmp_path / "qualcomm"
