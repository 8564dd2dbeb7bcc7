"""The command fits a teacher that loads, and reports its agreement with people."""

import functools

import published_files as published
import pytest

from experiments import train_teacher
from nr_vqm.handcrafted.methods import METHODS
from nr_vqm.teacher import regression, teacher


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


def test_the_features_may_be_given(tmp_path):
    published.write(tmp_path)
    out = tmp_path / "teacher.h5"
    options = ["--out", str(out), "--jobs", "1", "--resamples", "20", "--sets", "brisque"]
    train_teacher.main(["--features", str(tmp_path), *options])
    loaded = teacher.load(out)
    assert loaded.feature_sets == ("brisque",)
    assert {name.rpartition(" of ")[2] for name in loaded.facts["agreement"] if " of " in name} == {"brisque"}
