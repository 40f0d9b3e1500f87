"""Yes, no or inconclusive, with the reason: rules that turn numbers into answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

from mlmd.numerics.student import student_factor

Answer = Literal["yes", "no", "inconclusive"]

CERTAIN = 0.95
"""Probability of the interval that an answer must be sure of."""

_LEAST_ROOM = 0.5
"""Of the limit: a value that lies on it would need for ever, and in a longer run lies elsewhere."""


@dataclass(frozen=True)
class Judgement:
    """Answer about one system or point.

    ``needs_ps`` is what runs have to be longer than to tell, where the answer is open and more
    data would: noise falls as one over the length at best.
    """

    answer: Answer
    reason: str
    value: float | None
    needs_ps: float | None = None

    @classmethod
    def open(cls, reason: str, value: float | None, needs_ps: float | None) -> Judgement:
        """Return an answer that is open, and say for how long to run where that is known."""
        if needs_ps is None or not math.isfinite(needs_ps):
            return cls("inconclusive", reason, value)
        rounded = float(f"{needs_ps:.2g}")
        text = f"{reason}; longer than {rounded:g} ps needed"
        return cls("inconclusive", text, value, needs_ps)


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
    needs_ps : float or None
        What runs have to be longer than to tell, where the answer is open and that is known: the
        largest of all systems that are.
    """

    answer: Answer
    reason: str
    value: float | None
    threshold: Mapping[str, float]
    by_temperature: Mapping[str, Judgement] = field(default_factory=dict)
    needs_ps: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return {
            "answer": self.answer,
            "reason": self.reason,
            "value": self.value,
            "needs_ps": self.needs_ps,
            "threshold": dict(self.threshold),
            "by_temperature": {key: vars(one) for key, one in self.by_temperature.items()},
        }


def within(
    value: float,
    limit: float,
    stderr: float | None,
    *,
    text: str,
    interval_unknown: str = "",
    df: float = math.inf,
    length_ps: float | None = None,
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
    df
        Degrees of freedom of the error.
    length_ps
        Of the runs, to say how much longer ones would tell.
    """
    if stderr is None:
        note = f" ({interval_unknown})" if interval_unknown else ""
        inside = abs(value) <= limit
        words = "within" if inside else "beyond"
        return Judgement("yes" if inside else "no", f"{text}, {words} {limit:g}{note}", value)
    half = student_factor(df, CERTAIN) * stderr
    return between(value - half, value + half, limit, value, text, length_ps)


def between(
    low: float,
    high: float,
    limit: float,
    value: float | None,
    text: str,
    length_ps: float | None = None,
) -> Judgement:
    """Judge an interval of 95 % against ``-limit`` to ``limit``.

    Errors fall as one over the root of the length, so that an interval that must be k times as
    narrow needs runs k^2 times as long.
    """
    if -limit <= low and high <= limit:
        return Judgement("yes", f"{text}, surely within {limit:.3g}", value)
    if low > limit or high < -limit:
        return Judgement("no", f"{text}, surely beyond {limit:.3g}", value)
    middle = 0.5 * (low + high)
    room = max(abs(limit - abs(middle)), _LEAST_ROOM * limit)
    needs_ps = None if length_ps is None else length_ps * (0.5 * (high - low) / room) ** 2
    reason = f"{text}: 95 % interval {low:.3g} to {high:.3g} crosses {limit:.3g}"
    return Judgement.open(reason, value, needs_ps)


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
        whole.needs_ps,
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
    needs = [one.needs_ps for _, _, one in cases if one.needs_ps is not None]
    longest = max(needs) if needs and answer == "inconclusive" else None
    if longest is not None:
        return Judgement.open(reason, median(values) if values else None, longest)
    return Judgement(answer, reason, median(values) if values else None)
