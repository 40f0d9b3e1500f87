"""Screening: the time of level maps and of percolation, and how few energies a scan asks for.

    python benchmarks/screening.py [FILE... --calculator chgnet --keep DIR --count]

Without files: the level map of 101^3 points, which has to take less than a second, and percolation
beside bvlain's on one map where that is installed. With files (CIF): for each crystal the energies
of the paper's scheme (every point of every ion that is not too close to an atom), those that
symmetry leaves, and those that a lazy scan asks the calculator for; `--count` computes none and
leaves the last out. What is computed is kept, so that a long count goes on where it was stopped.
Exits 1 where a level map takes longer, or the pooled ratio is below 30.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from mlmd import screen
from mlmd.errors import InputError
from mlmd.screening.landscape.levels import level_map
from mlmd.screening.landscape.percolation import periodic_percolation
from mlmd.screening.scan.crystal import crystal_of
from mlmd.screening.scan.sites import inequivalent_sites
from mlmd.structure.reading import read_structures

MOST_S, LEAST_RATIO = 1.0, 30.0


def landscape(n: int) -> np.ndarray:
    """Wells and saddles as crystals have them, with nothing symmetric about them."""
    axes = np.meshgrid(*[2 * np.pi * np.arange(n) / n] * 3, indexing="ij")
    rng = np.random.default_rng(0)
    energies = np.zeros((n, n, n))
    for _ in range(40):
        waves, phase = rng.integers(-6, 7, 3), rng.random() * 2 * np.pi
        energies += rng.random() * np.cos(
            sum(k * x for k, x in zip(waves, axes, strict=True)) + phase
        )
    return energies


def seconds(call, repeats: int = 5) -> float:
    """Return the best of some times, of the processor: others may be at work beside."""
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        call()
        times.append(time.process_time() - begin)
    return min(times)


def time_level_map() -> bool:
    energies = landscape(101)
    taken_s = seconds(lambda: level_map(energies, (50, 50, 50)))
    print(f"level map of {energies.size} points: {taken_s:.2f} s")
    taken_s_periodic = seconds(lambda: periodic_percolation(energies), 3)
    print(f"percolation in 1-, 2-, 3-D on {energies.size} points: {taken_s_periodic:.2f} s")
    return taken_s < MOST_S


def beside_bvlain() -> None:
    try:
        from bvlain import Lain
    except ImportError:
        print("bvlain is not installed; install it with: pip install 'mlmd[bvlain]'")
        return
    from ase.spacegroup import crystal

    atoms = crystal(["O", "Li"], [(0, 0, 0), (0.25,) * 3], spacegroup=225,
                    cellpar=[4.62] * 3 + [90] * 3)  # fmt: skip
    atoms.info.clear()
    lain = Lain(verbose=False)
    lain.read_atoms(atoms)
    data = lain.bvse_distribution(mobile_ion="Li1+")
    theirs_s = seconds(lain.percolation_barriers, 3)
    ours_s = seconds(lambda: periodic_percolation(data), 3)
    print(f"percolation on bvlain's map of Li2O, {data.size} points: {ours_s:.3f} s, bvlain "
          f"{theirs_s:.2f} s (to 0.01 eV): {theirs_s / ours_s:.0f} times")  # fmt: skip


def count(files: list[Path], calculator: str, keep: Path | None, only: bool) -> bool:
    sums = np.zeros(3)
    begin = time.perf_counter()
    for name, atoms in (one for file in files for one in read_structures(file)):
        try:
            if isinstance(atoms, InputError):
                raise atoms
            crystal = crystal_of(atoms)
            sites = inequivalent_sites(crystal, "Li")
        except InputError as error:
            print(f"{name}: {error}")
            continue
        paper = sum(int((~one.closed).sum()) * len(one.images) for one in sites)
        symmetry = sum(one.n_inequivalent for one in sites)
        row = f"{name}: {crystal.atoms.symbols}, {crystal.space_group}: {paper} {symmetry}"
        asked = 0
        if not only:
            (found,) = screen({name: atoms}, calculator, relax=False, kept=keep).screened
            if found.descriptors is None:
                print(f"{name}: {found.message}")
                continue
            asked = found.n_evaluations
            row += f" {asked} ({paper / asked:.1f} times)  Xi {found.descriptors.xi:.3g}"
        print(row, flush=True)
        sums += (paper, symmetry, asked)
    hours = (time.perf_counter() - begin) / 3600
    paper, symmetry, asked = sums
    print(f"in all: {paper:.0f}; symmetry leaves {symmetry:.0f} ({paper / symmetry:.2f} times)")
    if only:
        return True
    print(f"lazy scans ask for {asked:.0f}: {paper / asked:.1f} times fewer; {hours:.2f} h here")
    return bool(paper / asked >= LEAST_RATIO)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--calculator", default="chgnet")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--count", action="store_true")
    options = parser.parse_args()
    if options.files:
        return not count(options.files, options.calculator, options.keep, options.count)
    good = time_level_map()
    beside_bvlain()
    return not good


if __name__ == "__main__":
    sys.exit(main())
