import re

import pytest
import stand_ins
from sample_videos import place_frame, write_ffv1, write_trimmed

from data_prep import __main__ as data_prep
from data_prep import build
from data_prep.databases import csv_labels
from nr_vqm import command_line, presets
from nr_vqm.common import atomic_files
from nr_vqm.dataset import manifest, shards
from nr_vqm.video import reader


@pytest.fixture
def root(tmp_path):
    """A csv database of four good videos, one too short, one empty and one missing."""
    folder = tmp_path / "database"
    (folder / "in").mkdir(parents=True)
    names = ["a b.mkv", "in/ü.mkv", "c.mkv", "d.mkv"]
    for number, name in enumerate(names):
        frames = [place_frame(t, 30 + 2 * number, 44) for t in range(12 + number)]
        write_ffv1(folder / name, frames)
    write_ffv1(folder / "short.mkv", [place_frame(0, 30, 44)] * 5)
    (folder / "empty.mp4").touch()
    rows = [f"{name},{10 * number},scene{number // 2}" for number, name in enumerate(names)]
    rows += ["short.mkv,5,x", "empty.mp4,5,y", "missing.mp4,5,z"]
    (folder / "labels.csv").write_text("path,mos,content\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return folder


def prep(root, out, *more):
    arguments = ["csv", "--root", str(root), "--out", str(out), "--preset", "tiny", "--mos-range", "0", "100", *more]
    return data_prep.main(["--workers", "1", *arguments])


def test_every_video_is_prepared_or_listed_with_its_reason(root, tmp_path, capsys):
    assert prep(root, tmp_path / "data") == command_line.EXIT_FAILED
    videos = manifest.read(tmp_path / "data" / "manifest.csv")
    assert [video.status for video in videos] == ["ok"] * 4 + ["too_short", "unreadable", "missing"]
    assert [video.frames for video in videos] == [12, 13, 14, 15, 5, 0, 0]
    assert [video.height for video in videos[:4]] == [30, 32, 34, 36]
    printed = capsys.readouterr().out
    assert "skipped (too_short): short.mkv: one clip needs 7 frames, the video has 5" in printed
    assert "skipped (missing): missing.mp4: there is no file" in printed
    assert "4 of 7 videos are ready, 3 skipped (1 too_short, 1 unreadable, 1 missing)." in printed
    table = shards.read_table(tmp_path / "data")
    assert len(table) == 4 * 3 * 2
    assert [video.mos for video in videos if video.video_id in table.video_ids] == [0, 10, 20, 30]


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_video_that_the_system_refuses_to_open_is_unreadable(root, tmp_path, options, capsys):
    with open(root / "labels.csv", "a", encoding="utf-8") as labels:
        labels.write(f"{'n' * 300}.mp4,7,w\n")
    assert prep(root, tmp_path / "data", *options) == command_line.EXIT_FAILED
    printed = capsys.readouterr().out
    assert "4 of 8 videos are ready, 4 skipped (1 too_short, 2 unreadable, 1 missing)." in printed
    assert "[Errno 36] File name too long" in printed


def test_an_error_of_writing_a_shard_ends_the_preparation(root, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "_append", full)
    with pytest.raises(OSError, match="No space left on device"):
        prep(root, tmp_path / "data")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["notes.txt"], "1 file is not a video: notes.txt\n"),
        (["a.txt", "b.txt"], "2 files are not videos: a.txt, b.txt\n"),
    ],
)
def test_files_that_are_not_videos_are_counted(root, tmp_path, names, message, capsys):
    for name in names:
        (root / name).touch()
    prep(root, tmp_path / "data")
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(("options", "labels"), [([], "people"), (["--label-origin", "pseudo"], "pseudo")])
def test_the_origin_of_a_csv_s_labels_is_recorded(root, tmp_path, options, labels, capsys):
    prep(root, tmp_path / "data", *options)
    assert atomic_files.read_json(tmp_path / "data" / "prep.json", made_by="make prep")["labels"] == labels
    words = {"people": "people's opinions (MOS)", "pseudo": "pseudo-labels"}[labels]
    assert f"labels.csv; {words}\n" in capsys.readouterr().out


def test_the_origin_of_other_databases_is_known(root, tmp_path):
    for database in ("konvid1k", "synthetic"):
        arguments = [database, "--root", str(root), "--out", str(tmp_path / "data"), "--label-origin", "people"]
        with pytest.raises(ValueError, match=f"--label-origin is for csv, the origin of the labels of {database}"):
            data_prep.main(arguments)


