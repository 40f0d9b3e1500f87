"""Which structure features of a run are compared, and their values frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.descriptors.conventions import convention_of
from mlmd.descriptors.features import FEATURES
from mlmd.descriptors.snapshot import Snapshot
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.trajectory import Trajectory


RUN_FEATURES = {
    f.name: f.of_snapshot for f in FEATURES if f.of_snapshot and f.name != "inverse_kbT"
}
"""Structural features by name, and what computes them."""

CELL_FEATURES = ("AAV", "VPA", "density", "PF", "SPF")
"""Composition over volume; PF and SPF only where radii do not depend on the neighbours."""

MOST_FRAMES = 100
"""Frames of a run at most: about 1 ms each, and neighbouring frames are much the same."""


@dataclass(frozen=True)
class FeatureChoice:
    """Which features are compared.

    Attributes
    ----------
    mobile : str or None
        The mobile element; where None the only species that may diffuse, or Li.
    convention : str
        ``mlmd`` or ``zheng2024`` (:mod:`mlmd.descriptors.conventions`).
    frames : int
        Evenly spaced frames of each run at most.
    """

    mobile: str | None = None
    convention: str = "mlmd"
    frames: int = MOST_FRAMES

    def __post_init__(self) -> None:
        """Refuse what no structure could have."""
        from ase.data import atomic_numbers

        convention_of(self.convention)
        if self.mobile is not None and not atomic_numbers.get(self.mobile):
            raise InputError(f"mobile element {self.mobile!r} is unknown; expected one such as Li")
        if type(self.frames) is not int or self.frames < 1:
            raise InputError(f"frames is {self.frames!r}; expected a whole number of at least 1")

    def mobile_in(self, symbols: Sequence[str], species: Sequence[str] | None) -> str:
        """Return the mobile element of a structure.

        Raises
        ------
        InputError
            If nothing says which it is.
        """
        if self.mobile is not None:
            return self.mobile
        if species is not None and len(species) == 1:
            return species[0]
        if "Li" in symbols:
            return "Li"
        raise InputError(
            f"no mobile element is known among {', '.join(symbols)}; name it with --mobile"
        )


def frame_features(run: Trajectory, mobile: str, choice: FeatureChoice) -> dict[str, FloatArray]:
    """Return every feature of evenly spaced frames, (frames,)."""
    if len(run) == 0:
        raise InputError(f"{run.source} has no frame; expected at least one")
    chosen = np.unique(np.linspace(0, len(run) - 1, choice.frames).round().astype(int))
    cells_A = run.cells_A()
    values = []
    for index in chosen:
        snapshot = Snapshot(
            np.asarray(run.positions_A[index], dtype=float),
            np.asarray(cells_A[index], dtype=float),
            run.numbers,
            mobile,
            convention_of(choice.convention),
            masses_u=run.masses_u,
        )
        values.append([of_snapshot(snapshot) for of_snapshot in RUN_FEATURES.values()])
    return dict(zip(RUN_FEATURES, np.array(values).T, strict=True))
