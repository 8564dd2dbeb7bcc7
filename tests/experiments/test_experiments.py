"""The paper's experiments from end to end, on stand-ins laid out like the downloads, preset tiny."""

import dataclasses
import json
import shutil
from pathlib import Path

import commands
import keras
import numpy as np
import pytest
from stand_ins import make_konvid1k, make_live_qualcomm

import nr_vqm
from data_prep import __main__ as data_prep
from experiments import ablations, compare_heads, cross_database, extract_features, finetune, report, train_cnn
from nr_vqm import command_line
from nr_vqm.common import atomic_files
from nr_vqm.dataset import manifest, splits
from nr_vqm.evaluation import comparison
from nr_vqm.models import head_table
from nr_vqm.runs import derived_runs, features, heads, interval_file
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.video import raw_video

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_draws")]
SHORT = ["--preset", "tiny", "--set", "epochs=1", "--set", "head_epochs=2"]
TABLES = {"scores.csv", "metrics.json", "comparison.csv", "comparison.tex", "results.md", "report.html"}


def heads_and_report(data, run):
    """Run features, compare and report; return what they print."""
    printed = commands.succeed(extract_features.main, "--data", data, "--run", run)
    printed += commands.succeed(compare_heads.main, "--run", run)
    return printed + commands.succeed(report.main, "--run", run)


@pytest.fixture(scope="module")
def konvid1k(few_draws, tmp_path_factory):
    """KoNViD-1k's experiment with the paper's split, twice."""
    folder = tmp_path_factory.mktemp("konvid1k")
    root, data, run = folder / "download", folder / "data", folder / "run"
    make_konvid1k(root, num_videos=32)
    commands.succeed(data_prep.main, "konvid1k", "--root", root, "--out", data, *SHORT)
    commands.succeed(train_cnn.main, "--data", data, "--run", run, *SHORT, "--split", "paper", "--repeats", 2)
    heads_and_report(data, run)
    return data, run


@pytest.fixture(scope="module")
def live_qualcomm(few_draws, tmp_path_factory):
    """LIVE-Qualcomm's experiment up to the fine-tuning: raw .yuv, scenes of two videos."""
    folder = tmp_path_factory.mktemp("live_qualcomm")
    root, data, run = folder / "download", folder / "data", folder / "run"
    make_live_qualcomm(root, num_scenes=10, height=48, width=72)
    commands.succeed(
        data_prep.main, "live_qualcomm", "--root", root, "--out", data, *SHORT, "--raw", "72x48:yuv420p:30"
    )
    commands.succeed(train_cnn.main, "--data", data, "--run", run, *SHORT, "--split", "paper")
    heads_and_report(data, run)
    return data, run


def test_every_repeat_is_a_run_with_its_own_split(konvid1k):
    data, run = konvid1k
    contents = {one.video_id: one.content for one in manifest.usable(data)}
    assert [one.path.name for one in RunFolder(run).repeats()] == ["repeat-00", "repeat-01"]
    seen = [splits.read(one.splits) for one in RunFolder(run).repeats()]
    for split in seen:
        assert [len(split.train), len(split.val), len(split.test)] == [26, 3, 3]
        assert splits.check(split, contents) == []
    assert seen[0] != seen[1]
    seeds = [one.read_preset().seed for one in RunFolder(run).repeats()]
    assert seeds == [1, 2]
    assert not (run / "cnn3d.keras").exists()


def test_medians_and_standard_deviations_are_over_the_repeats(konvid1k):
    _, run = konvid1k
    rows = comparison.read_scores(run / "scores.csv")
    for repeat, folder in enumerate(RunFolder(run).repeats()):
        tested = {row["video_id"] for row in rows if row["repeat"] == repeat}
        assert tested == set(splits.read(folder.splits).test)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["num_repeats"] == 2
    assert len(metrics["heads"]["lstm"]["rmse"]["per_repeat"]) == 2
    assert metrics["heads"]["lstm"]["rmse"]["std"] >= 0
    assert metrics["heads"]["lstm"]["rmse_mapped_train"]["median"] > 0


