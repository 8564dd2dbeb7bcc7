"""Memory of this process: how much it can still use, of the machine and of its control group, and what it keeps."""

import ctypes
import functools
from collections.abc import Iterator
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
# Of glibc's mallopt. By default every array of a frame's size is a new mapping, whose pages the kernel fills with
# zeros: a tenth of the time of a score.
_MALLOPT = {
    "M_TRIM_THRESHOLD": (-1, 2**30),  # parameter, bytes
    "M_MMAP_THRESHOLD": (-3, 2**25),  # the largest value
}


def available_bytes() -> int | None:
    """Return the bytes that this process can still allocate; None if the system does not state them.

    A container's limit is that of its control group, not of the machine.
    """
    found = [*_machine(Path("/proc/meminfo")), *_groups(Path("/proc/self/cgroup"), CONTROL_GROUPS)]
    return max(0, min(found)) if found else None


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process use freed memory again instead of giving it back to the system. Only for processes of our own.

    Dask's workers do the opposite, which doubles the processor time of a score.

    Returns:
        whether the C library has the settings; only glibc does.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all(mallopt(parameter, value) for parameter, value in _MALLOPT.values())


def _machine(meminfo: Path) -> Iterator[int]:
    for line in _text(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _groups(own: Path, root: Path) -> Iterator[int]:
    """Yield what each group above this process leaves free, for versions 1 and 2 of control groups.

    Args:
        own: /proc/self/cgroup, with a line ID:CONTROLLERS:PATH per hierarchy.
        root: the folder where the hierarchies are mounted.
    """
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif controllers == "memory":
            base, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        folder = base / path.strip("/")
        # Within a container the path may be that of the host, which is not mounted: then the root is this group.
        for group in (folder, *folder.parents):
            if group.is_relative_to(base):
                yield from _free(group, *names)


def _free(group: Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    """Yield limit - usage + cache of files, which is given up when memory is needed; nothing without a limit."""
    values = [_text(group / name).strip() for name in (limit, usage)]
    if all(value.isdecimal() for value in values):
        cached = [line.split()[1] for line in _text(group / "memory.stat").splitlines() if line.startswith(f"{cache} ")]
        yield int(values[0]) - int(values[1]) + sum(map(int, cached))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:  # another system, or another version of control groups
        return ""
