"""The structural relaxation time of one species, from its self-intermediate scattering function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.diffusion.units import JUMP_LENGTH_A
from mlmd.digits import TERMINAL, number

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.walkers import Walkers

_LAGS = 36
_LONGEST = 2  # lags reach to this part of the trajectory
_ORIGINS = 100
_FORGOTTEN = math.exp(-1.0)


@dataclass(frozen=True)
class Relaxation:
    r"""When the atoms of a species have forgotten where they were.

    That is when :math:`F_s(q, t) = \langle \sin(q r) / (q r) \rangle`, r the displacement in t,
    has fallen to 1/e, at :math:`q = 2 \pi / 3` per angstrom, which is near the first maximum of
    S(q) of most condensed matter.

    Attributes
    ----------
    time_ps : float or None
        That time; None if it is not within half the run.
    relaxations : float
        Length of the run over that time; an upper limit, 2, where that is not reached.
    """

    time_ps: float | None
    relaxations: float

    def __str__(self) -> str:
        """Say how many relaxation times the run lasts."""
        if self.time_ps is None:
            return f"less than {number(self.relaxations, 2, TERMINAL)} relaxation times"
        times, each_ps = (number(one, 2, TERMINAL) for one in (self.relaxations, self.time_ps))
        return f"{times} relaxation times of {each_ps} ps"


def relaxation(walkers: Walkers, interval_ps: float) -> Relaxation:
    """Measure the relaxation time of the atoms that are measured.

    Parameters
    ----------
    walkers
        The atoms, without drift.
    interval_ps
        Time between frames.
    """
    longest = max(1, (len(walkers) - 1) // _LONGEST)
    before_lag, before = 0.0, 1.0
    for lag in np.unique(np.geomspace(1, longest, _LAGS).round().astype(int)):
        origins = np.arange(0, len(walkers) - lag, max(1, (len(walkers) - lag) // _ORIGINS))
        moved = walkers.at(origins + lag) - walkers.at(origins)
        distance = np.sqrt(np.einsum("fax,fax->fa", moved, moved))
        value = float(np.sinc(distance * (2.0 / JUMP_LENGTH_A)).mean())
        if value < _FORGOTTEN:
            share = (before - _FORGOTTEN) / (before - value)
            time_ps = (before_lag + share * (float(lag) - before_lag)) * interval_ps
            return Relaxation(time_ps, (len(walkers) - 1) * interval_ps / time_ps)
        before_lag, before = float(lag), value
    return Relaxation(None, float(_LONGEST))
