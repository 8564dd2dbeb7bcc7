"""The table of heads. A head turns what the 3D-CNN says of a video's clips into the video's quality.

A new head is one row here and, where it needs a method of its own, two functions in `heads`. Imports nothing heavy.
"""

import dataclasses
from pathlib import PurePath


@dataclasses.dataclass(frozen=True)
class HeadRow:
    """One head.

    Attributes:
        name: what `--head`, scores.csv and metrics.json call it.
        label: its name for people.
        method: 'lstm', 'svr' or 'mean': how it is fitted and loaded, a key of `heads.FIT` and `heads.LOAD`.
        input: the field of `features.HeadInputs` that it reads.
        file: its model in a run folder; None for a head without anything to fit.
        stage: the stage that fits it, 'compare' or 'finetune'.
    """

    name: str
    label: str
    method: str
    input: str
    file: str | None
    stage: str = "compare"

    @property
    def history(self) -> str | None:
        """The file with the error of every epoch; None for a head that is not fitted in epochs."""
        return f"{PurePath(self.file).stem}_history.csv" if self.method == "lstm" else None

    @property
    def made_by(self) -> str:
        """The make target that fits it."""
        return f"make {self.stage}"


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
    )
}
FILES = tuple(row.file for row in HEADS.values() if row.file)


def get(name: str) -> HeadRow:
    """The row of a head.

    Raises:
        ValueError: there is no such head.
    """
    if name not in HEADS:
        raise ValueError(f"Unknown head {name!r}. Choose from: {', '.join(HEADS)}.")
    return HEADS[name]


def fitted_by(stage: str) -> list[HeadRow]:
    """The heads that 'compare' or 'finetune' fits, in the order of the table."""
    return [row for row in HEADS.values() if row.stage == stage]


def fitted_on(name: str, *, svr_fit_on: str) -> str:
    """The videos that a head was fitted on, in words.

    Args:
        name: a head of the table; any other is of unknown origin, '-'.
        svr_fit_on: the run's setting.
    """
    method = HEADS[name].method if name in HEADS else None
    return {"lstm": "train, stopped by val", "svr": svr_fit_on, "mean": "nothing to fit"}.get(method, "-")


def label(name: str) -> str:
    """A head's name for people; a head that is not in the table is called what it is."""
    return HEADS[name].label if name in HEADS else name
