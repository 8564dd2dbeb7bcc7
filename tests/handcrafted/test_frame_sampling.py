import pytest

from nr_vqm.handcrafted import frame_sampling


@pytest.mark.parametrize(
    ("num_frames", "fps", "numbers"),
    [
        (240, 29.97, [14, 44, 74, 104, 134, 164, 194, 224]),  # 8 s
        (78, 30, [14, 44, 74]),  # the last frame that can be sampled is the fourth from the end
        (77, 30, [14, 44]),
        (192, 24, [11, 35, 59, 83, 107, 131, 155, 179]),
        (20, 1, list(range(17))),
        (5, 0.2, [0, 1]),
        (17, 30, [8]),  # too short for the rule: the middle frame
        (1, 30, [0]),
    ],
)
def test_one_frame_a_second(num_frames, fps, numbers):
    assert frame_sampling.sampled_frames(num_frames, fps) == numbers


def test_a_rate_is_needed():
    with pytest.raises(ValueError, match="frame rate above 0"):
        frame_sampling.sampled_frames(100, 0)
