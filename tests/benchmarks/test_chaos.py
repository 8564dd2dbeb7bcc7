"""The commands that the chaos benchmark kills exist and accept their options."""

import commands

from benchmarks import chaos

STAGES = (
    "data_prep", "train_cnn", "extract_features", "extract_rivals", "compare_heads", "finetune", "train_fcn_lstm",
    "ablations", "cross_database", "report",
)  # fmt: skip


def test_every_stage_is_killed_with_options_that_it_accepts(tmp_path):
    found = chaos.steps(tmp_path, tmp_path / "other", short=False)
    assert tuple(chaos.names(found)) == STAGES
    for step in found:
        module, *options = step.command
        commands.import_main(module)._parser().parse_args(options)
        assert all(path.is_relative_to(tmp_path) for path in step.results)


def test_few_kills_are_of_the_first_stages(tmp_path):
    found = chaos.steps(tmp_path, tmp_path / "other", short=True)
    assert chaos.names(found) == ["data_prep", "train_cnn", "extract_features", "compare_heads"]


def test_a_lost_or_changed_result_is_a_difference(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "index.json").write_text("{}\n")
    assert chaos.compare(whole, broken) == []
    (broken / "data" / ".index.json.part-here-1").touch()
    (broken / "data" / "index.json").unlink()
    left, lost = chaos.compare(whole, broken)
    assert left.startswith("left behind: ") and left.endswith(".index.json.part-here-1")
    assert lost == "data/index.json: '{}' without kills, None with kills"
