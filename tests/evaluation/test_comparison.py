"""Comparison of heads: medians, intervals, paired tests and tables, on synthetic scores."""

import csv
import io
import json
import tracemalloc

import numpy as np
import pytest

from nr_vqm.evaluation import bootstrap, comparison, comparison_tables, metrics, mos_mapping

pytestmark = pytest.mark.usefixtures("few_draws")


def synthetic_rows(noise, num_videos=60, per_content=3, repeats=(0,), seed=1):
    """Rows of heads whose scores are the MOS with noise of different standard deviations."""
    rng = np.random.default_rng(seed)
    rows = []
    for repeat in repeats:
        for video in range(num_videos):
            mos = float(rng.uniform(1, 5))
            for head, std in noise.items():
                score = mos + float(rng.normal(0, std))
                content = f"scene {video // per_content}"
                row = {"repeat": repeat, "head": head, "video_id": f"v{video}", "content": content}
                rows.append(row | {"mos": mos, "score": score})
    return rows


@pytest.fixture(scope="module")
def compared(few_draws):
    rows = synthetic_rows({"mean": 1.5, "svr": 0.9, "lstm": 0.3, "other": 0.9}, repeats=(4, 7))
    return rows, with_origin(comparison.compare(rows, num_resamples=1000, seed=9))


def with_origin(metrics, labels="people", trained_labels="people"):
    """Add the values that `results.write` adds."""
    values = {"fitted_on": "train", "num_features": 1024, "seconds_per_video": None}
    described = {name: dict.fromkeys(metrics["heads"], value) for name, value in values.items()}
    return metrics | {"labels": labels, "trained_labels": trained_labels} | described


def test_figures_of_a_draw_equal_the_agreement_of_the_repeated_videos():
    rng = np.random.default_rng(0)
    mos = np.round(rng.uniform(1, 5, 37))  # with ties
    scores = np.round(mos + rng.normal(0, 1, 37), 1)
    ci95 = rng.uniform(0.1, 1, 37)
    contents = np.arange(37) // 3
    draws = bootstrap.draw(13, num_resamples=11, seed=4)
    mapping, train_mapping = mos_mapping.fit_mapping(mos=mos, scores=scores), mos_mapping.Mapping("line", (0.5, 1.0))
    curves = {"mapping": mapping, "train_mapping": train_mapping}
    drawn = bootstrap.figures(mos=mos, scores=scores, contents=contents, draws=draws, mos_ci95=ci95, **curves)
    for row, counts in enumerate(draws):
        rows = [video for video in range(37) for _ in range(counts[contents[video]])]
        plain = metrics.agreement(mos=mos[rows], scores=scores[rows], train_mapping=train_mapping, mos_ci95=ci95[rows])
        for name, values in drawn.items():
            if name != "outlier_ratio_mapped":  # it changes abruptly where the curve crosses the end of an interval
                allowed = 5e-3 if name in metrics.MAPPED else 1e-9
                assert values[row] == pytest.approx(getattr(plain, name), abs=allowed), name


def test_draws_are_of_whole_contents():
    draws = bootstrap.draw(13, num_resamples=90, seed=4)
    assert draws.shape == (90, 13)
    assert (draws.sum(axis=1) == 13).all()
    np.testing.assert_array_equal(draws, bootstrap.draw(13, num_resamples=90, seed=4))


