"""An export gives the scores of its run, without TensorFlow, and is refused where it is damaged or foreign."""

import dataclasses
import functools
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import commands
import numpy as np
import openvino
import pytest
import sample_fusion

import nr_vqm
from nr_vqm import cli, command_line
from nr_vqm.common import atomic_files, devices
from nr_vqm.handcrafted import frame_statistics, methods
from nr_vqm.runs import export_folder, export_info, interval_file, rival_features
from nr_vqm.runs.export_folder import ExportFolder
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import export_check, exporting, model_source
from nr_vqm.teacher import regression, teacher
from nr_vqm.video import reader

ROOT = Path(nr_vqm.__file__).parent.parent
VERSION = methods.get("frame_statistics").version


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    """A run with validation scores of its LSTM head, on a scale of 0-100."""
    folder = tmp_path_factory.mktemp("exported") / "run"
    shutil.copytree(tiny_run, folder)
    values = np.linspace(1, 5, 30)
    with RunFolder(folder).stage("compare"):
        interval_file.write(folder, {"lstm": (values, values[::-1])})
    return folder


@pytest.fixture(scope="module")
def exported(run):
    """What the export reports, of an export in the folder of the run."""
    return exporting.export(run)


@pytest.fixture
def copy(exported, tmp_path):
    """A copy of the export that a test may change."""
    return Path(shutil.copytree(exported["folder"], tmp_path / "export"))


@pytest.fixture
def clip(place_video):
    return place_video(num_frames=23, height=40, width=61)


def rewrite(folder, name, content):
    """Replace a file of an export, with a record that states its checksum."""
    (folder / name).write_bytes(content)
    record = json.loads((folder / export_folder.RECORD).read_text())
    export_folder.write_record(
        folder, **{key: value for key, value in record.items() if key not in ("schema", "files")}
    )


@pytest.mark.parametrize("head", ["lstm", "svr", "mean"])
def test_both_engines_give_the_same_score(run, exported, clip, head):
    by_export = nr_vqm.load(run, head=head).score(clip)
    by_run = nr_vqm.load(run, head=head, engine="keras", precision="float32").score(clip)
    assert (by_export.engine, by_export.precision) == ("openvino", "float32")
    assert (by_run.engine, by_run.precision) == ("keras", "float32")
    assert by_export.model_id == by_run.model_id
    assert by_export.quality == pytest.approx(by_run.quality, abs=export_check.MAX_DIFFERENCE)
    np.testing.assert_allclose(by_export.clip_quality, by_run.clip_quality, atol=export_check.MAX_DIFFERENCE)
    assert by_export.interval == pytest.approx(by_run.interval, abs=0.5) if head == "lstm" else by_run.interval is None


def test_a_test_on_another_database_gives_intervals_and_percentiles(run, tmp_path, clip):
    test = copy_of(run, tmp_path / "test", mos_range=[0.0, 4.0])
    write_scores(test, [f"0,{head},v{i},v{i},{i % 5},{4 - i % 5}" for head in ("lstm", "svr") for i in range(25)])
    exporting.export(run, tmp_path / "export", validation=test)
    export = ExportFolder(tmp_path / "export")
    assert export.record["validation"] == {"database": "konvid1k", "labels": "people"}
    for head in ("lstm", "svr"):
        assert export.intervals(head).num_videos == 25
    assert export.intervals("mean") is None
    np.testing.assert_array_equal(np.unique(export.intervals("lstm").errors), [-4, -2, 0, 2, 4])
    score = nr_vqm.load(tmp_path / "export").score(clip)
    assert score.percentile is not None
    assert score.interval_low < score.score < score.interval_high
    assert "intervals   from people's opinions (MOS) of konvid1k" in export_info.to_text(export_info.facts(export.path))


def copy_of(run, folder, *, mos_range):
    """A test of the run on another database, without scores."""
    test = RunFolder(shutil.copytree(run, folder, ignore=shutil.ignore_patterns("export", "intervals.json")))
    test.update_facts(database="konvid1k, trained on csv", trained_on="csv", mos_range=mos_range)
    return test


