import json

import pytest

from nr_vqm.dataset import splits

CONTENTS = {f"v{i:02d}": f"scene{i // 3}" for i in range(30)}  # ten contents of three videos


def make(seed=1, train=0.6, val=0.2, contents=CONTENTS):
    return splits.split_by_content(contents, train_fraction=train, val_fraction=val, seed=seed)


def test_every_video_once_and_no_content_on_two_sides():
    for seed in range(20):
        split = make(seed)
        assert sorted(split.train + split.val + split.test) == sorted(CONTENTS)
        assert [len(split.train), len(split.val), len(split.test)] == [18, 6, 6]
        sides = [{CONTENTS[video_id] for video_id in getattr(split, part)} for part in splits.PARTS]
        assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_the_seed_decides_and_the_order_does_not():
    assert make(3) == make(3, contents=dict(reversed(CONTENTS.items())))
    assert make(3) != make(4)


@pytest.mark.parametrize(("train", "val"), [(0.01, 0.01), (0.98, 0.01), (0.5, 0.49)])
def test_no_part_is_empty(train, val):
    split = make(train=train, val=val)
    assert split.train
    assert split.val
    assert split.test


def test_too_few_contents():
    with pytest.raises(ValueError, match="Three contents are needed for train, val and test, found 2"):
        make(contents={"a": "x", "b": "y", "c": "y"})


def test_a_leak_is_named():
    leaky = splits.Split(train=("v00",), val=("v03",), test=("v01",))
    with pytest.raises(ValueError, match="found 1 in two or more: scene0"):
        splits.check(leaky, CONTENTS)


def test_an_unknown_video_is_named():
    with pytest.raises(ValueError, match="names video 'v99'"):
        splits.check(splits.Split(train=("v99",), val=(), test=()), CONTENTS)


def test_round_trip_and_a_changed_file(tmp_path):
    path = tmp_path / "splits.json"
    splits.write(path, make())
    assert splits.read(path) == make()
    stored = json.loads(path.read_text())
    stored["train"].append(stored["test"].pop())
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="does not match its hash"):
        splits.read(path)


def test_the_paper_split_takes_val_out_of_the_training_part():
    konvid1k = splits.paper_fractions("konvid1k", val_share=0.1)
    qualcomm = splits.paper_fractions("live_qualcomm", val_share=0.25)
    assert konvid1k == pytest.approx({"train_fraction": 0.81, "val_fraction": 0.09})
    assert qualcomm == pytest.approx({"train_fraction": 0.6, "val_fraction": 0.2})
    shares = {"train": konvid1k["train_fraction"], "val": konvid1k["val_fraction"]}
    split = make(**shares, contents={f"v{n}": f"v{n}" for n in range(1200)})
    assert [len(split.train), len(split.val), len(split.test)] == [972, 108, 120]


def test_val_is_taken_by_whole_contents():
    train, val = splits.take_val(tuple(CONTENTS)[:21], CONTENTS, val_share=0.3, seed=5)
    assert [len(train), len(val)] == [15, 6]
    assert not {CONTENTS[one] for one in train} & {CONTENTS[one] for one in val}
    with pytest.raises(ValueError, match="two contents to train on, found 1"):
        splits.take_val(("v00", "v01"), CONTENTS, val_share=0.3, seed=5)


def test_allowed_leaks_are_stored_with_the_split(tmp_path):
    leaky = splits.Split(train=("v00",), val=("v03",), test=("v01", "v02"))
    assert splits.check(leaky, CONTENTS, allow_leak=True) == ["scene0"]
    splits.write(tmp_path / "splits.json", leaky, made_by="file.mat, number 3", leaks=["scene0"])
    assert splits.read(tmp_path / "splits.json") == leaky
    assert splits.read_facts(tmp_path / "splits.json") == ("file.mat, number 3", ["scene0"])


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (splits.Split(train=("v00", "v00"), val=("v03",), test=("v06",)), "found 'v00' twice"),
        (splits.Split(train=("v00",), val=("v03",), test=()), "its test part is empty"),
    ],
)
def test_splits_of_no_use_are_refused(split, message):
    with pytest.raises(ValueError, match=message):
        splits.check(split, CONTENTS)


def test_known_videos_are_recognised_by_their_content(tmp_path):
    path = tmp_path / "splits.json"
    fingerprints = {"1.mp4": "aa", "2.mp4": "bb", "3.mp4": "cc"}
    parts = splits.Split(train=("1.mp4",), val=("2.mp4",), test=("3.mp4",))
    splits.write(path, parts, fingerprints=fingerprints | {"unused": "dd"})
    assert splits.read_fingerprints(path) == fingerprints
    splits.refuse_fitted(path, {"1.mp4": "ee", "2.mp4": "cc"}, remedy="Stop.")  # others of the same name; the test part
    for known in ("aa", "bb"):
        with pytest.raises(ValueError, match="were fitted on 1 of the 2 test videos, 'other' first. Stop."):
            splits.refuse_fitted(path, {"other": known, "4.mp4": "ee"}, remedy="Stop.")


def test_the_videos_of_the_start_are_inherited(tmp_path):
    path = tmp_path / "splits.json"
    parts = splits.Split(train=("1.mp4",), val=("2.mp4",), test=("3.mp4",))
    fingerprints = {"1.mp4": "aa", "2.mp4": "bb", "3.mp4": "cc"}
    splits.write(path, parts, fingerprints=fingerprints)
    assert "inherited" not in path.read_text()  # as in files of earlier versions
    assert splits.read_fitted(path) == {"aa", "bb"}
    splits.write(path, parts, fingerprints=fingerprints, inherited={"ff", "ee"})
    assert splits.read_fitted(path) == {"aa", "bb", "ee", "ff"}
    with pytest.raises(ValueError, match="were fitted on 1 of the 2 test videos, 'other' first. Stop."):
        splits.refuse_fitted(path, {"other": "ee", "3.mp4": "cc"}, remedy="Stop.")


def test_videos_that_cannot_be_recognised_are_refused(tmp_path):
    path = tmp_path / "splits.json"
    parts = splits.Split(train=("1.mp4",), val=("2.mp4",), test=("3.mp4",))
    splits.write(path, parts)
    with pytest.raises(ValueError, match="has no fingerprint of video '1.mp4'. Prepare and train in new folders"):
        splits.refuse_fitted(path, {"1.mp4": "aa"}, remedy="Stop.")
    with pytest.raises(ValueError, match="manifest has no fingerprint of video '1.mp4'"):
        splits.refuse_fitted(path, {"1.mp4": ""}, remedy="Stop.")