def test_the_memory_of_a_comparison_does_not_grow_with_the_square_of_the_videos():
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 5000)
    options = {"contents": np.arange(5000), "draws": bootstrap.draw(5000, num_resamples=2, seed=1), "mapping": None}
    tracemalloc.start()
    bootstrap.figures(mos=mos, scores=mos + rng.normal(0, 1, 5000), **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5000**2  # one byte per pair of videos


def test_medians_are_over_repeats(compared):
    rows, found = compared
    assert found["num_repeats"] == 2
    for head, summary in found["heads"].items():
        for repeat, got in zip((4, 7), summary["srocc"]["per_repeat"], strict=True):
            part = [row for row in rows if row["head"] == head and row["repeat"] == repeat]
            plain = metrics.agreement(mos=[row["mos"] for row in part], scores=[row["score"] for row in part])
            assert got == pytest.approx(plain.srocc)
        assert summary["srocc"]["median"] == pytest.approx(np.mean(summary["srocc"]["per_repeat"]))


def test_intervals_hold_the_median_and_the_best_head_is_significantly_better(compared):
    _, found = compared
    for summary in found["heads"].values():
        for name in (*metrics.RAW, *metrics.MAPPED):
            assert summary[name]["low"] < summary[name]["high"]
        assert summary["srocc"]["low"] < summary["srocc"]["median"] < summary["srocc"]["high"]
    first = found["tests"][0]
    assert (first["first"], first["second"]) == ("lstm", "svr")
    assert first["srocc"]["difference"] > 0
    assert first["srocc"]["p"] < 0.02
    assert first["rmse"]["difference"] < 0
    assert first["rmse"]["high"] < 0


def test_order_of_heads_and_pairs(compared):
    _, found = compared
    assert list(found["heads"]) == ["lstm", "svr", "mean", "other"]
    assert len(found["tests"]) == 6


def test_the_same_rows_give_the_same_result_in_any_order():
    rows = synthetic_rows({"lstm": 0.3}, num_videos=30)
    found = comparison.compare(rows, num_resamples=1000, seed=9)
    assert comparison.compare(rows[::-1], num_resamples=1000, seed=9) == found


def test_a_head_does_not_differ_from_itself():
    rows = synthetic_rows({"lstm": 0.5})
    rows += [row | {"head": "svr"} for row in rows]
    test = comparison.compare(rows, num_resamples=1000, seed=1)["tests"][0]
    assert test["srocc"] == {"difference": 0, "low": 0, "high": 0, "p": 1}


def test_few_contents_give_medians_without_intervals():
    found = comparison.compare(synthetic_rows({"lstm": 0.2, "svr": 0.4}, num_videos=12), num_resamples=1000, seed=1)
    assert found["heads"]["lstm"]["srocc"]["median"] is not None
    assert found["heads"]["lstm"]["srocc"]["low"] is None
    assert found["tests"][0]["plcc"]["p"] is None
    assert "at least 5 test contents, found 4" in found["notes"][0]
    json.dumps(found, allow_nan=False)
    found = with_origin(found)
    comparison_tables.to_text(found), comparison_tables.to_csv(found), comparison_tables.to_latex(found)


def test_a_head_with_constant_scores_has_no_correlation_but_other_figures():
    rows = [row | ({"score": 3.0} if row["head"] == "svr" else {}) for row in synthetic_rows({"lstm": 0.2, "svr": 1})]
    found = comparison.compare(rows, num_resamples=1000, seed=1)
    assert found["heads"]["svr"]["srocc"] == {
        "median": None, "low": None, "high": None, "std": None, "per_repeat": [None],
    }  # fmt: skip
    assert found["heads"]["svr"]["rmse"]["low"] is not None
    assert found["tests"][0]["srocc"] is None
    assert found["tests"][0]["rmse"]["p"] < 0.02
    assert "no correlation" in found["heads"]["svr"]["notes"][0]
    json.dumps(found, allow_nan=False)


def test_scores_written_and_read_are_the_same(tmp_path):
    rows = synthetic_rows({"lstm": 0.2, "svr": 1})
    rows[0]["video_id"] = 'a,"b"\n<script>'
    comparison.write_scores(tmp_path / "scores.csv", rows)
    assert comparison.read_scores(tmp_path / "scores.csv") == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("repeat,head,video_id,content,mos\n0,lstm,v,c,3\n", "line 2 has no 'score'"),
        ("repeat,head,video_id,content,mos,score\n0,lstm,v,c,3,high\n", "line 2: score must be float, found 'high'"),
        ("repeat,head,video_id,content,mos,score\n0,lstm,v,c,nan,3\n", "line 2: mos must be a finite number"),
        ("repeat,head,video_id,content,mos,score\n", "Scores of test videos are needed"),
        ("repeat,head,video_id,content,mos,score\n0,lstm,\xff", r"scores\.csv is not a table of scores .*utf-8"),
        ("repeat,head\n0," + "x" * 200_000, r"scores\.csv is not a table of scores .*field limit"),
    ],
)
def test_broken_score_files_are_refused(tmp_path, text, message):
    (tmp_path / "scores.csv").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=message):
        comparison.read_scores(tmp_path / "scores.csv")


