"""What `nr-vqm score` prints, on a terminal and elsewhere, from given rows."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from nr_vqm import pretrained, progress, score_output
from nr_vqm.dataset import label_origin
from nr_vqm.scoring import score_table

ROOT = Path(__file__).parent.parent
PRINT_ROWS = """
import sys
import time
from nr_vqm import command_line, score_output
from nr_vqm.scoring import score_table
from test_score_output import FAILED, row

def main(argv):
    rows = [row("park.mp4", 2.98), FAILED, row("\\u03a9 [b].mp4", 4.6, warnings=["damaged"])]
    if "--long" in argv:
        rows = [row(f"{number}{44 * letter}", 2.98) for number, letter in enumerate("abcd\\u5f71")]
    with score_output.Printer(argv[0], total=len(rows), done=0, quiet="-q" in argv) as printer:
        for one in rows:
            printer.start(one["path"])
            for share in (0.25, 0.5, 0.75):
                time.sleep(0.01)  # the bar has a rate only if time passes
                printer.on_frames(share)
            printer.add(one, verbose=False)
    printer.close([one["status"] for one in rows])

command_line.run(main, sys.argv[1:])
"""


def row(path, score, *, labels="people", warnings=()):
    values = {"path": path, "status": "ok", "score": score, "quality": score, "scale_min": 1.0, "scale_max": 5.0}
    values |= {"interval_low": score - 1.5, "interval_high": score + 0.25, "labels": labels, "warnings": list(warnings)}
    return {name: values.get(name) for name in score_table.COLUMNS}


FAILED = score_table.failed_row("x.mp4", ValueError("Cannot read x.mp4: the file is empty."))


def printed(*arguments, environment=(), **streams):
    """Run the script in a new process; return the finished process."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **dict(environment)}
    return subprocess.run([sys.executable, "-c", PRINT_ROWS, *arguments], env=env, cwd=ROOT, check=False, **streams)


def on_terminal(*arguments, columns=100):
    """Run the script on a terminal; return what it has shown."""
    ours, theirs = pty.openpty()
    env = [("COLUMNS", str(columns)), ("TERM", "xterm"), ("PYTHONIOENCODING", "utf-8")]
    process = printed(*arguments, environment=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:  # the terminal has no process left
            break
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def replayed(shown, columns):
    """Return the lines that a terminal has at the end, without those that were erased."""
    lines, row, column = [[]], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", shown, re.DOTALL):
        if part == "\r":
            column = 0
        elif part == "\n":
            row += 1
        elif part == "\x1b[2K":
            lines[row] = []
        elif part == "\x1b[1A":
            row = max(0, row - 1)
        elif not part.startswith("\x1b"):
            width = cell_len(part)
            if column + width > columns:
                row, column = row + 1, 0
            lines += [[] for _ in range(row + 1 - len(lines))]
            line = lines[row]
            line += [" "] * (column + width - len(line))
            line[column : column + width] = [part, *[""] * (width - 1)]
            column += width
        lines += [[] for _ in range(row + 1 - len(lines))]
    return ["".join(line).rstrip() for line in lines]


def test_replayed_by_hand():
    assert replayed("ab\r\nabcdef\x1b[1A\r\x1b[2Kx", 4) == ["ab", "x", "ef"]
    assert replayed("\u5f71\u5f71\u5f71", 5) == ["\u5f71\u5f71", "\u5f71"]


@pytest.mark.parametrize("columns", [120, 80, 60, 30])
def test_the_bar_erases_no_row_of_a_narrow_terminal(columns):
    shown = on_terminal("text", "--long", columns=columns)
    lines = replayed(shown, columns)
    text = "".join(lines)
    for number, letter in enumerate("abcd\u5f71"):
        assert f"  2.98  fair       (1.5-3.2)  {number}{44 * letter}".replace(" ", "") in text.replace(" ", "")
    assert lines[-2:] == ["5 scored, 0 failed", ""]
    assert "\x1b[2K\x1b[1A\x1b[2K" not in shown  # the bar never has two lines


def test_the_table_and_the_bar_on_a_terminal():
    shown = on_terminal("text")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "\n")
    lines = [line.rstrip() for line in plain.split("\n")]
    expected = [
        "Score on 1-5, 95 % interval; trained on people's opinions (MOS)",
        "  2.98  fair       (1.5-3.2)  park.mp4",
        "failed  x.mp4: Cannot read x.mp4: the file is empty.",
        "  4.60  excellent  (3.1-4.8)  Ω [b].mp4",
        "        warning: damaged",
        "2 scored, 1 failed",
    ]
    assert [line for line in lines if line in expected] == expected
    assert any(line.startswith("1/3 park.mp4") for line in lines)
    assert any(line.startswith("3/3 Ω [b].mp4") for line in lines)


def test_quiet_shows_no_bar_and_no_closing_line():
    shown = on_terminal("text", "-q")
    assert "1/3" not in shown and "scored" not in shown
    assert "  2.98  fair       (1.5-3.2)  park.mp4" in shown


