"""A video file -> RGB frames, and what was wrong with it.

OpenCV decodes without raising: a truncated or corrupt file just ends early. Compare `count_frames`
with the declared number to know. Never seeks: on variable-frame-rate files a seek lands elsewhere.
"""

import dataclasses
from pathlib import Path

import cv2

from nr_vqm import raw_video

EXTENSIONS = frozenset(
    [
        ".264",
        ".3gp",
        ".avi",
        ".flv",
        ".h264",
        ".h265",
        ".hevc",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".ogv",
        ".ts",
        ".webm",
        ".wmv",
        ".y4m",
        ".yuv",
    ]
)


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a file's header declares. `frames` and `fps` are 0 where it does not say."""

    width: int
    height: int
    frames: int
    fps: float


def probe(path, raw=None):
    """Open a video, decode its first frame and say what it declares.

    Width and height are those of the decoded picture, after the rotation that the file asks for.
    `raw` is the raw_video.RawFormat of a .yuv file; here and below it is not looked at for any other.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not one frame can be decoded.
    """
    if raw_video.is_raw(path):
        frames = raw_video.count_frames(path, raw)
        return VideoInfo(width=raw.width, height=raw.height, frames=frames, fps=raw.fps)
    with _Capture(path) as capture:
        frame = next(capture.frames(), None)
        if frame is None:
            raise ValueError(f"A video with at least one decodable frame is needed, {path} has none.")
        declared, fps = capture.declared()
        return VideoInfo(width=frame.shape[1], height=frame.shape[0], frames=declared, fps=fps)


def read_frames(path, raw=None):
    """Yield the frames of a video in order, decoded once, sequentially.

    Yields:
        uint8 RGB, shape (height, width, 3), values 0-255, at the video's own resolution.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be opened as a video, or its picture size changes on the way.
    """
    if raw_video.is_raw(path):
        yield from raw_video.read_frames(path, raw)
        return
    with _Capture(path) as capture:
        yield from capture.frames()


def count_frames(path, raw=None):
    """The number of frames that can be decoded; slower than the declared number, and true."""
    if raw_video.is_raw(path):
        return raw_video.count_frames(path, raw)
    with _Capture(path) as capture:
        return capture.count()


def list_videos(folder):
    """Every file below `folder` with a video's extension, sorted by path."""
    return sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())


class _Capture:
    """cv2.VideoCapture as a context manager that raises."""

    def __init__(self, path):
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"No video file at {path}.")
        self.capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        if not self.capture.isOpened():
            self.capture.release()
            raise ValueError(f"A video file is needed, {path} cannot be opened as one.")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.capture.release()

    def declared(self):
        frames, fps = self.capture.get(cv2.CAP_PROP_FRAME_COUNT), self.capture.get(cv2.CAP_PROP_FPS)
        return max(0, int(frames)), fps if 0 < fps < 1000 else 0.0

    def frames(self):
        shape = None
        while True:
            found, frame = self.capture.read()
            if not found or frame is None:
                return
            if frame.shape != (shape or frame.shape):
                raise ValueError(f"One picture size is needed, {self.path} changes from {shape} to {frame.shape}.")
            shape = frame.shape
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB, frame)

    def count(self):
        number = 0
        while self.capture.grab():
            number += 1
        return number
