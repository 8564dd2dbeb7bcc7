"""Extract the hand-crafted features of the videos of a run, and learn the codebook that CORNIA needs."""

import functools
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from nr_vqm.dataset import manifest
from nr_vqm.handcrafted import cornia, methods
from nr_vqm.runs.rival_features import RivalFile
from nr_vqm.video import reader
from nr_vqm.video.decoder_client import DecoderDied

CODEBOOK_FRAMES = 400  # frames from which a codebook is learned, if the training videos have as many


def write_part(one: manifest.Video, *, file: RivalFile, codebook: Path | None) -> None:
    """Compute the features of one video and write them as a part of the run's features, if they are missing.

    Features that cannot be computed are recorded with the reason. Nothing is written if the decoder died, because the
    next extraction may succeed. One processor core is used, so that the values do not depend on the number of cores
    and the seconds of methods are comparable.

    Args:
        one: the video, with an absolute path.
        file: the features of the method in the run.
        codebook: file of the codebook of a method that needs one.

    Raises:
        FileNotFoundError: the file of the video or of the codebook does not exist.
    """
    if file.part(one).exists():
        return
    words = None if codebook is None else _load_codebook(codebook, file.codebook_sha256)
    found, reason, start = None, "", time.process_time()
    try:
        found = _compute(methods.get(file.name), one, words)
    except DecoderDied:
        return
    except ValueError as error:
        reason = str(error).replace(one.path, Path(one.path).name)
    file.write_part(one, found, reason=reason, seconds=time.process_time() - start)


def _compute(method: methods.Method, one: manifest.Video, codebook: cornia.Codebook | None) -> np.ndarray:
    """Return the features of one video; ValueError if they cannot be computed."""
    cv2.setNumThreads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what the decoder reports is in the manifest already
        found = method.compute(one.path, raw=one.raw, codebook=codebook, video_id=one.video_id)
    if not np.isfinite(found).any():
        raise ValueError(f"{method.label} needs a video in which a feature is finite, {one.path} has none.")
    return found


@functools.lru_cache(maxsize=1)
def _load_codebook(path: Path, sha256: str) -> cornia.Codebook:
    """Load a codebook once per process; `sha256` tells the codebooks of one path apart."""
    return cornia.load_codebook(path)


def learn_codebook(videos: Sequence[manifest.Video], *, seed: int) -> cornia.Codebook:
    """Learn CORNIA's codebook from frames at even distances of the training videos.

    Args:
        videos: the training videos, with absolute paths; more than `CODEBOOK_FRAMES` are reduced by a seeded draw.
            Frames that cannot be decoded, or are smaller than a patch, are skipped.
        seed: seed of the draws and of k-means.

    Returns:
        The codebook, with the identifiers of these videos.

    Raises:
        FileNotFoundError: the file of a video does not exist.
        ValueError: the videos give fewer patches than words, or the decoder died on one of them.
    """
    if len(videos) > CODEBOOK_FRAMES:
        drawn = np.random.default_rng(seed).choice(len(videos), CODEBOOK_FRAMES, replace=False)
        videos = [videos[index] for index in np.sort(drawn)]
    count = -(-CODEBOOK_FRAMES // max(1, len(videos)))
    frames = (frame for one in videos for frame in _frames(one, count))
    with threadpool_limits(1):
        return cornia.learn_codebook(
            frames, videos=[one.video_id for one in videos], num_words=cornia.NUM_WORDS, seed=seed
        )


def _frames(one: manifest.Video, count: int) -> Iterator[np.ndarray]:
    """Yield the luma of `count` frames at even distances; of every frame where the video has fewer."""
    wanted = {(2 * number + 1) * one.frames // (2 * count) for number in range(count)}
    try:
        with reader.read_planes(one.path, one.raw) as frames:
            for number, frame in enumerate(frames):
                if number in wanted and min(frame.y.shape) >= cornia.PATCH:
                    yield frame.y
                if number == max(wanted):
                    break
    except DecoderDied:  # a codebook without this video would depend on the load of the machine
        raise
    except ValueError:
        return
