import json

import numpy as np
import pytest
from conftest import place_frame, write_ffv1

import nr_vqm
from nr_vqm import bundle, cli, cnn3d, commands, lstm_head, presets, svr_baseline

TINY = presets.PRESETS["tiny"]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run with untrained networks and an SVR on made-up features: what a score is, not how good."""
    folder = tmp_path_factory.mktemp("run")
    network = {name: getattr(TINY, name) for name in ("clip_frames", "clip_size", "convs", "fc_dims", "dropout")}
    cnn3d.build_cnn3d(**network, dtype="float32").save(folder / "cnn3d.keras")
    sizes = {"num_groups": 5, "input_dim": 6, "input_offset": 3.0, "input_scale": 1.0, "lstm_units": 9, "fc_dim": 10}
    lstm_head.build_lstm_head(**sizes).save(folder / "lstm_head.keras")
    rng = np.random.default_rng(0)
    features = rng.random((20, 8), np.float32)
    pipeline = svr_baseline.fit_svr(features, 1 + 4 * features[:, 0], contents=np.arange(20), num_folds=3, seed=1)
    svr_baseline.save_svr(folder / "svr.skops", pipeline)
    bundle.write_preset(folder, TINY)
    bundle.update_run(folder, mos_range=[0.0, 100.0])
    return folder


@pytest.fixture
def clip(tmp_path):
    return write_ffv1(tmp_path / "a b\nü.mkv", [place_frame(t, 30, 44) for t in range(20)])


@pytest.mark.parametrize("head", ["lstm", "svr"])
def test_a_file_and_its_frames_score_the_same(run_dir, clip, head):
    scorer = nr_vqm.load(run_dir, head=head)
    score = scorer.score(clip)
    assert (score.frames, score.declared_frames, score.warnings, score.head) == (20, 20, (), head)
    assert 1 <= score.quality <= 5
    assert score.mos == pytest.approx(25 * (score.quality - 1))  # the database's scale is 0-100
    frames = np.stack([place_frame(t, 30, 44) for t in range(20)])
    assert scorer.score(frames).mos == score.mos
    assert scorer.score(clip).mos == score.mos


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
        (np.zeros((6, 30, 44, 3), np.uint8), "One clip needs 7 frames, the video has 6"),
    ],
)
def test_refused_arrays(run_dir, array, message):
    with pytest.raises(ValueError, match=message):
        nr_vqm.load(run_dir).score(array)


def test_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"preset\.json is missing. Make it first: make train"):
        nr_vqm.load(tmp_path)
    with pytest.raises(ValueError, match="Unknown head 'mean'. Choose from: lstm, svr"):
        nr_vqm.load(tmp_path, head="mean")


def run_cli(capsys, *arguments):
    code = cli.main(["score", *map(str, arguments)])
    return code, capsys.readouterr().out


def test_formats(run_dir, clip, capsys):
    expected = nr_vqm.load(run_dir).score(clip).mos
    code, text = run_cli(capsys, clip, "--run", run_dir)
    assert (code, f"{expected:.2f}  on 0-100" in text) == (0, True)
    for format in ("json", "jsonl", "csv"):
        code, text = run_cli(capsys, clip, clip, "--run", run_dir, "--format", format)
        assert code == 0
        if format == "json":
            rows = json.loads(text)
        elif format == "jsonl":
            rows = [json.loads(line) for line in text.splitlines()]
        else:
            import csv
            import io

            rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == 2
        assert rows[0]["path"] == str(clip)
        assert float(rows[1]["mos"]) == pytest.approx(expected)


def test_a_failed_video_is_a_row_and_an_exit_code(run_dir, clip, tmp_path, capsys):
    code, text = run_cli(capsys, tmp_path / "none.mp4", clip, "--run", run_dir, "--format", "jsonl")
    rows = [json.loads(line) for line in text.splitlines()]
    assert code == commands.EXIT_FAILED
    assert [row["status"] for row in rows] == ["failed", "ok"]
    assert "No video file at" in rows[0]["error"]


def test_a_refusal_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        commands.run(cli.main, ["score", "x.mp4", "--run", str(tmp_path)])
    assert exit.value.code == commands.EXIT_FAILED
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
