"""What two sides must have in common, and what is only to be warned of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.events import what_happened
from mlmd.comparison.curves import PairCurves
from mlmd.errors import InputError
from mlmd.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlmd.comparison.systems import Key, System
    from mlmd.trajectory.trajectory import Trajectory

FEWEST_FRAMES, SHORTEST_PS = 10, 1.0
"""Of a side, below which nothing is answered about structure. Parts of one run of molten LiCl held
against the rest, frames 20 fs apart: of 33 of 0.04 to 0.6 ps 10 were told apart by S(q) and 3 by
coordination numbers; of 19 of 1.2 ps and more none."""
SHORTEST_SPECTRUM_PS = 1.5
"""Below it frequencies are resolved to 2.7 THz at best, and most spectra overlap."""
_VOLUME = 0.01
_TEMPERATURE = 0.05


@dataclass(frozen=True)
class Functionals:
    """Density functionals, where the metadata say them.

    Attributes
    ----------
    reference : str or mapping of (composition, temperature) to str
        Of the reference: one, or by system.
    surrogate : str or None
        Of the data that the surrogate was fitted to.
    """

    reference: str | Mapping[Key, str]
    surrogate: str | None = None


def check_functionals(functionals: Functionals | None, systems: Sequence[System]) -> list[Finding]:
    """Return what is to be said about functionals that differ.

    Raises
    ------
    InputError
        If the reference itself mixes several: no single surrogate can agree with all.
    """
    if functionals is None:
        return []
    by_system = functionals.reference
    if isinstance(by_system, str):
        names = {by_system: ["all systems"]}
    else:
        names = {}
        for system in systems:
            name = by_system.get((system.composition, system.temperature_K))
            if name is not None:
                names.setdefault(name, []).append(system.label)
    alike: dict[str, str] = {}
    for name in names:
        alike.setdefault(_plain(name), name)
    if len(alike) > 1:
        shown = ", ".join(f"{name} ({names[name][0]})" for name in alike.values())
        raise InputError(
            f"the reference mixes the functionals {shown}; expected one: compare each set apart"
        )
    own = functionals.surrogate
    if own is not None and alike and _plain(own) not in alike:
        (other,) = alike.values()
        text = (
            f"the surrogate was fitted to {own}, the reference is {other}: differences may be "
            "those of the functionals"
        )
        return [Finding("other_functional", "doubt", text)]
    return []


def check_system(system: System) -> list[Finding]:
    """Return what lets one doubt the comparison of one system.

    Raises
    ------
    InputError
        If compositions differ within a side or between the sides, or a side has no frame.
    """
    if isinstance(system.surrogate, PairCurves) or isinstance(system.reference, PairCurves):
        if not isinstance(system.surrogate, type(system.reference)):
            raise InputError(
                f"{system.label} has g(r) curves on one side and a trajectory on the other; "
                "expected two of a kind"
            )
        return []
    surrogate, reference = system.runs()
    for run in (*surrogate, *reference):
        if len(run) == 0:
            raise InputError(f"{run.source} has no frame; expected at least one")
    like = reference[0]
    for run in (*surrogate, *reference):
        if _shares(run) != _shares(like):
            raise InputError(
                f"{system.label}: {run.source} is {_formula(run)} and {like.source} is "
                f"{_formula(like)}; expected the same composition"
            )
        if any(run in side and run.n_atoms != side[0].n_atoms for side in (surrogate, reference)):
            raise InputError(
                f"{system.label}: runs of one side have {run.n_atoms} and other numbers of atoms; "
                "expected runs that differ in nothing but their seed"
            )
    return [*_doubts(system, surrogate, reference), *_events(system)]


def _events(system: System) -> Iterator[Finding]:
    """Say what happened in the runs of each side, as the analysis of each by itself does."""
    for name, side in zip(("surrogate", "reference"), system.runs(), strict=True):
        for run in side:
            try:
                events = what_happened(run, run.species)
            except InputError:  # too short to be looked at, which is said elsewhere
                continue
            for one in events.findings:
                yield replace(one, message=f"{system.label}, {name}: {one.message}")


@dataclass(frozen=True)
class Lengths:
    """How long the two sides of a system are, all runs of a side together.

    Attributes
    ----------
    n_frames, lengths_ps : mapping of str to number
        By side, ``surrogate`` and ``reference``.
    """

    n_frames: Mapping[str, int]
    lengths_ps: Mapping[str, float]

    @classmethod
    def of(cls, system: System) -> Lengths:
        """Measure a system of trajectories."""
        sides = dict(zip(("surrogate", "reference"), system.runs(), strict=True))
        return cls(
            {name: sum(len(run) for run in side) for name, side in sides.items()},
            {name: sum(run.duration_ps for run in side) for name, side in sides.items()},
        )

    def too_short(self, shortest_ps: float) -> str | None:
        """Say which side has too little for any answer; None where both have enough."""
        short = [
            f"the {name} is too short ({self._said(name)})"
            for name, length_ps in self.lengths_ps.items()
            if length_ps < shortest_ps or self.n_frames[name] < FEWEST_FRAMES
        ]
        if not short:
            return None
        return (
            f"{' and '.join(short)}; {FEWEST_FRAMES} frames over {shortest_ps:g} ps are the least"
        )

    @property
    def shorter(self) -> str:
        """Name the side whose length limits an answer, or both, as the subject of a sentence."""
        low, high = sorted(self.lengths_ps, key=lambda name: self.lengths_ps[name])
        if self.lengths_ps[low] < self.lengths_ps[high] / 2.0:
            return f"the {low} ({self._said(low)}) is"
        return "surrogate and reference are"

    def _said(self, name: str) -> str:
        n_frames = self.n_frames[name]
        return f"{n_frames} frame{'s' * (n_frames != 1)}, {self.lengths_ps[name]:.3g} ps"


def about_lengths(system: System, lengths: Lengths) -> list[Finding]:
    """Return that a side is too short for answers."""
    why = lengths.too_short(SHORTEST_PS)
    if why is None:
        return []
    numbers: dict[str, float | None] = {
        **{f"{name}_ps": length_ps for name, length_ps in lengths.lengths_ps.items()},
        **{f"{name}_n_frames": n for name, n in lengths.n_frames.items()},
        "needs_ps": SHORTEST_PS,
    }
    return [Finding("too_short", "doubt", f"{system.label}: {why}", numbers)]


def _doubts(
    system: System, surrogate: Sequence[Trajectory], reference: Sequence[Trajectory]
) -> Iterator[Finding]:
    def doubt(code: str, text: str, **numbers: float) -> Finding:
        return Finding(code, "doubt", f"{system.label}: {text}", numbers)

    for name, side in (("surrogate", surrogate), ("reference", reference)):
        told = {(one.code, one.message): one for run in side for one in run.findings}
        for about in told.values():
            yield replace(about, message=f"{system.label}, {name}: {about.message}")
    n_atoms = surrogate[0].n_atoms, reference[0].n_atoms
    if n_atoms[0] != n_atoms[1]:
        yield doubt(
            "other_cell_size",
            f"the surrogate has {n_atoms[0]} atoms, the reference {n_atoms[1]}: g(r) and D depend "
            "on the size of the cell",
            surrogate_n_atoms=n_atoms[0],
            reference_n_atoms=n_atoms[1],
        )
    volumes = [float(np.mean([_volume_A3(run) for run in side])) for side in (surrogate, reference)]
    if not min(volumes) > 0:
        return  # said when g(r) is computed
    change = volumes[0] / volumes[1] - 1.0
    if abs(change) > _VOLUME:
        yield doubt(
            "other_volume",
            f"the volume per atom of the surrogate differs by {100 * change:+.1f} %: cells of the "
            "two sides are not the same",
            relative_difference=change,
        )
    elif n_atoms[0] == n_atoms[1]:
        cells = [np.mean(side[0].cells_A(), axis=0) for side in (surrogate, reference)]
        first, other = (cell @ cell.T for cell in cells)
        if not np.allclose(first, other, rtol=0.02, atol=0.02 * float(np.abs(other).max())):
            yield doubt("other_cell_shape", "the cells of the two sides do not have the same shape")
    for name, side in (("surrogate", surrogate), ("reference", reference)):
        recorded = [run.temperatures_K for run in side if run.temperatures_K is not None]
        if system.temperature_K is None or not recorded:
            continue
        mean_K = float(np.mean(np.concatenate(recorded)))
        if abs(mean_K / system.temperature_K - 1.0) > _TEMPERATURE:
            yield doubt(
                "other_temperature",
                f"the {name} was at {mean_K:.0f} K in the mean, not at {system.temperature_K:g} K",
                temperature_K=mean_K,
            )


def _volume_A3(run: Trajectory) -> float:
    """Mean volume per atom."""
    return float(np.abs(np.linalg.det(run.cell_A)).mean()) / run.n_atoms


def _shares(run: Trajectory) -> dict[str, float]:
    return {s: round(len(run.indices(s)) / run.n_atoms, 6) for s in sorted(run.species)}


def _formula(run: Trajectory) -> str:
    return "".join(f"{s}{len(run.indices(s))}" for s in run.species)


def _plain(functional: str) -> str:
    return functional.strip().lower().replace(" ", "").replace("-", "").replace("_", "")
