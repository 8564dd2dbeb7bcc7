"""Scoring of files and arrays, and the Score that results."""

import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import stand_ins
from sample_videos import place_frame, write_bars, write_ffv1, write_trimmed

import nr_vqm
from nr_vqm.runs import interval_file
from nr_vqm.scoring import score_table, scorer, sources
from nr_vqm.video import interlacing, raw_video, reader, work_limits


@pytest.fixture
def run_dir(tiny_run):
    return tiny_run


@pytest.fixture
def clip(tmp_path):
    return write_ffv1(tmp_path / "a b\nü.mkv", [place_frame(t, 30, 44) for t in range(20)])


@pytest.mark.parametrize("head", ["lstm", "svr"])
def test_a_file_and_its_frames_score_the_same(run_dir, clip, head):
    scorer = nr_vqm.load(run_dir, head=head)
    score = scorer.score(clip)
    assert (score.frames, score.declared_frames, score.warnings, score.head) == (20, 20, (), head)
    assert 1 <= score.quality <= 5
    assert score.score == pytest.approx(25 * (score.quality - 1))  # the database's scale is 0-100
    frames = np.stack([place_frame(t, 30, 44) for t in range(20)])
    assert scorer.score(frames).score == score.score
    assert scorer.score(clip).score == score.score


def test_a_truncated_file_is_scored_with_a_warning(run_dir, tmp_path):
    path = write_ffv1(tmp_path / "cut.avi", [place_frame(t, 64, 64) for t in range(60)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    score = nr_vqm.load(run_dir).score(path)
    assert 7 <= score.frames < 60
    if score.declared_frames:  # FFmpeg may have found the index missing and counted
        assert f"only {score.frames} of {score.declared_frames} declared frames could be decoded" in score.warnings


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((9, 30, 44, 3)), r"must be uint8 RGB, .* Received: float64, shape \(9, 30, 44, 3\)"),
        (np.zeros((9, 30, 44), np.uint8), r"Received: uint8, shape \(9, 30, 44\)"),
        (np.ma.zeros((9, 30, 44, 3), np.uint8), "Received: a masked array"),
        (np.zeros((0, 30, 44, 3), np.uint8), r"must have frames and pixels. Received: shape \(0, 30, 44, 3\)"),
        (np.zeros((9, 1, 1, 3), np.uint8), "Frames of 1 x 1 pixels are too small; 16 x 16 are needed"),
        ([np.zeros((30, 44, 3), np.uint8)] * 9, "Received: list. Stack frames by numpy.stack"),
        ((np.zeros((30, 44, 3), np.uint8) for _ in range(9)), "Received: generator"),
        (b"a.mp4", "Received: bytes b'a.mp4'"),
        (np.zeros((6, 30, 44, 3), np.uint8), "Too short: 6 frames; this model needs 7."),
    ],
)
def test_refused_arrays(run_dir, array, message):
    with pytest.raises(ValueError, match=message):
        nr_vqm.load(run_dir).score(array)


def test_a_short_stream_is_refused_with_the_number_of_streams(run_dir, place_video, monkeypatch):
    real = reader.read_frames

    def one_of_three(*args, **options):
        frames = real(*args, **options)
        frames.info = dataclasses.replace(frames.info, streams=3)
        return frames

    monkeypatch.setattr(reader, "read_frames", one_of_three)
    message = r"Too short: 6 frames; this model needs 7\. The file has 3 video streams; --stream \(stream=N in Python\)"
    with pytest.raises(ValueError, match=message):
        nr_vqm.load(run_dir).score(place_video("short.mkv", num_frames=6))


@pytest.mark.parametrize(
    "fps", [-1.0, np.nan, np.inf, "25", True, 1e-300, 1e300, 10**400, 0.009, 10_001], ids=lambda fps: f"{fps!r:.9}"
)
def test_refused_frame_rates(run_dir, fps):
    message = r"fps is the number of frames per second, 0 if unknown, else 0\.01 to 10,000\. Received: .{,60}$"
    with pytest.raises(ValueError, match=message):
        nr_vqm.load(run_dir).score(np.zeros((9, 30, 44, 3), np.uint8), fps=fps)


@pytest.mark.parametrize("fps", [25, np.float32(25), np.int64(25)], ids=repr)
def test_a_frame_rate_of_numpy_can_be_stored(run_dir, fps):
    score = nr_vqm.load(run_dir).score(np.zeros((9, 30, 44, 3), np.uint8), fps=fps)
    assert json.loads(json.dumps(score.to_dict()))["fps"] == 25
    assert all(type(clip["seconds"]) is float for clip in score.iter_clips())


@pytest.mark.parametrize("paths", ["a.mp4", b"a.mp4", pathlib.Path("a.mp4"), np.zeros((9, 30, 44, 3), np.uint8), None])
def test_a_batch_is_a_list_of_paths(run_dir, paths):
    with pytest.raises(ValueError, match="A list of paths is needed. Received: .* Score a single video by score()"):
        nr_vqm.load(run_dir).score_many(paths)


