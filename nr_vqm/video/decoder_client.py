"""Iteration over the frames of a video that a separate process decodes.

A decoder that crashes or hangs is restarted once and continues at the same frame; a second failure affects only that
video. Source: decision 0011.
"""

import contextlib
import dataclasses
import functools
import os
import re
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from nr_vqm.video import planes, raw_video, work_limits
from nr_vqm.video.decoder_processes import DecoderFailed, borrowed

ATTEMPTS = 2  # a decoder may crash or hang because the machine lacks memory or is busy
MISSING_FRAMES = 0.01  # share; containers without an index declare duration x rate, which is inexact
FFMPEG_MESSAGE = re.compile(r"^\[(\w[^\]]*) @ 0x[0-9a-f]+\] (.+)$", re.MULTILINE)

Frame = TypeVar("Frame", np.ndarray, planes.Planes)


class DecoderDied(ValueError):
    """The decoder crashed or hung at every attempt; on a machine with less load the video may be readable."""


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """Declared properties of a video file.

    Attributes:
        width, height: frame size in pixels, after the rotation that the file declares.
        frames: number of frames in the header; 0 if it is not declared.
        fps: frames per second; 0 if not declared.
        expected: number of frames that decoding will probably give: the declared number, or fewer if the file contains
            fewer coded frames; 0 if unknown.
        warnings: properties that make the score less reliable: HDR, several video streams, non-square pixels, alpha.
        hdr: transfer characteristics of an HDR video, 'PQ' or 'HLG'; empty for all others.
        streams: number of video streams of the file.
    """

    width: int
    height: int
    frames: int
    fps: float
    expected: int
    warnings: tuple[str, ...] = ()
    hdr: str = ""
    streams: int = 1


class Frames(Generic[Frame]):
    """Iterator over the frames of one video. Leaving a `with` block or calling `close` ends the decoding early.

    Yields a new array per frame: uint8 RGB, shape (height, width, 3), values 0-255; with `as_planes` planes.Planes.

    Attributes:
        info: declared properties of the video.
        decoded: number of frames read so far.
        warnings: problems of the video, for example damage; complete at the end of the iteration. That of interlaced
            frames is there before the first of them.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        raw: raw_video.RawFormat | str | None,
        stream: int | None,
        deinterlace: bool,
        stall_seconds: float,
        as_planes: bool = False,
    ) -> None:
        """Open the video. Arguments and exceptions: see `reader.read_frames`."""
        self.decoded = 0
        self.warnings: list[str] = []
        self._error: ValueError | None = None
        # A function, not a method: with a reference cycle the process could be freed before the generator that uses it.
        request = _request(path, raw) | {"stream": stream, "deinterlace": deinterlace, "planes": as_planes}
        self._frames = _read(request, stall_seconds, self.warnings)
        self.info: VideoInfo = next(self._frames)

    def __iter__(self) -> "Frames[Frame]":
        return self

    def __next__(self) -> Frame:
        if self._error:  # a generator that has raised ends without a second exception
            raise self._error
        try:
            frame = next(self._frames)
        except ValueError as error:
            self._error = error
            raise
        self.decoded += 1
        work_limits.check_progress(self.info.width, self.info.height, self.decoded)
        return frame

    def __enter__(self) -> "Frames[Frame]":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the decoding."""
        self._frames.close()


def _read(request: dict[str, Any], stall_seconds: float, warnings: list[str]) -> Generator[Any, None, None]:
    """Yield the VideoInfo, then the frames; if the decoder dies, another process continues."""
    info, decoded = None, 0
    failures: list[str] = []
    while len(failures) < ATTEMPTS:
        try:
            with contextlib.closing(_read_with(request, stall_seconds, decoded, warnings)) as source:
                found = next(source)
                if info is None:
                    info = found
                    warnings += info.warnings
                    yield info
                elif found != info:
                    raise ValueError(f"{request['path']} has changed during reading. Read it again.")
                for frame in source:
                    decoded += 1
                    yield frame
        except DecoderFailed as error:
            if not error.died:
                raise ValueError(error) from error
            failures.append(str(error))
            continue
        warnings += [f"decoded at the second attempt: {failure}" for failure in failures]
        warnings += missing_frames(decoded, info.frames)
        return
    raise DecoderDied(f"{request['path']} cannot be decoded, after {ATTEMPTS} attempts. {' '.join(failures)}")


