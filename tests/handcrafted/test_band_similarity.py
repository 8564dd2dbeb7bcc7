import math

import numpy as np
import pytest

from nr_vqm.handcrafted.band_similarity import SmoothedBand


def test_similarity_by_hand():
    y, x = np.indices((20, 31))
    band = SmoothedBand(np.exp(1j * (0.4 * y + 1.1 * x)))
    assert band.similarity(band) == pytest.approx(1)
    assert band.similarity(SmoothedBand(3j * band.values)) == pytest.approx(2 * 3 / (1 + 9))
    waves = SmoothedBand(band.values * np.exp(2j * np.pi * x / 7))  # a whole turn in every box
    assert band.similarity(waves) == pytest.approx(0, abs=1e-12)
    zero = SmoothedBand(np.zeros((20, 31), complex))
    assert band.similarity(zero) == 0
    assert math.isnan(zero.similarity(zero))
