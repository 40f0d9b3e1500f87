"""The result of a g(r): curves by pair and in total, with their errors."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.errors import InputError
from mlmd.plain import plain_fields, to_plain

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.findings import Finding


Pair = tuple[str, str]


@dataclass(frozen=True)
class RdfSettings:
    """How a g(r) was obtained.

    ``r_max_A`` and ``bin_A`` are what was used; ``n_blocks`` blocks of ``frames_per_block`` frames
    gave the errors, and ``block_correlation`` is what correlation neighbouring ones have left.
    """

    convention: str
    r_max_A: float
    bin_A: float
    n_frames: int
    n_blocks: int
    frames_per_block: int
    block_correlation: float


@dataclass(frozen=True, eq=False)
class PairDistribution:
    """g(r) of one pair of species, or of all atoms.

    Attributes
    ----------
    g : (bins,)
        Mean over the frames.
    stderr : (bins,) or None
        Standard error of that mean, from the blocks; None for a single frame.
    block_g : (blocks, bins)
        g(r) of each block, whose spread gave the error.
    neighbours : (bins,)
        Mean number of atoms of the second species in the shell about one of the first, as
        counted: neither normalised nor smoothed.
    weight : float
        Share of this pair among all ordered pairs: the weights times the partial g(r) sum up
        to the total (``exact`` convention, species of more than one atom).
    """

    g: FloatArray
    stderr: FloatArray | None
    block_g: FloatArray
    neighbours: FloatArray
    weight: float


@dataclass(frozen=True, eq=False)
class RadialDistribution:
    """Total and partial g(r) of a trajectory.

    Attributes
    ----------
    r_A : (bins,)
        Distances in angstrom.
    total : PairDistribution
        Of all atoms, whatever their species.
    partials : mapping of (str, str) to PairDistribution
        By species, in the order of the trajectory; see :meth:`of`.
    n_atoms : mapping of str to int
        Atoms of each species.
    density_A3 : float
        Atoms per cubic angstrom, averaged over the frames.
    half_height_A : float
        Half the smallest height of the cell in any frame: farther out pairs are counted that
        are periodic images of others.
    errors_reliable : bool
        Whether there are at least five blocks, correlated by at most 0.1.
    settings : RdfSettings
        How it was obtained.
    source : str
        Where the trajectory came from.
    findings : tuple of Finding
        What doubts it: what reading the file showed, and where there is no density of a bulk.
    """

    r_A: FloatArray
    total: PairDistribution
    partials: Mapping[Pair, PairDistribution]
    n_atoms: Mapping[str, int]
    density_A3: float
    half_height_A: float
    errors_reliable: bool
    settings: RdfSettings
    source: str
    findings: tuple[Finding, ...] = ()

    def of(self, first: str, second: str) -> PairDistribution:
        """Return g(r) of two species, in either order.

        Raises
        ------
        InputError
            If the pair was not computed.
        """
        for pair in ((first, second), (second, first)):
            if pair in self.partials:
                return self.partials[pair]
        known = ", ".join("-".join(pair) for pair in self.partials)
        raise InputError(f"no g(r) of {first}-{second} in {self.source}; it has {known}")

    def neighbours(self, centre: str, neighbour: str) -> FloatArray:
        """Return the mean number of `neighbour` atoms in each shell about one `centre` atom."""
        counted = self.of(centre, neighbour).neighbours
        if (centre, neighbour) in self.partials:
            return counted
        return counted * (self.n_atoms[neighbour] / self.n_atoms[centre])

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON; what is not known is None."""
        curves = {"total": self.total} | {"-".join(p): c for p, c in self.partials.items()}
        return {
            **plain_fields(self, ("total", "partials")),
            "g": {name: curve.g.tolist() for name, curve in curves.items()},
            "g_stderr": {name: to_plain(curve.stderr) for name, curve in curves.items()},
            "weights": {name: curve.weight for name, curve in curves.items()},
        }

    def to_csv(self) -> str:
        """Return a table: r_A, then g and its standard error in total and by pair."""
        curves = {"total": self.total} | {"-".join(p): c for p, c in self.partials.items()}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["r_A", *(h for name in curves for h in (f"g_{name}", f"stderr_{name}"))])
        for row, r_A in enumerate(self.r_A):
            values = [f"{r_A:.6g}"]
            for curve in curves.values():
                error = "" if curve.stderr is None else f"{curve.stderr[row]:.6g}"
                values += [f"{curve.g[row]:.8g}", error]
            writer.writerow(values)
        return text.getvalue()