def test_the_tables_of_a_comparison(konvid1k):
    _, run = konvid1k
    assert {path.name for path in run.iterdir()} >= TABLES
    table = (run / "results.md").read_text().splitlines()
    assert len(table) == 2 + 4
    cells = [cell.strip() for cell in table[2].split("|")]
    assert cells[1:3] == ["3D-CNN + LSTM", "30"]
    assert float(cells[3]) > 0  # seconds a video
    assert cells[4:7] == ["train, stopped by val", "konvid1k", "people's opinions (MOS)"]
    assert cells[7].startswith("tiny epochs=1")
    assert "cores" in cells[9] or " x " in cells[9]
    seconds = RunFolder(run).total_seconds()
    assert set(seconds) == {"train", "features", "compare", "results"}
    hours = sum(seconds.values()) / 3600  # the table was written before the seconds of its own stage were known
    assert round(hours - seconds["results"] / 3600, 2) <= float(cells[10]) <= round(hours, 2)
    assert cells[11] == "2"
    page = (run / "report.html").read_text()
    assert "medians of 2 repeats" in page
    assert "3D-CNN, repeat-01" in page


def test_every_stage_resumes(konvid1k):
    data, run = konvid1k
    last = run / "repeat-01"
    kept = {path: path.read_bytes() for path in [*run.glob("repeat-*/*.keras"), *run.glob("repeat-*/features.h5")]}
    scores = (run / "scores.csv").read_bytes()
    RunFolder(last).score_file("compare").unlink()  # as if stopped between the repeats
    settings = [*SHORT, "--split", "paper", "--repeats", 2]
    printed = commands.succeed(train_cnn.main, "--data", data, "--run", run, *settings) + heads_and_report(data, run)
    assert printed.count("is complete already") == 4  # train and features of two repeats
    assert printed.count("the heads are fitted already") == 1
    for path, content in kept.items():
        if "head" not in path.name:
            assert path.read_bytes() == content
    assert (run / "scores.csv").read_bytes() == scores  # the heads of the second repeat were fitted again


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--split", "paper", "--repeats", "1"], "was started with --repeats 2, which is now 1"),
        (["--split", "strict", "--repeats", "2"], "was started with other settings"),
        (["--split", "paper", "--repeats", "2", "--set", "train_groups=2"], "was prepared with 3"),
        (["--split", "paper", "--train-share", "0.5"], "--train-share applies only to --split strict"),
    ],
)
def test_a_run_keeps_to_its_settings(konvid1k, changes, message):
    data, run = konvid1k
    assert message in commands.fail(train_cnn.main, "--data", data, "--run", run, *SHORT, *changes)


def test_a_run_keeps_to_its_labels(konvid1k, live_qualcomm, tmp_path):
    (data, run), (other, _) = konvid1k, live_qualcomm
    message = f"was started with other videos or labels than {other} has"
    for main in (train_cnn.main, extract_features.main):
        settings = [*SHORT, "--split", "paper", "--repeats", 2] if main is train_cnn.main else []
        assert message in commands.fail(main, "--data", other, "--run", run, *settings)
    assert RunFolder(run).read_facts()["data_dir"] == str(data.resolve())


def test_too_few_resamples_are_refused_at_once(konvid1k):
    ended = commands.run(compare_heads.main, "--run", konvid1k[1], "--resamples", 100)
    assert ended.code == command_line.EXIT_USAGE
    assert "must be at least 1,000, received 100" in ended.err


def test_a_training_starts_from_the_3d_cnn_of_another_run(konvid1k, live_qualcomm, tmp_path):
    start, data, run = konvid1k[1] / "repeat-00", live_qualcomm[0], tmp_path / "run"
    options = ["--data", data, "--run", run, *SHORT, "--split", "paper"]
    commands.succeed(train_cnn.main, *options, "--set", "learning_rate=1e-9", "--start", start)
    before, after = (keras.models.load_model(one / "cnn3d.keras", compile=False).get_weights() for one in (start, run))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    facts = RunFolder(run).read_facts()["started_from"]
    assert (facts["database"], facts["labels"]) == ("konvid1k", "people")
    assert facts["cnn3d_sha256"] == atomic_files.sha256(start / "cnn3d.keras")
    with pytest.raises(ValueError, match="was started from another 3D-CNN"):
        train_cnn.main([str(one) for one in [*options, "--set", "learning_rate=1e-9"]])
    with pytest.raises(ValueError, match="has another network than preset tiny"):
        train_cnn.main([str(one) for one in [*options, "--set", "fc_dims=[12,8]", "--start", start]])


