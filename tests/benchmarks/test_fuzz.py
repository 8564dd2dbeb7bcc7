import numpy as np
import pytest

from benchmarks import fuzz


@pytest.mark.slow
def test_damaged_files_are_scored_warned_about_or_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SVT_LOG", "1")
    results = list(fuzz.run(tmp_path, num_files=28, seed=5, seconds=20))
    figures = fuzz.summary(results)
    assert figures["failed"] == 0
    assert min(figures["scored"], figures["warned"], figures["refused"]) > 0
    assert {(codec, kind) for codec, kind, *_ in results} == {(c, k) for c in fuzz.CODECS for k in fuzz.DAMAGE}
    assert all(message for _, _, outcome, _, message in results if outcome != "scored")


def test_damage_is_deterministic():
    data = bytes(range(256)) * 40
    for kind in fuzz.DAMAGE:
        one, again, other = (fuzz.damaged(data, kind, np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert one == again != other
        assert one != data
    assert len(fuzz.damaged(data, "truncated", np.random.default_rng(3))) < len(data)


class StubScorer:
    """A scorer that returns or raises `result`."""

    def __init__(self, result):
        self.result = result

    def score(self, path):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_only_an_error_with_a_reason_is_a_refusal(tmp_path):
    assert fuzz._score(StubScorer(ValueError("no video")), tmp_path)[0] == "refused"
    assert fuzz._score(StubScorer(ValueError("")), tmp_path)[0] == "failed"
    assert fuzz._score(StubScorer(TypeError("a bug")), tmp_path) == ("failed", "TypeError('a bug')")
