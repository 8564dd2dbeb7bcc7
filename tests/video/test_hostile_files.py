"""A video file makes the decoder open no other file and no connection."""

import socket

import cv2
import numpy as np
import pytest
from sample_videos import write_bars

from nr_vqm.video import reader

PLAYLISTS = {
    "hls.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
    "concat.mp4": "ffconcat version 1.0\nfile '{target}'\n",
    "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    '<AdaptationSet mimeType="video/mp2t"><Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_does_not_open_another_file(tmp_path, name):
    other = write_bars(tmp_path / "other.ts", encoder="libx264")
    path = tmp_path / name
    path.write_text(PLAYLISTS[name].format(target=other))
    with pytest.raises(ValueError, match="(?s)holds the video itself|Cannot read "):
        reader.probe(path)


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_makes_no_connection(tmp_path, name):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        path = tmp_path / name
        path.write_text(PLAYLISTS[name].format(target=f"http://127.0.0.1:{server.getsockname()[1]}/other.ts"))
        with pytest.raises(ValueError, match="(?s)holds the video itself|Cannot read "):
            reader.probe(path)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("name", ["a.png", "a.apng", "a.mp4"])
def test_an_image_is_refused_by_its_kind(tmp_path, name):
    image = cv2.imencode(".png", np.zeros((32, 48, 3), np.uint8))[1].tobytes()
    (tmp_path / name).write_bytes(image)
    with pytest.raises(ValueError, match="another format, for example that of an image, an image sequence or a play"):
        reader.probe(tmp_path / name)


def test_images_named_like_a_sequence_are_refused(tmp_path):
    for number in range(3):
        (tmp_path / f"{number:03d}.mp4").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(200))
    with pytest.raises(ValueError, match="(?s)holds the video itself|Cannot read "):
        reader.probe(tmp_path / "000.mp4")
