"""Surrogate beside reference: g(r), R2 over compositions, diffusivities, forces, energies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlmd.comparison.motion.diffusivity_point import CLIP_D_CM2_S
from mlmd.digits import r_squared_text
from mlmd.errors import InputError
from mlmd.plot.style import (
    COLOURS,
    both_sides,
    colour_of,
    distance_axes,
    new_axes,
    parity_frame,
    small_legend,
    span_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from mlmd.comparison.forces.points import PointErrors
    from mlmd.comparison.motion.diffusivity_parity import DiffusivityParity
    from mlmd.comparison.motion.diffusivity_point import DiffusivitySide
    from mlmd.comparison.structure.distribution import R2Distribution
    from mlmd.comparison.structure.rdf_parity import RdfParity


_MARKERS = ("o", "s", "^", "D", "v", "P")
# Points of a cloud beyond which a file only becomes larger, not clearer.
_MOST_POINTS = 20_000


def plot_rdf_parity(
    result: RdfParity, ax: Axes | None = None, *, pairs: Sequence[str] | None = None
) -> Axes:
    """Draw g(r) of the reference as broad pale lines and that of the surrogate as thin ones.

    The legend says R2 of each pair, its title R2 pooled and the noise ceiling.

    Parameters
    ----------
    result
        Of one system.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    pairs
        Pairs to draw, such as ``"Li-O"``; all where not given.

    Raises
    ------
    InputError
        If there is no g(r) of a pair.
    """
    names = list(result.reference.g) if pairs is None else list(pairs)
    unknown = [name for name in names if name not in result.reference.g]
    if unknown or not names:
        raise InputError(
            f"no g(r) of {', '.join(unknown) or 'no pair'}; expected some of "
            f"{', '.join(result.reference.g)}"
        )
    ax = ax or new_axes()
    ax.axhline(1.0, color="0.75", lw=0.8, zorder=0)
    for i, name in enumerate(names):
        r2 = result.r2_by_pair[name]
        text = name if r2 is None else f"{name}, $R^2$ {r_squared_text(r2)}"
        for side, look in (
            (result.reference, {"lw": 4, "alpha": 0.35}),
            (result.surrogate, {"lw": 1.2, "label": text}),
        ):
            ax.plot(side.r_A, side.g[name], color=colour_of(i), **look)
    title = "reference broad, surrogate thin"
    if result.r2_pooled is not None:
        title += f"\npooled $R^2$ {r_squared_text(result.r2_pooled)}"
    if result.r2_noise_ceiling is not None:
        title += f", noise ceiling {r_squared_text(result.r2_noise_ceiling)}"
    distance_axes(ax, float(result.reference.r_A[-1]))
    ax.set_ylim(bottom=0.0)
    small_legend(ax, handlelength=1.6, title=title)
    return ax


def plot_r2_distribution(result: R2Distribution, ax: Axes | None = None) -> Axes:
    """Draw the share of systems whose R2 exceeds each value, with the levels that are counted.

    Values far below are left out of the range; the text says how many.

    Parameters
    ----------
    result
        From :meth:`mlmd.comparison.Comparison.r2_distribution`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.
    """
    ax = ax or new_axes()
    values = np.array(result.values)
    lowest = min([0.5, *(level - 0.1 for level in result.fraction_above)])
    left = max(lowest, min(float(values[0]) - 0.02, 0.98))
    n = len(values)
    x = np.concatenate([[min(left, float(values[0]))], values, [1.0]])
    share = 1.0 - np.concatenate([np.arange(n + 1), [n]]) / n
    ax.step(x, share, where="post", color=COLOURS[0], lw=1.5)
    for i, (level, above) in enumerate(result.fraction_above.items()):
        colour = COLOURS[(i + 1) % len(COLOURS)]
        ax.plot([level, level], [0.0, above], color=colour, lw=1.0, ls="--")
        ax.plot(level, above, "o", color=colour, ms=5, label=f"{100 * above:.0f} % above {level:g}")
    below = int(np.sum(values < left))
    title = f"{n} systems" + (f", {below} of them below {left:.2g}" if below else "")
    ax.set(xlim=(left, 1.0), ylim=(0.0, 1.02), xlabel="$R^2$ of $g(r)$")
    ax.set_ylabel("Share of systems with a larger $R^2$")
    small_legend(ax, title=title, loc="lower left")
    return ax


def plot_diffusivity_parity(result: DiffusivityParity, ax: Axes | None = None) -> Axes:
    """Draw D of the surrogate against D of the reference, in decades, by temperature.

    Bars are 68 % intervals. Where a side is not diffusive its upper bound stands with an arrow
    and an open marker. The band is a factor of 2, and what is below the clipping value lies on it.

    Parameters
    ----------
    result
        From :func:`mlmd.comparison.motion.diffusivity_parity`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.

    Raises
    ------
    InputError
        If no point has a D or a bound on both sides.
    """
    places = [(point, _place(point.reference), _place(point.surrogate)) for point in result.points]
    drawn = [(point, x, y) for point, x, y in places if x is not None and y is not None]
    if not drawn:
        raise InputError("no diffusivity has a value or a bound on both sides; nothing to draw")
    ax = ax or new_axes()
    temperatures = sorted({p.temperature_K for p, _, _ in drawn}, key=lambda T: (T is None, T))
    species = list(dict.fromkeys(p.species for p, _, _ in drawn))
    ends = []
    for point, x, y in drawn:
        colour = colour_of(temperatures.index(point.temperature_K))
        bound_x, bound_y = (side.D_cm2_s is None for side in (point.reference, point.surrogate))
        x_error, y_error = _bars(point.reference, x, bound_x), _bars(point.surrogate, y, bound_y)
        ax.errorbar(
            x, y, xerr=x_error, yerr=y_error, xuplims=bound_x, uplims=bound_y, ms=5, lw=1.0,
            fmt=_MARKERS[species.index(point.species) % len(_MARKERS)], color=colour,
            mfc="white" if bound_x or bound_y else colour, zorder=4,
        )  # fmt: skip
        ends += [x - x_error[0][0], x + x_error[1][0], y - y_error[0][0], y + y_error[1][0]]
    low, high = 0.7 * max(min(ends), 0.3 * CLIP_D_CM2_S), 1.5 * max(ends)
    ax.fill_between(
        [low, high], [low / 2, high / 2], [low * 2, high * 2], color="0.9", lw=0, zorder=0
    )
    ax.set(xscale="log", yscale="log")
    parity_frame(ax, low, high, *both_sides("$D$", r"$\mathrm{cm^2/s}$"))
    for i, T in enumerate(temperatures):
        label = "T not known" if T is None else f"{T:g} K"
        ax.plot([], [], lw=6, color=colour_of(i), label=label)
    for i, symbol in enumerate(species):
        ax.plot([], [], _MARKERS[i % len(_MARKERS)], ms=5, color="0.4", mfc="none", label=symbol)
    title = None
    if result.log10_mae is not None:
        title = rf"mean $|\Delta \log_{{10}} D|$ {result.log10_mae:.2g}"
    small_legend(ax, title=title)
    return ax


def plot_force_parity(result: PointErrors, ax: Axes | None = None) -> Axes:
    """Draw force components of the surrogate against those of the reference, and their slope.

    Parameters
    ----------
    result
        From :func:`mlmd.comparison.point_errors`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.

    Raises
    ------
    InputError
        If there are no forces.
    """
    if result.forces is None:
        raise InputError("the point-wise test has no forces to draw")
    reference, surrogate = result.pairs["force_eV_A"]
    ax = ax or new_axes()
    end = 1.05 * max(float(np.abs(reference).max()), float(np.abs(surrogate).max()), 1e-6)
    every = math.ceil(len(reference) / _MOST_POINTS)
    every += every % 3 == 0  # else one component alone would be drawn
    ax.plot(
        reference[::every], surrogate[::every], ".", ms=2, color=COLOURS[0], alpha=0.3,
        rasterized=True, zorder=2,
    )  # fmt: skip
    parity_frame(ax, -end, end, *both_sides("Force", r"$\mathrm{eV/\AA}$"), zorder=3)
    slope, cosine = result.forces.force_slope, result.forces.force_cosine
    text = f"mean error {result.forces.force_mae_meV_A:.3g} " + r"meV/$\mathrm{\AA}$"
    if cosine is not None:
        text += f"\nmean cosine {cosine:.3f}"
    if slope is not None:
        ax.plot(
            [-end, end], [-slope * end, slope * end], color=COLOURS[1], lw=1.3, ls="--",
            label=f"slope {slope:.3f}", zorder=4,
        )  # fmt: skip
    small_legend(ax, title=text, loc="upper left")
    return ax


def plot_energy_parity(result: PointErrors, ax: Axes | None = None) -> Axes:
    """Draw energies per atom of both methods, offset removed, about the reference's mean.

    Parameters
    ----------
    result
        From :func:`mlmd.comparison.point_errors`.
    ax
        Axes to draw on; a new figure (``ax.figure``) where not given.

    Raises
    ------
    InputError
        If there are no energies of more than one frame.
    """
    if "energy_eV_atom" not in result.pairs or result.energy_mae_meV_atom is None:
        raise InputError("the point-wise test has no energies of several frames to draw")
    reference, surrogate = (1000.0 * values for values in result.pairs["energy_eV_atom"])
    ax = ax or new_axes()
    ends = span_of(np.concatenate([reference, surrogate]), 0.08)
    parity_frame(ax, *ends, *both_sides("Energy", "meV/atom"))
    ax.plot(reference, surrogate, "o", ms=4, color=COLOURS[0], alpha=0.8)
    ax.text(
        0.04, 0.96, f"mean error {result.energy_mae_meV_atom:.2g} meV/atom",
        transform=ax.transAxes, va="top", fontsize="small",
    )  # fmt: skip
    return ax


def _place(side: DiffusivitySide) -> float | None:
    """Return where to draw one side: D, not below the clipping value, or its bound."""
    value = side.D_cm2_s if side.D_cm2_s is not None else side.D_upper_bound_cm2_s
    return None if value is None else max(value, CLIP_D_CM2_S)


def _bars(side: DiffusivitySide, value: float, is_bound: bool) -> list[list[float]]:
    """Return the lengths of the bars below and above; an arrow downwards for a bound."""
    if is_bound:
        return [[0.4 * value], [0.0]]
    if side.D_interval68_cm2_s is None:
        return [[0.0], [0.0]]
    low, high = side.D_interval68_cm2_s
    return [[max(0.0, value - max(low, CLIP_D_CM2_S))], [max(0.0, high - value)]]
