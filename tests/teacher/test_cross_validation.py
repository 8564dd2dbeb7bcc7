"""No prediction depends on the MOS of its own fold or database, nor any fit on the rows left out."""

import dataclasses

import numpy as np
import published_files as published
import pytest

from nr_vqm.teacher import cross_validation, published_rows, regression

SEARCH = regression.Search(c=(1.0, 8.0), gamma=(0.05,), num_trees=5, depth=2, folds=2, inner_folds=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return published.write(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def rows(folder):
    return published_rows.read(folder, leave_out=folder / "leave_out.csv")


def with_other_mos(rows, chosen):
    return dataclasses.replace(rows, mos=np.where(chosen, rows.mos.mean() - rows.mos, rows.mos))


def test_folds_are_even_within_each_database():
    database = np.array(["a"] * 10 + ["b"] * 23)
    folds = cross_validation.assign_folds(database, num_folds=5, seed=1)
    assert sorted(np.bincount(folds[:10])) == [2] * 5
    assert sorted(np.bincount(folds[10:])) == [4, 4, 5, 5, 5]


def test_predictions_of_a_fold_do_not_depend_on_its_mos(rows):
    test = cross_validation.assign_folds(rows.database, num_folds=2, seed=1) == 0
    before = cross_validation.nested(rows, SEARCH)
    after = cross_validation.nested(with_other_mos(rows, test), SEARCH)
    assert np.array_equal(before.chosen[test], after.chosen[test])
    assert not np.array_equal(before.chosen[~test], after.chosen[~test])
    assert cross_validation.criterion(rows, before.chosen) > 0.5


def test_predictions_of_a_database_do_not_depend_on_its_mos(rows):
    test = rows.database == "live_vqc"
    before = cross_validation.across(rows, SEARCH)["live_vqc"][0]
    after = cross_validation.across(with_other_mos(rows, test), SEARCH)["live_vqc"][0]
    assert np.array_equal(before, after)


def test_rows_left_out_change_no_fit(rows, tmp_path):
    def change(name, mos):
        for row in {"konvid1k": (3, 7), "live_vqc": (0,)}.get(name, ()):
            mos[row] = 1.0
        return mos

    published.write(tmp_path, change=change)
    others = published_rows.read(tmp_path, leave_out=tmp_path / "leave_out.csv")
    assert cross_validation.choose(others, SEARCH) == cross_validation.choose(rows, SEARCH)
    assert np.array_equal(others.mos, rows.mos)


def test_the_criterion_worked_by_hand(rows):
    three = rows.take(np.arange(6))
    three = dataclasses.replace(
        three, database=np.array(["a", "a", "a", "b", "b", "b"]), mos=np.array([1.0, 2, 3, 10, 20, 30])
    )
    assert cross_validation.criterion(three, np.array([1.0, 2, 3, 3, 2, 1])) == pytest.approx(0)
    assert cross_validation.criterion(three, np.array([1.0, 2, 3, 5, 5, 5])) == pytest.approx(0.5)


def test_videos_of_the_anchor_count_twice(rows):
    choice = cross_validation.choose(rows, SEARCH, [("brisque",)])
    found = cross_validation.fit(rows, cross_validation.Candidate(("brisque",), "svr"), choice, SEARCH)
    mos = cross_validation.aligned_mos(rows, cross_validation.scale_maps(rows))
    weights = np.where(rows.database == "konvid1k", 2.0, 1.0)
    settings = {"kind": "svr", "svr_settings": choice.svr_settings["brisque",], "search": SEARCH}
    features = rows.matrix(["brisque"])
    wanted, other = (regression.fit(features, mos, one, **settings) for one in (weights, np.ones(len(mos))))
    assert np.array_equal(found.predict(features), wanted.predict(features))
    assert not np.allclose(found.predict(features), other.predict(features))


def test_distorted_versions_are_in_every_fit_on_frame_statistics_and_in_no_test(rows, monkeypatch):
    distorted = published_rows.Distorted(rows.matrix([published_rows.SELECTION])[:7] + 1, np.full(7, 1.25))
    more = dataclasses.replace(rows, distorted=distorted)
    fitted, fit_svr = [], regression.fit_svr

    def fit_and_keep(sample, **settings):
        fitted.append(sample)
        return fit_svr(sample, **settings)

    monkeypatch.setattr(regression, "fit_svr", fit_and_keep)
    found = cross_validation.nested(more, SEARCH, choices=[(published_rows.SELECTION,)])
    choice = found.choices[0]
    cross_validation.fit(more, cross_validation.Candidate((published_rows.SELECTION,), "svr"), choice, SEARCH)
    assert len(found.chosen) == len(found.aligned) == len(rows.mos)
    assert all((one.mos[-7:] == 1.25).all() and (one.weights[-7:] == 0.2).all() for one in fitted)
    assert max(len(one.mos) for one in fitted) == len(rows.mos) + 7
    fitted.clear()
    cross_validation.choose(more, SEARCH, [("brisque",)])
    assert not any((one.mos == 1.25).any() for one in fitted)
