"""Support vector regression on one feature vector per video. Decision 0007.

The vector holds the mean features of the 3D-CNN, the paper's "pure 3D-CNN", or hand-crafted features.
"""

import json
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nr_vqm.common import atomic_files

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TOLERANCE = 1e-3  # scikit-learn's default
MAX_SCHEMA_BYTES = 1_000_000
MAX_BYTES = 2**30  # of the unpacked file; 100,000 support vectors of 512 features are 0.4 GB
SVR_TYPES = frozenset(  # all types that a saved head may contain, with the class of skops that builds each
    [
        "builtins.dict (DictNode)",
        "builtins.list (ListNode)",
        "builtins.str (JsonNode)",
        "builtins.tuple (TupleNode)",
        "numpy.dtype (DTypeNode)",
        "numpy.ndarray (NdArrayNode)",
        "builtins.str (TypeNode)",
        "sklearn.impute._base.SimpleImputer (ObjectNode)",
        "sklearn.linear_model._base.LinearRegression (ObjectNode)",
        "sklearn.pipeline.Pipeline (ObjectNode)",
        "sklearn.preprocessing._data.MinMaxScaler (ObjectNode)",
        "sklearn.svm._classes.SVR (ObjectNode)",
    ]
)


def fit_svr(features: np.ndarray, mos: np.ndarray, **options: Any) -> "Pipeline":
    """Search the settings of the SVR head, then fit it with them; see `search_settings` and `fit_with`."""
    return fit_with(features, mos, **search_settings(features, mos, **options))


def search_settings(
    features: np.ndarray,
    mos: np.ndarray,
    *,
    contents: Sequence | np.ndarray,
    num_folds: int,
    search_videos: int,
    c_grid: Sequence[float],
    gamma_grid: Sequence[float],
    epsilon_grid: Sequence[float],
    linear_above: int,
    seed: int,
    num_jobs: int,
    fill: bool = False,
) -> dict[str, Any]:
    """Search the settings of the SVR head by cross-validation grouped by content.

    Pass training videos only. Missing features are filled and all are scaled inside the pipeline, so that in every fold
    both are fitted without the held-out videos.

    Args:
        features: shape (num_videos, feature_dim), any float type, finite; with `fill` NaN stands for a missing one.
        mos: shape (num_videos,), on the 1-5 scale; epsilon is in this unit.
        contents: shape (num_videos,); videos of one content share a fold.
        num_folds: folds of the search, at least 2; reduced to the number of contents where that is smaller.
        search_videos: maximum number of videos in the search. Of more videos, it reads randomly drawn whole contents;
            at least 2 contents.
        c_grid: values of the SVR's C to search.
        gamma_grid: values of the RBF kernel's gamma to search.
        epsilon_grid: values of epsilon to search, on the 1-5 scale.
        linear_above: with more features than this the SVR is linear, see `new_pipeline`; `gamma_grid` is not used then.
        seed: seed of drawing the search's contents and of assigning contents to folds.
        num_jobs: threads of the search; the result does not depend on it.
        fill: replace missing features by the mean of their column; of a column without any value by 0.

    Returns:
        Arguments of `fit_with`. The same input gives the same settings.

    Raises:
        ValueError: shapes that do not match, values that are not finite, or fewer than 2 contents.

    Source: RBF SVR on min-max scaled features is the nearest evidence for ICIP 2019; the search is ours, decision 0007.
    """
    import joblib
    from sklearn.model_selection import GridSearchCV, GroupKFold

    features, mos, content = _check(features, mos, contents, fill=fill)
    _check_folds(content, num_folds)
    rows = _whole_contents(content, at_most=search_videos, seed=seed)
    num_folds = min(num_folds, len(np.unique(content[rows])))
    linear = features.shape[1] > linear_above
    grid = {"svr__C": sorted(c_grid), "svr__epsilon": sorted(epsilon_grid)}
    search = GridSearchCV(
        new_pipeline(c=1.0, gamma=None if linear else 1.0, epsilon=0.0, fill=fill),
        grid if linear else grid | {"svr__gamma": sorted(gamma_grid)},
        scoring="neg_mean_squared_error",
        cv=GroupKFold(num_folds, shuffle=True, random_state=seed),
        refit=False,
    )
    with joblib.parallel_config("threading", n_jobs=num_jobs):  # libsvm releases Python's global lock
        search.fit(features[rows], mos[rows], groups=content[rows])
    best = {name.removeprefix("svr__").lower(): value for name, value in search.best_params_.items()}
    return {"gamma": None, **best, "fill": fill}  # of equally good settings the first, with the smallest C


