"""Searches of the zero-pressure volume of Lennard-Jones liquids, held against long runs.

    python benchmarks/volume_searches.py [--searches 34] [--temperature 0.6] [--starts 28 36 55]

108 atoms, cutoff 6.6 A, temperature in units of epsilon/kB (0.8 boils). Each search begins from its
own melt, at a volume per atom given in A3: too dense, about right, or torn. The truth is where the
mean pressure of long runs of as many atoms is zero. About 8 s a search on a free core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from real_motion import EPSILON_EV, KB_EV_K, MASS_U, Liquid

from mlmd import EquilibrateVolume, Protocol, Run
from mlmd.errors import MlmdError

N_ATOMS, REACH = 108, 2.2  # a cutoff in sigma that fits every cell of a search
TRUTH_PS, TRUTH_RUNS = 500.0, 7


class LiquidCalculator(Calculator):
    """The forces of a liquid, in a cubic cell of any size."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, liquid: Liquid) -> None:
        super().__init__()
        self._liquid = liquid

    def calculate(self, atoms=None, properties=(), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self._liquid.edge_A = float(self.atoms.cell[0, 0])
        energy, forces, virial = self._liquid.forces(self.atoms.positions)
        stress = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]) * -virial / 3 / self.atoms.get_volume()
        names = ("energy", "free_energy", "forces", "stress")
        self.results = dict(zip(names, (energy, energy, forces, stress), strict=True))


def melt(volume_A3: float, temperature: float, seed: int) -> Liquid:
    """Return a melt of a volume per atom."""
    liquid = Liquid((N_ATOMS,), (N_ATOMS * volume_A3) ** (1 / 3), reach=REACH, seed=seed)
    liquid.draw(3 * temperature)
    liquid.move(3 * temperature, 3.0, step_fs=1.0)
    liquid.move(temperature, 5.0)
    return liquid


def mean_pressure(volume_A3: float, temperature: float, duration_ps: float) -> float:
    liquid = melt(volume_A3, temperature, seed=1)
    liquid.move(temperature, 20.0)
    _, scalars = liquid.move(temperature, duration_ps, every_fs=40.0, keep_positions=False)
    return float(scalars["pressure_GPa"].mean())


def true_volume(temperature: float) -> tuple[float, float]:
    """Volume per atom (A3) and bulk modulus (GPa) at zero pressure: a cubic through long runs."""
    low, high = 30.0, 44.0
    for _ in range(4):
        middle = 0.5 * (low + high)
        if mean_pressure(middle, temperature, TRUTH_PS / 5) > 0:
            low = middle
        else:
            high = middle
    centre = 0.5 * (low + high)
    volumes = centre * np.linspace(0.93, 1.06, TRUTH_RUNS)
    pressures = [mean_pressure(volume, temperature, TRUTH_PS) for volume in volumes]
    curve = np.polynomial.Polynomial.fit(volumes, pressures, 3)
    roots = [root.real for root in curve.roots() if abs(root.imag) < 1e-9]
    zero = min(roots, key=lambda root: abs(root - centre))
    return zero, float(-zero * curve.deriv()(zero))


def search(start_A3: float, temperature: float, seed: int, folder: Path) -> dict[str, float | str]:
    """Return what one search found, volumes per atom."""
    liquid = melt(start_A3, temperature, seed)
    atoms = Atoms(f"Na{N_ATOMS}", positions=liquid.positions.T, cell=[liquid.edge_A] * 3, pbc=True)
    atoms.set_masses([MASS_U] * N_ATOMS)
    atoms.wrap()
    stage = EquilibrateVolume(name="volume", temperature_K=temperature * EPSILON_EV / KB_EV_K)
    calculator = LiquidCalculator(liquid)
    with suppress(MlmdError):  # a search that found nothing is counted by its status
        Protocol("search", (stage,)).run(atoms, calculator, folder, seed=seed)
    result = Run.open(folder).stages[0].result
    assert result is not None
    numbers = {
        "volume": result["volume_A3"],
        "stderr": result["volume_stderr_A3"],
        "cell": result["cell_volume_A3"],
    }
    per_atom = {k: np.nan if v is None else v / N_ATOMS for k, v in numbers.items()}
    modulus = result["bulk_modulus_GPa"] or np.nan
    return {"status": result["status"], "B": modulus, "steps": result["n_steps"], **per_atom}


def say(name: str, found: list[dict[str, float | str]], true_A3: float) -> None:
    """Print a row: of the converged searches, volumes in % of the truth."""
    good = [search for search in found if search["status"] == "converged"]
    volume, stderr, cell, modulus, steps = (
        np.array([search[key] for search in good], float)
        for key in ("volume", "stderr", "cell", "B", "steps")
    )
    error, off = 100.0 * (volume / true_A3 - 1.0), np.abs(volume - true_A3)
    away = 100.0 * (cell / true_A3 - 1.0)
    parts = (
        f"{name:>5}",
        str(dict(Counter(search["status"] for search in found))),
        f"V0 {error.mean():+.2f} +- {error.std(ddof=1) / len(good) ** 0.5:.2f}",
        f"held {100 * (off < stderr).mean():.0f}",
        f"by twice the error {100 * (off < 2 * stderr).mean():.0f}",
        f"error {100 * np.median(stderr) / true_A3:.2f}",
        f"cell {away.mean():+.2f}, worst {np.abs(away).max():.1f}",
        f"B {np.median(modulus):.2f} ({modulus.min():.2f} to {modulus.max():.2f})",
        f"{steps.mean():.0f} steps",
    )
    print(" | ".join(parts), flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--searches", type=int, default=34)
    options.add_argument("--temperature", type=float, default=0.6)
    options.add_argument("--starts", type=float, nargs="+", default=[28.0, 36.0, 55.0])
    given = options.parse_args()
    true_A3, modulus = true_volume(given.temperature)
    print(f"truth: {true_A3:.2f} A3 an atom, B = {modulus:.2f} GPa", flush=True)
    everything = []
    with tempfile.TemporaryDirectory() as folder:
        for start in given.starts:
            found = [
                search(start, given.temperature, seed, Path(folder) / f"{start:g}-{seed}")
                for seed in range(given.searches)
            ]
            say(f"{start:g}", found, true_A3)
            everything += found
    say("all", everything, true_A3)


if __name__ == "__main__":
    main()
