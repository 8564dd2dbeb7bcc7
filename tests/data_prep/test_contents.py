"""A folder of unlabelled videos becomes a database of pseudo-labels: reasons to skip, versions, labels, resuming."""

import csv
import shutil
import subprocess

import cv2
import numpy as np
import pytest
import stand_ins
from sample_videos import write_bars

from data_prep import __main__ as data_prep
from data_prep.contents import database, label_rows, measurements, scan, selection, versions, vmaf
from data_prep.synthetic import distortions, scenes
from nr_vqm import presets
from nr_vqm.common import atomic_files
from nr_vqm.teacher import regression, teacher

SETTINGS = {
    "num_frames": 20, "num_versions": 3, "size": (64, 80), "max_segments": 1, "max_seconds": 60.0, "min_side": 40,
    "impairment": (0.8, 2.4), "reencoded": 0.5, "seed": 4,
}  # fmt: skip
SYNTHETIC = {"num_frames": 20, "size": (40, 56), "seed": 5}


def filmed(seed, *, num_frames=24, size=(72, 104)):
    """Frames of a slow pan over a synthetic scene, which stands for a filmed one."""
    height, width = size
    rng = np.random.default_rng(seed)
    scene = scenes.make_scene(rng, num_frames=2, size=(height, width + num_frames), lively=False)
    wide = scenes.render(scene, 0)
    return np.stack([wide[:, frame : frame + width] for frame in range(num_frames)])


def write(path, frames, *, crf=14, fps=24):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(distortions.encode(frames, fps=fps, codec="libx264", options={"crf": str(crf)}, container="mp4"))
    return path


