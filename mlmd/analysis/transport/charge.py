"""Charge diffusivity and Haven ratio: do the ions move independently of each other?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.analysis.checks import check_trajectory
from mlmd.analysis.diffusion.diffusivity import Diffusivity, diffusivity, diffusivity_settings
from mlmd.analysis.diffusion.estimators.estimate import DiffusivityOptions
from mlmd.analysis.transport.charge_gate import judged_charge
from mlmd.analysis.transport.collective import (
    Carriers,
    Reference,
    charge_walker,
    checked_carriers,
)
from mlmd.checks import by_name
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.plain import plain_fields, to_plain

if TYPE_CHECKING:
    from typing import Unpack

    from mlmd.trajectory.trajectory import Trajectory


class ChargeOptions(DiffusivityOptions, total=False):
    """Keywords of :func:`charge_diffusivity`, which conductivity hands on."""

    reference: Reference


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
        Charge diffusivity in cm^2/s, whether or not the charge diffuses; errors may be None.
    tracer_D_raw_cm2_s, tracer_stderr_cm2_s, tracer_interval68_cm2_s
        Mean of the mobile species' tracer diffusivities, weighted by their z^2.
    haven_ratio_raw, haven_stderr, haven_interval68
        Tracer over charge diffusivity. The errors are None where the charge diffusivity is zero
        within its own: ions that rattle in cages diffuse for a while, but their charge does not.
    tracers : mapping of str to Diffusivity
        By mobile species.
    collective : Diffusivity
        Of the normalised charge displacement, with its MSD and the verdict on it
        (:func:`mlmd.analysis.transport.charge_gate.judged_charge`).
    left_out : tuple of str
        Charged species that are not among the mobile ones and do not stay where they are.
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
    left_out: tuple[str, ...] = ()

    @property
    def is_diffusive(self) -> bool:
        """Whether the charge diffuses, by its own displacement."""
        return self.collective.is_diffusive

    @property
    def tracers_diffuse(self) -> bool:
        """Whether every mobile species diffuses."""
        return all(tracer.is_diffusive for tracer in self.tracers.values())

    @property
    def reason(self) -> str:
        """The verdicts on the charge and on the mobile species in words."""
        each = [f"{symbol}: {tracer.reason}" for symbol, tracer in self.tracers.items()]
        return "; ".join([self.collective.reason, *each])

    @property
    def D_cm2_s(self) -> float | None:
        """Charge diffusivity; None where the charge does not diffuse."""
        return self.D_raw_cm2_s if self.is_diffusive else None

    @property
    def haven_ratio(self) -> float | None:
        """Haven ratio; None where charge or ions do not diffuse, or its interval is not known."""
        known = self.is_diffusive and self.tracers_diffuse and self.haven_interval68 is not None
        return self.haven_ratio_raw if known else None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What doubts conductivity and Haven ratio."""
        found = []
        if not self.is_diffusive:
            numbers = {
                "D_charge_raw_cm2_s": self.D_raw_cm2_s,
                "D_charge_stderr_cm2_s": self.D_stderr_cm2_s,
            }
            text = f"no conductivity: {self.collective.reason}"
            found.append(Finding("no_conductivity", "invalid", text, numbers))
        still = [symbol for symbol, one in self.tracers.items() if not one.is_diffusive]
        if still:
            text = f"no Nernst-Einstein conductivity: {', '.join(still)} not diffusive"
            found.append(Finding("no_nernst_einstein", "invalid", text))
        elif self.is_diffusive and self.haven_ratio is None:
            errors = (self.D_stderr_cm2_s, self.tracer_stderr_cm2_s)
            why = "the charge diffusivity is zero within its error"
            if None in errors:
                why = f"estimator '{self.estimator}' gives no error of the charge diffusivity"
            found.append(Finding("no_haven_ratio", "invalid", f"no Haven ratio: {why}"))
        if self.left_out:
            text = (
                f"{', '.join(self.left_out)} move as well and are charged, but are not among the "
                "ions of the Nernst-Einstein conductivity and of the Haven ratio"
            )
            found.append(Finding("carriers_left_out", "doubt", text))
        if self.carriers.neutrality != "neutral":
            text = f"neutrality of the charges {self.carriers.neutrality}"
            found.append(Finding("neutrality_not_checked", "note", text))
        return tuple(found)

    @property
    def estimator(self) -> str:
        """Of both diffusivities."""
        return self.collective.settings.estimator

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
            # A ratio without its interval says nothing.
            "haven_ratio_raw": None if self.haven_interval68 is None else self.haven_ratio_raw,
            "haven_stderr": self.haven_stderr,
            "haven_interval68": self.haven_interval68,
            "estimator": self.estimator,
            "fit_ps": self.collective.settings.fit_ps,
        }
        return {name: to_plain(value) for name, value in content.items()}