def write_scores(test, rows):
    with test.stage("cross_database"):
        pass
    with test.stage("results"):
        test.scores.write_text("\n".join(["repeat,head,video_id,content,mos,score", *rows]) + "\n")


def write_test(run, folder, *, mos):
    """A test of the run on 25 videos with scores 1 to 3 on a scale of 1-5, whose MOS is a function of the score."""
    test, scores = copy_of(run, folder, mos_range=[1.0, 5.0]), np.linspace(1, 3, 25)
    heads = ("lstm", "svr", "mean")
    write_scores(test, [f"0,{head},v{i},v{i},{mos(one)},{one}" for head in heads for i, one in enumerate(scores)])
    return test


def test_aligned_scores_have_the_level_of_the_validation_videos(run, tmp_path, clip):
    test = write_test(run, tmp_path / "test", mos=lambda score: 1 + 1.5 * (score - 1))
    exporting.export(run, tmp_path / "plain", validation=test)
    exporting.export(run, tmp_path / "aligned", validation=test, align=True)
    plain, aligned = (nr_vqm.load(tmp_path / name).score(clip) for name in ("plain", "aligned"))
    assert aligned.quality == pytest.approx(np.clip(1.5 * plain.quality - 0.5, 1, 5), abs=1e-6)
    assert aligned.score == pytest.approx(25 * (aligned.quality - 1))
    np.testing.assert_allclose(aligned.clip_quality, np.clip(1.5 * plain.clip_quality - 0.5, 1, 5), atol=1e-5)
    assert aligned.percentile == plain.percentile
    assert np.abs(ExportFolder(tmp_path / "aligned").intervals("lstm").errors).max() < 1e-3
    found = export_info.facts(tmp_path / "aligned")
    assert (aligned.model_id, found["export"]["lines"]["lstm"]) == (found["export"]["model_ids"]["lstm"], (1.5, -0.5))
    assert aligned.model_id != plain.model_id
    assert "aligned: 1.500 x quality -0.500" in export_info.to_text(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mos": None}, "name a test of the run as validation"),
        ({"mos": lambda score: 5 - score}, "falls with the scores of head 'lstm'"),
        ({"mos": lambda score: score, "out": None}, "name another folder than that inside the run"),
        ({"mos": lambda score: score, "out": "inside"}, "name another folder than that inside the run"),
    ],
)
def test_an_alignment_that_cannot_be_is_refused(run, tmp_path, options, message):
    validation = write_test(run, tmp_path / "test", mos=options["mos"]) if options["mos"] else None
    if options.get("out") == "inside":
        options = options | {"out": run / "../run/export"}
    with pytest.raises(ValueError, match=message):
        exporting.export(run, options.get("out", tmp_path / "export"), validation=validation, align=True)


@pytest.fixture(scope="module")
def statistics_teacher(tmp_path_factory):
    return sample_fusion.write_teacher(tmp_path_factory.mktemp("teacher") / "fast.h5")


def fused(of_head, of_teacher):
    """Decision 0022."""
    return of_head + 0.8 * np.clip(of_teacher - of_head, -0.6, 0.6)


