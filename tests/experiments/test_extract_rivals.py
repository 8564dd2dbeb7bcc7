"""Hand-crafted features of a run: computed once, resumed, and recorded with the reason where they cannot be."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from sample_videos import write_ffv1

from experiments import extract_rivals
from nr_vqm import command_line, presets
from nr_vqm.common import atomic_files, parallel
from nr_vqm.dataset import manifest, splits
from nr_vqm.dataset.data_folder import DataFolder
from nr_vqm.handcrafted import brisque, cornia, extraction, methods, niqe
from nr_vqm.runs import rival_features
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.video import decoder_client, decoder_processes

ROOT = Path(__file__).parents[2]


def write_video(path, seed, *, num_frames=7, height=97, width=197):
    """Moving texture with noise, 7 frames at 5 frames per second."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    frames = []
    for time_ in range(num_frames):
        waves = 60 * np.sin((rows + time_) / (5 + seed)) * np.cos(columns / 9) + rng.normal(0, 9, (height, width))
        frames.append(np.repeat(np.clip(120 + waves, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return write_ffv1(path, frames, fps=5)


def describe(path):
    """The row of a video in the manifest."""
    row = manifest.Video(f"id {path.stem}", path.name, f"scene {path.stem}", mos=3.0, mos_low=1.0, mos_high=5.0)
    frames = 2 if path.name == "1.mkv" else 7
    known = {"fps": 5.0, "status": manifest.OK, "fingerprint": atomic_files.fingerprint(path)}
    return dataclasses.replace(row, frames=frames, width=197, height=97, **known)


def write_data(data, root):
    """Write what prep leaves of the videos in a folder, without clips."""
    data.mkdir(exist_ok=True)
    folder = DataFolder(data)
    manifest.write(folder.manifest, [describe(path) for path in sorted(root.glob("*.mkv"))])
    atomic_files.write_json(folder.settings, {"labels_sha256": "labels", "root": os.path.relpath(root, data)})
    atomic_files.write_json(folder.index, {"labels_sha256": "labels"})


@pytest.fixture
def project(tmp_path):
    """(data, run): four videos, of which 1.mkv has two frames and 2.mkv is damaged; the run has only its split."""
    root = tmp_path / "videos"
    root.mkdir()
    for number in range(4):
        write_video(root / f"{number}.mkv", number, num_frames=2 if number == 1 else 7)
    (root / "2.mkv").write_bytes(b"damaged")
    write_data(tmp_path / "data", root)
    write_run(tmp_path / "run")
    return tmp_path / "data", tmp_path / "run"


def write_run(path, **facts):
    run = RunFolder(path)
    run.path.mkdir()
    run.write_preset(presets.get_preset("tiny"))
    run.update_facts(labels_sha256="labels", **facts)
    if not facts:
        splits.write(run.splits, splits.Split(("id 0", "id 1"), ("id 2",), ("id 3",)))
    return run


def extract(data, run, *options):
    extract_rivals.main(["--data", str(data), "--run", str(run), *options])


def count_computed(monkeypatch):
    """Count the videos whose features are computed."""
    names = []
    real = extraction._compute
    monkeypatch.setattr(
        extraction, "_compute", lambda method, one, codebook: names.append(one.video_id) or real(method, one, codebook)
    )
    return names


def test_features_of_every_video_or_the_reason(project, capsys):
    data, run = project
    extract(data, run, "--rivals", "brisque,niqe,video_bliinds")
    assert rival_features.computed(run) == ["niqe", "brisque", "video_bliinds"]
    root = data.parent / "videos"
    for name, module in (("brisque", brisque), ("niqe", niqe)):
        found = rival_features.read(run, name)
        assert list(found.video_id) == ["id 0", "id 1", "id 2", "id 3"]
        assert found.reason[2].startswith("Cannot read 2.mkv: ")
        assert [bool(reason) for reason in found.reason] == [False, False, True, False]
        for row in (0, 1, 3):
            expected = module.video_features(root / f"{row}.mkv")
            np.testing.assert_allclose(found.features[row], expected, rtol=1e-12, atol=1e-15)  # sums may be reordered
        assert np.isnan(found.features[2]).all()
        assert (found.seconds > 0).all()
    found = rival_features.read(run, "video_bliinds")
    assert found.reason[1] == "1.mkv: V-BLIINDS needs at least 3 frames. Received: 2."
    assert np.isfinite(found.features[0, 37:]).all()
    text = capsys.readouterr().out
    assert "BRISQUE: 4 of 4 videos to compute" in text
    assert "  no features of id 1: 1.mkv: V-BLIINDS needs at least 3 frames. Received: 2." in text
    assert "V-BLIINDS: 2 of 4 videos, 0 h 00 min left" in text
    assert sorted(path.name for path in (run / "rivals").iterdir()) == ["brisque.h5", "niqe.h5", "video_bliinds.h5"]


def test_a_complete_method_is_not_computed_again(project, monkeypatch, capsys):
    data, run = project
    extract(data, run, "--rivals", "brisque")
    stored, computed = (run / "rivals" / "brisque.h5").read_bytes(), count_computed(monkeypatch)
    extract(data, run, "--rivals", "brisque")
    assert computed == []
    assert "brisque.h5 is complete already." in capsys.readouterr().out
    assert (run / "rivals" / "brisque.h5").read_bytes() == stored


def test_a_changed_video_and_corrected_labels(project, monkeypatch):
    data, run = project
    extract(data, run, "--rivals", "brisque")
    before = rival_features.read(run, "brisque")
    write_video(data.parent / "videos" / "3.mkv", 9)
    write_data(data, data.parent / "videos")
    computed = count_computed(monkeypatch)
    extract(data, run, "--rivals", "brisque")
    assert computed == ["id 3"]
    after = rival_features.read(run, "brisque")
    np.testing.assert_array_equal(before.features[:3], after.features[:3])
    assert not np.array_equal(before.features[3], after.features[3])
    path = DataFolder(data).manifest
    manifest.write(path, [dataclasses.replace(one, mos=4.5) for one in manifest.read(path)])
    extract(data, run, "--rivals", "brisque")
    assert computed == ["id 3"]
    with h5py.File(run / "rivals" / "brisque.h5") as file:
        assert file.attrs["videos_sha256"] == rival_features.features.videos_sha256(manifest.usable(data))


def test_moved_folders_are_not_computed_again(project, tmp_path, monkeypatch):
    data, run = project
    extract(data, run, "--rivals", "brisque")
    shutil.move(tmp_path / "videos", tmp_path / "moved videos")
    data, run = shutil.move(data, tmp_path / "moved"), shutil.move(run, tmp_path / "moved run")
    computed = count_computed(monkeypatch)
    extract(data, run, "--rivals", "brisque")
    assert computed == []
    with pytest.raises(FileNotFoundError, match="Name it: --root DIR"):
        extract(data, run, "--rivals", "niqe")
    extract(data, run, "--rivals", "niqe", "--root", str(tmp_path / "moved videos"))
    assert computed == ["id 0", "id 1", "id 2", "id 3"]


def test_a_stopped_extraction_resumes(project, monkeypatch):
    data, run = project
    whole = RunFolder(shutil.copytree(run, data.parent / "whole"))
    extract(data, whole, "--rivals", "brisque")
    real = extraction.write_part

    def stop_at_the_last(one, **rest):
        if one.video_id == "id 3":
            raise KeyboardInterrupt
        return real(one, **rest)

    monkeypatch.setattr(extraction, "write_part", stop_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        extract(data, run, "--rivals", "brisque")
    assert rival_features.computed(run) == []
    monkeypatch.setattr(extraction, "write_part", real)
    computed = count_computed(monkeypatch)
    extract(data, run, "--rivals", "brisque")
    assert computed == ["id 3"]
    assert_equal(whole, RunFolder(run), "brisque")


def assert_equal(one, two, name):
    first, second = (rival_features.read(run, name) for run in (one, two))
    np.testing.assert_allclose(first.features, second.features, rtol=1e-12, atol=1e-15)
    assert list(first.reason) == list(second.reason)
    assert list(first.video_id) == list(second.video_id)


def test_a_changed_file_of_features_is_computed_again(project, monkeypatch, capsys):
    data, run = project
    extract(data, run, "--rivals", "brisque")
    before = rival_features.read(run, "brisque").features
    with h5py.File(run / "rivals" / "brisque.h5", "a") as file:
        file["features"][0] = 1
    extract(data, run, "--rivals", "brisque")
    assert "has changed since it was written: it is computed again." in capsys.readouterr().out
    np.testing.assert_array_equal(rival_features.read(run, "brisque").features, before)


def test_a_video_on_which_every_worker_dies_is_a_row_with_the_reason(project, monkeypatch):
    data, run = project

    def map_in_order(function, items, *, on_death, **_):
        for one in items:
            dies = one.video_id == "id 0"
            yield on_death(one, parallel.WorkerDied("the 3 processes died")) if dies else function(one)

    monkeypatch.setattr(parallel, "map_in_order", map_in_order)
    extract(data, run, "--rivals", "niqe")
    assert rival_features.read(run, "niqe").reason[0] == "the 3 processes died"


@pytest.mark.parametrize("method", ["niqe", "video_bliinds", "videval_light"])
def test_a_video_on_which_the_decoder_dies_is_computed_by_the_next_run(project, monkeypatch, method):
    data, run = project
    real = decoder_client._read_with

    def dies_after_a_frame(request, *rest):
        source = real(request, *rest)
        if not request["path"].endswith("3.mkv"):
            yield from source
            return
        yield next(source)
        yield next(source)
        raise decoder_processes.DecoderFailed("The decoder crashed (SIGKILL).", died=True)

    monkeypatch.setattr(decoder_client, "_read_with", dies_after_a_frame)
    with pytest.raises(ValueError, match="the decoder died on 1 videos: id 3. Run the same command again"):
        extract(data, run, "--rivals", method)
    assert rival_features.computed(run) == []
    monkeypatch.setattr(decoder_client, "_read_with", real)
    computed = count_computed(monkeypatch)
    extract(data, run, "--rivals", method)
    assert computed == ["id 3"]
    assert rival_features.read(run, method).reason[3] == ""


def test_no_escape_sequence_of_a_video_is_printed(project, capsys):
    data, run = project
    path = DataFolder(data).manifest
    manifest.write(path, [dataclasses.replace(one, video_id=f"\x1b[31m{one.video_id}") for one in manifest.read(path)])
    extract(data, run, "--rivals", "video_bliinds")
    printed = capsys.readouterr().out
    assert "no features of \N{REPLACEMENT CHARACTER}[31mid 1: 1.mkv: " in printed
    assert "\x1b" not in printed


def test_a_pipe_in_place_of_a_file_of_features_is_not_opened(project):
    data, run = project
    folder = RunFolder(run)
    folder.rivals.mkdir()
    os.mkfifo(folder.rival_features("brisque"))
    extract(data, run, "--rivals", "brisque")
    assert rival_features.computed(folder) == ["brisque"]


def test_repeats_share_all_but_the_codebook_and_what_depends_on_it(project, tmp_path, monkeypatch):
    data, _ = project
    few_words(monkeypatch)
    run = write_run(tmp_path / "repeated", repeats=2)
    for number, train in enumerate((("id 0", "id 1"), ("id 3", "id 2"))):
        repeat = write_run(run.path / f"repeat-0{number}")
        splits.write(repeat.splits, splits.Split(train, (), ()))
    computed = count_computed(monkeypatch)
    extract(data, run, "--rivals", "niqe,cornia")
    assert len(computed) == 4 + 2 * 4
    one, two = run.repeats()
    for folder in (run, one, two):
        assert "niqe" in rival_features.computed(folder)
    assert one.rival_features("niqe").samefile(two.rival_features("niqe"))
    assert [cornia.load_codebook(each.codebook).videos for each in (one, two)] == [("id 0", "id 1"), ("id 2", "id 3")]
    vectors = [rival_features.read(each, "cornia").features for each in (one, two)]
    assert vectors[0].shape == (4, 14) and not np.array_equal(*vectors)
    assert rival_features.computed(run) == ["niqe"]
    extract(data, run, "--rivals", "niqe,cornia")
    assert len(computed) == 4 + 2 * 4


def few_words(monkeypatch):
    monkeypatch.setattr(cornia, "NUM_WORDS", 7)
    few = dataclasses.replace(methods.METHODS["cornia"], num_features=14)
    monkeypatch.setitem(methods.METHODS, "cornia", few)


def test_a_codebook_is_learned_from_training_videos_and_rebuilt_identically(project, monkeypatch):
    data, run = project
    few_words(monkeypatch)
    extract(data, run, "--rivals", "cornia")
    first = cornia.load_codebook(RunFolder(run).codebook)
    vectors = rival_features.read(run, "cornia").features
    assert first.videos == ("id 0", "id 1")
    shutil.rmtree(run / "rivals")
    extract(data, run, "--rivals", "cornia")
    again = cornia.load_codebook(RunFolder(run).codebook)
    assert again.words.tobytes() == first.words.tobytes()
    assert rival_features.read(run, "cornia").features.tobytes() == vectors.tobytes()
    write_video(data.parent / "videos" / "0.mkv", 30)
    write_data(data, data.parent / "videos")
    computed = count_computed(monkeypatch)
    extract(data, run, "--rivals", "cornia")
    assert len(computed) == 4  # of another codebook
    assert cornia.load_codebook(RunFolder(run).codebook).words.tobytes() != first.words.tobytes()


def test_cornia_needs_a_split(project):
    data, run = project
    RunFolder(run).splits.unlink()
    with pytest.raises(FileNotFoundError, match=r"splits\.json is missing. Make it first: make train"):
        extract(data, run, "--rivals", "cornia")


def test_wrong_input_is_refused(project, capsys):
    data, run = project
    with pytest.raises(SystemExit):
        extract(data, run, "--rivals", "brisque,brisk")
    assert "Unknown method 'brisk'. Choose from: niqe, brisque, " in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="Make it first: make train"):
        extract(data, run / "elsewhere")
    RunFolder(run).update_facts(labels_sha256="other")
    with pytest.raises(ValueError, match="was started with other videos or labels than"):
        extract(data, run)
    RunFolder(run).update_facts(labels_sha256="labels")
    (data.parent / "videos" / "0.mkv").unlink()
    with pytest.raises(FileNotFoundError, match=r"0\.mkv"):
        extract(data, run, "--rivals", "niqe")


@pytest.fixture
def command(project):
    """start(*options) -> a process of the command; killed at the end."""
    data, run = project
    started = []

    def start(*options):
        words = [sys.executable, "-m", "experiments.extract_rivals", "--data", data, "--run", run, *options]
        started.append(subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_two_commands_at_once_are_refused(project, command):
    run = project[1]
    with RunFolder(run).lock():
        out, error = command("--rivals", "niqe").communicate(timeout=60)
    assert error.startswith(f"error: {run} is in use by process {os.getpid()} on ")
    assert error.count("\n") == 1 and out == ""


@pytest.mark.slow
def test_a_killed_command_resumes_with_identical_vectors(project, command):
    data, run = project
    whole = RunFolder(shutil.copytree(run, data.parent / "whole"))
    extract(data, whole, "--rivals", "niqe,video_bliinds")
    parts = RunFolder(run).rival_parts("video_bliinds")
    process = command("--rivals", "niqe,video_bliinds")
    wait_for(lambda: any(parts.glob("[!.]*.h5")) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert rival_features.computed(run) == ["niqe"]
    (run / "rivals" / f".niqe.part-{os.uname().nodename}-{process.pid}-1.h5").write_text("left by the killed process")
    assert command("--rivals", "niqe,video_bliinds", "--workers", "2").wait(120) == 0
    for name in ("niqe", "video_bliinds"):
        assert_equal(whole, RunFolder(run), name)
    assert sorted(path.name for path in (run / "rivals").iterdir()) == ["niqe.h5", "video_bliinds.h5"]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_the_default_leaves_out_our_variants(capsys):
    with pytest.raises(SystemExit):
        command_line.run(extract_rivals.main, ["--help"])
    assert "(default: niqe,brisque,cornia,video_bliinds,friquee,videval)" in " ".join(capsys.readouterr().out.split())
