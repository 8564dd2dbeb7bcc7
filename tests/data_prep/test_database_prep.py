"""Prep of downloaded databases: stand-ins with small videos, and official labels where NR_VQM_DATA has them."""

import os
import re
import shutil
from pathlib import Path

import pytest
import stand_ins
from commands import prep

from data_prep import __main__ as data_prep
from nr_vqm import command_line
from nr_vqm.common import atomic_files
from nr_vqm.dataset import manifest, shards

LABELS = Path(os.environ.get("NR_VQM_DATA") or "none") / "labels"
needs_labels = pytest.mark.skipif(not LABELS.is_dir(), reason="NR_VQM_DATA names no folder with labels/")
RAW = ["--raw", "72x48:yuv420p:30"]


@pytest.mark.parametrize(
    ("database", "options", "message"),
    [
        ("konvid1k", ["--mos-range", "0", "100"], "--mos-range is for csv, the scale of konvid1k is known"),
        ("konvid1k", RAW, "--raw is for .yuv files, no label of konvid1k is of one"),
        ("konvid1k", ["--raw", "big"], "described as WIDTHxHEIGHT:PIXEL_FORMAT:FPS. Received: 'big'"),
        ("konvid1k", ["--labels", "none.csv"], "there is no none.csv"),
        ("csv", ["--mos-range", "0", "1", "--labels", "a.csv"], "--labels is for downloaded databases"),
        ("csv", [], "csv needs --mos-range LOW HIGH"),
    ],
)
def test_options_that_do_not_fit(konvid, tmp_path, capsys, database, options, message):
    assert prep(database, konvid, tmp_path / "out", *options) == 1
    assert message in capsys.readouterr().err