def test_a_fusion_is_between_the_aligned_head_and_the_teacher(run, tmp_path, clip, statistics_teacher):
    test = write_test(run, tmp_path / "test", mos=lambda score: 1 + 1.5 * (score - 1))
    sample_fusion.add_statistics(test)
    options = ["--validation", test.path, "--fusion", statistics_teacher, "--head", "fusion"]
    assert cli.main([str(one) for one in ("export", run, tmp_path / "export", *options)]) == 0
    scorer = nr_vqm.load(tmp_path / "export")
    score, of_head = scorer.score(clip), nr_vqm.score(clip, tmp_path / "export", head="lstm")
    of_teacher = teacher.load(statistics_teacher).predict(frame_statistics.video_features(clip))
    assert score.quality == pytest.approx(fused(of_head.quality, of_teacher))
    assert (score.head, scorer.head, score.labels) == ("fusion", "fusion", of_head.labels)
    np.testing.assert_array_equal(score.clip_quality, of_head.clip_quality)
    assert (
        len({score.model_id, of_head.model_id, export_info.facts(tmp_path / "export")["export"]["model_ids"]["svr"]})
        == 3
    )
    with reader.read_frames(clip) as frames:
        array, fps = np.stack(list(frames)), frames.info.fps
    assert scorer.score(array, fps=fps).quality == score.quality
    assert "3D-CNN + LSTM and frame statistics" in score.to_html()
    assert "fitted on people's opinions" in score.to_html().replace("&#39;", "'")
    text = export_info.to_text(export_info.facts(tmp_path / "export"))
    assert "corrected by frame statistics: weight 0.2, limit 0.6" in text
    grey = scorer.score(np.repeat(array.mean(axis=3, keepdims=True).astype(np.uint8), 3, axis=3))
    assert any("features are undefined; the training means replace them" in one for one in grey.warnings)
    statistics = rival_features.read(test.path, "frame_statistics").features
    intervals = ExportFolder(tmp_path / "export").record["heads"]["fusion"]["intervals"]
    of_heads = np.clip(1 + 1.5 * (np.linspace(1, 3, 25) - 1), 1, 5)
    of_teachers = [teacher.load(statistics_teacher).predict(row) for row in statistics]
    np.testing.assert_allclose(intervals["scores"], fused(of_heads, np.array(of_teachers)), atol=1e-3)


def test_videos_without_statistics_and_other_versions_are_refused(run, tmp_path, statistics_teacher):
    test = write_test(run, tmp_path / "test", mos=lambda score: score)
    sample_fusion.add_statistics(test, failed="v3")
    with pytest.raises(ValueError, match="has no frame statistics of v3: too short"):
        exporting.export(run, tmp_path / "export", validation=test, fusion=statistics_teacher)
    sample_fusion.add_statistics(test, version=1)
    with pytest.raises(ValueError, match="version 1 of the frame statistics, this nr-vqm computes version 2"):
        exporting.export(run, tmp_path / "export", validation=test, fusion=statistics_teacher)


def test_damaged_settings_of_a_fusion_are_refused(run, tmp_path, statistics_teacher):
    test = write_test(run, tmp_path / "test", mos=lambda score: score)
    sample_fusion.add_statistics(test)
    exporting.export(run, tmp_path / "export", validation=test, fusion=statistics_teacher)
    export = ExportFolder(tmp_path / "export")
    for change in ({"weight": 2.0}, {"weight": "1"}, {"limit": None}, {"limit": 1e999}):
        export.record["heads"]["fusion"] = export.head("fusion") | {"weight": 0.5, "limit": 1.0} | change
        with pytest.raises(ValueError, match="damaged settings of the fusion"):
            export.fusion_settings()
    (tmp_path / "export" / export_folder.FUSION).write_bytes(b"other")
    with pytest.raises(ValueError, match=r"fusion.h5 has 5 bytes"):
        nr_vqm.load(tmp_path / "export", head="fusion")


