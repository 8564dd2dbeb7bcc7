"""Splits as others publish them: found videos, contents kept apart or named, files of no use refused."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from nr_vqm.dataset import label_tables, manifest, published_splits, splits

DATA = Path(os.environ.get("NR_VQM_DATA") or "none")
needs_data = pytest.mark.skipif(not (DATA / "splits").is_dir(), reason="NR_VQM_DATA names no folder with splits/")
NAMES = [f"Part{n % 2}/{n:02d}_clip.mp4" for n in range(10)]


def videos(names=NAMES, per_content=1):
    return [
        manifest.Video(Path(name).stem, f"/data/{name}", f"scene{n // per_content}", 3.0, 1.0, 5.0)
        for n, name in enumerate(names)
    ]


def read(path, have=None, index=0):
    return published_splits.read(path, have or videos(), index=index, val_share=0.25, seed=1)


def write_mat73(path, orders, names=NAMES, references=None):
    """VSFA's layout: (videos, permutations) as h5py shows it, names as references to character codes."""
    with h5py.File(path, "w") as file:
        file["index"] = np.asarray(orders, float).T
        file["ref_ids"] = np.asarray(references or range(1, len(names) + 1), float)[None]
        cells = file.create_dataset("video_names", (1, len(names)), h5py.ref_dtype)
        for number, name in enumerate(names):
            text = file.create_dataset(f"#refs#/{number}", data=np.array([[ord(c)] for c in name], np.uint16))
            cells[0, number] = text.ref
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384) + path.read_bytes())
    return path


ORDERS = [[3, 1, 2, 4, 5, 6, 7, 8, 9, 10], [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]]


def test_a_permutation_gives_its_first_60_20_20_percent(tmp_path):
    split, notes = read(write_mat73(tmp_path / "info.mat", ORDERS), index=1)
    assert split.train == tuple(f"{n:02d}_clip" for n in (4, 5, 6, 7, 8, 9))
    assert split.val == ("02_clip", "03_clip")
    assert split.test == ("00_clip", "01_clip")
    assert notes == []


def test_a_permutation_in_the_old_format_is_the_same(tmp_path):
    names = np.array(NAMES, dtype=object)[None]
    scipy.io.savemat(
        tmp_path / "old.mat", {"index": np.array(ORDERS), "ref_ids": np.arange(1, 11)[None], "video_names": names}
    )
    new = write_mat73(tmp_path / "new.mat", ORDERS)
    assert read(tmp_path / "old.mat", index=1) == read(new, index=1)


def test_videos_of_one_reference_stay_together(tmp_path):
    path = write_mat73(tmp_path / "info.mat", [[2, 5, 1, 3, 4]], references=[n // 2 + 1 for n in range(10)])
    split, _ = read(path, videos(per_content=2))
    assert split.train == ("00_clip", "01_clip", "02_clip", "03_clip", "08_clip", "09_clip")
    assert splits.check(split, {one.video_id: one.content for one in videos(per_content=2)}) == []


def test_a_leak_is_named(tmp_path):
    split, _ = read(write_mat73(tmp_path / "info.mat", ORDERS), videos(per_content=3))
    with pytest.raises(ValueError, match="found 1 in two or more: scene2"):
        splits.check(split, {one.video_id: one.content for one in videos(per_content=3)})


def test_videos_that_one_side_lacks_are_counted(tmp_path):
    have = [*videos()[1:], manifest.Video("extra", "/data/extra.mp4", "extra", 3.0, 1.0, 5.0)]
    _, notes = read(write_mat73(tmp_path / "info.mat", ORDERS), have)
    assert notes[0].startswith("1 of the split's 10 videos are not among the usable ones")
    assert notes[1].startswith("1 of 10 usable videos are not in the split")


def test_names_are_matched_by_id_file_or_flickr_number():
    have = [
        manifest.Video("8536919744", "/k/8536919744.mp4", "c", 3.0, 1.0, 5.0),
        manifest.Video("0723_Tree_GS5", "/q/0723_Tree_GS5.yuv", "c", 3.0, 1.0, 5.0),
    ]
    names = ["8536919744_original_centercrop_960x540_8s.mp4", "Artifacts/0723_Tree_GS5.yuv", "9_original_centercrop"]
    assert published_splits.match(names, have) == {names[0]: "8536919744", names[1]: "0723_Tree_GS5"}
    with pytest.raises(ValueError, match="found '8536919744' under two names"):
        published_splits.match(["8536919744", "8536919744.mp4"], have)
    twins = videos(["a/x.mp4", "b/x.avi"])
    twins = [manifest.Video(f"{n}", one.path, "c", 3.0, 1.0, 5.0) for n, one in enumerate(twins)]
    with pytest.raises(ValueError, match="'x' in the split matches 0 and 1"):
        published_splits.match(["x"], twins)


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_lists_of_names(tmp_path, kind):
    parts = {"train": NAMES[:6], "valid": NAMES[6:8], "testing": NAMES[8:]}
    path = tmp_path / f"split.{kind}"
    if kind == "json":
        path.write_text(json.dumps([{"train": [], "test": NAMES}, parts]))
    else:
        rows = [f"{name},{part},{n}" for part, names in parts.items() for n, name in enumerate(names)]
        path.write_text("\n".join(["file_name,split,number", *rows]).replace("number", "x"))
    split, _ = read(path, index=1 if kind == "json" else 0)
    assert [len(split.train), len(split.val), len(split.test)] == [6, 2, 2]
    assert split.test == ("08_clip", "09_clip")


def test_a_file_without_val_has_it_taken_from_train(tmp_path):
    (tmp_path / "split.json").write_text(json.dumps({"train": NAMES[:8], "test": NAMES[8:]}))
    split, _ = read(tmp_path / "split.json")
    assert [len(split.train), len(split.val), len(split.test)] == [6, 2, 2]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.json", '{"train": ["01_clip"]}', "needs lists of video names under train, test"),
        ("s.json", '{"train": "01_clip", "test": ["02_clip"]}', "needs lists of video names"),
        ("s.json", '[["01_clip"]]', "needs lists of video names"),
        ("s.json", '{"train": ["other"], "test": ["b"]}', "names none of the 10 videos; it names .other."),
        ("s.csv", "file_name,part\n01_clip,0\n", "one with train, val or test for each; found: file_name, part"),
        ("s.csv", "thing,part\n01_clip,train\n", "needs a column of names"),
        ("s.txt", "", "ends in .mat, .json, .csv, found s.txt"),
    ],
)
def test_files_of_no_use_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / name)


