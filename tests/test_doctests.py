"""The examples in docstrings give what they show."""

import doctest
import importlib

import pytest

MODULES = """
nr_vqm.presets
nr_vqm.dataset.mos_scale
nr_vqm.dataset.splits
nr_vqm.evaluation.metrics
nr_vqm.models.network_sizes
nr_vqm.video.clips
""".split()


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
