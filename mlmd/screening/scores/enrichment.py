"""How many times as many good ones a list holds as a random control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import whole_number

if TYPE_CHECKING:
    from numpy.random import Generator

_SAMPLES = 20_000


@dataclass(frozen=True)
class Enrichment:
    """Shares of good materials in a list and in a control, and their ratio.

    Attributes
    ----------
    share, control_share
        As counted.
    ratio
        Of the shares; infinite where the control holds none.
    low, high
        Between which the ratio lies with 95 %, by what the counts say of the shares (Jeffreys).
    """

    share: float
    control_share: float
    ratio: float
    low: float
    high: float


def enrichment(
    n_good: int, n: int, n_good_control: int, n_control: int, rng: Generator
) -> Enrichment:
    """Return the enrichment of a list over a control of which some were found to be good.

    Raises
    ------
    InputError
        If counts are not whole numbers, or there are more good ones than there are.
    """
    n, n_control = whole_number("n", n), whole_number("n_control", n_control)
    good = whole_number("n_good", n_good, least=0, most=n)
    in_control = whole_number("n_good_control", n_good_control, least=0, most=n_control)
    shares = rng.beta(good + 0.5, n - good + 0.5, _SAMPLES)
    controls = rng.beta(in_control + 0.5, n_control - in_control + 0.5, _SAMPLES)
    low, high = np.quantile(shares / controls, (0.025, 0.975))
    share, control = good / n, in_control / n_control
    ratio = share / control if control else np.inf
    return Enrichment(share, control, float(ratio), float(low), float(high))