def test_a_head_fitted_on_test_videos_is_refused(live_qualcomm, tmp_path):
    _, run = live_qualcomm
    start = derived_runs.derive(RunFolder(run), RunFolder(tmp_path / "start"), keep=("cnn3d.keras", "lstm_head.keras"))
    split = splits.read(run / "splits.json")
    message = commands.fail(finetune.main, "--run", run, "--start", start.path)
    assert "splits.json is needed, as it states the videos that the head was fitted on, and is missing" in message
    other = splits.Split(train=split.test, val=split.val, test=split.train)
    fingerprints = splits.read_fingerprints(run / "splits.json")
    splits.write(start.splits, other, made_by="other", leaks=[], fingerprints=fingerprints)
    message = commands.fail(finetune.main, "--run", run, "--start", start.path)
    assert f"The models of {start} were fitted on 4 of the 4 test videos" in message


@pytest.mark.parametrize("rate", ["-1", "0", "nan", "inf"])
def test_a_learning_rate_that_is_not_above_zero_is_refused(tmp_path, rate):
    ended = commands.run(finetune.main, "--run", tmp_path, "--start", tmp_path, f"--learning-rate={rate}")
    assert ended.code == command_line.EXIT_USAGE
    assert f"must be a finite number above zero, received {rate}" in ended.err


def test_constant_features_give_finite_scores(live_qualcomm, tmp_path):
    _, run = live_qualcomm
    videos = features.read_head_inputs(run)
    flat = dataclasses.replace(videos, stored=np.ones_like(videos.stored))
    settings = RunFolder(run).read_preset().heads["lstm"]
    head, _ = heads.fit(tmp_path, "lstm_features", flat, flat, **settings)
    assert np.isfinite(head.outputs(flat)).all()


def test_a_published_split_is_trained_on(live_qualcomm, tmp_path):
    data, _ = live_qualcomm
    by_scene = sorted(manifest.usable(data), key=lambda one: one.content)
    names = [Path(one.path).name for one in by_scene]
    clean = {"train": names[:12], "val": names[12:14], "test": names[14:18]}
    divided = {"train": names[:11], "val": names[12:14], "test": [names[11], *names[14:]]}
    (tmp_path / "published.json").write_text(json.dumps([clean, divided]))
    arguments = ["--data", data, *SHORT, "--split", tmp_path / "published.json"]
    printed = commands.succeed(train_cnn.main, *arguments, "--run", tmp_path / "run")
    assert "2 of 20 usable videos are not in the split" in printed
    split = splits.read(tmp_path / "run" / "splits.json")
    assert set(split.test) == {Path(name).stem for name in names[14:18]}
    leak = commands.fail(train_cnn.main, *arguments, "--run", tmp_path / "leak", "--split-index", 1)
    assert f"found 1 in two or more: {by_scene[10].content}." in leak
    commands.succeed(train_cnn.main, *arguments, "--run", tmp_path / "leak", "--split-index", 1, "--allow-leak")
    assert splits.read_facts(tmp_path / "leak" / "splits.json")[1] == [by_scene[10].content]
    heads_and_report(data, tmp_path / "leak")
    assert "1 contents are on two sides" in (tmp_path / "leak" / "report.html").read_text()
    other = commands.fail(train_cnn.main, *arguments, "--run", tmp_path / "run", "--split-index", 1)
    assert "was started with the split 'published.json (" in other and "), number 0', not" in other


