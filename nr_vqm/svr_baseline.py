"""The "pure 3D-CNN" head: a support vector regressor on a video's mean features. Decision 0007."""

import itertools
import json
import re
import zipfile

import numpy as np

from nr_vqm import files

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
    features,
    mos,
    *,
    contents,
    num_folds,
    seed,
    c_grid,
    gamma_grid,
    epsilon_grid,
):
    """Choose the settings by cross-validation that keeps contents apart, then fit on all videos given.

    Hand in training videos only. The features are scaled to 0-1 inside the pipeline, so that in every fold, too,
    nothing is learned from the videos held out.

    Args:
        features: shape (num_videos, feature_dim), any float type, finite.
        mos: shape (num_videos,), on the 1-5 scale; epsilon is in this unit.
        contents: shape (num_videos,); videos of one content share a fold.
        num_folds: folds of the search, at least 2; no more are made than there are contents.
        seed: shuffles the contents before they are dealt to folds.
        c_grid, gamma_grid, epsilon_grid: what is tried.

    Returns:
        sklearn Pipeline of MinMaxScaler and SVR: features -> 1-5. The same input gives the same pipeline.

    Raises:
        ValueError: shapes that do not match, values that are not finite, or fewer than 2 contents.

    Source: RBF SVR on min-max scaled features is the nearest evidence for ICIP 2019; the search is ours, decision 0007.
    """
    features, mos, contents = _check(features, mos, contents)
    folds = _folds(contents, num_folds=num_folds, seed=seed)
    settings = grid(c_grid=c_grid, gamma_grid=gamma_grid, epsilon_grid=epsilon_grid)
    errors = {}
    for train, held_out in folds:
        distances = pair_distances(features[train], features[held_out])
        for setting, scores in iter_predictions(distances, mos[train], settings=settings, tolerance=TOLERANCE):
            errors[setting] = errors.get(setting, 0.0) + float(np.sum((scores - mos[held_out]) ** 2))
    c, gamma, epsilon = min(errors, key=errors.get)  # the first, weakest C among equals
    return new_pipeline(c=c, gamma=gamma, epsilon=epsilon).fit(features, mos)


def new_pipeline(*, c, gamma, epsilon):
    """An unfitted Pipeline of MinMaxScaler and RBF SVR."""
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import SVR

    return Pipeline([("scale", MinMaxScaler()), ("svr", SVR(kernel="rbf", C=c, gamma=gamma, epsilon=epsilon))])


def grid(*, c_grid, gamma_grid, epsilon_grid):
    """Every (C, gamma, epsilon), all of one gamma together."""
    return [(c, gamma, epsilon) for gamma in gamma_grid for c in c_grid for epsilon in epsilon_grid]


def pair_distances(features, held_out):
    """Squared distances that every kernel of the search is made of, after the scaling of `new_pipeline`.

    Args:
        features: shape (num_videos, feature_dim); the scaling is learned from them.
        held_out: shape (num_held_out, feature_dim).

    Returns:
        (within, across): shapes (num_videos, num_videos) and (num_held_out, num_videos).
    """
    from sklearn.metrics.pairwise import euclidean_distances
    from sklearn.preprocessing import MinMaxScaler

    scaler = MinMaxScaler().fit(features)
    features, held_out = scaler.transform(features), scaler.transform(held_out)
    return euclidean_distances(features, squared=True), euclidean_distances(held_out, features, squared=True)


def iter_predictions(distances, mos, *, settings, tolerance):
    """Predict held-out videos with each of some settings.

    A kernel is computed once for all settings of its gamma: what `new_pipeline` would predict, to the rounding of
    the kernel, in a fraction of the time for wide features.

    Args:
        distances: of `pair_distances`.
        mos: shape (num_videos,).
        settings: (C, gamma, epsilon), ordered by gamma as `grid` does.
        tolerance: where libsvm stops, in the unit of the MOS; TOLERANCE is what SVR does.

    Yields:
        ((C, gamma, epsilon), scores) with scores of shape (num_held_out,).
    """
    from sklearn.svm import SVR

    within, across = distances
    for gamma, same_gamma in itertools.groupby(settings, key=lambda setting: setting[1]):
        kernel, kernel_held_out = np.exp(-gamma * within), np.exp(-gamma * across)
        for c, _, epsilon in same_gamma:
            svr = SVR(kernel="precomputed", C=c, epsilon=epsilon, tol=tolerance).fit(kernel, mos)
            yield (c, gamma, epsilon), svr.predict(kernel_held_out)


def save_svr(path, pipeline):
    """Write a fitted pipeline whole, in skops' format: arrays and names, no code."""
    import skops.io

    with files.replacing(path) as beside:
        skops.io.dump(pipeline, beside)


def load_svr(path):
    """Read a pipeline of `save_svr`. Nothing in the file is constructed before all its types are known to be ours.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is not of this kind, or holds a type that a saved head has no use for.
    """
    files.require(path, made_by="make compare")
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


def _folds(contents, *, num_folds, seed):
    """(train, held out) row indices; every content on one side."""
    from sklearn.model_selection import GroupKFold

    num_contents = len(np.unique(contents))
    if num_folds < 2 or num_contents < 2:
        raise ValueError(
            f"The search of the SVR's settings needs at least 2 folds and 2 contents to keep apart, found {num_folds} "
            f"folds and {num_contents} contents. Use a larger training part."
        )
    splitter = GroupKFold(min(num_folds, num_contents), shuffle=True, random_state=seed)
    return list(splitter.split(contents, groups=contents))
