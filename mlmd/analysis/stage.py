"""What one stage of a run, or one trajectory, gives: diffusivities, structure, conductivity."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.analysis.checks import check_trajectory
from mlmd.analysis.diffusion.diffusivity import Diffusivity, diffusivity
from mlmd.analysis.diffusion.drift import never_moving, share_of_centre
from mlmd.analysis.diffusion.walkers import checked_atoms
from mlmd.analysis.events import RunEvents, what_happened
from mlmd.analysis.structure import FirstShell, RadialDistribution, first_shells, rdf
from mlmd.analysis.transport import Conductivity, conductivity
from mlmd.errors import InputError
from mlmd.findings import Finding, of_flags
from mlmd.plain import plain_fields, to_plain
from mlmd.trajectory.thermal_speed import refuse_impossible_speed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlmd.analysis.transport.collective import Reference
    from mlmd.trajectory.trajectory import Trajectory


logger = logging.getLogger(__name__)

STRUCTURE_FRAMES = 1000
"""Frames that g(r) is made of: more are too much alike to add anything."""

LARGEST_SHARE = 0.1
"""Of the motion of independent atoms, that their centre may take without a word: ten atoms."""


@dataclass(frozen=True)
class Charges:
    """What a conductivity takes besides the motion.

    Attributes
    ----------
    oxidation_states : mapping of str to float
        By symbol, of every species (with the reference "framework" of the mobile ones).
    carriers : tuple of str or None
        The mobile ions; all charged ones that move where None.
    reference : str
        See :func:`mlmd.analysis.charge_diffusivity`.
    """

    oxidation_states: Mapping[str, float]
    carriers: tuple[str, ...] | None = None
    reference: Reference = "neutral"


@dataclass(frozen=True)
class StageDiffusivity:
    """Diffusivities of one stage, by species.

    ``temperature_K`` is that of the thermostat; None where it is not known. ``events`` is what
    happened in the run, None where it is too short to say; ``conductivity`` is None where no
    oxidation states were given. ``about_file`` is what the run or the reading says of the
    trajectory (``unconverged_volume``), and what the trajectory shows by itself.
    """

    temperature_K: float | None
    duration_ps: float
    species: Mapping[str, Diffusivity]
    structure: RadialDistribution
    events: RunEvents | None = None
    conductivity: Conductivity | None = None
    about_file: tuple[Finding, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """Codes of the doubts that the trajectory came with."""
        return tuple(one.code for one in self.about_file if one.severity != "note")

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What doubts a number of the stage."""
        return self.about(*self.species)

    def about(self, *symbols: str) -> tuple[Finding, ...]:
        """What doubts a number of the stage that is of these species, or of all."""
        found = [*self.about_file, *about_motion({one: self.species[one] for one in symbols})]
        for more in (self.conductivity, self.events):
            found += () if more is None else more.findings
        return tuple(found)

    def coordination(self) -> dict[str, FirstShell | str]:
        """First shell of each pair of species, as ``Li-O``; where there is none, why."""
        return first_shells(self.structure)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain types for JSON; what doubts it stands in the summary."""
        content = plain_fields(self, ("structure", "events", "conductivity", "about_file"))
        content["coordination"] = {
            pair: None if isinstance(shell, str) else to_plain(shell)
            for pair, shell in self.coordination().items()
        }
        content["events"] = to_plain(self.events)
        for given in ("conductivity", "flags"):
            if value := to_plain(getattr(self, given)):
                content[given] = value
        return content


@dataclass(frozen=True)
class ReplicaDiffusivity:
    """Diffusivities of stages that differ in nothing but their seed, by species, all together.

    ``stages`` are their names; ``temperature_K`` is None where it is not known. The numbers are
    those of :func:`mlmd.analysis.combine`.
    """

    temperature_K: float | None
    stages: tuple[str, ...]
    species: Mapping[str, Diffusivity]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What doubts a number of all of them."""
        return self.about(*self.species)

    def about(self, *symbols: str) -> tuple[Finding, ...]:
        """What doubts a number of these species."""
        return tuple(about_motion({one: self.species[one] for one in symbols}))


def about_motion(species: Mapping[str, Diffusivity]) -> Iterator[Finding]:
    """Say which species does not diffuse."""
    for symbol, result in species.items():
        if not result.is_diffusive:
            numbers = {
                "D_upper_bound_cm2_s": result.D_upper_bound_cm2_s,
                "D_lower_bound_cm2_s": result.D_lower_bound_cm2_s,
                "needs_ps": result.needs_ps,
            }
            text = f"{symbol} is {result.verdict.replace('_', ' ')}: {result.reason}"
            yield Finding(f"motion_{result.verdict}", "invalid", text, numbers)


def measure_stage(
    trajectory: Trajectory,
    temperature_K: float | None,
    species: Sequence[str] | None,
    charges: Charges | None,
    how: Mapping[str, Any],
) -> StageDiffusivity:
    """Measure one stage; parameters are those of :func:`mlmd.summarize`, for one trajectory.

    Raises
    ------
    InputError
        If a diffusivity or the conductivity cannot be had.
    """
    check_trajectory(trajectory)
    known_K = None if temperature_K is None else float(temperature_K)
    too_fast = refuse_impossible_speed(trajectory, known_K)
    named = _with_chosen_atoms(trajectory, how) if species is None else species
    by_species = {symbol: diffusivity(trajectory, symbol, **how) for symbol in named}
    sigma = None
    if charges is not None:
        sigma = conductivity(
            trajectory,
            charges.oxidation_states,
            charges.carriers,
            temperature_K=known_K,
            reference=charges.reference,
            **how,
        )
    every = -(-len(trajectory) // STRUCTURE_FRAMES)
    said = {one.code for one in trajectory.findings}
    return StageDiffusivity(
        temperature_K=known_K,
        duration_ps=trajectory.duration_ps,
        species=by_species,
        structure=rdf(trajectory.part(every=every)),
        events=_events(trajectory, list(by_species)),
        conductivity=sigma,
        about_file=(
            *trajectory.findings,
            *too_fast,
            *of_flags(flag for flag in _shown_by(trajectory, by_species) if flag not in said),
        ),
    )


def _with_chosen_atoms(trajectory: Trajectory, how: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the species to be measured: all, or those of the atoms that were chosen."""
    atoms = checked_atoms(how.get("atoms"))
    if atoms is None or atoms[-1] >= trajectory.n_atoms:  # refused where they are measured
        return trajectory.species
    chosen = {trajectory.symbols[one] for one in atoms}
    return tuple(symbol for symbol in trajectory.species if symbol in chosen)


def _shown_by(trajectory: Trajectory, measured: Mapping[str, Diffusivity]) -> Iterator[str]:
    """Give the flags of what can be seen in the trajectory itself, and in how it is measured."""
    if any(
        share_of_centre(trajectory, drift) > LARGEST_SHARE
        for drift in {one.settings.drift for one in measured.values()}
    ):
        yield "centre_of_few_atoms"
    if never_moving(trajectory).any():
        yield "fixed_atoms"
    if not all(trajectory.pbc):
        yield "open_boundary"


def _events(trajectory: Trajectory, mobile: list[str]) -> RunEvents | None:
    """Return what happened; None where the trajectory is too short to be looked at."""
    try:
        return what_happened(trajectory, mobile)
    except InputError as error:
        logger.info("%s", error)
        return None