def test_progress_within_a_video(run_dir, clip, tmp_path):
    shares = []
    results = list(nr_vqm.load(run_dir).score_many([clip, tmp_path / "none.mkv"], on_frames=shares.append))
    assert [score is None for score, _ in results] == [False, True]
    assert shares == pytest.approx(np.arange(1, 21) / 20)


def test_a_forked_process_is_refused_instead_of_hanging(run_dir, clip):
    scorer = nr_vqm.load(run_dir)
    for function in (lambda: scorer.score(clip), lambda: scorer.score_many([clip]), lambda: nr_vqm.load(run_dir)):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                function()
            except RuntimeError as error:
                os.write(write, str(error).encode())
            finally:
                os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        assert b"get_context('spawn'), or load the run only in the forked processes" in os.read(read, 1000)
        os.close(read)


def test_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="No model in .*. Pass --run FOLDER"):
        nr_vqm.load(tmp_path)
    with pytest.raises(ValueError, match="Unknown head 'median'. Choose from: lstm, svr, mean, "):
        nr_vqm.load(tmp_path, head="median")


def test_properties_of_a_score(run_dir, clip):
    score = nr_vqm.load(run_dir).score(clip)
    assert (score.width, score.height, score.fps) == (44, 30, 25.0)
    assert score.clip_quality.shape == (5, 6)
    assert score.quality_map.shape == (2, 3)
    assert score.quality_map[1, 2] == pytest.approx(score.clip_quality[:, 5].mean())
    assert score.quality_over_time[score.worst_group] == score.quality_over_time.min()
    values = json.loads(json.dumps(score.to_dict(), allow_nan=False))
    assert (values["grid"], values["path"], values["model_id"]) == ("5x2x3", str(clip), score.model_id)
    assert (values["score"], values["engine"]) == (round(score.score, 3), "keras")
    assert values["seconds"] > 0
    row = score_table.score_row(score)
    assert values == {name: value for name, value in row.items() if name not in ("status", "error")}
    assert repr(score) == f"Score({score.score:.2f} on 0-100, people's opinions (MOS), lstm, 20 frames, {clip})"


def test_repr_of_a_scorer(run_dir):
    loaded = nr_vqm.load(run_dir, precision="float32")
    assert repr(loaded) == f"Scorer('{run_dir}', head lstm, keras float32, model {loaded.model_id}, 0-100)"


def test_every_clip_has_its_time_position_and_quality(run_dir, clip):
    score = nr_vqm.load(run_dir).score(clip)
    rows = list(score.iter_clips())
    assert len(rows) == 5 * 6
    assert rows[0] | {"quality": 0} == {
        "group": 0, "block": 0, "frame": 0, "seconds": 0.0, "top": 0, "left": 0, "size": 24, "quality": 0
    }  # fmt: skip
    last = rows[-1]
    assert (last["frame"], last["seconds"], last["top"], last["left"]) == (13, 0.52, 4, 20)
    assert last["quality"] == pytest.approx(score.clip_quality[4, 5], abs=1e-4)
    assert next(nr_vqm.load(run_dir).score(np.zeros((9, 30, 44, 3), np.uint8)).iter_clips())["seconds"] is None


def test_the_interval_is_in_the_database_s_unit(run_dir, clip, tmp_path):
    without = nr_vqm.load(run_dir).score(clip)
    assert (without.interval, without.percentile) == (None, None)  # no validation errors are stored
    run = shutil.copytree(run_dir, tmp_path / "run")
    mos = np.linspace(1.2, 4.8, 40)
    interval_file.write(run, {head: (mos + 0.2 * (-1) ** np.arange(40), mos) for head in ("lstm", "svr")})
    score = nr_vqm.load(run).score(clip)
    low, high = score.interval
    assert low < score.score < high
    assert high - low == pytest.approx(2 * 25 * 0.2, abs=0.01)  # 1-5 is 0-100 here
    values = score.to_dict()
    assert (values["interval_low"], values["interval_high"]) == (round(low, 3), round(high, 3))
    below = sum(one < score.quality for one in mos + 0.2 * (-1) ** np.arange(40))
    assert score.percentile == values["percentile"] == 100 * below / 40
    assert f"95 % {low:.2f} to {high:.2f}" in repr(score)


def test_a_frame_smaller_than_a_clip_gives_a_warning(run_dir):
    score = nr_vqm.load(run_dir).score(np.stack([place_frame(9 * t, 20, 44) for t in range(9)]))
    assert score.warnings == ("the frame, 44 x 20, is smaller than a clip, 24 x 24, and was extended by reflection",)


def test_the_next_video_is_opened_before_the_current_one_is_computed(run_dir, place_video, tmp_path, monkeypatch):
    a, b = place_video("a.mkv", num_frames=9), place_video("b.mkv", num_frames=10)
    events = []
    real_open, real_score = sources.open_source, scorer.Scorer._score
    monkeypatch.setattr(sources, "open_source", lambda *args: events.append(("open", args[0])) or real_open(*args))
    monkeypatch.setattr(scorer.Scorer, "_score", lambda *args: events.append(("score", args[2])) or real_score(*args))
    none = tmp_path / "none.mkv"
    (first, _), (_, error), (third, _) = nr_vqm.load(run_dir).score_many([a, none, b])
    assert (first.frames, third.frames) == (9, 10)
    assert "No video file at" in str(error)
    assert events == [("open", a), ("open", none), ("score", a), ("open", b), ("score", b)]


