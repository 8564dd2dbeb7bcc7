import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from sample_videos import place_frame, write_bars, write_ffv1

from nr_vqm.video import decoder_client, decoder_processes, interlacing, reader

ROOT = Path(__file__).parents[2]
NUM_FRAMES = 100  # more than a ring holds


@pytest.fixture
def long_video(place_video):
    return place_video(num_frames=NUM_FRAMES, height=30, width=44)


@pytest.fixture
def workers(monkeypatch):
    """Every decoder process started in the test, in order."""
    started = []

    class Worker(decoder_processes.Worker):
        def __init__(self):
            super().__init__()
            started.append(self)

    decoder_processes.end_idle()
    monkeypatch.setattr(decoder_processes, "Worker", Worker)
    return started


def assert_all_frames(frames):
    assert len(frames) == NUM_FRAMES
    for number, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, place_frame(number, 30, 44))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "stall_seconds", "failure"),
    [(signal.SIGABRT, 60, r"crashed \(SIGABRT\)"), (signal.SIGSTOP, 3, "did not respond for 3 seconds")],
)
def test_a_second_process_continues_where_one_crashed_or_hung(long_video, workers, kind, stall_seconds, failure):
    with reader.read_frames(long_video, stall_seconds=stall_seconds) as frames:
        read = [next(frames) for _ in range(3)]
        os.kill(workers[0].process.pid, kind)
        read += frames
    assert_all_frames(read)
    assert len(workers) == 2
    assert len(frames.warnings) == 1
    assert re.fullmatch(f"decoded at the second attempt: .*{failure}.", frames.warnings[0])


def test_interlaced_frames_are_reported_with_the_first_of_them_and_once(tmp_path, workers):
    options = {"flags": "+ildct+ilme", "b": "2M"}
    path = write_bars(tmp_path / "i.mpg", encoder="mpeg2video", num_frames=150, options=options)
    with reader.read_frames(path) as frames:
        assert frames.warnings == []
        next(frames)
        assert frames.warnings == [interlacing.INTERLACED]
        os.kill(workers[0].process.pid, signal.SIGABRT)
        assert sum(1 for _ in frames) == 149
    assert frames.warnings[0] == interlacing.INTERLACED
    assert [warning[:30] for warning in frames.warnings[1:]] == ["decoded at the second attempt:"]


def test_a_video_that_kills_the_decoder_twice_fails_alone(long_video, workers):
    frames = reader.read_frames(long_video)
    os.kill(workers[0].process.pid, signal.SIGSEGV)
    with pytest.raises(ValueError, match=r"cannot be decoded, after 2 attempts. .*SIGSEGV\).* .*SIGABRT"):
        for _ in frames:
            if len(workers) == 2:
                os.kill(workers[1].process.pid, signal.SIGABRT)
    with pytest.raises(ValueError, match="cannot be decoded"):  # again, not an early end
        next(frames)
    assert_all_frames(list(reader.read_frames(long_video)))


def test_the_process_is_kept_for_the_next_video(long_video, workers, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    for _ in range(3):
        with reader.read_frames(long_video) as frames:
            next(frames)
        with pytest.raises(ValueError, match="Cannot read"):
            reader.read_frames(tmp_path / "bad.mp4")
        next(reader.read_frames(long_video))  # left behind unread
    assert_all_frames(list(reader.read_frames(long_video)))
    assert len(workers) == 1


def test_two_videos_at_once(long_video, tmp_path):
    other = write_ffv1(tmp_path / "other.mkv", [place_frame(200 - t, 20, 24) for t in range(NUM_FRAMES)])
    pairs = list(zip(reader.read_frames(long_video), reader.read_frames(other), strict=True))
    assert_all_frames([one for one, _ in pairs])
    np.testing.assert_array_equal(pairs[90][1], place_frame(110, 20, 24))


def test_frames_stay_as_they_were_in_a_small_ring(long_video, workers, monkeypatch):
    monkeypatch.setattr(decoder_processes, "RING_BYTES", 0)
    kept = []
    for frame in reader.read_frames(long_video):
        kept.append(frame)
        time.sleep(0.001)  # the decoder overtakes
    assert_all_frames(kept)
    assert os.fstat(workers[0].ring.fileno()).st_size == decoder_processes.MIN_SLOTS * 30 * 44 * 3


@pytest.mark.slow
def test_a_script_without_a_main_guard_and_no_process_left_behind(long_video, tmp_path):
    script = f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n"
    script += "from nr_vqm.video import decoder_processes, reader\n"
    script += f"print(reader.count_frames({str(long_video)!r}))\n"
    script += "print(decoder_processes._idle[0].process.pid, flush=True); os.kill(os.getpid(), 9)\n"
    result = subprocess.run(
        [sys.executable, "-"], input=script, capture_output=True, text=True, cwd=tmp_path, check=False
    )
    count, pid = map(int, result.stdout.split())
    assert count == NUM_FRAMES, result.stderr
    for _ in range(100):
        if not _runs(pid):
            return
        time.sleep(0.05)
    raise AssertionError("The decoder outlived its parent.")


def _runs(pid):
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_decoder_process_never_loads_tensorflow(long_video):
    code = "import sys, nr_vqm.video.decoder_server, nr_vqm.video.backends\n"
    options = "raw=None, stream=None, deinterlace=False, warnings=[]"
    code += f"list(nr_vqm.video.backends.read({str(long_video)!r}, {options}))\n"
    code += "assert not {'tensorflow', 'keras', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_damage_is_a_warning(tmp_path):
    path = tmp_path / "mpeg4.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (128, 96))
    rng = np.random.default_rng(1)
    for _ in range(30):
        writer.write(rng.integers(0, 255, (96, 128, 3), np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = rng.bytes(3000)
    path.write_bytes(data)
    frames = reader.read_frames(path)
    assert sum(1 for _ in frames) > 20
    assert frames.warnings[0].startswith("damaged: the decoder reports '")


def test_missing_frames():
    assert decoder_client.missing_frames(310, 311) == []
    assert decoder_client.missing_frames(90, 0) == []
    assert decoder_client.missing_frames(28, 50) == ["only 28 of 50 declared frames could be decoded"]
    assert decoder_client.missing_frames(50, 28) == []


@pytest.mark.slow
def test_decoded_frames_do_not_pile_up(tmp_path, workers):
    writer = cv2.VideoWriter(str(tmp_path / "long.avi"), cv2.VideoWriter_fourcc(*"mp4v"), 25, (960, 720))
    for number in range(400):
        writer.write(np.full((720, 960, 3), number % 200, np.uint8))
    writer.release()
    assert reader.count_frames(tmp_path / "long.avi") == 400  # 415 MB of decoded frames
    status = Path(f"/proc/{workers[0].process.pid}/status").read_text()
    assert int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) < 300_000


def memory_of(process_id):
    """Return the bytes of a process that are in no file."""
    text = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8")
    return 1024 * int(re.search(r"RssAnon:\s*(\d+)", text)[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory is read from /proc")
def test_a_decoder_process_keeps_no_frame_of_earlier_videos(place_video, workers):
    video, sizes = place_video(num_frames=2, height=720, width=1280), []
    for _ in range(30):
        with reader.read_frames(video) as frames:
            assert len(list(frames)) == 2
        sizes.append(memory_of(workers[0].process.pid))
    assert len(workers) == 1
    assert sizes[-1] - sizes[4] < 10 * 1280 * 720  # the decoded frames of 25 videos are 28 times as large
