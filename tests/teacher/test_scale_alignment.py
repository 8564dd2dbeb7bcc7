"""Maps between scales are found from features, not from the means of databases."""

import numpy as np
import pytest

from nr_vqm.teacher import scale_alignment


def studies(noise=0.05, seed=2):
    """Two studies of different videos: the second has better videos and twice the scale, shifted by 10."""
    rng = np.random.default_rng(seed)
    weights = np.array([0.5, -0.3, 0.0, 0.2])
    features = np.concatenate([rng.normal(0, 1, (300, 4)), rng.normal(0.7, 1, (200, 4))])
    quality = 3 + features @ weights + noise * rng.normal(size=500)
    database = np.array(["first"] * 300 + ["second"] * 200)
    return features, np.where(database == "first", quality, 10 + 2 * quality), database, quality


def test_known_maps_are_found():
    features, mos, database, quality = studies()
    maps = scale_alignment.align(features, mos, database, anchor="first")
    assert maps["first"] == scale_alignment.ScaleMap(1.0, 0.0)
    assert maps["second"].gain == pytest.approx(0.5, abs=0.02)
    aligned = maps["second"](mos[300:])
    assert np.abs(aligned - quality[300:]).max() < 0.1
    assert aligned.mean() == pytest.approx(quality[300:].mean(), abs=0.05)  # better videos stay better


def test_noise_in_the_mos_does_not_shrink_a_scale():
    features, mos, database, _ = studies(noise=0.5)
    assert scale_alignment.align(features, mos, database, anchor="first")["second"].gain == pytest.approx(0.5, abs=0.06)


def test_unrelated_mos_are_refused():
    features, mos, database, _ = studies()
    mos[300:] = -mos[300:]
    with pytest.raises(ValueError, match="of second do not rise"):
        scale_alignment.align(features, np.where(database == "first", 3 * mos, mos), database, anchor="first")


def test_a_missing_anchor_is_refused():
    features, mos, database, _ = studies()
    with pytest.raises(ValueError, match="Scales are aligned to third"):
        scale_alignment.align(features, mos, database, anchor="third")
