"""Point-wise errors: energies, forces and stresses on the reference's own frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.comparison.forces.energy_offset import energy_errors
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.trajectory import Trajectory


EV_A3_IN_GPA = 160.21766208
"""1 eV/angstrom^3 in GPa."""


@dataclass(frozen=True)
class ForceErrors:
    """Errors of forces, over all atoms of all frames or those of one element.

    Attributes
    ----------
    force_mae_meV_A, force_rmse_meV_A : float
        Over the Cartesian components.
    force_cosine : float or None
        Mean over the atoms of the cosine between both forces; atoms without a force on either
        side are left out.
    force_slope : float or None
        :math:`\\sum f_s f_r / \\sum f_r^2`, of the line through the origin: below 1 the surrogate
        is too soft.
    n_atoms : int
        Forces, as vectors.
    """

    force_mae_meV_A: float
    force_rmse_meV_A: float
    force_cosine: float | None
    force_slope: float | None
    n_atoms: int


@dataclass(frozen=True, eq=False)
class PointErrors:
    """Energies, forces and stresses of a surrogate on frames of its reference.

    Attributes
    ----------
    n_frames, n_atoms : int
        Frames, and atoms in all of them.
    energy_mae_meV_atom, energy_rmse_meV_atom : float or None
        After the offset is removed; None where energies are not known or the frames do not go
        beyond what the offset takes up (one frame, say).
    energy_offset_eV : mapping of str to float
        What was removed: ``per_atom``, or by element where compositions differ.
    forces : ForceErrors or None
        Over all atoms.
    force_slope_stderr : float or None
        Standard error of the slope, from its scatter over the frames.
    by_element : mapping of str to ForceErrors
        By chemical symbol.
    stress_mae_GPa : float or None
        Over the six components.
    pressure_bias_GPa, pressure_bias_stderr_GPa : float or None
        Mean of surrogate minus reference of the pressure, minus a third of the trace; and its
        standard error over the frames.
    pairs : mapping of str to ((n,), (n,))
        Reference and surrogate, for plots: ``force_eV_A``, ``energy_eV_atom`` (relative to the
        mean of the reference, offset removed), ``stress_GPa``.
    """

    n_frames: int
    n_atoms: int
    energy_mae_meV_atom: float | None
    energy_rmse_meV_atom: float | None
    energy_offset_eV: Mapping[str, float]
    forces: ForceErrors | None
    force_slope_stderr: float | None
    by_element: Mapping[str, ForceErrors]
    stress_mae_GPa: float | None
    pressure_bias_GPa: float | None
    pressure_bias_stderr_GPa: float | None
    pairs: Mapping[str, tuple[FloatArray, FloatArray]]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, without the pairs, as plain types for JSON."""
        forces = {} if self.forces is None else asdict(self.forces)
        names = ("force_mae_meV_A", "force_rmse_meV_A", "force_cosine", "force_slope")
        return {
            "n_frames": self.n_frames,
            "n_atoms": self.n_atoms,
            "energy_mae_meV_atom": self.energy_mae_meV_atom,
            "energy_rmse_meV_atom": self.energy_rmse_meV_atom,
            "energy_offset_eV": dict(self.energy_offset_eV),
            **{name: forces.get(name) for name in names},
            "force_slope_stderr": self.force_slope_stderr,
            "stress_mae_GPa": self.stress_mae_GPa,
            "pressure_bias_GPa": self.pressure_bias_GPa,
            "pressure_bias_stderr_GPa": self.pressure_bias_stderr_GPa,
            "by_element": {symbol: asdict(one) for symbol, one in self.by_element.items()},
        }


