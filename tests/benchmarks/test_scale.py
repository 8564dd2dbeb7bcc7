"""The benchmarks of scale: throughput, memory, the clip grid, and variants of the training step."""

import json

import commands
import numpy as np
import pytest

from benchmarks import grid, memory, throughput, train_step, train_variants
from experiments import ablations, train_cnn
from nr_vqm import presets
from nr_vqm.dataset import manifest
from nr_vqm.evaluation import metrics
from nr_vqm.models import cnn3d
from nr_vqm.video import clips


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
    one, cluster = (figures[f"videos_per_hour_short_{mode}"] for mode in ("one", "cluster"))
    assert figures["speedup_short_cluster"] == pytest.approx(cluster / one)


def test_speedups_are_over_one_process():
    figures = {"videos_per_hour_short_one": 50.0, "videos_per_hour_short_workers": 80.0, "memory_gb_short_one": 1.0}
    assert throughput.speedups(figures) == {"speedup_short_workers": 1.6}


def test_the_operations_of_one_clip_are_those_of_the_network():
    preset = presets.PRESETS["tiny"]
    one = clips.plan_grid(
        preset.clip_frames, preset.clip_size, preset.clip_size, stride=preset.block_stride,
        **preset.head_clips | {"num_groups": 1, "block_grid": (1, 1)},
    )  # fmt: skip
    model = cnn3d.build_cnn3d(**preset.network, dtype="float32")
    assert memory.multiply_adds(preset, one) == sum(cnn3d.clip_multiply_adds(model))


@pytest.mark.slow
def test_the_memory_of_a_video_is_compared_with_the_estimate(place_video, tmp_path):
    found = memory.measure(place_video(num_frames=12, height=60, width=80), "tiny", tmp_path / "run")
    assert set(found) == {"seconds", "gb", "estimate_over_measured", "gflops", "peak_share"}
    assert all(value > 0 for name, value in found.items() if name != "gb")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in train_variants.VARIANTS if name != "frozen_first"])
def test_variants_of_the_training_step_compute_the_same_function(name):
    preset = presets.PRESETS["tiny"]
    base = train_step.make_model(preset, "float32")
    clip, _ = train_variants.make_batch(preset, 1)
    variant = train_variants.VARIANTS[name](base)
    assert variant is not base
    np.testing.assert_allclose(variant.predict_on_batch(clip), base.predict_on_batch(clip), atol=1e-4)


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


@pytest.mark.slow
def test_the_grid_benchmark_on_small_videos(synthetic_data, tmp_path, few_draws, capsys):
    run = ["--run", tmp_path / "run", "--data", synthetic_data]
    commands.succeed(train_cnn.main, *run, "--preset", "tiny", "--epochs", 1, "--set", "head_epochs=1")
    commands.succeed(ablations.main, "grid", *run)
    options = ["--run", tmp_path / "run", "--videos", synthetic_data / "synthetic", "--head", "svr"]
    grid.main([*map(str, options), "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["times_as_fast_8"] == pytest.approx(figures["seconds_32"] / figures["seconds_8"])
    assert (figures["times_as_fast_32"], figures["difference_32"]) == (1, 0)
    assert "The smallest grid without a significant loss: " in capsys.readouterr().out
