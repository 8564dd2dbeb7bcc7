"""Table of the hand-crafted methods that are compared with the heads of a run."""

import dataclasses
import functools
import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from nr_vqm.models import head_table
from nr_vqm.video.raw_video import RawFormat

if TYPE_CHECKING:
    from nr_vqm.handcrafted import cornia


@dataclasses.dataclass(frozen=True)
class Method:
    """One hand-crafted method.

    Attributes:
        name: its name in commands and file names, which is that of its head.
        version: raised whenever its values change, so that stored features are computed again.
        num_features: number of features of a video.
        video_features: function that computes the features of a video file.
        feature_names: function that returns the names of the features, in order.
        needs_codebook: the features depend on a codebook learned from training videos.
    """

    name: str
    version: int
    num_features: int
    video_features: Callable[..., np.ndarray]
    feature_names: Callable[[], list[str]]
    needs_codebook: bool = False

    @property
    def label(self) -> str:
        """Its name in tables: that of its head."""
        return head_table.label(self.name)

    def compute(
        self,
        path: str | os.PathLike[str],
        *,
        raw: RawFormat | str | None = None,
        codebook: "cornia.Codebook | None" = None,
        video_id: str = "",
    ) -> np.ndarray:
        """Compute the features of a video file, in one thread: several are slower, most of all in several workers.

        Args:
            path: the video file.
            raw: format of a headerless .yuv file, as a `RawFormat` or its text form; None for all other files.
            codebook: from `cornia.load_codebook`; only a method that needs a codebook reads it.
            video_id: identifier of the video, which seeds a random choice of patches; only a method that needs a
                codebook reads it.

        Returns:
            float64, shape (num_features,); NaN where the method leaves a value undefined.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the method needs a codebook and got none, or the features of this video cannot be computed.
        """
        if self.needs_codebook and codebook is None:
            raise ValueError(f"{self.label} needs a codebook, found none. Learn one first: make rivals.")
        with threadpool_limits(1):
            if self.needs_codebook:
                return self.video_features(path, codebook, video_id=video_id, raw=raw)
            return self.video_features(path, raw=raw)


def _method(
    name: str, version: int, num_features: int, *, module: str = "", needs_codebook: bool = False, **fixed: bool
) -> Method:
    """Return a method whose module, that of its name or another one, is imported when it is used.

    FRIQUEE, V-BLIINDS and V-CORNIA need SciPy or scikit-learn, which scoring without them does not need.
    """

    def call(function: str, *args: Any, **options: Any) -> Any:
        return getattr(importlib.import_module(f"nr_vqm.handcrafted.{module or name}"), function)(*args, **options)

    compute = functools.partial(call, "video_features", **fixed)
    return Method(name, version, num_features, compute, functools.partial(call, "feature_names"), needs_codebook)


# In the order of tables.
METHODS = {
    method.name: method
    for method in (
        _method("niqe", 1, 1),
        _method("brisque", 1, 36),
        _method("cornia", 1, 20_000, needs_codebook=True),
        _method("video_bliinds", 1, 46),
        _method("friquee", 1, 560),
        _method("videval", 1, 60),
        _method("videval_light", 1, 60, module="videval", light=True),
        _method("frame_statistics", 2, 77),
    )
}


def get(name: str) -> Method:
    """Return a method of the table.

    Raises:
        ValueError: there is no such method.
    """
    if name not in METHODS:
        raise ValueError(f"Unknown method {name!r}. Choose from: {', '.join(METHODS)}.")
    return METHODS[name]