def test_missing_scores_name_the_make_target(tmp_path):
    with pytest.raises(FileNotFoundError, match="make compare"):
        comparison.read_scores(tmp_path / "scores.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "All heads must score the same videos, 'v59' of repeat 0"),
        (lambda rows: [*rows, rows[-1]], "video 'v59' of head 'svr' in repeat 0 occurs twice"),
        (lambda rows: [*rows[:-1], rows[-1] | {"mos": 1.0}], "One MOS and content per video is needed, video 'v59'"),
        (lambda rows: rows[:4], "in repeat 0: Agreement needs at least 3 videos, found 2"),
    ],
)
def test_heads_that_cannot_be_compared_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        comparison.compare(change(synthetic_rows({"lstm": 0.2, "svr": 1})), num_resamples=1000, seed=1)


def test_too_few_resamples_are_refused():
    with pytest.raises(ValueError, match="At least 1000 resamples"):
        comparison.compare(synthetic_rows({"lstm": 1}), num_resamples=99, seed=1)


def test_tables(compared):
    _, found = compared
    assert (
        comparison_tables.to_csv(found).splitlines()[0]
        == "head,figure,median,low,high,std,num_features,seconds_per_video,labels,trained_labels,fitted_on"
    )
    assert len(comparison_tables.to_csv(found).splitlines()) == 1 + 4 * 6
    assert r"3D-CNN + LSTM & 0." in comparison_tables.to_latex(found)
    assert r"plcc\_mapped" in comparison_tables.to_latex(found)
    assert "outlier" not in comparison_tables.to_latex(found)
    assert "SROCC of 3D-CNN + LSTM minus that of 3D-CNN + SVR: +0." in comparison_tables.to_text(found)
    assert "over repeats" in comparison_tables.to_text(found)
    facts = {"database": "konvid1k", "preset": "small", "commit": "abc123", "hardware": "2 cores | CPU", "hours": 0.25}
    lines = comparison_tables.to_results(found, **facts).splitlines()
    assert lines[2].startswith(
        "| 3D-CNN + LSTM | 1,024 | - | train | konvid1k | people's opinions (MOS) | small | abc123 | "
    )
    assert "| 2 cores / CPU | 0.25 | 2 | 0." in lines[2]
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize(
    ("labels", "trained_labels", "words"),
    [
        ("people", "people", "people's opinions (MOS)"),
        ("pseudo", "pseudo", "pseudo-labels"),
        ("synthetic", "synthetic", "simulated raters"),
        ("people", "synthetic", "people's opinions (MOS), trained on simulated raters"),
        ("synthetic", "people", "simulated raters, trained on people's opinions (MOS)"),
    ],
)
def test_every_table_states_the_origin_of_the_labels(compared, labels, trained_labels, words):
    found = with_origin(compared[1], labels, trained_labels)
    facts = {"database": "d", "preset": "p", "commit": "c", "hardware": "h", "hours": 1.0}
    assert f"Labels: {words}\n" in comparison_tables.to_text(found)
    assert f"{{Labels: {words}}}" in comparison_tables.to_latex(found)
    assert f"| {words} |" in comparison_tables.to_results(found, **facts).splitlines()[2]
    assert comparison_tables.of_variants({"grid": found}).splitlines()[-1] == f"Labels: {words}"
    rows = list(csv.DictReader(io.StringIO(comparison_tables.to_csv(found))))
    assert {(row["labels"], row["trained_labels"]) for row in rows} == {(labels, trained_labels)}


