"""The files of a run: its facts, its complete stages, and runs that share files."""

import pytest

from nr_vqm import presets
from nr_vqm.common import atomic_files, folder_lock, provenance
from nr_vqm.runs import derived_runs, stage_records
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.runs.stage_records import STAGES


def write_all(run, stage, text):
    for name in STAGES[stage].writes:
        atomic_files.write_text(run.path / name, f"{name} {text}")


@pytest.fixture
def run(tmp_path):
    """A run with train, features and compare complete."""
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.write_preset(presets.get_preset("tiny"))
    run.update_facts(database="d", mos_range=[0, 10], labels_sha256="labels")
    atomic_files.write_text(run.splits, "split")
    for stage in ("train", "features", "compare"):
        with run.stage(stage):
            write_all(run, stage, "first")
    return run


def complete(run):
    return [stage for stage in STAGES if run.is_complete(stage)]


def test_preset_and_facts_round_trip(tmp_path):
    run = RunFolder(tmp_path)
    run.write_preset(presets.PRESETS["tiny"])
    assert run.read_preset() == presets.PRESETS["tiny"]
    run.update_facts(database="csv", seconds={"train": 3})
    run.update_facts(seconds={"compare": 4})
    assert run.read_facts() == {"database": "csv", "seconds": {"train": 3, "compare": 4}}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"repeats": "x"}, "needs 1 to 1000 repeats, found 'x'"),
        ({"repeats": None}, "needs 1 to 1000 repeats, found None"),
        ({"repeats": 10**9}, "needs 1 to 1000 repeats"),
        ({"repeats": True}, "needs 1 to 1000 repeats"),
        ({"stages": []}, r"must hold an object as 'stages', found \[\]"),
        ({"seconds": 3}, r"must hold an object of numbers from 0 to 1e\+12 as 'seconds', found 3"),
    ],
)
def test_invalid_facts_are_refused(tmp_path, facts, message):
    atomic_files.write_json(tmp_path / "run.json", facts)
    with pytest.raises(ValueError, match=message):
        RunFolder(tmp_path).read_facts()


@pytest.mark.parametrize("record", [[], 3, {}, {"settings": {}, "reads": [], "writes": {}}])
def test_a_damaged_record_is_refused(tmp_path, record):
    atomic_files.write_json(tmp_path / "run.json", {"stages": {"train": record}})
    with pytest.raises(ValueError, match="has a damaged record of stage 'train'"):
        RunFolder(tmp_path).is_complete("train")


@pytest.mark.parametrize("scale", [[1, 5], [0.0, 100.0], [-1, 1]])
def test_the_mos_range_is_read(tmp_path, scale):
    run = RunFolder(tmp_path)
    run.update_facts(mos_range=scale)
    assert run.read_mos_range() == tuple(scale)


@pytest.mark.parametrize(
    "scale", ["15", {"1": 2, "5": 3}, [True, 5], [1, "5"], [5, 1], [1, 1], [1, 3, 5], [1], [], None, 1, ["1", "5"]]
)
def test_a_mos_range_that_is_not_two_rising_numbers_is_refused(tmp_path, scale):
    run = RunFolder(tmp_path)
    run.update_facts(mos_range=scale)
    with pytest.raises(ValueError, match=r"run\.json needs the MOS scale as 'mos_range': \[low, high\]"):
        run.read_mos_range()


@pytest.mark.parametrize("ends", ["NaN, 5", "1, Infinity", "-Infinity, 5"])
def test_a_mos_range_that_is_not_finite_is_refused(tmp_path, ends):
    (tmp_path / "run.json").write_text(f'{{"mos_range": [{ends}]}}')
    with pytest.raises(ValueError, match=r"in rising order within \+-1e\+06"):
        RunFolder(tmp_path).read_mos_range()


