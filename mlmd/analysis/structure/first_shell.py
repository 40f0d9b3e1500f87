"""Where the first shell of neighbours is, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.structure.blocks import standard_error
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.analysis.structure.radial_distribution import PairDistribution, RadialDistribution
    from mlmd.arrays import FloatArray


# Width of the Gaussian that g(r) is smoothed by: narrower than any peak of a liquid.
_SMOOTHING_A = 0.1
# How far a peak stands out of its surroundings, at least, and a minimum lies below them.
_LEAST_PEAK = 0.1
_LEAST_DIP = 0.03
# In standard errors: one point in a few hundred is three off by chance.
_SIGNIFICANT = 4.0


@dataclass(frozen=True)
class FirstShell:
    """First peak and first minimum of one g(r).

    Attributes
    ----------
    peak_A, peak_g : float
        Position (angstrom) and height of the first peak.
    minimum_A, minimum_g : float
        Position and depth of the minimum between it and what follows.
    coordination : float
        Mean number of neighbours up to the minimum.
    """

    peak_A: float
    peak_g: float
    minimum_A: float
    minimum_g: float
    coordination: float


def first_shell(result: RadialDistribution, centre: str, neighbour: str) -> FirstShell:
    """Find the first peak of g(r) and the minimum after it, on the smoothed curve.

    A peak is a maximum above 1 that stands out by 0.1, a minimum lies 0.03 below the lower of
    the maxima about it; both by four standard errors of the smoothed curve. Positions and
    heights are those of parabolas through the three points about each extremum.

    Parameters
    ----------
    result
        From :func:`mlmd.analysis.structure.rdf`.
    centre, neighbour
        Species of the central atom and of the neighbours that are counted.

    Raises
    ------
    InputError
        If there is no such peak, or no such minimum within the range; the message says why.
    """
    from scipy.signal import find_peaks

    curve = result.of(centre, neighbour)
    g = smoothed(curve.g, result.settings.bin_A)
    noise = _noise(result, curve)
    pair = f"{centre}-{neighbour}"
    peaks, of_peaks = find_peaks(g, height=1.0, prominence=_LEAST_PEAK)
    peaks = peaks[of_peaks["prominences"] > _SIGNIFICANT * noise[peaks]]
    if len(peaks) == 0:
        raise InputError(
            f"g(r) of {pair} in {result.source} has no first peak up to "
            f"{result.settings.r_max_A:g} A: it nowhere stands out of 1 by {_LEAST_PEAK:g} and its "
            "errors; give a cutoff"
        )
    dips, of_dips = find_peaks(-g, prominence=_LEAST_DIP)
    dips = dips[(dips > peaks[0]) & (of_dips["prominences"] > _SIGNIFICANT * noise[dips])]
    gap = np.flatnonzero((g[peaks[0] :] <= 0.0) & (curve.g[peaks[0] :] <= 0.0))
    if len(dips) == 0 and len(gap) == 0:
        raise InputError(
            f"g(r) of {pair} in {result.source} has no minimum after its first peak up to "
            f"{result.settings.r_max_A:g} A; give a cutoff or a larger r_max_A"
        )
    dip = int(dips[0]) if len(dips) else int(peaks[0] + gap[0])
    peak_A, peak_g = _vertex(result.r_A, g, int(peaks[0]))
    minimum_A, minimum_g = _vertex(result.r_A, g, dip)
    return FirstShell(
        peak_A=peak_A,
        peak_g=peak_g,
        minimum_A=minimum_A,
        minimum_g=max(0.0, minimum_g),
        coordination=coordination_within(result, centre, neighbour, minimum_A),
    )


def coordination_within(
    result: RadialDistribution, centre: str, neighbour: str, cutoff_A: float
) -> float:
    """Return the mean number of neighbours nearer than a distance, of those counted in bins.

    Within the bin of the cutoff neighbours are taken to be spread evenly.

    Raises
    ------
    InputError
        If the cutoff lies beyond the range.
    """
    edges_A, running = running_coordination(result, centre, neighbour)
    if not 0 <= cutoff_A <= edges_A[-1] * (1 + 1e-9):
        raise InputError(
            f"a cutoff of {cutoff_A:g} A was given for {result.source}, whose g(r) was counted up "
            f"to {edges_A[-1]:g} A; expected a distance within that"
        )
    return float(np.interp(cutoff_A, edges_A, running))


def running_coordination(
    result: RadialDistribution, centre: str, neighbour: str
) -> tuple[FloatArray, FloatArray]:
    """Return the edges of the bins (A) and the mean number of neighbours within each."""
    from mlmd.analysis.structure.conventions import convention_named

    settings = result.settings
    way = convention_named(settings.convention)
    edges_A = way.bins(settings.r_max_A, settings.bin_A).edges_A
    running = np.concatenate([[0.0], np.cumsum(result.neighbours(centre, neighbour))])
    return edges_A, running


def smoothed(g: FloatArray, bin_A: float) -> FloatArray:
    """Return g (..., bins) smoothed by a Gaussian of 0.1 A."""
    from scipy.ndimage import gaussian_filter1d

    curve: FloatArray = gaussian_filter1d(g, _SMOOTHING_A / bin_A, axis=-1, mode="nearest")
    return curve


def _noise(result: RadialDistribution, curve: PairDistribution) -> FloatArray:
    r"""Standard error of the smoothed curve: from its blocks, or for one by counting.

    By counting, the Gaussian sees the pairs of :math:`2 \sqrt\pi` of its widths.
    """
    bin_A = result.settings.bin_A
    error = standard_error(smoothed(curve.block_g, bin_A))
    if error is not None:
        return error
    pair = next(pair for pair, one in result.partials.items() if one is curve)
    counted = curve.neighbours * result.n_atoms[pair[0]] * result.settings.n_frames
    if pair[0] == pair[1]:
        counted = counted / 2.0
    seen = smoothed(counted, bin_A) * (2.0 * np.sqrt(np.pi) * _SMOOTHING_A / bin_A)
    noise: FloatArray = smoothed(curve.g, bin_A) / np.sqrt(np.maximum(seen, 1.0))
    return noise


def _vertex(r_A: FloatArray, g: FloatArray, at: int) -> tuple[float, float]:
    """Return the extremum of the parabola through a point and its two neighbours."""
    if not 0 < at < len(g) - 1:
        return float(r_A[at]), float(g[at])
    before, here, after = (float(g[at + k]) for k in (-1, 0, 1))
    curvature = before - 2.0 * here + after
    if curvature == 0.0:
        return float(r_A[at]), here
    shift = 0.5 * (before - after) / curvature
    return float(r_A[at] + shift * (r_A[at + 1] - r_A[at])), here - 0.25 * (before - after) * shift


def first_shells(result: RadialDistribution) -> dict[str, FirstShell | str]:
    """Return the first shell of each pair, both ways about, as ``Li-O``.

    Where a curve has none, its place is taken by the reason.
    """
    shells: dict[str, FirstShell | str] = {}
    for a, b in result.partials:
        for centre, neighbour in dict.fromkeys([(a, b), (b, a)]):
            try:
                shells[f"{centre}-{neighbour}"] = first_shell(result, centre, neighbour)
            except InputError as error:
                shells[f"{centre}-{neighbour}"] = str(error)
    return shells
