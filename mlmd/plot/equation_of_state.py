"""Pressure against volume: what a volume search measured, and the volume that it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.plot.style import COLOURS, new_axes, small_legend, with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlmd.stages.volume.result import VolumeResult

_MARGIN = 0.06  # of the volumes, beyond the outermost
_NEAR = 0.1  # logarithm of the volume over V0, up to which a B0' off by 2 costs 10 % of P


def plot_equation_of_state(result: VolumeResult, ax: Axes | None = None) -> Axes:
    """Draw the pressures with their errors, the fitted curve, and V0 with its interval.

    Error bars and the band about V0 are one standard error. The curve is dashed where it
    is not meant to be good, beyond 10 % from V0; without a bracket of P = 0 there is none. An open
    circle is the verification run, a cross on the axis a volume at which the run failed.

    Parameters
    ----------
    result
        Of an :class:`~mlmd.EquilibrateVolume`, also of one that found nothing.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.

    Raises
    ------
    InputError
        If there is no run to draw.
    """
    if not result.points:
        raise InputError("the volume search has no runs to plot; expected at least one")
    ax = ax or new_axes()
    volumes = np.array([point["volume_A3"] for point in result.points])
    good = [point for point in result.points if point["pressure_GPa"] is not None]
    ax.axhline(0.0, color="0.5", lw=0.8, zorder=1)
    if result.volume_A3 is not None:
        _draw_volume(ax, result.volume_A3, result.volume_stderr_A3)
        _draw_curve(ax, result, result.volume_A3, _span(volumes))
    if good:
        _draw_points(ax, result, good)
    failed = [point["volume_A3"] for point in result.points if point["pressure_GPa"] is None]
    if failed:
        ax.plot(failed, np.zeros(len(failed)), "x", color=COLOURS[1], label="run failed", zorder=4)
    _frame(ax, _span(volumes), good)
    ax.set_xlabel(r"Volume of the cell ($\mathrm{\AA}^3$)")
    kinetic = "total" if result.pressure_convention == "total" else "virial, no kinetic part"
    ax.set_ylabel(f"Pressure (GPa; {kinetic})")
    ax.set_title(result.status.replace("_", " "), fontsize="medium")
    small_legend(ax, loc="upper right", handlelength=1.6)
    return ax


def _draw_volume(ax: Axes, V0_A3: float, stderr_A3: float | None) -> None:
    """Draw the volume of zero pressure."""
    if stderr_A3 is not None:
        ax.axvspan(V0_A3 - stderr_A3, V0_A3 + stderr_A3, color=COLOURS[2], alpha=0.25, lw=0)
    number = with_error(V0_A3, stderr_A3) if stderr_A3 else f"${V0_A3:.6g}$"
    label = rf"$V_0$ = {number} $\mathrm{{\AA}}^3$"
    ax.axvline(V0_A3, color=COLOURS[2], lw=1.2, label=label, zorder=2)


def _draw_curve(ax: Axes, result: VolumeResult, V0_A3: float, span: NDArray[Any]) -> None:
    """Draw the fitted curve where there is one."""
    curve = result.equation_of_state()
    if curve is None:
        return
    grid = np.linspace(span[0], span[1], 400)
    pressures = curve.pressure_GPa(grid)
    inside = np.abs(np.log(grid / V0_A3)) < _NEAR
    label = "Birch-Murnaghan"
    if result.bulk_modulus_GPa is not None:
        modulus = with_error(result.bulk_modulus_GPa, result.bulk_modulus_stderr_GPa)
        label += f", $B$ = {modulus} GPa"
    style: dict[str, Any] = {"color": "0.15", "zorder": 3}
    ax.plot(grid, pressures, ls="--", lw=0.9, alpha=0.6, **style)
    ax.plot(grid[inside], pressures[inside], lw=1.4, label=label, **style)


def _draw_points(ax: Axes, result: VolumeResult, good: list[dict[str, Any]]) -> None:
    """Draw the pressures; the run that was verified stands out."""
    volumes = np.array([point["volume_A3"] for point in good])
    pressures = np.array([point["pressure_GPa"] for point in good])
    errors = np.array([point["stderr_GPa"] for point in good])
    style: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "ms": 5, "capsize": 2.5, "lw": 0}
    last = np.zeros(len(good), dtype=bool)
    if result.cell_volume_A3 is not None:
        last |= (volumes == result.cell_volume_A3) & (pressures == result.pressure_GPa)
    parts = ((~last, "runs", COLOURS[0]), (last, "verification run", "white"))
    for zorder, (chosen, label, face) in enumerate(parts, start=5):
        if chosen.any():
            ax.errorbar(
                volumes[chosen], pressures[chosen], errors[chosen], elinewidth=1, mfc=face,
                label=label, zorder=zorder, **style,
            )  # fmt: skip


def _span(volumes: NDArray[Any]) -> NDArray[Any]:
    return np.array([volumes.min() * (1 - _MARGIN), volumes.max() * (1 + _MARGIN)])


def _frame(ax: Axes, span: NDArray[Any], good: list[dict[str, Any]]) -> None:
    """Frame the points, not the ends of the curve."""
    ax.set_xlim(*span)
    if not good:
        return
    low = min(0.0, *(point["pressure_GPa"] - point["stderr_GPa"] for point in good))
    high = max(0.0, *(point["pressure_GPa"] + point["stderr_GPa"] for point in good))
    room = 0.08 * (high - low) or 1.0
    ax.set_ylim(low - room, high + room)
