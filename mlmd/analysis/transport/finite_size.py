"""Finite-size correction of the diffusivity in a fluid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.analysis.diffusion.units import BOLTZMANN_J_K
from mlmd.checks import finite_number, positive_number
from mlmd.errors import InputError
from mlmd.plain import plain_fields

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.analysis.diffusion.diffusivity import Diffusivity

XI = 2.837297
"""Of the Ewald-like lattice sum over the images of a simple cubic cell."""

_CUBIC = 1e-3  # relative difference of lengths, and cosine of angles
_M2_S_IN_CM2_S = 1e4


@dataclass(frozen=True)
class FiniteSizeCorrection:
    """Diffusivity of a fluid in a periodic cell and without bounds, in cm^2/s.

    Attributes
    ----------
    D_cm2_s, D_stderr_cm2_s
        As measured, uncorrected.
    D_infinite_cm2_s, D_infinite_stderr_cm2_s
        Corrected. The error has both the diffusivity's and, where given, the viscosity's.
    correction_cm2_s : float
        Their difference.
    edge_A, viscosity_Pa_s, temperature_K
        What the correction was computed with.
    """

    D_cm2_s: float
    D_stderr_cm2_s: float | None
    D_infinite_cm2_s: float
    D_infinite_stderr_cm2_s: float | None
    correction_cm2_s: float
    edge_A: float
    viscosity_Pa_s: float
    temperature_K: float

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON."""
        return plain_fields(self)


def finite_size_correction(
    result: Diffusivity | float,
    cell_A: ArrayLike,
    *,
    temperature_K: float,
    viscosity_Pa_s: float,
    D_stderr_cm2_s: float | None = None,
    viscosity_stderr_Pa_s: float = 0.0,
) -> FiniteSizeCorrection:
    r"""Diffusivity without the hydrodynamic drag of the periodic images.

    .. math:: D_\infty = D + \frac{2.837297\, k_B T}{6 \pi \eta L}

    For fluids only: in a solid there is no flow, and no such correction.

    Parameters
    ----------
    result
        A :class:`~mlmd.analysis.diffusion.diffusivity.Diffusivity`, or D in cm^2/s.
    cell_A : (3, 3) or (frames, 3, 3)
        Cell vectors as rows; of several the mean. It has to be cubic.
    temperature_K, viscosity_Pa_s
        Of the fluid; the viscosity does not depend on the size of the cell.
    D_stderr_cm2_s
        Standard error of D where it is given as a number.
    viscosity_stderr_Pa_s
        Standard error of the viscosity.

    Raises
    ------
    InputError
        If the cell is not cubic, or temperature or viscosity are not above zero.

    References
    ----------
    I.-C. Yeh, G. Hummer, J. Phys. Chem. B 108, 15873 (2004). DOI 10.1021/jp0477147
    """
    temperature_K = positive_number("temperature_K", temperature_K, "K")
    viscosity_Pa_s = positive_number("viscosity_Pa_s", viscosity_Pa_s, "Pa s")
    if finite_number("viscosity_stderr_Pa_s", viscosity_stderr_Pa_s) < 0:
        raise InputError(f"viscosity_stderr_Pa_s is {viscosity_stderr_Pa_s!r}; expected 0 or more")
    if isinstance(result, int | float):
        D, stderr = float(result), D_stderr_cm2_s
    else:
        D, stderr = result.D_raw_cm2_s, result.D_stderr_cm2_s
    edge_A = _cubic_edge_A(cell_A)
    drag = 6.0 * math.pi * viscosity_Pa_s * edge_A * 1e-10
    shift = XI * BOLTZMANN_J_K * temperature_K / drag * _M2_S_IN_CM2_S
    by_viscosity = shift * viscosity_stderr_Pa_s / viscosity_Pa_s
    return FiniteSizeCorrection(
        D_cm2_s=D,
        D_stderr_cm2_s=stderr,
        D_infinite_cm2_s=D + shift,
        D_infinite_stderr_cm2_s=None if stderr is None else math.hypot(stderr, by_viscosity),
        correction_cm2_s=shift,
        edge_A=edge_A,
        viscosity_Pa_s=viscosity_Pa_s,
        temperature_K=temperature_K,
    )


def _cubic_edge_A(cell_A: ArrayLike) -> float:
    """Return the edge of a cubic cell."""
    cells = np.asarray(cell_A, dtype=float)
    if cells.shape[-2:] != (3, 3) or cells.ndim not in (2, 3) or not np.isfinite(cells).all():
        raise InputError(
            f"a cell of shape {cells.shape} was given; expected finite numbers of shape (3, 3) or "
            "(frames, 3, 3)"
        )
    cell = cells.reshape(-1, 3, 3).mean(axis=0)
    lengths = np.linalg.norm(cell, axis=1)
    edge = float(lengths.mean())
    cosines = (cell @ cell.T)[[0, 0, 1], [1, 2, 2]] / max(edge, 1e-9) ** 2
    if edge == 0 or np.ptp(lengths) > _CUBIC * edge or np.abs(cosines).max() > _CUBIC:
        shown = " x ".join(f"{length:.4g}" for length in lengths)
        raise InputError(
            f"a cell of {shown} A (largest cosine {np.abs(cosines).max():.2g}) was given; the "
            "finite-size correction is for cubic cells: run the fluid in one"
        )
    return edge
