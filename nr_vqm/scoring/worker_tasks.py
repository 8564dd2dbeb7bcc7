"""The task of a worker process that scores one video. Each worker loads the models once."""

import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nr_vqm.scoring import attempts, model_source, score_table
from nr_vqm.video import reader
from nr_vqm.video.work_limits import WorkLimits

if TYPE_CHECKING:
    from nr_vqm.scoring.feature_scorer import FeatureScorer
    from nr_vqm.scoring.score import Score
    from nr_vqm.scoring.scorer import Scorer

_LOADING = threading.Lock()  # two threads of a worker must not load the same models


def score(
    path: Path,
    *,
    run_dir: Path,
    head: str,
    engine: str | None,
    model_id: str,
    options: reader.ReadOptions,
    limits: WorkLimits,
    precision: str | None,
    device: str,
) -> "tuple[Score | None, ValueError | None]":
    """Score one video.

    Args:
        path: the video.
        run_dir: a run folder or an export.
        head: see `nr_vqm.load`.
        engine: see `nr_vqm.load`.
        model_id: of the models that the command found; a worker may have loaded earlier ones, or see other files.
        options: how files are read that leave a choice.
        limits: on the work for one video.
        precision: see `nr_vqm.load`.
        device: see `nr_vqm.load`.

    Returns:
        (Score, None), or (None, error) for a video that cannot be scored.

    Raises:
        ValueError: the worker's models are not those of `model_id`.
    """
    with _LOADING:
        loaded = _load_scorer(run_dir, head, engine, model_id, precision, device, limits)
    result, error = attempts.attempt(functools.partial(loaded.score, **vars(options)), path)
    # Not every exception can be pickled for another process, a ValueError can.
    return result, None if error is None else ValueError(score_table.error_text(error))


@functools.lru_cache(maxsize=1)
def _load_scorer(
    run_dir: Path,
    head: str,
    engine: str | None,
    model_id: str,
    precision: str | None,
    device: str,
    limits: WorkLimits,
) -> "Scorer | FeatureScorer":
    source = model_source.find(run_dir, head, engine=engine)
    if source.model_id != model_id:
        raise ValueError(
            f"The models of {run_dir} on a worker differ from those on this machine, or have changed since the start. "
            "Run the command again."
        )
    source.start(device, hide_startup_lines=True)
    return source.load(precision=precision, device=device, limits=limits)
