"""Check that an export of a run gives the scores of the run."""

import os
from collections.abc import Iterator, Sequence

import numpy as np

from nr_vqm.models import head_table
from nr_vqm.runs import heads
from nr_vqm.runs.export_folder import ExportFolder
from nr_vqm.runs.fitted_head import Head
from nr_vqm.runs.run_folder import RunFolder
from nr_vqm.scoring import exported_models, head_model, keras_models
from nr_vqm.scoring.scorer import Scorer, head_input

MAX_DIFFERENCE = 0.005  # of two scores on 1-5: half a unit of the second decimal, the last one that is shown
NOISE = (0, 40)  # standard deviation in the generated videos, in grey levels
NUM_VECTORS = 16  # feature vectors for the comparison of a head on hand-crafted features

Videos = Sequence[str | os.PathLike[str]]


def largest_difference(run: RunFolder, export: ExportFolder, *, videos: Videos) -> float:
    """Score the same videos with a run, by Keras in float32, and with its export.

    Args:
        run: the run.
        export: its export.
        videos: files to score, besides two generated videos.

    Returns:
        The largest difference over all videos and heads, on 1-5.

    Raises:
        ValueError: the difference is larger than MAX_DIFFERENCE, or a video cannot be scored.
    """
    names = [name for name in export.heads if name != head_table.FUSION]  # it reads head lstm, which is compared
    models = {name: (heads.load(run, name), head_model.of_export(export, name)) for name in names}
    rivals = [name for name in models if head_table.get(name).is_rival]
    by_run = keras_models.load_scorer(run, "mean", precision="float32")
    by_export = exported_models.load_scorer(export, "mean")
    found = []
    for source in [*_generated(by_run), *videos]:
        outputs = by_run.clip_outputs(source), by_export.clip_outputs(source)
        for name in [name for name in models if name not in rivals]:
            inputs = [head_input(one, models[name][0].row)[None] for one in outputs]
            found += [_difference(models[name], inputs)]
    for name in rivals:
        vectors = _feature_vectors(export.arrays(name))
        found += [_difference(models[name], [vectors, vectors])]
    largest = float(np.max(found))  # NaN if one of them is, unlike max()
    if not largest <= MAX_DIFFERENCE:
        raise ValueError(
            f"An export may differ from its run by {MAX_DIFFERENCE} on 1-5, that of {run} differs by {largest:.4f}. "
            "Nothing was written; use the run itself."
        )
    return largest


def _difference(pair: tuple[Head, head_model.HeadModel], inputs: Sequence[np.ndarray]) -> float:
    of_run, of_export = pair
    return float(np.abs(of_run.predict(inputs[0]) - of_export.predict(inputs[1])).max())


def _generated(scorer: Scorer) -> Iterator[np.ndarray]:
    """Yield videos of moving waves, without and with noise: uint8 RGB, a few clips large."""
    settings = scorer.clip_settings
    num_frames, size = 2 * settings["clip_frames"], settings["clip_size"]
    times, rows, columns = np.mgrid[:num_frames, : 2 * size, : 3 * size]
    waves = [128 + 80 * np.sin((rows * a + (columns + times) * b) / size) for a, b in ((9, 4), (3, 11), (17, 23))]
    frames = np.stack(waves, axis=-1)
    for noise in NOISE:
        noisy = frames + noise * np.random.default_rng(0).standard_normal(frames.shape)
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def _feature_vectors(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return hand-crafted features in the range on which a head was fitted, float64 (NUM_VECTORS, num_features)."""
    random = np.random.default_rng(0)
    if "line" in arrays:
        return arrays["line"][2] * random.uniform(0.5, 2, (NUM_VECTORS, 1))
    scaled = random.uniform(0, 1, (NUM_VECTORS, len(arrays["scale"])))
    return (scaled - arrays["shift"]) / arrays["scale"]
