"""The completion script of bash, run by bash."""

import shutil
import subprocess

import pytest

from nr_vqm import cli, completion

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (["sc"], ["score"]),
        (["score", "--ret"], ["--retry-failed"]),
        (["score", "a.mp4", "--format", ""], ["text", "json", "jsonl", "csv"]),
        (["compare", "--format", "j"], ["json"]),
        (["completion", "b"], ["bash"]),
        (["score", "a.mp4", "--device", ""], ["auto", "cpu", "gpu"]),
        (["serve", "--device", "g"], ["gpu"]),
        (["score", "a"], []),  # a file name, which bash completes itself
    ],
)
def test_words(line, expected):
    words = " ".join(f"'{word}'" for word in ["nr-vqm", *line])
    script = f"{completion.bash(cli._parser())}\nCOMP_WORDS=({words}); COMP_CWORD={len(line)}; _nr_vqm\n"
    script += 'printf "%s\\n" "${COMPREPLY[@]}"'
    printed = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert printed.stdout.split() == expected
    assert printed.stderr == ""