def test_dry_run_writes_nothing(root, tmp_path, capsys):
    assert prep(root, tmp_path / "data", "--dry-run") == command_line.EXIT_FAILED
    assert not (tmp_path / "data").exists()
    assert "4 videos, 24 clips, about 0.00 GB on disk" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_trimmed_video_is_complete_and_a_truncated_one_is_damaged(tmp_path, options, capsys):
    path = write_trimmed(tmp_path / "trim.mp4", first=15, count=25)
    (tmp_path / "cut.mp4").write_bytes(path.read_bytes()[: int(0.8 * path.stat().st_size)])
    (tmp_path / "labels.csv").write_text("path,mos\ntrim.mp4,40\ncut.mp4,50\n")
    assert prep(tmp_path, tmp_path / "data", *options) == command_line.EXIT_FAILED
    printed = capsys.readouterr().out
    assert "1 of 2 videos are ready, 1 skipped (1 damaged)." in printed
    assert "skipped (damaged): cut.mp4: 25 frames are declared, " in printed
    if not options:
        trimmed, _ = manifest.read(tmp_path / "data" / "manifest.csv")
        assert trimmed.frames == 25


def test_no_escape_sequence_of_a_label_file_is_printed(root, tmp_path, capsys):
    names = ["\x1b]0;title\x07none.mp4", "\x9b31mshort.mkv"]
    (root / names[1]).write_bytes((root / "short.mkv").read_bytes())
    with open(root / "labels.csv", "a", encoding="utf-8") as labels:
        labels.write("".join(f"{name},7,w\n" for name in names))
    (root / "\x1b[31mextra.mkv").touch()
    prep(root, tmp_path / "data")
    printed = capsys.readouterr()
    assert "title\N{REPLACEMENT CHARACTER}none.mp4" in printed.out and "extra.mkv" in printed.out
    assert not {"\x1b", "\x9b", "\x07"} & set(printed.out + printed.err)


def test_dry_run_does_not_make_the_synthetic_videos(tmp_path):
    with pytest.raises(ValueError, match="The synthetic videos are not made yet"):
        data_prep.main(["synthetic", "--out", str(tmp_path / "data"), "--preset", "tiny", "--dry-run"])
    assert not (tmp_path / "data").exists()


def test_a_full_disk_is_refused_before_anything_is_written(root, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(build.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match=r"The shards need .* GB, .* has 0\.0 GB free. Choose another --out"):
        prep(root, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".lock"]


def test_shards_that_are_written_need_no_new_space(root, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SHARD_BYTES", 80_000)
    (root / "short.mkv").unlink()
    (root / "empty.mp4").unlink()
    prep(root, tmp_path / "data")
    (tmp_path / "data" / "clips-00002.h5").unlink()
    usage = type("Usage", (), {"free": build.stored_size(6, clip_frames=7, clip_size=24) + 1})  # one shard of four
    monkeypatch.setattr(build.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match="The shards need"):
        prep(root, tmp_path / "other")
    prep(root, tmp_path / "data")
    assert (tmp_path / "data" / "clips-00002.h5").exists()


@pytest.mark.slow
def test_two_processes_make_the_same_shards(root, tmp_path):
    prep(root, tmp_path / "one")
    prep(root, tmp_path / "two", "--workers", "2")
    indices = [(tmp_path / name / "index.json").read_bytes() for name in ("one", "two")]
    assert indices[0] == indices[1]


def test_other_settings_in_the_same_folder_are_refused(root, tmp_path):
    prep(root, tmp_path / "data")
    with pytest.raises(ValueError, match="was prepared with clip_size=24. Received: 22. Choose another"):
        prep(root, tmp_path / "data", "--set", "clip_size=22")


def test_nothing_left(tmp_path):
    (tmp_path / "labels.csv").write_text("path,mos\nnone.mp4,3\n")
    with pytest.raises(ValueError, match="No video can be prepared"):
        prep(tmp_path, tmp_path / "data")


def test_the_dry_run_estimates_from_the_first_videos(root, monkeypatch):
    rows = csv_labels.read(root, mos_range=(0, 100))
    settings = {**presets.PRESETS["tiny"].training_clips, "stride": 4}
    videos = [build.inspect_video(one, root=root, clip_settings=settings, decode=False) for one in rows]
    assert [one.status for one in videos] == ["ok"] * 4 + ["too_short", "unreadable", "missing"]
    opened, real = [], reader.read_frames
    monkeypatch.setattr(reader, "read_frames", lambda path, raw: opened.append(path.name) or real(path, raw))
    assert 0 < build.estimate_seconds(videos, root=root, clip_settings=settings, workers=1) < 60
    assert opened == ["a b.mkv", "ü.mkv", "c.mkv"]


def test_verify_names_a_damaged_shard_and_prep_writes_only_that(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "SHARD_BYTES", 80_000)
    out = tmp_path / "data"
    (root / "short.mkv").unlink()
    (root / "empty.mp4").unlink()
    prep(root, out)
    assert data_prep.main(["verify", str(out)]) == 0
    index = (out / "index.json").read_bytes()
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("clips-*.h5")}
    with open(out / "clips-00002.h5", "r+b") as file:
        file.seek(-9, 2)
        file.write(b"x")
    capsys.readouterr()
    assert data_prep.main(["verify", str(out)]) == command_line.EXIT_FAILED
    printed = capsys.readouterr().out
    assert re.search(r"damaged: \S+clips-00002\.h5, SHA-256 \w{64}, index\.json has \w{64}", printed)
    assert "1 shards are missing or damaged; make prep writes them again." in printed
    assert data_prep.main(["verify", str(out)]) == command_line.EXIT_FAILED
    assert "missing: " in capsys.readouterr().out
    prep(root, out, "--dry-run")
    printed = capsys.readouterr().out
    assert "1 shards are missing, clips-00002.h5 first; they would be written again." in printed
    assert "1 videos, 6 clips, about 0.00 GB on disk" in printed
    prep(root, out)
    assert "1 shards are missing, clips-00002.h5 first; they are written again." in capsys.readouterr().out
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("clips-*.h5")}
    assert {name for name in before if before[name][0] != after[name][0]} == {"clips-00002.h5"}
    assert {name: data for name, (_, data) in before.items()} == {name: data for name, (_, data) in after.items()}
    assert (out / "index.json").read_bytes() == index
    assert data_prep.main(["verify", str(out)]) == 0


