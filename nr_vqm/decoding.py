"""Decoding in processes of their own: ahead of the reader, and a decoder that crashes or hangs fails one video alone.

PyAV is tried first; where it fails, crashes or stands still, OpenCV. Decision 0009.
"""

import atexit
import contextlib
import dataclasses
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from multiprocessing.connection import Pipe
from pathlib import Path

from nr_vqm import raw_video
from nr_vqm.decoder_process import map_ring

STALL_SECONDS = 60  # a decoder without a sign of life for so long hangs; a 4K frame takes it a tenth of a second
RING_BYTES = 128 * 2**20  # read ahead: 21 frames of 1080p
MIN_SLOTS, MAX_SLOTS = 4, 64  # frames in the ring
MAX_IDLE = 4  # processes kept for the next videos
MISSING_FRAMES = 0.01  # containers without an index declare duration x rate, which is off by a frame or two
FFMPEG_MESSAGE = re.compile(r"^\[(\w[^\]]*) @ 0x[0-9a-f]+\] (.+)$", re.MULTILINE)


class DecoderFailed(Exception):
    """One decoder could not read a file; `died`: it crashed, or was ended because it stood still."""

    def __init__(self, reason, *, died=False):
        super().__init__(reason)
        self.died = died


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

    Gives uint8 RGB, shape (height, width, 3), values 0-255; each frame is an array of its own.

    Attributes:
        info: VideoInfo.
        decoded: the number of frames so far.
        warnings: what makes the frames doubtful, a list of str; complete when the iteration has ended.
    """

    def __init__(self, path, *, raw, stall_seconds):
        """See `video.read_frames`."""
        self.decoded, self.warnings, self._error = 0, [], None
        # No method of ours: a cycle would be collected in any order, the process before the generator that uses it.
        self._frames = _read(_request(path, raw), stall_seconds, self.warnings)
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
    """Yield the VideoInfo, then the frames, from the first decoder that can; where one dies half-way, the next goes on."""
    info, decoded, failures = None, 0, []
    for decoder in ("raw",) if request["raw"] else ("PyAV", "OpenCV"):
        try:
            with contextlib.closing(_read_with(decoder, request, stall_seconds, decoded, warnings)) as source:
                found = next(source)
                if info is None:
                    info = found
                    warnings += info.warnings
                    yield info
                elif found != info:
                    raise DecoderFailed("It sees another video in the file.")
                for frame in source:
                    decoded += 1
                    yield frame
        except DecoderFailed as error:
            failures.append((decoder, error))
            continue
        warnings += [f"decoded with {decoder}, because {other} failed: {error}" for other, error in failures]
        warnings += missing_frames(decoded, info.frames)
        return
    if any(error.died for _, error in failures):
        reasons = " ".join(f"{other}: {error}" for other, error in failures)
        raise ValueError(f"{request['path']} cannot be decoded. {reasons}")
    raise ValueError(failures[0][1])


def _read_with(decoder, request, stall_seconds, skip, warnings):
    """Yield the VideoInfo, then the frames after the first `skip`, from one decoder."""
    with _borrowed(stall_seconds) as worker:
        worker.tell(do="open", decoder=decoder, **request)
        info = _info(worker.answer())
        ring = worker.start_reading((info.height, info.width, 3))
        yield info
        for number in itertools.count():
            if worker.answer()["is"] == "end":
                break
            frame = ring[number % len(ring)].copy() if number >= skip else None
            worker.tell(do="release")
            if frame is not None:
                yield frame
        warnings += _damage(worker.take_messages())


def _request(path, raw):
    """What the decoder process is asked; refuses at once what is no file, or raw and not described."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No video file at {path}.")
    if not raw_video.is_raw(path):
        return {"path": os.path.abspath(path), "raw": None}
    raw_video.count_frames(path, raw)
    return {"path": os.path.abspath(path), "raw": dataclasses.asdict(raw)}


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


