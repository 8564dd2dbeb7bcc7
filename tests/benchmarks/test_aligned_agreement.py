"""Every video of a test is aligned by the others, before and after a fusion."""

import numpy as np
import pytest
import sample_fusion

from benchmarks import aligned_agreement
from nr_vqm.runs import rival_features
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.teacher import teacher


@pytest.fixture
def tested(tmp_path):
    """Scores 1 to 3 of 25 videos on a scale of 1-5, and MOS above them on a line; head svr is the reverse."""
    test, scores = RunFolder(tmp_path / "tested"), np.linspace(1, 3, 25)
    test.path.mkdir()
    test.update_facts(mos_range=[1.0, 5.0])
    rows = [f"0,lstm,v{number},v{number},{1.5 * one - 0.5},{one}" for number, one in enumerate(scores)]
    rows += [f"0,svr,v{number},v{number},{1.5 * one - 0.5},{4 - one}" for number, one in enumerate(scores)]
    test.scores.write_text("\n".join(["repeat,head,video_id,content,mos,score", *rows]) + "\n")
    return test


def test_the_line_of_the_others_aligns_a_video():
    scores, mos = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 5.0])
    aligned = aligned_agreement.aligned_without_itself(scores, mos)
    assert aligned[3] == pytest.approx(4.0)  # by the line through 1, 2 and 3
    assert aligned[1] == pytest.approx(15 / 7)  # slope 9/7 through the mean (8/3, 3) of the three others


def test_heads_before_and_after_alignment(tested, few_draws, capsys):
    aligned_agreement.main(["--tested", str(tested.path)])
    lines = {line[:26].strip(): line[26:].split() for line in capsys.readouterr().out.splitlines()[2:]}
    assert lines["lstm"][:1] + lines["lstm"][-4:-2] == ["1.000", "0.583", "-0.50"]  # (score - 1) / 2 is the error
    assert lines["lstm, aligned"][-4:-2] == ["0.000", "+0.00"]
    assert float(lines["svr"][0]) == -1
    assert "fusion, aligned" not in lines


def test_a_fusion_corrects_the_aligned_scores(tested, tmp_path, few_draws, capsys):
    sample_fusion.add_statistics(tested)
    path = sample_fusion.write_teacher(tmp_path / "fast.h5")
    aligned_agreement.main(["--tested", str(tested.path), "--fusion", str(path), "--weight", "0.5", "--limit", "3"])
    printed = capsys.readouterr().out
    lines = {line[:26].strip(): line[26:].split() for line in printed.splitlines()[2:]}
    features = rival_features.read(tested.path, "frame_statistics").features
    taught = np.array([teacher.load(path).predict(row) for row in features])
    mos = 1.5 * np.linspace(1, 3, 25) - 0.5
    fused = mos + 0.5 * np.clip(taught - mos, -3, 3)
    assert float(lines["fusion, aligned"][-4]) == pytest.approx(np.sqrt(np.mean((fused - mos) ** 2)), abs=6e-4)
    assert float(lines["frame statistics"][-3]) == pytest.approx(np.mean(taught - mos), abs=6e-3)
    assert "SROCC of fusion, aligned minus that of lstm, aligned: -" in printed
