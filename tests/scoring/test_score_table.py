"""Files of rows: failed rows are scored again, and a full disk is named."""

import resource

import pytest

from nr_vqm.scoring import score_table
from nr_vqm.scoring.score_table import RowFile


def ok_row(path):
    values = dict.fromkeys(score_table.COLUMNS, 1.5)
    return values | {"path": path, "status": "ok", "warnings": ["one", "two"], "error": "", "grid": "5x2x3"}


def failed_row(path):
    return score_table.failed_row(path, ValueError("no video"))


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_failed_videos_are_retried_and_all_others_are_kept(tmp_path, format):
    path = tmp_path / f"rows.{format}"
    with RowFile(path, resume=False) as rows:
        for row in (ok_row("a"), failed_row("b"), failed_row("elsewhere"), ok_row('c "d", e')):
            rows.add(row)
    before = path.read_bytes()
    retried = RowFile(path, resume=True, retry={"a", "b", 'c "d", e'})
    assert path.read_bytes() == before  # changed only when it is written
    assert retried.done == {"a", "elsewhere", 'c "d", e'}
    with retried:
        retried.add(ok_row("b"))
    lines = before.splitlines(keepends=True)
    (of_b,) = [line for line in lines if b"no video" in line and b"elsewhere" not in line]
    kept = b"".join(line for line in lines if line != of_b)
    assert path.read_bytes() == kept + score_table.to_line(ok_row("b"), format).encode()
    assert len(RowFile(path, resume=True).rows) == 4


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_a_full_disk_names_the_file(tmp_path, format):
    path, limits = tmp_path / f"rows.{format}", resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OSError, match=rf"File too large: '{path}'"), RowFile(path, resume=False) as rows:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400, limits[1]))
        try:
            for number in range(20):
                rows.add(ok_row(f"v{number}"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_file_of_another_version_is_not_resumed(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"path": "a", "status": "ok", "mos": 3}\n')
    with pytest.raises(ValueError, match=r"was not written by this version \(its columns differ\)"):
        RowFile(path, resume=True)
