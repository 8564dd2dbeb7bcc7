"""nr-vqm: how good a video looks, without the original. The 3D-CNN+LSTM of You & Korhonen, ICIP 2019."""

__version__ = "0.1.0"


def load(run_dir, *, head="lstm", precision=None, device="auto"):
    """Load a run folder.

    Args:
        run_dir: a folder that train and compare wrote.
        head: 'lstm' or 'svr', what pools the clips.
        precision: 'float32', 'mixed_bfloat16', or 'auto', the one that is fast here; None: the run's own setting.
        device: 'auto', 'cpu', 'gpu', or one GPU as 'gpu:1'; to be chosen before TensorFlow's first operation.

    Returns:
        `nr_vqm.scoring.Scorer`; its `score(path or array)` gives a `nr_vqm.scoring.score.Score`.

    Raises:
        FileNotFoundError, ValueError: a model is missing, damaged or not ours, which is found before TensorFlow is
            imported; or there is no such device.
    """
    from nr_vqm import presets
    from nr_vqm.runs import model_check

    model_check.check_run(run_dir, head)
    if precision not in (None, *presets.PRECISIONS):
        raise ValueError(f"A precision is one of {', '.join(presets.PRECISIONS)}. Received: {precision!r}.")
    from nr_vqm.common import devices
    from nr_vqm.video import decoder_processes

    decoder_processes.start()  # while TensorFlow is imported
    devices.start(device)
    from nr_vqm.scoring.scorer import Scorer

    return Scorer(run_dir, head=head, precision=precision)


def score(source, run_dir, **options):
    """Score one video: `load(run_dir, **options).score(source)`."""
    return load(run_dir, **options).score(source)
