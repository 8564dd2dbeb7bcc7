"""V-CORNIA*: strongest responses of a frame to the words of a learned codebook of patches; 20 000 features.

Source: Ye, Kumar, Kang and Doermann, "Unsupervised feature learning framework for no-reference image quality
assessment", CVPR 2012. The star marks the differences from V-CORNIA (Xu, Ye, Liu and Doermann, ICIP 2014): the codebook
is learned from frames that the caller provides, because the published one is for non-commercial use only; number and
choice of the patches of a frame are ours; and the mean over frames replaces temporal pooling.
"""

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Sequence

import h5py
import numpy as np

from nr_vqm.common import hdf5_files
from nr_vqm.handcrafted import frame_sampling
from nr_vqm.video.raw_video import RawFormat

NUM_WORDS = 10_000
PATCH = 7  # patch height and width in pixels
PATCHES_OF_FRAME = 10_000  # patches per frame that are compared with the codebook
CONTRAST = 10.0  # added to the variance of a patch
WHITENING = 0.1  # added to the variances of the principal components
PATCHES_TO_LEARN = 500  # patches per frame from which the codebook is learned
LEARNING_BATCH = 10_000
LEARNING_EPOCHS = 10
BLOCK = 500  # patches and words per matrix product, so that the result stays in the processor's cache
FORMAT = 1
MAX_WORDS = 100_000  # a file that declares more is damaged, and reading it would need gigabytes


@dataclasses.dataclass(frozen=True)
class Codebook:
    """A codebook of patches, and the whitening transform that belongs to it.

    Attributes:
        words: float32, shape (num_words, 49), whitened patches of Euclidean length 1.
        mean: float32, shape (49,), mean of the normalised patches.
        whitening: float32, shape (49, 49), the symmetric (ZCA) whitening matrix.
        videos: identifiers of the videos from which it was learned, so that a reader can check that no test content is
            among them.
    """

    words: np.ndarray
    mean: np.ndarray
    whitening: np.ndarray
    videos: tuple[str, ...]


def feature_names(num_words: int = NUM_WORDS) -> list[str]:
    """Return the names of the 2 * num_words features, in the order of `features`."""
    return [f"word_{number:05d}_{sign}" for sign in ("positive", "negative") for number in range(num_words)]


def seed_of(video_id: str, frame: int) -> int:
    """Return a seed for the choice of the patches of a frame, identical on every machine."""
    return int.from_bytes(hashlib.sha256(f"{video_id}\n{frame}".encode()).digest()[:8])


