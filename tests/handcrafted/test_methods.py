"""The table of methods agrees with the methods."""

import dataclasses

import numpy as np
import pytest
import threadpoolctl
from hard_frames import texture
from sample_videos import write_planes

from nr_vqm.handcrafted import cornia, methods, niqe, videval
from nr_vqm.models import head_table


def test_the_methods_are_those_that_a_run_stores():
    assert tuple(methods.METHODS) == head_table.RIVALS
    assert all(name == method.name for name, method in methods.METHODS.items())


@pytest.mark.parametrize("method", methods.METHODS.values(), ids=methods.METHODS)
def test_every_feature_has_a_name(method):
    names = method.feature_names()
    assert len(names) == len(set(names)) == method.num_features


def test_a_method_computes_what_its_module_does(tmp_path):
    planes = [(texture(98, 200, seed), texture(49, 100, seed + 9), texture(49, 100, seed + 8)) for seed in range(6)]
    path = write_planes(tmp_path / "x.mkv", planes, "yuv420p")
    np.testing.assert_allclose(
        methods.get("niqe").compute(path, video_id="x"), niqe.video_features(path), rtol=1e-12, atol=1e-15
    )
    light = videval.video_features(path, light=True)
    np.testing.assert_allclose(methods.get("videval_light").compute(path, video_id="x"), light, rtol=1e-12, atol=1e-15)
    words = np.random.default_rng(0).random((3, 49), np.float32)
    codebook = cornia.Codebook(words, words[0], np.eye(49, dtype=np.float32), ())
    found = methods.get("cornia").compute(path, codebook=codebook, video_id="x")
    np.testing.assert_allclose(found, cornia.video_features(path, codebook, video_id="x"), rtol=1e-12, atol=1e-15)


def test_a_codebook_that_is_missing_and_an_unknown_method_are_refused():
    with pytest.raises(ValueError, match=r"V-CORNIA\* needs a codebook, found none. Learn one first: make rivals."):
        methods.get("cornia").compute("x.mkv", video_id="x")
    with pytest.raises(ValueError, match="Unknown method 'brisk'. Choose from: niqe, brisque, "):
        methods.get("brisk")


def test_features_are_computed_in_one_thread(tmp_path):
    def threads(path, raw):
        return np.array([info["num_threads"] for info in threadpoolctl.threadpool_info()])

    method = dataclasses.replace(methods.get("niqe"), video_features=threads)
    with threadpoolctl.threadpool_limits(2):
        found = method.compute(tmp_path)
    assert found.size
    assert set(found) == {1}