def point_errors(
    surrogate: Trajectory | Sequence[Trajectory], reference: Trajectory | Sequence[Trajectory]
) -> PointErrors:
    """Compare energies, forces and stresses frame by frame.

    Parameters
    ----------
    surrogate, reference
        The same atoms at the same positions: the former from
        :func:`mlmd.comparison.evaluate_frames`. Several, of different compositions, too.

    Raises
    ------
    InputError
        If numbers of frames, atoms or positions differ, a value is not finite, or there is
        neither an energy nor a force on both sides.
    """
    left = [surrogate] if not isinstance(surrogate, Sequence) else list(surrogate)
    right = [reference] if not isinstance(reference, Sequence) else list(reference)
    _check_same_frames(left, right)
    energies = energy_errors(left, right)
    forces, slope_stderr, by_element = None, None, {}
    pairs: dict[str, tuple[FloatArray, FloatArray]] = dict(energies.pairs)
    with_forces = _with(left, right, "forces_eV_A")
    if with_forces:
        first = np.concatenate([_flat(one) for one, _ in with_forces])
        other = np.concatenate([_flat(one) for _, one in with_forces])
        symbols = np.concatenate([np.tile(r.symbols, len(r)) for _, r in with_forces])
        forces = _force_errors(first, other)
        by_element = {
            str(s): _force_errors(first[symbols == s], other[symbols == s])
            for s in dict.fromkeys(symbols.tolist())
        }
        slope_stderr = _slope_stderr(with_forces, forces.force_slope)
        pairs["force_eV_A"] = (other.ravel(), first.ravel())
    stress_mae = bias = bias_stderr = None
    with_stresses = _with(left, right, "stresses_eV_A3")
    if with_stresses:
        first = np.concatenate([_stresses(one) for one, _ in with_stresses])
        other = np.concatenate([_stresses(one) for _, one in with_stresses])
        stress_mae = float(np.abs(first - other).mean())
        biases = -(first - other)[:, :3].mean(axis=1)
        bias = float(biases.mean())
        if len(biases) > 1:
            bias_stderr = float(biases.std(ddof=1) / np.sqrt(len(biases)))
        pairs["stress_GPa"] = (other.ravel(), first.ravel())
    if not pairs:
        raise InputError(
            "surrogate and reference have neither energies, nor forces, nor stresses in common; "
            "expected frames with the results of the reference's method, such as a vasprun.xml"
        )
    return PointErrors(
        n_frames=sum(len(one) for one in right),
        n_atoms=sum(len(one) * one.n_atoms for one in right),
        energy_mae_meV_atom=energies.mae_meV_atom,
        energy_rmse_meV_atom=energies.rmse_meV_atom,
        energy_offset_eV=energies.offset_eV,
        forces=forces,
        force_slope_stderr=slope_stderr,
        by_element=by_element,
        stress_mae_GPa=stress_mae,
        pressure_bias_GPa=bias,
        pressure_bias_stderr_GPa=bias_stderr,
        pairs=pairs,
    )


def _force_errors(surrogate: FloatArray, reference: FloatArray) -> ForceErrors:
    """Errors of forces (n, 3) in eV/angstrom."""
    difference = surrogate - reference
    lengths = np.linalg.norm(surrogate, axis=1) * np.linalg.norm(reference, axis=1)
    meant = lengths > 0
    cosines = np.sum(surrogate * reference, axis=1)[meant] / lengths[meant]
    norm = float(np.sum(reference**2))
    return ForceErrors(
        force_mae_meV_A=1000.0 * float(np.abs(difference).mean()),
        force_rmse_meV_A=1000.0 * float(np.sqrt(np.mean(difference**2))),
        force_cosine=float(cosines.mean()) if len(cosines) else None,
        force_slope=float(np.sum(surrogate * reference)) / norm if norm > 0 else None,
        n_atoms=len(reference),
    )


def _slope_stderr(
    pairs: Sequence[tuple[Trajectory, Trajectory]], slope: float | None
) -> float | None:
    """Standard error of a ratio of sums, from the frames as independent clusters."""
    products, norms = [], []
    for surrogate, reference in pairs:
        left, right = _flat(surrogate), _flat(reference)
        shape = (len(reference), -1)
        products.append(np.sum((left * right).reshape(shape), axis=1))
        norms.append(np.sum((right**2).reshape(shape), axis=1))
    product, norm = np.concatenate(products), np.concatenate(norms)
    n = len(norm)
    if n < 2 or slope is None:
        return None
    residual = product - slope * norm
    return float(np.sqrt(n / (n - 1) * np.sum(residual**2)) / norm.sum())


def _with(
    left: Sequence[Trajectory], right: Sequence[Trajectory], name: str
) -> list[tuple[Trajectory, Trajectory]]:
    """Return the pairs of trajectories that both have an array."""
    return [
        (s, r)
        for s, r in zip(left, right, strict=True)
        if getattr(s, name) is not None and getattr(r, name) is not None
    ]


def _flat(trajectory: Trajectory) -> FloatArray:
    return np.asarray(trajectory.forces_eV_A, dtype=float).reshape(-1, 3)


def _stresses(trajectory: Trajectory) -> FloatArray:
    return np.asarray(trajectory.stresses_eV_A3, dtype=float) * EV_A3_IN_GPA


def _check_same_frames(left: Sequence[Trajectory], right: Sequence[Trajectory]) -> None:
    if not right or len(left) != len(right):
        raise InputError(
            f"{len(left)} evaluated trajectories were given for {len(right)} of the reference; "
            "expected one for each"
        )
    for surrogate, reference in zip(left, right, strict=True):
        same = (
            surrogate.positions_A.shape == reference.positions_A.shape
            and np.array_equal(surrogate.numbers, reference.numbers)
            and np.allclose(surrogate.positions_A, reference.positions_A, rtol=0, atol=1e-3)
        )
        if not same or len(reference) == 0:
            raise InputError(
                f"{surrogate.source} and {reference.source} do not have the same atoms at the "
                "same positions; expected the surrogate on the reference's own frames"
            )
        for one in (surrogate, reference):
            for array in (one.energies_eV, one.forces_eV_A, one.stresses_eV_A3):
                if array is not None and not np.isfinite(array).all():
                    raise InputError(
                        f"energies, forces or stresses of {one.source} are not all finite; leave "
                        "those frames out"
                    )
