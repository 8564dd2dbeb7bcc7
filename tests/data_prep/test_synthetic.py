"""The synthetic database is reproducible and resumable, and stronger distortions always lower the MOS."""

import csv
from pathlib import Path

import numpy as np
import pytest

from data_prep.synthetic import database as synthetic
from data_prep.synthetic import distortion_plan, distortions, raters, scenes, surfaces
from nr_vqm.common import atomic_files

SETTINGS = {"num_frames": 20, "size": (40, 56), "seed": 5}


def labels(folder):
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.*"))}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    synthetic.make_database(folder, num_videos=14, workers=1, **SETTINGS)
    return folder


def steady(name, strength, num_frames, **details):
    """A plan with one constant distortion."""
    return distortion_plan.Plan(
        num_frames, 24, {name: np.full(num_frames, float(strength))}, {name: details} if details else {}
    )


def clip(num_frames, seed=3):
    scene = scenes.make_scene(np.random.default_rng(seed), num_frames=num_frames, size=(48, 72), lively=True)
    return np.stack([scenes.render(scene, frame) for frame in range(num_frames)])


CODEC = {"codec": "libx264", "preset": "superfast", "gop": 12, "b_frames": True, "starved": False}


# ---------------------------------------------------------------- the folder


@pytest.mark.parametrize("name", ["labels.csv", "videos/mine.mp4"])
def test_a_folder_with_other_files_is_refused(tmp_path, name):
    (tmp_path / "videos").mkdir()
    (tmp_path / name).write_text("path,mos\n")
    with pytest.raises(ValueError, match="need a separate folder, .* DATABASE=csv"):
        synthetic.make_database(tmp_path, num_videos=1, workers=1, **SETTINGS)
    assert [path.name for path in tmp_path.rglob("*.*")] == [Path(name).name]


def test_labels_can_be_read(database):
    rows = labels(database)
    assert list(rows[0]) == ["path", "mos", "content", "video_id"]
    assert len({row["content"] for row in rows}) == len(rows) == 14
    assert all(1 <= float(row["mos"]) <= 5 and (database / row["path"]).exists() for row in rows)


def test_videos_have_all_frames(database):
    for row in labels(database):
        assert distortions.decode((database / row["path"]).read_bytes()).shape == (20, 40, 56, 3)


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_workers(database, tmp_path):
    synthetic.make_database(tmp_path, num_videos=14, workers=2, **SETTINGS)
    assert contents(tmp_path) == contents(database)


def test_a_video_does_not_depend_on_the_number_of_videos(database, tmp_path):
    synthetic.make_database(tmp_path, num_videos=3, workers=1, **SETTINGS)
    assert labels(tmp_path) == labels(database)[:3]


def test_an_interrupted_run_resumes(database, tmp_path, monkeypatch):
    def stop(path, *_):
        raise KeyboardInterrupt

    synthetic.make_database(tmp_path, num_videos=4, workers=1, **SETTINGS)
    (tmp_path / "labels.csv").unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(synthetic, "write_video", stop)
        synthetic.make_database(tmp_path, num_videos=14, workers=1, **SETTINGS)
    assert not (tmp_path / "labels.csv").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    synthetic.make_database(tmp_path, num_videos=14, workers=1, **SETTINGS)
    assert len(before) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert contents(tmp_path) == contents(database)


def test_other_settings_are_refused(database):
    with pytest.raises(ValueError, match=r"other settings .*seed=5.*requested.*seed=6.*Delete the folder"):
        synthetic.make_database(database, num_videos=14, workers=1, **{**SETTINGS, "seed": 6})


def test_odd_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="even height and width .*41x56"):
        synthetic.make_database(tmp_path, num_videos=1, workers=1, num_frames=20, size=(41, 56), seed=1)
    assert not (tmp_path / "settings.json").exists()


def test_settings_are_on_disk(database):
    assert atomic_files.read_json(database / "settings.json", made_by="make prep")["size"] == [40, 56]


# ---------------------------------------------------------------- distortions


@pytest.mark.parametrize("name", distortion_plan.ORDER)
def test_stronger_distortions_lower_the_mos(name):
    def mos(wanted):
        plan = steady(name, distortion_plan.strength_for(name, wanted), 30)
        quality = distortion_plan.frame_quality(plan, visibility={name: 1.1})
        return raters.vote(np.random.default_rng(0), raters.pool(quality, fps=24)).mean()

    steps = [mos(wanted) for wanted in np.linspace(0, distortion_plan.TABLES[name][1][-1], 9)]
    assert np.all(np.diff(steps) < 0)
    assert steps[0] > 4.6
    assert steps[-1] < 5 - 4 * distortion_plan.TABLES[name][1][-1] + 0.5


