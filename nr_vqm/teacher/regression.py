"""Regression from features to MOS: support vectors, boosted trees, or the mean of both. Arrays only.

scikit-learn fits it; predicting needs NumPy alone, and a stored regression is a set of arrays without code.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

KINDS = ("svr", "trees", "both")
CLIPPED = 0.5  # per cent of the training videos at each end of a feature; values beyond are set to that end
UNUSED = 1e300  # upper end of the range of a constant feature: every value becomes 0
CACHE_MB = 500  # of libsvm's kernel


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Fills undefined features with the training mean, clips them to the training range and scales them to 0-1.

    Attributes:
        fill, low, high: float64 (num_features,).
    """

    fill: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Scale features, float64 (num_videos, num_features), to 0-1."""
        filled = np.where(np.isfinite(features), features, self.fill)
        return (np.clip(filled, self.low, self.high) - self.low) / (self.high - self.low)


@dataclasses.dataclass(frozen=True)
class SupportVectors:
    """A fitted SVR with an RBF kernel, of scaled features.

    Attributes:
        vectors: float32 (num_vectors, num_features).
        weights: float64 (num_vectors,).
        intercept: float64 ().
        gamma: float64 ().
    """

    vectors: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    gamma: np.ndarray

    def predict(self, scaled: np.ndarray) -> np.ndarray:
        """Predict the MOS of float64 (num_videos, num_features): float64 (num_videos,)."""
        vectors = self.vectors.astype(np.float64)
        squares = (scaled**2).sum(axis=1)[:, None] + (vectors**2).sum(axis=1)[None, :] - 2 * scaled @ vectors.T
        return np.exp(-self.gamma * np.maximum(squares, 0)) @ self.weights + self.intercept


@dataclasses.dataclass(frozen=True)
class Trees:
    """Fitted boosted regression trees, of scaled features. A leaf is its own left and right child.

    Attributes:
        feature: int32 (num_trees, num_nodes).
        threshold: float64, the same shape; a video goes left where its feature is at most this.
        left, right: int32, the same shape, numbers of nodes.
        value: float64, the same shape, added at a leaf; 0 elsewhere.
        start: float64 (), the prediction without trees.
        depth: int32 (), steps from the root to the deepest leaf.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    start: np.ndarray
    depth: np.ndarray

    def predict(self, scaled: np.ndarray) -> np.ndarray:
        """Predict the MOS of float64 (num_videos, num_features): float64 (num_videos,)."""
        scaled = scaled.astype(np.float32)  # as scikit-learn does before it compares
        tree, video = np.arange(len(self.feature))[None, :], np.arange(len(scaled))[:, None]
        node = np.zeros((len(scaled), len(self.feature)), np.int64)
        for _ in range(int(self.depth)):
            goes_left = scaled[video, self.feature[tree, node]] <= self.threshold[tree, node]
            node = np.where(goes_left, self.left[tree, node], self.right[tree, node])
        return self.start + self.value[tree, node].sum(axis=1)


