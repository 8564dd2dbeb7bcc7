import json

import numpy as np
import pytest
from sample_videos import write_ffv1

from benchmarks import rival_methods, rivals
from nr_vqm.handcrafted import methods


def test_rivals_in_small(tmp_path, capsys):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (100, 200, 3), np.uint8) for _ in range(12)]
    write_ffv1(tmp_path / "a.mkv", frames, fps=5)
    (tmp_path / "broken.mkv").write_bytes(b"no video")
    options = ["--videos", str(tmp_path), "--methods", "brisque", "video_bliinds"]
    rivals.main([*options, "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures) == {"brisque_seconds_a_frame", "video_bliinds_seconds_a_video"}
    assert all(0 < seconds < 5 for seconds in figures.values())
    text = capsys.readouterr().out
    assert "natural_scene.mscn: " in text and "block_motion.three_step_search: " in text
    assert "video_bliinds under 25 s per video: yes" in text


def test_every_method_is_measured():
    assert set(rival_methods.MEASURED) == set(methods.METHODS)


def test_rivals_need_a_video(tmp_path):
    with pytest.raises(ValueError, match="A video of at least 96x96 that declares a frame rate is needed"):
        rivals.main(["--videos", str(tmp_path)])
    with pytest.raises(ValueError, match="Unknown method 'brisk'. Choose from: niqe, brisque, "):
        rivals.main(["--videos", str(tmp_path), "--methods", "brisk"])
