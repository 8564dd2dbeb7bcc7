"""nr-vqm: how good a video looks, without the original. The 3D-CNN+LSTM of You & Korhonen, ICIP 2019."""

__version__ = "0.1.0"


def load(run_dir, *, head="lstm"):
    """Load a run folder; see `nr_vqm.scoring.Scorer`."""
    from nr_vqm import devices

    devices.quiet_tensorflow()
    from nr_vqm.scoring import Scorer

    return Scorer(run_dir, head=head)


def score(source, run_dir, *, head="lstm"):
    """Score one video: `load(run_dir, head=head).score(source)`."""
    return load(run_dir, head=head).score(source)
