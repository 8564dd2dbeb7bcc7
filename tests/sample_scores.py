"""A Score built without networks, for tests of what is made from it."""

import cv2
import numpy as np
from sample_videos import place_frame

from nr_vqm.scoring.score import Score
from nr_vqm.video import clips


def make_score(**values):
    """Return the score of a video of 20 frames of 40 x 72 at 10 frames/s; `values` replace its fields."""
    grid = clips.plan_grid(
        20, 40, 72, num_groups=5, block_grid=(2, 3), clip_frames=7, clip_size=24, stride=4, downscale=False
    )
    frames = [place_frame(9 * (start + 3), 40, 72) for start in grid.starts]
    jpegs = [cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes() for frame in frames]
    quality = np.random.default_rng(1).uniform(2, 4, (5, 6)).astype(np.float32)
    worst = int(quality.mean(axis=1).argmin())
    known = {
        "path": "videos/clip.mkv", "labels": "people", "head": "lstm", "engine": "keras", "model_id": "0123456789ab",
        "precision": "float32", "score": 61.0, "scale_min": 0.0, "scale_max": 100.0, "quality": 3.44,
        "interval_low": 50.25, "interval_high": 72.5, "percentile": 70.0, "frames": 20, "declared_frames": 20,
        "width": 72, "height": 40, "fps": 10.0, "grid": grid, "clip_quality": quality, "worst_frame": jpegs[worst],
        "thumbnails": tuple(jpegs), "warnings": (), "seconds": 0.5,
    }  # fmt: skip
    return Score(**(known | values))
