"""Results of several processes are those of one, also when a worker is killed or the Dask scheduler is restarted."""

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import dask_cluster
import h5py
import psutil
import pytest
from sample_videos import place_frame, write_ffv1

from data_prep import __main__ as data_prep
from experiments import extract_features, extract_rivals, train_cnn
from nr_vqm import cli
from nr_vqm.runs.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 900  # TensorFlow is imported several times, on machines that may be busy
pytestmark = pytest.mark.slow


@dataclasses.dataclass(frozen=True)
class Stage:
    """A command that processes many videos, and what shows its results.

    Attributes:
        command: module and arguments, without those of the workers.
        works: works(pid) -> whether it is in the middle; `pid` is of the process whose children are the workers, or of
            the only worker.
        results: the comparable results of the command.
        wanted: those of an uninterrupted command in one process.
        resume: options that continue the command.
    """

    command: list[Any]
    works: Callable[[int], bool]
    results: Callable[[], Any]
    wanted: Any
    resume: tuple[str, ...] = ()


@pytest.fixture(scope="module")
def trained(synthetic_data, tmp_path_factory):
    """A run with a trained 3D-CNN, without features."""
    run = tmp_path_factory.mktemp("trained") / "run"
    commands.succeed(train_cnn.main, "--data", synthetic_data, "--run", run, "--preset", "tiny", "--epochs", 1)
    return run


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder of twelve videos with labels."""
    folder, labels = tmp_path_factory.mktemp("videos"), ["path,mos"]
    for number in range(12):
        write_ffv1(folder / f"{number:02d}.mkv", [place_frame(t + 9 * number, 96, 128) for t in range(60)])
        labels.append(f"{number:02d}.mkv,{1 + number / 4}")
    (folder / "labels.csv").write_text("\n".join(labels) + "\n")
    return folder


@pytest.fixture
def prep(videos, tmp_path):
    """Prep of the videos; in the middle a worker decodes one of them."""
    settings = ["csv", "--root", videos, "--preset", "tiny", "--mos-range", 1, 5]
    commands.succeed(data_prep.main, *settings, "--out", tmp_path / "one")

    def results(out):
        return [(out / name).read_bytes() for name in ("clips-00000.h5", "manifest.csv")]

    two = tmp_path / "two"
    return Stage(["data_prep", *settings, "--out", two], is_decoding, lambda: results(two), results(tmp_path / "one"))


@pytest.fixture
def features(synthetic_data, trained, tmp_path):
    """Features; in the middle some videos have theirs."""
    return of_run("features", extract_features.main, synthetic_data, trained, tmp_path)


@pytest.fixture
def rivals(synthetic_data, trained, tmp_path):
    """Hand-crafted features; in the middle some videos have theirs."""
    return of_run("rivals", extract_rivals.main, synthetic_data, trained, tmp_path, "--rivals", "brisque")


def of_run(name, main, data, trained, folder, *options):
    """Describe a stage that writes features of a run."""
    one, two = (RunFolder(shutil.copytree(trained, folder / number)) for number in ("one", "two"))
    commands.succeed(main, "--data", data, "--run", one, *options)
    command = [f"experiments.extract_{name}", "--data", data, "--run", two, *options]
    parts = two.feature_parts if name == "features" else two.rival_parts("brisque")

    def results(run):
        with h5py.File(run.features if name == "features" else run.rival_features("brisque")) as file:
            return {key: file[key][:].tolist() for key in file if key != "seconds"}

    return Stage(command, lambda pid: any(parts.glob("[!.]*.h5")), lambda: results(two), results(one))


@pytest.fixture
def scores(videos, tiny_run, tmp_path):
    """Scores of a folder; in the middle some videos have a row."""
    command = ["score", videos, "--run", tiny_run, "--quiet", "--out"]
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    commands.succeed(cli.main, *command, one)

    def results(path):
        return [json.loads(line) | {"seconds": 0} for line in path.read_text().splitlines()]

    return Stage(
        ["nr_vqm.cli", *command, two],
        lambda pid: two.exists() and "\n" in two.read_text(),
        lambda: results(two),
        results(one),
        resume=("--resume",),
    )


@pytest.fixture(params=["prep", "features", "rivals", "scores"])
def stage(request):
    return request.getfixturevalue(request.param)


def start(*arguments):
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process, *, code=0):
    """Wait for the end of a command; return what it printed on both streams."""
    output, errors = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == code, output + errors
    return output, errors


def workers(pid):
    """Return the Dask workers among a process and its children."""
    parent = psutil.Process(pid)
    return [one for one in (parent, *parent.children(recursive=True)) if is_worker(one)]


def is_worker(process):
    try:
        return any(name in str(process.cmdline()) for name in ("spawn_main", "dask_worker"))
    except psutil.Error:  # it has ended meanwhile
        return False


def is_decoding(pid):
    """Return whether a worker has started a decoder process, so that it works on a video."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        return any("decoder_server" in str(child.cmdline()) and is_worker(child.parent()) for child in children)
    except psutil.Error:  # one has ended meanwhile
        return False


def wait_for_the_middle(process, works):
    deadline = time.monotonic() + WAIT_SECONDS
    while not works():
        assert process.poll() is None, f"It ended before it was in the middle: {process.communicate()}"
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_a_killed_worker_changes_no_result(stage):
    process = start(*stage.command, "--workers", 2)
    wait_for_the_middle(process, lambda: stage.works(process.pid))
    workers(process.pid)[0].kill()
    end(process)
    assert stage.results() == stage.wanted


def test_a_restarted_scheduler_changes_no_result(stage, tmp_path):
    with dask_cluster.Cluster(tmp_path, ROOT) as cluster:
        command = [*stage.command, "--scheduler", cluster.url]
        process = start(*command)
        wait_for_the_middle(process, lambda: stage.works(cluster.worker.pid))
        cluster.kill()
        errors = end(process, code=1)[1]
        assert errors.startswith(f"error: The connection to the Dask scheduler at {cluster.url} is lost.")
        assert errors.count("\n") == 1
        cluster.start()
        end(start(*command, *stage.resume))
    assert stage.results() == stage.wanted


def test_scores_of_two_workers(tiny_run, tmp_path):
    for number in range(6):
        write_ffv1(tmp_path / f"{number}.mkv", [place_frame(t + 9 * number, 30, 44) for t in range(12 + number)])
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    command = ["score", tmp_path, "--run", tiny_run, "--format", "json"]
    printed = [commands.run(cli.main, *command).out, end(start("nr_vqm.cli", *command, "--workers", 2), code=1)[0]]
    one, two = ([row | {"seconds": 0} for row in json.loads(text)] for text in printed)
    assert len(one) == 7
    assert one == two