def drawn(num_frames):
    """Frames of a drawing: flat areas of few colours, and a bar that moves."""
    frames = np.full((num_frames, 72, 104, 3), 250, np.uint8)
    frames[:, 10:30, 10:60] = (30, 90, 200)
    for number, frame in enumerate(frames):
        frame[40:60, 2 * number : 2 * number + 20] = (200, 30, 30)
    return frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three good videos, of which one is portrait, and one of every kind that is skipped."""
    root = tmp_path_factory.mktemp("videos")
    good = filmed(1)
    write(root / "good1.mp4", good)
    write(root / "in" / "good2.mp4", filmed(2))
    write(root / "good3.mp4", filmed(3, size=(104, 72)))
    shutil.copy(root / "good1.mp4", root / "same file.mp4")
    small = np.stack([cv2.resize(frame, (80, 56), interpolation=cv2.INTER_AREA) for frame in good])
    write(root / "encoded again.mp4", small, crf=30)
    write(root / "short.mp4", filmed(5, num_frames=19))
    write(root / "cut.mp4", np.concatenate([filmed(6, num_frames=15), filmed(7, num_frames=15)]))
    write(root / "black.mp4", filmed(8) // 20)
    write(root / "still.mp4", np.repeat(filmed(9)[:1], 24, axis=0))
    write(root / "slides.mp4", np.repeat(filmed(10)[[0, 23]], 30, axis=0))
    write(root / "screen.mp4", drawn(24))
    write(root / "small.mp4", filmed(11, size=(36, 104)))
    write_bars(
        root / "hdr.mp4",
        encoder="libx265",
        pixel_format="yuv420p10le",
        trc=16,
        options={"x265-params": "log-level=none"},
    )
    (root / "broken.mp4").write_bytes(b"no video" * 100)
    (root / "notes.txt").write_text("no video")
    return root


def make(folder, out, *, judge=None, loss="tables", workers=1, synthetic=0, **changes):
    return database.make_database(
        folder, out, settings={**SETTINGS, **changes}, synthetic={**SYNTHETIC, "num_videos": synthetic},
        teacher=judge, loss=loss, workers=workers, scheduler=None, progress=lambda *_: None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("contents")
    return out, make(folder, out)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def files(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.*"))}


# ---------------------------------------------------------------- looking and choosing


def test_every_skipped_video_has_its_reason(made):
    out, result = made
    assert {path: status for path, (status, _) in result.skipped.items()} == {
        "same file.mp4": "duplicate",
        "encoded again.mp4": "duplicate",
        "short.mp4": "too_short",
        "cut.mp4": "too_short",
        "black.mp4": "black",
        "still.mp4": "still",
        "slides.mp4": "still",
        "screen.mp4": "screen",
        "small.mp4": "too_small",
        "hdr.mp4": "hdr",
        "broken.mp4": "unreadable",
    }
    assert result.skipped["encoded again.mp4"][1] == "shows the same as good1.mp4"
    assert result.skipped["cut.mp4"][1] == "a segment needs 20 frames, the longest scene has 15"
    assert result.skipped["small.mp4"][1] == "40 pixels a side are needed, the video has 104 x 36"
    assert {row["path"]: row["status"] for row in rows(out / "skipped.csv")} == {
        path: status for path, (status, _) in result.skipped.items()
    }


def test_interlaced_and_damaged_video_is_skipped(tmp_path):
    write_bars(tmp_path / "i.mpg", encoder="mpeg2video", num_frames=30, options={"flags": "+ildct+ilme", "b": "2M"})
    whole = stand_ins.write_h264(tmp_path / "d.mp4", stand_ins.noisy_frames(1, 60, 72, 104, noise=9))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found = {
        name: scan.scan(tmp_path / name, num_frames=20, min_side=40, max_seconds=60) for name in ("i.mpg", "d.mp4")
    }
    assert found["i.mpg"].status == "interlaced"
    assert found["d.mp4"].status == "damaged"
    assert found["d.mp4"].reason.startswith("60 frames are declared, ")


def test_an_interlaced_video_longer_than_the_part_that_is_looked_at_is_skipped(tmp_path):
    options = {"flags": "+ildct+ilme", "b": "2M"}
    path = write_bars(tmp_path / "i.mpg", encoder="mpeg2video", num_frames=150, options=options)
    found = scan.scan(path, num_frames=20, min_side=40, max_seconds=1)
    assert (found.frames, found.status) == (25, "interlaced")


def test_a_video_that_vanishes_is_unreadable(folder, tmp_path, monkeypatch):
    real, names = database.reader.list_videos, ("good1.mp4", "in/good2.mp4", "good3.mp4")
    monkeypatch.setattr(database.reader, "list_videos", lambda root: [*real(root), root / "gone.mp4"])
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, tmp_path / "in" / name)
    result = make(tmp_path / "in", tmp_path / "out")
    ((path, (status, reason)),) = result.skipped.items()
    assert (path, status) == ("gone.mp4", "unreadable")
    assert "No such file" in reason


def test_a_video_that_vanishes_after_it_was_looked_at_is_unreadable(folder, tmp_path, monkeypatch):
    root, real = tmp_path / "in", database.selection.choose
    shutil.copytree(folder, root)
    write(root / "good4.mp4", filmed(21))

    def choose(sources, **options):
        (root / "good4.mp4").unlink()
        return real(sources, **options)

    monkeypatch.setattr(database.selection, "choose", choose)
    assert make(root, tmp_path / "out").skipped["good4.mp4"][0] == "unreadable"


def test_scenes_are_found_at_cuts(tmp_path):
    path = write(
        tmp_path / "three.mp4", np.concatenate([filmed(seed, num_frames=n) for seed, n in ((1, 25), (2, 31), (3, 22))])
    )
    found = scan.scan(path, num_frames=20, min_side=40, max_seconds=60)
    assert [(scene.start, scene.length) for scene in found.scenes] == [(0, 25), (25, 31), (56, 22)]
    assert found.status == scan.USABLE


def test_frames_that_are_shown_twice_are_no_cuts(tmp_path):
    path = write(tmp_path / "half rate.mp4", np.repeat(filmed(2, num_frames=40)[::2], 2, axis=0))
    found = scan.scan(path, num_frames=20, min_side=40, max_seconds=60)
    assert [(scene.start, scene.length) for scene in found.scenes] == [(0, 40)]


def test_only_the_first_part_of_a_video_is_looked_at(tmp_path):
    path = write(tmp_path / "long.mp4", filmed(1, num_frames=60))
    found = scan.scan(path, num_frames=20, min_side=40, max_seconds=1.5)
    assert (found.frames, found.status) == (36, scan.USABLE)


def scene(start, length, *hashes):
    return scan.Scene(start, length, 1.0, 120.0, 0.0, 0.1, hashes)


def source(name, *found, size=(72, 104)):
    return selection.Source(f"{name}.mp4", name * 16, 1000, scan.Scan("", "", 999, size[1], size[0], 25.0, found))


def test_segments_come_from_different_scenes_and_the_middle():
    one = source("a", *(scene(100 * number, 90 - number, 1 << number) for number in range(5)), scene(500, 10, 99))
    segments, skipped = selection.choose([one], num_frames=20, max_segments=3)
    assert [segment.start for segment in segments] == [0 + 35, 200 + 34, 400 + 33]
    assert not skipped
    assert {segment.content for segment in segments} == {"a" * 12}
    assert segments[0].name == f"{'a' * 12}-00035"


def bits(count):
    return (1 << count) - 1


def test_of_copies_the_largest_is_taken_and_similar_scenes_share_a_content():
    videos = [
        source("a", scene(0, 30, bits(0))),
        source("b", scene(0, 30, bits(5)), size=(144, 208)),
        source("c", scene(0, 30, bits(18))),
        source("d", scene(0, 30, bits(60))),
    ]
    segments, skipped = selection.choose(videos, num_frames=20, max_segments=1)
    assert skipped == {"a.mp4": ("duplicate", "shows the same as b.mp4")}
    contents = {segment.source.path: segment.content for segment in segments}
    assert contents["b.mp4"] == contents["c.mp4"] != contents["d.mp4"]


LONG = tuple(int(value) for value in np.random.default_rng(1).integers(2**63, size=200))


@pytest.mark.parametrize("changed", [0, bits(10)], ids=["copied", "similar"])
def test_an_excerpt_has_the_content_of_the_whole_video_in_either_order(changed):
    excerpt = scene(0, 250, *(value ^ changed for value in LONG[40:60]))
    found = {}
    for order, size in (("first", (144, 208)), ("last", (36, 52))):
        videos = [source("a", scene(0, 2500, *LONG)), source("b", excerpt, size=size), source("c", scene(0, 30, 5))]
        found[order] = selection.choose(videos, num_frames=20, max_segments=1)
    segments, skipped = found["first"]
    contents = {segment.source.path: segment.content for segment in segments}
    assert contents["a.mp4"] == contents["b.mp4"] != contents["c.mp4"]
    assert not skipped
    segments, skipped = found["last"]
    contents = {segment.source.path: segment.content for segment in segments}
    if changed:
        assert contents["a.mp4"] == contents["b.mp4"] != contents["c.mp4"]
    else:
        assert skipped == {"b.mp4": ("duplicate", "shows the same as a.mp4")}


def test_hashes_of_copies_are_near_and_of_others_far():
    def hashed(frame):
        small = cv2.resize(frame, (scan.THUMBNAIL, scan.THUMBNAIL), interpolation=cv2.INTER_AREA)
        return scan.perceptual_hash(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))

    frame, other = filmed(1)[0], filmed(2)[0]
    copy = cv2.GaussianBlur(cv2.resize(frame, (60, 40)), (0, 0), 0.8)
    assert (hashed(frame) ^ hashed(copy)).bit_count() <= selection.COPY_BITS
    assert (hashed(frame) ^ hashed(other)).bit_count() > selection.SIMILAR_BITS
    assert scan.perceptual_hash(np.full((64, 64), 90, np.uint8)) is None


# ---------------------------------------------------------------- versions


def test_versions_have_the_size_length_and_names_of_their_segment(made):
    out, result = made
    labels = rows(out / "labels.csv")
    assert (result.num_versions, result.num_segments, result.num_contents) == (9, 3, 3)
    assert len(labels) == 9
    for row in rows(out / "contents.csv"):
        (path,) = (out / "videos").glob(f"{row['video_id']}.*")
        shape = (20, 80, 64) if row["source"] == "good3.mp4" else (20, 64, 80)
        assert distortions.decode(path.read_bytes()).shape[:3] == shape
    assert {row["content"] for row in labels} == {row["video_id"][:12] for row in labels}


def test_views_are_crops_and_reduced_crops():
    rng = np.random.default_rng(1)
    native, reduced = versions.draw_views(rng, height=1080, width=1920, size=(540, 960))
    assert (native.name, native.size, native.rows, native.columns) == ("native", (1080, 1920), 540, 960)
    assert reduced.name == "reduced"
    assert 0.39 < reduced.size[0] / 1080 < 0.81
    assert reduced.size[1] / reduced.size[0] == pytest.approx(16 / 9, abs=0.01)
    (portrait,) = versions.draw_views(rng, height=401, width=251, size=(540, 960))
    assert (portrait.rows, portrait.columns) == (400, 250)
    frame = np.arange(1080 * 1920 * 3, dtype=np.uint32).astype(np.uint8).reshape(1080, 1920, 3)
    assert np.array_equal(native.of(frame), frame[native.top : native.top + 540, native.left : native.left + 960])
    assert reduced.of(frame).shape == (reduced.rows, reduced.columns, 3)


def test_a_version_with_a_later_encoding_is_worse():
    frames = filmed(1)
    rng = np.random.default_rng(2)
    settings = {"impairment": (0.8, 2.4), "reencoded": 1.0}
    first, later = versions.draw_plans(rng, num_frames=24, fps=24, settings=settings)
    assert set(later.strengths) == {"codec"}
    assert versions._pooled_quality(frames, [first, later], 24) < versions._pooled_quality(frames, [first], 24) < 5
    assert not first.camera_noise


def test_most_versions_are_good_and_few_are_ruined():
    rng, settings = np.random.default_rng(3), {"impairment": (0.8, 2.4), "reencoded": 0.35}
    frames = filmed(1)
    qualities = [
        versions._pooled_quality(frames, versions.draw_plans(rng, num_frames=24, fps=24, settings=settings), 24)
        for _ in range(150)
    ]
    assert np.mean(np.array(qualities) > 3.5) > 0.5
    assert 0 < np.mean(np.array(qualities) < 2) < 0.2


def test_speed_is_the_motion_in_pixels():
    noise = np.random.default_rng(1).normal(size=(160, 240))
    large = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 5), None, 0, 255, cv2.NORM_MINMAX)
    large = cv2.cvtColor(large.astype(np.uint8), cv2.COLOR_GRAY2RGB)
    assert versions.speed(large[:, 10:210], large[:, 13:213]) == pytest.approx(3, rel=0.25)
    assert versions.speed(large, large) < 0.1


# ---------------------------------------------------------------- labels


def test_labels_worked_by_hand(made, folder, tmp_path):
    out, _ = made
    for row in rows(out / "contents.csv"):
        assert float(row["level"]) == 5
        assert float(row["mos"]) == pytest.approx(5 - 4 * float(row["tables"]), abs=2e-4)
        assert (row["distortions"] == "none") == (row["mos"] == "5.0")
    assert {row["source"] for row in rows(out / "contents.csv")} == {"good1.mp4", "in/good2.mp4", "good3.mp4"}


def needs_vmaf():
    try:
        vmaf.ffmpeg()
    except FileNotFoundError as error:
        pytest.skip(str(error))


def test_vmaf_counts_half_of_the_loss(folder, made, tmp_path):
    needs_vmaf()
    shutil.copytree(made[0], tmp_path / "both")
    make(folder, tmp_path / "both", loss="both")
    found = rows(tmp_path / "both" / "contents.csv")
    judged = [row for row in found if row["vmaf"]]
    assert judged
    assert all(
        {part.split()[0] for part in row["distortions"].split("; ")} <= versions.JUDGED_BY_VMAF for row in judged
    )
    for row in judged:
        own_name = row["video_id"].rsplit("-", 1)[0]
        own = atomic_files.read_json(tmp_path / "both" / "vmaf" / f"{own_name}.json", made_by="-")["vmaf"]
        by_vmaf = min(1, max(0, (own - float(row["vmaf"])) / (own - 20)))
        expected = 1 + 4 * (1 - (float(row["tables"]) + by_vmaf) / 2)
        assert float(row["mos"]) == pytest.approx(expected, abs=2e-3)


def test_vmaf_falls_with_the_rate(tmp_path):
    needs_vmaf()
    frames = filmed(1)
    paths = [write(tmp_path / f"{crf}.mp4", frames, crf=crf) for crf in (10, 30, 45)]
    same, good, bad = (vmaf.measure(path, paths[0]) for path in paths)
    assert same > 95
    assert same > good > bad + 5


def judged_version(name, **changes):
    version = {"name": name, "file": f"{name}.mkv", "view": "native", "distortions": "codec", "impairment": 0.5}
    return version | {"vmaf": True} | changes


def each_here(function, items, step, *, on_death):
    return [function(item) for item in items]


RECORDS = [
    {
        "name": "s", "content": "s", "source": "s.mp4",
        "versions": [
            judged_version("s-native", distortions="none", impairment=0.0, vmaf=False),
            judged_version("s-native-1"), judged_version("s-native-2"), judged_version("s-native-3", vmaf=False),
        ],
    }
]  # fmt: skip


@pytest.mark.parametrize(
    ("fails", "labelled"),
    [("s-native-1", ["s-native", "s-native-2", "s-native-3"]), ("s-native", ["s-native", "s-native-3"])],
)
def test_a_version_without_vmaf_is_listed_and_the_others_are_labelled(tmp_path, monkeypatch, fails, labelled):
    def measure(distorted, reference):
        if distorted.stem == fails:
            raise ValueError("too slow")
        return 90.0

    monkeypatch.setattr(vmaf, "measure", measure)
    (tmp_path / "vmaf").mkdir()
    values, failed = measurements.vmaf_of(RECORDS, tmp_path, each_here)
    assert failed == {fails: "too slow"}
    found = label_rows.make(RECORDS, {"s-native": 4.0}, values, loss="both")
    assert [row["video_id"] for row in found] == labelled
    listed = label_rows.failures(RECORDS, found, {fails: ("no_vmaf", "too slow")})
    names = [one["name"] for one in RECORDS[0]["versions"]]
    assert [one.part for one in listed] == [f"version {name}" for name in names if name not in labelled]
    assert {(one.status, one.reason) for one in listed} == {("no_vmaf", "too slow")}


def test_vmaf_that_fails_for_all_versions_ends_the_preparation(tmp_path, monkeypatch):
    def measure(distorted, reference):
        raise ValueError("FFmpeg has no model")

    monkeypatch.setattr(vmaf, "measure", measure)
    with pytest.raises(ValueError, match=r"VMAF cannot be computed for any version\. FFmpeg has no model"):
        measurements.vmaf_of(RECORDS, tmp_path, each_here)


def test_vmaf_of_another_model_is_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(vmaf, "measure", lambda distorted, reference: 90.0)
    (tmp_path / "vmaf").mkdir()
    atomic_files.write_json(tmp_path / "vmaf" / "s-native-1.json", {"model": "vmaf_v0.6.0", "vmaf": 10.0})
    atomic_files.write_json(tmp_path / "vmaf" / "s-native-2.json", {"model": vmaf.MODEL, "vmaf": 70.0})
    values, _ = measurements.vmaf_of(RECORDS, tmp_path, each_here)
    assert values == {"s-native-1": 90.0, "s-native-2": 70.0, "s-native": 90.0}
    stored = atomic_files.read_json(tmp_path / "vmaf" / "s-native-1.json", made_by="-")
    assert stored == {"model": vmaf.MODEL, "vmaf": 90.0}


def test_vmaf_that_takes_too_long_is_an_error_of_its_file(tmp_path, monkeypatch):
    def run(command, *, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(vmaf, "ffmpeg", lambda: "ffmpeg")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ValueError, match=r"VMAF of .*a\.mkv takes longer than 600 seconds"):
        vmaf.measure(tmp_path / "a.mkv", tmp_path / "b.mkv")


def test_features_of_a_file_that_cannot_be_opened_have_a_reason(tmp_path):
    (tmp_path / "features").mkdir()
    assert "No video file at" in measurements._features(("a", "videos/a.mkv", "brisque"), out_dir=tmp_path)


def test_without_ffmpeg_one_line_says_what_to_install(folder, tmp_path, monkeypatch):
    def missing():
        raise FileNotFoundError(vmaf._needed("no module"))

    monkeypatch.setattr(vmaf, "ffmpeg", missing)
    with pytest.raises(FileNotFoundError, match=r"VMAF needs FFmpeg with libvmaf.*pip install imageio-ffmpeg"):
        make(folder, tmp_path / "out", loss="both")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def judge():
    """A teacher that reads BRISQUE only."""
    rng = np.random.default_rng(3)
    features = rng.normal(1, 1, size=(60, 36))
    mos = 3 + 0.3 * features[:, 1]
    found = regression.fit(
        features, mos, np.ones(len(mos)), kind="svr", svr_settings={"c": 1.0, "gamma": 0.05}, search=regression.Search()
    )
    return teacher.Teacher(("brisque",), found, mos, mos, {"candidate": "svr of brisque"})


def test_the_teacher_gives_the_level_of_each_view(folder, made, tmp_path, judge):
    shutil.copytree(made[0], tmp_path / "taught")
    make(folder, tmp_path / "taught", judge=judge)
    found = rows(tmp_path / "taught" / "contents.csv")
    for row in found:
        view = "-".join(row["video_id"].split("-")[:3])
        (path,) = (tmp_path / "taught" / "videos").glob(f"{view}.*")
        assert float(row["level"]) == pytest.approx(judge.score(path).mos, abs=1e-4)
        assert float(row["mos"]) == pytest.approx(1 + (float(row["level"]) - 1) * (1 - float(row["tables"])), abs=1e-3)
    assert len({row["level"] for row in found}) == 3
    assert all(float(row["level"]) < 5 for row in found)


def test_a_segment_without_features_is_skipped(folder, made, tmp_path, judge, monkeypatch):
    name = sorted((made[0] / "made").glob("*.json"))[0].stem
    source_path = atomic_files.read_json(made[0] / "made" / f"{name}.json", made_by="-")["source"]
    real = measurements._features

    def features(item, *, out_dir):
        return "no texture" if item[0].startswith(name) else real(item, out_dir=out_dir)

    monkeypatch.setattr(measurements, "_features", features)
    shutil.copytree(made[0], tmp_path / "out")
    write(tmp_path / "more" / "good4.mp4", filmed(21))
    shutil.copytree(folder, tmp_path / "more", dirs_exist_ok=True)
    result = make(tmp_path / "more", tmp_path / "out", judge=judge)
    assert result.skipped[source_path] == ("no_features", "no texture")
    assert result.num_contents == 3


def test_versions_of_a_view_without_features_are_listed(folder, tmp_path, judge, monkeypatch):
    real = measurements._features

    def features(item, *, out_dir):
        return "no texture" if item[0].endswith("-native") else real(item, out_dir=out_dir)

    monkeypatch.setattr(versions, "REDUCED_SIDE", 40)  # so that small videos have a reduced view
    monkeypatch.setattr(measurements, "_features", features)
    names = ("good1.mp4", "in/good2.mp4", "good3.mp4")
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, tmp_path / "in" / name)
    result = make(tmp_path / "in", tmp_path / "out", judge=judge, num_versions=4)
    labelled = [row["video_id"] for row in rows(tmp_path / "out" / "labels.csv")]
    skipped = {row["path"]: row["status"] for row in rows(tmp_path / "out" / "skipped.csv")}
    assert labelled
    assert all("-reduced" in name for name in labelled)
    assert len(labelled) + len(skipped) == 3 * 4
    assert {path.split(", version ")[0] for path in skipped} == set(names)
    assert all("-native" in path for path in skipped)
    assert set(skipped.values()) == {"no_features"}
    assert set(result.skipped) == set(skipped)


def test_a_video_with_a_failed_and_a_labelled_segment_is_not_skipped(folder, tmp_path, monkeypatch):
    for name in ("good1.mp4", "good3.mp4"):
        shutil.copy(folder / name, tmp_path / name)
    write(tmp_path / "two.mp4", np.concatenate([filmed(seed, num_frames=22) for seed in (2, 3)]))
    real = versions.make_segment

    def make_segment(segment, **options):
        if segment.start > 20:
            raise ValueError("it has changed")
        return real(segment, **options)

    monkeypatch.setattr(versions, "make_segment", make_segment)
    result = make(tmp_path, tmp_path / "out", max_segments=2)
    ((path, why),) = result.skipped.items()
    assert path.startswith("two.mp4, segment ")
    assert path.endswith("-00023")
    assert why == ("unreadable", "it has changed")
    assert "two.mp4" in {row["source"] for row in rows(tmp_path / "out" / "contents.csv")}


# ---------------------------------------------------------------- resuming and refusing


def test_an_interrupted_run_resumes_with_the_same_bytes(made, folder, tmp_path, monkeypatch):
    out, real, calls = tmp_path / "out", versions.database.write_video, []

    def stop(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        real(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(versions.database, "write_video", stop)
        make(folder, out)
    assert not (out / "labels.csv").exists()
    done = {path: path.stat().st_mtime_ns for path in (out / "made").iterdir()}
    assert len(done) == 1
    make(folder, out)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert files(out) == files(made[0])


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_workers(made, folder, tmp_path):
    make(folder, tmp_path / "out", workers=2)
    assert files(tmp_path / "out") == files(made[0])


def test_a_finished_database_is_not_made_again(made, folder, tmp_path, monkeypatch):
    shutil.copytree(made[0], tmp_path / "out")
    monkeypatch.setattr(database, "scan", None)
    monkeypatch.setattr(versions, "_read", None)
    broken = folder / "broken.mp4"
    content = broken.read_bytes()
    broken.unlink()  # an unreadable file is tried again at every run
    try:
        make(folder, tmp_path / "out")
    finally:
        broken.write_bytes(content)
    assert files(tmp_path / "out")["labels.csv"] == files(made[0])["labels.csv"]


def test_a_scan_of_an_earlier_version_is_repeated(made, folder, tmp_path):
    shutil.copytree(made[0], tmp_path / "out")
    for file in (tmp_path / "out" / "scan").iterdir():
        stored = atomic_files.read_json(file, made_by="-")
        del stored["version"]
        atomic_files.write_json(file, stored | {"status": "interlaced"})
    assert make(folder, tmp_path / "out").skipped == made[1].skipped


def test_other_settings_are_refused(made, folder):
    with pytest.raises(ValueError, match=r"was generated with seed=4, the command has seed=5\. Choose another"):
        make(folder, made[0], seed=5)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"has no videos\. Give a folder of videos by --root"),
        (["good1.mp4"], r"At least 3 different contents are needed, .* has 1\. Add videos"),
        (["good1.mp4", "same file.mp4", "black.mp4"], r"has 1 \(skipped: 1 black, 1 duplicate\)\. Add videos"),
    ],
)
def test_a_folder_with_too_little_is_refused_with_one_line(folder, tmp_path, names, message):
    (tmp_path / "videos").mkdir()
    for name in names:
        shutil.copy(folder / name, tmp_path / "videos" / name)
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "videos", tmp_path / "out")


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"A folder of videos is needed, there is no folder .*--root"):
        make(tmp_path / "none", tmp_path / "out")


# ---------------------------------------------------------------- synthetic videos


def test_synthetic_videos_are_added_with_the_labels_of_their_raters(made, folder, tmp_path):
    out = shutil.copytree(made[0], tmp_path / "out")
    result = make(folder, out, synthetic=3)
    assert (result.num_synthetic, result.num_versions, result.num_contents) == (3, 9, 3)
    versions_made, added = rows(out / "labels.csv")[:-3], rows(out / "labels.csv")[-3:]
    assert versions_made == rows(made[0] / "labels.csv")
    assert [(row["video_id"], row["content"]) for row in added] == [
        ("synthetic-5-00000", "5-00000"), ("synthetic-5-00001", "5-00001"), ("synthetic-5-00002", "5-00002"),
    ]  # fmt: skip
    assert all((out / row["path"]).is_file() for row in added)
    assert [row["mos"] for row in added] == [row["mos"] for row in rows(out / "synthetic" / "labels.csv")]
    described = rows(out / "contents.csv")[-3:]
    assert {(row["source"], row["level"], row["tables"], row["vmaf"]) for row in described} == {
        ("synthetic scene", "", "", "")
    }
    assert all(row["distortions"] for row in described)


def test_another_number_of_synthetic_videos_keeps_those_that_are_there(made, folder, tmp_path):
    out = shutil.copytree(made[0], tmp_path / "out")
    make(folder, out, synthetic=3)
    kept = {row["path"]: (out / row["path"]).stat().st_mtime_ns for row in rows(out / "labels.csv")[-3:-1]}
    make(folder, out, synthetic=2)
    assert [row["path"] for row in rows(out / "labels.csv")[-2:]] == list(kept)
    assert {path: (out / path).stat().st_mtime_ns for path in kept} == kept
    make(folder, out)
    assert (out / "labels.csv").read_bytes() == (made[0] / "labels.csv").read_bytes()


def test_synthetic_videos_differ_from_those_that_a_start_was_trained_on():
    preset = presets.changed(presets.PRESETS["tiny"], contents_synthetic=7)
    assert preset.added_synthetic == {"num_videos": 7, "num_frames": 20, "size": (40, 56), "seed": preset.seed + 1}
    assert preset.synthetic == {"num_videos": 20, "num_frames": 20, "size": (40, 56), "seed": preset.seed}


# ---------------------------------------------------------------- the command


def prep(folder, out, *more):
    arguments = ["contents", "--root", str(folder), "--out", str(out), "--preset", "tiny", "--workers", "1"]
    return data_prep.main([*arguments, "--set", "contents_versions=3", *more])


@pytest.mark.slow
def test_prep_makes_a_data_folder_with_pseudo_labels(folder, tmp_path, capsys, judge):
    teacher.save(tmp_path / "teacher.h5", judge)
    options = ["--teacher", str(tmp_path / "teacher.h5"), "--set", "contents_loss=tables"]
    assert prep(folder, tmp_path / "data", *options) == 0
    printed = capsys.readouterr().out
    assert "skipped (black): black.mp4: mean luma" in printed
    assert "9 versions of 3 segments, 3 contents; 11 videos, segments or versions skipped (1 black, 2 dupl" in printed
    assert "labels.csv; pseudo-labels" in printed
    facts = atomic_files.read_json(tmp_path / "data" / "prep.json", made_by="-")
    assert (facts["labels"], facts["root"]) == ("pseudo", "contents")
    assert facts["label_method"].startswith("level by the teacher svr of brisque (SHA-256 ")
    assert facts["label_method"].endswith("loss by tables of distortions")
    assert (tmp_path / "data" / "teacher.h5").read_bytes() == (tmp_path / "teacher.h5").read_bytes()
    assert prep(folder, tmp_path / "data", *options) == 0
    assert "is complete already" in capsys.readouterr().out


def test_prep_states_simulated_raters_beside_pseudo_labels(folder, tmp_path, capsys):
    none = ["--set", "contents_level=none", "--set", "contents_loss=tables"]
    prep(folder, tmp_path / "data", *none, "--set", "contents_synthetic=2")
    printed = capsys.readouterr().out
    assert "9 versions of 3 segments, 3 contents, 2 synthetic videos; 11 videos, segments or ver" in printed
    assert "labels.csv; pseudo-labels and simulated raters" in printed
    facts = atomic_files.read_json(tmp_path / "data" / "prep.json", made_by="-")
    assert facts["labels"] == "mixed"
    assert facts["label_method"].endswith("tables of distortions; 2 synthetic videos by simulated raters")
    with pytest.raises(ValueError, match=r"was prepared with labels=mixed\. Received: pseudo"):
        prep(folder, tmp_path / "data", *none)


def test_labels_of_another_method_replace_the_old_ones(folder, tmp_path, capsys, judge):
    none = ["--set", "contents_level=none", "--set", "contents_loss=tables"]
    prep(folder, tmp_path / "data", *none)
    before = atomic_files.read_json(tmp_path / "data" / "prep.json", made_by="-")
    teacher.save(tmp_path / "teacher.h5", judge)
    prep(folder, tmp_path / "data", "--teacher", str(tmp_path / "teacher.h5"), "--set", "contents_loss=tables")
    after = atomic_files.read_json(tmp_path / "data" / "prep.json", made_by="-")
    assert "9 videos have a new label" in capsys.readouterr().out
    assert before["labels_sha256"] != after["labels_sha256"]
    assert before["label_method"].startswith("level 5 for all undistorted video")


def test_contents_need_a_teacher_or_to_be_told_so(folder, tmp_path):
    with pytest.raises(ValueError, match=r"contents needs --teacher FILE.*--set contents_level=none"):
        prep(folder, tmp_path / "data")
    with pytest.raises(ValueError, match=r"--teacher is for contents, csv has labels"):
        data_prep.main(["csv", "--root", ".", "--out", str(tmp_path), "--mos-range", "1", "5", "--teacher", "x.h5"])