def test_scenes_are_not_divided_and_the_head_is_fine_tuned(konvid1k, live_qualcomm, tmp_path):
    (other, start), (_, run) = konvid1k, live_qualcomm
    split = splits.read(run / "splits.json")
    assert [len(split.train), len(split.val), len(split.test)] == [14, 2, 4]
    before = comparison.read_scores(run / "scores.csv")
    commands.succeed(finetune.main, "--run", run, "--start", start)
    after = comparison.read_scores(run / "scores.csv")
    assert [row for row in after if row["head"] != "lstm_finetuned"] == before
    tuned = [row for row in after if row["head"] == "lstm_finetuned"]
    assert sorted(row["video_id"] for row in tuned) == sorted(split.test)
    assert "3D-CNN + LSTM, fine-tuned" in (run / "results.md").read_text()
    notes = json.loads((run / "metrics.json").read_text())["notes"]
    assert "3D-CNN + LSTM, fine-tuned: first fitted on konvid1k, people's opinions (MOS)." in notes
    # It started from the other run's weights and changed them in small steps.
    old, new = (
        keras.models.load_model(folder / name).get_weights()
        for folder, name in ((start / "repeat-00", "lstm_head.keras"), (run, "lstm_finetuned_head.keras"))
    )
    moved = max(abs(a - b).max() for a, b in zip(old, new, strict=True))
    assert 0 < moved < 0.05
    # Scores are in this database's unit, 0-100, though the head was trained on 1-5.
    assert all(abs(row["score"] - 50) < 60 for row in tuned)
    commands.succeed(report.main, "--run", run)
    assert "3D-CNN + LSTM, fine-tuned</h3>" in (run / "report.html").read_text()
    # It scores videos, with an interval, and is not tested on the videos that it was first fitted on.
    assert len(interval_file.read_all(run)["lstm_finetuned"]["scores"]) == 2
    assert nr_vqm.load(run, head="lstm_finetuned").score(np.full((9, 48, 72, 3), 90, np.uint8)).head == "lstm_finetuned"
    text = commands.succeed(cross_database.main, "--run", run, "--data", other, "--out", tmp_path / "cross")
    tested = {row["head"] for row in comparison.read_scores(tmp_path / "cross" / "scores.csv")}
    heads_of_run = {row.name for row in head_table.HEADS.values() if row.cnn3d == head_table.CNN3D}
    assert tested == heads_of_run - {"lstm_finetuned"}
    assert "Not tested, as it was first fitted on some of these videos: 3D-CNN + LSTM, fine-tuned." in text
    videos = manifest.read(other / "manifest.csv")
    unknown = [dataclasses.replace(one, fingerprint=f"new {one.fingerprint}") for one in videos]
    shutil.copytree(other, tmp_path / "unknown")
    manifest.write(tmp_path / "unknown" / "manifest.csv", unknown)
    commands.succeed(cross_database.main, "--run", run, "--data", tmp_path / "unknown", "--out", tmp_path / "new")
    assert {row["head"] for row in comparison.read_scores(tmp_path / "new" / "scores.csv")} == heads_of_run
    assert "make train" in commands.fail(finetune.main, "--run", start.parent, "--start", start)


def test_a_head_of_another_grid_is_refused(live_qualcomm, tmp_path):
    _, run = live_qualcomm
    head = keras.Sequential([keras.Input((4, 6)), keras.layers.LSTM(2), keras.layers.Dense(1)])
    start = derived_runs.derive(RunFolder(run), RunFolder(tmp_path), keep=("cnn3d.keras", "splits.json"))
    with start.stage("compare"):
        keras.Model(head.inputs, head.outputs).save(start.head("lstm"))
    message = commands.fail(finetune.main, "--run", run, "--start", tmp_path)
    assert "reads (4, 6) groups x blocks" in message
    assert "(5, 6)" in message


