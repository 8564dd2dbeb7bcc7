"""The origin of a database's labels: subjective scores, pseudo-labels, simulated raters, or both of these.

Every table and page states it, so that simulated raters are never taken for people. Imports nothing heavy.
"""

import reprlib

# The key is stored in prep.json, run.json, metrics.json and score rows; the text is shown to the reader.
ORIGINS = {
    "people": "people's opinions (MOS)",
    "pseudo": "pseudo-labels",
    "synthetic": "simulated raters",
    "mixed": "pseudo-labels and simulated raters",
}

# What a score from a run with such labels does not know; a warning of every score.
WARNINGS = {
    "people": (),
    "pseudo": ("trained on pseudo-labels, estimated from people's opinions of other videos",),
    "synthetic": ("trained on simulated raters, not on people's opinions",),
    "mixed": ("trained on pseudo-labels, estimated from people's opinions of other videos, and on simulated raters",),
}


def check(origin: object, where: object) -> str:
    """Validate the origin of labels that a file states.

    Args:
        origin: the value of its key 'labels'.
        where: the file and the command that writes it, for the message: 'prep.json (make prep)'.

    Returns:
        The origin, a key of `ORIGINS`.

    Raises:
        ValueError: the origin is missing or unknown.
    """
    if not isinstance(origin, str) or origin not in ORIGINS:
        raise ValueError(
            f"The origin of the labels is needed: {where} must have 'labels', one of {', '.join(ORIGINS)}. "
            f"Received: {reprlib.repr(origin)}."
        )
    return origin


def describe(labels: str, trained_labels: str) -> str:
    """Describe the origin of the labels of a comparison in words.

    Args:
        labels: origin of the labels that the scores are compared with, a key of `ORIGINS`.
        trained_labels: origin of the training labels, which may belong to another database.

    >>> describe("people", "synthetic")
    "people's opinions (MOS), trained on simulated raters"
    """
    if trained_labels == labels:
        return ORIGINS[labels]
    return f"{ORIGINS[labels]}, trained on {ORIGINS[trained_labels]}"