def charge_diffusivity(
    trajectory: Trajectory,
    oxidation_states: Mapping[str, float],
    species: str | Sequence[str] | None = None,
    *,
    reference: Reference = "neutral",
    **how: Unpack[DiffusivityOptions],
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
        The mobile species, one or several. Where not given, all charged ones, but those that stay
        where they are (``localised``) while others move.
    reference
        "neutral": every species has an oxidation state, they add up to zero, and the charge
        displacement does not depend on the frame of reference. "framework": only the mobile ions
        count, against the mass-weighted centre of the rest.
    **how
        How the diffusivities of ions and charge are measured, keywords of
        :func:`mlmd.diffusivity`. The drift is that of the tracers: where not given, that of the
        framework with the reference "framework" and one species, else that of the cell. Where
        ``fit_ps`` is not given, "gls" takes for the charge the lags at which the tracers were found
        to diffuse. "lag", "blocks" and "weighted" give the charge no error, so that there is no
        Haven ratio; "weighted" does not weight the framework's centre by mass, as
        pymatgen-analysis-diffusion. "kinisi" takes many atoms and has no charge.

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
    estimator = diffusivity_settings(**how).estimator
    if estimator == "kinisi" or how.get("atoms") is not None:
        what, instead = "a choice of atoms", "all atoms"
        if estimator == "kinisi":
            what, instead = "estimator 'kinisi'", "another estimator"
        raise InputError(
            f"{what} was given for a charge diffusivity, which is of the sum of all charges; take "
            f"{instead}, or leave the oxidation states out"
        )
    states = by_name("oxidation_states", oxidation_states)
    charged = [symbol for symbol, z in states.items() if z] if species is None else species
    carriers = checked_carriers(trajectory, oxidation_states, charged, reference)
    named = {symbol for symbol, z in carriers.oxidation_states.items() if z}
    # Tracers in the frame of reference of the charge.
    framework = reference == "framework" and len(carriers.species) == 1
    asked: DiffusivityOptions = {"drift": "framework" if framework else "cell", **how}
    tracers = {symbol: diffusivity(trajectory, symbol, **asked) for symbol in sorted(named)}
    moving = [s for s, one in tracers.items() if one.verdict != "localised"]
    if species is None and moving:
        mobile = [symbol for symbol in carriers.species if symbol in moving]
        carriers = checked_carriers(trajectory, oxidation_states, mobile, reference)
    left_out = tuple(symbol for symbol in moving if symbol not in carriers.species)
    tracers = {symbol: tracers[symbol] for symbol in carriers.species}
    published = estimator == "weighted"
    copies = sum(tracer.n_atoms for tracer in tracers.values()) if published else 1
    walker = charge_walker(trajectory, carriers, plain_average=published, copies=copies)
    alone: DiffusivityOptions = {**how, "drift": "none", "mobile": None}
    if how.get("fit_ps") is None and estimator == "gls":
        ranges = [tracer.settings.fit_ps for tracer in tracers.values()]
        alone["fit_ps"] = max(pair for pair in ranges if pair is not None)
    collective = diffusivity(walker, walker.species[0], **alone)
    collective = judged_charge(collective, walker, tracers.values())
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
        left_out=left_out,
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
