"""g(r) by pair of species, wherever it came from."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmd.bounds.memory import check_memory
from mlmd.checks import input_file
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.analysis.structure.radial_distribution import RadialDistribution
    from mlmd.arrays import FloatArray

_MEMORY_PER_BYTE = 60  # every cell of a table is a text of its own first


@dataclass(frozen=True, eq=False)
class PairCurves:
    """Partial g(r) on one grid.

    Attributes
    ----------
    r_A : (bins,)
        Distances in angstrom.
    g : mapping of str to (bins,)
        By pair, such as ``"Li-O"``.
    stderr : mapping of str to (bins,)
        Standard errors, of the pairs for which they are known.
    source : str
        Where they came from.
    """

    r_A: FloatArray
    g: Mapping[str, FloatArray]
    stderr: Mapping[str, FloatArray]
    source: str

    @classmethod
    def of(cls, result: RadialDistribution) -> PairCurves:
        """Take the partial curves of a result of ours."""
        named = {"-".join(pair): curve for pair, curve in result.partials.items()}
        return cls(
            r_A=result.r_A,
            g={name: curve.g for name, curve in named.items()},
            stderr={n: curve.stderr for n, curve in named.items() if curve.stderr is not None},
            source=result.source,
        )

    @classmethod
    def empty(cls) -> PairCurves:
        """Return curves of nothing."""
        return cls(np.empty(0), {}, {}, "nothing")

    @classmethod
    def read_csv(cls, path: str | Path) -> PairCurves:
        """Read a table with a column ``r`` (angstrom) and one column of g(r) for each pair.

        The form of the files that accompany H. Zheng et al., npj Comput. Mater. 10, 295 (2024):
        other columns (a row number without a name) are passed over.

        Raises
        ------
        InputError
            If the file is absent, has no such columns, or a value is not a finite number.
        """
        file = input_file(path, "a CSV table with g(r) by pair")
        check_memory(f"table {file}", file.stat().st_size * _MEMORY_PER_BYTE)
        try:
            with file.open(newline="", encoding="utf-8") as text:
                rows = list(csv.reader(text))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{file} cannot be read as a CSV table ({error})") from error
        header = rows[0] if rows else []
        pairs = [i for i, name in enumerate(header) if name.count("-") == 1]
        if "r" not in header or not pairs or len(rows) < 3:
            raise InputError(
                f"{file} has the columns {', '.join(header) or 'none'} and {len(rows)} line(s); "
                "expected r, one column per pair such as Li-O, and two lines of numbers or more"
            )
        try:
            table = np.array([[float(row[i]) for i in (header.index("r"), *pairs)]
                              for row in rows[1:]])  # fmt: skip
        except (ValueError, IndexError) as error:
            raise InputError(f"{file} is not a table of numbers: {error}") from error
        if not np.isfinite(table).all():
            raise InputError(f"{file} has a value that is not finite; expected numbers throughout")
        g = {header[i]: table[:, k] for k, i in enumerate(pairs, start=1)}
        return cls(table[:, 0], g, {}, str(file))

    def stacked(self, pairs: list[str]) -> FloatArray:
        """Return g (pairs, bins) in the order given."""
        return np.array([self.g[pair] for pair in pairs])


def common_pairs(surrogate: PairCurves, reference: PairCurves) -> list[str]:
    """Return the pairs of the reference, named as there.

    Raises
    ------
    InputError
        If the pairs or the grids differ.
    """
    if sorted(surrogate.g) != sorted(reference.g):
        raise InputError(
            f"{surrogate.source} has g(r) of {', '.join(surrogate.g) or 'no pair'} and "
            f"{reference.source} of {', '.join(reference.g) or 'no pair'}; expected the same pairs"
        )
    if surrogate.r_A.shape != reference.r_A.shape or not np.allclose(
        surrogate.r_A, reference.r_A, rtol=0, atol=1e-6
    ):
        raise InputError(
            f"g(r) of {surrogate.source} has {len(surrogate.r_A)} points and that of "
            f"{reference.source} {len(reference.r_A)}, on different grids; expected the same "
            "distances"
        )
    return list(reference.g)
