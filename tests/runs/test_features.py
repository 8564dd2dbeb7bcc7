"""Features are those of the clips at their positions, and are stored and read without change."""

import dataclasses

import h5py
import keras
import numpy as np
import pytest

from nr_vqm.dataset import manifest
from nr_vqm.models import cnn3d, keras_engine
from nr_vqm.models.shared_trunk import ClipOutputs
from nr_vqm.runs import features

NETWORK = {"clip_frames": 7, "clip_size": 24, "convs": ((3, 3, 1), (4, 2, 2)), "fc_dims": (11, 8), "dropout": 0.1}
GRID = {"num_groups": 3, "block_grid": (2, 3), "clip_frames": 7, "clip_size": 24, "downscale": False}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 0.02)])
def test_groups_are_times_and_blocks_are_places(dtype, tolerance):
    keras.utils.set_random_seed(0)
    model = cnn3d.build_cnn3d(**NETWORK, dtype=dtype)
    of_clips = keras.Model(model.input, [model.get_layer("fc2").output, model.output])
    frames = np.random.default_rng(0).integers(0, 256, (21, 45, 61, 3), np.uint8)
    outputs = features.extract(
        frames, trunk=keras_engine.shared_trunk(model), num_frames=21, height=45, width=61, **GRID
    )
    assert (outputs.group_features.dtype, outputs.clip_quality.dtype) == (np.float32, np.float32)
    places = [(start, top, left) for start in (0, 7, 14) for top in (0, 20) for left in (0, 20, 36)]
    clips = np.stack([frames[t : t + 7, row : row + 24, column : column + 24] for t, row, column in places])
    expected, quality = (np.asarray(keras.ops.cast(x, "float32")) for x in of_clips(clips, training=False))
    np.testing.assert_allclose(outputs.group_features, expected.reshape(3, 6, 8).mean(axis=1), atol=tolerance)
    np.testing.assert_allclose(outputs.clip_quality.reshape(18), quality[:, 0], atol=tolerance)


def test_a_video_shorter_than_a_clip_is_refused():
    trunk = keras_engine.shared_trunk(cnn3d.build_cnn3d(**NETWORK, dtype="float32"))
    with pytest.raises(ValueError, match="Too short: 6 frames; this model needs 7."):
        features.extract([], trunk=trunk, num_frames=6, height=45, width=61, **GRID)


def synthetic_outputs(number):
    """Outputs of the 3D-CNN for one video: 3 groups x 4 blocks, 5 features."""
    rng = np.random.default_rng(number)
    return ClipOutputs(
        group_features=rng.random((3, 5), np.float32),
        clip_quality=rng.random((3, 4), np.float32),
    )


@pytest.fixture
def videos():
    """Three videos on a scale of 0-100, one with an id that is not a file name."""
    ids = ["one", "../../two\n", "three"]
    return [manifest.Video(name, "x.mp4", f"scene {name}", 25.0 * i, 0.0, 100.0) for i, name in enumerate(ids)]


@pytest.fixture
def run_dir(tmp_path, videos):
    """A run with the joined features of the videos."""
    file = features.FeatureFile(tmp_path, precision="float32")
    for number, one in enumerate(videos):
        file.write_part(one, "network", synthetic_outputs(number))
    file.join(videos, "network")
    return tmp_path


def test_features_are_the_same_after_writing_and_reading(run_dir, videos):
    inputs = features.read_head_inputs(run_dir)
    assert list(inputs.video_id) == [one.video_id for one in videos]
    assert list(inputs.content) == [one.content for one in videos]
    np.testing.assert_array_equal(inputs.quality, [1, 2, 3])
    np.testing.assert_array_equal(inputs.clip_quality, [synthetic_outputs(i).clip_quality for i in range(3)])
    np.testing.assert_array_equal(inputs.group_features, [synthetic_outputs(i).group_features for i in range(3)])
    np.testing.assert_array_equal(inputs.mean_features[1], features.mean_features(synthetic_outputs(1).group_features))
    np.testing.assert_allclose(inputs.mean_features[1], synthetic_outputs(1).group_features.mean(axis=0), rtol=1e-6)
    assert sorted(path.name for path in run_dir.iterdir()) == ["features.h5", "features.parts"]
    features.FeatureFile(run_dir).drop_parts()
    assert sorted(path.name for path in run_dir.iterdir()) == ["features.h5"]


def test_videos_are_selected_in_the_given_order(run_dir):
    inputs = features.read_head_inputs(run_dir)
    some = inputs.select(["three", "one"])
    np.testing.assert_array_equal(some.mos, [50, 0])
    np.testing.assert_array_equal(some.clip_quality[1], synthetic_outputs(0).clip_quality)
    np.testing.assert_array_equal(some.group_features[0], synthetic_outputs(2).group_features)
    np.testing.assert_array_equal(some.select(["one"]).group_features[0], synthetic_outputs(0).group_features)
    with pytest.raises(ValueError, match=r"No features of video 'four' \(1 missing\). Extract again: make features"):
        inputs.select(["one", "four"])


