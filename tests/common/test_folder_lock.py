"""Two commands never write to one folder at the same time."""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nr_vqm.common.folder_lock import HOLDER_FILE, file_lock, folder_lock

ROOT = Path(__file__).parents[2]
HOLD = "import sys; from nr_vqm.common.folder_lock import folder_lock\n"
HOLD += "with folder_lock(sys.argv[1]): print('held', flush=True); sys.stdin.read(1)"


@pytest.fixture
def holder(tmp_path):
    """start() -> a process that holds the lock of `tmp_path / "data"`."""
    started = []

    def start():
        command = [sys.executable, "-c", HOLD, str(tmp_path / "data")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_second_process_is_refused_with_the_name_of_the_first(tmp_path, holder):
    process = holder()
    with pytest.raises(BlockingIOError) as refused, folder_lock(tmp_path / "data"):
        pytest.fail("The folder was locked twice.")
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / 'data'} is in use by process {process.pid} on {platform.node()} (")
    assert "from nr_vqm.common.folder_lock import folder_lock" in message
    assert message.endswith("). Wait until that command has ended, or stop it.")
    assert "\n" not in message
    process.communicate("x")
    with folder_lock(tmp_path / "data"):
        pass


def test_the_lock_of_a_dead_process_does_not_block(tmp_path, holder):
    process = holder()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "data" / HOLDER_FILE).exists()
    with folder_lock(tmp_path / "data"):
        assert f'"pid": {os.getpid()}' in (tmp_path / "data" / HOLDER_FILE).read_text()
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".lock"]


def test_a_command_that_runs_another_one_keeps_its_lock(tmp_path):
    with folder_lock(tmp_path):
        with folder_lock(tmp_path / "a" / ".."):
            pass
        assert (tmp_path / HOLDER_FILE).exists()
        refused = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert f"BlockingIOError: {tmp_path} is in use by process {os.getpid()} on" in refused.stderr
    assert not (tmp_path / HOLDER_FILE).exists()


def test_an_error_inside_releases_the_lock(tmp_path, holder):
    with pytest.raises(KeyError), folder_lock(tmp_path / "data"):
        raise KeyError
    holder()


def test_a_file_is_locked_without_its_folder_and_leaves_nothing(tmp_path):
    hold = HOLD.replace("folder_lock(", "file_lock(").replace("import folder_lock", "import file_lock")
    with file_lock(tmp_path / "out.csv"):
        for path, refused in ((tmp_path / "out.csv", True), (tmp_path / "other.csv", False)):
            other = subprocess.run(
                [sys.executable, "-c", hold, str(path)],
                capture_output=True,
                text=True,
                cwd=ROOT,
                check=False,
                input="x",
            )
            assert (f"{path} is in use by process {os.getpid()} on" in other.stderr) == refused
            assert (other.returncode == 0) != refused
    with pytest.raises(KeyError), file_lock(tmp_path / "out.csv"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_holder_is_another_process(tmp_path, holder):
    holder()
    (tmp_path / "data" / HOLDER_FILE).write_text("{")
    with pytest.raises(BlockingIOError, match="is in use by another process. Wait"), folder_lock(tmp_path / "data"):
        pass