def test_no_root(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command_line.run(data_prep.main, ["konvid1k", "--out", str(tmp_path)])
    assert "konvid1k needs --root DIR, the folder of the videos: docs/databases.md" in capsys.readouterr().err


def test_konvid1k_with_a_missing_an_extra_and_a_damaged_video(konvid, tmp_path, capsys):
    ids = sorted(path.stem for path in (konvid / "KoNViD_1k_videos").iterdir())
    (konvid / "KoNViD_1k_videos" / f"{ids[0]}.mp4").unlink()
    for video_id, share in [(ids[1], 0.7), (ids[2], 0.05)]:  # some frames are left, or none
        path = konvid / "KoNViD_1k_videos" / f"{video_id}.mp4"
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    (konvid / "holiday.mov").touch()
    assert prep("konvid1k", konvid, tmp_path / "data") == command_line.EXIT_FAILED
    printed = capsys.readouterr().out
    assert f"extra file, not in the labels: {konvid / 'holiday.mov'}" in printed
    assert "On disk: 4 of 5 videos, 1 missing, 1 extra files" in printed
    assert f"skipped (missing): {ids[0]}: there is no file for it below {konvid}, usually KoNViD_1k_videos" in printed
    assert "2 of 5 videos are ready, 3 skipped (1 damaged, 1 unreadable, 1 missing)." in printed
    rows = {one.video_id: one for one in manifest.read(tmp_path / "data" / "manifest.csv")}
    assert [rows[video_id].status for video_id in ids] == ["missing", "damaged", "unreadable", "ok", "ok"]
    assert re.fullmatch(r"9 frames are declared, [1-8] can be decoded", rows[ids[1]].reason)
    assert rows[ids[2]].reason
    assert sorted(set(shards.read_table(tmp_path / "data").video_ids)) == ids[3:]
    assert atomic_files.read_json(tmp_path / "data" / "index.json", made_by="")["videos"] == 2
    assert prep("konvid1k", konvid, tmp_path / "data") == command_line.EXIT_FAILED  # also when nothing is left to do
    assert "2 of 5 videos are ready" in capsys.readouterr().out


def test_a_video_that_arrives_later_is_added(konvid, tmp_path, capsys):
    path = next((konvid / "KoNViD_1k_videos").iterdir())
    path.rename(tmp_path / path.name)
    assert prep("konvid1k", konvid, tmp_path / "data") == command_line.EXIT_FAILED
    before = (tmp_path / "data" / "clips-00000.h5").read_bytes()
    (tmp_path / path.name).rename(path)
    assert prep("konvid1k", konvid, tmp_path / "data") == 0
    assert "Prepared before and kept: 4 videos. To prepare: 1 videos" in capsys.readouterr().out
    assert (tmp_path / "data" / "clips-00000.h5").read_bytes() == before
    table = shards.read_table(tmp_path / "data")
    assert table.video_ids.tolist()[4:] == [path.stem]


def test_live_qualcomm_raw_video_to_shards(qualcomm, tmp_path, capsys):
    assert prep("live_qualcomm", qualcomm, tmp_path / "data", *RAW) == 0
    assert "6 videos, 3 scenes, MOS 20.00 to 72.00 on 0 to 100 (the whole live_qualcomm: 208" in capsys.readouterr().out
    rows = manifest.read(tmp_path / "data" / "manifest.csv")
    assert {(v.frames, v.width, v.height, v.pixel_format, v.fps) for v in rows} == {(8, 72, 48, "yuv420p", 30.0)}
    assert len(shards.read_table(tmp_path / "data")) == 6 * 3 * 2


def test_a_raw_video_that_is_cut_off_is_left_out(qualcomm, tmp_path, capsys):
    path = next(qualcomm.rglob("*.yuv"))
    path.write_bytes(path.read_bytes()[:-100])
    assert prep("live_qualcomm", qualcomm, tmp_path / "data", *RAW) == command_line.EXIT_FAILED
    printed = capsys.readouterr().out
    assert f"skipped (unreadable): {path.stem}: A whole number of 72x48 yuv420p frames of 5,184 bytes" in printed
    assert "5 of 6 videos are ready, 1 skipped (1 unreadable)." in printed
    assert "or continue without them: make train, with the same DATA and RUN." in printed
    assert path.stem not in shards.read_table(tmp_path / "data").video_ids


def test_live_qualcomm_files_of_another_size_are_refused_one_by_one(qualcomm, tmp_path, capsys):
    assert prep("live_qualcomm", qualcomm, tmp_path / "data") == command_line.EXIT_FAILED
    printed = capsys.readouterr()
    assert "A whole number of 1920x1080 yuv420p frames of 3,110,400 bytes is needed" in printed.out
    assert "0 of 6 videos are ready, 6 skipped (6 unreadable)." in printed.out
    assert "continue without them" not in printed.out
    assert "No video can be prepared" in printed.err


@pytest.mark.slow
def test_live_qualcomm_in_its_real_size(tmp_path):
    stand_ins.make_live_qualcomm(tmp_path / "q", num_scenes=1, phones=1, num_frames=7)
    assert prep("live_qualcomm", tmp_path / "q", tmp_path / "data") == 0
    rows = manifest.read(tmp_path / "data" / "manifest.csv")
    assert {(one.frames, one.width, one.height) for one in rows} == {(7, 1920, 1080)}


def test_the_paper_has_other_clips_for_live_qualcomm(qualcomm, tmp_path, capsys):
    for path in qualcomm.rglob("*.yuv"):
        path.unlink()
    assert prep("live_qualcomm", qualcomm, tmp_path / "data", "--preset", "paper", "--dry-run") == 0
    assert "55 x 32 clips a video (groups x blocks, 4 x 8), each 16 frames" in capsys.readouterr().out
    assert prep("live_qualcomm", qualcomm, tmp_path, "--preset", "paper", "--dry-run", "--set", "train_grid=3x5") == 0
    assert "55 x 15 clips a video (groups x blocks, 3 x 5)" in capsys.readouterr().out


def test_a_dry_run_without_videos_prints_the_numbers_of_the_labels(konvid, tmp_path, capsys):
    shutil.rmtree(konvid / "KoNViD_1k_videos")
    assert prep("konvid1k", konvid, tmp_path / "data", "--preset", "paper", "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "26 x 8 clips a video (groups x blocks, 2 x 4), each 16 frames of 224 x 224: 1,040 clips" in printed
    assert "for a 80 % split exactly 832 training clips, of 4 videos" in printed
    assert "None of the 5 videos is on disk yet. The numbers above are from the labels." in printed
    assert not (tmp_path / "data").exists()
    assert prep("konvid1k", konvid, tmp_path / "data") == command_line.EXIT_FAILED
    assert "No video can be prepared" in capsys.readouterr().err


def test_long_lists_are_cut_and_counted(konvid, tmp_path, capsys):
    for number in range(25):
        (konvid / f"extra{number:02d}.mp4").touch()
    assert prep("konvid1k", konvid, tmp_path / "data", "--dry-run") == 0
    printed = capsys.readouterr().out
    assert printed.count("extra file, not in the labels") == 20
    assert "... and 5 more like these" in printed and "25 extra files" in printed


@needs_labels
def test_dry_run_on_the_official_labels(tmp_path, capsys):
    paper = ["--preset", "paper", "--dry-run"]
    shutil.copy(LABELS / "KoNViD_1k_attributes.csv", tmp_path)
    assert prep("konvid1k", tmp_path, tmp_path / "out", *paper) == 0
    printed = capsys.readouterr().out
    assert "1,200 videos, 1,200 contents, MOS 1.22 to 4.64 on 1 to 5" in printed
    assert "26 x 8 clips a video" in printed
    assert "for a 90 % split exactly 224,640 training clips, of 1,080 videos" in printed
    shutil.copy(LABELS / "qualcommSubjectiveData.mat", tmp_path)
    assert prep("live_qualcomm", tmp_path, tmp_path / "out", *paper) == 0
    assert "208 videos, 54 scenes, MOS 16.56 to 73.64 on 0 to 100" in capsys.readouterr().out
