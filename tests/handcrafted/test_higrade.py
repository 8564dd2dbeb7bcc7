import numpy as np
import pytest
from hard_frames import LUMA, texture

from nr_vqm.handcrafted import bicubic, higrade, natural_scene


def test_names_and_layout():
    names = higrade.feature_names()
    assert len(names) == len(set(names)) == higrade.NUM_FEATURES
    luma = texture(60, 81).astype(np.float64)
    named = dict(zip(names, higrade.features(luma), strict=True))
    full, _ = natural_scene.mscn(higrade.gradient_magnitude(luma), border="zero")
    assert named["full_deviation"] == pytest.approx(full.std())
    half, _ = natural_scene.mscn(bicubic.halve(higrade.gradient_magnitude(luma)), border="zero")
    assert named["half_deviation"] == pytest.approx(half.std())
    difference = half - np.roll(half, (-1, 1), (0, 1))
    assert named["half_secondary_diagonal_difference_shape"] == natural_scene.ggd(difference)[0]


def test_gradient_worked_by_hand():
    ramp = np.tile(3.0 * np.arange(6), (5, 1)) + 4.0 * np.arange(5)[:, None]
    # Sobel weights add up to 8 on each side of two pixels' distance: 8 sqrt(3^2 + 4^2).
    np.testing.assert_allclose(higrade.gradient_magnitude(ramp)[1:-1, 1:-1], 40)


def test_mirroring_swaps_the_diagonals():
    frame = texture(64, 80)
    one, other = (dict(zip(higrade.feature_names(), higrade.features(f), strict=True)) for f in (frame, frame[:, ::-1]))
    main, secondary = (f"half_{name}_diagonal_difference_shape" for name in ("main", "secondary"))
    assert one[main] == pytest.approx(other[secondary], abs=0.05)
    assert one["full_deviation"] == pytest.approx(other["full_deviation"])


@pytest.mark.parametrize("name", LUMA)
@pytest.mark.filterwarnings("error")
def test_hard_frames(name):
    found = higrade.features(LUMA[name])
    assert np.isfinite(found).all() == (name not in ("black", "constant", "white", "1x1"))