def test_a_run_without_facts_has_no_mos_range(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run\.json is missing. Make it first: make train"):
        RunFolder(tmp_path).read_mos_range()


def test_other_labels_are_refused(run, tmp_path):
    run.check_labels({"labels_sha256": "labels"}, "data")
    with pytest.raises(ValueError, match="was started with other videos or labels than data has"):
        run.check_labels({"labels_sha256": "others"}, "data")
    RunFolder(tmp_path / "new").check_labels({"labels_sha256": "labels"}, "data")


def test_the_seconds_of_a_stage_add_up_over_restarts(run):
    with pytest.raises(ValueError, match="stopped"), run.stage("train"):
        raise ValueError("stopped")
    run.update_facts(seconds={"train": 100.0})
    with run.stage("train"):
        pass
    assert 100 <= run.read_facts()["seconds"]["train"] < 101


def test_the_seconds_of_a_stage_that_is_run_again_start_from_zero(run):
    run.update_facts(seconds={"features": 100.0, "train": 50.0})
    with run.stage("features"):
        assert run.total_seconds() == {"train": 50.0, "compare": run.read_facts()["seconds"]["compare"]}
    assert run.read_facts()["seconds"]["features"] < 1


def test_the_seconds_of_a_stage_that_computes_only_what_is_missing_add_up(run):
    for _ in range(2):
        with run.stage("rivals_niqe"):
            run.update_facts(seconds={"rivals_niqe": 100.0})
    assert run.read_facts()["seconds"]["rivals_niqe"] >= 100


def test_a_stage_records_the_software_versions(tmp_path):
    run = RunFolder(tmp_path)
    with run.stage("train", facts={"videos": 7}):
        pass
    facts = run.read_facts()
    assert (facts["versions"], facts["videos"]) == (provenance.versions(), 7)


def test_a_file_that_does_not_exist_in_any_run_is_refused(tmp_path):
    run = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="Head 'mean' has no such file"):
        run.head("mean")
    with pytest.raises(ValueError, match=r"Stage 'cross_database' writes no train_scores\.csv"):
        run.score_file("cross_database", train=True)


def test_a_stage_is_complete_until_one_of_its_files_changes(run):
    assert complete(run) == ["train", "features", "compare"]
    for name in (*STAGES["compare"].reads, *STAGES["compare"].writes):
        content = (run.path / name).read_bytes()
        atomic_files.write_text(run.path / name, "{}")
        assert not run.is_complete("compare"), name
        (run.path / name).unlink()
        assert not run.is_complete("compare"), name
        (run.path / name).write_bytes(content)
        assert run.is_complete("compare")


def test_a_stage_is_complete_for_its_settings_only(run):
    with run.stage("finetune", learning_rate=0.1, grid=(2, 3)):
        write_all(run, "finetune", "first")
    assert run.is_complete("finetune")
    assert run.is_complete("finetune", learning_rate=0.1, grid=(2, 3))
    assert not run.is_complete("finetune", learning_rate=0.1, grid=(3, 2))


def test_a_stage_that_is_killed_after_any_of_its_files_is_not_complete(run, monkeypatch):
    """The kill is simulated by an exception after which no write succeeds."""
    atomic_files.write_text(run.features, "changed")
    with run.stage("features"):
        write_all(run, "features", "second")
    real, left = atomic_files.write_text, [0]

    def write_text(path, text):
        if left[0] == 0:
            raise SystemError("killed")
        left[0] -= 1
        real(path, text)

    monkeypatch.setattr(atomic_files, "write_text", write_text)
    number = 0
    while True:
        left[0] = number
        try:
            with run.stage("compare"):
                write_all(run, "compare", "second")
        except SystemError:
            number += 1
            assert not run.is_complete("compare")
            left[0] = 99
            with pytest.raises(ValueError, match="stage 'compare' was stopped before its end"):
                write_missing(run, "compare")
                run.require_complete("compare")
        else:
            break
    assert number == len(STAGES["compare"].writes) + 2  # and the seconds and the record
    assert run.is_complete("compare")


def write_missing(run, stage):
    for name in STAGES[stage].writes:
        if not (run.path / name).exists():
            (run.path / name).write_text("")


