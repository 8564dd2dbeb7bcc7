import numpy as np
import pytest
import scipy.io
from golden import DATA, konvid_video, needs_data
from hard_frames import LUMA, texture
from sample_videos import write_ffv1, write_planes

from nr_vqm.handcrafted import bicubic, brisque, natural_scene


def test_names_and_layout():
    names = brisque.feature_names()
    assert len(names) == len(set(names)) == 36
    luma = texture(60, 81)
    z, _ = natural_scene.mscn(luma, border="zero")
    named = dict(zip(names, brisque.features(luma), strict=True))
    assert named["full_variance"] == pytest.approx(np.mean(z**2))
    assert named["full_secondary_diagonal_right_variance"] == pytest.approx(
        natural_scene.aggd(z * np.roll(z, (-1, 1), (0, 1)))[2] ** 2
    )
    halved = brisque.features(bicubic.halve(luma))
    np.testing.assert_allclose(brisque.features(luma)[18:], halved[:18])


def test_a_transposed_frame_swaps_horizontal_and_vertical():
    one = dict(zip(brisque.feature_names(), brisque.features(texture(64, 80)), strict=True))
    other = dict(zip(brisque.feature_names(), brisque.features(texture(64, 80).T), strict=True))
    for name, value in one.items():
        swapped = name.replace("horizontal", "-").replace("vertical", "horizontal").replace("-", "vertical")
        assert other[swapped] == pytest.approx(value, rel=1e-6), name


def test_neighbours_of_noise_oppose_and_of_blurred_noise_agree():
    noise = np.random.default_rng(0).normal(128, 20, (300, 400))
    blurred = natural_scene.separable_filter(noise, natural_scene.gaussian_window(5, 1.2), border="mirror")
    for frame, sign in ((noise, -1), (blurred, 1)):
        named = dict(zip(brisque.feature_names(), brisque.features(frame), strict=True))
        for direction in ("horizontal", "vertical"):
            assert sign * named[f"full_{direction}_mean"] > 0.05


@pytest.mark.parametrize("name", LUMA)
@pytest.mark.filterwarnings("error")
def test_hard_frames(name):
    found = brisque.features(LUMA[name])
    assert found.shape == (36,)
    # Without texture a product has no negative samples; a checkerboard's all have one sign.
    assert np.isfinite(found).all() == (name not in ("black", "constant", "white", "1x1", "checkerboard"))


def test_a_black_video_is_refused(tmp_path):
    path = write_ffv1(tmp_path / "black.mkv", [np.zeros((32, 48, 3), np.uint8)] * 3)
    with pytest.raises(ValueError, match=r"BRISQUE needs at least one sampled frame with texture, .*black\.mkv has"):
        brisque.video_features(path)


def test_one_frame_of_10_bit_is_read_without_rounding(tmp_path):
    luma = texture(63, 81).astype("<u2") * 4 + np.random.default_rng(0).integers(0, 4, (63, 81), "<u2")
    chroma = np.full((32, 41), 512, "<u2")
    path = write_planes(tmp_path / "a.mkv", [[luma, chroma, chroma]], "yuv420p10le")
    np.testing.assert_allclose(brisque.video_features(path), brisque.features(luma / 4))


@needs_data
@pytest.mark.parametrize("row", [0, 3, 345, 355, 1070])
def test_published_rows(row):
    published = scipy.io.loadmat(DATA / "features" / "KONVID_1K_BRISQUE_feats.mat")["feats_mat"][row]
    found = brisque.video_features(konvid_video(row))
    np.testing.assert_allclose(found[[0, 1, 18, 19]], published[[0, 1, 18, 19]], rtol=1e-9)
    if row == 3:
        np.testing.assert_allclose(found[18:], published[18:], rtol=1e-11)  # reached: 9e-15
    # The published pairs hold MATLAB's rounding noise in flat areas, whose share differs between the videos.
    np.testing.assert_allclose(found, published, atol=4e-3)
