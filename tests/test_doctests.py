"""The examples in docstrings give what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEED_A_RUN = {"nr_vqm.scoring.loading"}  # tests/scoring/test_api.py runs these


def modules_with_examples():
    paths = [path for package in ("nr_vqm", "data_prep", "experiments") for path in (ROOT / package).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if ">>> " in path.read_text()]
    return sorted(set(names) - NEED_A_RUN)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
