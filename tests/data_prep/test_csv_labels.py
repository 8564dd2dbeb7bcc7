"""Reader of csv label files with path and mos."""

import pytest

from data_prep.databases import csv_labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,mos\na.mkv,3\n", "needs columns path and mos, found: file, mos"),
        ("path;mos\na.mkv;3,5\n", "needs columns path and mos, found: path;mos"),
        ("path,mos\n", "needs columns path and mos, found: no rows"),
        ("path,mos\na.mkv,3,4\n", r"line 2 has more cells than the header has columns: \['4'\]"),
        ("path,mos\na.mkv,good\n", "line 2: mos must be a number, found 'good'"),
        ("path,mos\na.mkv\n", "line 2: mos must be a number, found None"),
        ("path,mos\na.mkv,7\n", "line 2: mos must be in 1 to 5, found 7"),
        ("path,mos\na.mkv,nan\n", "line 2: mos must be in 1 to 5, found nan"),
        ("path,mos\n../a.mkv,3\n", "line 2: path must lie inside"),
        ("path;mos\na.mkv;3,2\n", "found: path;mos. The cells are separated by semicolons: save it with commas."),
        ("path,mos\n/etc/passwd,3\n", "line 2: path must lie inside"),
        ("path,mos\n,3\n", "line 2: path must lie inside"),
        ("mos,path\n3\n", "line 2: path must lie inside"),
        ("path,mos\na.mkv,3\na.mkv,4\n", "every video_id must be unique, found 'a.mkv' twice"),
        ("path,mos,video_id\na.mkv,3,x\nb.mkv,3,x\n", "every video_id must be unique, found 'x' twice"),
        ("path,mos,video_id\na.mkv,3,x\na.mkv,3,y\n", "every path must be unique"),
        ('path,mos,content\na.mkv,3,"a\rb"\n', r"line 2: content must not contain a carriage return, found 'a\\rb'"),
    ],
)
def test_refused_labels(tmp_path, text, message):
    (tmp_path / "labels.csv").write_bytes(text.encode())
    with pytest.raises(ValueError, match=message):
        csv_labels.read(tmp_path, mos_range=(1, 5))


def test_labels_in_another_encoding(tmp_path):
    (tmp_path / "labels.csv").write_text("path,mos\nü.mkv,3\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"labels\.csv cannot be read as csv .* save it as UTF-8"):
        csv_labels.read(tmp_path, mos_range=(1, 5))


def test_a_quote_that_is_not_closed(tmp_path):
    (tmp_path / "labels.csv").write_text('path,mos\n"a.mkv,3\n' + 140_000 * "b")
    with pytest.raises(ValueError, match=r"labels\.csv cannot be read as csv \(field larger .* Check its quotes"):
        csv_labels.read(tmp_path, mos_range=(1, 5))


def test_spaces_in_the_header(tmp_path):
    (tmp_path / "labels.csv").write_text("path, mos\na.mkv, 3\n")
    assert csv_labels.read(tmp_path, mos_range=(1, 5))[0].mos == 3


def test_no_labels(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*labels\.csv"):
        csv_labels.read(tmp_path, mos_range=(1, 5))
    with pytest.raises(FileNotFoundError, match=rf"there is no {tmp_path}/none\.csv\.$"):
        csv_labels.read(tmp_path / "none.csv", mos_range=(1, 5))


def test_optional_columns(tmp_path):
    (tmp_path / "my.csv").write_text("path,mos,content,video_id\na.mkv,3,,\nb.mkv,4,park,v2\n")
    first, second = csv_labels.read(tmp_path / "my.csv", mos_range=(1, 5))
    assert (first.video_id, first.content) == ("a.mkv", "a.mkv")
    assert (second.video_id, second.content, second.mos_high) == ("v2", "park", 5)


@pytest.mark.parametrize("cells", ["34,,yuv420p,30", "34,26,nv12,30", "34,26,yuv420p,"])
def test_a_csv_that_describes_raw_video_badly(tmp_path, cells):
    (tmp_path / "a.yuv").touch()
    (tmp_path / "labels.csv").write_text(f"path,mos,width,height,pixel_format,fps\na.yuv,3,{cells}\n")
    with pytest.raises(ValueError, match="line 2: pixel_format needs width, height and fps too: "):
        csv_labels.read(tmp_path, mos_range=(1, 5))


def test_a_csv_may_give_the_intervals_of_its_mos(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "b.mp4").touch()
    (tmp_path / "labels.csv").write_text("path,mos,mos_ci95\na.mp4,3,0.25\nb.mp4,4,\n")
    assert [one.mos_ci95 for one in csv_labels.read(tmp_path, mos_range=(1, 5))] == [0.25, 0]
    (tmp_path / "labels.csv").write_text("path,mos,mos_ci95\na.mp4,3,-1\n")
    with pytest.raises(ValueError, match="line 2: mos_ci95 must be a half width in the unit of the MOS, found '-1'"):
        csv_labels.read(tmp_path, mos_range=(1, 5))
