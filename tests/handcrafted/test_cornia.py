import h5py
import numpy as np
import pytest
from hard_frames import LUMA, texture
from sample_videos import write_ffv1

from nr_vqm.handcrafted import cornia


@pytest.fixture(scope="module")
def codebook():
    frames = (texture(60, 80, seed) for seed in range(8))
    return cornia.learn_codebook(frames, videos=["one", "two"], num_words=30, seed=3)


def test_patches_are_normalised_and_drawn_once():
    luma = np.arange(9 * 10, dtype=np.uint8).reshape(9, 10) ** 2
    found = cornia.sample_patches(luma, 1000, seed=1)
    assert found.shape == (3 * 4, 49) and found.dtype == np.float32
    every = []
    for row, column in np.ndindex(3, 4):
        patch = luma[row : row + 7, column : column + 7].astype(float).ravel()
        every.append((patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 10))
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(every, axis=0), atol=1e-5)
    assert len(np.unique(found.round(4), axis=0)) == 12
    assert len(cornia.sample_patches(luma, 5, seed=1)) == 5


def test_the_choice_of_patches_follows_the_seed():
    luma = texture(60, 80)
    one, again, other = (cornia.sample_patches(luma, 50, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert cornia.seed_of("a", 1) == cornia.seed_of("a", 1)
    assert len({cornia.seed_of("a", 1), cornia.seed_of("a", 2), cornia.seed_of("b", 1)}) == 3


def test_whitening_and_words(codebook):
    patches = np.concatenate([cornia.sample_patches(texture(60, 80, seed), 2000, seed=9) for seed in range(8)])
    covariance = np.cov((patches - codebook.mean) @ codebook.whitening, rowvar=False)
    variances = np.linalg.eigvalsh(np.cov(patches, rowvar=False))
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance), variances / (variances + 0.1), atol=0.1)
    np.testing.assert_allclose(codebook.whitening, codebook.whitening.T, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(codebook.words, axis=1), 1, rtol=1e-5)
    assert codebook.words.shape == (30, 49)


def test_features_are_the_strongest_projections(codebook):
    luma = texture(40, 50, 11)
    patches = (cornia.sample_patches(luma, 10_000, seed=4).astype(float) - codebook.mean) @ codebook.whitening
    projections = patches @ codebook.words.T
    found = cornia.features(luma, codebook, seed=4)
    assert found.dtype == np.float64 and found.shape == (60,)
    wanted = np.concatenate([projections.max(axis=0), -projections.min(axis=0)])
    np.testing.assert_allclose(found, np.maximum(wanted, 0), rtol=1e-4)


def test_blocks_of_the_product_do_not_matter(codebook, monkeypatch):
    wanted = cornia.features(texture(), codebook, seed=4)
    monkeypatch.setattr(cornia, "BLOCK", 7)
    np.testing.assert_allclose(cornia.features(texture(), codebook, seed=4), wanted, rtol=1e-5)


def test_names():
    names = cornia.feature_names()
    assert len(names) == len(set(names)) == 20_000
    assert (names[0], names[10_001]) == ("word_00000_positive", "word_00001_negative")


def test_learning_is_repeatable_and_needs_enough_patches(codebook):
    again = cornia.learn_codebook([texture(60, 80, seed) for seed in range(8)], videos=[], num_words=30, seed=3)
    np.testing.assert_allclose(again.words, codebook.words, atol=1e-4)
    with pytest.raises(ValueError, match="A codebook of 501 words needs as many patches, 1 frames give 500"):
        cornia.learn_codebook([texture()], videos=[], num_words=501, seed=1)
    with pytest.raises(ValueError, match="0 frames give 0"):
        cornia.learn_codebook([], videos=[], num_words=5, seed=1)


def test_a_codebook_survives_the_disk(codebook, tmp_path):
    cornia.save_codebook(tmp_path / "a.h5", codebook)
    loaded = cornia.load_codebook(tmp_path / "a.h5")
    assert loaded.videos == ("one", "two")
    for name in ("words", "mean", "whitening"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(codebook, name))


def test_damaged_codebooks_are_refused(codebook, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no CORNIA codebook"):
        cornia.load_codebook(tmp_path / "none.h5")
    path = tmp_path / "a.h5"

    def damage(change):
        cornia.save_codebook(path, codebook)
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(ValueError, match=r"A CORNIA codebook is needed, .*a\.h5 is not one: .* Learn the codebook"):
            cornia.load_codebook(path)

    damage(lambda file: file.pop("words"))
    damage(lambda file: file["mean"].write_direct(np.full(49, np.nan, np.float32)))
    damage(lambda file: file.attrs.update(format=99))
    damage(lambda file: (file.pop("words"), file.create_dataset("words", (2_000_000_000, 49), np.float32)))
    damage(lambda file: (file.pop("mean"), file.create_group("mean")))
    path.write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="is not one"):
        cornia.load_codebook(path)


@pytest.mark.parametrize("name", LUMA)
@pytest.mark.filterwarnings("error")
def test_hard_frames(codebook, name):
    if name == "1x1":
        with pytest.raises(ValueError, match=r"CORNIA needs a frame of at least 7x7\. Received: 1x1"):
            cornia.features(LUMA[name], codebook, seed=1)
        return
    found = cornia.features(LUMA[name], codebook, seed=1)
    assert np.isfinite(found).all() and (found >= 0).all()


def test_a_video_is_the_mean_of_its_frames(codebook, tmp_path):
    frames = [np.repeat(texture(40, 48, seed)[..., None], 3, axis=2) for seed in range(4)]
    path = write_ffv1(tmp_path / "a.mkv", [frames[t // 10] for t in range(33)], fps=10)
    planes = list(cornia.frame_sampling.read_sampled(path))
    assert len(planes) == 3
    wanted = [
        cornia.features(frame.y, codebook, seed=cornia.seed_of("name", number)) for number, frame in enumerate(planes)
    ]
    found = cornia.video_features(path, codebook, video_id="name")
    np.testing.assert_allclose(found, np.mean(wanted, axis=0))