def test_another_database_is_a_test_of_all_its_videos(konvid1k, live_qualcomm, tmp_path):
    (own, run), (data, _) = konvid1k, live_qualcomm
    out = tmp_path / "cross"
    commands.succeed(cross_database.main, "--run", run, "--data", data, "--out", out)
    commands.succeed(report.main, "--run", out)
    rows = comparison.read_scores(out / "scores.csv")
    assert len(rows) == 2 * 4 * 20  # repeats, heads, videos
    mos = {one.video_id: one.mos for one in manifest.usable(data)}
    assert all(row["mos"] == pytest.approx(mos[row["video_id"]]) for row in rows)
    assert json.loads((out / "metrics.json").read_text())["num_contents"] == 10
    assert "live_qualcomm, trained on konvid1k" in (out / "results.md").read_text()
    first, second = out / "repeat-00", run / "repeat-00"
    assert (first / "cnn3d.keras").read_bytes() == (second / "cnn3d.keras").read_bytes()
    known = commands.fail(cross_database.main, "--run", run, "--data", own, "--out", tmp_path / "own")
    assert "were fitted on 29 of the 32 test videos" in known
    assert "Choose another --out" in commands.fail(
        cross_database.main, "--run", run, "--data", own, "--out", out
    )  # made of the other data


def test_ids_are_unique_within_a_database_only(konvid1k, live_qualcomm, tmp_path):
    (own, run), (data, _) = konvid1k, live_qualcomm
    ids = [one.video_id for one in manifest.usable(own)]
    shutil.copytree(data, tmp_path / "data")
    videos = manifest.usable(data)
    renamed = [dataclasses.replace(one, video_id=video_id) for one, video_id in zip(videos, ids, strict=False)]
    manifest.write(tmp_path / "data" / "manifest.csv", renamed)
    commands.succeed(cross_database.main, "--run", run, "--data", tmp_path / "data", "--out", tmp_path / "cross")
    tested = {row["video_id"] for row in comparison.read_scores(tmp_path / "cross" / "scores.csv")}
    assert tested == set(ids[: len(videos)])
    # The run's own videos are recognised under other ids.
    videos = [dataclasses.replace(one, video_id=f"new-{one.video_id}") for one in manifest.usable(own)]
    manifest.write(tmp_path / "data" / "manifest.csv", videos)
    message = commands.fail(cross_database.main, "--run", run, "--data", tmp_path / "data", "--out", tmp_path / "own")
    assert "were fitted on 29 of the 32 test videos, 'new-" in message


@pytest.mark.parametrize(
    ("setting", "variants"),
    [
        ("grid", {"4x4": {"num_groups": 4, "block_grid": (2, 2)}, "5x6": {"num_groups": 5, "block_grid": (2, 3)}}),
        ("lstm_units", {"3": {"lstm_units": 3}}),
    ],
)
def test_ablations_change_one_setting(live_qualcomm, monkeypatch, setting, variants):
    data, run = live_qualcomm
    monkeypatch.setitem(ablations.SETTINGS, setting, variants)
    printed = commands.succeed(ablations.main, setting, "--run", run, "--data", data)
    table = (run / "ablations" / f"{setting}.md").read_text()
    assert table in printed
    assert table.count("\n") == 2 + 4 * len(variants) + 2
    assert table.endswith("\nLabels: people's opinions (MOS)\n")
    for name, changes in variants.items():
        folder = run / "ablations" / setting / name
        assert RunFolder(folder).read_preset() == dataclasses.replace(RunFolder(run).read_preset(), **changes)
        assert splits.read(folder / "splits.json") == splits.read(run / "splits.json")
        videos = features.read_head_inputs(folder)
        if setting == "grid":
            assert videos.clip_quality.shape == (
                20,
                changes["num_groups"],
                changes["block_grid"][0] * changes["block_grid"][1],
            )
        else:
            assert (folder / "features.h5").samefile(run / "features.h5")
            assert keras.models.load_model(folder / "lstm_head.keras").get_layer("lstm").units == 3


