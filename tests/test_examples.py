"""The example notebook: the stored output is complete, and the cells run with another run."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples/score_videos.ipynb"


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_has_its_output_and_no_local_paths():
    text = NOTEBOOK.read_text()
    cells = code_cells(json.loads(text))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {kind for cell in cells for output in cell["outputs"] for kind in output.get("data", {})}
    assert {"text/html", "image/png"} <= kinds  # the page of a score and the table, and the curves
    for word in ("/tmp/", "/home/", "/root/", "Traceback"):
        assert word not in text
    assert NOTEBOOK.stat().st_size < 600_000


@pytest.mark.slow
def test_the_notebook_runs(tiny_run, tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("NR_VQM_RUN", str(tiny_run))
    root = str(NOTEBOOK.parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    kernel = tmp_path / "kernels/python3"  # this interpreter, whatever kernels the machine has
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "here", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    path = shutil.copy(NOTEBOOK, tmp_path)
    notebook = nbformat.read(path, 4)
    for cell in code_cells(notebook):
        cell["outputs"] = []
    client = nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # raises CellExecutionError with the traceback of a cell
    *_, page, _, table = (cell["outputs"] for cell in code_cells(notebook))
    assert 'class="nrvqm"' in page[-1]["data"]["text/html"]
    assert "notes.mkv: " in "".join(output.get("text", "") for output in table)
    assert all(name in table[-1]["data"]["text/html"] for name in ("sharp.mkv", "blurred.mkv", "noisy.mkv"))
