"""Results of a run: joined repeats, outlier ratios, tables, leaks."""

import json

import numpy as np
import pytest

from nr_vqm import presets
from nr_vqm.common import atomic_files
from nr_vqm.dataset import manifest, mos_scale, splits
from nr_vqm.evaluation import comparison
from nr_vqm.models.shared_trunk import ClipOutputs
from nr_vqm.runs import features, fitted_head, heads, results
from nr_vqm.runs.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("few_draws")


@pytest.fixture
def run(tmp_path):
    """A run with the features of 12 videos whose clip qualities are their MOS with noise."""
    rng = np.random.default_rng(0)
    videos = [
        manifest.Video(f"v{n}", f"v{n}.mp4", f"c{n // 2}", 10 + 7.0 * n, 0.0, 100.0, mos_ci95=4.0) for n in range(12)
    ]
    RunFolder(tmp_path).write_preset(presets.get_preset("tiny", overrides=["lstm_units=5"]))
    RunFolder(tmp_path).update_facts(
        database="synthetic",
        labels="pseudo",
        hardware="3 cores",
        commit="abc",
        seconds={"train": 1800.0, "features": 3.0},
    )
    file = features.FeatureFile(tmp_path, precision="float32")
    for one in videos:
        quality = mos_scale.to_unit_5(one.mos, 0, 100) + rng.normal(0, 0.2, (5, 6))
        outputs = ClipOutputs(group_features=rng.random((5, 8)), clip_quality=quality.astype(np.float32))
        file.write_part(one, "network", outputs)
    file.join(videos, "network")
    return tmp_path


def score(run):
    rows = fitted_head.score_rows(heads.load(run, "mean"), features.read_head_inputs(run), repeat=0)
    write_scores(run, "compare", rows, rows)
    return rows


def write_scores(folder, stage, test_rows, train_rows):
    run = RunFolder(folder)
    with run.stage(stage):
        results.write_scores(run, stage, test_rows, train_rows)


def test_confidence_intervals_of_the_mos_give_outlier_ratios(run):
    rows = score(run)
    assert features.read_ci95(run) == {f"v{n}": 4.0 for n in range(12)}
    found = results.write(run, num_resamples=1000, seed=1)["heads"]["mean"]["outlier_ratio"]
    assert found["median"] == pytest.approx(np.mean([abs(row["score"] - row["mos"]) > 4 for row in rows]))
    assert r"outlier\_ratio\_mapped" in (run / "comparison.tex").read_text()


def test_rows_for_the_results_page(run):
    score(run)
    results.write(run, num_resamples=1000, seed=1)
    table = (run / "results.md").read_text().splitlines()
    assert table[2].startswith(
        "| mean of clip qualities | 30 | 0.25 | nothing to fit | synthetic | pseudo-labels | tiny lstm_units=5 | "
    )
    assert "| abc | 3 cores | 0.50 | 1 | " in table[2]
    assert {line.count("|") for line in table} == {table[0].count("|")}


@pytest.mark.slow
def test_a_head_is_added_once_and_then_replaced(run):
    rows = score(run)
    for shift in (1, 2):
        added = [row | {"head": "lstm_finetuned", "score": row["score"] + shift} for row in rows]
        write_scores(run, "finetune", added, added)
        results.write(run, num_resamples=1000, seed=1)
        assert comparison.read_scores(run / "scores.csv") == rows + added


def test_scores_of_an_incomplete_stage_are_skipped(run):
    rows = score(run)
    write_scores(run, "finetune", [row | {"head": "lstm_finetuned"} for row in rows], [])
    with pytest.raises(KeyboardInterrupt), RunFolder(run).stage("finetune"):
        raise KeyboardInterrupt
    assert list(results.write(run, num_resamples=1000, seed=1)["heads"]) == ["mean"]
    with pytest.raises(ZeroDivisionError), RunFolder(run).stage("compare"):
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="no scores .* Run first: make compare"):
        results.write(run, num_resamples=1000, seed=1)


def test_a_leak_is_noted_in_the_metrics(run):
    split = splits.Split(train=("v0",), val=("v2",), test=("v1",))
    splits.write(run / "splits.json", split, leaks=["c0"])
    score(run)
    results.write(run, num_resamples=1000, seed=1)
    notes = json.loads((run / "metrics.json").read_text())["notes"]
    assert notes == ["1 contents are on two sides of the published split: the figures are too optimistic."]


def test_repeats_are_joined(run):
    rows = score(run)
    RunFolder(run).update_facts(repeats=2)
    for repeat, folder in enumerate(RunFolder(run).repeats()):
        folder.path.mkdir()
        changed = [row | {"repeat": repeat, "score": row["score"] + repeat} for row in rows]
        write_scores(folder, "compare", changed, [])
        folder.update_facts(seconds={"train": 1800.0})
    metrics = results.write(run, num_resamples=1000, seed=1)
    assert metrics["num_repeats"] == 2
    assert len(comparison.read_scores(run / "scores.csv")) == 24
    assert RunFolder(run).total_seconds()["train"] == 5400.0
    assert "| 1.50 | 2 |" in (run / "results.md").read_text()


def test_a_missing_head_names_the_make_target(run):
    for name, target in (("lstm", "make compare"), ("lstm_finetuned", "make finetune"), ("svr", "make compare")):
        with pytest.raises(FileNotFoundError, match=target):
            heads.load(run, name)
    atomic_files.write_text(run / "cnn3d.keras", "network")
    with RunFolder(run).stage("compare"):
        atomic_files.write_text(run / "lstm_head.keras", "nothing")
    with pytest.raises(ValueError, match="is needed, .* is not one"):
        heads.load(run, "lstm")
    with pytest.raises(KeyboardInterrupt), RunFolder(run).stage("compare"):
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="the fit of lstm_head.keras is not complete. Run again: make compare"):
        heads.load(run, "lstm")
