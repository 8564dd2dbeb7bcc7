import dataclasses

import numpy as np
import pytest

from nr_vqm.dataset import manifest, video_batches

SETTINGS = {"num_groups": 4, "clip_frames": 7, "clip_size": 24, "stride": 4, "downscale": False}


@pytest.fixture
def videos(place_video):
    """Three videos of 21 frames of 30 x 44 pixels that tell their time, row and column."""
    found = []
    for number in range(3):
        path = place_video(f"v{number}.mkv")
        found.append(
            manifest.Video(
                f"v{number}", str(path), f"c{number}", 20.0 + 30 * number, 0, 100, frames=21, width=44, height=30
            )
        )
    return found


def batches(videos, **changes):
    settings = {
        "num_frames": 21, "num_regions": 2, "region_size": (28, 32),
        "batch_size": 2, "shuffle_seed": 1, "mirror": False,
    }  # fmt: skip
    return video_batches.VideoBatches(videos, **SETTINGS, **settings | changes)


def test_regions_are_parts_of_the_frames_in_time_order(videos):
    frames, starts, quality, weight = batches(videos, shuffle_seed=None).read(0, (0, 1))
    assert frames.shape == (2, 2, 21, 28, 32, 3)
    assert starts.tolist() == [[0, 5, 9, 14]] * 2
    assert quality[:, 0].tolist() == pytest.approx([1.8, 3.0])
    assert weight.tolist() == [1, 1]
    assert np.all(frames[..., 0] == np.arange(21)[:, None, None])  # red is the time
    corners = frames[:, :, 0, 0, 0, 1:].astype(int)
    assert (corners <= [2, 12]).all()
    assert np.all(frames[..., 1] == corners[..., 0, None, None, None] + np.arange(28)[:, None])
    assert np.all(frames[..., 2] == corners[..., 1, None, None, None] + np.arange(32))


def corners_of(one):
    return {
        name: one.read(index, (0, 1))[0][position, :, 0, 0, 0, 1:].tolist()
        for index in range(len(one))
        for position, name in enumerate(one.names(index))
    }


def test_regions_are_drawn_by_the_seed_the_epoch_and_the_video(videos):
    one, again = batches(videos, batch_size=3), batches(videos, batch_size=1)
    first = corners_of(one)
    assert first == corners_of(again)  # whatever the batches
    assert len({str(corners) for corners in first.values()}) == 3
    one.start_epoch(1)
    assert corners_of(one) != first
    again.start_epoch(1)
    assert corners_of(one) == corners_of(again)
    assert corners_of(batches(videos, batch_size=3, shuffle_seed=2)) != first


def test_replicas_read_parts_of_a_batch(videos):
    one = batches(videos)
    whole, halves = one.read(0, (0, 1)), [one.read(0, (index, 2)) for index in range(2)]
    for number, part in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([half[number] for half in halves]), part)


def test_validation_pads_the_last_batch(videos):
    one = batches(videos, shuffle_seed=None)
    assert (len(one), len(batches(videos))) == (2, 1)
    frames, _, quality, weight = one.read(1, (0, 1))
    assert (weight.tolist(), quality[:, 0].tolist()) == ([1, 0], pytest.approx([4.2, 3]))
    assert not frames[1].any()


def test_videos_are_mirrored_in_all_four_ways(videos):
    one, ways = batches(videos, mirror=True), set()
    for epoch in range(12):
        one.start_epoch(epoch)
        for frames in one.read(0, (0, 1))[0]:
            rows, columns = np.diff(frames[..., 1].astype(int), axis=2), np.diff(frames[..., 2].astype(int), axis=3)
            assert len(np.unique(rows)) == len(np.unique(columns)) == 1  # both regions alike
            ways.add((rows.flat[0], columns.flat[0]))
    assert ways == {(1, 1), (1, -1), (-1, 1), (-1, -1)}


def test_only_the_frames_of_the_groups_are_read(place_video):
    path = place_video(num_frames=60)
    video = manifest.Video("v", str(path), "c", 3, 1, 5, frames=60, width=44, height=30)
    settings = {"num_groups": 3, "clip_frames": 7}
    assert video_batches.most_frames([video], **settings) == 21  # groups at 0, 27 and 53, without the gaps
    one = video_batches.VideoBatches(
        [video], **{**SETTINGS, "num_groups": 3}, num_frames=23, num_regions=1, region_size=(24, 24), batch_size=1,
        shuffle_seed=1, mirror=False,
    )  # fmt: skip
    frames, starts, *_ = one.read(0, (0, 1))
    assert starts.tolist() == [[0, 7, 14]]
    assert frames[0, 0, :, 0, 0, 0].tolist() == [*range(7), *range(27, 34), *range(53, 60), 0, 0]


def test_a_frame_smaller_than_a_region_is_padded(place_video):
    path = place_video(num_frames=7, height=20, width=50)
    video = manifest.Video("v", str(path), "c", 3, 1, 5, frames=7, width=50, height=20)
    frames, *_ = batches([video], num_frames=7, batch_size=1).read(0, (0, 1))
    assert frames[0, 0, 0, :, 0, 1].tolist() == [*range(20), *range(18, 10, -1)]  # rows, by reflection


def test_a_video_that_cannot_be_read_is_named(videos, tmp_path):
    gone = dataclasses.replace(videos[0], path=str(tmp_path / "gone.mkv"))
    with pytest.raises(ValueError, match="The prepared video 'v0' cannot be read: .*gone.mkv"):
        batches([gone], batch_size=1).read(0, (0, 1))
    longer = dataclasses.replace(videos[0], frames=30)
    with pytest.raises(ValueError, match="'v0' has fewer frames than when it was prepared. Run again: make prep"):
        batches([longer], batch_size=1, num_frames=30).read(0, (0, 1))


def test_fewer_videos_than_a_batch_are_refused(videos):
    with pytest.raises(ValueError, match="One batch needs 4 videos, the training part has 3"):
        batches(videos, batch_size=4)
