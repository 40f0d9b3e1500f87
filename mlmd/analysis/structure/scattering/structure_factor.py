"""Structure factors: the result, its weights, and the route by way of g(r)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from mlmd.analysis.structure.blocks import standard_error
from mlmd.analysis.structure.conventions import convention_named
from mlmd.analysis.structure.scattering.lengths import Radiation, scattering_lengths
from mlmd.checks import choice
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.analysis.structure.radial_distribution import Pair, RadialDistribution
    from mlmd.arrays import FloatArray


Window = Literal["lorch", "none"]


@dataclass(frozen=True, eq=False)
class StructureFactorCurve:
    """S(q) of one pair of species or one weighting.

    Attributes
    ----------
    s : (q,)
        Mean.
    stderr : (q,) or None
        Standard error over blocks of time; None where there is one block.
    block_s : (blocks, q)
        Of each block.
    """

    s: FloatArray
    stderr: FloatArray | None
    block_s: FloatArray


@dataclass(frozen=True, eq=False)
class StructureFactor:
    r"""Static structure factors in the Faber-Ziman definition.

    .. math::

        S(q) = \sum_{ab} \frac{c_a c_b f_a f_b}{\langle f \rangle^2} S_{ab}(q), \quad
        \langle f \rangle = \sum_a c_a f_a

    Every one tends to 1 at large q (T. E. Faber, J. M. Ziman, Philos. Mag. 11, 153 (1965), DOI
    10.1080/14786436508211931).

    Attributes
    ----------
    q_1_A : (q,)
        Wave numbers in inverse angstrom; of a bin's mean for the direct route.
    total : StructureFactorCurve
        With all :math:`f = 1`: of the atoms as points.
    partials : mapping of (str, str) to StructureFactorCurve
        By species.
    fractions : mapping of str to float
        Shares c of the species.
    method : str
        ``g(r), WINDOW`` or ``direct``.
    q_min_1_A : float
        :math:`2 \pi / L` with L twice the range of g(r), or the shortest reciprocal vector:
        below it the values mean nothing.
    source : str
        Where the trajectory came from.
    """

    q_1_A: FloatArray
    total: StructureFactorCurve
    partials: Mapping[Pair, StructureFactorCurve]
    fractions: Mapping[str, float]
    method: str
    q_min_1_A: float
    source: str

    def weighted(self, radiation: Radiation) -> StructureFactorCurve:
        """Return the total as neutrons (coherent) or X-rays see it.

        Raises
        ------
        MissingExtraError
            If ``periodictable`` is not installed.
        InputError
            If the radiation or an element is not known, or the mean scattering length is zero.
        """
        lengths = scattering_lengths(list(self.fractions), self.q_1_A, radiation)
        return weighted_curve(self.partials, self.fractions, lengths)


def weighted_curve(
    partials: Mapping[Pair, StructureFactorCurve],
    fractions: Mapping[str, float],
    lengths: FloatArray,
) -> StructureFactorCurve:
    """Combine partial structure factors with scattering lengths (species, q)."""
    shares = np.array(list(fractions.values()))[:, None] * lengths
    mean = shares.sum(axis=0)
    if (np.abs(mean) < 1e-6 * np.abs(shares).max()).any():
        raise InputError(
            "the mean scattering length of this composition is zero, so that S(q) has no "
            "Faber-Ziman normalisation; use the partials"
        )
    scaled = dict(zip(fractions, shares / mean, strict=True))
    weights = {p: (1 if p[0] == p[1] else 2) * scaled[p[0]] * scaled[p[1]] for p in partials}
    return curve_of(
        np.asarray(sum(weights[pair] * curve.s for pair, curve in partials.items())),
        np.asarray(sum(weights[pair] * curve.block_s for pair, curve in partials.items())),
    )


def curve_of(s: FloatArray, block_s: FloatArray) -> StructureFactorCurve:
    """Return a curve with the error that its blocks give."""
    return StructureFactorCurve(s, standard_error(block_s), block_s)


def structure_factor(
    result: RadialDistribution,
    *,
    q_max_1_A: float = 12.0,
    q_step_1_A: float = 0.05,
    window: Window = "none",
) -> StructureFactor:
    r"""Structure factors by Fourier transform of the partial g(r).

    .. math::

        S_{ab}(q) = 1 + 4 \pi \rho \, \frac{N_b - \delta_{ab}}{N_b} \int_0^R
        [g_{ab}(r) - g_\infty] \, w(r) \, \frac{\sin q r}{q r} \, r^2 \, dr, \quad
        g_\infty = \frac{V - \int_0^R g_{ab} \, 4 \pi r^2 \, dr}{V - \frac43 \pi R^3}

    In a cell of N atoms g(r) goes to :math:`g_\infty`, which is 1 only up to terms of 1/N: what
    is near an atom is missing far away. It is the mean outside of R, since g averages to 1 over
    the cell; a constant has no Fourier component at the cell's own reciprocal vectors.

    The integral over each bin is exact, so that a coarse bin does not damp large q. Where g(r) has
    not come to 1 at R, ripples of period :math:`2 \pi / R` remain, largest at small q. The window
    :math:`w = \sin(\pi r / R) / (\pi r / R)` (E. Lorch, J. Phys. C 2, 229 (1969), DOI
    10.1088/0022-3719/2/2/305) removes them at the price of resolution, :math:`5.4 / R`: at 100
    atoms of liquid sodium (R = 8.2 A) it lowers the first peak from 1.8 to 1.5, where
    :func:`mlmd.analysis.structure.scattering.direct.direct_structure_factor` has 1.9.

    Parameters
    ----------
    result
        With all pairs, in the ``exact`` convention. R is its range, or half the smallest height of
        the cell, if that is less.
    q_max_1_A, q_step_1_A
        Largest wave number and spacing.
    window
        ``none``, or ``lorch``.

    Raises
    ------
    InputError
        If g(r) is of another convention or lacks pairs, or a setting is not understood.
    """
    if convention_named(result.settings.convention).name != "exact":
        raise InputError(
            f"g(r) of {result.source} is in the convention '{result.settings.convention}'; S(q) "
            "needs 'exact'"
        )
    if not 0 < q_step_1_A <= q_max_1_A:
        raise InputError(
            f"q up to {q_max_1_A:g} in steps of {q_step_1_A:g} 1/A was asked for; expected a step "
            "above zero and below the largest q"
        )
    choice("window", window, get_args(Window))
    species = list(result.n_atoms)
    n_atoms = sum(result.n_atoms.values())
    fractions = {symbol: n / n_atoms for symbol, n in result.n_atoms.items()}
    edges_A = np.arange(len(result.r_A) + 1) * result.settings.bin_A
    used = int(np.sum(edges_A[1:] <= result.half_height_A * (1 + 1e-9)))
    if used < 2:
        raise InputError(
            f"bins of {result.settings.bin_A:g} A are too wide for the cell of {result.source}, "
            f"whose half height is {result.half_height_A:g} A; give a smaller bin_A"
        )
    edges_A, r_A = edges_A[: used + 1], result.r_A[:used]
    range_A = float(edges_A[-1])
    volume_A3 = n_atoms / result.density_A3
    shells_A3 = 4.0 / 3.0 * np.pi * np.diff(edges_A**3)
    q_1_A = np.arange(1, round(q_max_1_A / q_step_1_A) + 1) * q_step_1_A
    damping = np.sinc(r_A / range_A) if window == "lorch" else np.ones(used)
    kernel = np.diff(_ball_transform(q_1_A[:, None], edges_A), axis=1) * damping

    def transform(g: FloatArray, density_A3: float) -> FloatArray:
        """Return S (..., q) of g (..., bins)."""
        near = g[..., :used]
        far = (volume_A3 - near @ shells_A3) / (volume_A3 - shells_A3.sum())
        s: FloatArray = 1.0 + density_A3 * (near - far[..., None]) @ kernel.T
        return s

    partials = {}
    for first, second in combinations_with_replacement(species, 2):
        curve = result.of(first, second)
        n_b = result.n_atoms[second]
        density_A3 = result.density_A3 * (n_b - int(first == second)) / n_b
        partials[first, second] = curve_of(
            transform(curve.g, density_A3), transform(curve.block_g, density_A3)
        )
    return StructureFactor(
        q_1_A=q_1_A,
        total=weighted_curve(partials, fractions, np.ones((len(species), len(q_1_A)))),
        partials=partials,
        fractions=fractions,
        method=f"g(r), {window} window" if window == "lorch" else "g(r), no window",
        q_min_1_A=np.pi / range_A,
        source=result.source,
    )


def _ball_transform(q_1_A: FloatArray, radius_A: FloatArray) -> FloatArray:
    """Return the Fourier transform of a ball, 4 pi (sin x - x cos x) / q^3 with x = q R."""
    x = q_1_A * radius_A
    transform: FloatArray = 4.0 * np.pi * (np.sin(x) - x * np.cos(x)) / q_1_A**3
    return transform
