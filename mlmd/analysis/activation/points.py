"""What an Arrhenius fit can be made of: checks that say what to do instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray


def check_temperatures(T: FloatArray) -> None:
    """Raise InputError unless all temperatures are positive."""
    if not (np.isfinite(T) & (T > 0)).all():
        raise InputError(
            f"temperatures {', '.join(f'{t:g}' for t in T)} K were given; expected positive ones"
        )


def check_points(temperatures_K: ArrayLike, D_cm2_s: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return copies of the points: two temperatures or more, some diffusivity positive."""
    T, D = np.array(temperatures_K, dtype=float), np.array(D_cm2_s, dtype=float)
    if T.shape == D.shape and any(value is None for value in np.array(D_cm2_s, object).flat):
        unknown = ", ".join(f"{t:g}" for t in T[np.isnan(D)])
        raise InputError(
            f"D is None at {unknown} K, where the motion is not diffusive; leave those points out, "
            "or give D_raw_cm2_s to fit what was not measured"
        )
    if T.ndim != 1 or T.shape != D.shape:
        raise InputError(
            f"temperatures of shape {T.shape} and diffusivities of shape {D.shape} were given; "
            "expected one of each per point"
        )
    check_temperatures(T)
    different = len(set(T.tolist()))
    if different < 2:
        raise InputError(
            f"{different} different temperature(s) were given; an activation energy needs two "
            "or more"
        )
    if not np.isfinite(D).all() or not (D > 0).any():
        raise InputError(
            f"diffusivities {', '.join(f'{d:.3g}' for d in D)} cm^2/s were given; expected finite "
            "numbers, at least one of them positive"
        )
    return T, D


def check_errors(
    D_stderr_cm2_s: Sequence[float | None] | FloatArray | None, D: FloatArray
) -> FloatArray | None:
    """Return the errors if they are known for every point, else None."""
    if D_stderr_cm2_s is None:
        return None
    sigma = np.array([np.nan if error is None else float(error) for error in D_stderr_cm2_s])
    if sigma.shape != D.shape:
        raise InputError(f"{sigma.size} errors were given for {D.size} points; expected one each")
    if np.isnan(sigma).any():
        return None
    if not (np.isfinite(sigma) & (sigma > 0)).all():
        raise InputError(
            f"errors {', '.join(f'{s:.3g}' for s in sigma)} cm^2/s were given; expected positive, "
            "finite ones (None where not known)"
        )
    return sigma


def check_logarithms(T: FloatArray, D: FloatArray, what: str) -> None:
    """Raise InputError if a diffusivity has no logarithm."""
    if (D <= 0).any():
        worst = int(np.argmin(D))
        raise InputError(
            f"D is {D[worst]:.3g} cm^2/s at {T[worst]:g} K and {what} needs ln D; give an error "
            "for every point and take fit 'linear', which keeps such points"
        )


def check_prefactor(log_D0: float, E_a_eV: float) -> None:
    """Raise InputError if the prefactor is no number that can be written down."""
    if not abs(log_D0) < 700.0:  # the largest double is exp(709)
        raise InputError(
            f"the prefactor is exp({log_D0:.3g}) cm^2/s with E_a = {E_a_eV:.3g} eV: these points "
            "do not follow an Arrhenius law; check temperatures and units"
        )
