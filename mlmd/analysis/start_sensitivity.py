"""How much a diffusivity depends on where the fit starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmd.analysis.diffusion.diffusivity import Diffusivity, diffusivity
from mlmd.errors import InputError

if TYPE_CHECKING:
    from typing import Unpack

    from mlmd.analysis.diffusion.estimators.estimate import DiffusivityOptions
    from mlmd.trajectory.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class StartSensitivity:
    """Diffusivities of one trajectory with fits that start at several lags.

    Attributes
    ----------
    starts_ps : tuple of float
        First lags, as asked for.
    results : tuple of Diffusivity
        One for each.
    """

    starts_ps: tuple[float, ...]
    results: tuple[Diffusivity, ...]


def start_sensitivity(
    trajectory: Trajectory,
    species: str,
    starts_ps: Sequence[float] = (0.0, 1.0, 5.0),
    *,
    end_ps: float = 15.0,
    **options: Unpack[DiffusivityOptions],
) -> StartSensitivity:
    """Fit from each of the given first lags to the same last one.

    From 0 ps slow diffusion is overestimated, since vibration counts as diffusion; where a later
    start changes D by more than its error, the motion is not diffusive yet at the earlier.

    Parameters
    ----------
    trajectory, species
        What is measured.
    starts_ps
        First lags of the fits in picoseconds.
    end_ps
        Last lag of all fits.
    **options
        Other keywords of :func:`mlmd.analysis.diffusion.diffusivity.diffusivity`. The estimator is
        "windowed" where none is given.

    Raises
    ------
    InputError
        If no start is given, or a fit cannot be made.

    References
    ----------
    A. Maevskiy et al., arXiv:2411.06804 (2024), appendix D.
    """
    if not starts_ps:
        raise InputError("no start of a fit was given; expected lags in ps such as 0, 1, 5")
    options = {**options}
    options.setdefault("estimator", "windowed")
    if options["estimator"] == "windowed":
        options.setdefault("window_ps", end_ps)
    results = []
    for start_ps in starts_ps:
        options["fit_ps"] = (start_ps, end_ps)
        results.append(diffusivity(trajectory, species, **options))
    return StartSensitivity(tuple(float(start) for start in starts_ps), tuple(results))