def test_a_fusion_that_cannot_be_is_refused(run, tmp_path, statistics_teacher):
    other = tmp_path / "other.h5"
    one = teacher.load(statistics_teacher)
    names = ("brisque",)
    narrow = dataclasses.replace(
        one.regression.scaling, **{f: np.arange(36.0) + (f == "high") for f in ("fill", "low", "high")}
    )
    vectors = dataclasses.replace(one.regression.svr, vectors=one.regression.svr.vectors[:, :36])
    teacher.save(
        other, dataclasses.replace(one, feature_sets=names, regression=regression.Regression(narrow, vectors, None))
    )
    test = write_test(run, tmp_path / "test", mos=lambda score: score)
    export = functools.partial(exporting.export, run, tmp_path / "export")
    with pytest.raises(ValueError, match="name a test of the run as validation"):
        export(fusion=statistics_teacher)
    with pytest.raises(FileNotFoundError, match="make rivals RIVALS=frame_statistics"):
        export(validation=test, fusion=statistics_teacher)
    sample_fusion.add_statistics(test)
    with pytest.raises(ValueError, match=r"needs a teacher on frame_statistics, .*other.h5 is one on brisque"):
        export(validation=test, fusion=other)
    write_scores(test, [row for row in test.scores.read_text().splitlines()[1:] if ",lstm," not in row])
    with pytest.raises(ValueError, match="A fusion needs head 'lstm' in the test"):
        export(validation=test, fusion=statistics_teacher)
    with pytest.raises(ValueError, match="not 'fusion'"):
        export(validation=test, head="fusion")
    for engine in (None, "keras", "openvino"):
        with pytest.raises(FileNotFoundError, match="only an export has head 'fusion'"):
            nr_vqm.load(run, head="fusion", engine=engine)
    with pytest.raises(FileNotFoundError, match="No model in"):
        nr_vqm.load(tmp_path / "none", head="fusion")


def test_a_damaged_line_is_refused(copy):
    record = json.loads((copy / export_folder.RECORD).read_text())
    for line in ([0.0, 1.0], [1.0], ["1", 0.0], [1.0, 1e999], 3):
        record["heads"]["lstm"]["line"] = line
        (copy / export_folder.RECORD).write_text(json.dumps(record))
        with pytest.raises(ValueError, match="damaged line of head 'lstm'|must hold|finite"):
            nr_vqm.load(copy)


def test_an_export_names_the_head_that_scores(run, tmp_path, clip):
    exporting.export(run, tmp_path / "export", head="svr")
    assert nr_vqm.load(tmp_path / "export").score(clip).head == "svr"
    assert nr_vqm.load(tmp_path / "export", head="lstm").score(clip).head == "lstm"
    assert model_source.find(run, None).head == "lstm"
    with pytest.raises(ValueError, match="has the heads lstm, svr, mean, not 'niqe'"):
        exporting.export(run, tmp_path / "other", head="niqe")


def test_a_test_of_another_run_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match="is not a test of .*: its 3D-CNN is another one"):
        exporting.export(run, tmp_path / "export", validation=tmp_path)


def test_a_test_of_earlier_heads_or_a_stopped_one_is_refused(run, tmp_path):
    test = write_test(run, tmp_path / "test", mos=lambda score: score)
    refitted = RunFolder(shutil.copytree(run, tmp_path / "refitted"))
    with refitted.stage("compare"):
        refitted.head("svr").write_bytes(refitted.head("svr").read_bytes() + b"0")
    with pytest.raises(ValueError, match=r"has tested another head 'svr' than .* has now\. Test again: make cross_d"):
        exporting.export(refitted, tmp_path / "export", validation=test)
    test.scores.write_text(test.scores.read_text().replace("v1,v1,", "v1,v2,"))
    with pytest.raises(ValueError, match="was stopped before its end, or its files have changed since. Test again"):
        exporting.export(run, tmp_path / "export", validation=test)
    assert not (tmp_path / "export").exists()


@pytest.mark.slow
def test_a_test_in_another_precision_is_refused(run, tmp_path):
    test = write_test(run, tmp_path / "test", mos=lambda score: score)
    test.update_facts(precision={"train": "mixed_bfloat16", "features": "mixed_bfloat16"})
    with pytest.raises(ValueError, match="was computed in mixed_bfloat16, exports compute in float32"):
        exporting.export(run, tmp_path / "export", validation=test)
    test.update_facts(precision={"train": "mixed_bfloat16", "features": "float32"})
    exporting.export(run, tmp_path / "export", validation=test)


