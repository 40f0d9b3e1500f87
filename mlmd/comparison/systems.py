"""What is compared with what: systems, by composition and temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlmd.comparison.curves import PairCurves
from mlmd.errors import InputError
from mlmd.trajectory.trajectory import Trajectory

Key = tuple[str, float | None]
"""Composition and temperature in K; None where it is not known."""

Data = Trajectory | Sequence[Trajectory] | PairCurves
"""One run, runs that differ in nothing but their seed, or g(r) curves alone."""

if TYPE_CHECKING:
    Side = Data | Mapping[Key, Data]


@dataclass(frozen=True)
class System:
    """One composition at one temperature, on both sides.

    Attributes
    ----------
    composition : str
        As given in the key, or the formula of the trajectory.
    temperature_K : float or None
        None where not known.
    surrogate, reference : tuple of Trajectory, or PairCurves
        Runs that differ in nothing but their seed; or curves alone.
    """

    composition: str
    temperature_K: float | None
    surrogate: tuple[Trajectory, ...] | PairCurves
    reference: tuple[Trajectory, ...] | PairCurves

    @property
    def label(self) -> str:
        """Composition and temperature in words."""
        if self.temperature_K is None:
            return self.composition
        return f"{self.composition} {self.temperature_K:g} K"

    def runs(self) -> tuple[tuple[Trajectory, ...], tuple[Trajectory, ...]]:
        """Return the trajectories of surrogate and reference.

        Raises
        ------
        InputError
            If a side is curves alone.
        """
        surrogate, reference = self.surrogate, self.reference
        if isinstance(surrogate, PairCurves) or isinstance(reference, PairCurves):
            raise InputError(f"{self.label} was given as g(r) curves; this needs trajectories")
        return surrogate, reference

    def to_dict(self) -> dict[str, Any]:
        """Return what was compared as plain types for JSON."""
        return {
            "label": self.label,
            "composition": self.composition,
            "temperature_K": self.temperature_K,
            "surrogate": _described(self.surrogate),
            "reference": _described(self.reference),
        }


def temperature_key(temperature_K: float | None) -> str:
    """Return the key of a temperature in a mapping for JSON."""
    return "unknown" if temperature_K is None else f"{temperature_K:g}"


def part(trajectory: Trajectory, frames: slice | Sequence[int]) -> Trajectory:
    """Return some frames of a trajectory, with nothing but positions, cells and times."""
    cell = trajectory.cell_A
    return Trajectory(
        positions_A=trajectory.positions_A[frames],
        cell_A=cell[frames] if cell.ndim == 3 else cell,
        numbers=trajectory.numbers,
        time_fs=trajectory.time_fs[frames],
        masses_u=trajectory.masses_u,
        source=trajectory.source,
        pbc=trajectory.pbc,
    )


def paired(
    surrogate: Side, reference: Side, temperature_K: float | None
) -> tuple[list[System], dict[str, str]]:
    """Bring both sides together, and say which systems have only one.

    Raises
    ------
    InputError
        If one side is a set and the other is not, a key is not understood, or no system is on
        both sides.
    """
    if not isinstance(surrogate, Mapping) and not isinstance(reference, Mapping):
        first = _runs(surrogate, "the surrogate")
        other = _runs(reference, "the reference")
        name = "curves" if isinstance(other, PairCurves) else _formula(other[0])
        return [System(name, checked_temperature_K(temperature_K), first, other)], {}
    if not isinstance(surrogate, Mapping) or not isinstance(reference, Mapping):
        raise InputError(
            "one side is a set of systems and the other a single one; expected two of a kind"
        )
    if temperature_K is not None:
        raise InputError("a temperature was given beside sets, whose keys say theirs; leave it out")
    left = {_key(key): value for key, value in surrogate.items()}
    right = {_key(key): value for key, value in reference.items()}
    systems = [
        System(*key, _runs(left[key], f"{key} of the surrogate"), _runs(value, f"{key}"))
        for key, value in right.items()
        if key in left
    ]
    if not systems:
        raise InputError(
            f"no system is on both sides: the surrogate has {_named(left)}, the reference "
            f"{_named(right)}; expected the same (composition, temperature_K) keys"
        )
    blank = PairCurves.empty()
    missing = {
        replace(systems[0], composition=key[0], temperature_K=key[1], surrogate=blank).label: (
            f"the {'reference' if key in left else 'surrogate'} does not have it"
        )
        for key in [*left, *right]
        if not (key in left and key in right)
    }
    return systems, missing


def checked_temperature_K(temperature_K: float | None) -> float | None:
    """Return a temperature as a float.

    Raises
    ------
    InputError
        If it is not positive.
    """
    if temperature_K is None:
        return None
    if isinstance(temperature_K, bool | str) or not 0 < float(temperature_K) < 1e7:
        raise InputError(f"the temperature is {temperature_K!r}; expected a positive number in K")
    return float(temperature_K)


def _key(key: Any) -> Key:
    if not isinstance(key, tuple) or len(key) != 2 or not isinstance(key[0], str):
        raise InputError(
            f"a set has the key {key!r}; expected (composition, temperature_K), such as "
            "('Li3PS4', 1000)"
        )
    return key[0], checked_temperature_K(key[1])


def _runs(data: Data, name: str) -> tuple[Trajectory, ...] | PairCurves:
    if isinstance(data, PairCurves):
        return data
    runs = (data,) if isinstance(data, Trajectory) else tuple(data)
    if not runs or not all(isinstance(run, Trajectory) for run in runs):
        raise InputError(
            f"{name} is {type(data).__name__}; expected a Trajectory, several that differ in "
            "their seed, or PairCurves"
        )
    return runs


def _formula(trajectory: Trajectory) -> str:
    return "".join(f"{s}{len(trajectory.indices(s))}" for s in trajectory.species)


def _named(keys: Mapping[Key, Any]) -> str:
    names = [f"{c} at {temperature_key(t)} K" for c, t in keys]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _described(data: tuple[Trajectory, ...] | PairCurves) -> dict[str, Any]:
    if isinstance(data, PairCurves):
        return {
            "source": data.source,
            "n_frames": None,
            "n_atoms": None,
            "duration_ps": None,
            "interval_fs": None,
        }
    times = data[0].time_fs
    return {
        "source": ", ".join(run.source for run in data),
        "n_frames": sum(len(run) for run in data),
        "n_atoms": data[0].n_atoms,
        "duration_ps": sum(run.duration_ps for run in data),
        "interval_fs": float(times[1] - times[0]) if len(times) > 1 else None,
    }
