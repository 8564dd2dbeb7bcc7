"""Frame statistics are features of BRISQUE and VIDEVAL, of a few frames read as RGB."""

import cv2
import numpy as np
import pytest
import scipy.io
from golden import DATA, KONVID_VIDEOS, konvid_video, needs_data
from sample_videos import write_ffv1, write_planes

from nr_vqm.handcrafted import brisque, frame_statistics, videval
from nr_vqm.teacher import published_rows, regression
from nr_vqm.video import reader


def scene(num_frames, height=98, width=202):
    """RGB frames of moving waves with noise."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((y + 2 * time) / 9) * np.cos((x - time) / 13) for time in range(num_frames)]
    frames = [128 + 60 * wave[..., None] * (1, 0.7, 0.4) + rng.normal(0, 6, (height, width, 3)) for wave in waves]
    return np.clip(frames, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("num_frames", "fps", "numbers"),
    [
        (240, 30.0, [60, 180]),
        (240, 0.0, [60, 180]),
        (240, 60.0, [60, 180]),
        (240, np.uint8(200), [60, 180]),
        (20, 1e-320, [1, 3, 6, 8, 11, 13, 16, 18]),
        (8, 1e-320, [1, 2, 3, 4, 5, 6]),
        (600, 30.0, [60, 180, 300, 420, 540]),
        (16, 25.0, [4, 12]),
        (4, 25.0, [1, 2]),
        (3, 25.0, [1]),
        (2, 25.0, []),
        (0, 25.0, []),
    ],
)
def test_sampled_frames(num_frames, fps, numbers):
    assert frame_statistics.sampled_frames(num_frames, fps) == numbers


def test_a_long_video_has_eight_sampled_frames():
    numbers = frame_statistics.sampled_frames(54_000, 30.0)
    assert (len(numbers), numbers[0], numbers[-1]) == (8, 3375, 50_625)


def test_neighbours():
    held = frame_statistics.Neighbours([2, 3, 6])
    frames = [np.full((40, 40, 3), number, np.uint8) for number in range(0, 240, 30)]
    found = [[float(one.y.mean()) for one in three] for three in map(held.add, frames) if three]
    luma = [float(frame_statistics.planes_of(frame).y.mean()) for frame in frames]
    assert len(set(luma)) == 8
    assert found == [luma[1:4], luma[2:5], luma[5:8]]


def test_names_are_those_of_the_methods():
    names = frame_statistics.feature_names()
    assert len(names) == len(set(names)) == frame_statistics.NUM_FEATURES == 77
    assert names[:36] == [f"brisque_{name}" for name in brisque.feature_names()]
    theirs = [f"videval_{name}" for name in videval.feature_names()]
    assert set(names[36:]) <= set(theirs)
    assert sorted(names[36:], key=theirs.index) == names[36:]


def test_values_are_those_of_the_methods():
    """VIDEVAL describes one of five frames, the second: all its averages are those of this frame."""
    frames = scene(5)
    planes = [frame_statistics.planes_of(frame) for frame in frames]
    found = dict(zip(frame_statistics.feature_names(), frame_statistics.features(planes[:3]), strict=True))
    for name, value in zip(brisque.feature_names(), brisque.features(planes[1].y), strict=True):
        assert found[f"brisque_{name}"] == value
    whole = dict(zip(videval.feature_names(), videval.features(planes, fps=5), strict=True))
    averages = [name for name in whole if name.endswith("_average")]
    assert len(averages) == 35
    for name in averages:
        assert found[f"videval_{name}"] == pytest.approx(whole[name], rel=1e-12), name
    # Colour and sharpness are those of frame number 1 of 5 at five frames a second: the same frame.
    for name in videval.feature_names()[54:]:
        assert found[f"videval_{name}"] == pytest.approx(whole[name], rel=1e-12), name


def test_planes_are_near_those_of_the_decoder(tmp_path):
    luma, chroma = scene(3)[..., 0], (128 + 15 * np.sin(np.arange(101) / 9)).astype(np.uint8)
    planes = [(np.clip(one, 60, 180), np.tile(chroma, (49, 1)), np.tile(chroma[::-1], (49, 1))) for one in luma]
    path = write_planes(tmp_path / "scene.mkv", planes, "yuv420p")
    with reader.read_frames(path) as frames, reader.read_planes(path) as decoded:
        for frame, expected in zip(frames, decoded, strict=True):
            for found, plane in zip(frame_statistics.planes_of(frame), expected, strict=True):
                difference = found.astype(int) - plane
                assert np.abs(difference).max() <= 3
                assert difference.std() < 0.6  # the mean is that of the conversion to RGB: decision 0011


@pytest.mark.parametrize(
    ("size", "expected"),
    [((540, 960), (540, 960)), ((1080, 1920), (1080, 1920)), ((2160, 3840), (1080, 1920)), ((1600, 1200), (1600, 1200)),
     ((400, 16000), (228, 9108)),
     ((16, 30), (40, 40)), ((33, 81), (40, 82)), ((97, 193), (98, 194))],
)  # fmt: skip
def test_large_frames_are_reduced_and_tiny_ones_extended(size, expected):
    planes = frame_statistics.planes_of(np.zeros((*size, 3), np.uint8))
    assert planes.y.shape == expected
    assert planes.u.shape == (expected[0] // 2, expected[1] // 2)


def test_a_video_gives_the_mean_of_its_sampled_frames(tmp_path):
    frames = scene(40)
    path = write_ffv1(tmp_path / "scene.mkv", frames, fps=20)
    planes, numbers = [frame_statistics.planes_of(frame) for frame in frames], frame_statistics.sampled_frames(40, 20.0)
    expected = np.mean([frame_statistics.features(planes[number - 1 : number + 2]) for number in numbers], axis=0)
    np.testing.assert_array_equal(frame_statistics.video_features(path), expected)


def test_too_few_frames_are_refused(tmp_path):
    path = write_ffv1(tmp_path / "short.mkv", scene(2))
    with pytest.raises(ValueError, match=r"need at least three frames, .*short.mkv has 2"):
        frame_statistics.video_features(path)


@needs_data
@pytest.mark.slow
def test_predicted_mos():
    """An SVR fitted on the published columns predicts nearly the same from two RGB frames as from all decoded ones."""
    cv2.setNumThreads(1)
    rows = published_rows.read(DATA / "features", leave_out=DATA / "features" / "leave_out.csv")
    mine = rows.database == "konvid1k"
    model = regression.fit(
        rows.features["frame_statistics"][mine],
        rows.mos[mine],
        np.ones(mine.sum()),
        kind="svr",
        svr_settings={"c": 4.0, "gamma": 0.125},
        search=regression.Search(),
    )
    tables = [
        scipy.io.loadmat(DATA / "features" / f"KONVID_1K_{name}_feats.mat")["feats_mat"][list(KONVID_VIDEOS)]
        for name in ("BRISQUE", "VIDEVAL")
    ]
    published = published_rows._select(dict(zip(published_rows.PUBLISHED, tables, strict=True)))
    ours = [frame_statistics.video_features(konvid_video(row)) for row in KONVID_VIDEOS]
    difference = model.predict(np.array(ours)) - model.predict(published)
    assert np.abs(difference).max() < 0.35, difference
