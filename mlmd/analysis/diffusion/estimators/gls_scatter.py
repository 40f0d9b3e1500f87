"""What the data say about the error of a fit: jumps, and atoms that move together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.estimators.gls_line import GlsLine, LagGrid
    from mlmd.analysis.diffusion.walkers import Walkers

N_BLOCKS = 12
"""Blocks of time. Fewer tell little of the error, more miss slow correlations."""

_ORIGINS = 768  # as many as are looked at: more cost time and say little
_SAMPLES = 20_000  # atoms times origins, for the fourth cumulant


@dataclass(frozen=True)
class BlockScatter:
    """Scatter of the diffusivity over blocks of time, against what the model expects.

    Attributes
    ----------
    ratio : float
        Observed over expected sum of squares: 1 where the model is right, n where n atoms
        each move as one.
    df : float
        Degrees of freedom of that ratio.
    n_blocks : int
        Number of blocks; 0 where the trajectory is too short for them.
    """

    ratio: float
    df: float
    n_blocks: int


def fourth_cumulant_A4(walkers: Walkers, grid: LagGrid) -> float:
    r"""Fourth cumulant of the displacement in one stride, for the average over axes.

    .. math:: \kappa = \tfrac19 \left[\langle |\Delta r|^4 \rangle - \langle |\Delta r|^2
        \rangle^2 - 2 \sum_x \langle \Delta x^2 \rangle^2 \right]

    at the first lag, over its number of strides. It is 0 for a Gaussian walk and the rate of
    jumps times their fourth power, over 9, for jumps; vibration about a site does not enter.
    What does not exceed twice its standard error, :math:`s^4 \sqrt{120/n}` for n Gaussian
    displacements of variance :math:`s^2` in each direction, is noise, and 0 is given.
    """
    last = len(walkers) - grid.first
    n_origins = min(_ORIGINS, max(_ORIGINS // 8, _SAMPLES // walkers.n))
    origins = np.arange(0, last, max(grid.stride, last // n_origins))
    squares = (walkers.at(origins + grid.first) - walkers.at(origins)) ** 2
    length = squares.sum(axis=2)
    mean = float(length.mean())
    excess = float((length**2).mean()) - mean**2
    excess -= 2.0 * float((squares.mean(axis=(0, 1)) ** 2).sum())
    independent = walkers.n * max(1.0, last / grid.first)
    noise = (mean / 3.0) ** 2 * math.sqrt(120.0 / independent)
    return excess / (9.0 * grid.memory) if excess > 2.0 * noise else 0.0


def block_scatter(walkers: Walkers, line: GlsLine) -> BlockScatter:
    """Compare the scatter of the fit over blocks of time with what the model expects.

    The fit is a weighted sum of squared displacements, and so is its part from the intervals
    whose centres lie in one block. Collective motion makes all atoms of a block faster or
    slower together: the blocks scatter more than the model of independent atoms expects.
    """
    grid = line.grid
    lags, longest = grid.lags, int(grid.lags[-1])
    centres = (len(walkers) - 1) // grid.stride + 1 - longest
    width = centres // N_BLOCKS
    if width < 1:
        return BlockScatter(1.0, 0.0, 0)
    step = -(-width * N_BLOCKS // _ORIGINS)
    samples = width // step  # in each block
    chosen = np.arange(samples * N_BLOCKS) * step
    per_centre = np.zeros(len(chosen))
    for lag, weight in zip(lags, line.weights, strict=True):
        start = chosen + longest // 2 - lag // 2
        moved = walkers.at((start + lag) * grid.stride) - walkers.at(start * grid.stride)
        per_centre += weight * np.einsum("fax,fax->f", moved, moved) / (3.0 * walkers.n)
    values = per_centre.reshape(N_BLOCKS, samples).mean(axis=1)
    memory = np.einsum("i,j,ijs->s", line.weights, line.weights, line.squares_A4) / walkers.n
    shifts = line.geometry.shifts
    taken = shifts % step == 0
    memory, shifts = memory[taken], shifts[taken] // step
    apart = np.array(
        [
            (np.maximum(0, samples - np.abs(shifts - n * samples)) * memory).sum() / samples**2
            for n in range(N_BLOCKS)
        ]
    )
    index = np.arange(N_BLOCKS)
    expected = (np.eye(N_BLOCKS) - 1.0 / N_BLOCKS) @ apart[np.abs(index[:, None] - index)]
    trace = float(np.trace(expected))
    if not trace > 0:
        return BlockScatter(1.0, 0.0, 0)
    observed = float(((values - values.mean()) ** 2).sum())
    return BlockScatter(observed / trace, trace**2 / float(np.trace(expected @ expected)), N_BLOCKS)
