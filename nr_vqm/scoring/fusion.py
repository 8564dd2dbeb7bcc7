"""Fusion of a head of the 3D-CNN with a teacher on frame statistics, both computed from the same frames.

Docs: docs/decisions/0022-fusion-with-frame-statistics.md.
"""

import concurrent.futures
import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from nr_vqm.handcrafted import frame_sampling, frame_statistics, methods
from nr_vqm.teacher import teacher
from nr_vqm.teacher.teacher import Teacher
from nr_vqm.video.planes import Planes

METHOD = "frame_statistics"
WEIGHT, LIMIT = 0.2, 0.6  # of a new export


@dataclasses.dataclass(frozen=True)
class Fusion:
    """A weighted mean of two estimates of people's MOS, of which the second changes the first by a limited amount.

    The limit is for distortions that the teacher has not seen, such as strong noise, which it may take for detail.

    Attributes:
        weight: of the 3D-CNN's head, 0-1; the teacher has the rest.
        limit: the largest difference of the teacher's estimate from the head's that counts, on 1-5.
        teacher: on `frame_statistics`.
    """

    weight: float
    limit: float
    teacher: Teacher

    def quality(self, of_head: float, features: np.ndarray) -> float:
        """Return the fused quality of a video, on 1-5.

        Args:
            of_head: the aligned quality by the head; clipped to 1-5.
            features: frame statistics of the video, float64, shape (77,); NaN where a value is not defined.
        """
        of_head = float(np.clip(of_head, 1, 5))
        difference = self.teacher.predict(features) - of_head
        return of_head + (1 - self.weight) * float(np.clip(difference, -self.limit, self.limit))

    @staticmethod
    def statistics_thread(num_frames: int, fps: float) -> "StatisticsThread":
        """Return what computes the features; arguments as of `frame_statistics.sampled_frames`."""
        return StatisticsThread(num_frames, fps)

    @staticmethod
    def needed_bytes(width: int, height: int) -> float:
        """Estimate the memory for the features of a video whose frames have this size, in bytes."""
        return frame_statistics.needed_bytes(width, height)


def check_version(found: object, where: str | os.PathLike[str]) -> None:
    """Raise ValueError if features or a fusion are of another version of the frame statistics than this nr-vqm has."""
    version = methods.get(METHOD).version
    if found != version:
        raise ValueError(
            f"{os.fspath(where)} has version {found} of the frame statistics, this nr-vqm computes version {version}. "
            "Compute and export again: make rivals, then nr-vqm export."
        )


def load(path: str | os.PathLike[str], *, weight: float = WEIGHT, limit: float = LIMIT) -> Fusion:
    """Load a fusion.

    Args:
        path: the teacher's file, as `teacher.save` wrote it.
        weight, limit: as of `Fusion`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a teacher, or one on other features.
    """
    found = teacher.load(path)
    if found.feature_sets != (METHOD,):
        raise ValueError(
            f"A fusion needs a teacher on {METHOD}, {path} is one on {', '.join(found.feature_sets)}. Make one: "
            f"{teacher.MADE_BY} --sets {METHOD}."
        )
    return Fusion(weight, limit, found)


def _features(planes: Sequence[Planes]) -> np.ndarray:
    """As `frame_statistics.features`, without threads of NumPy's products, which wait for those of the 3D-CNN."""
    with threadpool_limits(1, user_api="blas"):
        return frame_statistics.features(planes)


class StatisticsThread:
    """Computes the frame statistics of a video in a thread of its own, while its frames pass to the 3D-CNN."""

    def __init__(self, num_frames: int, fps: float) -> None:
        """Choose the frames; arguments as of `frame_statistics.sampled_frames`."""
        self._neighbours = frame_statistics.Neighbours(frame_statistics.sampled_frames(num_frames, fps))
        self._found: list[concurrent.futures.Future[np.ndarray]] = []
        self._thread = concurrent.futures.ThreadPoolExecutor(1)

    def watch(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the frames unchanged, uint8 RGB, shape (height, width, 3); start the measurement of each chosen one.

        Where the frames are not read to their end, measurements that have not started are cancelled.
        """
        ended = False
        try:
            for frame in frames:
                if planes := self._neighbours.add(frame):
                    self._found.append(self._thread.submit(_features, planes))
                yield frame
            ended = True
        finally:
            self._thread.shutdown(wait=False, cancel_futures=not ended)

    def features(self) -> np.ndarray:
        """Return the mean over the chosen frames, float64, shape (77,); NaN where a value is not defined.

        Raises:
            ValueError: the video had fewer than three frames.
        """
        if not self._found:
            raise ValueError("Frame statistics need at least three frames. Use a head without them: --head lstm.")
        return frame_sampling.mean_of_frames([one.result() for one in self._found])
