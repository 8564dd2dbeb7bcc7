"""Base of the scorers that predict a video's quality from hand-crafted features. They need no TensorFlow."""

import abc
import functools
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from nr_vqm.common import fork_check
from nr_vqm.dataset import label_origin
from nr_vqm.evaluation.prediction_intervals import PredictionIntervals
from nr_vqm.scoring import sources
from nr_vqm.scoring.attempts import attempt
from nr_vqm.scoring.content_check import undefined_features
from nr_vqm.scoring.score import Score, prediction
from nr_vqm.video import clips, raw_video, reader, work_limits
from nr_vqm.video.work_limits import WorkLimits


class FeatureScorer(abc.ABC):
    """Scores whole videos from hand-crafted features; create one with `nr_vqm.load`.

    Attributes:
        run_dir: the run folder.
        head: name of the head.
        model_id: 12 hexadecimal digits that identify what predicts.
        engine: library that computes the features, 'numpy'.
        precision: of the features, 'float64'.
        labels: origin of the training labels, a key of `label_origin.ORIGINS`.
        mos_range: the two ends of the scale of the scores.
        limits: the limits on the work for one video file.
    """

    engine, precision = "numpy", "float64"
    run_dir: str
    head: str
    model_id: str
    labels: str
    mos_range: tuple[float, float]
    limits: WorkLimits
    _spread: PredictionIntervals | None

    def __repr__(self) -> str:
        low, high = self.mos_range
        return f"{type(self).__name__}({self.run_dir!r}, head {self.head}, model {self.model_id}, {low:g}-{high:g})"

    def score(
        self,
        source: str | os.PathLike[str] | np.ndarray,
        raw: raw_video.RawFormat | str | None = None,
        *,
        fps: float = 0.0,
        stream: int | None = None,
        deinterlace: bool = False,
    ) -> Score:
        """Score one video.

        Args:
            source: path of a video. An array of frames is refused.
            raw: format of a headerless .yuv file, such as '1920x1080:yuv420p:30'; ignored for other files.
            fps: ignored; for the same call as `Scorer.score`.
            stream: must be None: the training features are those of the default stream.
            deinterlace: must be False: the training features are those of the frames as they were.

        Returns:
            The Score of the video, without clips.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the source is an array or not a video, exceeds a limit, or its features cannot be computed.
        """
        fork_check.check()
        if not isinstance(source, (str, os.PathLike)):
            raise ValueError(
                f"Head {self.head!r} scores files only, so it needs a path. Received: "
                f"{type(source).__name__}. Save frames as a video, or use a head of the 3D-CNN."
            )
        if stream is not None or deinterlace:
            raise ValueError(
                f"Head {self.head!r} reads videos as they are. Omit stream and deinterlace, or use a head of the "
                "3D-CNN."
            )
        start = time.monotonic()
        with self.limits.enforced():
            info = reader.probe(source, raw)
            work_limits.check_start(info.width, info.height, info.expected)
            score, notes = self._predict(source, raw)
        return Score(
            path=str(source),
            **prediction(self, score, self.mos_range, self._spread),
            frames=info.expected,
            declared_frames=info.frames,
            width=info.width,
            height=info.height,
            fps=info.fps,
            grid=clips.ClipGrid((), (), (), 0, 0, info.height, info.width),
            clip_quality=np.empty((0, 1), np.float32),
            worst_frame=b"",
            thumbnails=(),
            warnings=(*label_origin.WARNINGS[self.labels], *info.warnings, *notes),
            seconds=round(time.monotonic() - start, 2),
        )

    def score_many(
        self,
        paths: Iterable[str | os.PathLike[str]],
        raw: raw_video.RawFormat | str | None = None,
        *,
        stream: int | None = None,
        deinterlace: bool = False,
        on_frames: Callable[[float], None] | None = None,
    ) -> Iterator[tuple[Score | None, Exception | None]]:
        """Score several videos.

        Args:
            paths: the videos.
            raw, stream, deinterlace: see `score`; for all videos.
            on_frames: ignored; for the same call as `Scorer.score_many`.

        Yields:
            For each path, in order, (Score, None), or (None, error) for a video that cannot be scored.

        Raises:
            ValueError: a single video was given.
            RuntimeError: this process was forked after the run was loaded.
        """
        fork_check.check()
        score = functools.partial(self.score, raw=raw, stream=stream, deinterlace=deinterlace)
        return (attempt(score, path) for path in sources.listed(paths))

    @abc.abstractmethod
    def _predict(self, path: str | os.PathLike[str], raw: raw_video.RawFormat | str | None) -> tuple[float, list[str]]:
        """Return the score in the unit of `mos_range`, and reasons to doubt it."""


def with_notes(compute: Callable[[], np.ndarray], path: str | os.PathLike[str]) -> tuple[np.ndarray, list[str]]:
    """Compute the features of a video.

    Args:
        compute: returns features, NaN where one is undefined. It warns about the decoding of a file: 'PATH: reason'.
        path: the video.

    Returns:
        The features, and reasons to doubt the score.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        features = compute()
    notes = [str(one.message).removeprefix(f"{path}: ") for one in caught if one.category is UserWarning]
    return features, list(dict.fromkeys([*notes, *undefined_features(features)]))
