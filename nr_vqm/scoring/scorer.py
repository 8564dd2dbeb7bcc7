"""Score videos with a loaded run."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from nr_vqm.common import fork_check
from nr_vqm.dataset import label_origin, mos_scale
from nr_vqm.models import head_table
from nr_vqm.models.shared_trunk import ClipOutputs, SharedTrunk
from nr_vqm.scoring import sources
from nr_vqm.scoring.attempts import attempt
from nr_vqm.scoring.content_check import ContentCheck, undefined_features
from nr_vqm.scoring.head_model import HeadModel
from nr_vqm.scoring.score import Score, prediction
from nr_vqm.scoring.sources import Raw, Source
from nr_vqm.video import clips, decoder_client, work_limits
from nr_vqm.video.reader import ReadOptions
from nr_vqm.video.work_limits import WorkLimits

OnFrames = Callable[[float], None] | None
# For display only; scores are computed from all pixels.
WORST_FRAME_WIDTH = 800
THUMBNAIL_WIDTH = 192


class Scorer:
    """A run or an export that is loaded for scoring; create it with `nr_vqm.load`.

    Attributes:
        run_dir: the folder of the run or of the export.
        head: name of the head.
        model_id: 12 hexadecimal digits that identify the 3D-CNN and the head.
        engine: library that computes the 3D-CNN, 'openvino' or 'keras'.
        precision: of the 3D-CNN, 'float32' or 'mixed_bfloat16'.
        labels: origin of the training labels, a key of `label_origin.ORIGINS`.
        mos_range: the two ends of the scale of the run's database.
        limits: the limits on the work for one video file.
        trunk: the 3D-CNN.
    """

    def __init__(
        self,
        model: HeadModel,
        trunk: SharedTrunk,
        *,
        engine: str,
        precision: str,
        limits: WorkLimits | None = None,
    ) -> None:
        """Combine a head and a 3D-CNN.

        Args:
            model: the head.
            trunk: the 3D-CNN.
            engine, precision: that compute it.
            limits: on the work for one video file; None for the defaults of WorkLimits.
        """
        self.run_dir, self.head, self.model_id = model.folder, model.row.name, model.model_id
        self.labels, self.mos_range = model.labels, model.mos_range
        self.trunk, self.engine, self.precision = trunk, engine, precision
        self.limits = limits or WorkLimits()
        self._model = model

    @property
    def clip_settings(self) -> Mapping[str, Any]:
        """Arguments of `clips.plan_grid`, except the stride."""
        return self._model.clips

    def __repr__(self) -> str:
        low, high = self.mos_range
        computed = f"head {self.head}, {self.engine} {self.precision}, model {self.model_id}"
        return f"Scorer({self.run_dir!r}, {computed}, {low:g}-{high:g})"

    def score(
        self,
        source: Source,
        raw: Raw = None,
        *,
        fps: float = 0.0,
        stream: int | None = None,
        deinterlace: bool = False,
    ) -> Score:
        """Score one video.

        Args:
            source: path of a video, or its frames: uint8 RGB, shape (num_frames, height, width, 3), values 0-255.
            raw: format of a headerless .yuv file, such as '1920x1080:yuv420p:30'; ignored for other files.
            fps: frames per second of an array, 0.01 to 10,000 or 0 if unknown, for the time axis and for the number of
                frames that head `fusion` samples; ignored for files.
            stream: index of a video stream among those of the file; None for the default one, otherwise the largest.
            deinterlace: reconstruct the missing rows of interlaced frames; progressive frames are not changed.

        Returns:
            The Score of the video.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the source is not a video, or has fewer frames than one clip, or exceeds a limit.
            RuntimeError: this process was forked after the run was loaded.
        """
        fork_check.check()
        options = ReadOptions(raw, stream, deinterlace)
        with self.limits.enforced():
            opened = sources.open_source(source, options, fps)
        with opened as frames:
            return self._score(frames, source, options, fps)

    def clip_outputs(self, source: Source) -> ClipOutputs:
        """Compute what the heads read of one video; arguments and errors as in `score`."""
        options = ReadOptions()
        with sources.open_source(source, options, 0.0) as frames:
            return self._outputs(frames, source, options, 0.0, None)[1]

    def score_many(
        self,
        paths: Iterable[str | os.PathLike[str]],
        raw: Raw = None,
        *,
        stream: int | None = None,
        deinterlace: bool = False,
        on_frames: OnFrames = None,
    ) -> Iterator[tuple[Score | None, Exception | None]]:
        """Score several videos; the next one is decoded while the current one is computed.

        Args:
            paths: the videos.
            raw, stream, deinterlace: see `score`; for all videos.
            on_frames: called after every frame of the current video with the share of its frames that are read, 0-1.

        Yields:
            For each path, in order, (Score, None), or (None, error) for a video that cannot be scored.

        Raises:
            ValueError: a single video was given.
            RuntimeError: see `score`.
        """
        fork_check.check()
        return self._score_listed(sources.listed(paths), ReadOptions(raw, stream, deinterlace), on_frames)

    def _score_listed(
        self, paths: Iterable[str | os.PathLike[str]], options: ReadOptions, on_frames: OnFrames
    ) -> Iterator[tuple[Score | None, Exception | None]]:
        waiting = None
        try:
            for path in [*paths, None]:
                current, waiting = waiting, None
                if path is not None:
                    with self.limits.enforced():  # of the opening; the scoring has its own time
                        waiting = (path, *attempt(sources.open_source, path, options, 0.0))
                if current:
                    yield self._finish(*current, options, on_frames)
        finally:
            if waiting and waiting[1]:
                waiting[1].close()

    def _finish(
        self,
        path: str | os.PathLike[str],
        frames: Any,
        error: Exception | None,
        options: ReadOptions,
        on_frames: OnFrames,
    ) -> tuple[Score | None, Exception | None]:
        if error:
            return None, error
        with frames:
            return attempt(self._score, frames, path, options, 0.0, on_frames)

    def _score(
        self, frames: Any, source: Source, options: ReadOptions, fps: float, on_frames: OnFrames = None
    ) -> Score:
        """Score an open video; `frames` are those of `sources.open_source`."""
        start = time.monotonic()
        with self.limits.enforced():
            info = frames.info
            needed = [part.needed_bytes(info.width, info.height) for part in (self.trunk, self._model)]
            work_limits.check_start(info.width, info.height, info.expected, model_bytes=sum(needed))
            found = self._outputs(frames, source, options, fps, on_frames)
        grid, outputs, images, content, statistics, num_frames = found
        quality = self._model.quality(head_input(outputs, self._model.row), statistics)
        score = float(mos_scale.to_score(quality, *self.mos_range))
        return Score(
            path="" if isinstance(source, np.ndarray) else str(source),
            **prediction(self, score, self.mos_range, self._model.intervals),
            frames=num_frames,
            declared_frames=info.frames,
            width=info.width,
            height=info.height,
            fps=info.fps,
            grid=grid,
            clip_quality=self._model.aligned_clips(outputs.clip_quality),
            worst_frame=images.worst_frame,
            thumbnails=images.thumbnails,
            warnings=(
                *label_origin.WARNINGS[self.labels],
                *frames.warnings,
                *_padding_warnings(info, grid),
                *content,
                *undefined_features(statistics),
            ),
            seconds=round(time.monotonic() - start, 2),
        )

    def _outputs(
        self, frames: Any, source: Source, options: ReadOptions, fps: float, on_frames: OnFrames
    ) -> "tuple[clips.ClipGrid, ClipOutputs, _Images, list[str], np.ndarray | None, int]":
        """Return what `_run` returns, and the number of decoded frames; decode again if the header was wrong."""
        found = None
        try:
            found = self._run(_counted(frames, frames.info.expected, on_frames), frames.info.expected, frames.info)
        except work_limits.LimitExceeded:
            raise
        except ValueError:  # too few frames for a clip: raised below, with the true number
            pass
        for _ in frames:
            pass
        if found is None or frames.decoded != frames.info.expected:
            with sources.open_source(source, options, fps) as again:
                found = self._run(_counted(again, frames.decoded, on_frames), frames.decoded, frames.info)
        return *found, frames.decoded

    def _run(
        self, frames: Iterable[np.ndarray], num_frames: int, info: decoder_client.VideoInfo
    ) -> "tuple[clips.ClipGrid, ClipOutputs, _Images, list[str], np.ndarray | None]":
        """Run the 3D-CNN over the frames; return (grid, outputs, images, warnings about the content, statistics)."""
        grid = self._plan(num_frames, info)
        middle_frames, content = _MiddleFrames(grid), ContentCheck()
        fusion = self._model.fusion
        statistics = fusion.statistics_thread(num_frames, info.fps) if fusion else None
        frames = statistics.watch(frames) if statistics else frames
        outputs = self.trunk.run(content.watch(middle_frames.collect(frames)), grid)
        images = middle_frames.images(int(np.argmin(outputs.clip_quality.mean(axis=1))))
        if statistics is None:
            return grid, outputs, images, content.warnings(), None
        for _ in frames:  # frames after the last clip may be sampled too
            pass
        return grid, outputs, images, content.warnings(), statistics.features()

    def _plan(self, num_frames: int, info: decoder_client.VideoInfo) -> clips.ClipGrid:
        """Return the clip grid of a video; a ValueError about too few frames names other streams of the file."""
        try:
            return clips.plan_grid(num_frames, info.height, info.width, stride=self.trunk.stride, **self._model.clips)
        except ValueError as error:
            if info.streams == 1:
                raise
            others = f"The file has {info.streams} video streams; --stream (stream=N in Python) names another."
            raise ValueError(f"{error} {others}") from error


def _counted(frames: Iterable[np.ndarray], num_frames: int, on_frames: OnFrames) -> Iterator[np.ndarray]:
    """Yield the frames, and report which share of them has passed."""
    for number, frame in enumerate(frames, start=1):
        if on_frames:
            on_frames(min(1.0, number / max(1, num_frames)))
        yield frame


class _Images(NamedTuple):
    """Frames of a video as JPEG, as `Score` describes them."""

    worst_frame: bytes
    thumbnails: tuple[bytes, ...]


class _MiddleFrames:
    """Collects a reduced copy of the middle frame of each group while the frames pass."""

    def __init__(self, grid: clips.ClipGrid) -> None:
        self.numbers = [start + grid.clip_frames // 2 for start in grid.starts]
        self.frames: dict[int, np.ndarray] = {}

    def collect(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the frames unchanged, uint8 RGB, shape (height, width, 3)."""
        for number, frame in enumerate(frames):
            if number in self.numbers:
                self.frames[number] = _reduced(frame, WORST_FRAME_WIDTH)
            yield frame

    def images(self, worst_group: int) -> _Images:
        """Encode the middle frame of the worst group, and a thumbnail of that of each group."""
        frames = [self.frames[number] for number in self.numbers]
        thumbnails = tuple(_jpeg(_reduced(frame, THUMBNAIL_WIDTH), quality=80) for frame in frames)
        return _Images(_jpeg(frames[worst_group], quality=90), thumbnails)


def _reduced(frame: np.ndarray, width: int) -> np.ndarray:
    """Return an RGB frame reduced to at most `width` columns."""
    scale = min(1.0, width / frame.shape[1])
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


def _jpeg(frame: np.ndarray, *, quality: int) -> bytes:
    """Encode an RGB frame as JPEG."""
    return cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def head_input(outputs: ClipOutputs, row: head_table.HeadRow) -> np.ndarray:
    """Return the input of a head for one video: the field of `features.HeadInputs` that it reads."""
    return {
        "clip_quality": outputs.clip_quality,
        "group_features": outputs.group_features,
        "mean_features": outputs.group_features.mean(axis=0),  # as `features.mean_features`
    }[row.input]


def _padding_warnings(info: decoder_client.VideoInfo, grid: clips.ClipGrid) -> list[str]:
    """Return a warning if the frames were smaller than a clip and therefore padded."""
    if grid.downscale or (grid.height, grid.width) == (info.height, info.width):
        return []
    return [
        f"the frame, {info.width} x {info.height}, is smaller than a clip, {grid.clip_size} x {grid.clip_size}, "
        "and was extended by reflection"
    ]
