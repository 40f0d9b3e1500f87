"""Charge diffusivity and Haven ratio: do the ions move independently of each other?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

from mlmd.analysis.checks import check_trajectory
from mlmd.analysis.diffusion.diffusivity import Diffusivity, diffusivity
from mlmd.analysis.transport.collective import (
    Carriers,
    Reference,
    charge_walker,
    checked_carriers,
)
from mlmd.checks import choice
from mlmd.plain import plain_fields, to_plain

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.estimators.options import WeightedOptions
    from mlmd.trajectory.trajectory import Trajectory

ChargeEstimator = Literal["gls", "windowed", "weighted"]
"""Estimators for both the tracer and the charge diffusivity."""


class ChargeOptions(TypedDict, total=False):
    """Keywords of :func:`charge_diffusivity`, which conductivity hands on."""

    reference: Reference
    estimator: ChargeEstimator
    fit_ps: tuple[float, float] | None
    window_ps: float | None
    options: WeightedOptions | None


_MOST_SHARED = 0.5  # of the charge's variance, that is credited to the tracers


@dataclass(frozen=True, eq=False)
class ChargeDiffusivity:
    r"""Diffusivity of the charge, and that of the ions for comparison.

    .. math:: D_\sigma = \lim_{t \to \infty} \frac{\langle |\sum_i z_i \Delta \mathbf r_i(t)|^2
        \rangle}{6 t \sum_{i \in \text{mobile}} z_i^2}

    Attributes
    ----------
    carriers : Carriers
        Mobile species, oxidation states, reference, and what is known of neutrality.
    D_raw_cm2_s, D_stderr_cm2_s, D_interval68_cm2_s
        Charge diffusivity in cm^2/s, whether or not the ions diffuse; errors may be None.
    tracer_D_raw_cm2_s, tracer_stderr_cm2_s, tracer_interval68_cm2_s
        Mean of the mobile species' tracer diffusivities, weighted by their z^2.
    haven_ratio_raw, haven_stderr, haven_interval68
        Tracer over charge diffusivity. The errors are None where the charge diffusivity is zero
        within its own: ions that rattle in cages diffuse for a while, but their charge does not.
    tracers : mapping of str to Diffusivity
        By mobile species.
    collective : Diffusivity
        Of the normalised charge displacement, with its MSD. Its verdict on the motion, of one
        walker, means nothing.
    estimator : str
        Of both.
    """

    carriers: Carriers
    D_raw_cm2_s: float
    D_stderr_cm2_s: float | None
    D_interval68_cm2_s: tuple[float, float] | None
    tracer_D_raw_cm2_s: float
    tracer_stderr_cm2_s: float | None
    tracer_interval68_cm2_s: tuple[float, float] | None
    haven_ratio_raw: float
    haven_stderr: float | None
    haven_interval68: tuple[float, float] | None
    tracers: Mapping[str, Diffusivity]
    collective: Diffusivity
    estimator: ChargeEstimator

    @property
    def is_diffusive(self) -> bool:
        """Whether every mobile species diffuses."""
        return all(tracer.is_diffusive for tracer in self.tracers.values())

    @property
    def reason(self) -> str:
        """The verdicts on the mobile species in words."""
        return "; ".join(f"{symbol}: {tracer.reason}" for symbol, tracer in self.tracers.items())

    @property
    def D_cm2_s(self) -> float | None:
        """Charge diffusivity; None where a mobile species does not diffuse."""
        return self.D_raw_cm2_s if self.is_diffusive else None

    @property
    def haven_ratio(self) -> float | None:
        """Haven ratio; None where a mobile species does not diffuse."""
        return self.haven_ratio_raw if self.is_diffusive else None

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON; what is not known is None."""
        content = {
            **plain_fields(self.carriers, ("squared_charge",)),
            "is_diffusive": self.is_diffusive,
            "reason": self.reason,
            "D_charge_cm2_s": self.D_cm2_s,
            "D_charge_raw_cm2_s": self.D_raw_cm2_s,
            "D_charge_stderr_cm2_s": self.D_stderr_cm2_s,
            "D_charge_interval68_cm2_s": self.D_interval68_cm2_s,
            "D_tracer_raw_cm2_s": self.tracer_D_raw_cm2_s,
            "D_tracer_stderr_cm2_s": self.tracer_stderr_cm2_s,
            "D_tracer_interval68_cm2_s": self.tracer_interval68_cm2_s,
            "haven_ratio": self.haven_ratio,
            "haven_ratio_raw": self.haven_ratio_raw,
            "haven_stderr": self.haven_stderr,
            "haven_interval68": self.haven_interval68,
            "estimator": self.estimator,
            "fit_ps": self.collective.settings.fit_ps,
        }
        return {name: to_plain(value) for name, value in content.items()}


