"""Scoring with the teacher of a run, without the 3D-CNN and TensorFlow."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sample_videos import write_bars

import nr_vqm
from nr_vqm import cli, command_line, presets
from nr_vqm.handcrafted import brisque
from nr_vqm.models import head_table
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.teacher import regression, teacher

SEARCH = regression.Search(num_trees=8, depth=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on 0-100 with a teacher and nothing else."""
    run = RunFolder(tmp_path_factory.mktemp("run"))
    run.write_preset(presets.PRESETS["tiny"])
    run.update_facts(mos_range=[0.0, 100.0], labels="pseudo")
    rng = np.random.default_rng(3)
    features = rng.normal(1, 1, size=(60, 36))
    mos = np.clip(3 + 0.5 * features[:, 2], 1, 5)
    found = regression.fit(
        features, mos, np.ones(len(mos)), kind="both", svr_settings={"c": 1.0, "gamma": 0.05}, search=SEARCH
    )
    teacher.save(
        run.teacher, teacher.Teacher(("brisque",), found, np.clip(mos + 0.2 * rng.normal(size=60), 1, 5), mos, {})
    )
    return run


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_bars(tmp_path_factory.mktemp("video") / "bars.mp4", encoder="libx264", num_frames=20)


def test_the_score_is_on_the_scale_of_people_with_an_interval(run, video):
    scorer = nr_vqm.load(run, head="teacher")
    score = scorer.score(video)
    loaded = teacher.load(run.teacher)
    assert score.score == loaded.predict(brisque.video_features(video))
    assert (score.interval_low, score.interval_high) == loaded.intervals().interval(score.score)
    assert (score.head, score.labels, score.scale_min, score.scale_max) == ("teacher", "people", 1.0, 5.0)
    assert not score.has_clips
    assert repr(scorer) == f"TeacherScorer('{run}', head teacher, model {scorer.model_id}, 1-5)"


def test_the_command_scores_without_tensorflow(run, video):
    program = (
        "import sys; from nr_vqm import cli; "
        f"arguments = ['score', {str(video)!r}, '--run', {str(run)!r}, '--head', 'teacher', '--format', 'json']; "
        "status = cli.main(arguments); "
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0]["head"] == "teacher"


@pytest.mark.slow
def test_workers_give_the_same_score(run, video, tmp_path):
    arguments = ["score", str(video), "--run", str(run), "--head", "teacher", "--workers", "2"]
    assert cli.main([*arguments, "--out", str(tmp_path / "two.jsonl")]) == 0
    row = json.loads((tmp_path / "two.jsonl").read_text())
    assert row["score"] == round(nr_vqm.score(video, run, head="teacher").score, 3)


def test_a_run_without_a_teacher_is_named(tmp_path, video):
    run = RunFolder(tmp_path)
    run.write_preset(presets.PRESETS["tiny"])
    with pytest.raises(command_line.Refusal, match=f"{run} has no teacher: teacher.h5 is missing.") as refused:
        cli.main(["score", str(video), "--run", str(run), "--head", "teacher"])
    assert refused.value.code == command_line.EXIT_NO_MODEL


def test_only_heads_of_a_3d_cnn_need_networks():
    found = [name for name in head_table.SCORERS if head_table.needs_networks(name)]
    assert found == [*(row.name for row in head_table.HEADS.values() if row.cnn3d), "fusion"]
    with pytest.raises(ValueError, match=r"Unknown head 'x'. Choose from: lstm, .*, teacher\."):
        head_table.needs_networks("x")
