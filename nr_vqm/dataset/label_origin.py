"""Where the labels of a database come from: no table shows simulated raters as people. Imports nothing heavy."""

ORIGINS = {  # what prep.json, run.json, metrics.json and score rows hold, and the words for people
    "people": "people's opinions (MOS)",
    "pseudo": "pseudo-labels",
    "synthetic": "simulated raters",
}


def check(origin: object, where: object) -> str:
    """The origin, where it is one of ORIGINS.

    Args:
        origin: the value of 'labels'.
        where: the file that should have it, and what makes that file: 'prep.json (make prep)'.

    Raises:
        ValueError: there is none, or an unknown one.
    """
    if not isinstance(origin, str) or origin not in ORIGINS:
        raise ValueError(
            f"The origin of the labels is needed: {where} must have 'labels', one of {', '.join(ORIGINS)}. "
            f"Received: {origin!r}."
        )
    return origin


def describe(labels: str, trained_labels: str) -> str:
    """The origin in words: 'simulated raters', or 'people's opinions (MOS), trained on simulated raters'.

    Args:
        labels: the origin of the labels that scores are compared with.
        trained_labels: that of the training videos' labels, which may be of another database.
    """
    if trained_labels == labels:
        return ORIGINS[labels]
    return f"{ORIGINS[labels]}, trained on {ORIGINS[trained_labels]}"
