"""The charge displacement of a trajectory, as the path of one walker."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from mlmd.analysis.diffusion.cell_motion import without_cell_motion
from mlmd.checks import by_name, choice, finite_number, texts, usable_text
from mlmd.errors import InputError
from mlmd.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


Reference = Literal["neutral", "framework"]
"""All ions of a neutral cell, or the mobile ions against the framework."""

_CHUNK_FRAMES = 4096
_NEUTRAL = 1e-6  # of the sum of |z|


@dataclass(frozen=True)
class Carriers:
    """Which ions carry the charge, checked against a trajectory.

    Attributes
    ----------
    species : tuple of str
        The mobile ones.
    oxidation_states : mapping of str to float
        As they were given.
    reference : str
        See :data:`Reference`.
    squared_charge : float
        Sum of z^2 over the mobile ions of the cell, in e^2.
    neutrality : str
        What is known of the charge of the whole cell.
    """

    species: tuple[str, ...]
    oxidation_states: Mapping[str, float]
    reference: Reference
    squared_charge: float
    neutrality: str


def checked_carriers(
    trajectory: Trajectory,
    oxidation_states: Mapping[str, float],
    species: str | Sequence[str],
    reference: Reference,
) -> Carriers:
    """Check oxidation states against a trajectory.

    Raises
    ------
    InputError
        If an oxidation state is missing, not a number or of an element that is absent, a mobile
        species has none or zero, or the cell is not neutral.
    """
    choice("reference", reference, get_args(Reference))
    named = (species,) if isinstance(species, str) else species
    mobile = tuple(dict.fromkeys(texts("species", named)))
    states = {
        usable_text("species", symbol): finite_number(f"the oxidation state of {symbol}", state)
        for symbol, state in by_name("oxidation_states", oxidation_states).items()
    }
    given = dict.fromkeys((*states, *mobile))
    absent = [symbol for symbol in given if symbol not in trajectory.species]
    if absent or not mobile:
        raise InputError(
            f"{', '.join(absent) or 'no mobile species'} was given for {trajectory.source}, which "
            f"has {', '.join(trajectory.species)}; expected oxidation states and mobile species "
            "among these"
        )
    uncharged = [symbol for symbol in mobile if not states.get(symbol)]
    if uncharged:
        raise InputError(
            f"the oxidation state of {', '.join(uncharged)} is zero or missing; mobile ions need "
            "one: it is never guessed"
        )
    missing = [symbol for symbol in trajectory.species if symbol not in states]
    if missing and reference == "neutral":
        raise InputError(
            f"no oxidation state of {', '.join(missing)} was given; expected one for every species "
            "(0 is one), or reference 'framework' for the mobile ions alone"
        )
    counts = {symbol: len(trajectory.indices(symbol)) for symbol in trajectory.species}
    total = sum(counts[symbol] * z for symbol, z in states.items())
    scale = sum(counts[symbol] * abs(z) for symbol, z in states.items())
    if not missing and abs(total) > _NEUTRAL * scale:
        ions = ", ".join(f"{counts[s]} {s} of {z:+g}" for s, z in states.items())
        raise InputError(
            f"the cell is not neutral: {ions} add up to {total:+g} e; correct the oxidation "
            "states, or give those of the mobile ions only with reference 'framework'"
        )
    neutrality = f"not checked: {', '.join(missing)} unknown" if missing else "neutral"
    squared = sum(counts[symbol] * states[symbol] ** 2 for symbol in mobile)
    return Carriers(mobile, states, reference, float(squared), neutrality)


def charge_walker(
    trajectory: Trajectory, carriers: Carriers, *, plain_average: bool = False, copies: int = 1
) -> Trajectory:
    r"""Return the normalised charge displacement as the trajectory of one atom.

    .. math:: \mathbf P(t) = \sum_i z_i \left[\mathbf r_i(t) - \mathbf R(t)\right] \Big/
        \sqrt{\sum_{i \in \text{mobile}} z_i^2}

    For a neutral cell the sum is over all ions and :math:`\mathbf R` drops out; otherwise it is
    over the mobile ones, and :math:`\mathbf R` is the centre of the rest. Independent ions give
    P the diffusivity that each of them has.

    Parameters
    ----------
    trajectory, carriers
        The ions.
    plain_average
        Whether the centre of the framework is not weighted by mass.
    copies
        Number of identical atoms (without memory of their own), for estimators that take the
        number of observations from that of atoms.

    Raises
    ------
    InputError
        If a framework is needed and there is none.
    """
    states, symbols = carriers.oxidation_states, np.array(trajectory.symbols)
    is_mobile = np.isin(symbols, carriers.species)
    weights = np.array([float(states.get(symbol, 0.0)) for symbol in symbols])
    if carriers.reference == "framework":
        weights[~is_mobile] = 0.0
        weights -= _framework(trajectory, is_mobile, plain_average) * weights.sum()
    trajectory = without_cell_motion(trajectory)
    path = np.empty((len(trajectory), 3))
    first = trajectory.positions_A[0].astype(np.float64)  # keeps large coordinates out of the sum
    for start in range(0, len(trajectory), _CHUNK_FRAMES):
        part = slice(start, start + _CHUNK_FRAMES)
        path[part] = np.einsum("fax,a->fx", trajectory.positions_A[part] - first, weights)
    path /= math.sqrt(carriers.squared_charge)
    number = int(trajectory.numbers[trajectory.indices(carriers.species[0])[0]])
    return Trajectory(
        np.broadcast_to(path[:, None, :], (len(path), copies, 3)),
        trajectory.cell_A,
        np.full(copies, number),
        trajectory.time_fs,
        source=f"the charge displacement of {trajectory.source}",
    )


def _framework(trajectory: Trajectory, is_mobile: Any, plain_average: bool) -> FloatArray:
    """Weights of the framework's atoms in its centre; they add up to one."""
    if is_mobile.all():
        raise InputError(
            f"all atoms of {trajectory.source} are mobile: there is no framework to refer to; "
            "take reference 'neutral'"
        )
    assert trajectory.masses_u is not None  # Trajectory fills them in
    masses = np.ones(len(is_mobile)) if plain_average else np.asarray(trajectory.masses_u, float)
    weights = np.where(is_mobile, 0.0, masses)
    scaled: FloatArray = weights / weights.sum()
    return scaled