def test_permutations_of_no_use_are_refused(tmp_path):
    good = write_mat73(tmp_path / "good.mat", ORDERS)
    with pytest.raises(ValueError, match="has 2 permutations, numbered from 0: there is no number 2"):
        read(good, index=2)
    with pytest.raises(ValueError, match="permutation 0 does not hold every reference"):
        read(write_mat73(tmp_path / "twice.mat", [[1, 1, *range(3, 11)], ORDERS[1]]))
    with pytest.raises(ValueError, match=r"index of shape \(2, 9\)"):
        read(write_mat73(tmp_path / "short.mat", [order[:9] for order in ORDERS]))
    scipy.io.savemat(tmp_path / "other.mat", {"index": np.ones((3, 4))})
    with pytest.raises(ValueError, match="it lacks ref_ids, video_names"):
        read(tmp_path / "other.mat")
    with pytest.raises(FileNotFoundError, match="strict, paper or a"):
        read(tmp_path / "strickt")


@needs_data
def test_the_published_permutations_of_konvid_keep_contents_apart():
    names = label_tables.read_labels(DATA / "labels/KoNViD_1k_attributes.csv").names
    have = [manifest.Video(name.split("_")[0], f"/k/{name}", name, 3.0, 1.0, 5.0) for name in names]
    have = [one for one in have if one.video_id]
    for index in (0, 999):
        split, notes = read(DATA / "splits/KoNViD-1kinfo.mat", have, index=index)
        assert [len(split.train), len(split.val), len(split.test)] == [720, 240, 240]
        assert notes == []
        assert splits.check(split, {one.video_id: one.content for one in have}) == []


@needs_data
def test_the_published_permutations_of_live_qualcomm_divide_scenes():
    labels = label_tables.read_labels(
        DATA / "labels/qualcommSubjectiveData.mat", content_regex=r"^(\d{4})_?([A-Za-z0-9]+?)_"
    )
    pairs = zip(labels.names, labels.contents, strict=True)
    have = [manifest.Video(Path(name).stem, f"/q/{name}", scene, 30.0, 0.0, 100.0) for name, scene in pairs]
    split, notes = published_splits.read(DATA / "splits/LIVE-Qualcomminfo.mat", have, index=0, val_share=0.2, seed=1)
    assert [len(split.train), len(split.val), len(split.test)] == [125, 42, 41]
    assert notes == []
    with pytest.raises(ValueError, match=r"in two or more: .*0723manundertree"):
        splits.check(split, {one.video_id: one.content for one in have})