def test_downscaled_frames_are_one_clip(live_qualcomm, tmp_path):
    data, _ = live_qualcomm
    small = [*SHORT, *(part for name in ("train_grid", "block_grid") for part in ("--set", f"{name}=1x1"))]
    assert "A downscaled frame is one block" in commands.fail(
        train_cnn.main, "--data", data, "--run", tmp_path, *SHORT, "--set", "downscale=true"
    )
    root = data.parent / "download"
    arguments = ["--root", root, "--raw", "72x48:yuv420p:30", *small, "--set", "downscale=true"]
    commands.succeed(data_prep.main, "live_qualcomm", *arguments, "--out", tmp_path / "data")
    assert atomic_files.read_json(tmp_path / "data" / "index.json", made_by="make prep")["clips"] == 20 * 3
    wrong = commands.fail(train_cnn.main, "--data", tmp_path / "data", "--run", tmp_path / "wrong", *small)
    assert "downscale=False" in wrong
    run = tmp_path / "run"
    commands.succeed(train_cnn.main, "--data", tmp_path / "data", "--run", run, *small, "--set", "downscale=true")
    heads_and_report(tmp_path / "data", run)
    assert features.read_head_inputs(run).clip_quality.shape == (20, 5, 1)
    assert "downscale=True" in (run / "results.md").read_text()
    one = manifest.read(tmp_path / "data" / "manifest.csv")[0]  # scoring uses the same pixels
    score = nr_vqm.load(run).score(root / one.path, raw_video.parse("72x48:yuv420p:30"))
    kept = features.read_head_inputs(run).select([one.video_id]).clip_quality[0]
    np.testing.assert_allclose(score.clip_quality, kept, atol=1e-4)


def test_the_make_targets(tmp_path, monkeypatch):
    """Each experiment is one command of the Makefile; the ablations with one variant each."""
    monkeypatch.setitem(ablations.SETTINGS, "grid", {"4x4": {"num_groups": 4, "block_grid": (2, 2)}})
    monkeypatch.setitem(ablations.SETTINGS, "lstm_units", {"3": {"lstm_units": 3}})
    make_konvid1k(tmp_path / "konvid", num_videos=32)
    make_live_qualcomm(tmp_path / "qualcomm", num_scenes=10, height=48, width=72)

    def make(*arguments):
        commands.make(*arguments, "PRESET=tiny", "SETTINGS=epochs=1 head_epochs=2")

    konvid = [f"DATA={tmp_path / 'k-data'}", f"RUN={tmp_path / 'k-run'}"]
    qualcomm = [f"DATA={tmp_path / 'q-data'}", f"RUN={tmp_path / 'q-run'}"]
    make("konvid1k", f"ROOT={tmp_path / 'konvid'}", *konvid)
    raw = "ARGS=--raw 72x48:yuv420p:30"
    make("live_qualcomm", f"ROOT={tmp_path / 'qualcomm'}", *qualcomm, raw, f"START={tmp_path / 'k-run'}")
    make("cross_database", konvid[1], qualcomm[0], f"OUT={tmp_path / 'cross'}")
    make("lstm_size", *konvid)
    make("clip_grid", *konvid)
    make("downscaling", "DATABASE=konvid1k", f"ROOT={tmp_path / 'konvid'}", *konvid)
    for run in ("k-run", "q-run", "cross", "k-run-downscaled"):
        assert {path.name for path in (tmp_path / run).iterdir()} >= TABLES, run
    assert "fine-tuned" in (tmp_path / "q-run" / "results.md").read_text()
    for name in ("grid.md", "lstm_units.md"):
        assert (tmp_path / "k-run" / "ablations" / name).exists()


def test_the_data_folder_and_the_videos_may_be_moved(konvid1k, tmp_path):
    data, run = konvid1k
    shutil.copytree(data, tmp_path / "data")
    shutil.copytree(run, tmp_path / "run")
    (data.parent / "download").rename(tmp_path / "videos")
    try:
        for folder in RunFolder(tmp_path / "run").repeats():
            folder.features.unlink()
        arguments = ["--data", tmp_path / "data", "--run", tmp_path / "run"]
        error = commands.fail(extract_features.main, *arguments)
        assert f"there is no folder {data.parent / 'download'}. Name it: --root DIR." in error
        commands.succeed(extract_features.main, *arguments, "--root", tmp_path / "videos")
        commands.succeed(report.main, "--run", tmp_path / "run")
    finally:
        (tmp_path / "videos").rename(data.parent / "download")
    for old, new in zip(RunFolder(run).repeats(), RunFolder(tmp_path / "run").repeats(), strict=True):
        assert old.features.read_bytes() == new.features.read_bytes()
        assert new.read_facts()["data_dir"] == str(tmp_path / "data")
