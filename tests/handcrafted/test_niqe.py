import numpy as np
import pytest
import scipy.io
from golden import DATA, konvid_video, needs_data
from hard_frames import LUMA, texture
from sample_videos import write_ffv1

from nr_vqm.handcrafted import natural_scene, niqe


def test_blocks_are_read_row_by_row_and_shifts_wrap_inside():
    assert len(niqe.block_feature_names()) == len(set(niqe.block_feature_names())) == 36
    luma = texture(211, 300)
    found = niqe.block_features(luma)
    assert found.shape == (6, 36)
    z, _ = natural_scene.mscn(luma[:192, :288], border="nearest")
    block = z[96:192, 96:192]  # the fifth
    named = dict(zip(niqe.block_feature_names(), found[4], strict=True))
    alpha, left, right = natural_scene.aggd(block)
    assert named["full_shape"] == alpha
    assert named["full_scale"] == pytest.approx((left + right) / 2 * natural_scene.scale_factor(alpha))
    alpha, left, right = natural_scene.aggd(block * np.roll(block, (1, -1), (0, 1)))
    assert named["full_secondary_diagonal_shape"] == alpha
    assert named["full_secondary_diagonal_left_scale"] == pytest.approx(left * natural_scene.scale_factor(alpha))


def test_distance_worked_by_hand(monkeypatch):
    monkeypatch.setattr(niqe, "prior", lambda name: (np.array([1.0, 0]), np.diag([3.0, 1])))
    # difference (3, -4); the mean of both covariances is diag(2, 1)
    assert niqe.distance(np.array([4.0, -4]), np.diag([1.0, 1]), "any") == pytest.approx(np.sqrt(9 / 2 + 16))


def test_moments_leave_out_undefined_values():
    blocks = np.array([[1.0, 2], [3, np.nan], [5, 8], [9, 5]])
    mean, covariance = niqe.moments(blocks)
    np.testing.assert_allclose(mean, [4.5, 5])
    np.testing.assert_allclose(covariance, np.cov([[1.0, 5, 9], [2, 8, 5]]))
    assert np.isnan(niqe.moments(blocks[:2])[0]).all()


def test_priors_are_covariances():
    for name in niqe.PRIORS:
        mean, covariance = niqe.prior(name)
        assert mean.shape == (36,) and covariance.shape == (36, 36)
        np.testing.assert_allclose(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance).min() > -1e-9
    assert niqe.prior("photographs")[0][0] != niqe.prior("frames")[0][0]


@pytest.mark.parametrize("name", LUMA)
@pytest.mark.filterwarnings("error")
def test_hard_frames(name):
    if name in ("16x16", "1x1"):
        with pytest.raises(ValueError, match="NIQE needs a frame of at least 96x96"):
            niqe.features(LUMA[name])
        return
    found = niqe.features(LUMA[name])
    assert found.shape == (1,)
    assert np.isnan(found[0]) == (name in ("black", "constant", "white", "ramp", "checkerboard")), found


def test_a_video_without_texture_is_refused(tmp_path):
    path = write_ffv1(tmp_path / "grey.mkv", [np.full((200, 220, 3), 90, np.uint8)] * 3)
    with pytest.raises(ValueError, match=r"NIQE needs at least one sampled frame with texture, .*grey\.mkv has"):
        niqe.video_features(path)
    path = write_ffv1(tmp_path / "small.mkv", [np.full((40, 50, 3), 90, np.uint8)] * 3)
    with pytest.raises(ValueError, match=r"small\.mkv: NIQE needs a frame of at least 96x96"):
        niqe.video_features(path)


@needs_data
@pytest.mark.parametrize(("row", "ours"), [(0, 4.436), (3, 2.601), (345, 5.826), (355, 6.873), (1070, 8.070)])
def test_published_scores(row, ours):
    published = scipy.io.loadmat(DATA / "rivals" / "KONVID_1K_NIQE_scores.mat")["y_pred"].ravel()[row]
    (found,) = niqe.video_features(konvid_video(row))
    assert found == pytest.approx(published, rel=0.02)  # their frames are not documented
    assert found == pytest.approx(ours, abs=0.001)