def fit_with(features: np.ndarray, mos: np.ndarray, **settings: Any) -> "Pipeline":
    """Fit the SVR head on all given videos.

    Args:
        features: shape (num_videos, feature_dim), as in `search_settings`.
        mos: shape (num_videos,), on the 1-5 scale.
        settings: as in `new_pipeline`.

    Returns:
        Pipeline: features -> quality on 1-5. The last step of a linear one is a LinearRegression with the weights of
        the SVR, because its support vectors would take thousands of times the space.
    """
    pipeline = new_pipeline(**settings).fit(np.asarray(features, np.float64), mos)
    if settings["gamma"] is not None:
        return pipeline
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import Pipeline

    svr, scaled = pipeline.named_steps["svr"], pipeline[:-1].transform(np.asarray(features, np.float64))
    weights = LinearRegression()
    weights.coef_ = svr.dual_coef_[0] @ scaled[svr.support_]
    weights.intercept_, weights.n_features_in_ = float(svr.intercept_[0]), scaled.shape[1]
    return Pipeline([*pipeline.steps[:-1], ("svr", weights)])


def new_pipeline(
    *, c: float, gamma: float | None, epsilon: float, tolerance: float = TOLERANCE, fill: bool = False
) -> "Pipeline":
    """Build an unfitted pipeline of min-max scaling and an SVR.

    Args:
        c: regularisation parameter C.
        gamma: coefficient of the RBF kernel, for features on 0-1; None for a linear SVR, for features on -1 to 1.
        epsilon: half width of the tube without loss, in the unit of the MOS.
        tolerance: stopping tolerance of libsvm, in the unit of the MOS.
        fill: first replace NaN by the mean of the column.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import SVR

    kernel: dict[str, Any] = {"kernel": _dot_products} if gamma is None else {"kernel": "rbf", "gamma": gamma}
    first = [("fill", SimpleImputer(keep_empty_features=True))] if fill else []
    scale = MinMaxScaler((-1, 1) if gamma is None else (0, 1))
    return Pipeline([*first, ("scale", scale), ("svr", SVR(**kernel, C=c, epsilon=epsilon, tol=tolerance))])


def _dot_products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute the linear kernel by one matrix product: libsvm's own takes 50 times as long with 20,000 features."""
    return one @ other.T


def save_svr(path: str | os.PathLike[str], pipeline: "Pipeline") -> None:
    """Save a fitted pipeline atomically, in the format of skops: arrays and names, no code."""
    import skops.io

    with atomic_files.replace_when_complete(path) as temporary:
        skops.io.dump(pipeline, temporary)


def load_svr(path: str | os.PathLike[str]) -> "Pipeline":
    """Load a pipeline that `save_svr` wrote. All types in the file are validated before any object is constructed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a saved SVR head, or contains other types than one.
    """
    atomic_files.require(path, made_by="make compare")
    check_types(path)
    import skops.io

    try:
        pipeline = skops.io.load(path, trusted=["numpy.dtype"])  # of the filled features; skops trusts the other types
        _check_pipeline(pipeline)
    except Exception as error:  # skops and zipfile raise many types of exceptions for damaged files
        raise _not_a_head(path, error) from error
    return pipeline


