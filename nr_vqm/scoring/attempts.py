"""Scoring of one video of a batch, whose failure must not end the batch."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


def attempt(function: Callable[..., Result], *args: Any) -> tuple[Result | None, Exception | None]:
    """Return (result, None), or (None, error): no error of one video may end a batch.

    The environment variable NR_VQM_TRACEBACK=1 raises the error instead.
    """
    try:
        return function(*args), None
    except Exception as error:
        if os.environ.get("NR_VQM_TRACEBACK") == "1":
            raise
        return None, error
