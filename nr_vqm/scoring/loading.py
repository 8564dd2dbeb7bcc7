"""Load trained models and score videos with them: the functions that `nr_vqm` exports."""

import os
from typing import TYPE_CHECKING

import numpy as np

from nr_vqm.scoring import model_source
from nr_vqm.video.work_limits import WorkLimits

if TYPE_CHECKING:
    from nr_vqm.scoring.feature_scorer import FeatureScorer
    from nr_vqm.scoring.score import Score
    from nr_vqm.scoring.scorer import Scorer


def load(
    run_dir: str | os.PathLike[str] | None = None,
    *,
    head: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    device: str = "auto",
    limits: WorkLimits | None = None,
) -> "Scorer | FeatureScorer":
    """Load trained models for scoring.

    Args:
        run_dir: a run folder that the stages train and compare have written, or an export. None takes the one that the
            environment variable NR_VQM_RUN names, or else the one that ships with nr-vqm.
        head: what predicts the video's quality, one of `head_table.SCORERS` such as 'lstm' or 'svr'; None takes that of
            the export, 'lstm' where it names none. The heads on hand-crafted features, such as 'brisque', and 'teacher'
            need no TensorFlow and give no quality of clips.
        engine: what computes the 3D-CNN: 'openvino', for an export, or 'keras', for a run. None takes OpenVINO where
            there is an export; it loads neither TensorFlow nor Keras.
        precision: of the 3D-CNN computed by Keras: 'float32', 'mixed_bfloat16', or 'auto' for the fastest on this
            machine; None uses the run's own setting. OpenVINO computes in float32.
        device: of Keras: 'auto', 'cpu', 'gpu', or one GPU such as 'gpu:1'. It must be chosen before TensorFlow's first
            operation. OpenVINO computes on the processor.
        limits: on the pixels, the time and the memory of each video file; None for the defaults of WorkLimits.

    Returns:
        A Scorer; its `score` method takes a path or an array of frames. For a head on hand-crafted features and the
        teacher a FeatureScorer, whose `score` method takes a path.

    Raises:
        FileNotFoundError: the run has no such model.
        ValueError: a model is damaged or was not written by nr-vqm (checked before it is loaded), or the engine, the
            precision or the device does not exist.
        RuntimeError: this process was forked from one that has loaded a run, in which TensorFlow would hang.

    Examples:
        >>> import nr_vqm
        >>> scorer = nr_vqm.load(run_dir)
        >>> score = scorer.score(video_path)
        >>> score.frames, score.scale_min, score.scale_max
        (20, 0.0, 100.0)
        >>> score.scale_min <= score.score <= score.scale_max
        True
        >>> score.clip_quality.shape  # (num_groups, num_blocks)
        (5, 6)
    """
    source = model_source.find(run_dir, head, engine=engine)
    return source.load(precision=precision, device=device, limits=limits)


def score(
    source: str | os.PathLike[str] | np.ndarray,
    run_dir: str | os.PathLike[str] | None = None,
    *,
    head: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    device: str = "auto",
    stream: int | None = None,
    deinterlace: bool = False,
) -> "Score":
    """Score one video. For several videos, `load` the run once and call `Scorer.score`.

    Args:
        source: path of a video, or its frames: uint8 RGB, shape (num_frames, height, width, 3), values 0-255.
        run_dir: the run folder or the export, see `load`.
        head: see `load`.
        engine: see `load`.
        precision: see `load`.
        device: see `load`.
        stream: see `Scorer.score`.
        deinterlace: see `Scorer.score`.

    Returns:
        The Score of the video.

    Raises:
        FileNotFoundError: the video or a model does not exist.
        ValueError: the video cannot be decoded or is shorter than one clip, or `load` refuses the run.

    Examples:
        >>> import numpy as np
        >>> import nr_vqm
        >>> grey = np.full((9, 48, 72, 3), 128, np.uint8)
        >>> score = nr_vqm.score(grey, run_dir, head="svr")
        >>> score.head, score.frames, score.warnings
        ('svr', 9, ('100 % of the frames show one uniform colour: unlike the videos the model was trained on',))
    """
    scorer = load(run_dir, head=head, engine=engine, precision=precision, device=device)
    return scorer.score(source, stream=stream, deinterlace=deinterlace)
