"""Spheres placed at random in a periodic cube by the program PACKMOL.

L. Martinez, R. Andrade, E. G. Birgin and J. M. Martinez, J. Comput. Chem. 30, 2157 (2009).
"""

from __future__ import annotations

import math
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlmd.arrays import FloatArray
from mlmd.errors import PackingError
from mlmd.temporary import TemporaryFolder

_ADVICE = "lower the density, or use a smaller tolerance_A or another seed"

# PACKMOL multiplies its seed by up to 8 in 32 bit; this prime is the largest below 2^31 / 8.
_SEED_MODULUS = 268_435_399

# PACKMOL accepts (r_i + r_j)^2 - d^2 up to its `precision`. With that at 1/400 of the smallest
# (r_i + r_j)^2, spheres that are wider by 1/800 keep their true distance when it is content;
# the rest is for the six decimals that it writes.
_PRECISION = 1.0 / 400.0
_WIDENING = math.sqrt(1.0 + _PRECISION) + 5e-6

# Where a packing exists it was found in fewer loops, down to 6.8 A3 per sphere of 2 A; PACKMOL's
# own 200 per kind take minutes to fail.
_LOOPS = 60
_SECONDS, _SECONDS_PER_ATOM = 60.0, 0.2  # 1000 atoms near the densest that works take 5 s
_TAIL_LINES = 15


@dataclass(frozen=True)
class Spheres:
    """Spheres of one kind: a name that PACKMOL takes, how many, and their radius."""

    name: str
    number: int
    radius_A: float


def place_spheres(kinds: list[Spheres], edge_A: float, seed: int) -> FloatArray:
    """Place spheres in a periodic cube so that they do not overlap.

    Parameters
    ----------
    kinds : list of Spheres
        What to place.
    edge_A : float
        Edge of the cube in angstrom, at least the largest diameter.
    seed : int
        Not negative; the same seed gives the same positions.

    Returns
    -------
    (spheres, 3) array
        Centres in angstrom within the cube, in the order of `kinds`. Whether they keep their
        distance is for the caller to verify.

    Raises
    ------
    PackingError
        If PACKMOL is missing, fails or takes too long; the message ends with its output.
    """
    total = sum(kind.number for kind in kinds)
    limit_s = _SECONDS + _SECONDS_PER_ATOM * total
    program = _program()
    with TemporaryFolder("pack") as folder:
        (folder / "packmol.inp").write_text(_input(kinds, edge_A, seed))
        for kind in kinds:
            (folder / f"{kind.name}.xyz").write_text(f"1\n\n{kind.name} 0.0 0.0 0.0\n")
        try:
            done = subprocess.run(
                [program, "-i", "packmol.inp"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            reason = f"took longer than {limit_s:.0f} s"
            raise _failure(reason, total, edge_A, error.stdout or b"") from error
        except OSError as error:
            raise PackingError(
                f"PACKMOL cannot be run ({error}); reinstall it with: pip install "
                "--force-reinstall packmol"
            ) from error
        if done.returncode != 0 or b"ENDED WITHOUT PERFECT PACKING" in done.stdout:
            reason = f"found no packing (exit code {done.returncode})"
            raise _failure(reason, total, edge_A, done.stdout)
        try:
            positions_A = _read_positions(folder / "packed.xyz", kinds)
        except (OSError, ValueError) as error:
            reason = f"wrote no usable positions ({error})"
            raise _failure(reason, total, edge_A, done.stdout) from error
    wrapped_A: FloatArray = np.mod(positions_A, edge_A)  # some are just outside
    return wrapped_A


def _program() -> str:
    try:
        from packmol.cli import get_binary_path

        return str(get_binary_path())
    except (ImportError, FileNotFoundError) as error:
        raise PackingError(
            f"PACKMOL is not installed ({error}); install it with: pip install packmol"
        ) from error


def _input(kinds: list[Spheres], edge_A: float, seed: int) -> str:
    smallest_A = 2.0 * min(kind.radius_A for kind in kinds)
    lines = [
        f"tolerance {smallest_A * _WIDENING:.10f}",
        f"precision {_PRECISION * smallest_A**2:.10f}",
        f"nloop {_LOOPS}",
        f"seed {seed % _SEED_MODULUS + 1}",
        f"pbc {edge_A:.10f} {edge_A:.10f} {edge_A:.10f}",
        "filetype xyz",
        "output packed.xyz",
    ]
    for kind in kinds:
        lines += [
            f"structure {kind.name}.xyz",
            f"  number {kind.number}",
            f"  radius {kind.radius_A * _WIDENING:.10f}",
            "end structure",
        ]
    return "\n".join(lines) + "\n"


def _read_positions(path: Path, kinds: list[Spheres]) -> FloatArray:
    rows = [line.split() for line in path.read_text().splitlines()[2:]]
    names = [kind.name for kind in kinds for _ in range(kind.number)]
    if [row[0] if row else "" for row in rows] != names:
        raise ValueError(f"expected {len(names)} atoms in the order given, found {len(rows)}")
    positions_A = np.array([row[1:4] for row in rows], dtype=float)
    if positions_A.shape != (len(names), 3) or not np.isfinite(positions_A).all():
        raise ValueError("positions are not finite numbers")
    return positions_A


def _failure(reason: str, total: int, edge_A: float, output: bytes) -> PackingError:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip(" #-")]
    return PackingError(
        f"PACKMOL {reason} for {total} atoms in a cube of {edge_A:.3f} A; {_ADVICE}. "
        "The end of its output:\n" + "\n".join(lines[-_TAIL_LINES:])
    )