def charge_diffusivity(
    trajectory: Trajectory,
    oxidation_states: Mapping[str, float],
    species: str | Sequence[str],
    *,
    reference: Reference = "neutral",
    estimator: ChargeEstimator = "gls",
    fit_ps: tuple[float, float] | None = None,
    window_ps: float | None = None,
    options: WeightedOptions | None = None,
) -> ChargeDiffusivity:
    """Charge diffusivity from the collective displacement of all charges, over all origins.

    The charge displacement is the path of one walker, whatever the number of ions: its
    diffusivity is much less certain than a tracer's, and its chi-squared interval asymmetric.

    Parameters
    ----------
    trajectory
        Unwrapped positions at even intervals.
    oxidation_states
        By chemical symbol; they are never guessed.
    species
        The mobile species, one or several.
    reference
        "neutral": every species has an oxidation state, they add up to zero, and the charge
        displacement does not depend on the frame of reference. "framework": only the mobile ions
        count, against the mass-weighted centre of the rest.
    estimator
        "gls" (the error follows from the walk and from the scatter of blocks of time),
        "windowed" (from that of windows), or "weighted", as pymatgen-analysis-diffusion: without an
        error, the framework's centre not weighted by mass.
    fit_ps
        Lags of the fit. Where not given, "gls" takes for the charge the lags at which the tracers
        were found to diffuse.
    window_ps
        For "windowed".
    options
        For "weighted".

    Raises
    ------
    InputError
        If oxidation states are missing, are not known or do not add up to zero, or a diffusivity
        cannot be had.

    References
    ----------
    A. Marcolongo, N. Marzari, Phys. Rev. Materials 1, 025402 (2017).
    DOI 10.1103/PhysRevMaterials.1.025402
    """
    check_trajectory(trajectory)
    choice("estimator of the charge", estimator, get_args(ChargeEstimator))
    carriers = checked_carriers(trajectory, oxidation_states, species, reference)
    measure = partial(
        diffusivity, estimator=estimator, window_ps=window_ps, options=options, fit_ps=fit_ps
    )
    # Tracers in the frame of reference of the charge.
    framework = reference == "framework" and len(carriers.species) == 1
    tracers = {
        symbol: measure(trajectory, symbol, drift="framework" if framework else "cell")
        for symbol in carriers.species
    }
    published = estimator == "weighted"
    n_mobile = sum(tracer.n_atoms for tracer in tracers.values())
    walker = charge_walker(
        trajectory, carriers, plain_average=published, copies=n_mobile if published else 1
    )
    if fit_ps is None and estimator == "gls":
        ranges = [tracer.settings.fit_ps for tracer in tracers.values()]
        fit_ps = max(pair for pair in ranges if pair is not None)
    collective = measure(walker, walker.species[0], fit_ps=fit_ps, drift="none")
    D, stderr, interval = _mean_tracer(carriers, tracers)
    ratio, ratio_stderr, limits = _haven(D, stderr, collective)
    return ChargeDiffusivity(
        carriers=carriers,
        D_raw_cm2_s=collective.D_raw_cm2_s,
        D_stderr_cm2_s=collective.D_stderr_cm2_s,
        D_interval68_cm2_s=collective.D_interval68_cm2_s,
        tracer_D_raw_cm2_s=D,
        tracer_stderr_cm2_s=stderr,
        tracer_interval68_cm2_s=interval,
        haven_ratio_raw=ratio,
        haven_stderr=ratio_stderr,
        haven_interval68=limits,
        tracers=tracers,
        collective=collective,
        estimator=estimator,
    )


def _mean_tracer(
    carriers: Carriers, tracers: Mapping[str, Diffusivity]
) -> tuple[float, float | None, tuple[float, float] | None]:
    """Mean over the mobile species by z^2, its error and interval."""
    shares = [
        tracer.n_atoms * carriers.oxidation_states[symbol] ** 2 / carriers.squared_charge
        for symbol, tracer in tracers.items()
    ]
    found = list(tracers.values())
    D = sum(share * tracer.D_raw_cm2_s for share, tracer in zip(shares, found, strict=True))
    variance = lower = upper = 0.0
    for share, tracer in zip(shares, found, strict=True):
        if tracer.D_stderr_cm2_s is None or tracer.D_interval68_cm2_s is None:
            return D, None, None
        low, high = tracer.D_interval68_cm2_s
        variance += (share * tracer.D_stderr_cm2_s) ** 2
        lower += (share * (tracer.D_raw_cm2_s - low)) ** 2
        upper += (share * (high - tracer.D_raw_cm2_s)) ** 2
    return D, math.sqrt(variance), (D - math.sqrt(lower), D + math.sqrt(upper))


def _haven(
    D: float, stderr: float | None, collective: Diffusivity
) -> tuple[float, float | None, tuple[float, float] | None]:
    r"""Haven ratio, its error and interval; infinite where no charge moves.

    The charge diffusivity is the tracers' and what the ions do together. Where the two parts
    fluctuate independently, as for n walkers or n groups of them, the tracers' relative variance is
    shared and drops out of the ratio: :math:`v_H = v_\sigma - v_D`. At most half is let drop.
    """
    charge, charge_stderr = collective.D_raw_cm2_s, collective.D_stderr_cm2_s
    limits = collective.D_interval68_cm2_s
    if charge == 0.0:
        return math.inf, None, None
    ratio = D / charge
    if stderr is None or not charge_stderr or limits is None or D <= 0:
        return ratio, None, None
    relative = abs(charge_stderr / charge)
    left = math.sqrt(1.0 - min((stderr / D / relative) ** 2, _MOST_SHARED))
    low, high = (charge + left * (limit - charge) for limit in limits)
    if low <= 0:
        return ratio, None, None
    return ratio, ratio * relative * left, (D / high, D / low)
