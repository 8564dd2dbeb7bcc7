"""A web server that scores uploaded videos, with the standard library only: decision 0021.

One request uploads one video as its body; a video is deleted as soon as it is scored. The pages of the last scores are
kept in memory under addresses that cannot be guessed.
"""

import base64
import collections
import contextlib
import dataclasses
import hashlib
import http.client
import http.server
import io
import json
import os
import secrets
import tempfile
import threading
import traceback
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import markupsafe

from nr_vqm.common import safe_output
from nr_vqm.scoring import score_page, score_table
from nr_vqm.scoring.score import Score
from nr_vqm.video import reader

CHUNK_BYTES = 1 << 20
KEPT_PAGES = 20
MAX_NAME = 200  # characters of the name of an upload that are shown
MAX_DIGITS = 18  # of a Content-Length; int() raises an error beyond 4,300
IDLE_SECONDS = 30.0  # without a byte from the browser, after which a connection is closed
SCRIPT = """
const form = document.querySelector("form"), state = document.querySelector("#state"), max = Number(form.dataset.max);
const say = (text, bad) => { state.textContent = text; state.className = bad ? "bad" : ""; };
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = form.video.files[0], button = form.querySelector("button");
  if (!file) return say("Choose a video first.", true);
  if (file.size > max) return say(form.dataset.tooLarge, true);
  button.disabled = true;
  say("Uploading and scoring " + file.name + " …");
  try {
    const headers = {"X-Name": encodeURIComponent(file.name)};
    const answer = await fetch("score", {method: "POST", body: file, headers});
    const found = await answer.json();
    if (answer.ok) location.href = found.page; else say(found.error, true);
  } catch { say("The server cannot be reached, or it has closed the connection.", true); }
  button.disabled = false;
});
"""
SCRIPT_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{SCRIPT_HASH}'; connect-src 'self'"
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class _AnyScorer(Protocol):
    """What the server needs of a `Scorer`."""

    def score(self, source: Path) -> Score: ...


@dataclasses.dataclass(frozen=True)
class UploadLimits:
    """Limits of an upload; `nr_vqm.WorkLimits` limit the work for it.

    Attributes:
        max_bytes: size of the file.
        max_seconds: duration of the video.
        max_waiting: uploads that are received, wait or are scored at the same time; one is scored at a time.
    """

    max_bytes: int
    max_seconds: float
    max_waiting: int

    @property
    def too_large(self) -> str:
        """The message for a file that is too large."""
        return f"The file is too large: at most {self.max_bytes / 1e6:g} MB are accepted."


