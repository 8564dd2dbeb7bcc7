import json

import numpy as np
import pytest

from benchmarks import comparison, score, svr_search


@pytest.mark.slow
def test_the_score_benchmark_on_a_small_video(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(score, "SIZES", {"540p": (40, 128, 192)})
    options = ["--preset", "small", "--sizes", "540p", "--frames", "20", "--every", "8"]
    score.main([*options, "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    text = capsys.readouterr().out
    assert "20 frames; clip by clip 4 of 32 groups timed and scaled up" in text
    assert "small_540p_seconds under 5: yes" in text
    assert figures["difference_540p"] < 0.05
    assert figures["speedup_540p"] == pytest.approx(figures["clip_seconds_from_sample_540p"] / figures["seconds_540p"])
    assert figures["count_ratio_540p"] > 20  # 32 groups in 20 frames share nearly everything
    assert 0.001 < figures["peak_memory_gb_540p"] < 1


def test_synthetic_features_have_the_spectrum_of_real_ones():
    features, mos, contents = svr_search.synthetic_features(2000, seed=1)
    assert features.shape == (2000, 512)
    scaled = (features - features.min(axis=0)) / np.ptp(features, axis=0)
    variances = np.linalg.svd(scaled - scaled.mean(axis=0), compute_uv=False) ** 2
    shares = variances / variances.sum()
    assert shares[0] == pytest.approx(0.37, abs=0.05)
    assert 1 / np.sum(shares**2) == pytest.approx(6.5, abs=1)
    assert 1 <= mos.min() < 1.5 < 4.5 < mos.max() <= 5
    assert np.unique(contents, return_counts=True)[1].tolist() == [4] * 500


@pytest.mark.slow
def test_the_comparison_benchmark_on_few_videos(tmp_path):
    comparison.main(["--videos", "40", "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["videos"], figures["heads"]) == (40, 5)
    assert figures["seconds_limit_over_ours"] == pytest.approx(300 / figures["seconds"])


@pytest.mark.slow
def test_the_svr_search_benchmark_on_few_videos(tmp_path, capsys):
    svr_search.main(["--quick", "--search-videos", "200", "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["videos"], figures["search_videos"]) == (1500, 200)
    assert figures["srocc"] > 0.7
    assert "limit " not in capsys.readouterr().out
