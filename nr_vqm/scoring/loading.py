"""Load a trained run and score videos with it: the functions that `nr_vqm` exports."""

import os
from typing import TYPE_CHECKING

import numpy as np

from nr_vqm import presets
from nr_vqm.common import devices, fork_check
from nr_vqm.models import head_table
from nr_vqm.runs import model_check
from nr_vqm.video import decoder_processes
from nr_vqm.video.work_limits import WorkLimits

if TYPE_CHECKING:
    from nr_vqm.scoring.feature_scorer import FeatureScorer
    from nr_vqm.scoring.score import Score
    from nr_vqm.scoring.scorer import Scorer


def load(
    run_dir: str | os.PathLike[str],
    *,
    head: str = "lstm",
    precision: str | None = None,
    device: str = "auto",
    limits: WorkLimits | None = None,
) -> "Scorer | FeatureScorer":
    """Load a trained run for scoring.

    Args:
        run_dir: a run folder that the stages train and compare have written.
        head: what predicts the video's quality, one of `head_table.SCORERS` such as 'lstm' or 'svr'. The heads on
            hand-crafted features, such as 'brisque', and 'teacher' need no TensorFlow and give no quality of clips.
        precision: of the 3D-CNN: 'float32', 'mixed_bfloat16', or 'auto' for the fastest on this machine; None uses
            the run's own setting.
        device: 'auto', 'cpu', 'gpu', or one GPU such as 'gpu:1'. It must be chosen before TensorFlow's first
            operation.
        limits: on the pixels, the time and the memory of each video file; None for the defaults of WorkLimits.

    Returns:
        A Scorer; its `score` method takes a path or an array of frames. For a head on hand-crafted features and the
        teacher a FeatureScorer, whose `score` method takes a path.

    Raises:
        FileNotFoundError: the run has no such model.
        ValueError: a model is damaged or was not written by nr-vqm (checked before TensorFlow loads it), or the
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
    model_check.check_run(run_dir, head)
    if precision not in (None, *presets.PRECISIONS):
        raise ValueError(f"A precision is one of {', '.join(presets.PRECISIONS)}. Received: {precision!r}.")
    fork_check.mark()
    decoder_processes.start()  # they start while TensorFlow is imported
    if head == head_table.TEACHER:
        from nr_vqm.scoring.teacher_scorer import TeacherScorer

        return TeacherScorer(run_dir, limits=limits)
    if not head_table.needs_networks(head):
        from nr_vqm.scoring.rival_scorer import RivalScorer

        return RivalScorer(run_dir, head=head, limits=limits)
    devices.start(device)
    from nr_vqm.scoring.scorer import Scorer

    return Scorer(run_dir, head=head, precision=precision, limits=limits)


def score(
    source: str | os.PathLike[str] | np.ndarray,
    run_dir: str | os.PathLike[str],
    *,
    head: str = "lstm",
    precision: str | None = None,
    device: str = "auto",
    stream: int | None = None,
    deinterlace: bool = False,
) -> "Score":
    """Score one video. For several videos, `load` the run once and call `Scorer.score`.

    Args:
        source: path of a video, or its frames: uint8 RGB, shape (num_frames, height, width, 3), values 0-255.
        run_dir: the run folder, see `load`.
        head: see `load`.
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
    scorer = load(run_dir, head=head, precision=precision, device=device)
    return scorer.score(source, stream=stream, deinterlace=deinterlace)