def sample_patches(luma: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Draw patches of a frame without replacement and normalise their brightness and contrast.

    Args:
        luma: shape (height, width), 0-255, at least 7 x 7 pixels.
        count: number of patches to draw; all are drawn where the frame has fewer.
        seed: seed of the random choice.

    Returns:
        float32, shape (num_patches, 49): (x - mean) / sqrt(variance + 10), variance with divisor N - 1.

    Raises:
        ValueError: the frame is smaller than a patch.
    """
    rows, columns = (max(size - PATCH + 1, 0) for size in luma.shape)
    if not rows * columns:
        raise ValueError(
            f"CORNIA needs a frame of at least {PATCH}x{PATCH}. Received: {luma.shape[1]}x{luma.shape[0]}."
        )
    places = np.random.default_rng(seed).choice(rows * columns, min(count, rows * columns), replace=False)
    windows = np.lib.stride_tricks.sliding_window_view(luma, (PATCH, PATCH))
    patches = windows[places // columns, places % columns].reshape(-1, PATCH**2).astype(np.float32)
    patches -= patches.mean(axis=1, keepdims=True)
    return patches / np.sqrt(patches.var(axis=1, ddof=1, keepdims=True) + np.float32(CONTRAST))


def learn_codebook(
    frames: Iterable[np.ndarray], *, videos: Sequence[str], num_words: int = NUM_WORDS, seed: int
) -> Codebook:
    """Learn a codebook with k-means.

    Args:
        frames: luma planes, shape (height, width), 0-255; about 400 for 10 000 words. Their contents must not occur in
            a test set.
        videos: identifiers of the videos from which the frames are taken.
        num_words: number of clusters.
        seed: seed of the choice of patches and of k-means.

    Returns:
        The codebook.

    Raises:
        ValueError: the frames give fewer patches than words, or a frame is smaller than 7 x 7.
    """
    from sklearn.cluster import MiniBatchKMeans

    sample = [sample_patches(frame, PATCHES_TO_LEARN, seed=seed_of(str(seed), i)) for i, frame in enumerate(frames)]
    patches = np.concatenate(sample) if sample else np.empty((0, PATCH**2), np.float32)
    if len(patches) < num_words:
        raise ValueError(
            f"A codebook of {num_words} words needs as many patches, {len(sample)} frames give {len(patches)}. "
            "Give more frames, or ask for fewer words."
        )
    mean, whitening = _whitening(patches)
    kmeans = MiniBatchKMeans(
        num_words, init="random", n_init=1, batch_size=LEARNING_BATCH, max_iter=LEARNING_EPOCHS, random_state=seed
    )
    words = kmeans.fit((patches - mean) @ whitening).cluster_centers_
    words = words / (np.linalg.norm(words, axis=1, keepdims=True) + 1e-20)
    return Codebook(words.astype(np.float32), mean, whitening, tuple(videos))


def _whitening(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean, shape (49,), and the ZCA whitening matrix, shape (49, 49), both float32."""
    mean = patches.mean(axis=0, dtype=np.float64)
    variances, vectors = np.linalg.eigh(np.cov(patches, rowvar=False))
    return mean.astype(np.float32), ((vectors / np.sqrt(variances + WHITENING)) @ vectors.T).astype(np.float32)


def save_codebook(path: str | os.PathLike[str], codebook: Codebook) -> None:
    """Write a codebook to an HDF5 file, atomically.

    Args:
        path: the file; replaced if it exists.
        codebook: the codebook.

    Raises:
        OSError: the file could not be written.
    """
    with hdf5_files.writing(path) as file:
        file.attrs["format"] = FORMAT
        for name in ("words", "mean", "whitening"):
            file[name] = getattr(codebook, name)
        file.create_dataset("videos", data=list(codebook.videos), dtype=h5py.string_dtype())


_SHAPES = {"words": (None, PATCH**2), "mean": (PATCH**2,), "whitening": (PATCH**2, PATCH**2)}


def load_codebook(path: str | os.PathLike[str]) -> Codebook:
    """Read a codebook written by `save_codebook`.

    Args:
        path: the file.

    Returns:
        The codebook.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged, or is not a codebook.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no CORNIA codebook at {path}.")
    try:
        with hdf5_files.reading(path) as file:
            if file.attrs["format"] != FORMAT:
                raise ValueError(f"format {file.attrs['format']}, not {FORMAT}")
            arrays = {name: _read_array(file, name, shape) for name, shape in _SHAPES.items()}
            return Codebook(arrays["words"], arrays["mean"], arrays["whitening"], tuple(file["videos"].asstr()[()]))
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"A CORNIA codebook is needed, {path} is not one: {error}. Learn the codebook again."
        ) from error


def _read_array(file: h5py.File, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Read one array of a codebook; None in `shape` stands for any length. ValueError if it is not as expected."""
    array = file[name]
    wanted = (array.shape[:1] if shape[0] is None else shape[:1]) + shape[1:]
    if array.shape != wanted or not 0 < len(array) <= MAX_WORDS:
        raise ValueError(f"{name} has shape {array.shape}")
    values: np.ndarray = array[()]
    if values.dtype != np.float32 or not np.isfinite(values).all():
        raise ValueError(f"{name} does not hold finite float32 values")
    return values


def features(luma: np.ndarray, codebook: Codebook, *, seed: int) -> np.ndarray:
    """Compute the CORNIA features of one frame.

    Args:
        luma: the decoded luma plane without range conversion, shape (height, width), 0-255, at least 7 x 7 pixels.
        codebook: from `learn_codebook` or `load_codebook`.
        seed: seed of the choice of patches, for example from `seed_of`.

    Returns:
        float64, shape (2 * num_words,), at least 0: for each word the largest projection of a patch on it, then for
        each word the largest projection of a patch on its negative.

    Raises:
        ValueError: the frame is smaller than a patch.
    """
    patches = (sample_patches(luma, PATCHES_OF_FRAME, seed=seed) - codebook.mean) @ codebook.whitening
    highest = np.zeros(len(codebook.words), np.float32)
    lowest = np.zeros(len(codebook.words), np.float32)
    for word in range(0, len(codebook.words), BLOCK):
        words = codebook.words[word : word + BLOCK].T
        high, low = highest[word : word + BLOCK], lowest[word : word + BLOCK]
        for patch in range(0, len(patches), BLOCK):
            projections = patches[patch : patch + BLOCK] @ words
            np.maximum(high, projections.max(axis=0), out=high)
            np.minimum(low, projections.min(axis=0), out=low)
    return np.concatenate([highest, -lowest]).astype(np.float64)


def video_features(
    path: str | os.PathLike[str], codebook: Codebook, *, video_id: str, raw: RawFormat | str | None = None
) -> np.ndarray:
    """Compute the CORNIA features of a video: the mean of `features` over one frame per second.

    Args:
        path: the video file.
        codebook: from `learn_codebook` or `load_codebook`.
        video_id: identifier of the video; together with the number of the sampled frame it seeds the choice of patches.
        raw: format of a headerless .yuv file, as a `RawFormat` or its text form; None for all other files.

    Returns:
        float64, shape (2 * num_words,), finite.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the video cannot be decoded or declares no frame rate, or its frames are smaller than 7 x 7.
    """
    return frame_sampling.average(
        path, raw, lambda frame, number: features(frame.y, codebook, seed=seed_of(video_id, number))
    )
