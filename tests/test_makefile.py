"""The commands of the Makefile: every path is one word of the shell, and options reach the stages that have them."""

import subprocess

import commands
import pytest

PATHS = {
    "ROOT": "/videos of Ann's, 2nd",
    "DATA": "/data (new)/a;b",
    "RUN": 'runs/my "best" run',
    "START": "runs/the other's",
    "OUT": "runs/cross & more",
    "VIDEO": "/clips/one two*.mp4",
    "SPLIT": "splits/half half.csv",
}
STAGES = "prep train features rivals compare report finetune fcn_lstm cross_database clip_grid lstm_size score".split()


def commands_of(*targets, **variables):
    """Return {module: arguments of its first command} of the commands that make would run."""
    found = {}
    for module, arguments in commands.of_make(*targets, *(f"{name}={value}" for name, value in variables.items())):
        found.setdefault(module, arguments)
    return found


def value_of(arguments, option):
    return arguments[arguments.index(option) + 1]


def test_paths_are_one_word_of_the_shell_whatever_their_characters():
    found = commands_of(*STAGES, **PATHS)
    expected = {
        "data_prep": {"--root": "ROOT", "--out": "DATA"},
        "experiments.train_cnn": {"--data": "DATA", "--run": "RUN", "--split": "SPLIT"},
        "experiments.extract_features": {"--data": "DATA", "--run": "RUN"},
        "experiments.extract_rivals": {"--data": "DATA", "--run": "RUN"},
        "experiments.compare_heads": {"--run": "RUN"},
        "experiments.report": {"--run": "RUN"},
        "experiments.finetune": {"--run": "RUN", "--start": "START"},
        "experiments.train_fcn_lstm": {"--run": "RUN", "--data": "DATA", "--root": "ROOT"},
        "experiments.cross_database": {"--run": "RUN", "--data": "DATA", "--out": "OUT"},
        "experiments.ablations": {"--run": "RUN", "--data": "DATA"},
        "nr_vqm.cli": {"score": "VIDEO", "--run": "RUN"},
    }
    assert set(found) == set(expected)
    for module, options in expected.items():
        for option, name in options.items():
            assert value_of(found[module], option) == PATHS[name], (module, option)


@pytest.mark.parametrize("target", ["konvid1k", "live_qualcomm", "downscaling"])
def test_paths_survive_a_make_that_calls_make(target):
    found = commands_of(target, **PATHS)
    ending = "-downscaled" if target == "downscaling" else ""
    assert value_of(found["data_prep"], "--root") == PATHS["ROOT"]
    assert value_of(found["experiments.train_cnn"], "--split") == PATHS["SPLIT"]
    for module in ("experiments.train_cnn", "experiments.extract_features"):
        assert value_of(found[module], "--run") == PATHS["RUN"] + ending
        assert value_of(found[module], "--data") == PATHS["DATA"] + ending
    if target == "live_qualcomm":
        assert value_of(found["experiments.finetune"], "--start") == PATHS["START"]


def test_the_table_runs_all_stages_on_konvid1k_or_on_a_part_of_the_synthetic_database():
    stages = ["data_prep", *(f"experiments.{name}" for name in ("train_cnn", "extract_features", "extract_rivals"))]
    stages += ["experiments.compare_heads", "experiments.report"]
    found = commands_of("paper_table", ROOT=PATHS["ROOT"])
    assert list(found) == stages
    assert found["data_prep"][0] == "konvid1k"
    assert value_of(found["data_prep"], "--root") == PATHS["ROOT"]
    assert value_of(found["experiments.train_cnn"], "--split") == "paper"
    assert value_of(found["experiments.report"], "--run") == "runs/konvid1k-paper"  # shared with make konvid1k
    small = commands_of("paper_table", TABLE_VIDEOS=40, SETTINGS="epochs=1")
    assert list(small) == stages
    assert small["data_prep"][0] == "synthetic"
    assert value_of(small["experiments.extract_rivals"], "--run") == "runs/paper_table"
    settings = [word for word in small["data_prep"] if "=" in word]
    assert settings == ["synthetic_videos=40", "epochs=1"]


