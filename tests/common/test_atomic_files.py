import errno
import math
import os
import platform
import subprocess
import sys

import pytest

from nr_vqm.common import atomic_files


def test_replacing_leaves_the_old_file_when_the_block_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_files.replace_when_complete(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_replacing_shows_nothing_before_the_end(tmp_path):
    path = tmp_path / "a.json"
    with atomic_files.replace_when_complete(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.suffix == ".json"
    assert path.read_text() == "new"


def test_json_refuses_nan_and_keeps_the_old(tmp_path):
    path = tmp_path / "a.json"
    atomic_files.write_json(path, {"x": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic_files.write_json(path, {"x": math.nan})
    assert atomic_files.read_json(path, made_by="make x") == {"x": 1}


def test_read_json_says_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"index\.json is missing. Make it first: make prep"):
        atomic_files.read_json(tmp_path / "index.json", made_by="make prep")
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(ValueError, match=r"is not a JSON file .* Make it again: make prep"):
        atomic_files.read_json(tmp_path / "index.json", made_by="make prep")


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    node = platform.node()
    names = {number: f".a.part-{node}-{number}-7.keras" for number in (ended.pid, os.getppid())}
    for name in (*names.values(), ".a.part-elsewhere-1-7.keras", "a.keras"):
        (tmp_path / name).touch()
    atomic_files.drop_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"a.keras", names[os.getppid()]}


def test_a_folder_that_cannot_take_its_name_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    rename = os.replace

    def fail(source, target):
        if ".a.part" in str(source):
            raise OSError(errno.EIO, "broken disk")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="broken disk"), atomic_files.replace_folder_when_complete(tmp_path / "a") as new:
        (new / "new").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["a", "a/old"]


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert atomic_files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_fingerprint_is_of_the_content_wherever_it_lies(tmp_path):
    content = bytearray(range(256)) * 1024  # four times what is read at each of three places
    places = {"start": 5, "middle": len(content) // 2, "end": len(content) - 1}
    (tmp_path / "a.mp4").write_bytes(content)
    (tmp_path / "b.mkv").write_bytes(content)
    found = {atomic_files.fingerprint(tmp_path / "a.mp4"), atomic_files.fingerprint(tmp_path / "b.mkv")}
    assert len(found) == 1
    for name, place in places.items():
        changed = bytearray(content)
        changed[place] ^= 1
        (tmp_path / name).write_bytes(changed)
        found.add(atomic_files.fingerprint(tmp_path / name))
    (tmp_path / "longer").write_bytes(content + b"x")
    (tmp_path / "empty").write_bytes(b"")
    found |= {atomic_files.fingerprint(tmp_path / name) for name in ("longer", "empty")}
    assert len(found) == 6


def test_a_checksum_is_of_a_regular_file(tmp_path):
    (tmp_path / "device").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for name in ("device", "pipe"):
        with pytest.raises(ValueError, match=f"{name} must be a regular file"):
            atomic_files.sha256(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        atomic_files.sha256(tmp_path / "none")