class Refused(Exception):
    """An upload that is not scored.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class UploadServer(http.server.ThreadingHTTPServer):
    """The server; `serve_forever` runs it until `shutdown`.

    Attributes:
        limits: of each upload.
        url: address of the start page.
    """

    daemon_threads = True

    def __init__(self, scorer: _AnyScorer, *, host: str, port: int, limits: UploadLimits) -> None:
        """Listen on an address.

        Args:
            scorer: a loaded run.
            host: name or address to listen on; 127.0.0.1 is reachable from this machine only.
            port: 0 chooses a free one.
            limits: of each upload.

        Raises:
            OSError: the address is in use or not available.
        """
        super().__init__((host, port), _Handler)
        self.limits, self._host = limits, host
        self.url = f"http://{host}:{self.server_address[1]}/"
        self._scorer, self._scoring = scorer, threading.Lock()
        self._places = threading.BoundedSemaphore(limits.max_waiting)
        self._pages: collections.OrderedDict[str, str] = collections.OrderedDict()

    @property
    def names(self) -> set[str]:
        """Values of the header Host that belong to this server, in lower case; others come from other sites."""
        address, port = self.server_address[:2]
        hosts = {str(address), "localhost", self._host.lower()} if self.is_local else set()
        bare = hosts if port == http.client.HTTP_PORT else set()  # browsers omit the default port
        return {f"{name}:{port}" for name in hosts} | bare

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return str(self.server_address[0]).startswith("127.")

    def score(self, body: io.BufferedIOBase, num_bytes: int, name: str) -> str:
        """Store an upload, score it, delete it, and keep its page.

        Args:
            body: the upload.
            num_bytes: its length.
            name: its file name, for display and for its extension.

        Returns:
            The name of the page, for `page`.

        Raises:
            Refused: the server is busy, the upload is too large, too long, incomplete or no video, it cannot be stored,
                or an unexpected error occurs.
        """
        if num_bytes > self.limits.max_bytes:
            raise Refused(413, self.limits.too_large)
        if not self._places.acquire(blocking=False):
            raise Refused(503, "Other videos are being scored. Try again in a minute.")
        try:
            with _stored(body, num_bytes, Path(name).suffix.lower()) as path:
                page = self._render_score(path, name)
        finally:
            self._places.release()
        token = secrets.token_urlsafe(16)
        self._pages[token] = page
        while len(self._pages) > KEPT_PAGES:
            self._pages.popitem(last=False)
        return token

    def page(self, token: str) -> str | None:
        """Return the page of a score; None if there is none, or if it is too old."""
        return self._pages.get(token)

    def _render_score(self, path: Path, name: str) -> str:
        """Score a stored upload and return its page; any error becomes a message, so that every request is answered."""
        try:
            info = reader.probe(path)
            seconds = max(info.frames, info.expected) / info.fps if info.fps else 0.0
            if seconds > self.limits.max_seconds:
                limit = f"at most {self.limits.max_seconds:g} s are accepted"
                raise Refused(422, f"The video is too long: {seconds:.0f} s; {limit}.")
            with self._scoring:
                score = self._scorer.score(path)
            return score_page.render(dataclasses.replace(score, path=name), back=("/", "Score another video"))
        except Refused:
            raise
        except (ValueError, OSError) as error:
            raise Refused(422, score_table.error_text(error).replace(str(path), name)) from error
        except Exception as error:
            traceback.print_exc()  # for whoever runs the server; it names the temporary file, not the upload
            raise Refused(500, "The server failed on this video. Its operator finds the reason in its log.") from error


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    server: UploadServer
    server_version, sys_version = "nr-vqm", ""
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        """Send the start page or the page of a score."""
        if not self._is_for_us():
            self._send_error(403, "Open the address that the server has printed.")
        elif self.path == "/":
            self._send(200, start_page(self.server.limits), policy=POLICY)
        elif page := self.server.page(self.path.removeprefix("/score/")):
            self._send(200, page, policy=PAGE_POLICY)
        else:
            self._send_error(404, "There is no such page; only the last scores are kept.")

    def do_POST(self) -> None:
        """Score an upload. Other sites cannot send the header X-Name without permission, which is never given."""
        length, name = self.headers.get("Content-Length", ""), self.headers.get("X-Name")
        if not self._is_for_us() or self.path != "/score" or name is None:
            self._send_error(403, "Upload a video with the form of the start page.")
        elif not (length.isascii() and length.isdecimal()):
            self._send_error(411, "The length of the upload is needed.")
        elif len(length) > MAX_DIGITS:
            self._send_error(413, self.server.limits.too_large)
        else:
            shown = safe_output.printable(Path(urllib.parse.unquote(name)).name)[-MAX_NAME:]
            try:
                token = self.server.score(self.rfile, int(length), shown)
            except Refused as refused:
                self._send_error(refused.status, str(refused))
            else:
                self._send(200, json.dumps({"page": f"/score/{token}"}), kind="application/json")

    def log_message(self, *args: object) -> None:
        """Log nothing: names of uploads are private."""

    def _is_for_us(self) -> bool:
        names = self.server.names
        return not names or self.headers.get("Host", "").lower() in names

    def _send_error(self, status: int, message: str) -> None:
        self.close_connection = True  # the body of a refused upload is not read
        self._send(status, json.dumps({"error": message}), kind="application/json")

    def _send(self, status: int, text: str, *, kind: str = "text/html", policy: str = PAGE_POLICY) -> None:
        content = text.encode()
        headers = {
            "Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(content)),
            "Content-Security-Policy": f"{policy}; frame-ancestors 'none'", "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
        }  # fmt: skip
        with contextlib.suppress(ConnectionError, TimeoutError):  # the browser has left
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)


def start_page(limits: UploadLimits) -> str:
    """Return the page with the form."""
    values = {"limits": limits, "script": markupsafe.Markup(SCRIPT)}
    return safe_output.render_html(Path(__file__).with_name("upload.html.j2"), values)


@contextlib.contextmanager
def _stored(body: io.BufferedIOBase, num_bytes: int, suffix: str) -> Iterator[Path]:
    """Write an upload to a file that is deleted at the end of the block.

    Raises:
        Refused: the upload ends early, or it cannot be stored.
    """
    path = None
    try:
        try:
            handle, name = tempfile.mkstemp(prefix="nr-vqm-", suffix=suffix if suffix in reader.EXTENSIONS else "")
            path = Path(name)
            _copy(body, num_bytes, handle)
        except OSError as error:
            message = f"The server cannot store the upload: {error.strerror or error}. Try again later."
            raise Refused(507, message) from error
        yield path
    finally:
        if path:
            path.unlink(missing_ok=True)


def _copy(body: io.BufferedIOBase, num_bytes: int, handle: int) -> None:
    """Write an upload to an open file, and close it."""
    with os.fdopen(handle, "wb") as file:
        missing = num_bytes
        while missing:
            content = _read(body, min(CHUNK_BYTES, missing))
            if not content:
                raise Refused(400, "The upload is incomplete. Try again.")
            file.write(content)
            missing -= len(content)


def _read(body: io.BufferedIOBase, num_bytes: int) -> bytes:
    """Read a part of an upload; nothing if the connection is broken."""
    try:
        return body.read(num_bytes)
    except OSError:
        return b""
