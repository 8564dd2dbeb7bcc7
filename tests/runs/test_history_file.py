import math

import pytest

from nr_vqm.runs import history_file


def test_a_history_is_the_same_after_writing_and_reading(tmp_path):
    rows = [{"epoch": 1, "mse": 2.5, "val_srocc": None}, {"epoch": 2, "mse": 1.25, "val_srocc": 0.5}]
    history_file.write(tmp_path / "history.csv", rows)
    found = history_file.read(tmp_path / "history.csv")
    assert math.isnan(found[0].pop("val_srocc"))
    assert found == [{"epoch": 1, "mse": 2.5}, {"epoch": 2, "mse": 1.25, "val_srocc": 0.5}]


def test_a_history_that_does_not_exist_is_empty(tmp_path):
    assert history_file.read(tmp_path / "history.csv") == []


@pytest.mark.parametrize("row", ["1", "1,x", "1,2,3", "1,\x00", "1," + "9" * 200_000])
def test_a_damaged_history_is_refused(tmp_path, row):
    (tmp_path / "history.csv").write_text(f"epoch,mse\n{row}\n")
    with pytest.raises(ValueError, match=r"history\.csv is not the history of a training .* Train again: make train"):
        history_file.read(tmp_path / "history.csv")
