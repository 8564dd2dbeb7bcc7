"""The heads of a run computed by NumPy from their arrays: what an export holds of them.

Each head is a dict of arrays. `predict` gives what the head gives that Keras or scikit-learn computes.
"""

from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


def predict(method: str, arrays: Arrays, inputs: np.ndarray) -> np.ndarray:
    """Predict the quality of videos.

    Args:
        method: of the head's row in `head_table`.
        arrays: of the head, as `check` accepts them.
        inputs: float (num_videos, ...), what the head reads.

    Returns:
        float (num_videos,), on the 1-5 scale but not clipped to it.
    """
    if method == "lstm":
        return _lstm(arrays, np.asarray(inputs, np.float32))
    if method == "svr":
        return _svr(arrays, np.asarray(inputs, np.float64))
    if method == "line":
        offset, slope, fill = arrays["line"]
        return offset + slope * np.where(np.isnan(inputs[:, 0]), fill, inputs[:, 0])
    return inputs.mean(axis=(1, 2))


def check(method: str, arrays: Arrays, *, input_dim: int | None) -> None:
    """Validate the arrays of a head.

    Args:
        method: of the head's row in `head_table`.
        arrays: of the head.
        input_dim: values per group that an LSTM head reads, or features that an SVR reads; None accepts any number.

    Raises:
        ValueError: an array is missing or foreign, has another shape, or values that are not finite.
    """
    shapes = _shapes(method, arrays, input_dim)
    if sorted(arrays) != sorted(shapes):
        raise ValueError(f"the arrays {', '.join(sorted(shapes)) or 'none'} are needed, found {sorted(arrays)}")
    for name, shape in shapes.items():
        found = arrays[name]
        if found.shape != shape or found.dtype not in (np.float32, np.float64) or not np.isfinite(found).all():
            raise ValueError(f"{name} must hold finite floats of shape {shape}, found {found.dtype} {found.shape}")


def _shapes(method: str, arrays: Arrays, input_dim: int | None) -> dict[str, tuple[int, ...]]:
    """Return {name: shape} of the arrays of a head; sizes that are free are taken from the arrays."""

    def length(name: str) -> int:
        return arrays[name].shape[0] if name in arrays and arrays[name].ndim else 0

    if method == "line":
        return {"line": (3,)}
    if method == "mean":
        return {}
    if method == "lstm":
        units, width = length("recurrent"), length("fc_bias")
        dim = length("kernel") if input_dim is None else input_dim
        gates = {"kernel": (dim, 4 * units), "recurrent": (units, 4 * units), "bias": (4 * units,)}
        dense = {"fc": (units, width), "fc_bias": (width,), "output": (width, 1), "output_bias": (1,)}
        return {"input": (2,), **gates, **dense}
    dim = length("scale") if input_dim is None else input_dim
    fill = {"fill": (dim,)} if "fill" in arrays else {}
    scaling = {"scale": (dim,), "shift": (dim,), "intercept": (1,)}
    if "weights" not in arrays:
        return {**fill, **scaling, "coefficients": (dim,)}
    number = length("weights")
    return {**fill, **scaling, "vectors": (number, dim), "weights": (number,), "gamma": (1,)}


def _lstm(arrays: Arrays, groups: np.ndarray) -> np.ndarray:
    """Compute the LSTM head of `lstm_head.build_lstm_head` for float32 (num_videos, num_groups, input_dim)."""
    scale, offset = arrays["input"]
    projected = (groups * scale + offset) @ arrays["kernel"] + arrays["bias"]
    hidden = cell = np.zeros((len(groups), len(arrays["recurrent"])), np.float32)
    for step in range(groups.shape[1]):
        gates = projected[:, step] + hidden @ arrays["recurrent"]
        write, keep, candidate, read = np.split(gates, 4, axis=1)  # the order in which Keras stores them
        cell = _sigmoid(keep) * cell + _sigmoid(write) * np.tanh(candidate)
        hidden = _sigmoid(read) * np.tanh(cell)
    hidden = np.maximum(hidden @ arrays["fc"] + arrays["fc_bias"], 0)
    return (hidden @ arrays["output"] + arrays["output_bias"])[:, 0]


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * values))  # does not overflow


def _svr(arrays: Arrays, features: np.ndarray) -> np.ndarray:
    """Compute the pipeline of `svr_head.new_pipeline` for float64 (num_videos, num_features)."""
    if "fill" in arrays:
        features = np.where(np.isnan(features), arrays["fill"], features)
    scaled = features * arrays["scale"] + arrays["shift"]
    if "coefficients" in arrays:
        return scaled @ arrays["coefficients"] + arrays["intercept"]
    vectors = np.asarray(arrays["vectors"], np.float64)
    distances = np.stack([np.square(vectors - one).sum(axis=1) for one in scaled])
    return np.exp(-arrays["gamma"] * distances) @ arrays["weights"] + arrays["intercept"]
