import json

import pytest

from benchmarks import score


@pytest.mark.slow
def test_score_in_small(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(score, "SIZES", {"540p": (40, 128, 192)})
    options = ["--preset", "small", "--sizes", "540p", "--frames", "20", "--every", "8"]
    score.main([*options, "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    text = capsys.readouterr().out
    assert "20 frames; clip by clip 4 of 32 groups timed and scaled up" in text
    assert "small_540p_seconds under 5: yes" in text
    assert figures["difference_540p"] < 0.05
    assert figures["speedup_540p"] == pytest.approx(figures["clip_seconds_from_sample_540p"] / figures["seconds_540p"])
    assert figures["count_ratio_540p"] > 20  # 32 groups in 20 frames: nearly all is shared
    assert 0.001 < figures["peak_memory_gb_540p"] < 1
