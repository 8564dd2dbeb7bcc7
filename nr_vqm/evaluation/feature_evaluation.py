"""Evaluate any features: random splits, an SVR on each, the agreement of its scores with the held-out MOS."""

import dataclasses
import math

import numpy as np

from nr_vqm.dataset import mos_scale
from nr_vqm.evaluation import metrics
from nr_vqm.models import svr_head

TEST_FRACTION = 0.2  # the field's 80/20 splits
MIN_VIDEOS = 15  # 3 test videos of 20 %
FIGURES = (*metrics.RAW, *metrics.MAPPED, *metrics.TRAIN_MAPPED)

# The protocol of VIDEVAL's published code, decision 0007: its grid, its epsilon, its seeds per repeat.
VIDEVAL_REPEATS = 100
VIDEVAL_C = tuple(2.0**power for power in range(1, 11))
VIDEVAL_GAMMA = tuple(2.0**power for power in range(-8, 2))
VIDEVAL_EPSILON = 0.1
# Decision 0007: most of the time of the whole grid goes into large C, far from the best. Settings are fitted roughly,
# along C until the error has clearly turned up; then those near the best as SVR does.
ROUGH_TOLERANCE = 0.03
ROUGH_MARGIN = 0.006
TURNED_UP = 0.016  # above the best so far, in standard deviations of the MOS, after two rises in a row


def evaluate(features, mos, *, contents, repeats, seed, svr_search, num_jobs, protocol="default", progress=None):
    """Split, fit and score `repeats` times.

    Args:
        features: shape (num_videos, feature_dim), finite.
        mos: shape (num_videos,), in any unit.
        contents: shape (num_videos,); no content is on both sides of a split. Unused by protocol 'videval'.
        repeats: number of splits, numbered from 1.
        seed: of the default protocol's splits; 'videval' has seeds of its own.
        svr_search: num_folds, search_videos and the grids of `svr_head.fit_svr`; 'videval' has its own.
        num_jobs: processes, each with one thread.
        protocol: 'default' or 'videval'.
        progress: called with the number of repeats done.

    Returns:
        list of metrics.Agreement, one per repeat; the same whatever `num_jobs` is.

    Raises:
        ValueError: too few videos or contents, all MOS the same, or the MOS among the features.
    """
    import joblib

    _check(features, mos)
    if protocol == "videval":
        calls = [joblib.delayed(videval_repeat)(features, mos, number=i) for i in range(1, repeats + 1)]
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


def content_repeat(features, mos, *, contents, seed, svr_search):
    """One content-disjoint 80/20 split with the SVR of `svr_head.fit_svr`; an Agreement on its test part.

    The SVR learns on the 1-5 scale, whose ends are the lowest and highest MOS of the training part.
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
        **svr_search,
    )
    return _agreement(lambda part: mos_scale.from_unit_5(svr.predict(part), low, high), features, mos, train, test)


def videval_repeat(features, mos, *, number):
    """One repeat of VIDEVAL's published protocol; an Agreement on its test part.

    Splits by video. C and gamma are chosen by the RMSE on an inner 20 %, after a logistic fitted on that part;
    then the SVR is fitted again on the whole 80 %.

    Args:
        features: shape (num_videos, feature_dim), NaN and infinity set to 0.
        mos: shape (num_videos,).
        number: of the repeat, from 1; the splits' seeds follow from it.
    """
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(mos))
    train, test = train_test_split(rows, test_size=TEST_FRACTION, random_state=math.ceil(8.8 * number))
    inner, held_out = train_test_split(train, test_size=TEST_FRACTION, random_state=math.ceil(6.6 * number))
    part = (features[inner], mos[inner], features[held_out], mos[held_out])
    rough = _rough_errors(*part)
    close = [setting for setting in rough if rough[setting] <= min(rough.values()) + ROUGH_MARGIN]
    errors = dict(_iter_errors(*part, settings=close, tolerance=svr_head.TOLERANCE))
    svr = _svr(min(errors, key=errors.get), svr_head.TOLERANCE).fit(features[train], mos[train])
    return _agreement(svr.predict, features, mos, train, test)


def summary(agreements):
    """{figure: median, figure_std: standard deviation} over repeats, None where no repeat has the figure."""
    result = {"repeats": len(agreements)}
    for name in FIGURES:
        values = [value for value in (getattr(one, name) for one in agreements) if value is not None]
        result[name] = float(np.median(values)) if values else None
        result[f"{name}_std"] = float(np.std(values)) if values else None
    return result


def per_repeat(agreements):
    """The figures of every repeat as {figure: [values]}."""
    rows = [dataclasses.asdict(one) for one in agreements]
    return {name: [row[name] for row in rows] for name in FIGURES}


def _agreement(predict, features, mos, train, test):
    """The agreement on the test part; the curve of the `*_mapped_train` figures is fitted on the training part."""
    try:
        curve = metrics.fit_mapping(mos=mos[train], scores=predict(features[train]))
    except ValueError:  # all scores the same: no curve
        curve = None
    return metrics.agreement(mos=mos[test], scores=predict(features[test]), train_mapping=curve)


def _rough_errors(features, mos, held_out, held_out_mos):
    """{(C, gamma): error} of VIDEVAL's grid, each gamma's C rising until the error has clearly turned up."""
    part, found = (features, mos, held_out, held_out_mos), {}
    for gamma in VIDEVAL_GAMMA:
        settings = [(c, gamma) for c in VIDEVAL_C]
        rises, last = 0, np.inf
        for setting, error in _iter_errors(*part, settings=settings, tolerance=ROUGH_TOLERANCE):
            found[setting] = error
            rises = rises + 1 if error > last else 0
            last = error
            if rises >= 2 and error > min(found.values()) + TURNED_UP * mos.std():
                break
    return found


def _iter_errors(features, mos, held_out, held_out_mos, *, settings, tolerance):
    for setting in settings:
        scores = _svr(setting, tolerance).fit(features, mos).predict(held_out)
        yield setting, _mapped_rmse(held_out_mos, scores)


def _svr(setting, tolerance):
    c, gamma = setting
    return svr_head.new_pipeline(c=c, gamma=gamma, epsilon=VIDEVAL_EPSILON, tolerance=tolerance)


def _mapped_rmse(mos, scores):
    try:
        return metrics.rmse(mos, metrics.fit_mapping(mos=mos, scores=scores)(scores))
    except ValueError:  # all scores the same: nothing to map
        return metrics.rmse(mos, scores)


def _check(features, mos):
    if len(mos) < MIN_VIDEOS or len(features) != len(mos):
        raise ValueError(
            f"Evaluating features needs at least {MIN_VIDEOS} videos, each with a MOS. "
            f"Received: features {features.shape}, mos {mos.shape}."
        )
    if metrics.is_constant(mos):
        raise ValueError(f"Videos with different MOS are needed, all {len(mos)} are {mos[0]}. Check the MOS column.")
    for column in range(features.shape[1]):
        if np.array_equal(features[:, column], mos):
            raise ValueError(f"Features without the MOS are needed, column {column} is the MOS. Remove it.")
