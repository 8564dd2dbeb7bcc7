"""Pool of decoder processes: their start, communication with them, and reuse for the next video.

The process itself runs `decoder_server`.
"""

import atexit
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing.connection import Pipe
from typing import IO, Any, NoReturn

import numpy as np

from nr_vqm.video import work_limits
from nr_vqm.video.frame_ring import map_ring

STALL_SECONDS = 60  # without a response for this long a decoder hangs; decoding a 4K frame takes 0.1 seconds
RING_BYTES = 48 * 2**20  # decoded ahead: 8 frames of 1080p; a larger ring buffer does not fit the processor's cache
MIN_SLOTS, MAX_SLOTS = 4, 64  # frames in the ring buffer
MAX_IDLE = 4  # idle processes that are kept for the next videos


class DecoderFailed(Exception):
    """A decoder process failed on a file.

    Attributes:
        died: whether the process crashed, or was killed because it hung.
    """

    def __init__(self, reason: str, *, died: bool = False) -> None:
        super().__init__(reason)
        self.died = died


class Worker:
    """One decoder process."""

    def __init__(self) -> None:
        """Start the process, without waiting for it."""
        self.connection, theirs = Pipe()
        self.ring = _shared_file()
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115 until `end`
        # The process gets our module search path, as with multiprocessing's spawn, but does not import the user's
        # __main__ module.
        code = "import sys; sys.path[:] = sys.argv[3:]; from nr_vqm.video import decoder_server; decoder_server.main()"
        handles = (theirs.fileno(), self.ring.fileno())
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, handles), *[os.path.abspath(folder) for folder in sys.path]],
            stdin=subprocess.PIPE,
            stdout=self.messages,
            stderr=self.messages,
            pass_fds=handles,
        )
        theirs.close()
        self.stall_seconds: float = STALL_SECONDS
        self.ready = False

    def get_ready(self, stall_seconds: float) -> None:
        """Wait until the process has started, then set the time limit for the responses on a video."""
        if not self.ready:
            self.stall_seconds = STALL_SECONDS
            self.answer()
            self.ready = True
        self.stall_seconds = stall_seconds

    def tell(self, **message: Any) -> None:
        """Send a message.

        Raises:
            DecoderFailed: the process has died.
        """
        try:
            self.connection.send_bytes(json.dumps(message).encode())
        except ConnectionError:
            self._raise_crashed()

    def answer(self) -> dict[str, Any]:
        """Receive the next message.

        Raises:
            DecoderFailed: the process crashed, did not respond for `stall_seconds`, or cannot read the video.
            ValueError: the process can read the video but refuses it.
            LimitExceeded: the time for the video is over; the process is ended.
        """
        while True:
            try:
                if not self.connection.poll(self.stall_seconds):
                    self.end()
                    raise DecoderFailed(f"The decoder did not respond for {self.stall_seconds:g} seconds.", died=True)
                message = json.loads(self.connection.recv_bytes())
            except (EOFError, ConnectionError):
                self._raise_crashed()
            if message["is"] == "failed":
                raise DecoderFailed(message["reason"])
            if message["is"] == "refused":
                raise ValueError(message["reason"])
            if message["is"] != "progress":
                return message
            if work_limits.is_late():
                self.end()
                raise work_limits.LimitExceeded(
                    "The time for the video was over before its index was read. Raise the limit max_seconds, or score "
                    "a part of it."
                )

    def start_reading(self, shape: tuple[int, ...]) -> np.ndarray:
        """Let the process decode ahead.

        Args:
            shape: shape of a frame.

        Returns:
            the ring buffer of frames, uint8, shape (slots, *shape).
        """
        frame_bytes = math.prod(shape)
        slots = min(MAX_SLOTS, max(MIN_SLOTS, RING_BYTES // frame_bytes))
        os.ftruncate(self.ring.fileno(), slots * frame_bytes)
        self.tell(do="read", slots=slots)
        return map_ring(self.ring.fileno(), slots, shape)

    def take_messages(self) -> str:
        """Return what the decoder has printed since the last call, at most 64 KB."""
        text = os.pread(self.messages.fileno(), 2**16, 0).decode(errors="replace")
        self.messages.seek(0)  # the process shares the file position
        self.messages.truncate()
        return text

    def stop(self) -> None:
        """Stop decoding the current video, so that the process is ready for the next one, or has ended.

        Raises:
            DecoderFailed: the process had died before.
        """
        self.tell(do="stop")
        while True:
            try:
                if self.answer()["is"] == "stopped":
                    break
            except (ValueError, DecoderFailed):  # an error of the video that is no longer needed
                if self.process.returncode is not None:  # its files are closed
                    return
        self.take_messages()

    def end(self) -> None:
        """Kill the process and close its files."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        for handle in (self.connection, self.ring, self.messages):
            handle.close()

    def _raise_crashed(self) -> NoReturn:
        """Raise DecoderFailed with the signal or exit code of the process."""
        code = self.process.wait()
        self.end()
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise DecoderFailed(f"The decoder crashed ({cause}).", died=True) from None


def _shared_file() -> IO[bytes]:
    """Create a file for shared memory; not in /dev/shm, which is small in containers."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("frames"), "r+b")
    return tempfile.TemporaryFile()


_idle: list[Worker] = []


def start() -> None:
    """Start a decoder process for the first video, without waiting for it."""
    if not _idle:
        _idle.append(Worker())


@contextlib.contextmanager
def borrowed(stall_seconds: float) -> Iterator[Worker]:
    """Borrow an idle decoder process, or a new one; it is returned to the pool when the block ends."""
    try:
        worker = _idle.pop()
    except IndexError:
        worker = Worker()
    try:
        worker.get_ready(stall_seconds)
        yield worker
    finally:
        _give_back(worker)


def _give_back(worker: Worker) -> None:
    if worker.process.returncode is not None:
        return
    with contextlib.suppress(DecoderFailed):
        worker.stop()
        if worker.process.returncode is not None:
            return
        if len(_idle) < MAX_IDLE:
            _idle.append(worker)
        else:
            worker.end()


@atexit.register
def end_idle() -> None:
    """Kill all idle decoder processes."""
    while _idle:
        _idle.pop().end()


os.register_at_fork(after_in_child=_idle.clear)  # a decoder process serves only the process that started it
