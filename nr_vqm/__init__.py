"""nr-vqm: how good a video looks, without the original. The 3D-CNN+LSTM of You & Korhonen, ICIP 2019."""

__version__ = "0.1.0"


def load(run_dir, *, head="lstm"):
    """Load a run folder.

    Args:
        run_dir: a folder that train and compare wrote.
        head: 'lstm' or 'svr', what pools the clips.

    Returns:
        `nr_vqm.scoring.Scorer`; its `score(path or array)` gives a `nr_vqm.video_score.Score`.

    Raises:
        FileNotFoundError, ValueError: a model is missing, damaged or not ours; said before TensorFlow is imported.
    """
    from nr_vqm import bundle

    bundle.check_run(run_dir, head)
    from nr_vqm import decoder_worker, devices

    decoder_worker.start()  # while TensorFlow is imported
    devices.quiet_tensorflow()
    from nr_vqm.scoring import Scorer

    return Scorer(run_dir, head=head)


def score(source, run_dir, *, head="lstm"):
    """Score one video: `load(run_dir, head=head).score(source)`."""
    return load(run_dir, head=head).score(source)
