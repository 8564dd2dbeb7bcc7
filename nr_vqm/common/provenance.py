"""Versions and commit of the software that computed a result."""

import functools
import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

PACKAGES = (
    "tensorflow",
    "keras",
    "openvino",
    "numpy",
    "scipy",
    "sklearn",
    "cv2",
    "av",
    "h5py",
    "skops",
)  # names to import, not those of the distributions


def commit() -> str | None:
    """Return the git commit of this checkout, with '-dirty' for modified files; None outside a git checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=10"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:  # no git on this machine
        return None
    return found.stdout.strip() or None


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed distributions that a result depends on.

    The keys are names of distributions, because several provide the same package: opencv-python or
    opencv-python-headless, tensorflow or tensorflow-cpu.
    """
    return {"python": platform.python_version(), **_installed(tuple(sys.path))}


@functools.lru_cache(maxsize=1)
def _installed(search_path: tuple[str, ...]) -> dict[str, str]:
    """Return {distribution: version} of `PACKAGES`; once per search path, as it reads a file of every distribution."""
    providing = importlib.metadata.packages_distributions()
    names = dict.fromkeys(name for package in PACKAGES for name in providing.get(package, ()))
    return {name: importlib.metadata.version(name) for name in names}