def test_the_teacher_is_exported(run, tmp_path, place_video):
    with_teacher = RunFolder(shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("export")))
    features = np.random.default_rng(3).normal(1, 1, size=(60, 36))
    mos = np.clip(3 + features[:, 2] / 2, 1, 5)
    search = regression.Search(num_trees=2, depth=2)
    fitted = regression.fit(
        features, mos, np.ones(len(mos)), kind="both", svr_settings={"c": 1.0, "gamma": 0.05}, search=search
    )
    teacher.save(with_teacher.teacher, teacher.Teacher(("brisque",), fitted, mos, mos, {}))
    exporting.export(with_teacher, tmp_path / "export")
    assert "teacher.h5" in ExportFolder(tmp_path / "export").record["files"]
    video = place_video(num_frames=20, height=64, width=80)
    by_run, by_export = (nr_vqm.score(video, one, head="teacher") for one in (with_teacher, tmp_path / "export"))
    assert by_run.score == by_export.score
    assert by_run.model_id == by_export.model_id
    exporting.export(run, tmp_path / "export", teacher=with_teacher.teacher)
    assert nr_vqm.score(video, tmp_path / "export", head="teacher").model_id == by_run.model_id
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        exporting.export(run, tmp_path / "other", teacher=tmp_path / "none.h5")


def test_an_export_reports_its_heads_and_the_difference(exported, run):
    assert exported["heads"] == ["lstm", "svr", "mean"]
    assert 0 < exported["difference"] <= export_check.MAX_DIFFERENCE
    export = ExportFolder(run / "export")
    assert export.record["difference"] == exported["difference"]
    assert (export.labels, export.mos_range) == ("people", (0.0, 100.0))
    assert sorted(path.name for path in export.path.iterdir()) == [
        "clip_head.bin", "clip_head.xml", "export.json", "heads.npz", "trunk.bin", "trunk.xml"
    ]  # fmt: skip


def test_info_describes_an_export(exported):
    found = export_info.facts(exported["folder"])
    text = export_info.to_text(found)
    assert found["export"]["validation_videos"] == {"lstm": 30, "svr": 0, "mean": 0}
    assert f"scores differ from those of the run by at most {exported['difference']:.4f}" in text
    assert "labels      people's opinions (MOS)" in text


def test_scoring_with_an_export_loads_neither_tensorflow_nor_keras(exported, clip):
    code = "import sys, nr_vqm\n"
    code += f"score = nr_vqm.load({exported['folder']!r}).score({str(clip)!r})\n"
    code += f"nr_vqm.load({exported['folder']!r}, head='svr').score({str(clip)!r})\n"
    code += "heavy = {'tensorflow', 'keras', 'sklearn', 'skops', 'h5py', 'matplotlib', 'distributed'}\n"
    code += "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    code += "assert score.engine == 'openvino'"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_openvino_computes_with_the_threads_of_this_process(exported, clip, monkeypatch):
    compiled, compile_model = [], openvino.Core.compile_model

    def compile_and_keep(*args):
        compiled.append(compile_model(*args))
        return compiled[-1]

    monkeypatch.setattr(openvino.Core, "compile_model", compile_and_keep)
    scores = []
    for threads in (1, 2):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        scores.append(nr_vqm.load(exported["folder"]).score(clip).score)
    assert [model.get_property("INFERENCE_NUM_THREADS") for model in compiled] == [1, 1, 2, 2]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_onnx_gives_the_same_scores(run, exported, clip, tmp_path):
    done = exporting.export(run, tmp_path / "new" / "onnx", format="onnx", check=[clip])
    assert (tmp_path / "new" / "onnx" / "trunk.onnx").exists()
    assert done["difference"] <= export_check.MAX_DIFFERENCE
    score = nr_vqm.load(done["folder"]).score(clip)
    assert score.quality == pytest.approx(nr_vqm.load(run).score(clip).quality, abs=1e-4)


def test_a_head_whose_export_gives_no_number_is_refused(run, tmp_path, monkeypatch):
    differences = iter([0.001, math.nan, 0.002])
    monkeypatch.setattr(export_check, "_difference", lambda *_: next(differences, 0.0))
    with pytest.raises(ValueError, match="differs by nan"):
        exporting.export(run, tmp_path / "export")


