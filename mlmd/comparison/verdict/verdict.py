"""Yes, no or inconclusive, with the reason: rules that turn numbers into answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Answer = Literal["yes", "no", "inconclusive"]

TWO_SIGMA = 1.96
"""Half of a 95 % interval in standard errors: what an answer must be sure of."""


@dataclass(frozen=True)
class Judgement:
    """Answer about one system or point."""

    answer: Answer
    reason: str
    value: float | None


@dataclass(frozen=True)
class Verdict:
    """Answer about one property.

    Attributes
    ----------
    answer : str
        ``yes``, ``no`` or ``inconclusive``.
    reason : str
        Why, with the numbers.
    value : float or None
        What was held against the threshold.
    threshold : mapping of str to float
        The limits that were applied, under their names in ``Thresholds``.
    by_temperature : mapping of str to Judgement
        The same at each temperature; empty where the property has none.
    """

    answer: Answer
    reason: str
    value: float | None
    threshold: Mapping[str, float]
    by_temperature: Mapping[str, Judgement] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return {
            "answer": self.answer,
            "reason": self.reason,
            "value": self.value,
            "threshold": dict(self.threshold),
            "by_temperature": {key: vars(one) for key, one in self.by_temperature.items()},
        }


def within(
    value: float, limit: float, stderr: float | None, *, text: str, interval_unknown: str = ""
) -> Judgement:
    """Judge whether the size of a value is within a limit, with 95 % certainty.

    Parameters
    ----------
    value, limit
        Passes where ``abs(value) <= limit``.
    stderr
        Its standard error; where None the value is taken as it is.
    text
        The value in words.
    interval_unknown
        Added to the reason where there is no error.
    """
    if stderr is None:
        note = f" ({interval_unknown})" if interval_unknown else ""
        inside = abs(value) <= limit
        words = "within" if inside else "beyond"
        return Judgement("yes" if inside else "no", f"{text}, {words} {limit:g}{note}", value)
    return between(value - TWO_SIGMA * stderr, value + TWO_SIGMA * stderr, limit, value, text)


def between(low: float, high: float, limit: float, value: float | None, text: str) -> Judgement:
    """Judge an interval of 95 % against ``-limit`` to ``limit``."""
    if -limit <= low and high <= limit:
        return Judgement("yes", f"{text}, surely within {limit:.3g}", value)
    if low > limit or high < -limit:
        return Judgement("no", f"{text}, surely beyond {limit:.3g}", value)
    return Judgement(
        "inconclusive", f"{text}: 95 % interval {low:.3g} to {high:.3g} crosses {limit:.3g}", value
    )


def together(
    cases: Sequence[tuple[str, str, Judgement]], share: float, threshold: Mapping[str, float]
) -> Verdict:
    """Sum up judgements of systems: a yes needs a share of them.

    Parameters
    ----------
    cases
        Label, key of the temperature, and judgement of each; at least one.
    share
        The share that must pass; more than the rest of failures make a no.
    threshold
        The limits that were applied.
    """
    keys = dict.fromkeys(key for _, key, _ in cases)
    whole = _sum(cases, share)
    return Verdict(
        whole.answer,
        whole.reason,
        whole.value,
        threshold if len(cases) == 1 else {**threshold, "share": share},
        {key: _sum([case for case in cases if case[1] == key], share) for key in keys},
    )


def _sum(cases: Sequence[tuple[str, str, Judgement]], share: float) -> Judgement:
    if len(cases) == 1:
        return cases[0][2]
    n = len(cases)
    passed = sum(one.answer == "yes" for _, _, one in cases)
    failed = [(label, one) for label, _, one in cases if one.answer == "no"]
    answer: Answer = "inconclusive"
    if passed >= share * n:
        answer = "yes"
    elif len(failed) > (1.0 - share) * n:
        answer = "no"
    reason = f"{passed} of {n} yes, {len(failed)} no, {n - passed - len(failed)} inconclusive"
    if failed:
        reason += f"; no for {failed[0][0]}: {failed[0][1].reason}"
    values = [one.value for _, _, one in cases if one.value is not None]
    return Judgement(answer, reason, median(values) if values else None)
