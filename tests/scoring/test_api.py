"""The names that `nr_vqm` exports, and the examples in their docstrings."""

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import nr_vqm
from nr_vqm import cli
from nr_vqm.scoring import loading, score_table

ROOT = Path(nr_vqm.__file__).parent.parent


def test_exported_names():
    names = ["Score", "Scorer", "WorkLimits", "__version__", "load", "score", "to_frame"]
    assert dir(nr_vqm) == sorted(nr_vqm.__all__) == names
    assert nr_vqm.load is loading.load
    assert (nr_vqm.Score.__name__, nr_vqm.Scorer.__name__) == ("Score", "Scorer")
    with pytest.raises(AttributeError, match="module 'nr_vqm' has no attribute 'train'"):
        nr_vqm.train  # noqa: B018


def test_import_loads_only_the_standard_library():
    code = "import sys; before = set(sys.modules); import nr_vqm\n"
    code += "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
    code += "assert new <= {'nr_vqm', *sys.stdlib_module_names}, new\n"
    code += "assert not [name for name in sys.modules if name.startswith('nr_vqm.')]"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["load", "score"])
def test_docstring_examples(name, tiny_run, place_video):
    path = place_video(num_frames=20, height=30, width=44)
    names = {"run_dir": tiny_run, "video_path": path}
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(nr_vqm, name), name, extraglobs=names)
    assert test.examples
    failures = []
    result = doctest.DocTestRunner().run(test, out=failures.append)
    assert result.failed == 0, "".join(failures)


def test_python_m_nr_vqm_is_the_command():
    command = [sys.executable, "-m", "nr_vqm", "--version"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed == f"nr-vqm {nr_vqm.__version__}\n"


def test_scores_as_a_data_frame(tiny_run, place_video):
    pytest.importorskip("pandas")
    scored = [score for score, _ in nr_vqm.load(tiny_run).score_many([place_video("a.mkv"), place_video("b.mkv")])]
    table = nr_vqm.to_frame(scored)
    assert list(table.columns) == score_table.COLUMNS
    assert table["path"].tolist() == [score.path for score in scored]
    assert table["score"].tolist() == [round(score.score, 3) for score in scored]
    assert list(nr_vqm.to_frame([]).columns) == score_table.COLUMNS
    with pytest.raises(ValueError, match="needs Scores, those of score_many that are not None. Received: None"):
        nr_vqm.to_frame([None])


def test_a_data_frame_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)  # an import then fails as if it were not installed
    with pytest.raises(ModuleNotFoundError, match=r"^to_frame needs pandas: pip install pandas\.$"):
        nr_vqm.to_frame([])


def help_of(command):
    return " ".join(cli._parser()._subparsers._group_actions[0].choices[command].format_help().split())


def test_the_help_lists_the_heads_once():
    text = help_of("score")
    assert text.count("[--head HEAD]") == text.count("lstm_finetuned, fcn_lstm, niqe,") == 1
    assert "[--head HEAD]" in help_of("export")


def test_the_help_states_what_workers_need():
    text = help_of("score")
    assert "number of processes on this machine; more than one needs Dask, which is in nr-vqm[train]" in text