def test_plain_lines_elsewhere():
    found = printed("text", capture_output=True, environment=[("PYTHONIOENCODING", "utf-8"), ("FORCE_COLOR", "1")])
    assert found.stderr == b"2 scored, 1 failed\n"
    assert found.stdout.decode().splitlines() == [
        "  2.98  on 1-5, 95 % 1.48 to 3.23, people's opinions (MOS)  park.mp4",
        "failed  x.mp4: Cannot read x.mp4: the file is empty.",
        "  4.60  on 1-5, 95 % 3.10 to 4.85, people's opinions (MOS)  Ω [b].mp4",
        "        warning: damaged",
    ]


def test_quiet_shows_no_closing_line_elsewhere():
    assert printed("text", "-q", capture_output=True).stderr == b""


@pytest.mark.slow
@pytest.mark.parametrize("format", ["text", "csv", "jsonl", "json"])
def test_a_name_that_the_encoding_lacks_does_not_end_a_batch(format):
    found = printed(format, capture_output=True, environment=[("PYTHONIOENCODING", "latin-1")])
    assert (found.returncode, found.stderr) == (0, b"2 scored, 1 failed\n")
    assert b"\\u03a9 [b].mp4" in found.stdout


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed):
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = ["sh", "-c", f'exec "$0" -c "$1" text {closed}', sys.executable, PRINT_ROWS]
    found = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "" if "2>&-" in closed else "2 scored, 1 failed\n")
    assert ("park.mp4" in found.stdout) == (">&-" not in closed.split())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("format", ["text", "json", "csv"])
def test_a_full_disk_of_standard_output(format):
    with open("/dev/full", "w") as full:
        found = printed(format, stdout=full, stderr=subprocess.PIPE)
    assert found.returncode == 1
    assert found.stderr == b"error: [Errno 28] No space left on device: 'standard output'\n"


COMMANDS = (["completion", "bash"], ["--help"], ["score", "--help"], ["doctor"], ["info", pretrained.FOLDER])


def nr_vqm(arguments, redirection, environment=""):
    """Run `nr-vqm` in a shell with a redirection; return the finished process."""
    command = ["sh", "-c", f'{environment} exec "$0" -m nr_vqm "$@" {redirection}', sys.executable, *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("buffering", ["PYTHONUNBUFFERED=1", "PYTHONUNBUFFERED="])
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda one: " ".join(map(str, one[:1])))
def test_every_command_names_a_full_standard_output(arguments, buffering):
    found = nr_vqm(arguments, ">/dev/full", buffering)
    assert found.returncode == 1
    assert found.stderr == "error: [Errno 28] No space left on device: 'standard output'\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [["completion", "bash"], ["doctor"], ["info"], ["score", "x.mp4"], ["compare", "x.mp4", "y.mp4"]],
    ids=lambda one: one[0],
)
def test_a_closed_standard_output_is_an_error_where_nothing_else_is_written(arguments):
    found = nr_vqm(arguments, ">&-")
    assert found.returncode == 1
    assert found.stderr.startswith("error: Standard output is closed, so nothing can be printed. Open it")
    assert found.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_closed_standard_output_is_accepted_where_a_file_is_written(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"not a video")
    found = nr_vqm(["score", tmp_path / "x.mp4", "--out", tmp_path / "rows.csv"], ">&-")
    assert found.returncode == 1
    assert "Standard output" not in found.stderr
    assert "x.mp4,failed" in (tmp_path / "rows.csv").read_text()


def test_an_error_with_standard_error_closed():
    code = "from nr_vqm import command_line\ncommand_line.run(lambda argv: 1 / len(argv) if argv else int('x'), [])"
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")


@pytest.mark.parametrize(
    ("percentile", "end"),
    [
        (None, "2.50 s"),
        (62.4, "2.50 s, better than 62 % of the model's validation videos"),
        (100.0, "better than all of the model's validation videos"),
    ],
)
def test_details_of_a_video(percentile, end, capsys):
    more = {"frames": 20, "width": 44, "height": 30, "grid": "5x2x3", "seconds": 2.5, "percentile": percentile}
    with score_output.Printer("text", total=1, done=0, quiet=False) as printer:
        printer.add(row("a.mp4", 3.0) | more, verbose=True)
    printed = capsys.readouterr().err
    assert printed.startswith("a.mp4: 20 frames of 44 x 30, clips 5x2x3, 2.50 s")
    assert printed.endswith(f"{end}\n")


@pytest.mark.parametrize("labels", ["pseudo", "synthetic"])
def test_the_origin_of_the_labels_is_stated_once(labels):
    one = row("a.mp4", 3.0, labels=labels, warnings=[*label_origin.WARNINGS[labels], "damaged"])
    assert score_output.heading(one).endswith(f"; {label_origin.WARNINGS[labels][0]}")
    assert score_output.to_text(one).count("warning") == 1
    assert label_origin.ORIGINS[labels] in score_output.to_text(one)


def test_no_bar_without_a_terminal(capsys):
    assert not progress.is_shown()
    with progress.Bar(3, "videos") as bar:
        bar.start_item("a")
        bar.advance_item(0.5)
        bar.finish_item()
        with bar.hidden():
            print("line")
    assert capsys.readouterr() == ("line\n", "")
