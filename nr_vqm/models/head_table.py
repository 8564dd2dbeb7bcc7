"""The table of heads. A head predicts a video's quality from the outputs of the 3D-CNN or from hand-crafted features.

A new head is one row here and, if it needs a method of its own, two functions in `runs/heads.py`. This module imports
nothing heavy.
"""

import dataclasses
from pathlib import PurePath

CNN3D = "cnn3d.keras"  # the 3D-CNN of a run


@dataclasses.dataclass(frozen=True)
class HeadRow:
    """One head.

    Attributes:
        name: its name in `--head`, scores.csv and metrics.json.
        label: its name in tables and reports.
        method: how it is fitted and loaded, 'lstm', 'svr', 'mean' or 'line': a key of `heads.FIT` and `heads.LOAD`.
        input: what it reads of a video: a field of `features.HeadInputs`, or 'rival', the hand-crafted features of the
            method with the name of the head.
        file: name of its model file in a run folder; None for a head without parameters.
        stage: the stage that fits it. Each head on hand-crafted features has a stage of its own, so that a method can
            be added to a run without fitting the other heads again.
        cnn3d: name of the file of the 3D-CNN whose outputs it reads; a stage that trains both writes its own;
            None for a head on hand-crafted features.
    """

    name: str
    label: str
    method: str
    input: str
    file: str | None
    stage: str = "compare"
    cnn3d: str | None = CNN3D

    @property
    def history(self) -> str | None:
        """Name of the file with the error of every epoch; None for a head that is not fitted in epochs."""
        return f"{PurePath(self.file).stem}_history.csv" if self.file and self.method == "lstm" else None

    @property
    def is_rival(self) -> bool:
        """Whether it reads hand-crafted features instead of the outputs of the 3D-CNN."""
        return self.input == "rival"

    @property
    def made_by(self) -> str:
        """The make target that fits it."""
        return "make compare" if self.is_rival else f"make {self.stage}"


def _rival(name: str, label: str, *, method: str = "svr", ending: str = "skops") -> HeadRow:
    return HeadRow(name, label, method, "rival", f"rivals/{name}.{ending}", stage=f"compare_{name}", cnn3d=None)


# In the order of fitting, of tables and of tests: the paper's claim is the first pair.
HEADS = {
    row.name: row
    for row in (
        HeadRow("lstm", "3D-CNN + LSTM", "lstm", "clip_quality", "lstm_head.keras"),
        HeadRow("svr", "3D-CNN + SVR", "svr", "mean_features", "svr.skops"),
        HeadRow("mean", "mean of clip qualities", "mean", "clip_quality", None),
        HeadRow("lstm_features", "LSTM on group features", "lstm", "group_features", "lstm_features_head.keras"),
        HeadRow(
            "lstm_finetuned",
            "3D-CNN + LSTM, fine-tuned",
            "lstm",
            "clip_quality",
            "lstm_finetuned_head.keras",
            stage="finetune",
        ),
        HeadRow(
            "fcn_lstm",
            "3D-FCN + LSTM, end to end",
            "lstm",
            "group_features",
            "fcn_lstm_head.keras",
            stage="fcn_lstm",
            cnn3d="fcn_lstm_cnn3d.keras",
        ),
        _rival("niqe", "NIQE", method="line", ending="json"),
        _rival("brisque", "BRISQUE"),
        _rival("cornia", "V-CORNIA*"),
        _rival("video_bliinds", "V-BLIINDS"),
        _rival("friquee", "FRIQUEE"),
        _rival("videval", "VIDEVAL"),
        _rival("videval_light", "VIDEVAL light"),
        _rival("frame_statistics", "frame statistics"),
    )
}
# Predicts like a head, but is fitted before all runs: `nr_vqm.teacher`. A run may have a copy.
TEACHER = "teacher"
# Predicts from a head and from a teacher on frame statistics: `scoring.fusion`. Only an export has it.
FUSION = "fusion"
FUSED = "lstm"  # the head that it reads
SCORERS = (*HEADS, FUSION, TEACHER)
RIVALS = tuple(row.name for row in HEADS.values() if row.is_rival)


def get(name: str) -> HeadRow:
    """Return the row of a head.

    Raises:
        ValueError: there is no such head.
    """
    if name not in HEADS:
        raise ValueError(f"Unknown head {name!r}. Choose from: {', '.join(SCORERS)}.")
    return HEADS[name]


def needs_networks(name: str) -> bool:
    """Return whether a head, or the teacher, predicts from the outputs of a 3D-CNN.

    Raises:
        ValueError: there is no such head.
    """
    return name == FUSION or (name != TEACHER and not get(name).is_rival)


def reads_order(name: str) -> bool:
    """Return whether a head predicts from the clip qualities in their order in time, so not their mean."""
    return name == FUSION or (name in HEADS and (HEADS[name].method, HEADS[name].input) == ("lstm", "clip_quality"))


def fitted_by(stage: str) -> list[HeadRow]:
    """List the heads that a stage fits, in the order of the table."""
    return [row for row in HEADS.values() if row.stage == stage]


def fitted_on(name: str, *, svr_fit_on: str) -> str:
    """Describe the videos that a head was fitted on.

    Args:
        name: a head of the table; for any other name the result is '-'.
        svr_fit_on: the run's setting of this name.
    """
    if name not in HEADS:
        return "-"
    videos = {
        "lstm": "train, stopped by val",
        "svr": svr_fit_on,
        "mean": "nothing to fit",
        "line": "only its scale, on train",
    }[HEADS[name].method]
    return f"{videos}; codebook: train" if name == "cornia" else videos


def label(name: str) -> str:
    """Return the label of a head, or the name itself where it is not in the table."""
    if name == FUSION:
        return f"{HEADS[FUSED].label} and frame statistics"
    return HEADS[name].label if name in HEADS else name
