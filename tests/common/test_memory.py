"""The available memory respects the limit of the control group; freed memory is used again."""

import platform
import subprocess
import sys

import pytest

from nr_vqm.common import memory

V1 = ("memory__limit_in_bytes", "memory__usage_in_bytes", "total_inactive_file")


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_this_machine_has_memory():
    assert 2**20 < memory.available_bytes() < 2**50


@pytest.mark.parametrize(
    ("line", "base", "limit", "usage", "cache"),
    [
        ("0::/a/b\n", "", "memory__max", "memory__current", "inactive_file"),
        ("3:cpu:/x\n4:memory:/a/b\n", "memory", *V1),
    ],
)
def test_the_smallest_group_counts_and_its_file_cache_is_available(tmp_path, line, base, limit, usage, cache):
    root = tmp_path / "groups" / base
    write(root / "a", **{limit: "9000\n", usage: "8000\n", "memory__stat": f"anon 1\n{cache} 700\nother 3\n"})
    write(root / "a" / "b", **{limit: "max\n" if not base else "9223372036854771712\n", usage: "50\n"})
    (tmp_path / "own").write_text(line)
    found = list(memory._groups(tmp_path / "own", tmp_path / "groups"))
    assert min(found) == 1700
    assert len(found) == (1 if not base else 2)


def test_in_a_container_the_root_is_the_group(tmp_path):
    write(tmp_path / "groups", memory__max="5000", memory__current="1000", memory__stat="")
    (tmp_path / "own").write_text("0::/of/the/host\n")
    assert list(memory._groups(tmp_path / "own", tmp_path / "groups")) == [4000]


def test_without_control_groups_nothing_is_stated(tmp_path):
    assert list(memory._groups(tmp_path / "none", tmp_path)) == []
    assert list(memory._machine(tmp_path / "none")) == []


ARRAYS = """
import resource
import numpy as np
from nr_vqm.common import memory
for number in range(100):
    np.ones(2**20)
    if number == 0:
        {setting}
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for number in range(100):
    np.ones(2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(setting, trim):
    """Return the page faults of 100 arrays of 8 MB, in a process that starts as Dask's workers do."""
    code, environment = ARRAYS.format(setting=setting), {"MALLOC_TRIM_THRESHOLD_": trim}
    return int(subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the settings")
def test_freed_memory_is_used_again():
    assert page_faults("pass", "65536") > 10_000 > 100 > page_faults("memory.keep_freed_memory()", "65536")


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert not memory.keep_freed_memory.__wrapped__()