def check_types(path: str | os.PathLike[str]) -> None:
    """Validate the types and the unpacked size of a saved SVR head without loading it.

    skops trusts every scikit-learn class and some functions; a head needs five classes.

    Raises:
        ValueError: the file is not a saved SVR head, contains other types than one, or unpacks to too many bytes.
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


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        if member.filename != "schema.json" and not re.fullmatch(r"\d+\.npy", member.filename):
            raise ValueError(f"it holds {member.filename!r}")
        if member.filename == "schema.json" and member.file_size > MAX_SCHEMA_BYTES:
            raise ValueError(f"its schema.json has {member.file_size} bytes, more than {MAX_SCHEMA_BYTES}")
    size = sum(member.file_size for member in members)
    if size > MAX_BYTES:
        raise ValueError(f"it unpacks to {size} bytes, more than {MAX_BYTES}")


def _not_a_head(path: str | os.PathLike[str], error: Exception) -> ValueError:
    reason = str(error) or type(error).__name__
    return ValueError(f"A saved SVR head is needed, {path} is not one: {reason}. Make it again: make compare.")


def _types_in(node: object) -> Iterator[str]:
    """Yield the full name of every type in a skops schema, at any depth."""
    if isinstance(node, dict):
        if "__class__" in node:
            yield f"{node.get('__module__')}.{node['__class__']} ({node.get('__loader__')})"
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _types_in(child)


def _check_pipeline(pipeline: "Pipeline") -> None:
    """Raise ValueError if the shapes of the arrays do not match: libsvm reads them in C without checks."""
    scaler, svr = pipeline.named_steps["scale"], pipeline.named_steps["svr"]
    is_linear = type(svr).__name__ == "LinearRegression"
    feature_dim = svr.coef_.shape[0] if is_linear else svr.support_vectors_.shape[1]
    shapes = {
        "scale_": (scaler.scale_, (feature_dim,), np.float64),
        "min_": (scaler.min_, (feature_dim,), np.float64),
    }
    if "fill" in pipeline.named_steps:
        shapes["statistics_"] = (pipeline.named_steps["fill"].statistics_, (feature_dim,), np.float64)
    shapes |= {"coef_": (svr.coef_, (feature_dim,), np.float64)} if is_linear else _libsvm_shapes(svr)
    for name, (array, shape, dtype) in shapes.items():
        if array.shape != shape or array.dtype != dtype or not np.isfinite(array).all():
            raise ValueError(
                f"{name} must be finite {np.dtype(dtype)} of shape {shape}, found {array.dtype} {array.shape}"
            )
    kernel_fits = is_linear or (svr.kernel == "rbf" and not svr._sparse)
    if not kernel_fits or list(pipeline.named_steps)[-2:] != ["scale", "svr"] or svr.n_features_in_ != feature_dim:
        raise ValueError("its steps are not a min-max scaling and an SVR")


def _libsvm_shapes(svr: Any) -> dict[str, Any]:
    """Return {name: (array, shape, dtype)} of the arrays that libsvm reads."""
    num_vectors = svr.support_vectors_.shape[0]
    return {
        "support_": (svr.support_, (num_vectors,), np.int32),
        "support_vectors_": (svr.support_vectors_, svr.support_vectors_.shape[:2], np.float64),
        "_dual_coef_": (svr._dual_coef_, (1, num_vectors), np.float64),
        "_intercept_": (svr._intercept_, (1,), np.float64),
        "_n_support": (svr._n_support, (2,), np.int32),
    }


def _check(
    features: np.ndarray, mos: np.ndarray, contents: Sequence | np.ndarray, *, fill: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features and MOS as finite float64 and contents as an array, all with one row per video."""
    features, mos = np.asarray(features, dtype=np.float64), np.asarray(mos, dtype=np.float64)
    content = np.asarray(contents)
    if features.ndim != 2 or mos.shape != features.shape[:1] or content.shape != mos.shape:
        raise ValueError(
            "The SVR needs one row of features, one MOS and one content per video. "
            f"Received: features {features.shape}, mos {mos.shape}, contents {content.shape}."
        )
    for name, values in (("features", features[~np.isnan(features)] if fill else features), ("mos", mos)):
        if not np.isfinite(values).all():
            raise ValueError(
                f"Every value of {name} must be a finite number, found {np.count_nonzero(~np.isfinite(values))} "
                "that are not. Remove these videos or extract their features again."
            )
    return features, mos, content


def _check_folds(content: np.ndarray, num_folds: int) -> None:
    num_contents = len(np.unique(content))
    if num_folds < 2 or num_contents < 2:
        raise ValueError(
            f"The search of the SVR's settings needs at least 2 folds and 2 contents, found {num_folds} "
            f"folds and {num_contents} contents. Use a larger training part."
        )


def _whole_contents(content: np.ndarray, *, at_most: int, seed: int) -> np.ndarray:
    """Return the sorted rows of all videos, or of randomly drawn whole contents with at most `at_most` videos."""
    if len(content) <= at_most:
        return np.arange(len(content))
    names, number, sizes = np.unique(content, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    num_taken = max(2, np.searchsorted(np.cumsum(sizes[order]), at_most, side="right"))
    return np.flatnonzero(np.isin(number, order[:num_taken]))
