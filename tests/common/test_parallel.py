import functools
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask_cluster
import numpy as np
import pytest

from nr_vqm.common import devices, parallel

ROOT = Path(__file__).parents[2]


def double(item):
    return 2 * item


def process(item):
    return os.getpid()


def kill_once(item, folder):
    """Item 3 kills its worker the first time, item 5 every time."""
    marker = folder / f"{item}"
    first = not marker.exists()
    marker.touch()
    if (item == 3 and first) or item == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * item


def threads_and_page_faults(item):
    """Return the threads that a process may use, and the page faults of 50 arrays of 8 MB."""
    np.ones(2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        np.ones(2**20)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return devices.threads_of_process(), os.environ.get("TF_NUM_INTRAOP_THREADS"), faults


@pytest.mark.parametrize("threads", [1, 3])
def test_one_process_is_this_one(threads):
    assert list(parallel.map_in_order(double, list(range(30)), workers=1, threads=threads)) == list(range(0, 60, 2))
    assert set(parallel.map_in_order(process, [1, 2], workers=1)) == {os.getpid()}


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_ends_the_work(threads):
    with pytest.raises(ZeroDivisionError):
        list(parallel.map_in_order(lambda item: 1 / item, [1, 0, 2], workers=1, threads=threads))


@pytest.mark.slow
def test_workers_share_the_cores_and_use_freed_memory_again(monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: 6)
    for name in parallel.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for threads, of_tensorflow, faults in parallel.map_in_order(threads_and_page_faults, [1, 2], workers=2):
        assert (threads, of_tensorflow) == (3, "3")
        assert faults < 2**20 / 512  # the pages of one array
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert [found[0] for found in parallel.map_in_order(threads_and_page_faults, [1, 2], workers=2)] == [5, 5]


@pytest.mark.slow
def test_killed_workers_cost_their_item_at_most_a_retry(tmp_path):
    work = functools.partial(kill_once, folder=tmp_path)
    got = parallel.map_in_order(work, list(range(9)), workers=2, on_death=lambda item, error: f"{item}: {error}")
    wanted = [2 * item for item in range(9)]
    wanted[5] = "5: the 3 processes that tried it died: out of memory, or a crash"
    assert list(got) == wanted


def kill_two(item, folder):
    """Items 0 and 1 kill their workers the first time."""
    marker = folder / f"{item}"
    if item < 2 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * item


@pytest.mark.slow
def test_workers_that_restart_slowly_are_waited_for(tmp_path):
    """Dask gave up a worker that was not back after 15 seconds; with the last one the command hung."""
    # Runs at the start of every Python process.
    (tmp_path / "sitecustomize.py").write_text(
        f"import pathlib, time\nif pathlib.Path({str(tmp_path / '0')!r}).exists(): time.sleep(20)\n"
    )
    code = "import functools, pathlib, sys, test_parallel\nfrom nr_vqm.common import parallel\n"
    code += "work = functools.partial(test_parallel.kill_two, folder=pathlib.Path(sys.argv[1]))\n"
    code += "print(list(parallel.map_in_order(work, list(range(5)), workers=2)))"
    search_path = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "tests", Path(__file__).parent)))
    found = subprocess.run(
        [sys.executable, "-c", code, tmp_path], env={**os.environ, "PYTHONPATH": search_path},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert (found.returncode, found.stdout) == (0, "[0, 2, 4, 6, 8]\n"), found.stderr


def slow_first(item, folder):
    """Item 0 ends when no more items are started, and counts those that were."""
    if item:
        (folder / str(item)).touch()
        return item
    started = 0
    while started < len(list(folder.iterdir())) or not started:
        started = len(list(folder.iterdir()))
        time.sleep(0.5)
    return started


@pytest.mark.slow
def test_the_number_of_items_that_wait_for_a_slow_one_is_bounded(tmp_path):
    got = list(parallel.map_in_order(functools.partial(slow_first, folder=tmp_path), list(range(200)), workers=2))
    assert got[1:] == list(range(1, 200))
    most = parallel.READY * parallel.AHEAD * 2
    assert most / 2 < got[0] < most


@pytest.mark.slow
def test_an_item_that_kills_every_worker_is_named(tmp_path):
    work = functools.partial(kill_once, folder=tmp_path)
    with pytest.raises(parallel.WorkerDied, match="^5: the 3 processes that tried it died"):
        list(parallel.map_in_order(work, [5], workers=2))


def test_a_scheduler_elsewhere():
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as somewhere:
        found = set(parallel.map_in_order(process, list(range(5)), workers=1, scheduler=somewhere.scheduler_address))
    assert len(found) == 1
    assert os.getpid() not in found


def test_no_scheduler_there(monkeypatch):
    monkeypatch.setattr(parallel, "TIMEOUT_SECONDS", 1)
    with pytest.raises(OSError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(parallel.map_in_order(double, [1], workers=1, scheduler="tcp://127.0.0.1:9"))


def wait_and_double(item):
    time.sleep(0.2)
    return 2 * item


@pytest.mark.slow
def test_a_scheduler_that_is_lost_ends_the_command_with_one_line(tmp_path, capfd):
    with dask_cluster.Cluster(tmp_path, ROOT, ROOT / "tests", Path(__file__).parent) as cluster:
        got = parallel.map_in_order(wait_and_double, list(range(50)), workers=1, scheduler=cluster.url)
        assert [next(got) for _ in range(3)] == [0, 2, 4]
        capfd.readouterr()
        cluster.scheduler.kill()
        with pytest.raises(OSError, match=rf"The connection to the Dask scheduler at {cluster.url} is lost"):
            list(got)
        assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_two_commands_at_once_give_no_warning(recwarn):
    with parallel._client(1, None), parallel._client(1, None):
        pass
    assert not [one for one in recwarn if "Port" in str(one.message)]


class LostClient:
    """A client whose scheduler does not answer when it is closed."""

    def close(self):
        raise TimeoutError("timed out after 0.2 s.")


def test_a_client_that_cannot_be_closed_leaves_the_error():
    with pytest.raises(OSError, match="is lost"), parallel._closing(LostClient()):
        raise OSError("The connection is lost.")


def test_a_worker_that_ends_while_it_starts_is_reported_in_one_line(monkeypatch):
    def fail(**settings):
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr("distributed.LocalCluster", fail)
    with pytest.raises(OSError, match=r"2 worker processes are needed, one of them ended while it started \(Nanny"):
        list(parallel.map_in_order(double, [1], workers=2))
