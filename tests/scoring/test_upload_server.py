"""The upload server: limits, messages, what stays behind, and the page in a real browser."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sample_scores import make_score
from sample_videos import place_frame, write_bars, write_ffv1

from nr_vqm import cli, command_line
from nr_vqm.scoring import upload_server
from nr_vqm.scoring.upload_server import UploadLimits
from nr_vqm.video import reader

ROOT = Path(__file__).parents[2]
LIMITS = UploadLimits(max_bytes=200_000, max_seconds=2.0, max_waiting=2)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class FakeScorer:
    """Returns a score without networks; may wait for `go` to keep the server busy."""

    def __init__(self):
        self.paths, self.go = [], threading.Event()
        self.go.set()

    def score(self, source):
        self.paths.append(source)
        assert source.is_file()
        self.go.wait(30)
        return make_score(path=str(source))


@pytest.fixture
def scorer():
    return FakeScorer()


@contextlib.contextmanager
def running(scorer, host="127.0.0.1"):
    """Run a server until the end of the block."""
    with upload_server.UploadServer(scorer, host=host, port=0, limits=LIMITS) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(scorer, tmp_path, monkeypatch):
    monkeypatch.setattr(upload_server.tempfile, "tempdir", str(tmp_path))
    with running(scorer) as server:
        yield server


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("upload") / "clip.mkv"
    return write_ffv1(path, [place_frame(t, 30, 44) for t in range(25)]).read_bytes()  # 1 s


def ask(server, method="GET", path="/", body=None, **headers):
    """Return (status, content, headers) of a request."""
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers


def upload(server, content, name="clip.mkv", **headers):
    """Return (status, parsed answer) of an upload."""
    status, text, _ = ask(server, "POST", "/score", content, X_Name=name, **headers)
    return status, json.loads(text)


def test_an_upload_is_scored_shown_and_deleted(server, scorer, video, tmp_path):
    status, found = upload(server, video, "my%20clip%3Cb%3E.mkv")
    assert status == 200
    (path,) = scorer.paths
    assert path.parent == tmp_path and path.suffix == ".mkv"
    assert list(tmp_path.iterdir()) == []
    status, page, headers = ask(server, path=found["page"])
    assert status == 200 and "my clip&lt;b&gt;.mkv" in page and "Quality over time" in page
    assert 'href="/">Score another video' in page
    assert str(tmp_path) not in page
    assert headers["Cache-Control"] == "no-store" and "default-src 'none'" in headers["Content-Security-Policy"]


def test_the_default_limit_refuses_large_uniform_frames_whose_file_is_small():
    assert 3840 * 2160 * 240 < cli._parser().parse_args(["serve"]).max_pixels == 4e9 < 8192 * 8192 * 100


def test_the_start_page_allows_only_its_own_script(server):
    status, page, headers = ask(server)
    assert status == 200
    assert page.count("<script") == 1 and upload_server.SCRIPT in page
    assert f"script-src 'sha256-{upload_server.SCRIPT_HASH}'" in headers["Content-Security-Policy"]
    assert "at most 0.2 MB and 2 s" in page


def test_what_is_no_video_is_refused_and_deleted(server, scorer, tmp_path):
    status, found = upload(server, b"not a video", "notes.mp4")
    assert "Cannot read notes.mp4: it is damaged or not a video (FFmpeg: " in found["error"]
    assert status == 422 and "notes.mp4" in found["error"] and str(tmp_path) not in found["error"]
    assert scorer.paths == [] and list(tmp_path.iterdir()) == []


def test_a_large_file_is_refused_before_it_is_read(server, scorer, tmp_path):
    with socket.create_connection(server.server_address[:2], timeout=30) as connection:
        head = f"POST /score HTTP/1.1\r\nHost: {min(server.names)}\r\nX-Name: a.mp4\r\nContent-Length: 200001\r\n\r\n"
        connection.sendall(head.encode())
        answer = connection.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.0 413")
    assert "The file is too large: at most 0.2 MB are accepted." in answer
    assert scorer.paths == [] and list(tmp_path.iterdir()) == []


def test_a_long_video_is_refused(server, scorer, tmp_path):
    path = write_ffv1(tmp_path / "x.mkv", [place_frame(t, 30, 44) for t in range(60)])  # 2.4 s
    content = path.read_bytes()
    path.unlink()
    assert upload(server, content) == (422, {"error": "The video is too long: 2 s; at most 2 s are accepted."})
    assert scorer.paths == [] and list(tmp_path.iterdir()) == []


def test_a_long_video_without_a_number_of_frames_in_its_header_is_refused(server, scorer, tmp_path):
    path = write_bars(tmp_path / "x.h264", encoder="libx264", size=(96, 272), num_frames=60)  # 2.4 s
    assert reader.probe(path).frames == 0
    status, found = upload(server, path.read_bytes(), "clip.h264")
    assert (status, found["error"]) == (422, "The video is too long: 2 s; at most 2 s are accepted.")
    assert scorer.paths == []


def test_an_upload_that_ends_early_is_deleted(server, tmp_path):
    with socket.create_connection(server.server_address[:2], timeout=30) as connection:
        head = f"POST /score HTTP/1.1\r\nHost: {min(server.names)}\r\nX-Name: a.mp4\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b"half")
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read().decode()
    assert "The upload is incomplete." in answer
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_message(server, scorer, video, tmp_path, monkeypatch):
    real = os.fdopen

    def open_full(handle, mode):
        os.close(handle)
        return real(os.open("/dev/full", os.O_WRONLY), mode)

    monkeypatch.setattr(upload_server.os, "fdopen", open_full)
    status, found = upload(server, video)
    assert status == 507 and "The server cannot store the upload: No space left on device." in found["error"]
    assert scorer.paths == [] and list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setattr(upload_server.tempfile, "tempdir", str(tmp_path / "none"))
    status, found = upload(server, video)
    assert status == 507 and "No such file or directory" in found["error"]


@pytest.mark.parametrize("error", [MemoryError("no room"), TypeError("no number")])
def test_an_unexpected_error_is_a_message(server, scorer, video, tmp_path, error, monkeypatch, capfd):
    def fail(source):
        raise error

    monkeypatch.setattr(scorer, "score", fail)
    answer = {"error": "The server failed on this video. Its operator finds the reason in its log."}
    assert upload(server, video) == (500, answer)
    assert list(tmp_path.iterdir()) == [] and server._places._value == LIMITS.max_waiting
    assert f"{type(error).__name__}" in capfd.readouterr().err


@pytest.mark.parametrize(("length", "status"), [("9" * 5000, 413), ("9" * 18, 413), ("-1", 411), ("\xb2", 411)])
def test_a_length_that_is_no_size_of_an_upload_is_a_message(server, length, status):
    with socket.create_connection(server.server_address[:2], timeout=30) as connection:
        head = f"POST /score HTTP/1.1\r\nHost: {min(server.names)}\r\nX-Name: a.mp4\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        answer = connection.makefile("rb").read().decode()
    assert answer.startswith(f"HTTP/1.0 {status}") and '{"error": "The ' in answer


def test_more_uploads_than_allowed_are_told_to_wait(server, scorer, video):
    scorer.go.clear()
    threads = [threading.Thread(target=upload, args=(server, video)) for _ in range(LIMITS.max_waiting)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        if server._places._value == 0:
            break
        time.sleep(0.1)
    status, found = upload(server, video)
    scorer.go.set()
    for thread in threads:
        thread.join()
    assert (status, found["error"]) == (503, "Other videos are being scored. Try again in a minute.")
    assert upload(server, video)[0] == 200


def test_other_sites_cannot_use_the_server(server, video):
    assert ask(server, Host="evil.example")[0] == 403  # a name that leads to 127.0.0.1
    assert upload(server, video, Host="evil.example")[0] == 403
    assert ask(server, "POST", "/score", video)[0] == 403  # a form of another site cannot set X-Name
    assert ask(server, "OPTIONS", "/score", Origin="http://evil.example")[0] == 501
    assert ask(server, path="/score/none")[0] == 404
    assert ask(server, path="/../etc/passwd")[0] == 404


def test_the_printed_address_can_be_opened_where_a_name_leads_to_this_machine(scorer, monkeypatch):
    real = socket.socket.bind
    monkeypatch.setattr(socket.socket, "bind", lambda self, address: real(self, ("127.0.0.1", address[1])))
    with running(scorer, "MyHost") as server:
        port = server.server_address[1]
        assert server.url == f"http://MyHost:{port}/"
        assert server.names == {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "myhost")}
        for name, status in (("MyHost", 200), ("myhost", 200), ("localhost", 200), ("evil.example", 403)):
            assert ask(server, Host=f"{name}:{port}")[0] == status
        assert ask(server, Host="myhost")[0] == 403  # another port of this machine


def test_browsers_omit_the_default_port(server):
    server.server_address = ("127.0.0.1", 80)
    assert server.names == {"127.0.0.1", "127.0.0.1:80", "localhost", "localhost:80"}


def test_only_the_last_pages_are_kept(server, scorer, video, monkeypatch):
    monkeypatch.setattr(upload_server, "KEPT_PAGES", 2)
    pages = [upload(server, video)[1]["page"] for _ in range(3)]
    assert [ask(server, path=page)[0] for page in pages] == [404, 200, 200]


@pytest.mark.parametrize(("name", "suffix"), [("a.mp4", ".mp4"), ("a.sh", ""), ("../../a.mkv", ".mkv"), ("", "")])
def test_only_extensions_of_videos_are_taken_from_a_name(server, scorer, video, name, suffix):
    status, found = upload(server, video, name)
    assert status == 200
    assert scorer.paths[0].suffix == suffix
    assert "../" not in ask(server, path=found["page"])[1]


def test_a_port_in_use_is_one_line(server, tiny_run, capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.run(cli.main, ["serve", "--run", str(tiny_run), "--port", str(server.server_address[1])])
    assert ended.value.code == command_line.EXIT_USAGE
    assert "Choose another --host or --port." in capsys.readouterr().err


@pytest.mark.parametrize("host", ["::1", "none.invalid", "a" * 64])
def test_a_host_that_cannot_be_listened_on_is_one_line(tiny_run, host, capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.run(cli.main, ["serve", "--run", str(tiny_run), "--port", "0", "--host", host])
    printed = capsys.readouterr().err
    assert ended.value.code == command_line.EXIT_USAGE
    assert f"error: Cannot listen on {host}:0: " in printed and "Choose another --host or --port." in printed


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_in_a_browser(tiny_run, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    write_ffv1(tmp_path / "clip.mkv", [place_frame(3 * t, 40, 72) for t in range(20)])
    (tmp_path / "notes.mp4").write_text("not a video")
    (tmp_path / "large.mp4").write_bytes(bytes(300_000))
    command = [sys.executable, "-m", "nr_vqm", "serve", "--run", str(tiny_run), "--port", "0", "--max-upload", "0.2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process,
        playwright.sync_playwright() as started,
    ):
        try:
            address = process.stdout.readline().split()[1]
            browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 400, "height": 900})
            problems = []
            page.on("pageerror", lambda error: problems.append(error))
            page.set_default_timeout(300_000)  # the machine may be busy
            page.goto(address)
            for name, message in [("large.mp4", "The file is too large"), ("notes.mp4", "Cannot read notes.mp4")]:
                page.set_input_files("#video", tmp_path / name)
                page.click("button")
                page.wait_for_selector(f'#state.bad:has-text("{message}")')
            page.set_input_files("#video", tmp_path / "clip.mkv")
            page.click("button")
            page.wait_for_selector(".plot")
            assert page.inner_text("h1") == "clip.mkv"
            assert float(page.inner_text(".number").split()[0]) > 0
            assert page.locator("polyline").bounding_box()["width"] > 150  # the curve
            assert page.evaluate("document.documentElement.scrollWidth") <= 400
            page.click("text=Score another video")
            page.wait_for_selector("form")
            assert problems == []
            browser.close()
        finally:
            process.terminate()
