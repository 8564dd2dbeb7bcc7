"""Prep on a database that was stopped half-way, repaired, extended, relabelled or moved."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import stand_ins
from sample_videos import place_frame, write_ffv1, write_trimmed

from data_prep import __main__ as data_prep
from data_prep import build
from nr_vqm import command_line
from nr_vqm.common import atomic_files
from nr_vqm.common.folder_lock import folder_lock
from nr_vqm.dataset import clip_batches, manifest, shards
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.video import reader

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Two videos a shard: six clips of a video are 72,576 bytes."""
    monkeypatch.setattr(build, "SHARD_BYTES", 160_000)


@pytest.fixture
def root(tmp_path):
    """A csv database of five videos: v0.mkv to v4.mkv, of 12 to 16 frames and MOS 0 to 40."""
    folder = tmp_path / "database"
    folder.mkdir()
    for number in range(5):
        write_video(folder / f"v{number}.mkv", number)
    write_labels(folder, range(5))
    return folder


def write_video(path, number, num_frames=None):
    return write_ffv1(path, [place_frame(9 * number + t, 30, 44) for t in range(num_frames or 12 + number)])


def write_labels(folder, numbers, **changed):
    rows = [f"v{number}.mkv,{changed.get(f'v{number}', 10 * number)}" for number in numbers]
    (folder / "labels.csv").write_text("path,mos\n" + "\n".join(rows) + "\n")


def prep(root, out, *more):
    arguments = ["csv", "--root", str(root), "--out", str(out), "--preset", "tiny", "--mos-range", "0", "100", *more]
    return data_prep.main(["--workers", "1", *arguments])


def contents(out):
    """{name: bytes} of a data folder."""
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


def clips_of(out):
    """{video_id: its clips} as training reads them."""
    table, found = shards.read_table(out), {}
    for row in range(len(table)):
        clip = np.empty(table.clip_shape, np.uint8)
        table.read_into(row, clip, table.scratch())
        found.setdefault(table.video_ids[table.video[row]], []).append(clip)
    return {name: np.stack(clips) for name, clips in found.items()}


def assert_same_clips(out, other):
    one, two = clips_of(out), clips_of(other)
    assert sorted(one) == sorted(two)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


def statuses(out):
    return {one.video_id: one.status for one in manifest.read(out / "manifest.csv")}


@pytest.fixture
def opened(monkeypatch):
    """Names of the videos that were opened, in order."""
    names, real = [], reader.read_frames
    monkeypatch.setattr(reader, "read_frames", lambda path, raw: names.append(Path(path).name) or real(path, raw))
    return names


def test_every_video_is_decoded_once(root, tmp_path, opened):
    write_trimmed(root / "trim.mp4", first=15, count=25)
    (root / "empty.mp4").touch()
    (root / "labels.csv").write_text((root / "labels.csv").read_text() + "trim.mp4,50\nempty.mp4,60\n")
    assert prep(root, tmp_path / "data") == command_line.EXIT_FAILED
    assert opened == ["v0.mkv", "v1.mkv", "v2.mkv", "v3.mkv", "v4.mkv", "trim.mp4", "empty.mp4"]
    rows = {one.video_id: one for one in manifest.read(tmp_path / "data" / "manifest.csv")}
    assert (rows["trim.mp4"].frames, rows["trim.mp4"].status, rows["trim.mp4"].reason) == (25, "ok", "")
    assert rows["empty.mp4"].status == "unreadable"


@pytest.mark.parametrize("promise", [-1, 1, 4])
def test_a_video_with_other_frames_than_promised_is_cut_where_a_count_would(root, tmp_path, monkeypatch, promise):
    """The header may declare a few frames more, within the tolerance for damaged files, or none at all."""
    prep(root, tmp_path / "right")
    real = reader.read_frames

    def promises(path, raw):
        frames = real(path, raw)
        wrong = Path(path).name in ("v1.mkv", "v2.mkv")
        object.__setattr__(frames.info, "expected", frames.info.expected + wrong * promise)
        object.__setattr__(frames.info, "frames", 0 if wrong else frames.info.frames)
        return frames

    monkeypatch.setattr(reader, "read_frames", promises)
    prep(root, tmp_path / "wrong")
    one, two = contents(tmp_path / "right"), contents(tmp_path / "wrong")
    assert one == two


