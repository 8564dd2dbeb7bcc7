"""The benchmarks of scale: throughput, memory and the clip grid."""

import json

import numpy as np
import pytest

from benchmarks import grid, throughput
from nr_vqm.dataset import manifest
from nr_vqm.evaluation import metrics


def test_memory_is_compared_at_the_start_and_at_the_end():
    samples = [(finished, 100 + 10 * (finished > 50) + 900 * (finished < 5), {1: 3.0}) for finished in range(100)]
    assert throughput.memory(samples, 100) == (100, 110)
    assert throughput.memory(samples[:1], 2) is None


@pytest.mark.slow
def test_the_throughput_benchmark_on_small_videos(tmp_path):
    options = ["--short", "30", "--full", "0", "--frames", "9", "--size", "64", "96", "--preset", "tiny"]
    throughput.main([*options, "--modes", "one", "cluster", "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    for mode in ("one", "cluster"):
        assert figures[f"videos_per_hour_short_{mode}"] > 100
        assert 0 < figures[f"cpu_hours_per_1000_short_{mode}"] < 10
        assert figures[f"memory_gb_short_{mode}"] > 0.3


def test_the_smallest_grid_without_a_significant_loss_is_named():
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 60)
    videos = [manifest.Video(f"v{n}", f"v{n}.mp4", f"c{n // 2}", one, 1.0, 5.0) for n, one in enumerate(mos)]
    scores = {8: mos + 3 * rng.standard_normal(60), 16: mos + 0.1 * rng.standard_normal(60), 32: mos + 0.0}
    scores[32][:4] = scores[32][3::-1]  # a few ranks wrong, as many as with noise
    measured = {number: grid.GridResult(one, 1.0, metrics.correlations(mos=mos, scores=one)["srocc"])
                for number, one in scores.items()}  # fmt: skip
    results = grid.compare(measured, videos, num_resamples=200)
    assert results[8].difference == pytest.approx(measured[8].srocc - measured[32].srocc)
    assert results[8].low < results[8].difference < results[8].high < 0
    assert results[16].high >= 0
    assert (results[32].difference, results[32].low, results[32].high) == (0, 0, 0)
    assert grid.smallest(results) == 16
