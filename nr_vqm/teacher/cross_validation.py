"""Nested cross-validation of the teacher, and the choice of its features and regression.

Everything that depends on MOS - the alignment of scales, the SVR's settings, the choice of features and regression - is
computed from the training part of a fold alone.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from nr_vqm.evaluation import metrics
from nr_vqm.teacher import regression, scale_alignment
from nr_vqm.teacher.published_rows import ANCHOR, SELECTION, Rows

FEATURE_CHOICES: tuple[tuple[str, ...], ...] = (("brisque",), ("videval",), ("brisque", "videval"))


@dataclasses.dataclass(frozen=True, order=True)
class Candidate:
    """A teacher to choose: its feature sets and its regression, one of `regression.KINDS`."""

    feature_sets: tuple[str, ...]
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} of {'+'.join(self.feature_sets)}"


def candidates(choices: Sequence[tuple[str, ...]]) -> list[Candidate]:
    """Return all candidates with one of these feature sets."""
    return [Candidate(sets, kind) for sets, kind in itertools.product(choices, regression.KINDS)]


@dataclasses.dataclass(frozen=True)
class Choice:
    """What cross-validation inside a training part has chosen.

    Attributes:
        candidate: the best one.
        svr_settings: {feature sets: arguments of `regression.fit_svr`}, the best ones.
        agreement: {candidate: `criterion` of its predictions}.
    """

    candidate: Candidate
    svr_settings: dict[tuple[str, ...], dict[str, float]]
    agreement: dict[Candidate, float]


@dataclasses.dataclass(frozen=True)
class Nested:
    """Predictions for videos that were in no fit and no choice.

    Attributes:
        predicted: {candidate: float64 (num_videos,)} on the anchor's scale.
        chosen: float64 (num_videos,), of the candidate that each fold's training part has chosen.
        aligned: float64 (num_videos,), the MOS on the anchor's scale.
        choices: the choice of each fold.
    """

    predicted: dict[Candidate, np.ndarray]
    chosen: np.ndarray
    aligned: np.ndarray
    choices: list[Choice]


def scale_maps(rows: Rows) -> dict[str, scale_alignment.ScaleMap]:
    """Align the scales of all databases of `rows` to the anchor's, or else the first database's."""
    features = rows.matrix(FEATURE_CHOICES[-1])
    anchor = ANCHOR if ANCHOR in rows.database else str(rows.database[0])
    scaled = regression.fit_scaling(features)(features)
    return scale_alignment.align(scaled, rows.mos, rows.database, anchor=anchor)


def aligned_mos(rows: Rows, maps: dict[str, scale_alignment.ScaleMap]) -> np.ndarray:
    """Return the MOS on the anchor's scale, float64 (num_videos,)."""
    mos = np.empty(len(rows.mos))
    for name in np.unique(rows.database):
        mine = rows.database == name
        mos[mine] = maps[str(name)](rows.mos[mine])
    return mos


def fit(rows: Rows, candidate: Candidate, choice: Choice, search: regression.Search) -> regression.Regression:
    """Fit a candidate to all rows, with the settings that `choice` has found."""
    return regression.fit(
        rows.matrix(candidate.feature_sets),
        aligned_mos(rows, scale_maps(rows)),
        _weights(rows, search),
        kind=candidate.kind,
        svr_settings=choice.svr_settings[candidate.feature_sets],
        search=search,
        others=_distorted(rows, candidate.feature_sets, search),
    )


def _distorted(rows: Rows, sets: Sequence[str], search: regression.Search) -> regression.Sample | None:
    """Return the distorted versions that a fit on these feature sets uses besides `rows`; None where there are none."""
    found = rows.distorted
    if found is None or tuple(sets) != (SELECTION,):
        return None
    return regression.Sample(found.features, found.mos, np.full(len(found.mos), search.distorted_weight))


def _weights(rows: Rows, search: regression.Search) -> np.ndarray:
    """Return the weight of every video in a fit, float64 (num_videos,)."""
    return np.where(rows.database == ANCHOR, search.anchor_weight, 1.0)


def criterion(rows: Rows, predicted: np.ndarray) -> float:
    """Return the mean of SROCC and PLCC, averaged over the databases."""
    values = []
    for name in np.unique(rows.database):
        mine = rows.database == name
        found = metrics.correlations(mos=rows.mos[mine], scores=predicted[mine])
        values += [found["srocc"] or 0.0, found["plcc"] or 0.0]
    return float(np.mean(values))