def test_group_features_stay_on_the_disk_until_a_head_reads_them(run_dir):
    inputs = features.read_head_inputs(run_dir)
    assert isinstance(inputs.stored, np.memmap)
    assert isinstance(inputs.select(["three"]).stored, np.memmap)


def test_only_group_features_and_clip_qualities_are_stored(run_dir):
    with h5py.File(run_dir / "features.h5") as file:
        stored = {name: file[name].nbytes // 3 for name in file if file[name].ndim > 1}
    assert stored == {"group_features": 3 * 5 * 4, "clip_quality": 3 * 4 * 4}


def test_a_part_belongs_to_one_network_and_one_precision(tmp_path, videos):
    file = features.FeatureFile(tmp_path, precision="float32")
    file.write_part(videos[1], "network", synthetic_outputs(1))
    assert file.part(videos[1], "network").exists()
    assert file.part(videos[1], "network").parent == tmp_path / "features.parts"
    assert not file.part(videos[1], "another network").exists()
    assert not features.FeatureFile(tmp_path).part(videos[1], "network").exists()  # of another precision


def test_a_repaired_video_never_uses_the_part_of_its_damaged_file(tmp_path, videos):
    file = features.FeatureFile(tmp_path, precision="float32")
    damaged, repaired = (dataclasses.replace(videos[1], fingerprint=text) for text in ("damaged", "repaired"))
    file.write_part(damaged, "network", synthetic_outputs(1))  # and then the extraction is killed
    assert file.part(damaged, "network").exists()
    assert not file.part(repaired, "network").exists()
    file.write_part(repaired, "network", synthetic_outputs(2))
    file.join([repaired], "network")
    np.testing.assert_array_equal(
        features.read_head_inputs(tmp_path).clip_quality[0], synthetic_outputs(2).clip_quality
    )


def test_the_checksum_of_videos_depends_on_their_ids_and_labels_only(videos):
    found = features.videos_sha256(videos)
    assert features.videos_sha256([dataclasses.replace(one, path="moved.mp4") for one in videos]) == found
    changes = {"video_id": "four", "content": "other", "mos": 51.0, "mos_high": 101.0, "mos_ci95": 1.0}
    for name, value in changes.items():
        assert features.videos_sha256([*videos[:2], dataclasses.replace(videos[2], **{name: value})]) != found
    assert features.videos_sha256(videos[:2]) != found


def test_the_checksum_of_files_depends_on_their_ids_and_states_only(videos):
    found = features.files_sha256(videos)
    assert features.files_sha256([dataclasses.replace(one, path="moved.mp4", mos=51.0) for one in videos]) == found
    for changes in ({"video_id": "four"}, {"fingerprint": "repaired"}):
        assert features.files_sha256([*videos[:2], dataclasses.replace(videos[2], **changes)]) != found


def test_missing_features_and_another_schema_are_refused(run_dir, tmp_path):
    with h5py.File(run_dir / "features.h5", "a") as file:
        file.attrs["schema"] = 0
    with pytest.raises(ValueError, match="has schema 0, 2 is needed. Run: make features"):
        features.read_head_inputs(run_dir)
    with pytest.raises(FileNotFoundError, match=r"features\.h5 is missing. Make it first: make features"):
        features.read_head_inputs(tmp_path / "elsewhere")


def _change(name, value):
    def change(file):
        file[name][1] = value

    return change


def _shorten(file):
    kept = file["mos"][:2]
    del file["mos"]
    file["mos"] = kept


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_change("clip_quality", np.nan), "needs finite numbers, clip_quality has NaN"),
        (_change("group_features", np.inf), "needs finite numbers, mean_features has NaN"),
        (_change("mos", np.nan), "needs finite numbers, mos has NaN"),
        (_shorten, "needs one row per video in every data set"),
        (lambda file: file.pop("content"), "A complete HDF5 file of nr-vqm is needed"),
        (lambda file: file.move("mos", "clip_quality2") or file.copy("clip_quality", "mos"), "of unusable shapes"),
    ],
)
def test_features_that_are_not_finite_or_do_not_fit_together_are_refused(run_dir, damage, message):
    with h5py.File(run_dir / "features.h5", "r+") as file:
        damage(file)
    with pytest.raises(ValueError, match=message) as refused:
        features.read_head_inputs(run_dir)
    assert str(run_dir / "features.h5") in str(refused.value)
