"""Decoding in processes of their own: ahead of the reader, and a decoder that crashes or hangs fails one video alone.

A decoder that crashes or stands still is started once more and continues at the same frame. Decision 0011.
"""

import contextlib
import dataclasses
import functools
import os
import re
from pathlib import Path

from nr_vqm.video import planes, raw_video
from nr_vqm.video.decoder_processes import DecoderFailed, borrowed

ATTEMPTS = 2  # a decoder may crash or stand still because the machine is short of memory or busy
MISSING_FRAMES = 0.01  # containers without an index declare duration x rate, which is off by a frame or two
FFMPEG_MESSAGE = re.compile(r"^\[(\w[^\]]*) @ 0x[0-9a-f]+\] (.+)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class VideoInfo:
    """What a file declares.

    Attributes:
        width, height: of the decoded picture, after the rotation that the file asks for.
        frames: what the header says, 0 where it does not.
        fps: frames per second, 0 where the header does not say.
        expected: the frames that decoding will probably give: the header's number, or fewer where the file holds fewer
            coded pictures; 0 where nothing tells.
        warnings: what makes the video unfit: HDR, several video streams.
    """

    width: int
    height: int
    frames: int
    fps: float
    expected: int
    warnings: tuple[str, ...] = ()


class Frames:
    """The frames of one video, in order, once. Iterate; `with` or `close` ends the decoding early.

    Gives uint8 RGB, shape (height, width, 3), values 0-255; each frame is an array of its own. With `as_planes`:
    planes.Planes.

    Attributes:
        info: VideoInfo.
        decoded: the number of frames so far.
        warnings: what makes the frames doubtful, a list of str; complete when the iteration has ended.
    """

    def __init__(self, path, *, raw, stall_seconds, as_planes=False):
        """See `reader.read_frames`."""
        self.decoded, self.warnings, self._error = 0, [], None
        # No method of ours: a cycle would be collected in any order, the process before the generator that uses it.
        self._frames = _read(_request(path, raw) | {"planes": as_planes}, stall_seconds, self.warnings)
        self.info = next(self._frames)

    def __iter__(self):
        return self

    def __next__(self):
        if self._error:  # a generator that raised would just end
            raise self._error
        try:
            frame = next(self._frames)
        except ValueError as error:
            self._error = error
            raise
        self.decoded += 1
        return frame

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """End the decoding."""
        self._frames.close()


def _read(request, stall_seconds, warnings):
    """Yield the VideoInfo, then the frames; where the decoder dies half-way, another process continues."""
    info, decoded, failures = None, 0, []
    while len(failures) < ATTEMPTS:
        try:
            with contextlib.closing(_read_with(request, stall_seconds, decoded, warnings)) as source:
                found = next(source)
                if info is None:
                    info = found
                    warnings += info.warnings
                    yield info
                elif found != info:
                    raise ValueError(f"{request['path']} has changed while it was read. Read it again.")
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
    raise ValueError(f"{request['path']} cannot be decoded, attempted {ATTEMPTS} times. {' '.join(failures)}")


def _read_with(request, stall_seconds, skip, warnings):
    """Yield the VideoInfo, then the frames after the first `skip`, from one decoder process."""
    with borrowed(stall_seconds) as worker:
        worker.tell(do="open", **request)
        answer = worker.answer()
        info, (shape, unpack) = _info(answer), _layout(answer, request["planes"])
        ring = worker.start_reading(shape)
        yield info
        number = 0
        while (message := worker.answer())["is"] != "end":
            frames = [ring[i % len(ring)].copy() for i in range(number, number + message["count"]) if i >= skip]
            number += message["count"]
            worker.tell(do="release", count=message["count"])
            yield from map(unpack, frames)
        warnings += message["warnings"]
        warnings += _damage(worker.take_messages())


def _request(path, raw):
    """What the decoder process is asked; refuses at once what is no file, or raw and not described.

    `raw`: a RawFormat, its text form, or None.
    """
    raw = raw_video.parse(raw) if isinstance(raw, str) else raw
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No video file at {path}.")
    if not raw_video.is_raw(path):
        return {"path": os.path.abspath(path), "raw": None}
    raw_video.count_frames(path, raw)
    return {"path": os.path.abspath(path), "raw": dataclasses.asdict(raw)}


def _layout(answer, as_planes):
    """The shape of a frame in the ring, and the function that makes of it what the reader wants."""
    height, width, bits = answer["height"], answer["width"], answer["bits"]
    if as_planes:
        shape = (planes.packed_bytes(height, width, bits),)
        return shape, functools.partial(planes.unpack, height=height, width=width, bits=bits)
    return (height, width, 3), lambda frame: frame


def _info(answer):
    warnings = []
    if answer["hdr"]:
        warnings.append(f"HDR video ({answer['hdr']}), read as if it were not: out of the model's range")
    if answer["streams"] > 1:
        warnings.append(f"{answer['streams']} video streams: only the first is read")
    return VideoInfo(
        width=answer["width"],
        height=answer["height"],
        frames=answer["declared"],
        fps=answer["fps"],
        expected=answer["expected"],
        warnings=tuple(warnings),
    )


def missing_frames(decoded, declared):
    """A list with a warning where a file has clearly fewer frames than it declares, else empty."""
    if decoded >= declared - max(2, MISSING_FRAMES * declared):
        return []
    return [f"only {decoded} of {declared} declared frames could be decoded"]


def _damage(messages):
    """A list with a warning where the decoder complained, else empty."""
    found = FFMPEG_MESSAGE.findall(messages)
    if not found:
        return []
    more = f" (and {len(found) - 1} more messages)" if len(found) > 1 else ""
    return [f"damaged: the decoder says {found[0][1].strip()!r}{more}"]
