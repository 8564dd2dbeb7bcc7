"""The wheel and its base dependencies, installed in a fresh environment, score a video without TensorFlow."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from sample_videos import place_frame, write_ffv1

from nr_vqm import pretrained
from nr_vqm.runs import export_folder

ROOT = Path(__file__).parent.parent
MAX_WHEEL, MAX_ENVIRONMENT = 10e6, 700e6  # bytes
needs_pretrained = pytest.mark.skipif(
    not export_folder.is_export(pretrained.FOLDER), reason="no pretrained run is in the checkout"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", *command], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of a fresh environment with the wheel and its base dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    # Outside the checkout, whose .egg-info pip would take for an installed nr-vqm.
    done = run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=folder)
    if "No matching distribution found" in done.stderr or "Could not find a version" in done.stderr:
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return python


def run(*command, cwd):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NR_VQM_RUN")}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=environment)


@pytest.mark.slow
def test_the_wheel_has_the_type_marker_the_templates_and_the_pretrained_run(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "nr_vqm/py.typed" in names
    assert {path.name for path in (ROOT / "nr_vqm/scoring").glob("*.j2")} <= {Path(name).name for name in names}
    if export_folder.is_export(pretrained.FOLDER):
        exported = {f"nr_vqm/pretrained/default/{path.name}" for path in pretrained.FOLDER.iterdir()}
        assert exported <= set(names)
    assert wheel.stat().st_size < MAX_WHEEL


@pytest.mark.slow
@needs_pretrained
def test_the_installed_wheel_scores_a_video_without_tensorflow(python, tmp_path):
    assert run(python, "-c", "import tensorflow", cwd=tmp_path).returncode == 1
    assert run(python, "-c", "import keras", cwd=tmp_path).returncode == 1
    clip = write_ffv1(tmp_path / "clip.mkv", [place_frame(3 * t, 120, 160) for t in range(40)])
    done = run(python, "-m", "nr_vqm", "score", clip, "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert (row["status"], row["engine"], row["precision"]) == ("ok", "openvino", "float32")
    assert row["scale_min"] <= row["score"] <= row["scale_max"]
    refused = run(python, "-m", "data_prep", "synthetic", "--out", "data", "--preset", "tiny", cwd=tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "pip install '.[train]'" in refused.stderr
    site = next(path for path in python.parent.parent.rglob("site-packages"))
    packages = [path for path in site.iterdir() if not path.name.startswith(("pip", "setuptools", "pkg_resources"))]
    files = [file for package in packages for file in (package, *package.rglob("*")) if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    print(f"site-packages: {size / 1e6:.0f} MB")
    assert size < MAX_ENVIRONMENT
