"""Published rows are read in their order, without those that no fit may use."""

import numpy as np
import published_files as published
import pytest
import scipy.io

from nr_vqm.handcrafted.methods import METHODS
from nr_vqm.teacher import published_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return published.write(tmp_path_factory.mktemp("published"))


def read(folder):
    return published_rows.read(folder, leave_out=folder / "leave_out.csv")


def test_rows_left_out_are_not_read(folder):
    rows = read(folder)
    assert [np.count_nonzero(rows.database == name) for name in published_rows.DATABASES] == [38, 39, 40]
    assert not {"konvid1k-3", "konvid1k-7", "live_vqc-0"} & set(rows.names)
    assert rows.matrix(("brisque", "videval")).shape == (117, 36 + 60)
    assert len(published_rows.feature_names(("brisque", "videval"))) == 96


def test_frame_statistics_are_a_selection_of_the_published_columns(folder):
    rows = read(folder)
    found = rows.features["frame_statistics"]
    assert found.shape == (117, 77)
    np.testing.assert_array_equal(found[:, :36], rows.features["brisque"])
    for column, name in enumerate(METHODS["frame_statistics"].feature_names()[36:], start=36):
        theirs = METHODS["videval"].feature_names().index(name.removeprefix("videval_"))
        np.testing.assert_array_equal(found[:, column], rows.features["videval"][:, theirs])


def test_names_mos_and_features_stay_together(folder):
    rows = read(folder)
    quality = 0.6 * rows.features["brisque"][:, 0] - 0.4 * rows.features["videval"][:, 5]
    for name in published_rows.DATABASES:
        mine = rows.database == name
        assert np.corrcoef(quality[mine], rows.mos[mine])[0, 1] > 0.95


def test_videos_without_mos_or_features_are_dropped(tmp_path):
    def change(name, mos):
        mos[5] = np.nan
        return mos

    published.write(tmp_path, change=change)
    path = tmp_path / "YOUTUBE_UGC_VIDEVAL_feats.mat"
    table = np.random.default_rng(0).normal(size=(40, METHODS["videval"].num_features))
    table[9], table[11, 4] = np.nan, np.inf
    scipy.io.savemat(path, {"feats": table})
    rows = read(tmp_path)
    assert not {"konvid1k-5", "youtube_ugc-5", "youtube_ugc-9"} & set(rows.names)
    (row,) = np.flatnonzero(rows.names == "youtube_ugc-11")
    assert np.isnan(rows.features["videval"][row, 4])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("konvid1k,3,konvid1k-4", "row 3 of konvid1k must be 'konvid1k-4'"),
        ("konvid1k,99,konvid1k-99", "row 99 of konvid1k must be"),
        ("kadid,3,x", "unknown database 'kadid'. Choose from: konvid1k"),
        ("konvid1k,three,x", r"list.csv, line 2: row must be a whole number from 0.* Found: row='three', name='x'"),
        ("konvid1k,3", r"list.csv, line 2: row must be .*, and name a text. Found: row='3', name=None"),
    ],
)
def test_a_list_for_other_files_is_refused(folder, tmp_path, line, message):
    (tmp_path / "list.csv").write_text(f"database,row,name\n{line}\n")
    with pytest.raises(ValueError, match=message):
        published_rows.read(folder, leave_out=tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("flickr_id,mos", "name,quality", r" needs the columns flickr_id and mos. Found: name, quality"),
        ("konvid1k-2,", "konvid1k-2,good", r", row 4: mos must be a number. Found: 'good"),
    ],
)
def test_damaged_metadata_are_refused(tmp_path, old, new, message):
    published.write(tmp_path)
    path = tmp_path / "KONVID_1K_metadata.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=f"KONVID_1K_metadata.csv{message}"):
        read(tmp_path)


def test_the_list_is_required(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--leave-out; a file with the header database,row,name alone"):
        published_rows.read(folder, leave_out=tmp_path / "none.csv")


def test_a_table_of_other_features_is_refused(tmp_path):
    published.write(tmp_path)
    scipy.io.savemat(tmp_path / "LIVE_VQC_BRISQUE_feats.mat", {"feats": np.ones((40, 35))})
    with pytest.raises(ValueError, match=r"LIVE_VQC_BRISQUE_feats.mat needs 36 columns, found 35"):
        read(tmp_path)
