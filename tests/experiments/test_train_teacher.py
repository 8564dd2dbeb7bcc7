"""The command fits a teacher that loads, and reports its agreement with people."""

import functools

import numpy as np
import published_files as published
import pytest

from experiments import train_teacher
from nr_vqm import presets
from nr_vqm.dataset import manifest, splits
from nr_vqm.handcrafted.methods import METHODS
from nr_vqm.models.shared_trunk import ClipOutputs
from nr_vqm.runs import features
from nr_vqm.runs.rival_features import RivalFile
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.teacher import cross_validation, regression, teacher


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    quick = functools.partial(regression.Search, c=(1.0,), gamma=(0.05,), num_trees=3, depth=2, folds=2, inner_folds=2)
    monkeypatch.setattr(regression, "Search", quick)


def test_the_command_fits_a_teacher(tmp_path, capsys):
    published.write(tmp_path)
    out = tmp_path / "teacher.h5"
    train_teacher.main(
        ["--features", str(tmp_path), "--out", str(out), "--jobs", "1", "--resamples", "20", "--compare"]
    )
    printed = capsys.readouterr().out
    assert "konvid1k: 38 videos, live_vqc: 39 videos, youtube_ugc: 40 videos" in printed
    loaded = teacher.load(out)
    assert sum(METHODS[name].num_features for name in loaded.feature_sets) == len(loaded.regression.scaling.fill)
    assert len(loaded.validation_mos) == 38 + 39 + 40
    found = loaded.facts["agreement"]
    assert {"nested", "nested, this database alone", "fitted on the other two databases"} <= set(found)
    value, low, high = found["nested"]["konvid1k"]["srocc"]
    assert low <= value <= high
    assert f"srocc {value:.3f} [{low:.3f}, {high:.3f}]" in printed


def test_a_missing_list_of_rows_ends_the_command_with_one_line(tmp_path):
    published.write(tmp_path)
    (tmp_path / "leave_out.csv").unlink()
    with pytest.raises(FileNotFoundError, match="no fit may use"):
        train_teacher.main(["--features", str(tmp_path), "--out", str(tmp_path / "teacher.h5")])


def test_a_missing_folder_of_the_teacher_ends_the_command_before_the_fit(tmp_path, monkeypatch):
    published.write(tmp_path)
    monkeypatch.setattr(cross_validation, "choose", None)
    with pytest.raises(ValueError, match=r"The folder of .*teacher\.h5 does not exist\. Create it first"):
        train_teacher.main(["--features", str(tmp_path), "--out", str(tmp_path / "none" / "teacher.h5")])


def test_the_features_may_be_given(tmp_path):
    published.write(tmp_path)
    out = tmp_path / "teacher.h5"
    options = ["--out", str(out), "--jobs", "1", "--resamples", "20", "--sets", "brisque"]
    train_teacher.main(["--features", str(tmp_path), *options])
    loaded = teacher.load(out)
    assert loaded.feature_sets == ("brisque",)
    assert {name.rpartition(" of ")[2] for name in loaded.facts["agreement"] if " of " in name} == {"brisque"}


@pytest.fixture
def run(tmp_path):
    """A run on pseudo-labels with frame statistics: six training videos, one of them without, and a test video."""
    run, method = RunFolder(tmp_path / "run"), METHODS["frame_statistics"]
    videos = [manifest.Video(f"v{number}", "x.mp4", f"v{number}", 1 + number / 2, 1.0, 5.0) for number in range(7)]
    run.path.mkdir()
    file = features.FeatureFile(run)
    for one in videos:
        values = np.ones((1, 2), np.float32)
        file.write_part(one, "sha", ClipOutputs(group_features=values, clip_quality=values[:, :1]))
    file.join(videos, "sha")
    run.write_preset(presets.PRESETS["tiny"])
    run.update_facts(labels="pseudo")
    splits.write(run.splits, splits.Split(tuple(f"v{number}" for number in range(6)), (), ("v6",)))
    statistics, rng = RivalFile(run.path, method.name, method.version, method.num_features), np.random.default_rng(1)
    for one in videos:
        found = None if one.video_id == "v2" else rng.normal(size=method.num_features)
        statistics.write_part(one, found, reason="" if found is not None else "too short")
    statistics.join(videos)
    return run


def train(folder, run, *options):
    settings = ["--features", folder, "--out", folder / "fast.h5", "--jobs", "1", "--resamples", "20"]
    train_teacher.main([str(one) for one in (*settings, "--distorted", run.path, *options)])


def test_distorted_versions_of_a_run_are_fitted_too(tmp_path, run, monkeypatch, capsys):
    fitted, fit_svr = [], regression.fit_svr

    def fit_and_keep(sample, **settings):
        fitted.append(sample)
        return fit_svr(sample, **settings)

    monkeypatch.setattr(regression, "fit_svr", fit_and_keep)
    train(published.write(tmp_path), run, "--sets", "frame_statistics")
    assert "5 training videos with pseudo-labels, 1 without features" in capsys.readouterr().out
    assert fitted[-1].mos[-5:] == pytest.approx([1.0, 1.5, 2.5, 3.0, 3.5])
    assert len(fitted[-1].mos) == 38 + 39 + 40 + 5
    facts = teacher.load(tmp_path / "fast.h5").facts
    assert facts["distorted"] == {"videos": 5, "weight": 0.2, "labels": "pseudo"}
    assert len(teacher.load(tmp_path / "fast.h5").validation_mos) == 38 + 39 + 40


def test_the_teacher_records_that_some_of_the_labels_are_of_simulated_raters(tmp_path, run, capsys):
    run.update_facts(labels="mixed")
    train(published.write(tmp_path), run, "--sets", "frame_statistics")
    assert "5 training videos with pseudo-labels and simulated raters, 1 without" in capsys.readouterr().out
    assert teacher.load(tmp_path / "fast.h5").facts["distorted"]["labels"] == "mixed"


def test_distorted_versions_of_other_labels_or_for_other_features_are_refused(tmp_path, run):
    published.write(tmp_path)
    with pytest.raises(ValueError, match="give --sets frame_statistics"):
        train(tmp_path, run, "--sets", "brisque")
    run.update_facts(labels="people")
    with pytest.raises(ValueError, match="needs a run on pseudo-labels, those of .* are: people"):
        train(tmp_path, run, "--sets", "frame_statistics")
