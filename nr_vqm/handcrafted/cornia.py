"""V-CORNIA*: how strongly the words of a learned codebook of patches appear in a frame; 20 000 features.

Source: Ye, Kumar, Kang and Doermann, "Unsupervised feature learning framework for no-reference image quality
assessment", CVPR 2012. The codebook is our own, learned from frames that the caller gives (theirs is for non-commercial
use), and so are the number of patches of a frame and their choice; the mean over frames replaces the temporal pooling
of V-CORNIA (Xu, Ye, Liu and Doermann, ICIP 2014), hence the star.
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
PATCH = 7  # pixels a side
PATCHES_OF_FRAME = 10_000  # that are compared with the codebook
CONTRAST = 10.0  # added to the variance of a patch
WHITENING = 0.1  # added to the variances of the principal components
PATCHES_TO_LEARN = 500  # of each frame of the codebook's sample
LEARNING_BATCH = 10_000
LEARNING_EPOCHS = 10
BLOCK = 500  # patches, and words, of one matrix product: its result stays in the processor's cache
FORMAT = 1
MAX_WORDS = 100_000  # of a file: more is damage, and would ask for gigabytes


@dataclasses.dataclass(frozen=True)
class Codebook:
    """Words and whitening, learned together.

    Attributes:
        words: float32, shape (num_words, 49), of length 1.
        mean: float32, shape (49,), of normalised patches.
        whitening: float32, shape (49, 49), symmetric (ZCA).
        videos: identifiers of the videos it was learned from, to show that no test content is among them.
    """

    words: np.ndarray
    mean: np.ndarray
    whitening: np.ndarray
    videos: tuple[str, ...]


def feature_names(num_words: int = NUM_WORDS) -> list[str]:
    """Name the 2 x num_words features, in order."""
    return [f"word_{number:05d}_{sign}" for sign in ("positive", "negative") for number in range(num_words)]


def seed_of(video_id: str, frame: int) -> int:
    """A seed for the patches of a frame, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{video_id}\n{frame}".encode()).digest()[:8])


def sample_patches(luma: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Draw patches of a frame without replacement, and normalise their brightness and contrast.

    Args:
        luma: shape (height, width), 0-255, at least 7 x 7.
        count: patches; fewer where the frame has fewer positions.
        seed: of the choice.

    Returns:
        float32, shape (patches, 49): (x - mean) / sqrt(variance (N - 1) + 10).

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
    """Learn a codebook by k-means.

    Args:
        frames: luma planes, about 400 for 10 000 words, of contents that occur in no test set.
        videos: identifiers of the videos that they are from.
        num_words: clusters.
        seed: of the patches and of k-means.

    Returns:
        Codebook.

    Raises:
        ValueError: fewer patches than words.
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


def _whitening(patches):
    """Mean and ZCA matrix, float32."""
    mean = patches.mean(axis=0, dtype=np.float64)
    variances, vectors = np.linalg.eigh(np.cov(patches, rowvar=False))
    return mean.astype(np.float32), ((vectors / np.sqrt(variances + WHITENING)) @ vectors.T).astype(np.float32)


def save_codebook(path: str | os.PathLike, codebook: Codebook) -> None:
    """Write a codebook as HDF5; the file appears whole or not at all.

    Raises:
        OSError: it could not be written.
    """
    with hdf5_files.writing(path) as file:
        file.attrs["format"] = FORMAT
        for name in ("words", "mean", "whitening"):
            file[name] = getattr(codebook, name)
        file.create_dataset("videos", data=list(codebook.videos), dtype=h5py.string_dtype())


def load_codebook(path: str | os.PathLike) -> Codebook:
    """Read what `save_codebook` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or no codebook.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"No codebook of CORNIA at {path}.")
    try:
        with h5py.File(path) as file:
            if file.attrs["format"] != FORMAT:
                raise ValueError(f"format {file.attrs['format']}, not {FORMAT}")
            arrays = [_array(file, name, shape) for name, shape in _SHAPES.items()]
            return Codebook(*arrays, tuple(file["videos"].asstr()[()]))
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"A codebook of CORNIA is needed, {path} is none: {error}. Learn it again.") from error


_SHAPES = {"words": (None, PATCH**2), "mean": (PATCH**2,), "whitening": (PATCH**2, PATCH**2)}


def _array(file, name, shape):
    array = file[name]
    wanted = (array.shape[:1] if shape[0] is None else shape[:1]) + shape[1:]
    if array.shape != wanted or not 0 < len(array) <= MAX_WORDS:
        raise ValueError(f"{name} has shape {array.shape}")
    array = array[()]
    if array.dtype != np.float32 or not np.isfinite(array).all():
        raise ValueError(f"{name} does not hold finite float32 values")
    return array


def features(luma: np.ndarray, codebook: Codebook, *, seed: int) -> np.ndarray:
    """Compute CORNIA's features of one frame.

    Args:
        luma: shape (height, width), 0-255, the decoder's own, at least 7 x 7.
        codebook: of `learn_codebook`.
        seed: of the choice of patches, for example `seed_of`.

    Returns:
        float64, shape (2 * num_words,), at least 0: for each word the largest projection of a patch on it, then of a
        patch on its negative.

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
    path: str | os.PathLike, codebook: Codebook, *, video_id: str, raw: RawFormat | str | None = None
) -> np.ndarray:
    """Average `features` over one frame a second of a video.

    Args:
        path: the file.
        codebook: of `learn_codebook`.
        video_id: decides, with the number of the sampled frame, which patches are drawn.
        raw: the format of a headerless .yuv file, or its text.

    Returns:
        float64, shape (2 * num_words,), finite.

    Raises:
        FileNotFoundError, ValueError: as `frame_sampling.read_sampled`; or frames smaller than a patch.
    """
    return frame_sampling.average(
        path, raw, lambda frame, number: features(frame.y, codebook, seed=seed_of(video_id, number))
    )
