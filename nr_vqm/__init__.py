"""No-reference video quality assessment with the 3D-CNN + LSTM of You and Korhonen, ICIP 2019."""

import importlib as _importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Score", "Scorer", "WorkLimits", "__version__", "load", "score", "to_frame"]

if TYPE_CHECKING:
    from nr_vqm.scoring.loading import load, score
    from nr_vqm.scoring.score import Score
    from nr_vqm.scoring.score_table import to_frame
    from nr_vqm.scoring.scorer import Scorer
    from nr_vqm.video.work_limits import WorkLimits

# Imported at first use, so that `import nr_vqm` takes milliseconds and loads no TensorFlow.
_MODULES = {
    "load": "nr_vqm.scoring.loading",
    "score": "nr_vqm.scoring.loading",
    "Score": "nr_vqm.scoring.score",
    "Scorer": "nr_vqm.scoring.scorer",
    "WorkLimits": "nr_vqm.video.work_limits",
    "to_frame": "nr_vqm.scoring.score_table",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
