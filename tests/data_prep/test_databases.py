"""Readers of the downloads: on stand-ins, and on official label files where NR_VQM_DATA names a folder with them."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import stand_ins
from commands import prep

from data_prep import __main__ as data_prep
from data_prep import databases, label_files

LABELS = Path(os.environ.get("NR_VQM_DATA") or "none") / "labels"
needs_labels = pytest.mark.skipif(not LABELS.is_dir(), reason="NR_VQM_DATA names no folder with labels/")


def make_folder(root, videos, *, name, text=None, mat=None):
    """A download with one label file and empty video files."""
    for path in videos:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    root.mkdir(exist_ok=True)
    if text is not None:
        (root / name).write_text(text, encoding="utf-8")
    else:
        scipy.io.savemat(root / name, mat)
    return root


def column(values):
    return np.array(values, dtype=object)[:, None]


def summary(videos):
    """What tests compare: (id, content, mos, path below the database's folder, status)."""
    return [(v.video_id, v.content, v.mos, v.path, v.status) for v in videos]


def test_the_command_knows_every_reader():
    assert set(data_prep.DATABASES) == {*databases.DATABASES, "csv", "synthetic", "contents"}


# What each download looks like


@pytest.mark.parametrize("label_file", ["KoNViD_1k_attributes.csv", "KoNViD_1k_mos.csv"])
def test_konvid1k(tmp_path, label_file):
    mos = stand_ins.make_konvid1k(tmp_path, num_videos=4, num_frames=2)
    videos, labels = databases.read("konvid1k", tmp_path, labels=tmp_path / label_file)
    assert labels == [tmp_path / label_file]
    assert summary(videos) == [(i, i, m, f"KoNViD_1k_videos/{i}.mp4", "") for i, m in mos.items()]
    assert {(one.mos_low, one.mos_high) for one in videos} == {(1, 5)}


def test_konvid1k_names_of_other_mirrors(konvid):
    folder = konvid / "KoNViD_1k_videos"
    for kind, path in zip(["original", "cut"], sorted(folder.iterdir())[:2], strict=True):
        path.rename(konvid / f"{path.stem}_{kind}_centercrop_960x540_8s.mp4")
    videos, _ = databases.read("konvid1k", konvid)
    assert [Path(one.path).name.partition("_")[0].removesuffix(".mp4") for one in videos] == [
        one.video_id for one in videos
    ]
    assert not any(one.status for one in videos)


def test_live_qualcomm(qualcomm):
    videos, labels = databases.read("live_qualcomm", qualcomm)
    assert labels == [qualcomm / "qualcommSubjectiveData.mat"]
    assert summary(videos)[1:3] == [
        ("0911SceneA_GS6_20150911_130001", "0911_scenea", 30,
         "Color/0911SceneA_GS6_20150911_130001.yuv", ""),
        ("0912_SceneB_GS5_20150912_130002", "0912_sceneb", 41,
         "Exposure/0912_SceneB_GS5_20150912_130002.yuv", ""),
    ]  # fmt: skip
    assert {(one.mos_low, one.mos_high) for one in videos} == {(0, 100)}
    assert {(v.width, v.height, v.pixel_format, v.fps) for v in videos} == {(1920, 1080, "yuv420p", 30)}


def test_live_vqc(tmp_path):
    mat = {"video_list": column(["A001.mp4", "Q031.mp4"]), "mos": np.array([[80.25], [6.5]])}
    root = make_folder(tmp_path / "r", ["Video/A001.mp4", "Video/Q031.mp4"], name="data.mat", mat=mat)
    videos, _ = databases.read("live_vqc", root)
    assert summary(videos) == [
        ("A001", "A001", 80.25, "Video/A001.mp4", ""),
        ("Q031", "Q031", 6.5, "Video/Q031.mp4", ""),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Realignment_MOS.csv", "No;File_name;Content;Realignment MOS;\n1;Test01_City_D01;City;67,29;\n"
         "2;Test05_Talking_head_D16;Talking head;-6,5;\n;;;;\n"),
        ("CVD2014_attributes.csv", "flickr_id,file_name,MOS\n,Test01_City_D01.avi,67.29\n"
         ",Test05_Talking_head_D16.avi,-6.5\n"),
    ],
)  # fmt: skip
def test_cvd2014(tmp_path, name, text):
    paths = ["Test1/City/Test01_City_D01.avi", "Test5/Talking_head/Test05_Talking_head_D16.avi"]
    root = make_folder(tmp_path / "r", paths, name=name, text=text)
    videos, _ = databases.read("cvd2014", root)
    assert summary(videos) == [
        ("Test01_City_D01", "city", 67.29, paths[0], ""),
        ("Test05_Talking_head_D16", "talking_head", -6.5, paths[1], ""),
    ]
    assert (videos[0].mos_low, videos[0].mos_high) == (-10, 100)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_youtube_ugc(tmp_path, kind):
    text = "vid,category,mos\nAnimation_360P-08c9,Animation,3.652\nVlog_2160P-7bfb,Vlog,4.206\n"
    paths = ["original_videos/Animation/360P/Animation_360P-08c9.mkv", "Vlog_2160P-7bfb_crf_10_ss_00_t_20.0.mp4"]
    root = make_folder(tmp_path / "r", paths, name="YOUTUBE_UGC_metadata.csv", text=text)
    if kind == "xlsx":
        rows = [["vid", "category", None, "MOS full"], [], ["Animation_360P-08c9", "Animation", None, 3.652],
                ["Vlog_2160P-7bfb", None, 125, 4.206]]  # fmt: skip
        (root / "YOUTUBE_UGC_metadata.csv").unlink()
        stand_ins.write_xlsx(root / "original_videos_MOS_for_YouTube_UGC_dataset.xlsx", "MOS", rows)
    videos, _ = databases.read("youtube_ugc", root)
    assert summary(videos) == [
        ("Animation_360P-08c9", "Animation_360P-08c9", 3.652, paths[0], ""),
        ("Vlog_2160P-7bfb", "Vlog_2160P-7bfb", 4.206, paths[1], ""),
    ]