@pytest.mark.parametrize("name", distortion_plan.ORDER)
def test_strength_and_impairment_are_inverse(name):
    wanted = np.linspace(0, distortion_plan.TABLES[name][1][-1], 11)
    np.testing.assert_allclose(
        distortion_plan.impairment(name, distortion_plan.strength_for(name, wanted)), wanted, atol=1e-12
    )


def test_a_second_distortion_lowers_quality():
    one = steady("noise", 8, 4)
    two = distortion_plan.Plan(4, 24, {**one.strengths, "codec": np.full(4, 40.0)}, {})
    alone, both = (distortion_plan.frame_quality(plan, visibility={})[0] for plan in (one, two))
    total = (0.5**3 + 0.49**3) ** (1 / 3)  # the two by the Minkowski sum, then the soft limit at 1
    assert alone == pytest.approx(3, abs=0.02)
    assert both == pytest.approx(5 - 4 * total / (1 + total**6) ** (1 / 6))


@pytest.mark.parametrize("name", ["focus", "scale", "noise", "codec", "shake", "under", "over"])
def test_stronger_distortions_change_the_frames_more(name):
    clean = clip(6)
    details = CODEC if name == "codec" else {}
    distances = []
    for wanted in (0.25, 0.5, 0.85):
        plan = steady(name, np.round(distortion_plan.strength_for(name, wanted), 2), 6, **details)
        if name == "codec":
            plan.strengths["codec"] = np.round(plan.strengths["codec"])
        got = distortions.apply(np.random.default_rng(1), plan, clean.copy())
        distances.append(np.mean((got.astype(float) - clean) ** 2))
    assert np.all(np.diff(distances) > 0)


@pytest.mark.slow
@pytest.mark.parametrize("up", ["linear", "cubic", "lanczos"])
@pytest.mark.parametrize("blur", [1.5, 3.0])
def test_scaling_is_equivalent_to_its_nominal_blur(up, blur):
    scenery = [
        scenes.make_scene(np.random.default_rng(seed), num_frames=1, size=(96, 128), lively=False) for seed in range(8)
    ]
    frames = [scenes.render(one, 0) for one in scenery]
    scaled = [distortions.rescale(frame, blur=blur, up=up).astype(float) for frame in frames]
    sigmas = np.arange(0.5, 1.6, 0.05) * blur
    errors = [
        sum(
            np.mean((distortions.defocus(frame, sigma=one) - other) ** 2)
            for frame, other in zip(frames, scaled, strict=True)
        )
        for one in sigmas
    ]
    assert sigmas[np.argmin(errors)] == pytest.approx(blur, rel=0.15)


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_noise_has_its_nominal_strength(slope):
    gray = np.full((1, 48, 72, 3), 128, np.uint8)
    plan = steady("noise", 12.0, 1, soft=0.5, slope=slope)
    got = distortions.apply(np.random.default_rng(1), plan, gray.copy()).astype(float)
    assert (got @ distortions.LUMA).std() == pytest.approx(12, rel=0.1)


def test_order_is_light_sensor_scaling_codec_player():
    assert distortion_plan.ORDER == ("under", "over", "shake", "focus", "noise", "scale", "codec", "freeze", "drop")
    gray = np.full((3, 48, 72, 3), 128, np.uint8)
    noisy = steady("noise", 20.0, 3)
    blurred = distortion_plan.Plan(3, 24, {**noisy.strengths, "focus": np.full(3, 4.0)}, {})
    scaled = distortion_plan.Plan(3, 24, {**noisy.strengths, "scale": np.full(3, 4.0)}, {})
    spread = [distortions.apply(np.random.default_rng(1), plan, gray.copy()).std() for plan in (noisy, blurred, scaled)]
    assert spread[1] == pytest.approx(spread[0])  # the lens comes before the noise and cannot remove it
    assert spread[2] < spread[0] / 2  # scaling comes after it


def test_a_freeze_holds_its_first_frame():
    plan = distortion_plan.Plan(8, 24, {}, {"freeze": {"starts": [2], "length": 3}})
    assert distortions.shown(plan).tolist() == [0, 1, 2, 2, 2, 5, 6, 7]


def test_dropped_frames_hold_the_one_before():
    assert distortions.shown(steady("drop", 3, 8)).tolist() == [0, 0, 0, 3, 3, 3, 6, 6]
    assert distortions.shown(steady("drop", 1, 5)).tolist() == [0, 1, 2, 3, 4]


