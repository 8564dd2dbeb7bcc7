import math

import numpy as np
import pytest

from nr_vqm.handcrafted import colour_maps


def flat(*rgb):
    return np.full((5, 7, 3), rgb, np.uint8)


@pytest.mark.parametrize(
    ("yuv", "rgb"),
    [
        ((16, 128, 128), (0, 0, 0)),
        ((235, 128, 128), (255, 255, 255)),
        ((126, 128, 128), (128, 128, 128)),
        ((81, 90, 240), (254, 0, 0)),  # 254.4, -0.5, -1.0
        ((0, 128, 128), (0, 0, 0)),
        ((255, 128, 128), (255, 255, 255)),
    ],
)
def test_rgb_of_planes(yuv, rgb):
    y, u, v = (np.full(shape, level, np.uint8) for shape, level in zip([(5, 7), (3, 4), (3, 4)], yuv, strict=True))
    np.testing.assert_array_equal(colour_maps.rgb_for_friquee(y, u, v), flat(*rgb))


def test_rgb_of_ten_bits_is_rounded_last():
    y, grey = np.full((6, 8), 126.75), np.full((3, 4), 128.25)
    # 1.16438 x 110.75 = 128.96; the planes of 8 bits would give 127.79 and 128.
    np.testing.assert_array_equal(colour_maps.rgb_for_friquee(y, grey, grey), np.full((6, 8, 3), 129))


def test_gray_is_rounded_half_up():
    levels = colour_maps.gray(flat(255, 0, 0)), colour_maps.gray(flat(0, 255, 0)), colour_maps.gray(flat(0, 0, 255))
    assert [level[0, 0] for level in levels] == [76, 150, 29]  # 76.2, 149.7, 29.1
    assert colour_maps.gray(flat(77, 77, 77))[0, 0] == 77


@pytest.mark.parametrize(
    ("rgb", "hue", "saturation"),
    [
        ((255, 0, 0), 0, 1),
        ((255, 255, 0), 60, 1),
        ((0, 255, 0), 120, 1),
        ((0, 0, 200), 240, 1),
        ((255, 0, 255), 300, 1),
        ((255, 127, 127), 0, 1),
        ((150, 50, 100), 330, 0.5),  # 60 (50 - 100) / 100 + 360; 50 / 100
        ((90, 90, 90), 240, 0),
        ((255, 255, 255), 240, 0),  # a tie of all counts as blue
        ((0, 0, 0), 240, 0),
    ],
)
def test_hue_and_saturation(rgb, hue, saturation):
    hues, saturations = colour_maps.hue_and_saturation(flat(*rgb))
    assert hues[2, 3] == pytest.approx(hue)
    assert saturations[2, 3] == pytest.approx(saturation)


def test_cones():
    white = [cone[0, 0] for cone in colour_maps.lms(flat(255, 255, 255))]
    np.testing.assert_allclose(white, [0.9493, 1.0354, 1.0873], atol=2e-4)  # CAT02 of (0.9505, 1, 1.089)
    assert [cone[0, 0] for cone in colour_maps.lms(flat(0, 0, 0))] == [0, 0, 0]
    half = [cone[0, 0] for cone in colour_maps.lms(flat(188, 188, 188))]
    np.testing.assert_allclose(half, np.array(white) * 0.50289, rtol=1e-4)  # ((188/255 + 0.055) / 1.055)^2.4


def test_chroma():
    assert colour_maps.chroma(flat(70, 70, 70))[0, 0] == pytest.approx(math.hypot(128, 128))
    # L*a*b* of sRGB red (D65): a* = 80, b* = 67
    assert colour_maps.chroma(flat(255, 0, 0))[1, 1] == pytest.approx(math.hypot(208, 195), abs=3)
    edge = np.zeros((6, 8, 3), np.uint8)
    edge[:, 4:] = 255, 0, 0
    row = colour_maps.chroma(edge)[2]
    assert row[0] == row[2] != row[3] != row[4] != row[5] == row[7]  # blurred by one pixel


def test_yellow_against_blue():
    assert colour_maps.yellow(flat(200, 220, 10))[0, 0] == 190
    assert colour_maps.yellow(flat(0, 220, 30))[0, 0] == -30


def test_exact_rgb_worked_by_hand():
    levels = [np.array([[value]], float) for value in (235, 128, 128)]
    np.testing.assert_allclose(colour_maps.rgb_of_ycbcr(*levels), [[[1, 1, 1]]])
    # Red has luma 16 + 65.481 and the chroma 128 - 37.797 and 128 + 112.
    red = [np.array([[value]]) for value in (81.481, 90.203, 240.0)]
    np.testing.assert_allclose(colour_maps.rgb_of_ycbcr(*red), [[[1, 0, 0]]], atol=1e-12)
    black = [np.array([[value]], float) for value in (3, 128, 128)]
    assert not colour_maps.rgb_of_ycbcr(*black).any()  # clipped


def test_lab_of_known_colours():
    colours = np.array([[[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]]], float)
    lab = np.stack(colour_maps.lab_of_rgb(colours), axis=-1)[0]
    np.testing.assert_allclose(lab[:2], [[100, 0, 0], [0, 0, 0]], atol=1e-10)
    np.testing.assert_allclose(lab[2:], [[53.24, 80.09, 67.20], [32.30, 79.19, -107.86]], atol=0.01)


def test_sharp_chroma_of_grey_and_of_an_edge():
    rgb = np.full((5, 6, 3), 90, np.uint8)
    np.testing.assert_allclose(colour_maps.sharp_chroma(rgb), np.sqrt(2) * 128)
    rgb[:, 3:] = 200, 30, 30
    chroma = colour_maps.sharp_chroma(rgb)
    assert len(np.unique(chroma)) == 2  # not blurred
    assert chroma[0, 5] > chroma[0, 0]