def test_lsvq_has_two_label_files(tmp_path):
    paths = ["yfcc-batch1/747.mp4", "ia-batch2/Grow_St._Ep._11.mp4"]
    root = make_folder(tmp_path / "r", paths, name="labels_train_test.csv",
                       text='name,p1,mos\nyfcc-batch1/747,"[1, 2]",67.75\n')  # fmt: skip
    (root / "labels_test_1080p.csv").write_text('name,p1,mos\nia-batch2/Grow_St._Ep._11,"[1, 2]",8.5\n')
    videos, labels = databases.read("lsvq", root)
    assert [path.name for path in labels] == ["labels_test_1080p.csv", "labels_train_test.csv"]
    assert sorted(summary(videos)) == [
        ("ia-batch2/Grow_St._Ep._11", "ia-batch2/Grow_St._Ep._11", 8.5, paths[1], ""),
        ("yfcc-batch1/747", "yfcc-batch1/747", 67.75, paths[0], ""),
    ]


def test_lsvq_lists(tmp_path):
    text = "yfcc-batch1/747.mp4, -1, -1, 67.75\nia-batch2/Ep._11.mp4, -1, -1, 8.5\n"
    root = make_folder(tmp_path / "r", ["yfcc-batch1/747.mp4"], name="LSVQ_labels_test.txt", text=text)
    videos, _ = databases.read("lsvq", root)
    assert summary(videos) == [
        ("yfcc-batch1/747", "yfcc-batch1/747", 67.75, "yfcc-batch1/747.mp4", ""),
        ("ia-batch2/Ep._11", "ia-batch2/Ep._11", 8.5, "ia-batch2/Ep._11.mp4", "missing"),
    ]


# What they refuse


