"""Take the arrays of fitted heads, with which `numpy_heads` computes them."""

from typing import TYPE_CHECKING, Any

import numpy as np

from nr_vqm.models.line_head import Line

if TYPE_CHECKING:
    import keras
    from sklearn.pipeline import Pipeline


def of_lstm(model: "keras.Model") -> dict[str, np.ndarray]:
    """Return the arrays of a network of `lstm_head.build_lstm_head`, float32."""
    scale, lstm, fc, output, quality = (model.get_layer(name) for name in ("scale", "lstm", "fc", "output", "quality"))
    kernel, recurrent, bias = lstm.get_weights()
    (fc_kernel, fc_bias), (output_kernel, output_bias) = fc.get_weights(), output.get_weights()
    found = {"input": np.array([scale.scale, scale.offset]), "kernel": kernel, "recurrent": recurrent, "bias": bias}
    found |= {"fc": fc_kernel, "fc_bias": fc_bias, "output": output_kernel, "output_bias": output_bias + quality.offset}
    return {name: np.asarray(array, np.float32) for name, array in found.items()}


def of_svr(pipeline: "Pipeline") -> dict[str, np.ndarray]:
    """Return the arrays of a pipeline of `svr_head.fit_with`: float64, the support vectors float32."""
    scaler, svr = pipeline.named_steps["scale"], pipeline.named_steps["svr"]
    found: dict[str, Any] = {"scale": scaler.scale_, "shift": scaler.min_}
    if "fill" in pipeline.named_steps:
        found["fill"] = pipeline.named_steps["fill"].statistics_
    if hasattr(svr, "coef_") and not hasattr(svr, "support_vectors_"):  # a linear one
        found |= {"coefficients": svr.coef_, "intercept": np.atleast_1d(svr.intercept_)}
    else:
        found |= {"weights": svr.dual_coef_[0], "intercept": svr.intercept_, "gamma": np.array([svr.gamma])}
        found["vectors"] = np.asarray(svr.support_vectors_, np.float32)  # on 0-1: half the size, errors below 1e-6
    return {name: array if name == "vectors" else np.asarray(array, np.float64) for name, array in found.items()}


def of_line(line: Line) -> dict[str, np.ndarray]:
    """Return the array of a head of `line_head`, float64."""
    return {"line": np.array([line.offset, line.slope, line.fill])}
