"""Conversion between a database's MOS scale and the 1-5 scale of the networks."""

from typing import overload

import numpy as np

LARGEST = 1e6  # of the ends of a scale: beyond it, quality on 1-5 loses precision
ACR_WORDS = ("bad", "poor", "fair", "good", "excellent")  # the grades 1 to 5 of ITU-T P.910


@overload
def to_unit_5(mos: float, mos_low: float, mos_high: float) -> float: ...
@overload
def to_unit_5(mos: np.ndarray, mos_low: float | np.ndarray, mos_high: float | np.ndarray) -> np.ndarray: ...
def to_unit_5(mos: float | np.ndarray, mos_low: float | np.ndarray, mos_high: float | np.ndarray) -> float | np.ndarray:
    """Convert a MOS to the 1-5 scale that the networks learn.

    Args:
        mos: in the database's unit; a float or an array of any shape.
        mos_low: the lower end of the database's scale, a float or an array of the same shape.
        mos_high: its upper end, likewise.

    Returns:
        The MOS between 1 and 5, of the shape of `mos`.

    >>> to_unit_5(50, 0, 100)
    3.0
    """
    return 1 + 4 * (mos - mos_low) / (mos_high - mos_low)


@overload
def from_unit_5(quality: float, mos_low: float, mos_high: float) -> float: ...
@overload
def from_unit_5(quality: np.ndarray, mos_low: float | np.ndarray, mos_high: float | np.ndarray) -> np.ndarray: ...
def from_unit_5(
    quality: float | np.ndarray, mos_low: float | np.ndarray, mos_high: float | np.ndarray
) -> float | np.ndarray:
    """Convert a quality on the 1-5 scale to the database's unit; the inverse of `to_unit_5`.

    Args:
        quality: on the 1-5 scale; a float or an array of any shape.
        mos_low: the lower end of the database's scale, a float or an array of the same shape.
        mos_high: its upper end, likewise.

    Returns:
        The quality in the database's unit, of the shape of `quality`.

    >>> from_unit_5(3, 0, 100)
    50.0
    """
    return mos_low + (mos_high - mos_low) * (quality - 1) / 4


@overload
def to_score(output: float, mos_low: float, mos_high: float) -> float: ...
@overload
def to_score(output: np.ndarray, mos_low: float | np.ndarray, mos_high: float | np.ndarray) -> np.ndarray: ...
def to_score(
    output: float | np.ndarray, mos_low: float | np.ndarray, mos_high: float | np.ndarray
) -> float | np.ndarray:
    """Convert the output of a head to a score in the database's unit, within the ends of its scale.

    Comparison and scoring both use it.

    Args:
        output: on the 1-5 scale, a float or an array of any shape; values beyond its ends are clipped.
        mos_low: the lower end of the database's scale, a float or an array of the same shape.
        mos_high: its upper end, likewise.

    Returns:
        The score in the database's unit, of the shape of `output`.

    Raises:
        ValueError: an output is not a finite number.

    >>> float(to_score(5.2, 0, 100))
    100.0
    """
    if not np.isfinite(output).all():
        raise ValueError("The run's models gave no finite number for a video. Train the run again.")
    return from_unit_5(np.clip(output, 1.0, 5.0), mos_low, mos_high)


def acr_word(quality: float) -> str:
    """Return the word of the nearest grade of absolute category rating (ITU-T P.910).

    Args:
        quality: on the 1-5 scale.

    >>> acr_word(1.0), acr_word(2.98), acr_word(4.6)
    ('bad', 'fair', 'excellent')
    """
    return ACR_WORDS[min(4, max(0, int(quality - 0.5)))]
