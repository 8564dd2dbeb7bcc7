"""Table of the hand-crafted methods that benchmarks.rivals measures."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nr_vqm.handcrafted import (
    block_motion,
    brisque,
    colour_maps,
    complex_diivine,
    cornia,
    friquee,
    gm_log,
    higrade,
    key_point_motion,
    natural_scene,
    niqe,
    steerable_pyramid,
    tlvqm,
    video_bliinds,
    videval,
)
from nr_vqm.video import decoder_client


@dataclasses.dataclass(frozen=True)
class Method:
    """One method of the benchmark.

    Attributes:
        run: computes the features of a video file.
        per_frame: `limit` is per sampled frame; otherwise per video.
        limit: time limit in CPU seconds of one core.
        parts: functions whose share of the time is printed; one may call another, so shares may overlap.
    """

    run: Callable[[Path], np.ndarray]
    per_frame: bool
    limit: float
    parts: tuple[Callable, ...]


def run_cornia(path: Path) -> np.ndarray:
    """Compute the CORNIA features of a video with a codebook of random words."""
    words = np.random.default_rng(0).normal(size=(cornia.NUM_WORDS, cornia.PATCH**2)).astype(np.float32)
    codebook = cornia.Codebook(words, words[0], np.eye(cornia.PATCH**2, dtype=np.float32), ())
    return cornia.video_features(path, codebook, video_id=path.stem)


def run_videval_light(path: Path) -> np.ndarray:
    """Compute the features of VIDEVAL light for a video."""
    return videval.video_features(path, light=True)


READ = decoder_client.Frames.__next__
STATISTICS = (natural_scene.mscn, natural_scene.shift_products, natural_scene.aggd, natural_scene.halve)
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
METHODS = {
    "brisque": Method(brisque.video_features, True, 0.15, (READ, *STATISTICS)),
    "niqe": Method(niqe.video_features, True, 0.15, (READ, *STATISTICS, niqe.distance)),
    "friquee": Method(
        friquee.video_features,
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
    "cornia": Method(run_cornia, False, 5, (READ, cornia.sample_patches, cornia.features)),
    "video_bliinds": Method(
        video_bliinds.video_features,
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
    "videval": Method(videval.video_features, False, 90, VIDEVAL_PARTS),
    "videval_light": Method(run_videval_light, False, 10, VIDEVAL_PARTS),
}
