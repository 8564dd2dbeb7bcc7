"""A run with untrained networks, for tests and benchmarks in which the scores themselves do not matter."""

import os
from typing import TYPE_CHECKING

import keras
import numpy as np

from nr_vqm import presets
from nr_vqm.models import cnn3d, lstm_head, svr_head
from nr_vqm.runs.run_folder import RunFolder

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def write(
    folder: str | os.PathLike[str], preset: presets.Preset, *, mos_range: tuple[float, float], labels: str
) -> RunFolder:
    """Write a run that can score with the heads `lstm` and `svr`.

    Args:
        folder: the run folder; created if it is missing.
        preset: the sizes of the networks and of the clip grid.
        mos_range: lowest and highest value of the MOS scale that the run states.
        labels: origin of the labels that the run states, of `label_origin.ORIGINS`.

    Returns:
        The run: an untrained 3D-CNN, an untrained LSTM head, and an SVR fitted on random features.
    """
    run = RunFolder(folder)
    run.path.mkdir(parents=True, exist_ok=True)
    run.write_preset(preset)
    run.update_facts(mos_range=list(mos_range), labels=labels)
    cnn3d.build_cnn3d(**preset.network, dtype="float32").save(run.cnn3d)
    with run.stage("compare"):
        _lstm(preset).save(run.head("lstm"))
        svr_head.save_svr(run.head("svr"), _svr(preset))
    return run


def _lstm(preset: presets.Preset) -> keras.Model:
    return lstm_head.build_lstm_head(
        num_groups=preset.num_groups,
        input_dim=preset.block_grid[0] * preset.block_grid[1],
        input_offset=3.0,
        input_scale=1.0,
        lstm_units=preset.lstm_units,
        fc_dim=preset.head_fc_dim,
    )


def _svr(preset: presets.Preset) -> "Pipeline":
    features = np.random.default_rng(0).random((20, preset.fc_dims[-1]), np.float32)
    mos = 1 + 4 * features[:, 0]
    return svr_head.fit_svr(features, mos, contents=np.arange(20), seed=1, num_jobs=1, **preset.svr_search)
