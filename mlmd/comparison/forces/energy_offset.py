"""Energies of two methods, whose zero is not the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class EnergyErrors:
    """Errors of energies in meV per atom after an offset is removed; see :func:`energy_errors`."""

    mae_meV_atom: float | None
    rmse_meV_atom: float | None
    offset_eV: Mapping[str, float]
    pairs: Mapping[str, tuple[FloatArray, FloatArray]]


def energy_errors(surrogate: Sequence[Trajectory], reference: Sequence[Trajectory]) -> EnergyErrors:
    r"""Compare energies per atom after the offset between both methods is removed.

    Frames of one composition: the mean difference per atom. Of several: one energy per element
    by least squares,

    .. math:: \frac{E_s - E_r}{N} = \sum_e x_e c_e + \epsilon

    with the shares :math:`x_e`, the solution of least norm where they do not determine all
    :math:`c_e`. Relative energies, which are all that dynamics at one composition sees, are left.
    The root mean square is over the degrees of freedom that the offset leaves; with none of them
    there are no errors.
    """
    known = [
        (s, r)
        for s, r in zip(surrogate, reference, strict=True)
        if s.energies_eV is not None and r.energies_eV is not None
    ]
    if not known:
        return EnergyErrors(None, None, {}, {})
    elements = sorted({symbol for _, r in known for symbol in r.species})
    shares, left, right = [], [], []
    for s, r in known:
        symbols = r.symbols
        row = [symbols.count(element) / r.n_atoms for element in elements]
        shares += [row] * len(r)
        left.append(np.asarray(s.energies_eV, dtype=float) / r.n_atoms)
        right.append(np.asarray(r.energies_eV, dtype=float) / r.n_atoms)
    first, other = np.concatenate(left), np.concatenate(right)
    design = np.array(shares)
    one_composition = bool(np.ptp(design, axis=0).max() == 0)
    if one_composition:
        design = np.ones((len(first), 1))
    offsets, _, rank, _ = np.linalg.lstsq(design, first - other, rcond=None)
    shifted = first - design @ offsets
    residual = 1000.0 * (shifted - other)
    freedom = len(first) - int(rank)
    names = ["per_atom"] if one_composition else elements
    return EnergyErrors(
        mae_meV_atom=float(np.abs(residual).mean()) if freedom > 0 else None,
        rmse_meV_atom=float(np.sqrt(residual @ residual / freedom)) if freedom > 0 else None,
        offset_eV=dict(zip(names, (float(c) for c in offsets), strict=True)),
        pairs={"energy_eV_atom": (other - other.mean(), shifted - other.mean())},
    )
