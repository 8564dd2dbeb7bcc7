"""nr-vqm score and info as a user calls them: many videos, output files that can be resumed, exit codes."""

import csv
import errno
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sample_videos import place_frame, write_bars, write_ffv1

import nr_vqm
from nr_vqm import cli, command_line, presets
from nr_vqm.common import atomic_files
from nr_vqm.dataset import splits
from nr_vqm.evaluation import comparison
from nr_vqm.runs import interval_file
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import exporting, page_folder, score_page, score_plot, score_table, scorer


@pytest.fixture(autouse=True)
def ctrl_c_interrupts():
    """Let SIGINT raise KeyboardInterrupt, also where a shell has started the tests in the background."""
    action = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, action)


@pytest.fixture(scope="module")
def exported_run(tiny_run, tmp_path_factory):
    """`tiny_run` with an export, with which a command starts in a fraction of the time. Tests must not change it."""
    run = shutil.copytree(tiny_run, tmp_path_factory.mktemp("exported") / "run")
    exporting.export(run)
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Videos with unusual names, one in a subfolder, and two files that are not videos."""
    folder = tmp_path_factory.mktemp("videos")
    names = ["a b.mkv", "ü.mkv", "two\nlines.mkv", "with,comma \"and\" 'quote'.mkv", "below/deep.mkv", "list[1].mkv"]
    (folder / "below").mkdir()
    for number, name in enumerate(names):
        write_ffv1(folder / "x.mkv", [place_frame(t + 9 * number, 30, 44) for t in range(12 + number)])
        (folder / "x.mkv").rename(folder / name)
    (folder / "broken.mp4").write_bytes(b"not a video")
    (folder / "notes.txt").write_text("not a video")
    return folder


def score(*arguments, capsys=None):
    """(exit code, output) of the command."""
    with pytest.raises(SystemExit) as ended:
        command_line.run(cli.main, ["score", *map(str, arguments)])
    return ended.value.code, capsys.readouterr() if capsys else None


def read_rows(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    with score_table.open_text(path, "r") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "text"])
def test_formats(exported_run, folder, format, capsys):
    clip = folder / "a b.mkv"
    expected = nr_vqm.load(exported_run).score(clip).score
    code, out = score(clip, clip, "--run", exported_run, "--format", format, capsys=capsys)
    assert code == 0
    if format == "text":
        assert out.out.count(f"{round(expected, 3):.2f}  on 0-100, people's opinions (MOS)  ") == 2
        return
    rows = {
        "json": json.loads,
        "jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
        "csv": lambda text: list(csv.DictReader(io.StringIO(text))),
    }[format](out.out)
    assert [row["path"] for row in rows] == [str(clip)] * 2
    assert [float(row["score"]) for row in rows] == [round(expected, 3)] * 2
    assert list(rows[0]) == score_table.COLUMNS
    assert rows[0]["labels"] == "people"


def test_folders_patterns_and_lists(folder):
    everything = score_table.find_videos([str(folder)])
    assert [Path(path).name for path in everything] == [
        "a b.mkv", "deep.mkv", "broken.mp4", "list[1].mkv", "two\nlines.mkv", "with,comma \"and\" 'quote'.mkv", "ü.mkv"
    ]  # fmt: skip
    assert score_table.find_videos([f"{folder}/**/d*.mkv", f"{folder}/none*"]) == [
        f"{folder}/below/deep.mkv", f"{folder}/none*"
    ]  # fmt: skip
    assert score_table.find_videos([f"{folder}/list[1].mkv"]) == [f"{folder}/list[1].mkv"]  # a name, not a pattern
    assert score_table.find_skipped([str(folder), str(folder / "a b.mkv")]) == [f"{folder}/notes.txt"]
    assert score_table.read_list(io.BytesIO(b"a b.mkv\r\n\n\xff.mkv\n")) == ["a b.mkv", os.fsdecode(b"\xff.mkv")]
    assert score_table.read_list(io.BytesIO(b"two\nlines.mkv\0b.mkv\0")) == ["two\nlines.mkv", "b.mkv"]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_every_video_has_a_row_whatever_its_name(exported_run, folder, tmp_path, format, capsys):
    out = tmp_path / f"out.{format}"
    code, printed = score(folder, tmp_path / "none.mp4", "--run", exported_run, "--out", out, capsys=capsys)
    rows = read_rows(out)
    assert code == command_line.EXIT_FAILED
    assert [row["path"] for row in rows] == [*score_table.find_videos([str(folder)]), str(tmp_path / "none.mp4")]
    assert [row["status"] for row in rows] == ["ok", "ok", "failed", "ok", "ok", "ok", "ok", "failed"]
    assert "No video file at" in rows[-1]["error"]
    assert [list(row) for row in rows] == [score_table.COLUMNS] * len(rows)
    assert {rows[2][name] or None for name in score_table.COLUMNS} == {
        rows[2]["path"],
        "failed",
        rows[2]["error"],
        None,
    }
    assert printed.out.count("\n") == len(rows)  # a line end in a name is replaced
    assert f"Files in folders that are not videos were skipped (1): {folder}/notes.txt\n" in printed.err


@pytest.mark.slow
def test_skipped_files_are_counted_and_some_are_named(exported_run, folder, tmp_path, capsys):
    for number in range(12):
        (tmp_path / f"notes\n{number:02d}.txt").touch()
    (tmp_path / "a.mkv").symlink_to(folder / "a b.mkv")
    code, printed = score(tmp_path, "--run", exported_run, capsys=capsys)
    assert code == 0 and printed.out.count("\n") == 1
    (line,) = printed.err.splitlines()
    assert line.startswith(f"Files in folders that are not videos were skipped (12): {tmp_path}/notes")
    assert line.endswith("notes\N{REPLACEMENT CHARACTER}09.txt and 2 more")


@pytest.mark.slow
def test_a_name_that_is_not_utf8(exported_run, folder, tmp_path, capfdbinary):
    name = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.mkv")
    shutil.copy(folder / "a b.mkv", name)
    for format in ("jsonl", "csv"):
        out = tmp_path / f"out.{format}"
        assert score(os.fsdecode(name), "--run", exported_run, "--out", out, "--html", tmp_path / "page.html")[0] == 0
        assert os.fsencode(read_rows(out)[0]["path"]) == name
        assert score(os.fsdecode(name), "--run", exported_run, "--out", out, "--resume")[0] == 0
        assert len(read_rows(out)) == 1
    assert b"\\udcff" in (tmp_path / "page.html").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_resume_continues_at_the_end_of_the_file(exported_run, folder, tmp_path, format, monkeypatch, capsys):
    whole, cut, clips = tmp_path / f"whole.{format}", tmp_path / f"cut.{format}", tmp_path / "clips.csv"
    score(folder, "--run", exported_run, "--out", whole, "--clips", clips)
    all_clips = clips.read_bytes()
    content = whole.read_bytes()
    scored = []
    real = scorer.Scorer._score
    monkeypatch.setattr(scorer.Scorer, "_score", lambda *args: scored.append(args[2]) or real(*args))
    for end in [0, len(content) // 3, content.index(b"two") + 6, len(content) - 1, len(content)]:
        cut.write_bytes(content[:end])
        clips.write_bytes(all_clips)
        scored.clear()
        options = ["--out", cut, "--clips", clips, "--resume"]
        assert score(folder, "--run", exported_run, *options)[0] == command_line.EXIT_FAILED
        rows = read_rows(cut)
        assert [row | {"seconds": 0} for row in rows] == [row | {"seconds": 0} for row in read_rows(whole)]
        assert sorted(clips.read_bytes().splitlines()) == sorted(all_clips.splitlines())
        assert len(scored) == {0: 6, len(content): 0}.get(end, len(scored))  # the seventh cannot be opened
    assert scored == []


def test_failed_videos_are_scored_again(exported_run, folder, tmp_path, monkeypatch, capsys):
    out, repaired = tmp_path / "out.csv", tmp_path / "b.mkv"
    shutil.copy(folder / "a b.mkv", tmp_path / "a.mkv")
    repaired.write_bytes(b"")
    videos = (tmp_path / "a.mkv", repaired)
    assert score(*videos, "--run", exported_run, "--out", out)[0] == command_line.EXIT_FAILED
    shutil.copy(folder / "ü.mkv", repaired)
    scored = []
    real = scorer.Scorer._score
    monkeypatch.setattr(scorer.Scorer, "_score", lambda *args: scored.append(args[2]) or real(*args))
    assert score(*videos, "--run", exported_run, "--out", out, "--resume")[0] == command_line.EXIT_FAILED
    assert scored == []
    assert score(*videos, "--run", exported_run, "--out", out, "--retry-failed")[0] == 0
    assert scored == [str(repaired)]
    assert [(row["path"], row["status"]) for row in read_rows(out)] == [(str(path), "ok") for path in videos]


def test_quiet_and_verbose(exported_run, folder, tmp_path, capsys):
    shutil.copy(folder / "a b.mkv", tmp_path / "a.mkv")
    (tmp_path / "notes.txt").touch()
    quiet = score(tmp_path, "--run", exported_run, "-q", capsys=capsys)[1]
    verbose = score(tmp_path, "--run", exported_run, "-v", capsys=capsys)[1]
    assert quiet.err == ""
    assert quiet.out == verbose.out
    assert "Files in folders that are not videos were skipped (1)" in verbose.err
    assert f"Head lstm of {exported_run}/export (model " in verbose.err
    assert ") predicts scores on 0-100; openvino computes it in float32.\n" in verbose.err
    assert re.search(rf"{tmp_path}/a.mkv: 12 frames of 44 x 30, clips 5x2x3, \d+\.\d\d s\n", verbose.err)


@pytest.fixture
def stop_at_the_third(monkeypatch):
    """Ctrl-C while the third video is scored."""
    real, scored = scorer.Scorer._score, []

    def stop(*args):
        scored.append(args[2])
        if len(scored) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(scorer.Scorer, "_score", stop)


def test_ctrl_c_prints_the_command_that_scores_the_rest(exported_run, folder, tmp_path, stop_at_the_third, capsys):
    out = tmp_path / "o u t.csv"
    code, printed = score(folder, "--run", exported_run, "--out", out, capsys=capsys)
    assert code == command_line.EXIT_INTERRUPTED == 130
    command = f"nr-vqm score {folder} --run {exported_run} --out '{out}' --resume"
    expected = f"error: Stopped: 2 of 7 videos scored, 1 failed. Score the rest with: {command}\n"
    assert printed.err.splitlines(keepends=True)[-1] == expected
    assert len(read_rows(out)) == 3
    with pytest.raises(SystemExit) as ended:
        command_line.run(cli.main, shlex.split(command)[1:])
    assert ended.value.code == command_line.EXIT_FAILED
    assert [row["path"] for row in read_rows(out)] == score_table.find_videos([str(folder)])


def test_ctrl_c_prints_the_finished_rows_as_json(exported_run, folder, stop_at_the_third, capsys):
    code, printed = score(folder, "--run", exported_run, "--format", "json", capsys=capsys)
    assert code == command_line.EXIT_INTERRUPTED
    assert [row["status"] for row in json.loads(printed.out)] == ["ok", "ok", "failed"]
    assert "Stopped: 2 of 7 videos scored, 1 failed. The command cannot be resumed" in printed.err


@pytest.mark.parametrize(("resumes", "message"), [(True, "Run the same command again to resume."), (False, "Stopped.")])
def test_ctrl_c_offers_to_resume_only_commands_that_can(resumes, message, capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.run(lambda argv: signal.raise_signal(signal.SIGINT), [], resumes=resumes)
    assert ended.value.code == command_line.EXIT_INTERRUPTED
    assert capsys.readouterr().err.endswith(f"{message}\n")


def test_resume_of_a_complete_file_also_checks_the_model(exported_run, folder, tmp_path, capsys):
    out, good = tmp_path / "out.csv", folder / "a b.mkv"
    score(good, folder / "broken.mp4", "--run", exported_run, "--out", out)
    code, printed = score(good, "--run", exported_run, "--out", out, "--resume", capsys=capsys)
    assert code == 0  # the failed video is not part of this command
    assert f"{out} is complete: 1 videos, 0 failed." in printed.err
    code, printed = score(good, "--run", exported_run, "--out", out, "--resume", "--head", "svr", capsys=capsys)
    assert code == command_line.EXIT_USAGE
    assert "this run is svr" in printed.err


def test_resume_does_not_mix_models(exported_run, folder, tmp_path, capsys):
    out = tmp_path / "out.csv"
    score(folder / "a b.mkv", "--run", exported_run, "--out", out)
    code, printed = score(folder, "--run", exported_run, "--head", "svr", "--out", out, "--resume", capsys=capsys)
    assert code == command_line.EXIT_USAGE
    assert "this run is svr" in printed.err
    assert len(read_rows(out)) == 1


def test_a_list_on_standard_input(exported_run, folder, monkeypatch, capsys):
    names = b"\0".join(os.fsencode(folder / name) for name in ("two\nlines.mkv", "a b.mkv"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names)))
    code, out = score("--from-file", "-", "--run", exported_run, "--format", "jsonl", capsys=capsys)
    assert code == 0
    rows = [json.loads(line) for line in out.out.splitlines()]
    assert [Path(row["path"]).name for row in rows] == ["two\nlines.mkv", "a b.mkv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "No video was given"),
        (["x.mp4", "--resume"], "Add --out FILE"),
        (["x.mp4", "--out", "rows.txt"], "must end in .jsonl or .csv"),
        (["x.mp4", "--out", "none/rows.csv"], "The folder of none/rows.csv does not exist. Create it first."),
        (["x.mp4", "--plot", "page.jpg"], "ends in .png"),
        (["x.yuv", "--raw", "1920x1080"], "described as WIDTHxHEIGHT:PIXEL_FORMAT:FPS"),
        (["--from-file", "none.txt"], "No such file"),
        (["x.mp4", "--out", "there.csv"], "there.csv exists already. Add --resume to continue it"),
        (["x.mp4", "--clips", "there.csv"], "there.csv exists already"),
        (
            ["x.mp4", "--out", "there.csv", "--resume"],
            "not written by this version (its columns differ)",
        ),
        (["x.mp4", "--out", "new.csv", "--clips", "./new.csv"], "a name of its own. Received: new.csv, ./new.csv."),
        (["x.mp4", "--plot", "a.png", "--html", "a.png"], "Each output needs a name of its own"),
        (
            ["x.mp4", "--out", "mistyped.csv", "--clips", "there.csv", "--resume"],
            "there.csv exists, mistyped.csv does not: nothing can be resumed. Pass the --out that",
        ),
        (["x.mp4", "--out", "new.csv", "--clips", "there.csv", "--retry-failed"], "or choose another --clips."),
    ],
)
def test_invalid_options_are_reported_before_the_model_is_loaded(tmp_path, monkeypatch, options, message, capsys):
    monkeypatch.chdir(tmp_path)
    Path("there.csv").write_text("path,score\nx.mp4,3\n")
    code, printed = score(*options, "--run", "no_run", capsys=capsys)
    assert code == command_line.EXIT_USAGE
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert Path("there.csv").read_text() == "path,score\nx.mp4,3\n"


def test_no_usable_model(tmp_path, capsys):
    code, printed = score("x.mp4", "--run", tmp_path, capsys=capsys)
    assert code == command_line.EXIT_NO_MODEL
    assert printed.err == f"error: No model in {tmp_path}. Pass --run FOLDER, the folder of a trained run.\n"


def test_an_unexpected_error_fails_one_video_only(exported_run, folder, monkeypatch, capsys):
    def fail(*args):
        raise MemoryError("no room")

    monkeypatch.setattr(scorer.Scorer, "_run", fail)
    code, printed = score(folder / "a b.mkv", "--run", exported_run, "--format", "jsonl", capsys=capsys)
    assert code == command_line.EXIT_FAILED
    assert json.loads(printed.out)["error"] == "MemoryError: no room"


@pytest.mark.slow
def test_plots_are_numbered_for_several_videos(exported_run, folder, tmp_path, capsys):
    pages = ["--plot", tmp_path / "p.png", "--html", tmp_path / "p.html"]
    assert score(folder / "a b.mkv", "--run", exported_run, *pages)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"p.png", "p.html"}
    score(folder / "a b.mkv", folder / "broken.mp4", folder / "ü.mkv", "--run", exported_run, *pages)
    assert {path.name for path in tmp_path.iterdir()} == {
        "p.png", "p.html", "p-0001.png", "p-0001.html", "p-0003.png", "p-0003.html"
    }  # fmt: skip


def test_a_page_may_end_in_htm(exported_run, folder, tmp_path, capsys):
    page = tmp_path / "page.HTM"
    code, printed = score(folder / "a b.mkv", "--run", exported_run, "--html", page, capsys=capsys)
    assert (code, printed.err) == (0, "")
    assert page.read_text().lstrip().startswith("<!doctype html>")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "module", "function"),
    [("--plot", score_plot, "write_png"), ("--html", score_page, "write_html")],
)
def test_an_error_in_a_page_or_plot_fails_one_video_only(
    exported_run, folder, tmp_path, option, module, function, monkeypatch
):
    real = getattr(module, function)

    def fail(path, one, **options):
        if "ü" in one.path:
            raise OverflowError("cannot convert float infinity to integer")
        return real(path, one, **options)

    monkeypatch.setattr(module, function, fail)
    pages, out = tmp_path / ("p.png" if option == "--plot" else "pages"), tmp_path / "out.csv"
    code, _ = score(folder / "ü.mkv", folder / "a b.mkv", "--run", exported_run, option, pages, "--out", out)
    assert code == command_line.EXIT_FAILED
    first, second = read_rows(out)
    assert (first["status"], second["status"]) == ("failed", "ok")
    assert "cannot convert float infinity to integer" in first["error"]
    if option == "--html":
        index = (pages / "index.html").read_text()
        assert "1 scored" in index and "1 failed" in index


@pytest.mark.slow
def test_a_full_disk_of_a_page_ends_the_command(exported_run, folder, tmp_path, monkeypatch, capsys):
    def fail(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "page.html")

    monkeypatch.setattr(score_page, "write_html", fail)
    videos = (folder / "ü.mkv", folder / "a b.mkv")
    code, printed = score(*videos, "--run", exported_run, "--html", tmp_path / "pages", capsys=capsys)
    assert (code, printed.out) == (command_line.EXIT_FAILED, "")
    assert "No space left on device: 'page.html'" in printed.err


@pytest.mark.slow
def test_a_folder_of_pages_has_an_index_also_after_a_resume(exported_run, folder, tmp_path, capsys):
    pages, out = tmp_path / "pages", tmp_path / "out.csv"
    options = ["--run", exported_run, "--out", out, "--html", pages]
    assert score(folder / "a b.mkv", *options)[0] == 0
    videos = (folder / "a b.mkv", folder / "broken.mp4", folder / "ü.mkv")
    code, printed = score(*videos, *options, "--resume", capsys=capsys)
    assert code == command_line.EXIT_FAILED
    assert printed.err.endswith(f"2 scored, 1 failed\nPages of all videos: {pages}/index.html\n")
    first, third = (page_folder.file_name(number, videos[number - 1]) for number in (1, 3))
    assert {path.name for path in pages.iterdir()} == {"index.html", "thumbnails", first, third}
    index = (pages / "index.html").read_text()
    assert f'href="{first}">a b.mkv' in index and f'href="{third}">ü.mkv' in index
    assert "2 scored" in index and "1 failed" in index and "broken.mp4" in index
    assert 'href="index.html">All videos' in (pages / third).read_text()
    (tmp_path / "file").touch()
    code, printed = score(folder / "a b.mkv", "--run", exported_run, "--html", tmp_path / "file", capsys=capsys)
    assert code == command_line.EXIT_USAGE and str(tmp_path / "file") in printed.err


@pytest.mark.parametrize("labels", [None, "raters"])
def test_a_run_that_does_not_state_the_origin_of_its_labels_is_refused(tiny_run, tmp_path, labels, capsys):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    RunFolder(run).update_facts(labels=labels)
    code, printed = score("x.mp4", "--run", run, capsys=capsys)
    assert code == command_line.EXIT_NO_MODEL
    assert "must have 'labels', one of people, pseudo, synthetic, mixed. Received: " in printed.err
    with pytest.raises(ValueError, match="The origin of the labels is needed"):
        nr_vqm.load(run)


def info(run_dir, capsys, *options):
    with pytest.raises(SystemExit) as ended:
        command_line.run(cli.main, ["info", str(run_dir), *options])
    return ended.value.code, capsys.readouterr()


def test_info_of_a_run_in_training(tmp_path, capsys):
    assert info(tmp_path, capsys)[0] == command_line.EXIT_NO_MODEL
    run = RunFolder(tmp_path)
    run.write_preset(presets.PRESETS["tiny"])
    assert "run.json is missing" in info(tmp_path, capsys)[1].err
    run.update_facts(database="csv", mos_range=[0, 100])
    assert "no epoch of 2 finished yet" in info(tmp_path, capsys)[1].out
    assert "labels      of unknown origin" in info(tmp_path, capsys)[1].out
    run.update_facts(labels="pseudo")
    assert "labels      pseudo-labels\n" in info(tmp_path, capsys)[1].out
    run.update_facts(trained_labels="synthetic")
    assert "labels      pseudo-labels, trained on simulated raters\n" in info(tmp_path, capsys)[1].out
    run.update_facts(label_method="level by the teacher")
    assert (
        "labels      pseudo-labels, trained on simulated raters\n            level by the teacher\n"
        in info(tmp_path, capsys)[1].out
    )
    splits.write(tmp_path / "splits.json", splits.Split(("a", "b", "c"), ("d",), ("e", "f")))
    (tmp_path / "history.csv").write_text("epoch,loss,val_loss,val_mse\n1,2,2,1.75\n2,1,2,1.875\n")
    run.update_facts(seconds={"train": 3})  # a stopped training has seconds too
    code, printed = info(tmp_path, capsys)
    assert code == 0
    assert "csv, 6 videos: 3 train, 1 val, 2 test" in printed.out
    assert "2 of 2 epochs, in progress or stopped; lowest validation MSE 1.750" in printed.out
    (tmp_path / "history.csv").write_text("epoch,loss\n1,2\n")
    code, printed = info(tmp_path, capsys)
    assert (code, printed.err.count("\n")) == (command_line.EXIT_NO_MODEL, 1)


def test_info_of_a_cross_database_test(tmp_path, capsys):
    run = RunFolder(tmp_path)
    run.write_preset(presets.PRESETS["tiny"])
    facts = {"labels": "people", "trained_labels": "synthetic", "mos_range": [0, 100], "videos": 20}
    run.update_facts(database="qualcomm, trained on konvid1k", trained_on="konvid1k", **facts)
    printed = info(tmp_path, capsys)[1].out
    assert "trained on  konvid1k\ntested on   qualcomm, all 20 videos (cross-database test)\n" in printed
    assert "epoch" not in printed


def test_a_run_of_several_repeats(tiny_run, tmp_path, capsys):
    RunFolder(tmp_path).write_preset(presets.PRESETS["tiny"])
    RunFolder(tmp_path).update_facts(database="csv", mos_range=[1, 5], repeats=2)
    shutil.copytree(tiny_run, tmp_path / "repeat-00")
    (tmp_path / "repeat-01").mkdir()
    (tmp_path / "repeat-00" / "history.csv").write_text("epoch,loss,val_loss,val_mse\n1,2,2,1.75\n")
    code, printed = info(tmp_path, capsys)
    assert code == 0
    assert "repeat-00: 1 of 2 epochs" in printed.out
    assert "repeat-01: no epoch of 2 finished yet" in printed.out
    code, printed = score("x.mp4", "--run", tmp_path, capsys=capsys)
    assert code == command_line.EXIT_NO_MODEL
    assert f"has 2 repeats with models of their own. Name one: {tmp_path}/repeat-00." in printed.err


def test_info_of_a_finished_run(tiny_run, tmp_path, few_draws, capsys):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 60)
    interval_file.write(run, {head: (mos + rng.normal(0, 0.3, 60), mos) for head in ("lstm", "svr")})
    rows = [
        {"repeat": 0, "head": head, "video_id": f"v{n}", "content": f"c{n}", "mos": m, "score": m + error}
        for head in ("lstm", "svr")
        for n, (m, error) in enumerate(zip(np.linspace(10, 90, 40), [0.0] * 30 + [-60.0] * 10, strict=True))
    ]
    with RunFolder(run).stage("results"):
        comparison.write_scores(run / "scores.csv", rows)
        atomic_files.write_json(run / "metrics.json", comparison.compare(rows, num_resamples=1000, seed=1))
    code, printed = info(run, capsys, "--format", "json")
    found = json.loads(printed.out)
    assert code == 0
    assert found["models"]["cnn3d.keras"]["parameters"] == 2706
    assert found["models"]["lstm_head.keras"]["parameters"] > 0
    assert found["intervals"]["lstm"]["validation_videos"] == 60
    assert found["intervals"]["lstm"]["test_coverage"] == 0.75  # 30 of 40 are exact, 10 are far off
    assert set(found["heads"]) == {"lstm", "svr"}
    assert found["bytes"] == sum(path.stat().st_size for path in run.iterdir())
    assert "contains the MOS of 75.0 % of 40 test videos" in info(run, capsys)[1].out


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--out", "--clips"])
def test_two_commands_do_not_write_to_one_file(exported_run, folder, tmp_path, option, capsys):
    path = tmp_path / "rows.csv"
    hold = "import sys; from nr_vqm.common.folder_lock import file_lock\n"
    hold += "with file_lock(sys.argv[1]): print('held', flush=True); sys.stdin.read(1)"
    command = [sys.executable, "-c", hold, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        code, printed = score(folder / "a b.mkv", "--run", exported_run, option, path, capsys=capsys)
        assert code == command_line.EXIT_USAGE
        assert f"{path} is in use by process {other.pid} on" in printed.err
        assert not path.exists()
        other.communicate("x")
    assert score(folder / "a b.mkv", "--run", exported_run, option, path)[0] == 0
    assert [found.name for found in tmp_path.iterdir() if found != folder] == [path.name]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_options_for_reading_and_limits_reach_the_scorer_and_the_workers(
    exported_run, folder, tmp_path, engine, capsys
):
    model = ["--run", exported_run, "--engine", engine]
    write_bars(folder / "a.mpg", encoder="mpeg2video", options={"flags": "+ildct+ilme", "b": "2M"})
    for number, workers in enumerate((1, 2)):
        out = tmp_path / f"rows-{number}.jsonl"
        arguments = [folder / "a.mpg", folder / "a b.mkv", *model, "--out", out, "--workers", workers]
        assert score(*arguments, "--deinterlace", "--max-pixels", 100_000, "--stream", 0)[0] == command_line.EXIT_FAILED
        failed, scored = read_rows(out)
        assert "may have 1e+05 pixels in all, this one has 20 frames of 128x96" in failed["error"]
        assert (scored["status"], scored["frames"]) == ("ok", 12)
    capsys.readouterr()
    code, printed = score(folder / "a.mpg", *model, "--deinterlace", "--max-memory", 2, capsys=capsys)
    assert code == 0
    assert "warning: interlaced video, deinterlaced before it was scored (FFmpeg's bwdif)" in printed.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stream", -1], "A video stream is named by its number, from 0. Received: -1"),
        (["--max-seconds", 0], "A limit must be above 0. Received: max_seconds=0.0"),
        (["--head", "brisque", "--deinterlace"], "Head 'brisque' reads videos as they are. Omit --stream and"),
    ],
)
def test_wrong_options_for_reading_are_refused_before_anything_is_loaded(tiny_run, options, message, capsys):
    code, printed = score("x.mp4", "--run", tiny_run, *options, capsys=capsys)
    assert (code, message in printed.err) == (command_line.EXIT_USAGE, True)


@pytest.mark.parametrize("option", ["--max-upload", "--max-duration"])
@pytest.mark.parametrize("value", ["nan", "inf", "0", "-1"])
def test_limits_of_uploads_are_finite_numbers_above_zero(option, value, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", f"{option}={value}"])
    assert ended.value.code == command_line.EXIT_USAGE
    assert f"argument {option}: must be a finite number above zero, received {value}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--port", "99999", "must be between 0 and 65535, received 99999"),
        ("--port", "-1", "must be between 0 and 65535, received -1"),
        ("--port", "http", "invalid port value: 'http'"),
        ("--max-upload", "1e303", "must be at most 1,000,000 (1 TB), received 1e303"),
    ],
)
def test_a_port_and_a_size_of_uploads_that_cannot_be_used_are_refused(option, value, message, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", f"{option}={value}"])
    assert ended.value.code == command_line.EXIT_USAGE
    assert f"argument {option}: {message}" in capsys.readouterr().err
