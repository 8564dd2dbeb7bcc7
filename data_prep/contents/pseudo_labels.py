"""The pseudo-label of a version: people's level of its undistorted view, less what the distortions take. Decision 0018.

The level is the teacher's estimate of people's MOS. The loss comes from VMAF and from the tables of distortions.
"""

VMAF_BAD = 20.0  # VMAF's scale: 20 is bad and 100 excellent, linear between (Netflix, VMAF: the journey continues)
BEST = 5.0  # level of an undistorted view without a teacher


def vmaf_impairment(vmaf: float, own: float) -> float:
    """Convert VMAF to an impairment.

    Args:
        vmaf: of the version, 0-100.
        own: of the undistorted view compared with itself, somewhat below 100 in still video.

    Returns:
        0 (as good as the undistorted view) to 1 (bad).

    >>> vmaf_impairment(70, own=100), vmaf_impairment(10, own=100), vmaf_impairment(99, own=98)
    (0.375, 1.0, 0.0)
    """
    return min(1.0, max(0.0, (own - vmaf) / (own - VMAF_BAD)))


def combined_impairment(tables: float, vmaf: float | None, *, loss: str) -> float:
    """Combine the impairments by the tables and by VMAF.

    Args:
        tables: 0-1.
        vmaf: 0-1; None where VMAF does not judge the distortion, so that the tables alone count.
        loss: one of `presets.CONTENTS_LOSSES`; 'both' is the mean.

    >>> combined_impairment(0.2, 0.4, loss="both"), combined_impairment(0.2, None, loss="vmaf")
    (0.3, 0.2)
    """
    if vmaf is None or loss == "tables":
        return tables
    return round(vmaf if loss == "vmaf" else (tables + vmaf) / 2, 12)


def label(level: float, impairment: float) -> float:
    """Compute the label of a version, 1-5.

    A distortion takes a share of what is left above 1, so that it costs less where the undistorted view is bad already.

    Args:
        level: of the undistorted view, 1-5.
        impairment: 0-1.

    >>> label(3.0, 0.0), label(3.0, 0.25), label(5.0, 1.0)
    (3.0, 2.5, 1.0)
    """
    return 1 + (level - 1) * (1 - impairment)
