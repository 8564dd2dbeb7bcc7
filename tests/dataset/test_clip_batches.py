"""Batches of clips: their order, labels, orientation and padding."""

import bright_clips
import numpy as np
import pytest
from bright_clips import batches

from nr_vqm.dataset import clip_batches
from nr_vqm.dataset.batches import as_dataset


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return bright_clips.write(tmp_path_factory.mktemp("data"))


def test_every_epoch_has_every_clip_once_in_a_different_order(data_dir):
    one = batches(data_dir, 0, 12, batch_size=6)
    seen = []
    for epoch in range(2):
        one.start_epoch(epoch)
        seen.append(np.concatenate([one[i][0].reshape(6, -1) for i in range(len(one))]))
    assert len(one) == 6
    assert not np.array_equal(*seen)
    np.testing.assert_array_equal(*(np.unique(part, axis=0) for part in seen))
    again = batches(data_dir, 0, 12, batch_size=6)
    again.start_epoch(1)
    np.testing.assert_array_equal(again[0][0].reshape(6, -1), seen[1][:6])


def test_every_clip_has_the_label_of_its_video(data_dir):
    one = batches(data_dir, 0, 12, batch_size=6)
    for index in range(len(one)):
        clips, quality, weight = one[index]
        assert np.all(weight == 1)
        np.testing.assert_allclose(clips.mean(axis=(1, 2, 3, 4)), 40 + 40 * (quality[:, 0] - 1), atol=2)


def test_training_drops_and_validation_pads_the_last_batch(data_dir):
    train, val = (
        batches(data_dir, 0, 9, batch_size=8),
        batches(data_dir, 0, 9, batch_size=8, shuffle_seed=None),
    )
    assert (len(train), len(val)) == (3, 4)  # 27 clips
    assert val[3][2].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert val[3][0].shape == (8, 7, 24, 24, 3)


def test_mirroring_is_deterministic_and_uses_all_four_orientations(data_dir):
    plain, mirrored = (batches(data_dir, 0, 12, batch_size=36, mirror=mirror)[0][0] for mirror in (False, True))
    orientations = set()
    for one, other in zip(plain, mirrored, strict=True):
        ways = [one, one[:, ::-1], one[:, :, ::-1], one[:, ::-1, ::-1]]
        orientations.add(next(number for number, way in enumerate(ways) if np.array_equal(way, other)))
    assert orientations == {0, 1, 2, 3}
    np.testing.assert_array_equal(batches(data_dir, 0, 12, batch_size=36, mirror=True)[0][0], mirrored)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_dataset_yields_every_batch_in_order(data_dir, workers):
    one = batches(data_dir, 0, 12, batch_size=5, mirror=True)
    dataset = as_dataset(one, workers=workers)
    for epoch in range(2):
        one.start_epoch(epoch)
        got = list(dataset)
        assert len(got) == len(one) == 7
        for index, parts in enumerate(got):
            for part, wanted in zip(parts, one[index], strict=True):
                np.testing.assert_array_equal(part, wanted)


def test_the_parts_of_all_processes_make_the_batch(data_dir):
    one = batches(data_dir, 0, 12, batch_size=6, mirror=True)
    parts = [one.read(1, (number, 3)) for number in range(3)]
    for whole, *pieces in zip(one[1], *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_memory_is_reused_when_no_array_refers_to_it():
    memory = clip_batches.BatchMemory((2, 3))
    first = memory.take()
    first[:] = 7
    row = first[1][1:]
    del first
    assert memory.take().ctypes.data != row.ctypes.data - 4
    np.testing.assert_array_equal(row, [7, 7])
    assert len(memory.free) == 1
    address = row.ctypes.data - 4
    del row
    assert len(memory.free) == 2
    assert address in (memory.take().ctypes.data, memory.take().ctypes.data)


def test_fewer_clips_than_one_batch_are_refused(data_dir):
    with pytest.raises(ValueError, match="One batch needs 8 clips, the training part has 6"):
        batches(data_dir, 0, 2, batch_size=8)