def test_the_record_and_the_checksums_are_one_write(run, monkeypatch):
    written = []
    real = atomic_files.write_json
    monkeypatch.setattr(atomic_files, "write_json", lambda path, value: written.append(value) or real(path, value))
    with run.stage("compare"):
        write_all(run, "compare", "second")
    assert ["compare" in value["stages"] for value in written] == [False, False, True]
    assert set(written[-1]["stages"]["compare"]["writes"]) == set(STAGES["compare"].writes)


def test_a_missing_or_outdated_input_names_the_command_that_makes_it(run):
    run.require_complete("features")
    atomic_files.write_text(run.cnn3d, "trained further")
    with pytest.raises(ValueError, match="its files have changed since. Run again: make features"):
        run.require_complete("features")
    run.features.unlink()
    with pytest.raises(FileNotFoundError, match=r"features\.h5 is missing. Make it first: make features"):
        run.require_complete("features")


def test_a_derived_run_shares_the_kept_files(run, tmp_path):
    keep = (stage_records.CNN3D, stage_records.SPLITS, "lstm_finetuned_head.keras")
    for _ in range(2):  # the second call changes nothing
        made = derived_runs.derive(run, RunFolder(tmp_path / "other"), keep=keep, lstm_units=3)
        assert made.cnn3d.samefile(run.cnn3d)
        assert not made.features.exists()
        assert made.read_preset().lstm_units == 3
        facts = made.read_facts()
        assert (facts["database"], list(facts["stages"]), "seconds" in facts) == ("d", ["train"], False)
    with pytest.raises(ValueError, match="was created with other settings"):
        derived_runs.derive(run, made, keep=(), lstm_units=4)


def test_a_derived_run_follows_its_source(run, tmp_path):
    def derive():
        return derived_runs.derive(run, RunFolder(tmp_path / "other"), keep=(stage_records.CNN3D,))

    made = derive()
    with made.stage("features"):
        atomic_files.write_text(made.features, "features")
    atomic_files.write_text(run.cnn3d, "trained further")
    assert made.is_complete("features")  # the file was replaced and not written to
    assert not derive().is_complete("features")
    assert made.cnn3d.samefile(run.cnn3d)


def test_a_derived_run_keeps_the_precision_of_its_own_stages(run, tmp_path):
    def derive(*keep):
        return derived_runs.derive(run, RunFolder(tmp_path / "other"), keep=(stage_records.CNN3D, *keep))

    run.update_facts(precision={"train": "mixed_bfloat16", "features": "mixed_bfloat16"})
    made = derive()
    assert made.read_facts()["precision"] == {"train": "mixed_bfloat16"}
    with made.stage("features", facts={"precision": {"features": "float32"}}):
        atomic_files.write_text(made.features, "features")
    assert derive().read_facts()["precision"] == {"train": "mixed_bfloat16", "features": "float32"}
    assert made.is_complete("features")
    assert derive(stage_records.FEATURES).read_facts()["precision"]["features"] == "mixed_bfloat16"


def test_every_repeat_is_derived(run, tmp_path):
    run.update_facts(repeats=2)
    for repeat in run.repeats():
        repeat.path.mkdir()
        repeat.write_preset(presets.get_preset("tiny"))
        atomic_files.write_text(repeat.splits, "split")
    made = derived_runs.derive(run, RunFolder(tmp_path / "other"), keep=(stage_records.SPLITS,))
    assert [one.path.relative_to(made).name for one in made.repeats()] == ["repeat-00", "repeat-01"]
    assert all(one.splits.exists() for one in made.repeats())


def test_a_missing_run_cannot_be_locked(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"preset\.json is missing. Make it first: make train"):
        RunFolder(tmp_path / "none").lock()
    assert not (tmp_path / "none").exists()
    with RunFolder(tmp_path / "new").lock(new=True):
        assert (tmp_path / "new" / folder_lock.LOCK_FILE).exists()