def test_an_export_that_differs_from_its_run_is_refused_and_the_earlier_one_kept(run, exported, monkeypatch):
    before = atomic_files.sha256(Path(exported["folder"]) / "export.json")
    monkeypatch.setattr(export_check, "MAX_DIFFERENCE", 0.0)
    with pytest.raises(
        ValueError, match=r"An export may differ from its run by 0.0 on 1-5, that of .* differs by 0\.0"
    ):
        exporting.export(run)
    assert atomic_files.sha256(Path(exported["folder"]) / "export.json") == before
    assert [path.name for path in run.glob(".export*")] == []


def test_a_folder_with_something_else_is_not_replaced(run, tmp_path):
    with pytest.raises(ValueError, match=r"exists and is not an export. Choose another folder, or remove it"):
        exporting.export(run, tmp_path)


def test_what_is_no_run_is_not_exported(copy, tmp_path):
    with pytest.raises(ValueError, match=r"is an export. Name the run that it was made from"):
        exporting.export(copy)
    with pytest.raises(FileNotFoundError, match=r"No model in .*none. Name the folder of a trained run"):
        exporting.export(tmp_path / "none")


def test_the_export_of_other_models_is_refused(run, exported, tmp_path):
    other = Path(shutil.copytree(run, tmp_path / "run"))
    RunFolder(other).update_facts(mos_range=[1, 5])
    with pytest.raises(ValueError, match=r"was made from other models than .* has now. Make it again: nr-vqm export"):
        nr_vqm.load(other)
    assert nr_vqm.load(other, engine="keras").engine == "keras"


def test_an_engine_without_its_files_is_refused(tiny_run, copy):
    with pytest.raises(FileNotFoundError, match=r"has no export for OpenVINO. Make it first: nr-vqm export"):
        model_source.find(tiny_run, "lstm", engine="openvino")
    with pytest.raises(ValueError, match=r"is an export, which has no Keras files. Name a trained run: --run FOLDER"):
        model_source.find(copy, "lstm", engine="keras")
    with pytest.raises(ValueError, match="An engine is one of openvino, keras. Received: 'torch'"):
        model_source.find(copy, "lstm", engine="torch")
    with pytest.raises(ValueError, match=r"has the heads lstm, svr, mean, not 'niqe'. Name one of these"):
        model_source.find(copy, "niqe")
    (copy / "teacher.h5").touch()
    with pytest.raises(ValueError, match=r"has the heads lstm, svr, mean, teacher, not 'niqe'. Name one of these"):
        model_source.find(copy, "niqe")
    with pytest.raises(ValueError, match="Head 'niqe' is computed by NumPy and has no other engine"):
        model_source.find(copy, "niqe", engine="openvino")


@pytest.mark.parametrize("options", [{"precision": "mixed_bfloat16"}, {"device": "gpu"}])
def test_only_keras_has_other_precisions_and_devices(run, copy, options, monkeypatch):
    needed = r"is computed on the processor in float32 only. A GPU or another precision needs a trained run: --run"
    with pytest.raises(ValueError, match=rf"^The export {copy} {needed} FOLDER --engine keras.$"):
        nr_vqm.load(copy, **options)
    with pytest.raises(ValueError, match=rf"^The export {run}/export {needed} {run} --engine keras.$"):
        nr_vqm.load(run, **options)
    monkeypatch.setattr("nr_vqm.pretrained.FOLDER", copy)
    with pytest.raises(ValueError, match=rf"^The model that ships with nr-vqm {needed} FOLDER --engine keras.$"):
        nr_vqm.load(**options)


def test_the_run_around_an_export_is_named(run, exported):
    with pytest.raises(ValueError, match=rf"has no Keras files. Name a trained run: --run {run}.$"):
        model_source.find(exported["folder"], "lstm", engine="keras")


