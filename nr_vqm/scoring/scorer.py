"""A video and a saved run -> a Score."""

import contextlib
import os
import time

import cv2
import numpy as np

from nr_vqm.common import devices
from nr_vqm.dataset import mos_scale
from nr_vqm.models import cnn3d
from nr_vqm.models.shared_trunk import SharedTrunk
from nr_vqm.runs import features, heads, model_check, prediction_intervals
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring.score import Score
from nr_vqm.video import clips, decoder_client, reader

PICTURE_WIDTH = 800  # of the worst moment's picture, which is for looking at; scores see every pixel


class Scorer:
    """A loaded run. Make it with `nr_vqm.load`."""

    def __init__(self, run_dir, *, head, precision=None):
        """
        Args:
            run_dir: a folder that train and compare wrote.
            head: a head of `head_table`.
            precision: a Keras dtype policy, or 'auto', the one that is fast here; None: the run's own setting.

        Raises:
            FileNotFoundError, ValueError: a model is missing, damaged or not ours.
        """
        self.model_id = model_check.check_run(run_dir, head)
        run = RunFolder(run_dir)
        self.head, self.preset, self.mos_range = head, run.read_preset(), run.read_mos_range()
        _, self.labels = run.read_labels()
        self.spread = prediction_intervals.read(run_dir, head, **self.preset.interval)
        self.precision = devices.chosen_precision(precision or self.preset.precision)
        self.trunk = load_trunk(run_dir, precision=self.precision)
        self._pooling = heads.load(run_dir, head)

    def score(self, source, raw=None, *, fps=0.0):
        """Score one video.

        Args:
            source: a path, or an array of frames: uint8 RGB, shape (num_frames, height, width, 3).
            raw: the raw_video.RawFormat of a .yuv file, or its text, '1920x1080:yuv420p:30'; other files ignore it.
            fps: frames a second of an array, for the time axis only; a file says its own.

        Returns:
            Score.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a video, or fewer frames than one clip.
        """
        with _open(source, raw, fps) as frames:
            return self._score(frames, source, raw, fps)

    def score_many(self, paths, raw=None):
        """Score videos one after another; while one is computed the next is decoded.

        Args:
            paths: the videos.
            raw: as in `score`, for all .yuv files.

        Yields:
            (Score, None), or (None, the exception) for a video that cannot be scored, in the order of `paths`.
        """
        waiting = None
        try:
            for path in [*paths, None]:
                current, waiting = waiting, None if path is None else (path, *attempt(_open, path, raw, 0.0))
                if current:
                    yield self._finish(*current, raw)
        finally:
            if waiting and waiting[1]:
                waiting[1].close()

    def _finish(self, path, frames, error, raw):
        if error:
            return None, error
        with frames:
            return attempt(self._score, frames, path, raw, 0.0)

    def _score(self, frames, source, raw, fps):
        began = time.monotonic()
        grid, outputs, picture, decoded = self._outputs(frames, source, raw, fps)
        output = float(self._pooling.predict(_head_input(outputs, self._pooling.row)[None])[0])
        mos = float(mos_scale.to_score(output, *self.mos_range))
        quality = mos_scale.to_unit_5(mos, *self.mos_range)
        info, interval = frames.info, self.spread.interval(quality) if self.spread else None
        return Score(
            path="" if isinstance(source, np.ndarray) else str(source),
            labels=self.labels,
            head=self.head,
            model_id=self.model_id,
            precision=self.precision,
            mos=mos,
            mos_low=self.mos_range[0],
            mos_high=self.mos_range[1],
            quality=quality,
            interval=interval and tuple(mos_scale.from_unit_5(end, *self.mos_range) for end in interval),
            frames=decoded,
            declared_frames=info.frames,
            width=info.width,
            height=info.height,
            fps=info.fps,
            grid=grid,
            clip_quality=outputs.clip_quality,
            worst_picture=picture,
            warnings=(*frames.warnings, *_padding(info, grid)),
            seconds=round(time.monotonic() - began, 2),
        )

    def _outputs(self, frames, source, raw, fps):
        """(grid, outputs, worst picture, decoded frames). Decodes once where the file tells the true number."""
        found = None
        with contextlib.suppress(ValueError):  # too few frames: found out below
            found = self._run(frames, frames.info.expected, frames.info)
        for _ in frames:
            pass
        if found is None or frames.decoded != frames.info.expected:
            with _open(source, raw, fps) as again:
                found = self._run(again, frames.decoded, frames.info)
        return *found, frames.decoded

    def _run(self, frames, num_frames, info):
        clip_settings = self.preset.head_clips
        grid = clips.plan_grid(num_frames, info.height, info.width, stride=self.trunk.stride, **clip_settings)
        pictures = _Pictures(grid)
        outputs = self.trunk.run(pictures.watch(frames), grid)
        return grid, outputs, pictures.jpeg(int(np.argmin(outputs.clip_quality.mean(axis=1))))


def attempt(function, *args):
    """(result, None), or (None, the exception): whatever goes wrong with one video is its own."""
    try:
        return function(*args), None
    except Exception as error:
        if os.environ.get("NR_VQM_TRACEBACK") == "1":
            raise
        return None, error


class _Pictures:
    """Passes frames on, keeping a reduced copy of the middle frame of every group."""

    def __init__(self, grid):
        self.middles = [start + grid.clip_frames // 2 for start in grid.starts]
        self.kept = {}

    def watch(self, frames):
        for number, frame in enumerate(frames):
            if number in self.middles:
                height, width = frame.shape[:2]
                scale = min(1.0, PICTURE_WIDTH / width)
                size = (max(1, round(width * scale)), max(1, round(height * scale)))
                self.kept[number] = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
            yield frame

    def jpeg(self, group):
        picture = cv2.cvtColor(self.kept[self.middles[group]], cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


class _ArrayFrames:
    """An array of frames that reads like decoder_client.Frames."""

    def __init__(self, frames, fps):
        num_frames, height, width = check_frames(frames).shape[:3]
        self.info = decoder_client.VideoInfo(
            width=width, height=height, frames=num_frames, fps=fps, expected=num_frames
        )
        self.decoded, self.warnings = num_frames, []
        self._frames = iter(frames)

    def __iter__(self):
        return self._frames

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass


def _head_input(outputs, row):
    """What a head reads of one video: a field of `features.HeadInputs` without the axis of videos."""
    return {
        "clip_quality": outputs.clip_quality,
        "group_features": outputs.group_features,
        "mean_features": features.mean_features(outputs.group_features),
    }[row.input]


def _open(source, raw, fps):
    return _ArrayFrames(source, fps) if isinstance(source, np.ndarray) else reader.read_frames(source, raw)


def _padding(info, grid):
    """A list with a warning where the picture is smaller than a clip, else empty."""
    if grid.downscale or (grid.height, grid.width) == (info.height, info.width):
        return []
    return [
        f"the picture, {info.width} x {info.height}, is smaller than a clip, {grid.clip_size} x {grid.clip_size}, "
        "and was extended by reflection"
    ]


def load_trunk(run_dir, *, precision):
    """Load the run's 3D-CNN, ready to run over videos in that precision, a Keras dtype policy."""
    model = model_check.load_model(RunFolder(run_dir).cnn3d, made_by="make train")
    return SharedTrunk(cnn3d.with_dtype(model, precision))


def check_frames(frames):
    """Refuse an array that is not a video."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ValueError(
            "A video array must be uint8 RGB, shape (num_frames, height, width, 3). "
            f"Received: {frames.dtype}, shape {frames.shape}."
        )
    return frames