class _Worker:
    """One decoder process."""

    def __init__(self):
        self.connection, theirs = Pipe()
        self.ring = _shared_file()
        self.messages = tempfile.TemporaryFile()  # a crashed process leaves its last words
        # Our own search path, as multiprocessing's spawn does; unlike that it needs nothing of the user's __main__.
        code = "import sys; sys.path[:] = sys.argv[3:]; from nr_vqm import decoder_process; decoder_process.main()"
        handles = (theirs.fileno(), self.ring.fileno())
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, handles), *[os.path.abspath(folder) for folder in sys.path]],
            stdin=subprocess.PIPE,
            stdout=self.messages,
            stderr=self.messages,
            pass_fds=handles,
        )
        theirs.close()
        self.stall_seconds = STALL_SECONDS
        self.answer()  # ready

    def tell(self, **message):
        """Send a message; DecoderFailed where nobody is there."""
        try:
            self.connection.send_bytes(json.dumps(message).encode())
        except ConnectionError:
            self._bury()

    def answer(self):
        """The next message, as a dict.

        Raises:
            DecoderFailed: it crashed, said nothing for `stall_seconds`, or cannot read the video.
            ValueError: it refuses the video.
        """
        while True:
            try:
                if not self.connection.poll(self.stall_seconds):
                    self.end()
                    raise DecoderFailed(f"The decoder stood still for {self.stall_seconds:g} seconds.", died=True)
                message = json.loads(self.connection.recv_bytes())
            except (EOFError, ConnectionError):
                self._bury()
            if message["is"] == "failed":
                raise DecoderFailed(message["reason"])
            if message["is"] == "refused":
                raise ValueError(message["reason"])
            if message["is"] != "progress":
                return message

    def start_reading(self, shape):
        """Let it decode ahead; the ring of frames, uint8 (slots, *shape)."""
        frame_bytes = shape[0] * shape[1] * shape[2]
        slots = min(MAX_SLOTS, max(MIN_SLOTS, RING_BYTES // frame_bytes))
        os.ftruncate(self.ring.fileno(), slots * frame_bytes)
        self.tell(do="read", slots=slots)
        return map_ring(self.ring.fileno(), slots, shape)

    def take_messages(self):
        """What the decoder has printed since the last call, 64 KB at most."""
        text = os.pread(self.messages.fileno(), 2**16, 0).decode(errors="replace")
        self.messages.seek(0)  # theirs too
        self.messages.truncate()
        return text

    def stop(self):
        """Make it ready for the next video; DecoderFailed where it is dead."""
        self.tell(do="stop")
        while True:
            try:
                if self.answer()["is"] == "stopped":
                    break
            except (ValueError, DecoderFailed) as error:  # of the video that nobody wants any more
                if getattr(error, "died", False):
                    raise
        self.take_messages()

    def end(self):
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        for handle in (self.connection, self.ring, self.messages):
            handle.close()

    def _bury(self):
        """Raise DecoderFailed with what ended the process."""
        code = self.process.wait()
        self.end()
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise DecoderFailed(f"The decoder crashed ({cause}).", died=True) from None


def _shared_file():
    """A file that two processes map: in memory, not on a /dev/shm that containers keep small."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("frames"), "r+b")
    return tempfile.TemporaryFile()


_idle = []


@contextlib.contextmanager
def _borrowed(stall_seconds):
    """An idle decoder process, or a new one; back among the idle ones afterwards."""
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    worker.stall_seconds = stall_seconds
    try:
        yield worker
    finally:
        _give_back(worker)


def _give_back(worker):
    if worker.process.returncode is not None:
        return
    with contextlib.suppress(DecoderFailed):
        worker.stop()
        if len(_idle) < MAX_IDLE:
            _idle.append(worker)
        else:
            worker.end()


@atexit.register
def _end_idle():
    while _idle:
        _idle.pop().end()


os.register_at_fork(after_in_child=_idle.clear)  # a process serves the one that started it
