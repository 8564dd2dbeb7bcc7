"""The "pure 3D-CNN" head: a support vector regressor on a video's mean features. Decision 0007."""

import json
import re
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nr_vqm.common import atomic_files

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TOLERANCE = 1e-3  # scikit-learn's own
MAX_SCHEMA_BYTES = 1_000_000
MAX_BYTES = 2**30  # unpacked; 100,000 support vectors of 512 features are 0.4 GB
SVR_TYPES = frozenset(  # all that a saved head may be made of, with the part of skops that builds it
    [
        "builtins.dict (DictNode)",
        "builtins.list (ListNode)",
        "builtins.str (JsonNode)",
        "builtins.tuple (TupleNode)",
        "numpy.ndarray (NdArrayNode)",
        "builtins.str (TypeNode)",
        "sklearn.pipeline.Pipeline (ObjectNode)",
        "sklearn.preprocessing._data.MinMaxScaler (ObjectNode)",
        "sklearn.svm._classes.SVR (ObjectNode)",
    ]
)


def fit_svr(
    features: np.ndarray,
    mos: np.ndarray,
    *,
    contents: Sequence | np.ndarray,
    num_folds: int,
    search_videos: int,
    c_grid: Sequence[float],
    gamma_grid: Sequence[float],
    epsilon_grid: Sequence[float],
    seed: int,
    num_jobs: int,
) -> "Pipeline":
    """Choose the settings by cross-validation that keeps contents apart, then fit on all videos given.

    Pass training videos only. The features are scaled to 0-1 inside the pipeline, so that in every fold, too,
    nothing is learned from the videos held out.

    Args:
        features: shape (num_videos, feature_dim), any float type, finite.
        mos: shape (num_videos,), on the 1-5 scale; epsilon is in this unit.
        contents: shape (num_videos,); videos of one content share a fold.
        num_folds: folds of the search, at least 2; no more are made than there are contents.
        search_videos: where there are more videos than this, the search reads whole contents that have together at
            most so many, drawn at random; at least 2 contents.
        c_grid, gamma_grid, epsilon_grid: what is tried.
        seed: draws the contents of the search and shuffles them before they are dealt to folds.
        num_jobs: threads of the search; the result is the same with any number.

    Returns:
        sklearn Pipeline of MinMaxScaler and SVR: features -> 1-5. The same input gives the same pipeline.

    Raises:
        ValueError: shapes that do not match, values that are not finite, or fewer than 2 contents.

    Source: RBF SVR on min-max scaled features is the nearest evidence for ICIP 2019; the search is ours, decision 0007.
    """
    import joblib
    from sklearn.model_selection import GridSearchCV, GroupKFold

    features, mos, contents = _check(features, mos, contents)
    _check_folds(contents, num_folds)
    rows = _whole_contents(contents, at_most=search_videos, seed=seed)
    num_folds = min(num_folds, len(np.unique(contents[rows])))
    search = GridSearchCV(
        new_pipeline(c=1.0, gamma=1.0, epsilon=0.0),
        {"svr__C": sorted(c_grid), "svr__gamma": sorted(gamma_grid), "svr__epsilon": sorted(epsilon_grid)},
        scoring="neg_mean_squared_error",
        cv=GroupKFold(num_folds, shuffle=True, random_state=seed),
        refit=False,
    )
    with joblib.parallel_config("threading", n_jobs=num_jobs):  # libsvm releases Python's lock
        search.fit(features[rows], mos[rows], groups=contents[rows])
    best = {name.removeprefix("svr__").lower(): value for name, value in search.best_params_.items()}
    return new_pipeline(**best).fit(features, mos)  # of equal settings the first, that of the smallest C


def new_pipeline(*, c: float, gamma: float, epsilon: float, tolerance: float = TOLERANCE) -> "Pipeline":
    """An unfitted Pipeline of MinMaxScaler and RBF SVR; `tolerance` is where libsvm stops, in the unit of the MOS."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import SVR

    svr = SVR(kernel="rbf", C=c, gamma=gamma, epsilon=epsilon, tol=tolerance)
    return Pipeline([("scale", MinMaxScaler()), ("svr", svr)])


def save_svr(path, pipeline):
    """Write a fitted pipeline whole, in skops' format: arrays and names, no code."""
    import skops.io

    with atomic_files.replacing(path) as beside:
        skops.io.dump(pipeline, beside)


def load_svr(path):
    """Read a pipeline of `save_svr`. Nothing in the file is constructed before all its types are known to be ours.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is not of this kind, or holds a type that a saved head has no use for.
    """
    atomic_files.require(path, made_by="make compare")
    check_types(path)
    import skops.io

    try:
        pipeline = skops.io.load(path, trusted=[])
        _check_pipeline(pipeline)
    except Exception as error:  # skops and zipfile raise many kinds for broken files
        raise _not_a_head(path, error) from error
    return pipeline


