"""Reading of csv files that users write or edit."""

import contextlib
import csv
import os
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], *, errors: str = "strict") -> Iterator[TextIO]:
    """Open a csv file for the readers of `csv`.

    Args:
        path: the file, in UTF-8 with or without a byte order mark.
        errors: treatment of other bytes, as for `open`.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not UTF-8, or not a csv, for example because a quote is not closed.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig", errors=errors) as file:
            yield file
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as csv ({error}). Check its quotes, and save it as UTF-8.") from error
