"""The decoder process, which isolates crashes and hangs of decoders. `decoder_processes` starts it.

Requests and answers are JSON messages on a socket. Frames are passed through a ring buffer in shared memory: the parent
releases slots, so the decoder is never further ahead than the size of the ring buffer.
"""

import contextlib
import gc
import itertools
import json
import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Generator
from multiprocessing.connection import Connection
from typing import Any

import av.logging
import cv2
import numpy as np

from nr_vqm.common import memory
from nr_vqm.video import backends, containers, raw_video
from nr_vqm.video.frame_ring import map_ring

MAX_MEMORY = 8 * 2**30  # bytes of address space: damaged headers may declare more than the machine has
MAX_MESSAGES = 16 * 2**20  # bytes of messages that a decoder may print
PROGRESS_SECONDS = 1  # between two progress messages


class Stopped(Exception):
    """The parent has stopped reading the video."""


def main() -> None:
    """Serve requests until the parent exits. Command-line arguments: file descriptors of socket and ring buffer."""
    connection, ring = Connection(int(sys.argv[1])), int(sys.argv[2])
    _protect()
    memory.keep_freed_memory()
    cv2.setNumThreads(1)
    av.logging.set_libav_level(av.logging.ERROR)
    av.logging.restore_default_callback()  # FFmpeg prints its messages to stderr
    gc.freeze()  # so that `gc.collect` after every video is quick
    with contextlib.suppress(EOFError, ConnectionError):
        _send(connection, is_="ready")
        while True:
            request = json.loads(connection.recv_bytes())
            if request["do"] == "stop":
                _send(connection, is_="stopped")
            elif request["do"] == "open":
                _serve(connection, ring, request)
                gc.collect()  # frees the video's first frame, see `backends._display_matrix`


def _protect() -> None:
    """Exit together with the parent, leave Ctrl-C to it, and limit the resources that a damaged file can use."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ValueError, OSError):  # some systems do not support every limit
        for name, limit in (("AS", MAX_MEMORY), ("FSIZE", MAX_MESSAGES), ("CORE", 0)):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))


def _exit_with_parent() -> None:
    os.read(0, 1)  # nothing is ever written: returns when the parent has exited
    os._exit(0)


def _send(connection: Connection, *, is_: str, **values: Any) -> None:
    connection.send_bytes(json.dumps({"is": is_, **values}).encode())


def _serve(connection: Connection, ring: int, request: dict[str, Any]) -> None:
    """Answer one request; an error of the video is an answer, too."""
    try:
        _read(connection, ring, request)
    except Stopped:
        _send(connection, is_="stopped")
    except (EOFError, ConnectionError):
        raise
    except containers.Refusal as error:
        _send(connection, is_="refused", reason=str(error))
    except Exception as error:  # PyAV and OpenCV raise their own types
        _send(connection, is_="failed", reason=str(error) or type(error).__name__)


def _read(connection: Connection, ring: int, request: dict[str, Any]) -> None:
    """Send the declared properties of the video, then write its frames to the ring buffer."""
    path, raw = request["path"], raw_video.RawFormat(**request["raw"]) if request["raw"] else None
    found = containers.inspect(path, raw, stream=request["stream"], progress=_Progress(connection))
    warnings: list[str] = []
    options = {"raw": raw, "stream": request["stream"], "deinterlace": request["deinterlace"], "warnings": warnings}
    source = backends.read_planes(path, **options) if request["planes"] else _rgb(path, **options)
    with contextlib.closing(source) as frames:
        first = next(frames, None)
        if first is None:
            raise ValueError(f"A video with at least one decodable frame is needed, {path} has none.")
        height, width, bits, pixels = first
        _send(connection, is_="info", height=height, width=width, bits=bits, **found)
        slots = _Slots(connection, ring, pixels.shape, warnings)
        for *_, pixels in itertools.chain([first], frames):
            slots.put(pixels)
        slots.announce()
    _send(connection, is_="end", warnings=warnings)


def _rgb(path: str, **options: Any) -> Generator[tuple[int, int, int, np.ndarray], None, None]:
    """Yield height, width, 8 bits and the RGB frame, like `backends.read_planes`."""
    with contextlib.closing(backends.read(path, **options)) as frames:
        for frame in frames:
            yield frame.shape[0], frame.shape[1], 8, frame


class _Slots:
    """Writer of the ring buffer. New frames are announced in batches, which saves messages for small frames."""

    def __init__(self, connection: Connection, ring: int, shape: tuple[int, ...], warnings: list[str]) -> None:
        self.connection, self.ring, self.shape, self.warnings = connection, ring, shape, warnings
        self.view = np.empty((0, *shape), np.uint8)  # mapped when the parent starts reading
        self.free, self.position, self.unannounced = 0, 0, 0

    def put(self, frame: np.ndarray) -> None:
        """Write a frame, after waiting until the parent has released a slot."""
        while not self.free or select.select([self.connection], [], [], 0)[0]:
            if not self.free:
                self.announce()
            self._handle(json.loads(self.connection.recv_bytes()))
        self.view[self.position % len(self.view)] = frame
        self.position += 1
        self.free -= 1
        self.unannounced += 1
        if self.unannounced >= len(self.view) // 8:
            self.announce()

    def announce(self) -> None:
        """Send the number of new frames and all warnings so far to the parent."""
        if self.unannounced:
            _send(self.connection, is_="frames", count=self.unannounced, warnings=self.warnings)
            self.unannounced = 0

    def _handle(self, message: dict[str, Any]) -> None:
        if message["do"] == "stop":
            raise Stopped
        if message["do"] == "read":
            self.view, self.free = map_ring(self.ring, message["slots"], self.shape), message["slots"]
        elif message["do"] == "release":
            self.free += message["count"]


class _Progress:
    """Callback that sends a progress message to the parent at most once per PROGRESS_SECONDS."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.last_sent = connection, time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self.last_sent > PROGRESS_SECONDS:
            self.last_sent = time.monotonic()
            _send(self.connection, is_="progress")
