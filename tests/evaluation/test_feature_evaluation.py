"""Evaluation of feature files: published formats, clear errors, splits that keep contents apart."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from sklearn import model_selection

from experiments import evaluate_features
from nr_vqm import command_line, presets
from nr_vqm.common import atomic_files
from nr_vqm.dataset import label_tables, manifest
from nr_vqm.evaluation import feature_evaluation
from nr_vqm.runs import rival_features
from nr_vqm.runs.run_folder import RunFolder

DATA = Path(os.environ.get("NR_VQM_DATA") or "none")
needs_data = pytest.mark.skipif(not (DATA / "features").is_dir(), reason="NR_VQM_DATA names no folder with features/")
SEARCH = presets.PRESETS["tiny"].svr_search
SCENE_REGEX = r"^(\d{4})_?([A-Za-z0-9]+?)_"


def synthetic_features(num_videos=40, feature_dim=5, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.random((num_videos, feature_dim))
    return features, 20 + 60 * features[:, 1]


def labels_csv(path, mos, *, header="file_name,MOS,scene"):
    rows = [f"0{n % 9}12_scene{n // 4}_phone{n}.yuv,{value},s{n // 4}" for n, value in enumerate(mos)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def call(*arguments):
    """Return the exit code of the command, run in this process with one job."""
    with pytest.raises(SystemExit) as ended:
        command_line.run(evaluate_features.main, [str(argument) for argument in (*arguments, "--jobs", 1)])
    return ended.value.code


@pytest.mark.parametrize("file_format", ["mat", "npy", "csv", "mat73"])
def test_features_are_read_from_every_format(tmp_path, file_format):
    features, _ = synthetic_features(11, 3)
    path = tmp_path / f"features.{file_format.removesuffix('73')}"
    if file_format == "mat":
        scipy.io.savemat(path, {"anything": features, "note": "text", "other": np.zeros((2, 3))})
    elif file_format == "mat73":
        with h5py.File(path, "w") as file:  # after the 512 bytes of MATLAB's header
            file["anything"] = features.T
        path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384) + path.read_bytes())
    elif file_format == "npy":
        np.save(path, features)
    else:
        lines = [",".join(["video_name", "f1", "f2", "f3", "mos"])]
        lines += [",".join([f"v{n}", *map(repr, row.tolist()), "3"]) for n, row in enumerate(features)]
        path.write_text("\n".join(lines))
    np.testing.assert_array_equal(label_tables.read_features(path, num_videos=11), features)


def test_a_column_that_occurs_twice_is_refused(tmp_path):
    (tmp_path / "features.csv").write_text("a,b,a\n0,0.5,0.25\n1,0.75,0.125\n")
    with pytest.raises(ValueError, match="found the column 'a' twice"):
        label_tables.read_features(tmp_path / "features.csv", num_videos=2)


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index"])
def test_row_numbers_are_not_features(tmp_path, name):
    (tmp_path / "features.csv").write_text(f"{name},f1,f2\n0,0.5,0.25\n1,0.75,0.125\n")
    np.testing.assert_array_equal(label_tables.read_features(tmp_path / "features.csv"), [[0.5, 0.25], [0.75, 0.125]])


def test_several_matrices_need_a_name(tmp_path):
    path = tmp_path / "features.mat"
    scipy.io.savemat(path, {"one": np.ones((6, 3)), "two": np.zeros((6, 2))})
    with pytest.raises(ValueError, match=r"One feature matrix of 6 rows .* one \(6, 3\), two \(6, 2\).*--features-key"):
        label_tables.read_features(path, num_videos=6)
    assert label_tables.read_features(path, key="two", num_videos=6).shape == (6, 2)
    with pytest.raises(ValueError, match="named 'three' is needed"):
        label_tables.read_features(path, key="three", num_videos=6)
    with pytest.raises(ValueError, match="of 7 rows"):
        label_tables.read_features(path, key="two", num_videos=7)


def test_objects_in_npy_are_never_unpickled(tmp_path):
    np.save(tmp_path / "features.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read as .npy"):
        label_tables.read_features(tmp_path / "features.npy")


def test_labels_from_structures_and_cells(tmp_path):
    names = np.array([["0911_Kite_GS6_1.yuv"], ["0911Kite_HTC_2.yuv"], ["0912_kite_GS6_3.yuv"]], dtype=object)
    path = tmp_path / "labels.mat"
    data = {"videoData": {"vidNames": names, "phone": np.ones((3, 1))}}
    scipy.io.savemat(path, data | {"subjective": {"unBiasedMOS": np.array([[50.5], [16.6], [73.6]])}})
    labels = label_tables.read_labels(path, content_regex=SCENE_REGEX)
    np.testing.assert_array_equal(labels.mos, [50.5, 16.6, 73.6])
    assert labels.names[1] == "0911Kite_HTC_2.yuv"
    assert labels.contents == ("0911kite", "0911kite", "0912kite")


def test_labels_from_csv(tmp_path):
    path = labels_csv(tmp_path / "labels.csv", [1.5, 2.5, 3.5, 4.5, 5.5])
    assert label_tables.read_labels(path).contents == label_tables.read_labels(path).names
    assert label_tables.read_labels(path, content_column="scene").contents == ("s0",) * 4 + ("s1",)
    renamed = labels_csv(tmp_path / "renamed.csv", [1.5, 2.5], header="vid,quality,scene")
    with pytest.raises(ValueError, match="A column of MOS is needed, .* vid, quality, scene.*--mos-column"):
        label_tables.read_labels(renamed)
    np.testing.assert_array_equal(label_tables.read_labels(renamed, mos_column="Quality").mos, [1.5, 2.5])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mos_column": "file_name"}, "Every MOS must be a finite number"),
        ({"content_column": "city"}, "A column 'city' is needed"),
        ({"content_regex": r"^(\d{9})"}, "The content regex must match every video name"),
        ({"content_regex": r"^\d"}, "have a group"),
    ],
)
def test_wrong_label_options_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        label_tables.read_labels(labels_csv(tmp_path / "labels.csv", [1.5, 2.5]), **options)


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("videval", [[1, 0, 0], [0, 4, 0]]),
        ("bvqa", [[1, 4, 0], [1, 4, 0]]),
        ("default", [[1, np.nan, np.nan], [np.nan, 4, np.nan]]),
    ],
)
def test_clean_replaces_values_as_the_protocol_does(protocol, expected):
    features = np.array([[1, np.nan, np.inf], [-np.inf, 4, np.nan]])
    cleaned, count = feature_evaluation.clean(features, protocol)
    np.testing.assert_array_equal(cleaned, expected)
    assert count == 4


def test_missing_features_are_filled_by_the_training_videos_of_the_split():
    features, mos = synthetic_features()
    features[::3, 4] = np.nan
    options = {"contents": np.arange(40), "seed": 3, "svr_search": SEARCH}
    assert feature_evaluation.content_repeat(features, mos, **options).srocc > 0.8


def test_the_benchmark_protocol_draws_ten_settings_with_the_seed_of_the_repeat(monkeypatch):
    seen, real = [], model_selection.RandomizedSearchCV

    def spy(svr, grid, **options):
        seen.append((svr.epsilon, sorted(grid), options))
        return real(svr, grid, **options)

    monkeypatch.setattr(model_selection, "RandomizedSearchCV", spy)
    features, mos = synthetic_features(60)
    found = feature_evaluation.bvqa_repeat(features, mos / 20, number=4)
    assert seen == [(0.1, ["C", "gamma"], {"n_iter": 10, "cv": 3, "random_state": 4})]
    assert (found.num_videos, found.srocc > 0.9) == (12, True)
    assert feature_evaluation.bvqa_repeat(features, mos / 20, number=4) == found


@pytest.mark.slow
def test_features_of_a_run_are_matched_with_the_labels_of_the_manifest(tmp_path, capsys):
    features, mos = synthetic_features()
    listed = [manifest.Video(f"v{n}", f"v{n}.mp4", f"c{n // 4}", value, 0.0, 100.0) for n, value in enumerate(mos)]
    manifest.write(tmp_path / "manifest.csv", listed)
    RunFolder(tmp_path).write_preset(presets.PRESETS["tiny"])
    file = rival_features.RivalFile(tmp_path, "brisque", 1, 5)
    for video, row in zip(listed, features, strict=True):
        file.write_part(video, row if video.video_id != "v7" else None, reason="" if video.video_id != "v7" else "dark")
    file.join(listed[:30][::-1])  # another order than the manifest's, which also has more videos
    arguments = (file.path, "--labels", tmp_path / "manifest.csv", "--content-column", "content", "--repeats", 2)
    assert call(*arguments, "--json", tmp_path / "found.json") == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["num_videos"], found["num_contents"], found["num_replaced"]) == (30, 8, 5)
    assert found["srocc"] > 0.8
    assert "5 values were NaN or infinite and were replaced by the mean of the training" in capsys.readouterr().out
    manifest.write(tmp_path / "manifest.csv", listed[1:])
    assert call(*arguments) == 1
    assert "1 have none, for example 'v0'" in capsys.readouterr().err


def test_another_hdf5_file_is_refused(tmp_path, capsys):
    labels = labels_csv(tmp_path / "labels.csv", [1.5, 2.5])
    (tmp_path / "text.h5").write_text("no HDF5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["features"] = np.ones((2, 2))
    for name in ("none", "text", "other"):
        assert call(tmp_path / f"{name}.h5", "--labels", labels) == 1
        assert "make rivals" in capsys.readouterr().err


def test_the_command_writes_medians_and_standard_deviations(tmp_path, capsys):
    features, mos = synthetic_features()
    features[3, 4] = np.nan
    np.save(tmp_path / "features.npy", features)
    labels = labels_csv(tmp_path / "labels.csv", mos)
    arguments = (tmp_path / "features.npy", "--labels", labels, "--content-column", "scene", "--repeats", 2)
    assert call(*arguments, "--json", tmp_path / "found.json") == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["srocc"] > 0.9
    assert {"srocc_std", "krocc", "plcc_mapped", "rmse_mapped"} <= set(found)
    assert (found["num_contents"], found["split"], found["num_replaced"]) == (10, "content", 1)
    assert found["rmse"] < 15  # in the unit of the labels
    assert len(found["per_repeat"]["srocc"]) == 2
    assert "40 videos x 5 features, 10 contents" in capsys.readouterr().out


def test_contents_are_kept_apart(monkeypatch):
    features, mos = synthetic_features()
    contents = np.arange(40) // 4
    rows = {row.tobytes(): content for row, content in zip(features, contents, strict=True)}
    real = feature_evaluation.svr_head.fit_svr
    seen = []

    def spy(train, train_mos, **options):
        assert {rows[row.tobytes()] for row in train} == set(options["contents"])
        assert train_mos.min() == 1
        assert train_mos.max() == 5
        seen.append(len(set(options["contents"])))
        return real(train, train_mos, **options)

    monkeypatch.setattr(feature_evaluation.svr_head, "fit_svr", spy)
    got = feature_evaluation.content_repeat(features, mos, contents=contents, seed=3, svr_search=SEARCH)
    assert seen == [8]
    assert got.num_videos == 8


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_processes():
    features, mos = synthetic_features()
    options = {"contents": list(range(40)), "repeats": 3, "seed": 1, "svr_search": SEARCH}
    one = feature_evaluation.evaluate(features, mos, num_jobs=1, **options)
    assert one == feature_evaluation.evaluate(features, mos, num_jobs=2, **options)


@pytest.mark.slow
def test_the_shortened_search_of_videval_finds_the_setting_of_the_full_search(monkeypatch):
    rng = np.random.default_rng(0)
    features, mos = synthetic_features(150)
    mos = mos / 20 + rng.normal(0, 0.5, 150)  # noise that large C fits
    parts = features[:100], mos[:100], features[100:], mos[100:]
    short = feature_evaluation._rough_errors(*parts)
    chosen = feature_evaluation.videval_repeat(features, mos, number=1)
    monkeypatch.setattr(feature_evaluation, "STOP_MARGIN", 1e9)
    monkeypatch.setattr(feature_evaluation, "ROUGH_MARGIN", 1e9)
    whole = feature_evaluation._rough_errors(*parts)
    assert len(short) < len(whole) == 100
    assert min(short, key=short.get) == min(whole, key=whole.get)
    assert feature_evaluation.videval_repeat(features, mos, number=1) == chosen


def test_the_mos_among_the_features_is_refused(tmp_path, capsys):
    features, mos = synthetic_features()
    features[:, 3] = mos
    np.save(tmp_path / "features.npy", features)
    assert call(tmp_path / "features.npy", "--labels", labels_csv(tmp_path / "labels.csv", mos)) == 1
    assert "Features without the MOS are needed, column 3 is the MOS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("features", "mos", "message"),
    [
        (np.ones((9, 2)), np.arange(9.0), "at least 15 videos"),
        (np.ones((20, 2)), np.full(20, 3.0), "Videos with different MOS are needed"),
    ],
)
def test_data_that_cannot_be_evaluated_is_refused(features, mos, message):
    with pytest.raises(ValueError, match=message):
        feature_evaluation.evaluate(
            features, mos, contents=range(len(mos)), repeats=1, seed=1, svr_search=SEARCH, num_jobs=1
        )


@pytest.mark.parametrize("name", ["none.mat", "labels.txt", "broken.mat"])
def test_files_that_cannot_be_read_give_a_one_line_error(tmp_path, capsys, name):
    labels = labels_csv(tmp_path / "labels.csv", [1.5, 2.5])
    (tmp_path / "labels.txt").write_text("1 2 3")
    (tmp_path / "broken.mat").write_bytes(b"not MATLAB")
    assert call(tmp_path / name, "--labels", labels) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@needs_data
def test_live_qualcomm_rows_are_in_the_order_of_the_labels():
    labels = label_tables.read_labels(DATA / "labels/qualcommSubjectiveData.mat", content_regex=SCENE_REGEX)
    listed = label_tables.read_labels(DATA / "splits/LIVE-Qualcomminfo.mat")
    assert [Path(name).name for name in listed.names] == list(labels.names)
    np.testing.assert_allclose(listed.mos, labels.mos, atol=1e-6)
    assert (len(labels.mos), len(set(labels.contents))) == (208, 54)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "protocol", "srocc", "plcc"),
    [
        ("VIDEVAL", "videval", 0.7832, 0.7803),  # as published
        ("BRISQUE", "bvqa", 0.6614, 0.6672),  # published: 0.6567, 0.6576, with settings drawn without a seed
    ],
)
def test_published_figures(tmp_path, method, protocol, srocc, plcc):
    features = DATA / f"features/KONVID_1K_{method}_feats.mat"
    labels = DATA / "features/KONVID_1K_metadata.csv"
    with pytest.raises(SystemExit):
        command_line.run(
            evaluate_features.main,
            [str(features), "--labels", str(labels), "--protocol", protocol, "--json", str(tmp_path / "found.json")],
        )
    found = atomic_files.read_json(tmp_path / "found.json", made_by="the command")
    assert found["srocc"] == pytest.approx(srocc, abs=0.002)
    assert found["plcc_mapped"] == pytest.approx(plcc, abs=0.002)