def test_the_run_to_score_with(copy, tiny_run, monkeypatch, tmp_path):
    monkeypatch.setattr("nr_vqm.pretrained.FOLDER", copy)
    assert model_source.find(None, "lstm").folder == copy
    monkeypatch.setenv("NR_VQM_RUN", str(tiny_run))
    assert model_source.find(None, "lstm").folder == tiny_run
    assert model_source.find(copy, "lstm").folder == copy
    monkeypatch.delenv("NR_VQM_RUN")
    monkeypatch.setattr("nr_vqm.pretrained.FOLDER", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="This installation has no pretrained run. Name a run: --run FOLDER"):
        model_source.find(None, "lstm")


@pytest.mark.parametrize("name", ["trunk.xml", "trunk.bin", "clip_head.bin", "heads.npz"])
def test_a_changed_file_is_refused(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"is not the file that was exported: its checksum differs"):
        nr_vqm.load(copy)
    (copy / name).write_bytes(bytes(content) + b"more")
    with pytest.raises(ValueError, match=r"bytes, which export.json does not state"):
        nr_vqm.load(copy)
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"is missing. Make it first: nr-vqm export RUN"):
        nr_vqm.load(copy)


def test_a_network_with_another_operation_is_refused(copy):
    text = (copy / "trunk.xml").read_text().replace('type="ReLU"', 'type="Sigmoid"')
    rewrite(copy, "trunk.xml", text.encode())
    with pytest.raises(ValueError, match=r"it has the operation 'Sigmoid'; only Add, .* are loaded"):
        nr_vqm.load(copy)


def test_a_network_of_other_sizes_is_refused(copy):
    for suffix in (".xml", ".bin"):
        rewrite(copy, f"trunk{suffix}", (copy / f"clip_head{suffix}").read_bytes())
    with pytest.raises(ValueError, match=r"the last axes of its inputs must have the sizes \[3, 3, 3, 4\], found"):
        nr_vqm.load(copy)


