import hashlib
import json
import math
import warnings

import cv2
import numpy as np
import pytest
import scipy.io
from golden import DATA, needs_data
from hard_frames import LUMA, texture
from sample_videos import write_ffv1

from nr_vqm.handcrafted import (
    bicubic,
    colour_maps,
    complex_diivine,
    frame_sampling,
    friquee,
    map_statistics,
    natural_scene,
)

RIVALS = DATA / "rivals"


def noise_frame(height=37, width=46, *, high=256, seed=0):
    return np.random.default_rng(seed).integers(0, high, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def golden():
    """(features of the release's example image, its published values)."""
    path = RIVALS / "sampleImg2.bmp"
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith("a9061cc1")
    rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return friquee.features(rgb), np.array(json.loads((RIVALS / "friquee_sampleImg2.json").read_text())["values"])


# The chroma map has a few hundred pixels one step off: a detail of MATLAB's colour conversion is unknown.
@needs_data
@pytest.mark.parametrize(
    ("start", "stop", "tolerance", "median"),
    [
        (0, 74, 1e-7, 1e-9),  # grey
        (74, 154, 5e-3, 2e-4),  # chroma
        (154, 218, 1e-6, 1e-9),  # cones
        (218, 232, 1e-10, 1e-12),  # opponents, hue, saturation
        (232, 314, 1e-9, 1e-11),  # complex DIIVINE of grey,
        (314, 396, 1e-2, 6e-4),  # of chroma,
        (396, 560, 1e-9, 1e-11),  # of the cones
    ],
)
def test_published_values(golden, start, stop, tolerance, median):
    got, published = golden
    difference = np.abs(got - published)[start:stop] / np.abs(published[start:stop])
    assert difference.max() < tolerance, friquee.feature_names()[start + difference.argmax()]
    assert np.median(difference) < median


@needs_data
def test_published_model(golden):
    learned = scipy.io.loadmat(RIVALS / "friqueeLearnedModel.mat")["friqueeLearnedModel"][0, 0]
    svr = learned["trainModel"][0, 0]

    def predict(values):
        x = (values - learned["trainDataMinVals"][0]) / learned["trainDataRange"][0]
        kernel = np.exp(-(2.0**-6) * np.sum((svr["SVs"] - x) ** 2, axis=1))
        return float(svr["sv_coef"][:, 0] @ kernel - svr["rho"][0, 0])

    assert predict(golden[1]) == pytest.approx(39.650, abs=0.001)
    assert predict(golden[0]) == pytest.approx(39.650, abs=0.05)


def test_layout():
    names = friquee.feature_names()
    assert len(names) == len(set(names)) == friquee.NUM_FEATURES
    expected = {
        0: "gray_full_pair_right_shape",
        15: "gray_full_pair_up_right_right",
        17: "gray_full_pair_right_kurtosis",
        24: "gray_full_deviation_kurtosis",
        31: "gray_half_pair_right_shape",
        62: "yellow_deviation_mscn_misfit",
        64: "gray_full_difference_shape",
        73: "gray_full_laplacian_kurtosis",
        109: "chroma_half_pair_right_shape",
        154: "medium_full_deviation_kurtosis",
        186: "short_full_deviation_kurtosis",
        218: "red_green_shape",
        231: "saturation_deviation",
        232: "gray_scale1_orientation0_magnitude_log_scale",
        559: "short_scale3_scale1_similarity_orientation5",
    }
    assert {index: names[index] for index in expected} == expected


def test_values_stand_at_their_names():
    rgb = noise_frame()
    values = dict(zip(friquee.feature_names(), friquee.features(rgb), strict=True))
    gray = colour_maps.gray(rgb)
    half, half_deviation = natural_scene.mscn(bicubic.halve(gray), border="zero")
    product = half * np.roll(half, (-1, 1), (0, 1))
    assert values["gray_half_pair_up_right_left"] == pytest.approx(np.mean(product[product < 0] ** 2))
    assert values["gray_half_deviation_mean"] == pytest.approx(half_deviation.mean())
    hue, saturation = colour_maps.hue_and_saturation(rgb)
    assert values["hue_deviation"] == pytest.approx(np.std(hue, ddof=1))
    assert values["saturation_mean"] == pytest.approx(saturation.mean())
    deviation = natural_scene.mscn(colour_maps.chroma(rgb), border="zero")[1]
    assert values["chroma_full_deviation_skewness"] == pytest.approx(natural_scene.skew(deviation))
    long, medium, _ = (natural_scene.mscn(np.log1p(cone), border="zero")[0] for cone in colour_maps.lms(rgb))
    assert values["red_green_right"] == pytest.approx(natural_scene.aggd((long - medium) / math.sqrt(2))[2])
    short = complex_diivine.features(colour_maps.lms(rgb)[2])
    assert values["short_scale2_all_magnitude_shape"] == short[15]


def test_mirrored_frames_keep_what_has_no_direction():
    rgb = noise_frame(48, 64)
    upright, mirrored = (friquee.features(image) for image in (rgb, rgb[:, ::-1]))
    same = [
        i for i, name in enumerate(friquee.feature_names()[:232]) if "_pair_" not in name and "_laplacian_" not in name
    ]
    np.testing.assert_allclose(mirrored[same], upright[same], rtol=1e-6, atol=1e-9)


def test_misfit_by_hand():
    # Half of the values in the first, half in the last of 100 bins from -1 to 1: nearly uniform centres, whose
    # flattest fit is far from two peaks of one half.
    values = np.array([[-1.0, 1.0], [1.0, -1.0]])
    centres = np.linspace(-0.99, 0.99, 100)
    shape, deviation = natural_scene.ggd(centres)
    density = np.exp(-((np.abs(centres) / (deviation * natural_scene.scale_factor(shape))) ** shape))
    density /= density.sum()
    counts = np.array([0.5] + 98 * [0] + [0.5])
    assert friquee.misfit(values) == pytest.approx(np.sum((density - counts) ** 2) / np.mean(centres**2), rel=1e-9)
    assert math.isnan(friquee.misfit(np.zeros((4, 5))))


def test_laplacian_of_an_impulse_by_hand():
    impulse = np.zeros((24, 30))
    impulse[12, 16] = 16
    # The low level has 16 x 2 x (6, 1)^2/256 at the place and its neighbours: what comes back is that, spread again.
    taps = np.sqrt(2) / 16 * np.array([1, 4, 6, 4, 1])
    line = np.zeros(13)  # 16 is the middle one
    for place, weight in ((4, taps[0]), (6, taps[2]), (8, taps[4])):
        line[place - 2 : place + 3] += weight * taps
    kept = 16 * np.outer(line, line)
    kept[6, 6] -= 16
    assert map_statistics.laplacian_block(impulse)[1] == pytest.approx(np.sqrt(np.sum(kept**2) / impulse.size))


def test_laplacian_without_contrast():
    shape, deviation, skewness, kurtosis = map_statistics.laplacian_block(np.full((16, 17), 9.0))
    assert deviation == 0
    assert np.isnan([shape, skewness, kurtosis]).all()


def test_features_of_a_video_are_the_mean_over_seconds(tmp_path):
    frames = [np.stack([texture(48, 64, seed=i + c) for c in range(3)], axis=-1) for i in range(19)]
    path = write_ffv1(tmp_path / "video.mkv", frames, fps=6)
    planes = list(frame_sampling.read_sampled(path))  # of frames 2, 8 and 14
    assert len(planes) == 3
    rows = [friquee.features(colour_maps.rgb_for_friquee(*frame)) for frame in planes]
    np.testing.assert_allclose(friquee.video_features(path), np.mean(rows, axis=0))


def test_a_video_without_colour_lacks_chroma_only(tmp_path):
    frames = [np.repeat(texture(48, 64, seed=i)[..., None], 3, axis=-1) for i in range(9)]
    values = friquee.video_features(write_ffv1(tmp_path / "grey.mkv", frames))
    lacking = [n for n, value in zip(friquee.feature_names(), values, strict=True) if np.isnan(value)]
    assert lacking
    assert all(n.startswith(("chroma_", "yellow_")) for n in lacking)


def test_a_video_without_texture_is_refused(tmp_path):
    path = write_ffv1(tmp_path / "flat.mkv", [np.full((32, 48, 3), 90, np.uint8)] * 9)
    with pytest.raises(
        ValueError, match=r"FRIQUEE needs at least one sampled frame with texture, .*flat\.mkv has none"
    ):
        friquee.video_features(path)


FRAMES = {
    "noise": noise_frame(),
    "smallest": noise_frame(16, 16),
    "odd": noise_frame(33, 51),
    "dark": noise_frame(40, 50, high=3),
    "grey": np.repeat(noise_frame(40, 50)[..., :1], 3, axis=2),
    "constant": np.full((30, 44, 3), (90, 120, 33), np.uint8),
    "black": np.zeros((30, 44, 3), np.uint8),
    "bars": np.pad(noise_frame(20, 50), ((10, 12), (0, 0), (0, 0))),
    "stripes": np.repeat(noise_frame(1, 50), 40, axis=0),
}
FRAMES |= {
    f"luma, {name}": colour_maps.rgb_for_friquee(luma, *[np.full([-(-size // 2) for size in luma.shape], 120)] * 2)
    for name, luma in LUMA.items()
    if min(luma.shape) >= friquee.MIN_SIZE
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMES)
def test_unusual_frames(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = friquee.features(FRAMES[name])
    assert not np.isinf(values).any()
    undefined = {n for n, value in zip(friquee.feature_names(), values, strict=True) if np.isnan(value)}
    if name in ("noise", "odd", "smallest", "dark", "bars", "luma, 10 bit"):
        assert not undefined
    if name == "grey":
        chroma = {f"chroma_{n}" for n in complex_diivine.feature_names()}
        assert undefined >= chroma
        assert all(n.startswith(("chroma_", "yellow_")) for n in undefined)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((15, 40, 3), np.uint8), r"FRIQUEE needs frames of at least 16 x 16 pixels, found 40 x 15\."),
        (np.zeros((40, 40), np.uint8), r"uint8 RGB of shape \(height, width, 3\)\. Received: uint8 \(40, 40\)\."),
        (np.zeros((40, 40, 3)), r"Received: float64 \(40, 40, 3\)\."),
    ],
)
def test_what_is_not_a_frame_is_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        friquee.features(frame)
