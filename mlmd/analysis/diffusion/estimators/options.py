"""Settings that only one estimator has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlmd.checks import whole_number
from mlmd.errors import InputError


@dataclass(frozen=True)
class BlocksOptions:
    """Settings of ``blocks``, under the names that mpmorph gives them.

    Attributes
    ----------
    corr_t : int
        Frames between the starts of two blocks' origins.
    block_l : int
        Correlation lengths between two origins that are used.
    skip_first : int
        Frames left out at the start of the trajectory.
    l_lim : int
        First lag of the fit in frames.
    """

    corr_t: int = 300
    block_l: int = 2
    skip_first: int = 250
    l_lim: int = 50

    def __post_init__(self) -> None:
        """Check the signs."""
        for name, least in {"corr_t": 1, "block_l": 1, "skip_first": 0, "l_lim": 0}.items():
            whole_number(name, getattr(self, name), least)


@dataclass(frozen=True)
class WeightedOptions:
    """Settings of ``weighted``, under the names that pymatgen-analysis-diffusion gives them.

    Attributes
    ----------
    smoothed : str or False
        "max": all origins for each lag; "constant": ``avg_nsteps`` of them; False: the first.
    min_obs : int
        Observations (atoms times origins) that a lag needs with "max".
    avg_nsteps : int
        Origins with "constant".
    """

    smoothed: Literal["max", "constant", False] = False
    min_obs: int = 30
    avg_nsteps: int = 1000

    def __post_init__(self) -> None:
        """Check the names."""
        if self.smoothed not in ("max", "constant", False):
            raise InputError(f"smoothed is {self.smoothed!r}; give 'max', 'constant' or False")
        whole_number("min_obs", self.min_obs)
        whole_number("avg_nsteps", self.avg_nsteps)


@dataclass(frozen=True)
class KinisiOptions:
    """Settings of ``kinisi``.

    Attributes
    ----------
    n_samples : int
        Samples of the posterior.
    seed : int
        Of the sampling.
    """

    n_samples: int = 1000
    seed: int = 0


EstimatorOptions = BlocksOptions | WeightedOptions | KinisiOptions
"""Options of one estimator; each belongs to the estimator of its name."""