def test_every_table_states_features_seconds_and_videos_of_the_fit(compared):
    found = with_origin(compared[1])
    for name, value in {"fitted_on": "train+val", "num_features": 20000, "seconds_per_video": 4.567}.items():
        found[name] = found[name] | {"svr": value}
    facts = {"database": "d", "preset": "p", "commit": "c", "hardware": "h", "hours": 1.0}
    text = comparison_tables.to_text(found).splitlines()
    assert [line.split() for line in text if line.endswith("train+val")] == [
        ["3D-CNN", "+", "SVR", "20,000", "4.57", "train+val"]
    ]
    assert r" & features & seconds a video & fitted on \\" in comparison_tables.to_latex(found)
    assert r" & 20,000 & 4.57 & train+val \\" in comparison_tables.to_latex(found)
    assert (
        comparison_tables.to_results(found, **facts)
        .splitlines()[3]
        .startswith("| 3D-CNN + SVR | 20,000 | 4.57 | train+val |")
    )
    rows = [row for row in csv.DictReader(io.StringIO(comparison_tables.to_csv(found))) if row["head"] == "svr"]
    assert {(row["num_features"], row["seconds_per_video"], row["fitted_on"]) for row in rows} == {
        ("20000", "4.567", "train+val")
    }


def test_the_standard_deviation_is_over_repeats(compared):
    _, found = compared
    srocc = found["heads"]["lstm"]["srocc"]
    assert srocc["std"] == pytest.approx(abs(np.diff(srocc["per_repeat"])[0]) / 2)
    alone = comparison.compare(synthetic_rows({"lstm": 0.5}), num_resamples=1000, seed=1)
    assert alone["heads"]["lstm"]["srocc"]["std"] is None


def test_a_curve_of_training_scores_gives_figures_of_its_own():
    rows, train = synthetic_rows({"lstm": 0.3, "svr": 0.3}), synthetic_rows({"lstm": 0.3, "svr": 0.3}, seed=2)
    for row in (*rows, *train):
        row["score"] = 3 * row["score"] + 10  # another unit than the MOS, which the curve corrects
    found = comparison.compare(rows, train_rows=train, num_resamples=1000, seed=1)["heads"]["lstm"]
    assert found["rmse"]["median"] > 5
    assert found["rmse_mapped"]["median"] <= found["rmse_mapped_train"]["median"] < 0.4
    low, high = (found["rmse_mapped_train"][side] for side in ("low", "high"))
    assert low < found["rmse_mapped_train"]["median"] < high
    curve = mos_mapping.fit_mapping(**_pair(train))
    plain = metrics.agreement(**_pair(rows), train_mapping=curve)
    assert found["plcc_mapped_train"]["median"] == pytest.approx(plain.plcc_mapped_train)
    without = comparison.compare(rows, num_resamples=1000, seed=1)["heads"]["lstm"]
    assert without["rmse_mapped_train"]["median"] is None


def test_outlier_ratios_where_the_mos_have_intervals():
    rows = synthetic_rows({"lstm": 0.1, "svr": 1.5})
    widths = {row["video_id"]: 0.4 for row in rows}
    found = comparison.compare(rows, mos_ci95=widths, num_resamples=1000, seed=1)
    lstm, svr = (found["heads"][head]["outlier_ratio"] for head in ("lstm", "svr"))
    outside = [abs(row["score"] - row["mos"]) > 0.4 for row in rows if row["head"] == "svr"]
    assert svr["median"] == pytest.approx(np.mean(outside))
    assert lstm["median"] <= lstm["high"] < svr["low"] < svr["median"] < svr["high"]
    assert found["heads"]["svr"]["outlier_ratio_mapped"]["low"] is not None
    assert r"outlier\_ratio\_mapped" in comparison_tables.to_latex(with_origin(found))
    del widths["v3"]
    without = comparison.compare(rows, mos_ci95=widths, num_resamples=1000, seed=1)
    assert without["heads"]["svr"]["outlier_ratio"]["median"] is None
    assert "outlier_ratio" not in without["figures"]


def _pair(rows):
    own = [row for row in rows if row["head"] == "lstm"]
    return {"mos": [row["mos"] for row in own], "scores": [row["score"] for row in own]}


def test_latex_escapes_head_names():
    found = comparison.compare(synthetic_rows({"a_b&50%": 0.5}), num_resamples=1000, seed=1)
    assert r"a\_b\&50\%" in comparison_tables.to_latex(with_origin(found))
