import pytest

from benchmarks import plan
from nr_vqm import presets


def figures(preset, **arguments):
    return {name: value for name, value, _ in plan.plan(preset, **arguments)}


def test_konvid1k_worked_by_hand(monkeypatch):
    monkeypatch.setattr(plan, "network_bytes", lambda preset: (3e9, 0.25e9))
    preset = presets.get_preset("paper", overrides=["train_fraction=0.9", "val_fraction=0.05"])
    found = figures(preset, videos=1200, num_devices=2, clips_per_second=100.0)
    assert found["clips"] == "249,600"  # 1200 x 26 x 8
    assert found["training clips"] == "224,640"  # 1080 x 208, as in the paper
    assert found["training"] == "15.9 h"  # (224,640 + 12,480 / 3) x 50 / (2 x 100) / 3600
    assert found["memory per device"] == "5.00 GB"  # 3 + 16 / 2 x 0.25
    assert found["reading"] == "482 MB/s"  # 200 x 2,408,448


def test_the_memory_of_a_network():
    weights, activations = plan.network_bytes(presets.get_preset("tiny"))
    assert weights == 16 * 2706
    assert activations > 2 * 2 * 7 * 24 * 24 * 3


def test_an_unknown_database_needs_a_number_of_videos():
    preset = presets.get_preset("tiny")
    assert plan.known_videos("konvid1k", preset) == 1200
    with pytest.raises(ValueError, match="The number of videos of 'mine' is unknown"):
        plan.known_videos("mine", preset)
