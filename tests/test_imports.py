"""The import rule: data_prep and experiments import nr_vqm, never the reverse and never each other."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "nr_vqm": {"nr_vqm"},
    "data_prep": {"data_prep", "nr_vqm"},
    "experiments": {"experiments", "nr_vqm"},
    "benchmarks": {"benchmarks", "nr_vqm", "data_prep"},
}
# A package of nr_vqm imports only those before it in this list.
ORDER = [
    "common",
    "pretrained",
    "video",
    "dataset",
    "models",
    "setting_values",
    "presets",
    "evaluation",
    "runs",
    "training",
    "handcrafted",
    "teacher",
    "scoring",
    "doctor",
    "progress",
    "command_line",
    "score_output",
    "score_command",
    "serve_command",
    "compare_command",
    "export_command",
    "completion",
    "cli",
]


def imports(path):
    """Full names of the project's modules that a file imports, at its top or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages(package):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert {name.split(".")[0] for name in imports(path)} <= PACKAGES[package], path


def test_packages_of_the_library_import_only_those_before_them():
    root = ROOT / "nr_vqm"
    for path in root.rglob("*.py"):
        package = path.relative_to(root).with_suffix("").parts[0]
        if package in ("__init__", "__main__"):
            continue
        allowed = {"nr_vqm", *ORDER[: ORDER.index(package) + 1]}
        for name in imports(path):
            if name.startswith("nr_vqm."):
                other = name.split(".")[1]
                assert other in allowed or other.startswith("_"), f"{path} imports {name}"


# Only these import inside functions: heavy libraries, or our modules that need them, so that a command starts at once.
LATE_IMPORTS = """
benchmarks/chaos.py
benchmarks/comparison.py
benchmarks/fuzz.py
benchmarks/memory.py
benchmarks/plan.py
benchmarks/published_features.py
benchmarks/real_damage.py
benchmarks/real_video.py
benchmarks/score.py
benchmarks/svr_search.py
benchmarks/throughput.py
benchmarks/train_step.py
benchmarks/train_variants.py
data_prep/__main__.py
data_prep/contents/vmaf.py
experiments/compare_heads.py
experiments/cross_database.py
experiments/finetune.py
experiments/score_teacher.py
experiments/train_cnn.py
experiments/train_fcn_lstm.py
experiments/train_teacher.py
nr_vqm/cli.py
nr_vqm/command_line.py
nr_vqm/common/devices.py
nr_vqm/common/figures.py
nr_vqm/common/jax_processes.py
nr_vqm/common/parallel.py
nr_vqm/dataset/batches.py
nr_vqm/dataset/label_tables.py
nr_vqm/doctor.py
nr_vqm/evaluation/feature_evaluation.py
nr_vqm/evaluation/metrics.py
nr_vqm/evaluation/mos_mapping.py
nr_vqm/export_command.py
nr_vqm/handcrafted/cornia.py
nr_vqm/models/svr_head.py
nr_vqm/runs/model_check.py
nr_vqm/scoring/feature_tasks.py
nr_vqm/scoring/head_model.py
nr_vqm/scoring/model_source.py
nr_vqm/scoring/score_plot.py
nr_vqm/scoring/score_table.py
nr_vqm/teacher/cross_validation.py
nr_vqm/teacher/regression.py
nr_vqm/training/validation.py
""".split()


def test_only_listed_modules_import_inside_functions():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
            inside = {type(node) for function in functions for node in ast.walk(function)}
            late, name = bool(inside & {ast.Import, ast.ImportFrom}), path.relative_to(ROOT).as_posix()
            assert late == (name in LATE_IMPORTS), f"{name} imports inside a function, or no longer does"


# A module of nr_vqm/handcrafted likewise.
HANDCRAFTED_ORDER = """
natural_scene
bicubic
frame_sampling
brisque
niqe
block_motion
video_bliinds
cornia
colour_maps
map_statistics
steerable_pyramid
band_magnitudes
band_phases
band_similarity
complex_diivine
friquee
gm_log
higrade
key_point_motion
tlvqm
videval
frame_statistics
methods
extraction
""".split()


