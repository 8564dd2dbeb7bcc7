"""Headline of a report: the accuracy of the head that scores videos, and the paired tests in words."""

import math
from collections.abc import Mapping
from typing import Any

from nr_vqm.models import head_table

ALPHA = 0.05  # significance level; decision 0006
LOWER_IS_BETTER = ("rmse",)
SCORING_HEAD = "lstm"  # the default of `nr-vqm score --head`


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


def shown_head(metrics: Mapping[str, Any]) -> str:
    """Return the head that a report is about: the one that scores videos by default, else the best of the others."""
    return SCORING_HEAD if SCORING_HEAD in metrics["heads"] else ranking(metrics)[0]


def headline(metrics: Mapping[str, Any], *, raters: str) -> dict[str, str]:
    """Summarise a comparison in words.

    Args:
        metrics: content of metrics.json.
        raters: whose opinions the scores are compared with.

    Returns:
        {'title', 'others', 'claim'}: the accuracy of `shown_head`; how it compares with the other heads; and the
        paper's comparison of LSTM and SVR.
    """
    head = shown_head(metrics)
    figure = metrics["heads"][head]["srocc"]["median"]
    if figure is None:
        title = f"{head_table.label(head)}: no rank correlation with {raters}, as all its scores are the same"
    else:
        title = f"{head_table.label(head)}: SROCC {figure:.3f} with {raters}"
    claim = _compared(metrics, "lstm", "svr") if {"lstm", "svr"} <= set(metrics["heads"]) else ""
    return {"title": title, "others": _others(metrics, head), "claim": claim}


def _others(metrics: Mapping[str, Any], head: str) -> str:
    """Return sentences with the other heads, grouped by the outcome of the test of the SROCC."""
    outcomes: dict[str, list[str]] = {}
    for other in metrics["heads"]:
        if other != head:
            test, sign = _srocc_test(metrics, head, other)
            signed = test and {**test, "difference": sign * test["difference"]}
            outcomes.setdefault(outcome("srocc", signed), []).append(head_table.label(other))
    words = {
        "better": "Better than", "worse": "Worse than",
        "no significant difference": "Not significantly different from", "not tested": "Not tested against",
    }  # fmt: skip
    found = [f"{text}: {'; '.join(outcomes[name])}." for name, text in words.items() if name in outcomes]
    return " ".join(found)


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
