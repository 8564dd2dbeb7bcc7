"""Tests of the commands in separate processes: SIGTERM, full disks and folders without write permission."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nr_vqm import command_line
from nr_vqm.common import atomic_files

ROOT = Path(__file__).parents[2]
TRAIN = ["experiments.train_cnn", "--preset", "tiny", "--set", "epochs=1000", "--set", "patience=1000"]


def start(*arguments, file_bytes=None):
    """Start a command; no file may grow beyond `file_bytes`, as on a full disk."""

    def limit():
        if file_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limit,
    )  # fmt: skip


def end(process):
    """Wait for a process and return (exit code, its stderr)."""
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


@pytest.mark.slow
def test_sigterm_saves_and_stops(synthetic_data, tmp_path):
    process = start(*TRAIN, "--data", synthetic_data, "--run", tmp_path)
    deadline = time.monotonic() + 200
    while not (tmp_path / "history.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    code, errors = end(process)
    assert code == command_line.EXIT_STOPPED == 143
    assert errors.startswith("error: Stopped on request after ") and errors.count("\n") == 1
    state = atomic_files.read_json(tmp_path / "training_state.json", made_by="")
    assert 0 < len(state["history"]) < 1000
    assert (tmp_path / "cnn3d.keras").exists()
    assert not list(tmp_path.glob(".*.part-*"))


def test_sigterm_is_caught_within_a_block_and_ends_it():
    usual = signal.getsignal(signal.SIGTERM)
    with command_line.catch_sigterm() as stop_asked:
        assert not stop_asked()
    again = pytest.raises(InterruptedError, match="Run the same command again to resume")
    with again, command_line.catch_sigterm() as stop_asked:
        signal.raise_signal(signal.SIGTERM)
        assert stop_asked()
    with pytest.raises(ValueError, match="saved"), command_line.catch_sigterm():
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("saved")
    assert signal.getsignal(signal.SIGTERM) is usual


@pytest.mark.slow
def test_a_full_disk_is_a_one_line_error_and_damages_nothing(synthetic_data, tmp_path):
    code, errors = end(start(*TRAIN, "--data", synthetic_data, "--run", tmp_path / "run", file_bytes=20_000))
    assert code == command_line.EXIT_FAILED
    assert errors.startswith("error: ") and errors.count("\n") == 1 and "File too large" in errors
    assert not list((tmp_path / "run").glob("*.keras")) + list((tmp_path / "run").glob(".*.part-*"))
    code, errors = end(
        start("data_prep", "csv", "--root", synthetic_data / "synthetic", "--mos-range", 1, 5,
              "--out", tmp_path / "again", "--preset", "tiny", file_bytes=20_000)
    )  # fmt: skip
    assert code == command_line.EXIT_FAILED
    assert errors.startswith("error: ") and errors.count("\n") == 1
    assert not list((tmp_path / "again").glob("*.h5")) + list((tmp_path / "again").glob(".*.part-*"))


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc, where nobody can create a folder")
def test_a_folder_without_write_permission_is_a_one_line_error(synthetic_data):
    for arguments in (
        [*TRAIN, "--data", synthetic_data, "--run", "/proc/run"],
        ["data_prep", "synthetic", "--out", "/proc/data", "--preset", "tiny"],
    ):
        code, errors = end(start(*arguments))
        assert code == command_line.EXIT_FAILED
        assert errors.startswith("error: ") and errors.count("\n") == 1 and "/proc/" in errors