def test_handcrafted_modules_import_only_those_before_them():
    for path in (ROOT / "nr_vqm" / "handcrafted").glob("*.py"):
        if path.stem == "__init__":
            continue
        assert path.stem in HANDCRAFTED_ORDER, f"{path.stem} has no place in the list yet"
        for name in imports(path):
            parts = name.split(".")
            if parts[1] == "handcrafted":
                assert parts[2] in HANDCRAFTED_ORDER[: HANDCRAFTED_ORDER.index(path.stem)], (
                    f"{path.stem} imports {name}"
                )


def test_handcrafted_modules_never_load_tensorflow():
    modules = [f"nr_vqm.handcrafted.{path.stem}" for path in (ROOT / "nr_vqm" / "handcrafted").glob("[!_]*.py")]
    code = f"import sys, {', '.join(modules)}\n"
    code += "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", ["commands.py", "conftest.py", "sample_videos.py", "stand_ins.py"])
def test_what_tests_share_does_not_depend_on_benchmarks_or_experiments(name):
    assert {module.split(".")[0] for module in imports(ROOT / "tests" / name)} <= {"nr_vqm", "data_prep"}


COMMANDS = """
data_prep
experiments.train_cnn
experiments.train_fcn_lstm
experiments.train_teacher
experiments.score_teacher
experiments.extract_features
experiments.extract_rivals
experiments.compare_heads
experiments.report
experiments.evaluate_features
experiments.finetune
experiments.cross_database
experiments.ablations
nr_vqm score
nr_vqm.cli score
nr_vqm.cli serve
nr_vqm.cli info
nr_vqm.cli export
nr_vqm.cli doctor
nr_vqm.cli compare
nr_vqm.cli completion
benchmarks.real_damage
benchmarks.fuzz
benchmarks.decoding
benchmarks.published_features
benchmarks.input_pipeline
benchmarks.train_step
benchmarks.chaos
benchmarks.plan
benchmarks.rivals
benchmarks.score
benchmarks.cold_start
benchmarks.comparison
benchmarks.svr_search
benchmarks.throughput
benchmarks.grid
benchmarks.memory
benchmarks.train_variants
""".strip().splitlines()
SHOW_HELP = """
import contextlib, io, json, runpy, sys

heavy = {"tensorflow", "keras", "sklearn", "matplotlib", "distributed", "scipy.stats"}
found = {}
for command in sys.argv[1:]:
    module, *sub_command = command.split()
    sys.argv, loaded_before = ["x", *sub_command, "--help"], set(sys.modules)
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        runpy.run_module(module, run_name="__main__")
    found[command] = {"printed": printed.getvalue(), "heavy": sorted(heavy & set(sys.modules) - loaded_before)}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def help_texts():
    """What each command prints with --help, and the heavy modules that it loads; all in one process."""
    command = [sys.executable, "-c", SHOW_HELP, *COMMANDS]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_that_takes_seconds(help_texts, command):
    assert help_texts[command]["printed"].startswith("usage:")
    assert help_texts[command]["heavy"] == []


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith("benchmarks")])
def test_help_ends_with_an_example_and_shows_no_empty_default(help_texts, command):
    assert re.search(r"^Examples?(, .*)?:\n  ", help_texts[command]["printed"], re.MULTILINE)
    assert "(default: None)" not in help_texts[command]["printed"]


def test_help_shows_a_default_of_zero(help_texts):
    assert re.search(
        r"number of the split in the file.*\(default: 0\)", help_texts["experiments.train_cnn"]["printed"], re.S
    )


def test_help_shows_large_limits_in_short(help_texts):
    printed = re.sub(r"\s+", " ", help_texts["nr_vqm.cli score"]["printed"])
    assert "(default: 1e+11)" in printed
    assert "time for a video (default: 3600)" in printed


def test_data_prep_never_loads_tensorflow():
    code = "import sys, data_prep.__main__, data_prep.messages, data_prep.synthetic.database\n"
    code += "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_scoring_starts_its_decoder_first_and_imports_only_what_it_needs(tmp_path):
    code = """
import contextlib, sys
from nr_vqm import cli
from nr_vqm.video import decoder_processes

starts = []
decoder_processes.start = lambda: starts.append("nr_vqm.score_command" in sys.modules)
with contextlib.suppress(SystemExit):  # there is no such run
    cli.entry_point(["score", *sys.argv[1:]])
print(starts, sorted({"av", "h5py", "scipy", "pandas"} & set(sys.modules)))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.mp4"), "--run", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout == "[False] []\n"
