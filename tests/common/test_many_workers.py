"""Features and scores in several processes are those of one, also when one of them is killed."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import commands
import h5py
import numpy as np
import psutil
import pytest
from sample_videos import place_frame, write_ffv1

from data_prep import __main__ as data_prep
from experiments import extract_features, train_cnn
from nr_vqm import cli

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def start(*arguments):
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process, *, code=0):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == code, output + errors
    return output


def is_worker(child):
    try:
        return "spawn_main" in str(child.cmdline())
    except psutil.Error:  # it has ended meanwhile
        return False


def has_decoding_worker(process):
    """Whether a worker of a command has started a decoder process, so that it works on a video."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return any("decoder_server" in str(child.cmdline()) and is_worker(child.parent()) for child in children)
    except psutil.Error:  # one has ended meanwhile
        return False


def kill_one_worker(process, *, when):
    """Kill one of a command's Dask workers as soon as `when()`."""
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        workers = [child for child in psutil.Process(process.pid).children(recursive=True) if is_worker(child)]
        if workers and when():
            workers[0].kill()
            return
        time.sleep(0.05)
    raise AssertionError("It ended before a worker could be killed.")


def test_features_with_a_worker_killed_in_the_middle(synthetic_data, tmp_path):
    run, data = tmp_path / "one", ["--data", synthetic_data]
    commands.succeed(train_cnn.main, *data, "--run", run, "--preset", "tiny", "--epochs", 1)
    shutil.copytree(run, tmp_path / "two")
    commands.succeed(extract_features.main, *data, "--run", run)
    process = start("experiments.extract_features", *data, "--run", tmp_path / "two", "--workers", 2)
    parts = tmp_path / "two" / "features.parts"
    kill_one_worker(process, when=lambda: any(parts.glob("*.h5")))
    end(process)
    with h5py.File(run / "features.h5") as one, h5py.File(tmp_path / "two" / "features.h5") as two:
        assert set(one) == set(two)
        for name in one:
            np.testing.assert_array_equal(one[name][:], two[name][:])


def test_prep_with_a_worker_killed(tmp_path):
    videos, labels = tmp_path / "videos", ["path,mos"]
    videos.mkdir()
    for number in range(12):
        write_ffv1(videos / f"{number:02d}.mkv", [place_frame(t + 9 * number, 96, 128) for t in range(60)])
        labels.append(f"{number:02d}.mkv,{1 + number / 4}")
    (videos / "labels.csv").write_text("\n".join(labels) + "\n")
    settings = ["csv", "--root", videos, "--preset", "tiny", "--mos-range", 1, 5]
    commands.succeed(data_prep.main, *settings, "--out", tmp_path / "one")
    process = start("data_prep", *settings, "--out", tmp_path / "two", "--workers", 2)
    kill_one_worker(process, when=lambda: has_decoding_worker(process))
    end(process)
    for name in ("clips-00000.h5", "manifest.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_scores_of_two_workers(tiny_run, tmp_path):
    for number in range(6):
        write_ffv1(tmp_path / f"{number}.mkv", [place_frame(t + 9 * number, 30, 44) for t in range(12 + number)])
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    command = ["score", tmp_path, "--run", tiny_run, "--format", "json"]
    printed = [commands.run(cli.main, *command).out, end(start("nr_vqm.cli", *command, "--workers", 2), code=1)]
    one, two = ([row | {"seconds": 0} for row in json.loads(text)] for text in printed)
    assert len(one) == 7
    assert one == two


def test_scores_with_a_worker_killed_in_the_middle(tiny_run, tmp_path):
    for number in range(12):
        write_ffv1(tmp_path / f"{number:02d}.mkv", [place_frame(t + 9 * number, 96, 128) for t in range(60)])
    command = ["score", tmp_path, "--run", tiny_run, "--out"]
    commands.succeed(cli.main, *command, tmp_path / "one.jsonl")
    two = tmp_path / "two.jsonl"
    process = start("nr_vqm.cli", *command, two, "--workers", 2)
    kill_one_worker(process, when=lambda: two.exists() and two.read_text().count("\n") >= 1)
    end(process)
    one, two = ([json.loads(line) for line in path.read_text().splitlines()] for path in (tmp_path / "one.jsonl", two))
    assert [row | {"seconds": 0} for row in one] == [row | {"seconds": 0} for row in two]
    assert len(one) == 12