def test_weights_that_are_not_finite_are_refused(copy):
    size = (copy / "clip_head.bin").stat().st_size
    rewrite(copy, "clip_head.bin", np.full(size // 2, np.nan, np.float16).tobytes() + b"\0" * (size % 2))
    with pytest.raises(ValueError, match="must be finite numbers"):
        nr_vqm.load(copy)


def test_a_damaged_network_is_refused(copy):
    rewrite(copy, "trunk.xml", b"<net")
    with pytest.raises(ValueError, match=r"must hold the network of its preset: OpenVINO cannot read it"):
        nr_vqm.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda heads: heads.pop("lstm.bias"), "the arrays .* are needed, found"),
        (lambda heads: heads.update({"lstm.bias": heads["lstm.bias"][:4]}), r"bias must hold finite floats of shape"),
        (lambda heads: heads.update({"lstm.fc": heads["lstm.fc"] * np.nan}), "fc must hold finite floats"),
        (lambda heads: heads.update({"lstm.more": np.zeros(3)}), "the arrays .* are needed, found"),
        (lambda heads: heads.update({"lstm.bias": np.array([{}])}), "Object arrays cannot be loaded"),
    ],
)
def test_damaged_arrays_are_refused(copy, change, message):
    with np.load(copy / "heads.npz") as archive:
        heads = dict(archive)
    change(heads)
    np.savez(copy / "heads.npz", **heads)
    rewrite(copy, "heads.npz", (copy / "heads.npz").read_bytes())
    with pytest.raises(ValueError, match=f"has no usable arrays of head 'lstm': {message}"):
        nr_vqm.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 99}, "has schema 99, 1 is needed"),
        ({"format": "pickle"}, "needs a format of openvino, onnx"),
        ({"heads": []}, "must hold an object as 'heads'"),
        ({"labels": "guessed"}, "The origin of the labels is needed"),
        ({"mos_range": [5, 1]}, "needs the MOS scale"),
        ({"heads": {"lstm": {"model_id": "../x"}}}, "has a damaged entry of head 'lstm'"),
    ],
)
def test_a_damaged_record_is_refused(copy, change, message):
    record = json.loads((copy / "export.json").read_text()) | change
    (copy / "export.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message):
        nr_vqm.load(copy)


def test_onnx_with_external_data_is_refused(run, exported, tmp_path):
    import onnx

    done = exporting.export(run, tmp_path / "onnx", format="onnx")
    folder = Path(done["folder"])
    network = onnx.load(folder / "clip_head.onnx")
    onnx.save_model(network, tmp_path / "clip_head.onnx", save_as_external_data=True, size_threshold=0)
    rewrite(folder, "clip_head.onnx", (tmp_path / "clip_head.onnx").read_bytes())
    with pytest.raises(ValueError, match="it names files with external data, which are not read"):
        nr_vqm.load(folder)


def test_the_commands(run, clip, tmp_path, monkeypatch):
    printed = commands.succeed(cli.main, "export", run, tmp_path / "out")
    assert printed.startswith(f"{tmp_path / 'out'}: ")
    assert "heads lstm, svr, mean" in printed
    monkeypatch.setenv("NR_VQM_RUN", str(tmp_path / "out"))
    (row,) = json.loads(commands.succeed(cli.main, "score", clip, "--format", "json"))
    assert (row["status"], row["engine"]) == ("ok", "openvino")
    assert f"export      {tmp_path / 'out'}, openvino" in commands.succeed(cli.main, "info")
    for option, value in (("--precision", "mixed_bfloat16"), ("--device", "gpu")):
        ended = commands.run(cli.main, "score", clip, option, value)
        assert ended.code == command_line.EXIT_USAGE
        assert "needs a trained run: --run FOLDER --engine keras." in ended.err
    ended = commands.run(cli.main, "score", clip, "--engine", "keras")
    assert ended.code == command_line.EXIT_NO_MODEL
    assert "is an export, which has no Keras files" in ended.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["out", "--align"], "name a test of the run as validation"),
        (["--align", "--validation", "."], "name another folder than that inside the run"),
        (["."], "exists and is not an export"),
        (["out", "--head", "niqe"], "has the heads lstm, svr, mean, not 'niqe'"),
        (["out", "--validation", "."], "is not a test of"),
        (["out", "--teacher", "none.h5"], "none.h5 is missing"),
        (["out", "--validation", "test", "--fusion", "none.h5"], "none.h5 is missing"),
        (["out", "--check", "none.mp4"], "No video file at none.mp4."),
    ],
)
def test_wrong_options_of_an_export_are_refused_before_anything_is_loaded(run, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "start", None)
    write_test(run, tmp_path / "test", mos=lambda score: score)
    ended = commands.run(cli.main, "export", run, *options)
    assert (ended.code, ended.err.count("\n")) == (command_line.EXIT_USAGE, 1)
    assert message in ended.err


def test_a_folder_without_a_usable_model_is_not_exported(run, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "start", None)
    damaged = RunFolder(shutil.copytree(run, tmp_path / "damaged"))
    damaged.cnn3d.write_bytes(b"damaged")
    for folder, message in ((tmp_path, "No model in"), (exported["folder"], "is an export"), (damaged, "cnn3d.keras")):
        ended = commands.run(cli.main, "export", folder, tmp_path / "out")
        assert (ended.code, ended.err.count("\n")) == (command_line.EXIT_NO_MODEL, 1)
        assert message in ended.err


def test_an_export_that_differs_ends_with_exit_code_1(run, tmp_path, monkeypatch):
    monkeypatch.setattr(export_check, "MAX_DIFFERENCE", 0.0)
    assert "An export may differ from its run by 0.0" in commands.fail(cli.main, "export", run, tmp_path / "out")


def test_a_missing_package_is_named_in_one_line():
    def main(argv):
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    assert commands.fail(main) == (
        "error: This command needs the package scipy. Install it in a checkout: pip install '.[train]'.\n"
    )


def test_a_run_without_keras_is_refused(tiny_run, monkeypatch):
    source = model_source.find(tiny_run, "lstm")
    monkeypatch.setattr(model_source.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs Keras, which is not installed. Name an export of it"):
        source.load(precision=None, device="auto")