def test_a_rate_switch_is_worse_after_the_switch():
    clean = clip(12)
    plan = distortion_plan.Plan(12, 24, {"codec": np.repeat([18.0, 46.0], 6)}, {"codec": CODEC})
    got = distortions.apply(np.random.default_rng(1), plan, clean.copy())
    errors = np.mean((got.astype(float) - clean) ** 2, axis=(1, 2, 3))
    assert len(got) == 12
    assert errors[:6].max() < errors[6:].min()


@pytest.mark.parametrize("options", [{}, {"bf": "0"}, {"b": "20000", "maxrate": "20000", "bufsize": "10000"}])
def test_encoding_is_reproducible_to_the_byte(options):
    options = {"crf": "12", "preset": "veryfast", **options}
    data = {distortions.encode(clip(40), fps=24, codec="libx264", options=options) for _ in range(4)}
    assert len(data) == 1
    assert b" mbtree=0 " in data.pop()  # x264 records its settings; with the tree the bytes differ occasionally


@pytest.mark.parametrize(
    "changes", [{"codec": "libx265", "preset": "ultrafast"}, {"starved": True}, {"b_frames": False}]
)
def test_all_streams_keep_every_frame(changes):
    plan = steady("codec", 35, 13, **{**CODEC, **changes})
    assert distortions.apply(np.random.default_rng(1), plan, clip(13)).shape == (13, 48, 72, 3)


@pytest.mark.slow
def test_distribution_of_distortions():
    plans = [distortion_plan.make_plan(np.random.default_rng([4, i]), num_frames=48, fps=24) for i in range(400)]
    distorted = [plan for plan in plans if plan.strengths]
    changing = [plan for plan in plans if any(np.ptp(values) for values in plan.strengths.values())]
    mos = [raters.pool(distortion_plan.frame_quality(plan, visibility={}), fps=24) for plan in plans]
    assert 0.04 < 1 - len(distorted) / len(plans) < 0.13
    assert 0.4 < np.mean([plan.source_crf is not None for plan in plans]) < 0.6
    assert np.mean(["noise" in plan.strengths for plan in distorted]) > 0.3
    assert 0.2 < len(changing) / len(plans) < 0.4
    assert np.histogram(mos, [1, 2, 3, 4, 5.01])[0].min() > 0.15 * len(plans)


# ---------------------------------------------------------------- raters


def test_hysteresis_worked_by_hand():
    # Two frames of memory. Of two values the worst weighs 1, the other exp(-2.5 ** 2 / 2), together 1.
    worst = 1 / (1 + np.exp(-3.125))
    mixed = worst * 1 + (1 - worst) * 5
    expected = [
        0.8 * 5 + 0.2 * 5,  # ahead 5 5; before the start: itself
        0.8 * mixed + 0.2 * 5,  # ahead 5 1; behind 5
        0.8 * mixed + 0.2 * 5,  # ahead 1 5; behind 5 5
        0.8 * 5 + 0.2 * 1,  # ahead 5; behind 5 1: the bad moment is remembered
    ]
    np.testing.assert_allclose(raters.hysteresis([5, 5, 1, 5], memory_frames=2), expected)


def test_steady_quality_is_kept():
    assert raters.pool(np.full(50, 2.7), fps=24) == pytest.approx(2.7)


def test_a_short_bad_moment_weighs_more_than_its_share():
    quality = np.full(96, 5.0)
    quality[50:60] = 1
    assert raters.pool(quality, fps=24) < quality.mean() - 0.3


def test_a_bad_end_weighs_more_than_a_bad_start():
    quality = np.full(96, 5.0)
    quality[:24] = 1
    assert raters.pool(quality[::-1], fps=24) < raters.pool(quality, fps=24) - 0.3


def test_votes_vary_within_the_scale():
    votes = raters.vote(np.random.default_rng(1), 3.0)
    assert votes.shape == (24,)
    assert votes.std() == pytest.approx(np.hypot(0.25, 0.5), rel=0.4)
    assert raters.vote(np.random.default_rng(1), 1.0).min() == 1


# ---------------------------------------------------------------- scenes


def test_scenes_are_repeatable_and_different():
    assert np.array_equal(clip(3, seed=8), clip(3, seed=8))
    assert not np.array_equal(clip(3, seed=8), clip(3, seed=9))


def test_lively_scenes_move():
    for seed in range(6):
        frames = clip(9, seed=seed).astype(float)
        assert np.abs(frames[8] - frames[0]).max() > 10


def test_power_noise_has_the_requested_slope():
    noise = surfaces.power_noise(np.random.default_rng(2), (256, 256), slope=1.2)
    power = np.abs(np.fft.rfft2(noise)) ** 2
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None]) * 256
    inside = (radius > 4) & (radius < 120)
    slope = np.polyfit(np.log(radius[inside]), np.log(power[inside]), 1)[0]
    assert slope == pytest.approx(-2.4, abs=0.1)
