"""Videos are scored with the teacher; a csv of MOS adds the agreement."""

import numpy as np
import pytest
from sample_videos import write_bars

from experiments import score_teacher
from nr_vqm import command_line
from nr_vqm.handcrafted import brisque
from nr_vqm.teacher import regression, teacher


@pytest.fixture
def folder(tmp_path):
    """A teacher that reads BRISQUE, three videos of rising CRF, one broken, and labels."""
    lines, measured = ["path,mos"], []
    for number, crf in enumerate((10, 30, 50)):
        path = write_bars(tmp_path / f"{crf}.mp4", encoder="libx264", options={"crf": str(crf)})
        measured.append(brisque.video_features(path))
        lines.append(f"{crf}.mp4,{4 - number}")
    shares = np.random.default_rng(3).dirichlet(np.ones(3), 60)
    mos = shares @ [4, 3, 2]
    settings = {"c": 1.0, "gamma": 0.05}
    found = regression.fit(
        shares @ measured, mos, np.ones(len(mos)), kind="svr", svr_settings=settings, search=regression.Search()
    )
    teacher.save(tmp_path / "teacher.h5", teacher.Teacher(("brisque",), found, mos[::-1], mos, {}))
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_videos_are_scored_with_their_interval(folder, capsys):
    (folder / "broken.mp4").write_bytes(b"no video")
    names = [str(folder / name) for name in ("10.mp4", "broken.mp4")]
    code = score_teacher.main([*names, "--teacher", str(folder / "teacher.h5")])
    first, second = capsys.readouterr().out.splitlines()
    expected = teacher.load(folder / "teacher.h5").score(names[0])
    assert first == f"{expected.mos:.2f} [{expected.low:.2f}, {expected.high:.2f}]  {names[0]}"
    assert second.startswith(f"skipped: {names[1]}: ")
    assert code == command_line.EXIT_FAILED


def test_agreement_with_labels(folder, capsys):
    assert score_teacher.main(["--labels", str(folder / "labels.csv"), "--teacher", str(folder / "teacher.h5")]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    scores = [float(row.split()[0]) for row in rows]
    assert [row.split("MOS ")[1][:4] for row in rows] == ["4.00", "3.00", "2.00"]
    assert last.startswith("3 videos: SROCC 1.000, PLCC ")
    assert float(last.split()[-1]) == pytest.approx(np.mean(scores) - 3, abs=0.01)


def test_workers_may_run_in_another_folder(folder, tmp_path_factory, monkeypatch, capsys):
    def map_elsewhere(function, items, **options):
        monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
        return [function(item) for item in items]

    monkeypatch.chdir(folder)
    monkeypatch.setattr(score_teacher.parallel, "map_in_order", map_elsewhere)
    assert score_teacher.main(["--labels", "labels.csv", "--teacher", "teacher.h5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines[:3]] == ["10.mp4", "30.mp4", "50.mp4"]
    assert lines[3].startswith("3 videos: SROCC 1.000")


def test_videos_or_labels_are_needed(folder):
    with pytest.raises(ValueError, match="Videos are needed: name them, or give --labels"):
        score_teacher.main(["--teacher", str(folder / "teacher.h5")])


def test_no_escape_sequence_of_a_name_is_printed(folder, capsys):
    found = folder / "10.mp4"
    names = [str(found.rename(folder / "\x1b[31m10.mp4")), str(folder / "\x1b[31mnone.mp4")]
    score_teacher.main([*names, "--teacher", str(folder / "teacher.h5")])
    printed = capsys.readouterr().out
    assert printed.count("\N{REPLACEMENT CHARACTER}[31m") >= 2
    assert "\x1b" not in printed
