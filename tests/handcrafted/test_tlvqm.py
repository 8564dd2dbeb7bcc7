import numpy as np
import pytest
from hard_frames import LUMA

from nr_vqm.handcrafted import natural_scene, tlvqm


def motion_of(*frames, full_width=240):
    names = tlvqm.motion_feature_names()
    return dict(zip(names, tlvqm.motion_features(*frames, full_width=full_width), strict=True))


def still_of(y, u=None, v=None):
    u, v = (np.full(y.shape, 128.0) if plane is None else plane for plane in (u, v))
    return dict(zip(tlvqm.still_feature_names(), tlvqm.still_features(y, u, v), strict=True))


def crop(top, left):
    """A window of noise, 100 x 120 pixels, 0-1: content that a larger corner moves up and to the left."""
    return np.random.default_rng(4).random((140, 170))[top : top + 100, left : left + 120]


def test_names():
    names = [*tlvqm.motion_feature_names(), *tlvqm.still_feature_names()]
    assert len(names) == len(set(names)) == 13


def test_steady_motion_worked_by_hand():
    # 4 rows up and 3 columns to the left a frame, reach 240 / 40 = 6: lengths of 5 each way.
    found = motion_of(crop(20, 20), crop(16, 17), crop(24, 23))
    points = len(tlvqm.key_point_motion.key_points(crop(20, 20), 6))
    length = np.sqrt((5**2 + 5**2) / 4) / 6
    assert found["motion_intensity"] == pytest.approx((points * length * 36 / (100 * 120)) ** 0.25)
    assert found["vertical_motion"] == pytest.approx(0.5 - 2 * 4 / 6 / 4)
    assert found["jerkiness"] == 0
    assert found["background_motion_deviation"] == 0


def test_a_jerk_worked_by_hand():
    # The frame stands still, then jumps by (4, 3): half the difference of both motions is 2.5 of a reach of 6.
    found = motion_of(crop(20, 20), crop(20, 20), crop(24, 23))
    assert found["jerkiness"] == pytest.approx(np.sqrt(2.5 / 6))
    assert found["motion_intensity"] > 0


def test_a_still_video_flickers_where_noise_changes():
    frame = crop(20, 20)
    still = motion_of(frame, frame, frame)
    assert still["motion_intensity"] == still["temporal_activity"] == still["static_flicker_deviation"] == 0
    assert still["vertical_motion"] == 0.5
    brighter = motion_of(frame, frame + 0.01, frame + 0.01)
    assert brighter["temporal_activity"] == pytest.approx(0.01**0.25)
    assert brighter["static_flicker_deviation"] == pytest.approx(0, abs=1e-12)
    uneven = motion_of(frame, frame, frame + 0.01)  # the larger change, 0.01, less the mean change, 0.005
    assert uneven["static_flicker_deviation"] == pytest.approx(0.005)


def test_spatial_activity_worked_by_hand():
    ramp = np.tile(0.01 * np.arange(60), (50, 1))  # slope 0.01 a pixel: Sobel answers 0.01 inside, 0 on the border
    values = np.zeros((50, 60))
    values[4:-4, 4:-4] = 0.01
    assert motion_of(ramp, ramp, ramp)["spatial_activity"] == pytest.approx(values.std(ddof=1) ** 0.25)


def test_colourfulness_and_gradient():
    grey = np.full((60, 70), 126.0)
    assert still_of(grey)["colourfulness"] == pytest.approx(0, abs=1e-4)
    red = still_of(grey, v=np.full(grey.shape, 200.0))
    assert red["colourfulness"] > 0.5
    step = grey.copy()
    step[:, 35:] = 200
    assert still_of(step)["colour_gradient_mean"] > 0
    assert still_of(grey)["edge_width"] == still_of(grey)["weak_edge_deviation"] == 0


def test_blur_widens_edges():
    frame = np.where(np.indices((120, 160)).sum(axis=0) // 19 % 2, 220.0, 40.0)
    blurred = natural_scene.separable_filter(frame, natural_scene.gaussian_window(9, 2), border="nearest")
    assert still_of(blurred)["edge_width"] > still_of(frame)["edge_width"]


@pytest.mark.parametrize("name", LUMA)
@pytest.mark.filterwarnings("error")
def test_hard_frames(name):
    luma = LUMA[name].astype(np.float64)
    halved = tlvqm.halved_luma(luma)
    if min(luma.shape) < tlvqm.MIN_SIZE:
        with pytest.raises(ValueError, match=r"TLVQM needs frames of at least 17 x 17 pixels, found"):
            still_of(luma)
        return
    assert all(np.isfinite(value) for value in still_of(luma).values())
    assert all(np.isfinite(value) for value in motion_of(halved, halved, halved).values())
