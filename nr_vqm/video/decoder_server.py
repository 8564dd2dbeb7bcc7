"""The process that decodes: a crash or a hang of a decoder ends here. `decoding` starts it and talks to it.

Requests and answers are lines of JSON on a socket; frames go through shared memory, a ring of slots, so the parent
says when a slot may be used again, and the decoder is never more than a ring ahead.
"""

import contextlib
import itertools
import json
import mmap
import os
import select
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

import av.logging
import cv2
import numpy as np

from nr_vqm.video import backends, raw_video

MAX_MEMORY = 8 * 2**30  # address space: damaged headers ask for more than the machine has
MAX_MESSAGES = 16 * 2**20  # bytes that a decoder may print about one video
PROGRESS_SECONDS = 1


class Stopped(Exception):
    """The parent does not want the rest."""


def main():
    """Serve requests until the parent goes away. Arguments: the file descriptors of the socket and the ring."""
    connection, ring = Connection(int(sys.argv[1])), int(sys.argv[2])
    _protect()
    cv2.setNumThreads(1)
    av.logging.set_libav_level(av.logging.ERROR)
    av.logging.restore_default_callback()  # FFmpeg's messages to stderr
    with contextlib.suppress(EOFError, ConnectionError):
        _send(connection, is_="ready")
        while True:
            request = json.loads(connection.recv_bytes())
            if request["do"] == "stop":
                _send(connection, is_="stopped")
            elif request["do"] == "open":
                _serve(connection, ring, request)


def _protect():
    """Leave with the parent, let it handle Ctrl-C, and bound what a damaged file can take."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on every system
        import resource

        for kind, limit in (("AS", MAX_MEMORY), ("FSIZE", MAX_MESSAGES), ("CORE", 0)):
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (limit, limit))


def _leave_with_parent():
    os.read(0, 1)  # nobody writes: returns when the parent is gone
    os._exit(0)


def _send(connection, *, is_, **values):
    connection.send_bytes(json.dumps({"is": is_, **values}).encode())


def _serve(connection, ring, request):
    """Answer one request; whatever is wrong with the video is an answer too."""
    try:
        _read(connection, ring, request)
    except Stopped:
        _send(connection, is_="stopped")
    except (EOFError, ConnectionError):
        raise
    except backends.Refusal as error:
        _send(connection, is_="refused", reason=str(error))
    except Exception as error:  # av and cv2 have their own kinds
        _send(connection, is_="failed", reason=str(error) or type(error).__name__)


def _read(connection, ring, request):
    """Say what the video is, then put frame after frame into the ring."""
    path, raw = request["path"], request["raw"] and raw_video.RawFormat(**request["raw"])
    found, warnings = backends.inspect(path, raw, _Progress(connection)), []
    source = backends.read_planes(path, raw=raw, warnings=warnings) if request["planes"] else _rgb(path, raw, warnings)
    with contextlib.closing(source) as frames:
        first = next(frames, None)
        if first is None:
            raise ValueError(f"A video with at least one decodable frame is needed, {path} has none.")
        height, width, bits, pixels = first
        _send(connection, is_="info", height=height, width=width, bits=bits, **found)
        slots = _Slots(connection, ring, pixels.shape)
        for *_, pixels in itertools.chain([first], frames):
            slots.put(pixels)
        slots.tell()
    _send(connection, is_="end", warnings=warnings)


def _rgb(path, raw, warnings):
    """Yield RGB frames in the form of `backends.read_planes`."""
    with contextlib.closing(backends.read(path, raw=raw, warnings=warnings)) as frames:
        for frame in frames:
            yield *frame.shape[:2], 8, frame


class _Slots:
    """The ring: `put` waits until the parent has emptied a slot. Of small frames it tells several at a time."""

    def __init__(self, connection, ring, shape):
        self.connection, self.ring, self.shape = connection, ring, shape
        self.view, self.free, self.position, self.untold = None, 0, 0, 0

    def put(self, frame):
        while not self.free or select.select([self.connection], [], [], 0)[0]:
            if not self.free:
                self.tell()
            self._hear(json.loads(self.connection.recv_bytes()))
        self.view[self.position % len(self.view)] = frame
        self.position += 1
        self.free -= 1
        self.untold += 1
        if self.untold >= len(self.view) // 8:
            self.tell()

    def tell(self):
        """Say how many frames are new."""
        if self.untold:
            _send(self.connection, is_="frames", count=self.untold)
            self.untold = 0

    def _hear(self, message):
        if message["do"] == "stop":
            raise Stopped
        if message["do"] == "read":
            self.view, self.free = map_ring(self.ring, message["slots"], self.shape), message["slots"]
        elif message["do"] == "release":
            self.free += message["count"]


def map_ring(ring, slots, shape):
    """The ring's memory as uint8, shape (slots, *shape).

    Args:
        ring: its file descriptor.
        slots: frames in it.
        shape: of a frame.
    """
    shape = (slots, *shape)
    return np.frombuffer(mmap.mmap(ring, int(np.prod(shape))), np.uint8).reshape(shape)


class _Progress:
    """Called often, tells the parent now and then that work goes on."""

    def __init__(self, connection):
        self.connection, self.told = connection, time.monotonic()

    def __call__(self):
        if time.monotonic() - self.told > PROGRESS_SECONDS:
            self.told = time.monotonic()
            _send(self.connection, is_="progress")
