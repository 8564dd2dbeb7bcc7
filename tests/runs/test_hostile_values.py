"""Single wrong values in the JSON files of a run or an export give one line and an exit code, never a traceback."""

import contextlib
import json
import shutil

import pytest

from nr_vqm import cli, command_line, pretrained
from nr_vqm.runs import info
from nr_vqm.scoring import model_source

VALUES = {
    "huge integer": 10**400,
    "huge float": 1e308,
    "NaN": float("nan"),
    "text": "x",
    "list": [1],
    "object": {},
    "boolean": True,
    "null": None,
}
TEXT = ("text", "null")
# {field: the values that it may have}
RUN_FIELDS = {
    "seconds": ("object",),
    "seconds.compare": (),
    "versions": ("object",),
    "versions.python": ("text",),
    "precision": ("object",),
    "precision.train": ("text",),
    "stages": ("object",),
    "stages.compare": ("null",),
    "stages.compare.writes": ("object",),
    "database": TEXT,
    "trained_on": TEXT,
    "labels": TEXT,
    "trained_labels": TEXT,
    "label_method": TEXT,
    "videos": ("null",),
    "repeats": (),
    "mos_range": (),
    "mos_range.0": (),
}
PRESET_FIELDS = {
    "name": ("text",),
    "epochs": (),
    "learning_rate": (),
    "seed": (),
    "dropout": (),
    "mirror": ("boolean",),
    "precision": (),
    "block_grid": (),
    "block_grid.0": (),
    "svr_c": ("list",),
    "svr_c.0": (),
    "convs.0.1": (),
    "interval_min_neighbours": (),
}
RUN_FILES = {"run.json": RUN_FIELDS, "preset.json": PRESET_FIELDS}

# "null" of a fact that is needed is refused when the text is written, as a missing one.
EXPORT_FIELDS = {
    "schema": ("boolean",),  # equal to 1
    "format": (),
    "created_by": TEXT,
    "labels": (),
    "mos_range.0": (),
    "default_head": TEXT,  # read by scoring only
    "difference": (),
    "validation": ("null",),
    "validation.labels": (),
    "validation.database": ("text",),
    "preset.epochs": (),
    "heads": ("object",),
    "heads.lstm": (),
    "heads.lstm.line": (),
    "heads.lstm.line.0": (),
    "heads.lstm.intervals": ("null",),
    "heads.lstm.intervals.scores": (),
    "heads.lstm.intervals.scores.0": (),
    "heads.lstm.intervals.mos.0": (),
    "heads.fusion.weight": (),
    "facts": (),
    "facts.database": TEXT,
    "facts.settings": (),
    "facts.mos_range": (),
    "facts.mos_range.0": (),
    "facts.videos": ("null", "object"),
    "facts.videos.train": (),
    "facts.training": ("object",),
    "facts.test_videos": ("null",),
    "facts.heads": ("object",),
    "facts.heads.lstm": ("object",),
    "facts.heads.lstm.srocc": ("null",),
    "facts.versions": ("object",),
}


def change(path, field, value):
    """Set one value of a JSON file; its name joins those of the objects around it."""
    content = json.loads(path.read_text())
    *outer, name = (int(part) if part.isdigit() else part for part in field.split("."))
    place = content
    for part in outer:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    place[name] = value
    path.write_text(json.dumps(content))


def run_info(folder, capsys):
    """Run `nr-vqm info`; return its exit code and what it printed to standard error."""
    with pytest.raises(SystemExit) as ended:
        cli.entry_point(["info", str(folder)])
    return ended.value.code, capsys.readouterr().err


def assert_refused_in_one_line(code, message, path):
    assert code == command_line.EXIT_NO_MODEL == 3
    assert message.startswith("error: ") and str(path) in message
    assert message.count("\n") == 1 and len(message) < len(str(path)) + 1500


@pytest.fixture
def run_dir(tiny_run, tmp_path):
    return shutil.copytree(tiny_run, tmp_path / "run")


@pytest.fixture
def export_dir(tmp_path):
    """The export that ships; links, except for the record."""
    folder = tmp_path / "export"
    folder.mkdir()
    for path in pretrained.FOLDER.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "export.json").unlink()
    shutil.copyfile(pretrained.FOLDER / "export.json", folder / "export.json")
    return folder


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(
    ("file", "field"), [(file, field) for file, fields in RUN_FILES.items() for field in fields], ids=str
)
def test_info_of_a_run_with_a_wrong_value(run_dir, file, field, value, capsys):
    change(run_dir / file, field, VALUES[value])
    code, message = run_info(run_dir, capsys)
    if value in RUN_FILES[file][field]:
        assert (code, message) == (0, "")
    else:
        assert_refused_in_one_line(code, message, run_dir / file)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("field", EXPORT_FIELDS)
def test_an_export_with_a_wrong_value(export_dir, field, value, capsys):
    change(export_dir / "export.json", field, VALUES[value])
    code, message = run_info(export_dir, capsys)
    if value in EXPORT_FIELDS[field]:
        assert (code, message) == (0, "")
    else:
        assert_refused_in_one_line(code, message, export_dir)
    with contextlib.suppress(ValueError):  # scoring reads a part of the file
        model_source.find(export_dir, "lstm").check_intervals()


@pytest.mark.parametrize("value", ["huge integer", "huge float", "NaN", "text", "list", "object", "boolean"])
def test_scoring_refuses_wrong_intervals(export_dir, value, capsys):
    change(export_dir / "export.json", "heads.lstm.intervals.scores.3", VALUES[value])
    with pytest.raises(SystemExit) as ended:
        cli.entry_point(["score", "x.mp4", "--run", str(export_dir), "--head", "lstm"])
    assert_refused_in_one_line(ended.value.code, capsys.readouterr().err, export_dir / "export.json")


@pytest.mark.parametrize(
    "scale", [str(10**400), str([[0] * 100] * 100), "[" * 500 + "]" * 500], ids=["digits", "long", "deep"]
)
def test_a_message_shows_a_part_of_a_long_value(run_dir, scale, capsys):
    (run_dir / "run.json").write_text(f'{{"mos_range": {scale}}}')
    code, message = run_info(run_dir, capsys)
    assert code == 3
    assert "needs the MOS scale" in message and "..." in message and len(message) < 500


@pytest.mark.parametrize("error", [TypeError, OverflowError, AttributeError, KeyError, IndexError])
def test_info_reports_errors_that_no_check_foresaw_in_one_line(run_dir, error, monkeypatch, capsys):
    def fail(found):
        raise error("unforeseen")

    monkeypatch.setattr(info, "to_text", fail)
    code, message = run_info(run_dir, capsys)
    assert f"has a file with unusable values ({error.__name__}: " in message
    assert_refused_in_one_line(code, message, run_dir)


def test_very_many_convolutions_are_refused_before_their_sizes_are_computed(run_dir, capsys):
    change(run_dir / "preset.json", "convs", [[1, 1, 1]] * 200_000)
    code, message = run_info(run_dir, capsys)
    assert "A network has at most 100 layers" in message
    assert_refused_in_one_line(code, message, run_dir / "preset.json")
