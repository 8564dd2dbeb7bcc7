"""The ablation of pseudo-labels fits heads on labels that are formed in other ways."""

import csv

import numpy as np
import pytest

from benchmarks import label_ablation
from data_prep.contents import pseudo_labels
from nr_vqm import presets
from nr_vqm.dataset import manifest, splits
from nr_vqm.models.shared_trunk import ClipOutputs
from nr_vqm.runs import features
from nr_vqm.runs.run_folder import RunFolder

LEVELS = np.linspace(1.5, 4.5, 32)


def write_features(folder, labels, inputs):
    """Features of videos that equal `inputs`, in one group."""
    videos = [manifest.Video(name, "x.mp4", name.split("-")[0], mos, 1.0, 5.0) for name, mos in labels.items()]
    folder.mkdir()
    file = features.FeatureFile(folder)
    for video in videos:
        values = np.asarray(inputs[video.video_id], np.float32)[None]
        file.write_part(video, "sha", ClipOutputs(group_features=values, clip_quality=np.ones((1, 1), np.float32)))
    file.join(videos, "sha")


@pytest.fixture
def folders(tmp_path):
    """A run whose features are level and loss of its videos, its data folder, and a database of people's opinions."""
    rows, inputs = [], {}
    for number, level in enumerate(LEVELS):
        for suffix, tables, vmaf in (("native", 0.0, 0.0), ("native-1", 0.6, 0.2)):
            name = f"c{number:02d}-{suffix}"
            inputs[name] = (level, tables)
            mos = pseudo_labels.label(level, (tables + vmaf) / 2)
            distortions = "codec" if tables else "none"
            rows.append({"video_id": name, "distortions": distortions, "level": level, "tables": tables})
            rows[-1] |= {"vmaf": "84" if tables else "", "mos": mos}
    rows.append({"video_id": "synthetic-1", "distortions": "noise", "level": "", "tables": "", "vmaf": "", "mos": 1.5})
    inputs["synthetic-1"] = (5, 1.0)
    labels = {row["video_id"]: row["mos"] for row in rows}
    write_features(tmp_path / "run", labels, inputs)
    run = RunFolder(tmp_path / "run")
    run.write_preset(presets.PRESETS["tiny"])
    splits.write(run.splits, splits.Split(tuple(labels), (), ()))
    (tmp_path / "data" / "contents").mkdir(parents=True)
    with (tmp_path / "data" / label_ablation.TABLES).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    people = {f"p{number}-": level for number, level in enumerate(LEVELS)}
    write_features(tmp_path / "tested", people, {name: (level, 0.0) for name, level in people.items()})
    return tmp_path


@pytest.mark.slow
def test_levels_by_the_teacher_agree_with_people_and_their_absence_does_not(folders, few_draws, capsys):
    options = ["--run", "run", "--data", "data", "--tested", "tested"]
    options[1::2] = [str(folders / name) for name in options[1::2]]
    label_ablation.main(options)
    lines = capsys.readouterr().out.splitlines()[1:]
    found = {line[:44].strip(): line[44:].split() for line in lines}
    assert float(found["teacher's level, loss by tables and VMAF"][1]) > 0.95
    assert float(found["no teacher, loss by tables"][1]) < 0.9
    assert found["undistorted versions only"][0] == "32"
    assert found["8 of 32 contents, median of 5 draws"][0] == "16"


def test_the_loss_is_separated_into_that_of_the_tables_and_that_of_vmaf():
    row = {"level": "4.0", "tables": "0.6", "vmaf": "84", "mos": str(pseudo_labels.label(4.0, 0.4))}
    labels = {name: label(row) for name, label in label_ablation.LABELS.items()}
    assert labels["teacher's level, loss by tables and VMAF"] == pytest.approx(1 + 3 * 0.6)
    assert labels["teacher's level, loss by tables"] == pytest.approx(1 + 3 * 0.4)
    assert labels["teacher's level, loss by VMAF"] == pytest.approx(1 + 3 * 0.8)
    assert labels["no teacher, loss by tables"] == pytest.approx(1 + 4 * 0.4)
    worst = {"level": "1.0", "tables": "0.6", "vmaf": "84", "mos": "1.0"}
    assert label_ablation.LABELS["no teacher, loss by tables and VMAF"](worst) == pytest.approx(1 + 4 * 0.4)