def _read_with(
    request: dict[str, Any], stall_seconds: float, skip: int, warnings: list[str]
) -> Generator[Any, None, None]:
    """Yield the VideoInfo, then the frames after the first `skip`, from one decoder process."""
    with borrowed(stall_seconds) as worker:
        worker.tell(do="open", **request)
        answer = worker.answer()
        info, (shape, unpack) = _info(answer), _layout(answer, request["planes"])
        ring = worker.start_reading(shape)
        yield info
        number = 0
        while (message := worker.answer())["is"] != "end":
            _add_new(warnings, message["warnings"])
            frames = [ring[i % len(ring)].copy() for i in range(number, number + message["count"]) if i >= skip]
            number += message["count"]
            worker.tell(do="release", count=message["count"])
            yield from map(unpack, frames)
        _add_new(warnings, message["warnings"])
        warnings += _damage(worker.take_messages())


def _add_new(warnings: list[str], found: Sequence[str]) -> None:
    """Append the warnings that are not there yet: every batch of frames repeats them, as does a second decoder."""
    warnings += [warning for warning in found if warning not in warnings]


def _request(path: str | os.PathLike[str], raw: raw_video.RawFormat | str | None) -> dict[str, Any]:
    """Return the request to the decoder process, after a check of the file and its raw format."""
    raw_format = raw_video.parse(raw) if isinstance(raw, str) else raw
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No video file at {path}.")
    if path.stat().st_size == 0:
        raise ValueError(f"Cannot read {path}: the file is empty.")
    if not raw_video.is_raw(path):
        return {"path": os.path.abspath(path), "raw": None}
    raw_video.count_frames(path, raw_format)
    assert raw_format  # count_frames refuses None
    return {"path": os.path.abspath(path), "raw": dataclasses.asdict(raw_format)}


def _layout(answer: dict[str, Any], as_planes: bool) -> tuple[tuple[int, ...], Callable[[np.ndarray], Any]]:
    """Return the shape of a frame in the ring buffer and the function that unpacks it for the reader."""
    height, width, bits = answer["height"], answer["width"], answer["bits"]
    if as_planes:
        shape = (planes.packed_bytes(height, width, bits),)
        return shape, functools.partial(planes.unpack, height=height, width=width, bits=bits)
    return (height, width, 3), lambda frame: frame


def _info(answer: dict[str, Any]) -> VideoInfo:
    warnings = []
    if answer["hdr"]:
        warnings.append(f"HDR video ({answer['hdr']}), read as if it were not: out of the model's range")
    if answer["streams"] > 1:
        size = f"{answer['width']}x{answer['height']}"
        warnings.append(
            f"{answer['streams']} video streams: stream {answer['stream']} of {size} is read; nr-vqm score --stream "
            "reads another"
        )
    if answer["aspect"]:
        warnings.append(f"non-square pixels, {answer['aspect']}: read as they are stored, without stretching")
    if answer["alpha"]:
        warnings.append("an alpha channel, which is ignored: transparent areas show their stored colours")
    return VideoInfo(
        width=answer["width"],
        height=answer["height"],
        frames=answer["declared"],
        fps=answer["fps"],
        expected=answer["expected"],
        warnings=tuple(warnings),
        hdr=answer["hdr"],
        streams=answer["streams"],
    )


def missing_frames(decoded: int, declared: int) -> list[str]:
    """Return a list with a warning if clearly fewer frames were decoded than declared, else an empty list."""
    if decoded >= declared - max(2, MISSING_FRAMES * declared):
        return []
    return [f"only {decoded} of {declared} declared frames could be decoded"]


def _damage(messages: str) -> list[str]:
    """Return a list with a warning if the decoder reported errors, else an empty list."""
    found = FFMPEG_MESSAGE.findall(messages)
    if not found:
        return []
    more = f" (and {len(found) - 1} more messages)" if len(found) > 1 else ""
    return [f"damaged: the decoder reports {found[0][1].strip()!r}{more}"]
