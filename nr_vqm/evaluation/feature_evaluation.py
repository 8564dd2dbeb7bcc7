"""Evaluate features of any method: random splits, an SVR on each, agreement of its scores with the MOS of test videos.

scikit-learn and joblib are imported inside functions because they slow the start of a command.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nr_vqm.dataset import mos_scale
from nr_vqm.evaluation import checks, metrics, mos_mapping
from nr_vqm.models import svr_head

TEST_FRACTION = 0.2  # the field's 80/20 splits
MIN_VIDEOS = 15  # a test part of 20 % then has 3 videos
FIGURES = (*metrics.RAW, *metrics.MAPPED, *metrics.TRAIN_MAPPED)
Setting = tuple[float, float]  # C and gamma of an SVR

# The protocol of BVQA_Benchmark's published code. It does not seed its random search, which ours does.
BVQA_REPEATS = 99  # its loop over 100 splits starts at 1 and ends before 100
BVQA_FOLDS = 3
BVQA_DRAWS = 10  # settings of the grid that are tried
# The protocol of VIDEVAL's published code, decision 0007: grid, epsilon and seeds. The other one has the same grid.
VIDEVAL_REPEATS = 100
VIDEVAL_C = tuple(2.0**power for power in range(1, 11))
VIDEVAL_GAMMA = tuple(2.0**power for power in range(-8, 2))
VIDEVAL_EPSILON = 0.1
# Decision 0007: most of the time of the full grid is spent on large C, far from the best setting. So settings are first
# fitted with a large tolerance, for each gamma with rising C until the error grows clearly; then those near the best
# are fitted with SVR's usual tolerance.
ROUGH_TOLERANCE = 0.03
ROUGH_MARGIN = 0.006
STOP_MARGIN = 0.016  # above the best error so far, in standard deviations of the MOS, after two rises in a row


def evaluate(
    features: np.ndarray,
    mos: np.ndarray,
    *,
    contents: Sequence[object],
    repeats: int,
    seed: int,
    svr_search: Mapping[str, Any],
    num_jobs: int,
    protocol: str = "default",
    progress: Callable[[int], None] | None = None,
) -> list[metrics.Agreement]:
    """Evaluate features on random 80/20 splits.

    Args:
        features: shape (num_videos, feature_dim), without infinity; NaN stands for a missing feature, see `clean`.
        mos: float64, shape (num_videos,), in any unit.
        contents: content of each video; no content is on both sides of a split. The published protocols split by video.
        repeats: number of splits.
        seed: seed of the default protocol's splits; the published protocols have their own.
        svr_search: arguments of `svr_head.search_settings` for the default protocol; the others have their own grid.
        num_jobs: number of processes, each with one thread.
        protocol: a key of `PUBLISHED_REPEATS`, or 'default'.
        progress: called with the number of completed repeats.

    Returns:
        The agreement on the test part of each repeat; it does not depend on `num_jobs`.

    Raises:
        ValueError: too few videos or contents, all MOS the same, or the MOS among the features.
    """
    import joblib

    _check(features, mos)
    if protocol in PUBLISHED_REPEATS:
        repeat, _ = PUBLISHED_REPEATS[protocol]
        calls = [joblib.delayed(repeat)(features, mos, number=i) for i in range(1, repeats + 1)]
    else:
        calls = [
            joblib.delayed(content_repeat)(
                features, mos, contents=np.asarray(contents), seed=seed + i, svr_search=svr_search
            )
            for i in range(repeats)
        ]
    agreements = []
    with joblib.parallel_config("loky", n_jobs=num_jobs, inner_max_num_threads=1):
        for done, agreement in enumerate(joblib.Parallel(return_as="generator")(calls), start=1):
            agreements.append(agreement)
            if progress:
                progress(done)
    return agreements


def clean(features: np.ndarray, protocol: str) -> tuple[np.ndarray, int]:
    """Replace infinite and missing features as a protocol does.

    Args:
        features: float64, shape (num_videos, feature_dim).
        protocol: 'videval' sets them to 0. 'bvqa' sets them to the mean of the column over all videos, as its published
            code does. 'default' marks them with NaN: the SVR replaces them by the mean of the training videos.

    Returns:
        The new features and the number of replaced values.
    """
    bad = ~np.isfinite(features)
    if protocol == "videval":
        return np.where(bad, 0.0, features), int(bad.sum())
    if protocol == "bvqa":
        known = np.where(bad, 0.0, features)
        return np.where(bad, known.sum(axis=0) / np.maximum(1, (~bad).sum(axis=0)), features), int(bad.sum())
    return np.where(bad, np.nan, features), int(bad.sum())


def content_repeat(
    features: np.ndarray, mos: np.ndarray, *, contents: np.ndarray, seed: int, svr_search: Mapping[str, Any]
) -> metrics.Agreement:
    """Evaluate features on one 80/20 split that keeps contents apart, with `svr_head.fit_svr`.

    The SVR learns on the 1-5 scale, whose ends are the lowest and highest MOS of the training part. Arguments as in
    `evaluate`.
    """
    from sklearn.model_selection import GroupShuffleSplit

    splitter = GroupShuffleSplit(1, test_size=TEST_FRACTION, random_state=seed)
    train, test = next(splitter.split(features, groups=contents))
    low, high = mos[train].min(), mos[train].max()
    svr = svr_head.fit_svr(
        features[train],
        mos_scale.to_unit_5(mos[train], low, high),
        contents=contents[train],
        seed=seed,
        num_jobs=1,
        fill=bool(np.isnan(features).any()),
        **svr_search,
    )
    return _agreement(lambda part: mos_scale.from_unit_5(svr.predict(part), low, high), features, mos, train, test)


def videval_repeat(features: np.ndarray, mos: np.ndarray, *, number: int) -> metrics.Agreement:
    """Evaluate features on one 80/20 split with VIDEVAL's published protocol.

    It splits by video. C and gamma are chosen by the RMSE on 20 % of the training part, after a logistic fitted on
    these videos; then the SVR is fitted again on the whole training part.

    Args:
        features: shape (num_videos, feature_dim), NaN and infinity set to 0.
        mos: shape (num_videos,).
        number: number of the repeat, from 1, which determines the seeds.

    Source: VIDEVAL's published code; the shortened search is ours, decision 0007.
    """
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(mos))
    train, test = train_test_split(rows, test_size=TEST_FRACTION, random_state=math.ceil(8.8 * number))
    inner, held_out = train_test_split(train, test_size=TEST_FRACTION, random_state=math.ceil(6.6 * number))
    part = (features[inner], mos[inner], features[held_out], mos[held_out])
    rough = _rough_errors(*part)
    close = [setting for setting in rough if rough[setting] <= min(rough.values()) + ROUGH_MARGIN]
    errors = dict(_iter_errors(*part, settings=close, tolerance=svr_head.TOLERANCE))
    svr = _svr(min(errors, key=lambda setting: errors[setting]), svr_head.TOLERANCE).fit(features[train], mos[train])
    return _agreement(svr.predict, features, mos, train, test)


def bvqa_repeat(features: np.ndarray, mos: np.ndarray, *, number: int) -> metrics.Agreement:
    """Evaluate features on one 80/20 split with the protocol of BVQA_Benchmark.

    It splits by video. C and gamma are the best of 10 settings drawn from the grid, by cross-validation in 3 folds of
    the training part; then the SVR is fitted again on the whole training part.

    Args:
        features: shape (num_videos, feature_dim), finite.
        mos: shape (num_videos,).
        number: number of the repeat, from 1, which determines the seeds.

    Source: BVQA_Benchmark's published code; the seed of the draws is ours.
    """
    from sklearn.model_selection import RandomizedSearchCV, train_test_split

    train, test = train_test_split(np.arange(len(mos)), test_size=TEST_FRACTION, random_state=math.ceil(8.8 * number))
    pipeline = _svr((1.0, 1.0), svr_head.TOLERANCE)
    search = RandomizedSearchCV(
        pipeline.named_steps["svr"],
        {"C": VIDEVAL_C, "gamma": VIDEVAL_GAMMA},
        n_iter=BVQA_DRAWS,
        cv=BVQA_FOLDS,
        random_state=number,
    )
    # As published, the scaling sees the held-out videos of the folds, but no test video.
    search.fit(pipeline.named_steps["scale"].fit_transform(features[train]), mos[train])
    best = (search.best_params_["C"], search.best_params_["gamma"])
    svr = _svr(best, svr_head.TOLERANCE).fit(features[train], mos[train])
    return _agreement(svr.predict, features, mos, train, test)


# The published protocols: the function of one repeat, and their number of repeats.
PUBLISHED_REPEATS: dict[str, tuple[Callable[..., metrics.Agreement], int]] = {
    "videval": (videval_repeat, VIDEVAL_REPEATS),
    "bvqa": (bvqa_repeat, BVQA_REPEATS),
}


def summary(agreements: Sequence[metrics.Agreement]) -> dict[str, float | None]:
    """Return {figure: median, figure_std: standard deviation} over repeats, None where no repeat has the figure."""
    result: dict[str, float | None] = {"repeats": len(agreements)}
    for name in FIGURES:
        values = [value for value in (getattr(one, name) for one in agreements) if value is not None]
        result[name] = float(np.median(values)) if values else None
        result[f"{name}_std"] = float(np.std(values)) if values else None
    return result


def per_repeat(agreements: Sequence[metrics.Agreement]) -> dict[str, list[float | None]]:
    """Return {figure: its value in each repeat}."""
    return {name: [getattr(one, name) for one in agreements] for name in FIGURES}


def _agreement(
    predict: Callable[[np.ndarray], np.ndarray],
    features: np.ndarray,
    mos: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> metrics.Agreement:
    """Return the agreement on the test part; the curve of the `*_mapped_train` figures is fitted on the train part."""
    try:
        curve = mos_mapping.fit_mapping(mos=mos[train], scores=predict(features[train]))
    except ValueError:  # all scores are the same
        curve = None
    return metrics.agreement(mos=mos[test], scores=predict(features[test]), train_mapping=curve)


def _rough_errors(
    features: np.ndarray, mos: np.ndarray, held_out: np.ndarray, held_out_mos: np.ndarray
) -> dict[Setting, float]:
    """Return {(C, gamma): error} for each gamma and rising C, until the error grows clearly."""
    part, found = (features, mos, held_out, held_out_mos), dict[Setting, float]()
    for gamma in VIDEVAL_GAMMA:
        settings = [(c, gamma) for c in VIDEVAL_C]
        rises, last = 0, np.inf
        for setting, error in _iter_errors(*part, settings=settings, tolerance=ROUGH_TOLERANCE):
            found[setting] = error
            rises = rises + 1 if error > last else 0
            last = error
            if rises >= 2 and error > min(found.values()) + STOP_MARGIN * mos.std():
                break
    return found


def _iter_errors(
    features: np.ndarray,
    mos: np.ndarray,
    held_out: np.ndarray,
    held_out_mos: np.ndarray,
    *,
    settings: Sequence[Setting],
    tolerance: float,
) -> Iterator[tuple[Setting, float]]:
    """Yield each setting with its RMSE on the held-out videos, after a logistic."""
    for setting in settings:
        scores = _svr(setting, tolerance).fit(features, mos).predict(held_out)
        yield setting, _mapped_rmse(held_out_mos, scores)


def _svr(setting: Setting, tolerance: float) -> Any:
    c, gamma = setting
    return svr_head.new_pipeline(c=c, gamma=gamma, epsilon=VIDEVAL_EPSILON, tolerance=tolerance)


def _mapped_rmse(mos: np.ndarray, scores: np.ndarray) -> float:
    try:
        return metrics.rmse(mos, mos_mapping.fit_mapping(mos=mos, scores=scores)(scores))
    except ValueError:  # all scores are the same
        return metrics.rmse(mos, scores)


def _check(features: np.ndarray, mos: np.ndarray) -> None:
    if len(mos) < MIN_VIDEOS or len(features) != len(mos):
        raise ValueError(
            f"Evaluating features needs at least {MIN_VIDEOS} videos, each with a MOS. "
            f"Received: features {features.shape}, mos {mos.shape}."
        )
    if checks.is_constant(mos):
        raise ValueError(f"Videos with different MOS are needed, all {len(mos)} are {mos[0]}. Check the MOS column.")
    for column in range(features.shape[1]):
        if np.array_equal(features[:, column], mos):
            raise ValueError(f"Features without the MOS are needed, column {column} is the MOS. Remove it.")
