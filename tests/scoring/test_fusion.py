"""The fusion of the LSTM head with frame statistics, and the thread that computes them."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import nr_vqm
from nr_vqm.scoring import fusion

ROOT = Path(nr_vqm.__file__).parent.parent


@pytest.mark.parametrize(
    ("of_head", "of_teacher", "expected"), [(3.0, 3.2, 3.13), (3.0, 5.0, 3.39), (3.0, 1.0, 2.61), (0.0, 1.0, 1.0)]
)
def test_the_correction_by_the_teacher_is_limited(of_head, of_teacher, expected):
    class Constant:
        def predict(self, features):
            return of_teacher

    assert fusion.Fusion(0.35, 0.6, Constant()).quality(of_head, None) == pytest.approx(expected)


def test_statistics_that_are_no_longer_needed_are_cancelled(monkeypatch):
    started, released = [], threading.Event()

    def measure(planes):
        started.append(len(started))
        assert released.wait(60)
        return np.zeros(77)

    monkeypatch.setattr(fusion.frame_statistics, "features", measure)
    frames = fusion.StatisticsThread(960, 30.0).watch(iter(np.zeros((960, 40, 40, 3), np.uint8)))
    for _ in range(850):
        next(frames)
    frames.close()
    released.set()
    time.sleep(0.2)
    assert len(started) <= 1  # of seven


def test_an_error_of_the_statistics_reaches_the_caller(monkeypatch):
    def fail(planes):
        raise ValueError("no texture")

    monkeypatch.setattr(fusion.frame_statistics, "features", fail)
    thread = fusion.StatisticsThread(16, 30.0)
    assert len(list(thread.watch(iter(np.zeros((16, 40, 40, 3), np.uint8))))) == 16
    with pytest.raises(ValueError, match="no texture"):
        thread.features()
    short = fusion.StatisticsThread(2, 30.0)
    list(short.watch(iter(np.zeros((2, 40, 40, 3), np.uint8))))
    with pytest.raises(ValueError, match="at least three frames"):
        short.features()


IN_A_PROCESS_OF_ITS_OWN = """
import numpy as np
from threadpoolctl import threadpool_info
from nr_vqm.scoring import fusion

def threads(planes=None):
    return np.array([one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"])

fusion.frame_statistics.features = threads
thread = fusion.StatisticsThread(16, 30.0)
print(threads().max())
list(thread.watch(np.zeros((16, 40, 40, 3), np.uint8)))
print(thread.features().max())
"""


def test_products_of_the_statistics_have_one_thread():
    command = [sys.executable, "-c", IN_A_PROCESS_OF_ITS_OWN]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    before, within = done.stdout.split("\n")[:2]
    if before == "1":
        pytest.skip("this machine gives NumPy one thread")
    assert int(before) > 1
    assert within == "1.0"