def test_closing_a_batch_stops_decoding_ahead(run_dir, place_video, monkeypatch):
    opened = []
    real = sources.open_source
    monkeypatch.setattr(sources, "open_source", lambda *args: opened.append(real(*args)) or opened[-1])
    scores = nr_vqm.load(run_dir).score_many([place_video("a.mkv"), place_video("b.mkv")])
    next(scores)
    scores.close()
    assert len(opened) == 2
    assert list(opened[1]) == []  # closed: none of its 21 frames is decoded


def test_raw_video_may_be_described_by_text(run_dir, tmp_path):
    path = stand_ins.write_yuv420p(tmp_path / "a.yuv", stand_ins.noisy_frames(1, 9, 26, 34, noise=3))
    scorer = nr_vqm.load(run_dir)
    score = scorer.score(path, raw="34x26:yuv420p:12")
    assert (score.width, score.height, score.fps) == (34, 26, 12)
    assert score.score == scorer.score(path, raw_video.parse("34x26:yuv420p:12")).score
    (many, error), *_ = scorer.score_many([path], raw="34x26:yuv420p:12")
    assert (many.score, error) == (score.score, None)
    with pytest.raises(ValueError, match="Raw video is described as WIDTHxHEIGHT:PIXEL_FORMAT:FPS. Received: 'big'"):
        scorer.score(path, raw="big")


def test_a_trimmed_video_is_decoded_once_and_without_a_warning(run_dir, tmp_path, monkeypatch):
    opened, real = [], reader.read_frames
    monkeypatch.setattr(
        reader, "read_frames", lambda *args, **options: opened.append(args[0]) or real(*args, **options)
    )
    score = nr_vqm.load(run_dir).score(write_trimmed(tmp_path / "trim.mp4", first=15, count=25))
    assert (score.frames, score.declared_frames, score.warnings, len(opened)) == (25, 25, (), 1)


def test_deinterlacing_is_recorded_and_changes_the_score(run_dir, tmp_path):
    options = {"flags": "+ildct+ilme", "b": "2M"}
    path = write_bars(tmp_path / "a.mpg", encoder="mpeg2video", options=options)
    loaded = nr_vqm.load(run_dir)
    plain, repaired = loaded.score(path), loaded.score(path, deinterlace=True)
    assert (plain.warnings, repaired.warnings) == ((interlacing.INTERLACED,), (interlacing.DEINTERLACED,))
    assert not np.array_equal(plain.clip_quality, repaired.clip_quality)
    assert nr_vqm.score(path, run_dir, deinterlace=True).score == repaired.score
    ((many, _),) = loaded.score_many([path], deinterlace=True)
    assert many.warnings == (interlacing.DEINTERLACED,)


@pytest.mark.parametrize("stream", [-1, 1.0, True, "0"])
def test_a_stream_is_a_number_from_zero(run_dir, clip, stream):
    with pytest.raises(ValueError, match="A video stream is named by its number, from 0. Received: "):
        nr_vqm.load(run_dir).score(clip, stream=stream)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_pixels": 26_399}, "may have 2.64e[+]04 pixels in all, this one has 20 frames of 44x30. Raise the limit"),
        ({"max_seconds": 1e-9}, "may take 1e-09 seconds, this one has taken longer for 20 frames of 44x30"),
        ({"max_memory": 1e5}, "44x30 needs about .* GB of memory, 0.0001 GB are allowed. Free memory, raise the limit"),
    ],
)
def test_a_video_beyond_a_limit_fails_alone(run_dir, clip, place_video, limits, message):
    loaded = nr_vqm.load(run_dir, limits=nr_vqm.WorkLimits(**limits))
    (first, error), _ = loaded.score_many([clip, place_video("b.mkv", num_frames=9)])
    assert first is None
    with pytest.raises(work_limits.LimitExceeded, match=message):
        raise error


def test_a_video_within_the_limits_is_scored(run_dir, clip):
    limits = nr_vqm.WorkLimits(max_pixels=26_400, max_seconds=500, max_memory=1e9)
    assert nr_vqm.load(run_dir, limits=limits).score(clip).frames == 20


def test_a_file_that_declares_too_few_frames_does_not_pass_the_limit(run_dir, clip, monkeypatch):
    real = reader.read_frames

    def lying(*args, **options):
        frames = real(*args, **options)
        frames.info = dataclasses.replace(frames.info, expected=12, frames=12)
        return frames

    monkeypatch.setattr(reader, "read_frames", lying)
    loaded = nr_vqm.load(run_dir, limits=nr_vqm.WorkLimits(max_pixels=44 * 30 * 15))
    with pytest.raises(work_limits.LimitExceeded, match="this one has 16 frames of 44x30"):
        loaded.score(clip)
