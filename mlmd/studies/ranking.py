"""Which of several surrogates is nearest to the reference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

RULE = (
    "Ranked by the fewest properties that are wrong (no), then the fewest that are open "
    "(inconclusive), then the smallest error of D, then of g(r)."
)


def ranked(contents: Mapping[str, Mapping[str, Any] | None]) -> list[str]:
    """Return labels, the best first.

    Parameters
    ----------
    contents
        What :meth:`mlmd.comparison.Comparison.to_dict` gives by label; None for a surrogate
        whose dynamics failed, which comes last. What was not computed counts as the worst.
    """
    return sorted(contents, key=lambda label: _key(contents[label]))


def _key(content: Mapping[str, Any] | None) -> tuple[float, ...]:
    if content is None:
        return (math.inf,)
    answers = [verdict["answer"] for verdict in content["verdict"].values()]
    error_of_D = (content["diffusivity"] or {}).get("log10_mae")
    r2 = (content["rdf"] or {}).get("r2_pooled")
    return (
        float(answers.count("no")),
        float(answers.count("inconclusive")),
        math.inf if error_of_D is None else error_of_D,
        math.inf if r2 is None else 1.0 - r2,
    )
