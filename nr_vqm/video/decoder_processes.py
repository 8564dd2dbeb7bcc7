"""Talks to a process that decodes (`decoder_process`), and keeps it for the next video."""

import atexit
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing.connection import Pipe

from nr_vqm.video.decoder_server import map_ring

STALL_SECONDS = 60  # a decoder without a sign of life for so long hangs; a 4K frame takes it a tenth of a second
RING_BYTES = 48 * 2**20  # read ahead: 8 frames of 1080p; a larger ring falls out of the processor's cache
MIN_SLOTS, MAX_SLOTS = 4, 64  # frames in the ring
MAX_IDLE = 4  # processes kept for the next videos


class DecoderFailed(Exception):
    """One decoder could not read a file; `died`: it crashed, or was ended because it stood still."""

    def __init__(self, reason, *, died=False):
        super().__init__(reason)
        self.died = died


class Worker:
    """One decoder process."""

    def __init__(self):
        self.connection, theirs = Pipe()
        self.ring = _shared_file()
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115 until `end`
        # Our own search path, as multiprocessing's spawn does; unlike that it needs nothing of the user's __main__.
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
        self.stall_seconds, self.ready = STALL_SECONDS, False

    def get_ready(self, stall_seconds):
        """Wait until it has started, which is no part of a video's time limit; then that limit holds."""
        if not self.ready:
            self.stall_seconds = STALL_SECONDS
            self.answer()
            self.ready = True
        self.stall_seconds = stall_seconds

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
        frame_bytes = math.prod(shape)
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


def start():
    """Start a process for the first video, without waiting for it."""
    if not _idle:
        _idle.append(Worker())


@contextlib.contextmanager
def borrowed(stall_seconds):
    """An idle decoder process, or a new one, as a context manager; back among the idle ones afterwards."""
    try:
        worker = _idle.pop()
    except IndexError:
        worker = Worker()
    try:
        worker.get_ready(stall_seconds)
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
def end_idle():
    while _idle:
        _idle.pop().end()


os.register_at_fork(after_in_child=_idle.clear)  # a process serves the one that started it