def test_verify_of_an_unfinished_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"index\.json is missing. Make it first: make prep"):
        data_prep.main(["verify", str(tmp_path)])


def test_what_a_killed_writer_left_is_deleted(root, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".clips-00000.part-here-7-8.h5").touch()
    prep(root, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data").glob(".*")] == [".lock"]


def test_raw_video_in_a_csv(tmp_path):
    stand_ins.write_yuv420p(tmp_path / "a.yuv", stand_ins.noisy_frames(1, 8, 26, 34, noise=3))
    (tmp_path / "b.yuv").write_bytes(bytes(8 * 2 * 26 * 34 * 2))
    rows = ["a.yuv,3,34,26,yuv420p,30", "b.yuv,4,34,26,yuv422p10le,25", "c.mp4,2,,,,"]
    text = "\n".join(["path,mos,width,height,pixel_format,fps", *rows])
    (tmp_path / "labels.csv").write_text(text)
    assert prep(tmp_path, tmp_path / "data") == command_line.EXIT_FAILED
    first, second, third = manifest.read(tmp_path / "data" / "manifest.csv")
    assert (first.frames, first.raw.pixel_format, first.status) == (8, "yuv420p", "ok")
    assert (second.frames, second.raw.pixel_format, second.fps) == (8, "yuv422p10le", 25)
    assert (third.raw, third.status) == (None, "missing")


def test_a_pixel_format_of_a_video_that_is_not_raw_is_ignored(root, tmp_path, capsys):
    text = "path,mos,width,height,pixel_format,fps\nc.mkv,3,44,34,yuv420p,25\nd.mkv,4,44,36,yuv444p,25\n"
    (root / "labels.csv").write_text(text)
    assert prep(root, tmp_path / "data") == 0
    assert [one.pixel_format for one in manifest.read(tmp_path / "data" / "manifest.csv")] == ["", ""]
    capsys.readouterr()
    assert prep(root, tmp_path / "data") == 0
    assert "is complete already." in capsys.readouterr().out


def test_raw_video_that_nothing_describes(tmp_path, capsys):
    (tmp_path / "a.yuv").write_bytes(bytes(3 * 26 * 34 * 4))
    (tmp_path / "labels.csv").write_text("path,mos\na.yuv,3\n")
    with pytest.raises(ValueError, match="No video can be prepared"):
        prep(tmp_path, tmp_path / "data")
    assert "a.yuv is raw video without a header. Give its size, pixel" in capsys.readouterr().out
    raw = ["--raw", "34x26:yuv420p:30"]
    assert prep(tmp_path, tmp_path / "data", *raw) == 0
    assert manifest.read(tmp_path / "data" / "manifest.csv")[0].frames == 8