def test_options_reach_every_stage_that_has_them():
    found = commands_of(*STAGES, WORKERS=3, DEVICE="gpu:1", DEVICES=2, PRECISION="float32", VIDEO="x.mp4")
    reading = {"experiments.extract_features", "experiments.cross_database", "experiments.ablations", "nr_vqm.cli"}
    training = {"experiments.train_cnn", "experiments.train_fcn_lstm"}
    having = {
        "--workers": {"data_prep", "experiments.extract_rivals", *reading},
        "--device": {f"experiments.{name}" for name in ("compare_heads", "finetune")} | training | reading,
        "--devices": training,
        "--precision": training | reading,
    }
    for option, modules in having.items():
        assert {module for module, arguments in found.items() if option in arguments} == modules
    plain = commands_of(*STAGES, VIDEO="x.mp4")
    using_all_cores = {"data_prep", "experiments.extract_rivals"}
    assert {module for module, arguments in plain.items() if "--workers" in arguments} == using_all_cores
    assert not any({"--device", "--devices", "--precision"} & set(arguments) for arguments in plain.values())


def test_the_stages_accept_what_the_makefile_gives_them():
    settings = {
        "SETTINGS": "epochs=3 convs=[[4,3,1],[8,2,1]]",
        "WORKERS": 2,
        "DEVICE": "cpu",
        "PRECISION": "auto",
        "RIVALS": "brisque,niqe",
    }
    found = commands_of(*STAGES, **PATHS, **settings)
    parsed = {name: commands.import_main(name)._parser().parse_args(words) for name, words in found.items()}
    assert parsed["experiments.train_cnn"].overrides == ["epochs=3", "convs=[[4,3,1],[8,2,1]]"]
    assert [method.name for method in parsed["experiments.extract_rivals"].rivals] == ["brisque", "niqe"]
    assert parsed["nr_vqm.cli"].videos == [PATHS["VIDEO"]]


def test_contents_are_made_from_root_and_read_from_the_data_folder():
    found = commands_of("prep", "train", "features", DATABASE="contents", ROOT="/my videos", TEACHER="a b/teacher.h5")
    assert value_of(found["data_prep"], "--root") == "/my videos"
    assert value_of(found["data_prep"], "--teacher") == "a b/teacher.h5"
    assert "--root" not in found["experiments.extract_features"]
    assert value_of(found["experiments.extract_features"], "--data") == "data/contents-small"


def test_the_teacher_is_fitted_on_published_features():
    found = commands_of("teacher", PUBLISHED="/published features", TEACHER="a b/teacher.h5")[
        "experiments.train_teacher"
    ]
    assert (value_of(found, "--features"), value_of(found, "--out")) == ("/published features", "a b/teacher.h5")


def test_the_run_that_ships_is_built_by_one_command():
    found = commands.of_make("pretrained", "ROOT=/contents", "PUBLISHED=/published", "RATED=/rated", "OUT=/a b/export")
    teachers = [arguments for module, arguments in found if module == "experiments.train_teacher"]
    assert [value_of(one, "--features") for one in teachers] == ["/published"] * 3
    levels, whole, statistics = (value_of(one, "--out") for one in teachers)
    assert value_of(teachers[2], "--sets") == "frame_statistics"
    preps = {arguments[0]: arguments for module, arguments in found if module == "data_prep"}
    assert list(preps) == ["synthetic", "contents", "csv"]
    assert (value_of(preps["contents"], "--root"), value_of(preps["contents"], "--teacher")) == ("/contents", levels)
    assert value_of(preps["csv"], "--root") == "/rated"
    trained = [arguments for module, arguments in found if module == "experiments.train_cnn"]
    assert value_of(trained[1], "--start") == value_of(trained[0], "--run")
    module, arguments = found[-1]
    assert (module, arguments[0], arguments[1:3]) == (
        "nr_vqm.cli",
        "export",
        [value_of(trained[1], "--run"), "/a b/export"],
    )
    assert (value_of(arguments, "--teacher"), value_of(arguments, "--fusion")) == (whole, statistics)
    tested = next(arguments for module, arguments in found if module == "experiments.cross_database")
    assert value_of(tested, "--precision") == "float32"  # as exports compute
    rivals = [arguments for module, arguments in found if module == "experiments.extract_rivals"]
    assert {value_of(one, "--rivals") for one in rivals} == {"frame_statistics"}
    assert value_of(teachers[2], "--distorted") == value_of(rivals[0], "--run") == value_of(trained[1], "--run")
    assert value_of(rivals[1], "--run") == value_of(arguments, "--validation")


def test_the_demo_ends_with_next_steps(tmp_path):
    command = ["make", "--no-print-directory", "demo", "MAKE=true", f"BIN={tmp_path}", f"RUN={tmp_path}/it's"]
    printed = subprocess.run(command, cwd=commands.ROOT, capture_output=True, text=True, check=True).stdout
    lines = printed[printed.index("Next steps:") :].splitlines()
    assert f"  {tmp_path}/nr-vqm score your.mp4 --run {tmp_path}/it's --html page.html" in lines
    assert len(lines) == 5
