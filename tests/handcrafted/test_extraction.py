"""The features of single videos of a run, and the frames from which CORNIA's codebook is learned."""

import dataclasses

import numpy as np
import pytest
from sample_videos import write_planes

from nr_vqm.dataset import manifest
from nr_vqm.handcrafted import cornia, extraction, methods
from nr_vqm.runs.rival_features import RivalFile
from nr_vqm.video import decoder_client, decoder_processes


def grey_video(path, levels):
    """A video whose frame t has the luma levels[t], and its row in the manifest."""
    chroma = np.full((6, 9), 128, np.uint8)
    write_planes(path, [[np.full((12, 18), level, np.uint8), chroma, chroma] for level in levels], "yuv420p")
    return manifest.Video(path.stem, str(path), "scene", 3.0, 1.0, 5.0, frames=len(levels), fingerprint="f")


@pytest.mark.parametrize(
    ("num_frames", "count", "wanted"),
    [
        (9, 1, [4]),
        (9, 3, [1, 4, 7]),
        (8, 4, [1, 3, 5, 7]),
        (3, 7, [0, 1, 2]),  # all
        (1, 2, [0]),
    ],
)
def test_frames_are_at_even_distances(tmp_path, num_frames, count, wanted):
    one = grey_video(tmp_path / "x.mkv", range(num_frames))
    assert [frame[3, 5] for frame in extraction._frames(one, count)] == wanted


def test_frames_that_cannot_be_used_are_skipped(tmp_path, monkeypatch):
    one = grey_video(tmp_path / "x.mkv", range(9))
    assert len(list(extraction._frames(dataclasses.replace(one, frames=99), 3))) == 0  # the first wanted is number 16
    monkeypatch.setattr(cornia, "PATCH", 13)
    assert list(extraction._frames(one, 3)) == []
    (tmp_path / "x.mkv").write_bytes(b"damaged")
    assert list(extraction._frames(one, 3)) == []


def test_no_codebook_is_learned_without_a_video_on_which_the_decoder_died(tmp_path, monkeypatch):
    def dies(*_):
        raise decoder_processes.DecoderFailed("The decoder crashed (SIGKILL).", died=True)

    monkeypatch.setattr(decoder_client, "_read_with", dies)
    with pytest.raises(decoder_client.DecoderDied, match="after 2 attempts"):
        list(extraction._frames(grey_video(tmp_path / "x.mkv", range(9)), 3))


def test_many_training_videos_are_drawn_with_the_seed(monkeypatch):
    monkeypatch.setattr(extraction, "CODEBOOK_FRAMES", 5)
    monkeypatch.setattr(extraction, "_frames", lambda one, count: [(one.video_id, count)])
    monkeypatch.setattr(cornia, "learn_codebook", lambda frames, videos, **_: (list(frames), videos))
    videos = [manifest.Video(f"{n:02d}", "x.mkv", "scene", 3.0, 1.0, 5.0) for n in range(20)]
    frames, used = extraction.learn_codebook(videos, seed=1)
    assert len(used) == 5 and used == sorted(used)
    assert frames == [(name, 1) for name in used]
    assert extraction.learn_codebook(videos, seed=1)[1] == used != extraction.learn_codebook(videos, seed=2)[1]
    assert extraction.learn_codebook(videos[:2], seed=1) == ([("00", 3), ("01", 3)], ["00", "01"])


def test_features_without_a_finite_value_are_a_failure(tmp_path, monkeypatch):
    one = grey_video(tmp_path / "x.mkv", [5])
    nothing = dataclasses.replace(methods.get("niqe"), video_features=lambda path, raw: np.array([np.nan]))
    monkeypatch.setitem(methods.METHODS, "niqe", nothing)
    file = RivalFile(tmp_path, "niqe", version=1, num_features=1)
    extraction.write_part(one, file=file, codebook=None)
    found, reason, _ = file._read_part(one)
    assert np.isnan(found).all()
    assert reason == "NIQE needs a video in which a feature is finite, x.mkv has none."


def test_a_missing_file_is_an_error_and_not_a_row(tmp_path):
    one = manifest.Video("x", str(tmp_path / "x.mkv"), "scene", 3.0, 1.0, 5.0)
    file = RivalFile(tmp_path, "niqe", version=1, num_features=1)
    with pytest.raises(FileNotFoundError, match=r"x\.mkv"):
        extraction.write_part(one, file=file, codebook=None)
    assert not file.part(one).exists()
