"""Table of the hand-crafted methods that benchmarks.rivals measures."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nr_vqm.handcrafted import (
    bicubic,
    block_motion,
    colour_maps,
    complex_diivine,
    cornia,
    friquee,
    gm_log,
    higrade,
    key_point_motion,
    methods,
    natural_scene,
    niqe,
    steerable_pyramid,
    tlvqm,
    video_bliinds,
    videval,
)
from nr_vqm.video import decoder_client


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What is measured of one method.

    Attributes:
        per_frame: `limit` is per sampled frame; otherwise per video.
        limit: time limit in CPU seconds of one core.
        parts: functions whose share of the time is printed; one may call another, so shares may overlap.
    """

    per_frame: bool
    limit: float
    parts: tuple[Callable, ...]


@functools.cache
def random_codebook() -> cornia.Codebook:
    """Return a codebook of random words, which takes as long as a learned one."""
    words = np.random.default_rng(0).normal(size=(cornia.NUM_WORDS, cornia.PATCH**2)).astype(np.float32)
    return cornia.Codebook(words, words[0], np.eye(cornia.PATCH**2, dtype=np.float32), ())


def run(name: str, path: Path) -> None:
    """Compute the features of a video with the method of this name."""
    methods.get(name).compute(path, codebook=random_codebook(), video_id=path.stem)


READ = decoder_client.Frames.__next__
STATISTICS = (natural_scene.mscn, natural_scene.shift_products, natural_scene.aggd, bicubic.halve)
VIDEVAL_PARTS = (
    READ,
    gm_log.features,
    higrade.features,
    videval.luma_features,
    videval.colour_features,
    tlvqm.motion_features,
    key_point_motion.key_points,
    key_point_motion.matching_costs,
    tlvqm.still_features,
    *STATISTICS,
)
MEASURED = {
    "brisque": Measurement(True, 0.15, (READ, *STATISTICS)),
    "niqe": Measurement(True, 0.15, (READ, *STATISTICS, niqe.distance)),
    "friquee": Measurement(
        True,
        6,
        (
            READ,
            colour_maps.rgb_for_friquee,
            colour_maps.chroma,
            colour_maps.lms,
            friquee.luma_features,
            friquee.chroma_features,
            friquee.cone_features,
            friquee.opponent_features,
            steerable_pyramid.decompose,
            complex_diivine.enlarged,
            complex_diivine.magnitude_features,
            complex_diivine.phase_features,
            complex_diivine.similarity_features,
        ),
    ),
    "cornia": Measurement(False, 5, (READ, cornia.sample_patches, cornia.features)),
    "video_bliinds": Measurement(
        False,
        25,
        (
            READ,
            niqe.block_features,
            *STATISTICS,
            niqe.moments,
            niqe.distance,
            block_motion.three_step_search,
            video_bliinds.block_dct,
            video_bliinds.dct_shapes,
            video_bliinds.coherency,
        ),
    ),
    "videval": Measurement(False, 90, VIDEVAL_PARTS),
    "frame_statistics": Measurement(False, 2.5, VIDEVAL_PARTS),
    "videval_light": Measurement(False, 10, VIDEVAL_PARTS),
}
