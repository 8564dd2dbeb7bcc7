"""Headline of a report: the head that agrees best with the MOS, and the paired tests in words."""

import math
from collections.abc import Mapping
from typing import Any

from nr_vqm.models import head_table

ALPHA = 0.05  # significance level; decision 0006
LOWER_IS_BETTER = ("rmse",)


def ranking(metrics: Mapping[str, Any]) -> list[str]:
    """Sort the heads by median SROCC, best first; heads without one come last."""
    heads = metrics["heads"]
    return sorted(heads, key=lambda head: -math.inf if (v := heads[head]["srocc"]["median"]) is None else v)[::-1]


def shown_tests(metrics: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tests of the LSTM head, the paper's comparison first; without an LSTM head all tests."""
    of_lstm = [test for test in metrics["tests"] if "lstm" in (test["first"], test["second"])]
    return sorted(of_lstm, key=lambda test: "svr" not in (test["first"], test["second"])) or metrics["tests"]


def outcome(figure: str, test: Mapping[str, Any] | None) -> str:
    """Return the result of a paired test for the first head.

    Args:
        figure: 'srocc', 'plcc' or 'rmse'.
        test: {difference, low, high, p} of metrics.json, first head minus second; None where it is undefined.

    Returns:
        'better', 'worse', 'no significant difference', or 'not tested'.

    >>> outcome("rmse", {"difference": -0.2, "p": 0.01})
    'better'
    >>> outcome("srocc", {"difference": -0.2, "p": 0.3})
    'no significant difference'
    """
    if test is None or test["p"] is None:
        return "not tested"
    if test["p"] >= ALPHA:
        return "no significant difference"
    return "better" if (test["difference"] < 0) == (figure in LOWER_IS_BETTER) else "worse"


def headline(metrics: Mapping[str, Any], *, raters: str) -> dict[str, str]:
    """Summarise a comparison in words.

    Args:
        metrics: content of metrics.json.
        raters: whose opinions the scores are compared with.

    Returns:
        {'winner', 'sentence', 'claim'}: the head that agrees best, if it is significantly better than the second; the
        comparison of these two; and the paper's comparison of LSTM and SVR where these are two other heads.
    """
    order = ranking(metrics)
    if metrics["heads"][order[0]]["srocc"]["median"] is None:
        sentence = "The scores of every head are all the same."
        return {"winner": "No head has a rank correlation with the MOS", "sentence": sentence, "claim": ""}
    found = {"winner": f"{head_table.label(order[0])} agrees best with {raters}", "sentence": "", "claim": ""}
    if len(order) > 1:
        found["sentence"] = _compared(metrics, order[0], order[1])
        test, _ = _srocc_test(metrics, order[0], order[1])
        if test and (test["p"] is None or test["p"] >= ALPHA):
            found["winner"] = f"No head agrees significantly better with {raters} than the next"
    if {"lstm", "svr"} <= set(order) and set(order[:2]) != {"lstm", "svr"}:
        found["claim"] = _compared(metrics, "lstm", "svr")
    return found


def format_p(value: float | None) -> str:
    """Format a p value with two significant digits.

    >>> format_p(0.2), format_p(0.001), format_p(None)
    ('p = 0.20', 'p < 0.005', '–')
    """
    if value is None:
        return "–"
    return "p < 0.005" if value < 0.005 else f"p = {value:#.2g}"


def _compared(metrics: Mapping[str, Any], first: str, second: str) -> str:
    """Return a sentence that compares the SROCC of two heads."""
    test, sign = _srocc_test(metrics, first, second)
    names = head_table.label(first), head_table.label(second)
    if test is None:
        return f"{names[0]} and {names[1]} cannot be compared: the scores of one of them are all the same."
    difference = sign * test["difference"]
    side = "higher" if difference >= 0 else "lower"
    text = f"The SROCC of {names[0]} is {abs(difference):.3f} {side} than that of {names[1]}"
    if test["p"] is None:
        return f"{text}; there are too few test contents for a significance test."
    if test["p"] >= ALPHA:
        return f"{text}: no significant difference ({format_p(test['p'])})."
    return f"{text}, a statistically significant difference ({format_p(test['p'])})."


def _srocc_test(metrics: Mapping[str, Any], first: str, second: str) -> tuple[Mapping[str, Any] | None, int]:
    """Return the test of two heads' SROCC, or None, and the sign that turns its difference into first minus second."""
    return next(
        (test["srocc"], 1 if test["first"] == first else -1)
        for test in metrics["tests"]
        if {test["first"], test["second"]} == {first, second}
    )