def check_types(path):
    """Refuse a file that names any type but a head's, or that unpacks to more than a head can need.

    skops trusts every scikit-learn class and some functions; a head needs three classes.

    Raises:
        ValueError: the file is not of this kind, or holds a type that a saved head has no use for.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive.infolist())
            schema = json.loads(archive.read("schema.json"))
        foreign = sorted(set(_types_in(schema)) - SVR_TYPES)
        if foreign:
            raise ValueError(f"it holds the type {foreign[0]!r}")
    except Exception as error:
        raise _not_a_head(path, error) from error


def _check_members(members):
    for member in members:
        if member.filename != "schema.json" and not re.fullmatch(r"\d+\.npy", member.filename):
            raise ValueError(f"it holds {member.filename!r}")
        if member.filename == "schema.json" and member.file_size > MAX_SCHEMA_BYTES:
            raise ValueError(f"its schema.json has {member.file_size} bytes, more than {MAX_SCHEMA_BYTES}")
    size = sum(member.file_size for member in members)
    if size > MAX_BYTES:
        raise ValueError(f"it unpacks to {size} bytes, more than {MAX_BYTES}")


def _not_a_head(path, error):
    reason = str(error) or type(error).__name__
    return ValueError(f"A saved SVR head is needed, {path} is not one: {reason}. Make it again: make compare.")


def _types_in(node):
    """The full names of all types that a skops schema mentions, at any depth."""
    if isinstance(node, dict):
        if "__class__" in node:
            yield f"{node.get('__module__')}.{node['__class__']} ({node.get('__loader__')})"
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _types_in(child)


def _check_pipeline(pipeline):
    """Refuse arrays that do not belong together: libsvm reads them in C without looking."""
    scaler, svr = pipeline.named_steps["scale"], pipeline.named_steps["svr"]
    num_vectors, feature_dim = svr.support_vectors_.shape
    shapes = {
        "scale_": (scaler.scale_, (feature_dim,), np.float64),
        "min_": (scaler.min_, (feature_dim,), np.float64),
        "support_": (svr.support_, (num_vectors,), np.int32),
        "support_vectors_": (svr.support_vectors_, (num_vectors, feature_dim), np.float64),
        "_dual_coef_": (svr._dual_coef_, (1, num_vectors), np.float64),
        "_intercept_": (svr._intercept_, (1,), np.float64),
        "_n_support": (svr._n_support, (2,), np.int32),
    }
    for name, (array, shape, dtype) in shapes.items():
        if array.shape != shape or array.dtype != dtype or not np.isfinite(array).all():
            raise ValueError(
                f"{name} must be finite {np.dtype(dtype)} of shape {shape}, found {array.dtype} {array.shape}"
            )
    if svr.kernel != "rbf" or svr._sparse or len(pipeline.steps) != 2 or svr.n_features_in_ != feature_dim:
        raise ValueError("its steps are not a min-max scaling and an RBF SVR")


def _check(features, mos, contents):
    """Features and MOS as finite float64, contents as an array, all with one row per video."""
    features, mos = np.asarray(features, dtype=np.float64), np.asarray(mos, dtype=np.float64)
    contents = np.asarray(contents)
    if features.ndim != 2 or mos.shape != features.shape[:1] or contents.shape != mos.shape:
        raise ValueError(
            "The SVR needs one row of features, one MOS and one content per video. "
            f"Received: features {features.shape}, mos {mos.shape}, contents {contents.shape}."
        )
    for name, values in (("features", features), ("mos", mos)):
        if not np.isfinite(values).all():
            raise ValueError(
                f"Every value of {name} must be a finite number, found {np.count_nonzero(~np.isfinite(values))} "
                "that are not. Leave these videos out or extract their features again."
            )
    return features, mos, contents


def _check_folds(contents, num_folds):
    num_contents = len(np.unique(contents))
    if num_folds < 2 or num_contents < 2:
        raise ValueError(
            f"The search of the SVR's settings needs at least 2 folds and 2 contents to keep apart, found {num_folds} "
            f"folds and {num_contents} contents. Use a larger training part."
        )


def _whole_contents(contents, *, at_most, seed):
    """Rows of all videos, or of randomly drawn whole contents that have together at most so many; sorted."""
    if len(contents) <= at_most:
        return np.arange(len(contents))
    names, content, sizes = np.unique(contents, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    num_taken = max(2, np.searchsorted(np.cumsum(sizes[order]), at_most, side="right"))
    return np.flatnonzero(np.isin(content, order[:num_taken]))
