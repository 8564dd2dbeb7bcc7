import platform
import sys

from nr_vqm import cli, command_line, doctor
from nr_vqm.common import provenance


def test_doctor_finds_every_codec(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "MIN_FREE", 0)
    assert cli.main(["doctor", "--folder", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:4]] == ["versions", "devices", "memory", "disk"]
    assert "opencv-python-headless 4." in lines[0]
    for name, line in zip(doctor.CODECS, lines[4:], strict=True):
        assert line == f"ok      {name:14s} 10 of 10 frames"


def test_a_failed_check_is_a_line_and_an_exit_code(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "MIN_FREE", 1e18)
    monkeypatch.setattr(doctor, "CODECS", {"New": ("h299", "mkv", "yuv420p"), "AV1": ("libsvtav1", "mkv", "yuv420p")})
    assert cli.main(["doctor", "--folder", str(tmp_path)]) == command_line.EXIT_FAILED
    disk, new, av1 = capsys.readouterr().out.splitlines()[3:]
    assert disk.startswith("FAILED  disk")
    assert "GB free at" in disk
    assert new.startswith("FAILED  New")
    assert "h299" in new
    assert av1.startswith("ok      AV1")


def test_a_folder_that_does_not_exist_yet(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "MIN_FREE", 0)
    monkeypatch.setattr(doctor, "CODECS", {"FFV1": ("ffv1", "mkv", "yuv420p")})
    monkeypatch.chdir(tmp_path)
    assert cli.main(["doctor", "--folder", "runs/mine"]) == 0
    disk, ffv1 = capsys.readouterr().out.splitlines()[3:]
    assert disk.endswith(f" GB free at {tmp_path}")
    assert ffv1.startswith("ok      FFV1")


def test_wrong_frames_are_found(tmp_path, monkeypatch):
    check = {"encoder": "ffv1", "pixel_format": "yuv420p"}
    write = doctor.write_test_video
    monkeypatch.setattr(doctor, "write_test_video", lambda path, **how: None)
    write(tmp_path / "good.mkv", **check)
    assert doctor.check_codec("FFV1", tmp_path / "good.mkv", **check).ok
    monkeypatch.setattr(doctor, "LEVELS", range(30, 180, 15))
    finding = doctor.check_codec("FFV1", tmp_path / "good.mkv", **check)
    assert (finding.ok, finding.text) == (False, "10 of 10 frames, with wrong pixels")
    monkeypatch.setattr(doctor, "LEVELS", range(40, 205, 15))
    finding = doctor.check_codec("FFV1", tmp_path / "good.mkv", **check)
    assert (finding.ok, finding.text) == (False, "10 of 11 frames")


def test_versions_are_those_of_the_distributions_that_are_installed(tmp_path, monkeypatch):
    installed = {
        "tensorflow_cpu": ("tensorflow", "2.21.0"),
        "opencv_python": ("cv2", "4.14.0"),
        "numpy": ("numpy", "2"),
    }
    for name, (package, version) in installed.items():
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n")
        (folder / "top_level.txt").write_text(f"{package}\n")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "path", [str(tmp_path)])
        found, of_doctor = provenance.versions(), doctor._versions()
    assert found.pop("python") == platform.python_version()
    assert found == {"tensorflow-cpu": "2.21.0", "opencv-python": "4.14.0", "numpy": "2"}
    assert of_doctor.items() > found.items()


def test_the_versions_are_read_once_per_process(monkeypatch):
    first = provenance.versions()
    monkeypatch.delattr(provenance.importlib.metadata, "packages_distributions")
    assert provenance.versions() == first


def test_doctor_without_tensorflow(monkeypatch):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert doctor._devices().endswith(" CPU cores; without TensorFlow, which only training and --engine keras need")