@dataclasses.dataclass(frozen=True)
class Regression:
    """A fitted regression.

    Attributes:
        scaling: of the features.
        svr, trees: the fitted parts, at least one; the prediction is their mean.
    """

    scaling: Scaling
    svr: SupportVectors | None
    trees: Trees | None

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predict the MOS of videos.

        Args:
            features: float64 (num_videos, num_features); NaN where a value is not defined.

        Returns:
            float64 (num_videos,), on the scale of the training MOS, not clipped.
        """
        scaled = self.scaling(np.atleast_2d(features))
        return np.mean([part.predict(scaled) for part in (self.svr, self.trees) if part], axis=0)


@dataclasses.dataclass(frozen=True)
class Search:
    """Settings of the regressions. Decision 0018.

    Attributes:
        c, gamma: searched for the SVR by cross-validation inside the training part.
        epsilon: of the SVR, in the unit of the MOS.
        anchor_weight: of a video of the database whose raters' scale the teacher answers on; the others have weight 1.
        distorted_weight: of a distorted version with a pseudo-label, decision 0022.
        num_trees, depth, learning_rate, subsample, min_leaf: of the boosted trees, of which each split sees the square
            root of the number of features.
        folds: of the cross-validation that measures the teacher.
        inner_folds: of the cross-validation inside a training part, which chooses.
        seed: of the trees and of the folds.
    """

    c: tuple[float, ...] = (1.0, 4.0, 16.0)
    gamma: tuple[float, ...] = (0.05, 0.125, 0.3)
    epsilon: float = 0.2
    anchor_weight: float = 2.0
    distorted_weight: float = 0.2
    num_trees: int = 300
    depth: int = 4
    learning_rate: float = 0.06
    subsample: float = 0.5
    min_leaf: int = 5
    folds: int = 5
    inner_folds: int = 3
    seed: int = 1

    def svr_settings(self) -> list[dict[str, float]]:
        """List the settings of the SVR to search, as arguments of `fit_svr`."""
        return [{"c": c, "gamma": gamma} for c, gamma in itertools.product(self.c, self.gamma)]


@dataclasses.dataclass(frozen=True)
class Sample:
    """Videos to fit a regression to.

    Attributes:
        features: float64 (num_videos, num_features); NaN where a value is not defined.
        mos: float64 (num_videos,), finite.
        weights: float64 (num_videos,), above 0.
    """

    features: np.ndarray
    mos: np.ndarray
    weights: np.ndarray


def scaled(sample: Sample, others: Sample | None = None) -> tuple[Scaling, Sample]:
    """Fit the scaling of a sample, whose ranges other videos extend; return it and all videos with scaled features.

    Each sample has its own percentiles, so that the ranges cover the few other videos as well as the sample.
    """
    scaling = fit_scaling(sample.features)
    if others is None:
        return scaling, dataclasses.replace(sample, features=scaling(sample.features))
    wider, used = fit_scaling(others.features), scaling.high < UNUSED
    high = np.where(used & (wider.high < UNUSED), np.maximum(scaling.high, wider.high), scaling.high)
    scaling = Scaling(scaling.fill, np.where(used, np.minimum(scaling.low, wider.low), scaling.low), high)
    features = np.concatenate([scaling(sample.features), scaling(others.features)])
    mos, weights = (np.concatenate([getattr(sample, name), getattr(others, name)]) for name in ("mos", "weights"))
    return scaling, Sample(features, mos, weights)


def fit_scaling(features: np.ndarray) -> Scaling:
    """Fit the scaling of features, float64 (num_videos, num_features), NaN where a value is not defined.

    A feature that is constant, or that no video defines, becomes 0 for every video, later ones included.
    """
    defined = np.isfinite(features)
    known = np.where(defined, features, 0)
    fill = known.sum(axis=0) / np.maximum(defined.sum(axis=0), 1)
    low, high = np.percentile(np.where(defined, features, fill), [CLIPPED, 100 - CLIPPED], axis=0)
    return Scaling(fill, low, np.where(high > low, high, UNUSED))


def fit_svr(sample: Sample, *, c: float, gamma: float, epsilon: float) -> SupportVectors:
    """Fit an SVR to a sample with scaled features."""
    from sklearn.svm import SVR

    svr = SVR(kernel="rbf", C=c, gamma=gamma, epsilon=epsilon, cache_size=CACHE_MB)
    svr.fit(sample.features, sample.mos, sample_weight=sample.weights)
    vectors, coefficients = svr.support_vectors_.astype(np.float32), svr.dual_coef_[0].astype(np.float64)
    return SupportVectors(vectors, coefficients, np.array(float(svr.intercept_[0])), np.array(gamma))


def fit_trees(sample: Sample, search: Search) -> Trees:
    """Fit boosted trees to a sample with scaled features; `search` has the settings."""
    from sklearn.ensemble import GradientBoostingRegressor

    fitted = GradientBoostingRegressor(
        n_estimators=search.num_trees,
        max_depth=search.depth,
        learning_rate=search.learning_rate,
        subsample=search.subsample,
        min_samples_leaf=search.min_leaf,
        max_features="sqrt",
        random_state=search.seed,
    ).fit(sample.features, sample.mos, sample_weight=sample.weights)
    start = float(np.average(sample.mos, weights=sample.weights))
    return _as_arrays([one.tree_ for one in fitted.estimators_[:, 0]], search.learning_rate, start)


def _as_arrays(trees: list[Any], learning_rate: float, start: float) -> Trees:
    """Convert scikit-learn's trees, padded to one number of nodes."""
    shape = (len(trees), max(tree.node_count for tree in trees))
    feature, threshold, value = np.zeros(shape, np.int32), np.zeros(shape), np.zeros(shape)
    left = np.tile(np.arange(shape[1], dtype=np.int32), (shape[0], 1))
    right = left.copy()
    for row, tree in enumerate(trees):
        inner = np.flatnonzero(tree.children_left >= 0)
        feature[row, inner], threshold[row, inner] = tree.feature[inner], tree.threshold[inner]
        left[row, inner], right[row, inner] = tree.children_left[inner], tree.children_right[inner]
        leaves = np.flatnonzero(tree.children_left < 0)
        value[row, leaves] = learning_rate * tree.value[leaves, 0, 0]
    depth = np.array(max(tree.max_depth for tree in trees), np.int32)
    return Trees(feature, threshold, left, right, value, np.array(start), depth)


def fit(
    features: np.ndarray,
    mos: np.ndarray,
    weights: np.ndarray,
    *,
    kind: str,
    svr_settings: Mapping[str, float],
    search: Search,
    others: Sample | None = None,
) -> Regression:
    """Fit a regression.

    Args:
        features: float64 (num_videos, num_features); NaN where a value is not defined.
        mos: float64 (num_videos,), finite.
        weights: float64 (num_videos,), above 0.
        kind: one of KINDS.
        svr_settings: 'c' and 'gamma' of the SVR; not used by kind 'trees'.
        search: the other settings.
        others: further videos, see `scaled`.

    Returns:
        The fitted regression; the same input gives the same one.
    """
    if kind not in KINDS:
        raise ValueError(f"Unknown regression {kind!r}. Choose from: {', '.join(KINDS)}.")
    scaling, sample = scaled(Sample(features, mos, weights), others)
    svr = fit_svr(sample, epsilon=search.epsilon, **svr_settings) if kind != "trees" else None
    return Regression(scaling, svr, fit_trees(sample, search) if kind != "svr" else None)