def test_a_damaged_video_costs_its_neighbours_nothing(root, tmp_path, opened):
    path = stand_ins.write_h264(root / "v1.mp4", stand_ins.noisy_frames(1, 40, 48, 64, noise=20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (root / "v1.mkv").unlink()
    (root / "labels.csv").write_text((root / "labels.csv").read_text().replace("v1.mkv", "v1.mp4"))
    prep(root, tmp_path / "data")
    assert opened == ["v0.mkv", "v1.mp4", "v2.mkv", "v3.mkv", "v4.mkv"]
    assert statuses(tmp_path / "data")["v1.mp4"] == "damaged"
    assert sorted(clips_of(tmp_path / "data")) == ["v0.mkv", "v2.mkv", "v3.mkv", "v4.mkv"]


def test_a_video_that_fails_in_the_middle_leaves_no_clips(root, tmp_path, monkeypatch):
    real = clips_iter = build.clips.iter_groups

    def fails(frames, grid):
        groups = real(frames, grid)
        yield next(groups)
        if grid.starts[-1] == 14 - 7:  # v2.mkv has 14 frames
            raise ValueError("It broke.")
        yield from groups

    monkeypatch.setattr(build.clips, "iter_groups", fails)
    prep(root, tmp_path / "data")
    monkeypatch.setattr(build.clips, "iter_groups", clips_iter)
    write_labels(root, [0, 1, 3, 4])
    prep(root, tmp_path / "without")
    assert statuses(tmp_path / "data")["v2.mkv"] == "unreadable"
    assert_same_clips(tmp_path / "data", tmp_path / "without")


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_a_stopped_prep_resumes_and_ends_the_same(root, tmp_path, monkeypatch, opened, stop_at):
    (root / "v2.mkv").write_bytes(b"nothing")
    prep(root, tmp_path / "whole")
    real, count = build.write_shard, iter(range(1, 9))

    def stops(job):
        if next(count) == stop_at:
            raise KeyboardInterrupt
        return real(job)

    monkeypatch.setattr(build, "write_shard", stops)
    with pytest.raises(KeyboardInterrupt):
        prep(root, tmp_path / "stopped")
    with pytest.raises(FileNotFoundError, match="index.json is missing. Make it first: make prep"):
        shards.read_table(tmp_path / "stopped")
    monkeypatch.setattr(build, "write_shard", real)
    with open(DataFolder(tmp_path / "stopped").progress, "a") as file:
        file.write('{"number": 2, "che')  # a line that was not written whole
    opened.clear()
    prep(root, tmp_path / "stopped")
    assert len(opened) == 5 - 2 * (stop_at - 1)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_new_and_repaired_videos_go_into_new_shards(root, tmp_path, capsys, opened):
    (root / "v1.mkv").write_bytes(b"nothing")
    (root / "v3.mkv").unlink()
    out = tmp_path / "data"
    assert prep(root, out) == command_line.EXIT_FAILED
    assert [statuses(out)[f"v{n}.mkv"] for n in range(5)] == ["ok", "unreadable", "ok", "missing", "ok"]
    before = contents(out)
    old_clips = clips_of(out)
    for number in (1, 3, 5):
        write_video(root / f"v{number}.mkv", number)
    write_labels(root, range(6))
    opened.clear()
    capsys.readouterr()
    assert prep(root, out) == 0
    assert opened == ["v1.mkv", "v3.mkv", "v5.mkv"]
    printed = capsys.readouterr().out
    assert (
        "Prepared before and kept: 3 videos. To prepare: 3 videos, of which 1 failed before and 0 have a changed file"
        in printed
    )
    assert "6 of 6 videos are ready, 0 skipped." in printed
    after = contents(out)
    for name in before:
        assert not name.endswith(".h5") or after[name] == before[name]
    prep(root, tmp_path / "fresh")
    assert_same_clips(out, tmp_path / "fresh")
    assert list(clips_of(out))[:3] == list(old_clips)  # what a training has seen keeps its place
    shas = [manifest.read_prep(folder)["labels_sha256"] for folder in (out, tmp_path / "fresh")]
    assert shas[0] == shas[1]
    assert prep(root, out) == 0
    assert f"{out} is complete already." in capsys.readouterr().out


def test_a_video_that_fails_again_is_attempted_at_every_prep(root, tmp_path, opened):
    (root / "v1.mkv").write_bytes(b"nothing")
    prep(root, tmp_path / "data")
    before = contents(tmp_path / "data")
    opened.clear()
    assert prep(root, tmp_path / "data") == command_line.EXIT_FAILED
    assert opened == ["v1.mkv"]
    assert {name: one for name, one in contents(tmp_path / "data").items() if name.endswith((".h5", ".csv"))} == {
        name: one for name, one in before.items() if name.endswith((".h5", ".csv"))
    }


def test_a_replaced_video_is_prepared_again_and_its_old_clips_are_not_used(root, tmp_path, capsys):
    out = tmp_path / "data"
    prep(root, out)
    before = contents(out)
    write_video(root / "v2.mkv", 7, num_frames=30)
    assert prep(root, out) == 0
    assert "0 failed before and 1 have a changed file." in capsys.readouterr().out
    after = contents(out)
    assert all(after[name] == before[name] for name in before if name.endswith(".h5"))
    prep(root, tmp_path / "fresh")
    assert_same_clips(out, tmp_path / "fresh")
    assert atomic_files.read_json(out / "index.json", made_by="")["stale"] == [[1, "v2.mkv"]]
    (out / "clips-00001.h5").unlink()  # written again without the old video
    prep(root, out)
    assert atomic_files.read_json(out / "index.json", made_by="")["stale"] == []
    assert_same_clips(out, tmp_path / "fresh")


def test_a_file_replaced_by_one_of_the_same_size_is_prepared_again(tmp_path, capsys):
    root, out = tmp_path / "raw", tmp_path / "data"
    root.mkdir()
    (root / "labels.csv").write_text("path,mos,width,height,pixel_format,fps\na.yuv,3,34,26,yuv420p,30\n")
    stand_ins.write_yuv420p(root / "a.yuv", stand_ins.noisy_frames(1, 8, 26, 34, noise=3))
    prep(root, out)
    size, old_clips = (root / "a.yuv").stat().st_size, clips_of(out)["a.yuv"]
    stand_ins.write_yuv420p(root / "a.yuv", stand_ins.noisy_frames(2, 8, 26, 34, noise=3))
    assert (root / "a.yuv").stat().st_size == size
    capsys.readouterr()
    assert prep(root, out) == 0
    assert "0 failed before and 1 have a changed file." in capsys.readouterr().out
    prep(root, tmp_path / "fresh")
    assert_same_clips(out, tmp_path / "fresh")
    assert not np.array_equal(clips_of(out)["a.yuv"], old_clips)


def test_labels_that_changed_are_taken_over_and_the_clips_stay(root, tmp_path, capsys, opened):
    out = tmp_path / "data"
    prep(root, out)
    before = contents(out)
    sha = manifest.read_prep(out)["labels_sha256"]
    write_labels(root, range(5), v2=77)
    opened.clear()
    assert prep(root, out) == 0
    assert "1 videos have a new label, which is used from now on; their clips are kept." in capsys.readouterr().out
    assert opened == []
    assert manifest.read_prep(out)["labels_sha256"] != sha
    assert {name: contents(out)[name] for name in before if name.endswith(".h5")} == {
        name: data for name, data in before.items() if name.endswith(".h5")
    }
    table, videos = shards.read_table(out), manifest.usable(out)
    quality = clip_batches.clip_labels(table, videos)[clip_batches.clip_rows(table, ["v2.mkv"])]
    np.testing.assert_allclose(quality, 1 + 4 * 0.77, rtol=1e-6)  # what training learns


def test_videos_that_the_labels_do_not_name_any_more_are_not_used(root, tmp_path, capsys, opened):
    out = tmp_path / "data"
    prep(root, out)
    whole = contents(out)
    write_labels(root, [0, 1, 3, 4])
    opened.clear()
    assert prep(root, out) == 0
    printed = capsys.readouterr().out
    assert "1 videos are no longer in the labels; their clips are kept and not used." in printed
    assert "4 of 4 videos are ready, 0 skipped." in printed
    assert "v2.mkv" not in clips_of(out)
    assert [one.video_id for one in manifest.usable(out)] == ["v0.mkv", "v1.mkv", "v3.mkv", "v4.mkv"]
    table = shards.read_table(out)
    assert len(clip_batches.clip_labels(table, manifest.usable(out))) == len(table) == 4 * 6
    write_labels(root, range(5))
    assert prep(root, out) == 0
    assert opened == []
    assert contents(out) == whole


def test_videos_that_are_gone_keep_their_clips(root, tmp_path, capsys):
    out = tmp_path / "data"
    prep(root, out)
    (root / "v4.mkv").unlink()
    assert prep(root, out) == 0
    assert f"{out} is complete already." in capsys.readouterr().out
    assert "v4.mkv" in clips_of(out)


def test_links_to_videos_are_allowed(root, tmp_path, capsys):
    farm = tmp_path / "farm"
    (farm / "in").mkdir(parents=True)
    (farm / "a.mkv").symlink_to(root / "v0.mkv")
    (farm / "in" / "b.mkv").symlink_to("../../database/v1.mkv")
    (farm / "all").symlink_to(root)
    (farm / "labels.csv").write_text("path,mos\na.mkv,1\nin/b.mkv,2\nall/v2.mkv,3\n")
    assert prep(farm, tmp_path / "data") == 0
    assert list(clips_of(tmp_path / "data")) == ["a.mkv", "in/b.mkv", "all/v2.mkv"]
    printed = capsys.readouterr().out
    assert "On disk: 3 of 3 videos, 0 missing, 4 extra files" in printed


def test_the_same_database_elsewhere_is_the_same(root, tmp_path):
    out = tmp_path / "data"
    prep(root, out)
    sha = manifest.read_prep(out)["labels_sha256"]
    shutil.copytree(root, tmp_path / "host" / "db")
    prep(tmp_path / "host" / "db" / "labels.csv", tmp_path / "other")
    assert manifest.read_prep(tmp_path / "other")["labels_sha256"] == sha
    shutil.move(out, tmp_path / "moved")
    assert manifest.read_prep(tmp_path / "moved")["labels_sha256"] == sha
    assert prep(root, tmp_path / "moved") == 0
    for folder in (root, root / "labels.csv"):
        assert manifest.find_root(tmp_path / "moved", folder) == root
    videos = manifest.locate(manifest.usable(tmp_path / "moved"), manifest.find_root(tmp_path / "moved"))
    assert [one.path for one in videos] == [str(root / f"v{number}.mkv") for number in range(5)]
    shutil.move(root, tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=f"there is no folder {root}. Name it: --root DIR"):
        manifest.find_root(tmp_path / "moved")
    assert manifest.find_root(tmp_path / "moved", tmp_path / "elsewhere") == tmp_path / "elsewhere"


def test_a_root_inside_the_data_folder_moves_with_it(root, tmp_path):
    shutil.move(root, tmp_path / "data" / "videos")
    prep(tmp_path / "data" / "videos", tmp_path / "data")
    shutil.move(tmp_path / "data", tmp_path / "moved")
    assert manifest.find_root(tmp_path / "moved") == tmp_path / "moved" / "videos"


def test_an_unfinished_or_older_data_folder_is_refused(root, tmp_path):
    out = tmp_path / "data"
    prep(root, out)
    index = atomic_files.read_json(out / "index.json", made_by="")
    atomic_files.write_json(out / "index.json", {**index, "labels_sha256": "another"})
    with pytest.raises(FileNotFoundError, match=f"Prep has not finished in {out}"):
        manifest.read_prep(out)
    assert prep(root, out) == 0
    manifest.read_prep(out)
    request = atomic_files.read_json(out / "prep.json", made_by="")
    atomic_files.write_json(out / "prep.json", {name: value for name, value in request.items() if name != "root"})
    with pytest.raises(ValueError, match="was prepared by an older version. Choose another --out or delete it"):
        prep(root, out)


def test_two_preps_of_one_folder(root, tmp_path):
    with folder_lock(tmp_path / "data"):
        command = ["-m", "data_prep", "csv", "--root", str(root), "--out", str(tmp_path / "data"), "--preset", "tiny"]
        second = subprocess.run(
            [sys.executable, *command, "--mos-range", "0", "100"], capture_output=True, text=True, cwd=ROOT, check=False
        )
    assert second.returncode == command_line.EXIT_FAILED
    assert second.stderr.startswith(f"error: {tmp_path / 'data'} is in use by process ")
    assert second.stderr.count("\n") == 1


def test_replaced_clips_are_not_used_after_a_kill_between_the_manifest_and_the_index(root, tmp_path, monkeypatch):
    out, write_json = tmp_path / "data", atomic_files.write_json
    prep(root, out)
    write_video(root / "v2.mkv", 7, num_frames=30)

    def stop_at_index(path, value):
        if Path(path).name == "index.json":
            raise KeyboardInterrupt
        write_json(path, value)

    with monkeypatch.context() as patched:
        patched.setattr(atomic_files, "write_json", stop_at_index)
        with pytest.raises(KeyboardInterrupt):
            prep(root, out)
    assert prep(root, out) == 0
    assert atomic_files.read_json(out / "index.json", made_by="")["stale"] == [[1, "v2.mkv"]]
    prep(root, tmp_path / "fresh")
    assert_same_clips(out, tmp_path / "fresh")


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"number": 0, "checksum": null, "videos": [{"colour": 1}]}'])
def test_damaged_progress_is_named(root, tmp_path, line):
    out = tmp_path / "data"
    prep(root, out)
    DataFolder(out).progress.write_text(line + "\n")
    with pytest.raises(ValueError, match=r"progress\.jsonl is damaged or of another version .* Delete it to prepare"):
        prep(root, out)


def test_nothing_is_generated_in_the_data_folder_of_another_database(root, tmp_path):
    out = tmp_path / "data"
    prep(root, out)
    before = contents(out)
    with pytest.raises(ValueError, match="was prepared with database=csv. Received: synthetic"):
        data_prep.main(["synthetic", "--out", str(out), "--preset", "tiny", "--workers", "1"])
    assert contents(out) == before and not (out / "synthetic").exists()