@pytest.mark.parametrize("name", databases.DATABASES)
def test_a_wrong_folder_is_refused(name, tmp_path, capsys):
    assert prep(name, tmp_path / "none", tmp_path / "out") == 1
    assert "error: The database's folder is needed, there is no folder" in capsys.readouterr().err
    (tmp_path / "other.mp4").touch()
    assert prep(name, tmp_path, tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert f"is not the folder of this database: it has none of {databases.DATABASES[name].label_files[0]}" in error


HEADERS = {
    "konvid1k": ("KoNViD_1k_mos.csv", "flickr_id,mos", "2500000001"),
    "cvd2014": ("CVD2014_attributes.csv", "file_name,MOS", "Test01_City_D01.avi"),
    "youtube_ugc": ("YOUTUBE_UGC_metadata.csv", "vid,mos", "Vlog_720P-0a0a"),
    "lsvq": ("labels_train_test.csv", "name,mos", "yfcc-batch1/1"),
}
MATS = {"live_vqc": ("data.mat", "A001.mp4"), "live_qualcomm": ("qualcommSubjectiveData.mat", "0911_A_GS5_1.yuv")}


def labels_of(name, root, names, mos, *, mos_column=None):
    """A label file of one of the databases, with the MOS in another column where that is asked for."""
    if name in HEADERS:
        file_name, header, _ = HEADERS[name]
        header = header.replace(header.split(",")[1], mos_column or header.split(",")[1])
        rows = [f"{one},{value}" for one, value in zip(names, mos, strict=True)]
        return make_folder(root, [], name=file_name, text="\n".join([header, *rows]) + "\n")
    file_name, _ = MATS[name]
    columns = ("video_list", "mos") if name == "live_vqc" else ("vidNames", "unBiasedMOS")
    mat = {columns[0]: column(names), mos_column or columns[1]: np.array(mos, float)[:, None]}
    return make_folder(root, [], name=file_name, mat=mat)


def one_name(name):
    return (HEADERS.get(name) or MATS[name])[-1]


@pytest.mark.parametrize("name", databases.DATABASES)
def test_refused_labels_of_every_database(name, tmp_path):
    usual = one_name(name)
    for case, names, mos, options, message in [
        (
            "column",
            [usual],
            [3],
            {"mos_column": "zscore"},
            "is another version of the label file: a column ",
        ),
        (
            "names",
            ["../etc/passwd", usual],
            [3, 3],
            {},
            "row 1 is of another version .* is no video name of it",
        ),
        ("range", [usual], [101], {}, r"row 1: mos must be in -?\d+ to \d+, found 101. This is another version"),
        ("nan", [usual], ["nan"], {}, r"row 1: mos must be in -?\d+ to \d+, found nan"),
        ("twice", [usual, usual], [3, 4], {}, "row 2: every video must have one row, .* collides with"),
    ]:
        root = labels_of(name, tmp_path / case, names, mos, **options)
        with pytest.raises(ValueError, match=message):
            databases.read(name, root)


def test_ids_that_collide_but_for_their_case(tmp_path):
    names = ["0911_Kite_GS5_1.yuv", "0911_kite_GS5_1.yuv"]
    root = labels_of("live_qualcomm", tmp_path / "r", names, [30, 40])
    with pytest.raises(ValueError, match="row 2: every video must have one row, '0911_kite_GS5_1' collides with"):
        databases.read("live_qualcomm", root)


def test_more_videos_than_the_database_has_is_another_version(tmp_path):
    names = [f"{250000 + n}" for n in range(1201)]
    root = labels_of("konvid1k", tmp_path / "r", names, [3] * 1201)
    with pytest.raises(ValueError, match="konvid1k has 1 to 1,200 videos, it lists 1,201"):
        databases.read("konvid1k", root)


def test_no_rows_is_another_version(tmp_path):
    root = make_folder(tmp_path / "r", [], name="KoNViD_1k_mos.csv", text="flickr_id,mos\n")
    with pytest.raises(ValueError, match="konvid1k has 1 to 1,200 videos, it lists 0"):
        databases.read("konvid1k", root)


@pytest.mark.parametrize(
    ("database", "name", "header"),
    [
        ("cvd2014", "Realignment_MOS.csv", "No;File_name;Content;Realignment MOS;"),
        ("lsvq", "LSVQ_labels_a.txt", "a/b,-1,-1,3"),
    ],
)
def test_a_quote_that_is_not_closed(tmp_path, database, name, header):
    root = make_folder(tmp_path / "r", [], name=name, text=f'{header}\n"' + 140_000 * "b")
    with pytest.raises(ValueError, match=rf"{name} cannot be read as csv \(field larger .* Check its quotes"):
        databases.read(database, root)


def test_a_damaged_mat_file(tmp_path):
    root = make_folder(tmp_path / "r", [], name="data.mat", text="no matrix at all")
    with pytest.raises(ValueError, match=r"data\.mat cannot be read as \.mat"):
        databases.read("live_vqc", root)


def test_invalid_workbooks_are_refused(tmp_path):
    path = tmp_path / "a.xlsx"
    path.write_text("no workbook")
    with pytest.raises(ValueError, match=r"a\.xlsx cannot be read as a workbook with a sheet 'MOS': File is not a zip"):
        list(label_files.read(path, ["vid"], sheet="MOS"))
    stand_ins.write_xlsx(path, "diff", [["vid"]])
    with pytest.raises(ValueError, match="a sheet 'MOS': its sheets are other, diff"):
        list(label_files.read(path, ["vid"], sheet="MOS"))
    with pytest.raises(ValueError, match="a column vid is needed, found: none"):
        list(label_files.read(path, ["vid"], sheet="other"))


def test_the_same_label_file_in_two_places(konvid):
    shutil.copytree(konvid, konvid / "copy", ignore=shutil.ignore_patterns("*.mp4"))
    with pytest.raises(ValueError, match="has several: .* Name one: --labels FILE"):
        databases.read("konvid1k", konvid)
    assert len(databases.read("konvid1k", konvid, labels=konvid / "KoNViD_1k_mos.csv")[0]) == 5


def test_a_video_twice(konvid):
    path = next((konvid / "KoNViD_1k_videos").iterdir())
    shutil.copy(path, konvid / f"{path.stem}_original_centercrop_960x540_8s.mp4")
    with pytest.raises(ValueError, match=rf"Every video must have one file, found two: .*{path.stem}"):
        databases.read("konvid1k", konvid)


# Official label files


@needs_labels
@pytest.mark.parametrize(
    ("name", "label_file", "videos", "contents", "low", "high"),
    [
        ("konvid1k", "KoNViD_1k_attributes.csv", 1200, 1200, 1.22, 4.64),
        ("live_qualcomm", "qualcommSubjectiveData.mat", 208, 54, 16.562, 73.643),
        ("live_vqc", "LIVE-VQC_data.mat", 585, 585, 6.224, 94.287),
        ("cvd2014", "CVD2014_attributes.csv", 234, 5, -6.5, 93.38),
        ("youtube_ugc", "YOUTUBE_UGC_metadata.csv", 1149, 1149, 1.242, 4.677),
        ("lsvq", "LSVQ_labels_test.txt", 7186, 7186, 8.467, 91.033),
        ("lsvq", "LSVQ_whole_test_first400.csv", 400, 400, 22.745, 91.033),
    ],
)
def test_official_labels(name, label_file, videos, contents, low, high, tmp_path):
    found, _ = databases.read(name, tmp_path, labels=LABELS / label_file)
    assert (len(found), len({one.content for one in found})) == (videos, contents)
    mos = [one.mos for one in found]
    assert (round(min(mos), 3), round(max(mos), 3)) == (low, high)
    assert {one.status for one in found} == {label_files.MISSING}


@needs_labels
def test_real_videos_of_konvid1k_are_found_by_their_ids(tmp_path):
    videos, _ = databases.read("konvid1k", LABELS.parent / "videos", labels=LABELS / "KoNViD_1k_attributes.csv")
    found = {one.video_id: one.mos for one in videos if not one.status}
    assert found.items() >= {"10053703034": 3.46, "3339962845": 4.64, "2999049224": 3.44}.items()
    assert len(found) == 5
