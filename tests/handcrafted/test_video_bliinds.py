import hashlib
import itertools
import json

import numpy as np
import pytest
from golden import DATA, konvid_video, needs_data
from hard_frames import LUMA, texture
from sample_videos import write_ffv1
from scipy import fft, stats

from nr_vqm.handcrafted import niqe, video_bliinds
from nr_vqm.video import reader


def clip(num_frames, height=120, width=200):
    return [np.roll(texture(height, width), (t, 2 * t), (0, 1)) for t in range(num_frames)]


def test_names():
    names = video_bliinds.feature_names()
    assert len(names) == len(set(names)) == 46
    assert (names[36], names[37], names[44]) == ("niqe_of_frames", "dc_variation", "motion_coherency")


def test_spatial_features_are_means_over_the_inner_frames():
    frames = [texture(200, 210, seed) for seed in range(13)]
    found = video_bliinds.features(iter(frames))
    inner = [niqe.moments(niqe.block_features(frame)) for frame in frames[5:8]]
    np.testing.assert_allclose(found[:36], np.mean([mean for mean, _ in inner], axis=0))
    assert found[36] == pytest.approx(np.mean([niqe.distance(*one, "frames") for one in inner]))


def test_short_videos_have_no_spatial_features():
    found = video_bliinds.features(clip(10))
    assert np.isnan(found[:37]).all() and np.isfinite(found[37:]).all()
    with pytest.raises(ValueError, match=r"V-BLIINDS needs at least 3 frames\. Received: 2\."):
        video_bliinds.features(clip(2))


def test_a_still_video_has_no_temporal_change():
    found = dict(zip(video_bliinds.feature_names(), video_bliinds.features([texture(120, 200)] * 3), strict=True))
    assert found["dc_variation"] == found["difference_dc_change"] == found["motion_coherency"] == 0
    assert found["shape_mid_lo"] == pytest.approx(np.log1p(11 / 11.1))  # no shape fits: 11


def test_dct_of_blocks():
    x = np.random.default_rng(0).normal(size=(11, 17))
    found = video_bliinds.block_dct(x)
    assert found.shape == (25, 6)
    np.testing.assert_allclose(found[:, 4].reshape(5, 5), fft.dctn(x[5:10, 5:10], norm="ortho"))


@pytest.mark.parametrize("shape", [0.5, 1, 2])
def test_dct_shapes(shape):
    values = stats.gennorm.ppf((np.arange(100_000) + 0.5) / 100_000, shape)
    found = video_bliinds.dct_shapes(np.stack([values, 3 * values + 7, 0 * values]))
    assert found[:2] == pytest.approx(shape, abs=0.02)
    assert found[2] == 11


@pytest.mark.parametrize(
    ("dy", "dx", "wanted"),
    [(0, 0, 0), (3, 0, 1), (-2, 2, 1), ("opposite", 0, 1), ("either", 0, 0)],
)
def test_coherency(dy, dx, wanted):
    vectors = np.zeros((8, 9, 2), int)
    if dy == "opposite":
        vectors[::2, :, 0], vectors[1::2, :, 0] = 2, -2
    elif dy == "either":  # neighbours at right angles; the smoothing does not mix them completely
        vectors[:, ::2, 0], vectors[:, 1::2, 1] = 2, 2
        assert 0.1 < video_bliinds.coherency(vectors) < 0.9
        return
    else:
        vectors[...] = dy, dx
    assert video_bliinds.coherency(vectors) == pytest.approx(wanted)


def test_global_motion_worked_by_hand():
    # lengths 0, 1, 1, 2, filled up with two zeros: mean 4/6, and of 0 and 1, both twice or more, 0 is most frequent
    # the other pair: 2, 2, 2, 1 and two zeros: mean 7/6, mode 2
    found = video_bliinds.global_motion([np.array([1, 2, 0, 0, 1]), np.array([0, 1, 0, 0, 3])], pixels=600)
    assert found == pytest.approx((4 / 6 + 5 / 6) / 2 / (1 + (0 + 2) / 2))


@pytest.mark.parametrize("name", LUMA)
@pytest.mark.filterwarnings("error")
def test_hard_frames(name):
    frames = [LUMA[name]] * 6 + [np.roll(LUMA[name], 3, 1)] * 6
    if name in ("16x16", "1x1"):
        with pytest.raises(ValueError, match="V-BLIINDS needs frames of at least 96x96"):
            video_bliinds.features(frames)
        return
    found = video_bliinds.features(frames)
    assert np.isfinite(found[37:]).all()
    assert np.isfinite(found[:37]).all() == (name not in ("black", "constant", "white", "ramp", "checkerboard"))


def test_errors_name_the_video(tmp_path):
    grey = write_ffv1(tmp_path / "grey.mkv", [np.full((100, 200, 3), 90, np.uint8)] * 12)
    with pytest.raises(ValueError, match=r"V-BLIINDS needs at least one sampled frame with texture, .*grey\.mkv has"):
        video_bliinds.video_features(grey)
    small = write_ffv1(tmp_path / "small.mkv", [np.full((40, 50, 3), 90, np.uint8)] * 12)
    with pytest.raises(ValueError, match=r"small\.mkv: V-BLIINDS needs frames of at least 96x96"):
        video_bliinds.video_features(small)


@needs_data
def test_golden_clip():
    golden = json.loads((DATA / "rivals" / "vbliinds_clip.json").read_text())
    with reader.read_planes(konvid_video(3)) as frames:
        pixels = np.stack([frame.y[100:300, 300:604] for frame in itertools.islice(frames, 16)])
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == golden["clip_sha256"]
    np.testing.assert_allclose(video_bliinds.features(pixels), golden["rules_original"], rtol=1e-6)  # reached: 5e-14