def choose(rows: Rows, search: regression.Search, choices: Sequence[tuple[str, ...]] = FEATURE_CHOICES) -> Choice:
    """Choose features, of `choices`, regression and settings by cross-validation on `rows`."""
    settings: dict[tuple[str, ...], dict[str, float]] = {}
    agreement: dict[Candidate, float] = {}
    folds = assign_folds(rows.database, num_folds=search.inner_folds, seed=search.seed)
    for sets in choices:
        svr, trees, settings[sets] = _search(rows, sets, search, folds)
        for kind, predicted in {"svr": svr, "trees": trees, "both": (svr + trees) / 2}.items():
            agreement[Candidate(sets, kind)] = criterion(rows, predicted)
    return Choice(max(agreement, key=lambda one: agreement[one]), settings, agreement)


def _search(
    rows: Rows, sets: Sequence[str], search: regression.Search, folds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Predict every fold from the others; return the best SVR's predictions, the trees' and the SVR's settings."""
    options, features = search.svr_settings(), rows.matrix(sets)
    svr, trees = np.empty((len(options), len(rows.mos))), np.empty(len(rows.mos))
    for fold in np.unique(folds):
        test, train = folds == fold, folds != fold
        part = rows.take(train)
        sample = regression.Sample(features[train], aligned_mos(part, scale_maps(part)), _weights(part, search))
        scaling, sample = regression.scaled(sample, _distorted(rows, sets, search))
        held_out = scaling(features[test])
        trees[test] = regression.fit_trees(sample, search).predict(held_out)
        for row, option in enumerate(options):
            fitted = regression.fit_svr(sample, epsilon=search.epsilon, **option)
            svr[row, test] = fitted.predict(held_out)
    best = int(np.argmax([criterion(rows, predicted) for predicted in svr]))
    return svr[best], trees, options[best]


def assign_folds(database: np.ndarray, *, num_folds: int, seed: int) -> np.ndarray:
    """Assign videos to folds at random, evenly within each database: int (num_videos,)."""
    rng, folds = np.random.default_rng(seed), np.empty(len(database), int)
    for name in np.unique(database):
        mine = np.flatnonzero(database == name)
        folds[rng.permutation(mine)] = np.arange(len(mine)) % num_folds
    return folds


def nested(
    rows: Rows,
    search: regression.Search,
    *,
    choices: Sequence[tuple[str, ...]] = FEATURE_CHOICES,
    num_jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Nested:
    """Predict every fold by a teacher that was chosen and fitted without it.

    Args:
        rows: videos of one or several databases.
        search: settings of the regressions.
        choices: the feature sets to choose from.
        num_jobs: number of processes; the result does not depend on it.
        progress: called with the number of completed folds and their total.
    """
    import joblib

    folds = assign_folds(rows.database, num_folds=search.folds, seed=search.seed)
    calls = [
        joblib.delayed(_predict_fold)(rows.take(folds != fold), rows.take(folds == fold), search, choices)
        for fold in range(search.folds)
    ]
    predicted = {one: np.empty(len(rows.mos)) for one in candidates(choices)}
    chosen, aligned, chosen_by_fold = np.empty(len(rows.mos)), np.empty(len(rows.mos)), []
    with joblib.parallel_config("loky", n_jobs=num_jobs, inner_max_num_threads=1):
        for fold, (found, mos, choice) in enumerate(joblib.Parallel(return_as="generator")(calls)):
            test = folds == fold
            for one, values in found.items():
                predicted[one][test] = values
            chosen[test], aligned[test] = found[choice.candidate], mos
            chosen_by_fold.append(choice)
            if progress:
                progress(fold + 1, search.folds)
    return Nested(predicted, chosen, aligned, chosen_by_fold)


def _predict_fold(
    train: Rows, test: Rows, search: regression.Search, choices: Sequence[tuple[str, ...]]
) -> tuple[dict[Candidate, np.ndarray], np.ndarray, Choice]:
    """Return every candidate's predictions of the test part, its aligned MOS, and the training part's choice."""
    choice = choose(train, search, choices)
    found = {one: fit(train, one, choice, search).predict(test.matrix(one.feature_sets)) for one in choice.agreement}
    return found, aligned_mos(test, scale_maps(train)), choice


def across(
    rows: Rows, search: regression.Search, choices: Sequence[tuple[str, ...]] = FEATURE_CHOICES
) -> dict[str, tuple[np.ndarray, Choice]]:
    """Predict every database by a teacher that was chosen and fitted on the others: {database: (values, choice)}."""
    found = {}
    for name in np.unique(rows.database):
        train, test = rows.take(rows.database != name), rows.take(rows.database == name)
        choice = choose(train, search, choices)
        model = fit(train, choice.candidate, choice, search)
        found[str(name)] = (model.predict(test.matrix(choice.candidate.feature_sets)), choice)
    return found
