"""Lengthening productions until their diffusivities are known well enough, or a limit is reached.

Who stops when an error looks small stops too early more often than too late, and such errors are
too small. So a run must have been known well enough before its last third, which nobody looked at
to decide: ``benchmarks/optional_stopping.py`` counts how many of the 68 % intervals hold. Runs are
lengthened by no less than half, so that there are few looks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.analysis.diffusion.diffusivity import diffusivity
from mlmd.analysis.recipe import RecipeAnalysis
from mlmd.checks import element, fraction, known_keys, listed, positive_number, shown
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.protocol.protocol import Protocol
    from mlmd.run.run import Run
    from mlmd.trajectory.trajectory import Trajectory

logger = logging.getLogger(__name__)

LEAST_GROWTH = 1.5
MOST_GROWTH = 3.0
"""Of a production at a time: forecasts from short runs are rough."""


@dataclass(frozen=True)
class Until:
    """When the productions of a case are long enough.

    Attributes
    ----------
    relative_error
        Of every D: its standard error over D.
    max_ps
        The longest that a production may become.
    species
        Those whose D is to be known; all that occur where None. The ions of a rigid framework never
        diffuse: without this, their production goes on to `max_ps`.
    """

    relative_error: float
    max_ps: float
    species: tuple[str, ...] | None = None

    @classmethod
    def of(cls, given: Any) -> Until:
        """Take it from plain data, ``{relative_error: 0.1, max_ps: 200}``.

        Raises
        ------
        InputError
            If a key is unknown or missing, or a value cannot be used.
        """
        if not isinstance(given, Mapping):
            raise InputError(
                f"until is {shown(given)}; expected {{relative_error: 0.1, max_ps: 200}}"
            )
        known_keys("until", given, ("relative_error", "max_ps", "species"))
        if "relative_error" not in given or "max_ps" not in given:
            raise InputError(f"until has {', '.join(given)}; expected relative_error and max_ps")
        species = given.get("species")
        if species is not None:
            several = [species] if isinstance(species, str) else species
            each = listed("until.species", several, "symbols")
            species = tuple(element("until.species", one) for one in each)
        return cls(
            relative_error=fraction("until.relative_error", given["relative_error"]),
            max_ps=positive_number("until.max_ps", given["max_ps"], "ps"),
            species=species,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, from which :meth:`of` makes it again."""
        species = {} if self.species is None else {"species": list(self.species)}
        return {"relative_error": self.relative_error, "max_ps": self.max_ps, **species}

    def check(self, protocol: Protocol) -> None:
        """See that the productions of a protocol can be lengthened so far.

        Raises
        ------
        InputError
            If one is longer already, another stage starts from its end, or there is none.
        """
        measured = [stage for stage in protocol.stages if stage.measured]
        if not measured:
            raise InputError(f"until: protocol {protocol.name} has no production to lengthen")
        for stage in measured:
            if dependents := protocol.descendants(stage.name):
                raise InputError(
                    f"until: stage '{stage.name}' cannot be lengthened: '{dependents[0].name}' "
                    "starts from its last frame; give starts_from to that one"
                )
            duration_ps = getattr(stage, "duration_ps", 0.0)
            if duration_ps > self.max_ps:
                raise InputError(
                    f"until.max_ps is {self.max_ps:g}; expected at least the {duration_ps:g} ps "
                    f"that stage '{stage.name}' has from the beginning"
                )

    def longer(self, run: Run) -> dict[str, float]:
        """Return new durations in ps of those productions that are to be lengthened.

        Raises
        ------
        DamagedDataError
            If a trajectory is not what was written.
        """
        how = RecipeAnalysis.of(run).settings
        wanted: dict[str, float] = {}
        for entry in run.stages:
            there_ps = run.manifest.duration_ps(entry.name)
            if not entry.measured or entry.status != "done" or there_ps is None:
                continue
            if there_ps >= self.max_ps:
                continue
            every_ps = entry.settings["record_every_fs"] / 1000.0
            longer_ps = self.next_ps(run.trajectory(entry.name), there_ps, every_ps, how)
            if longer_ps is not None:
                wanted[entry.name] = longer_ps
                told = (run.path, entry.name, there_ps, longer_ps)
                logger.info("%s: %s goes on from %g to %g ps", *told)
        return wanted

    def next_ps(
        self,
        trajectory: Trajectory,
        duration_ps: float,
        every_ps: float,
        how: Mapping[str, Any],
    ) -> float | None:
        """Return how long a production is to become; None where every D is known well enough.

        It is where that holds for the whole and without the last third.

        Parameters
        ----------
        trajectory
            Of the production so far.
        duration_ps, every_ps
            Its duration, and the time between its frames.
        how
            Keywords of :func:`mlmd.diffusivity`.
        """
        before = trajectory.part(stop=1 + round((len(trajectory) - 1) / LEAST_GROWTH))
        factors = list(self._factors(trajectory, how))
        if not factors:
            # Lengthened by half, this is the run that is then looked at without its last third.
            factors = [LEAST_GROWTH] if any(self._factors(before, how)) else []
        if not factors:
            return None
        growth = min(max(*factors, LEAST_GROWTH), MOST_GROWTH)
        frames = math.ceil(duration_ps * growth / every_ps - 1e-9)
        return min(frames * every_ps, self.max_ps)

    def _factors(self, trajectory: Trajectory, how: Mapping[str, Any]) -> Iterator[float]:
        """Give, for each species that is not known well enough, how much longer would do."""
        for symbol in trajectory.species if self.species is None else self.species:
            if symbol not in trajectory.species:
                continue
            try:
                found = diffusivity(trajectory, symbol, **how)
            except InputError:  # too short to say anything
                yield MOST_GROWTH
                continue
            if not self.is_known(found):
                yield self._factor(found)

    def is_known(self, found: Diffusivity) -> bool:
        """Tell whether a diffusivity is known well enough."""
        D, error = found.D_cm2_s, found.D_stderr_cm2_s
        return D is not None and error is not None and error <= self.relative_error * D

    def _factor(self, found: Diffusivity) -> float:
        """Forecast by how much longer a run would do: errors fall with the root of its length."""
        D, error = found.D_cm2_s, found.D_stderr_cm2_s
        if D is None:
            return MOST_GROWTH if found.needs_ps is None else found.needs_ps / found.duration_ps
        return MOST_GROWTH if error is None else (error / (self.relative_error * D)) ** 2
