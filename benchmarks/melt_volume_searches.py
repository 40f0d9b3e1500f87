"""Searches of the zero-pressure volume of molten LiCl with CHGNet, held against one long run.

    python benchmarks/melt_volume_searches.py [FOLDER] [--smoke]

32 atoms at 1400 K. Three searches, each from its own melt: about right, too dense, too wide. A run
of 20 ps in the first one's cell gives the truth: its mean pressure over the bulk modulus is how far
that cell is off. About 20 minutes a search; the same command goes on where it stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlmd import Equilibrate, EquilibrateVolume, Production, Protocol, Relax, load_calculator, pack
from mlmd.numerics.autocorrelation import standard_error

N_ATOMS, TEMPERATURE_K, LONG_PS, SMOKE_PS = 32, 1400.0, 20.0, 0.2
STARTS_A3 = (30.0, 25.0, 38.0)


def main() -> None:
    """Search, run long, compare."""
    given = [word for word in sys.argv[1:] if not word.startswith("-")]
    folder, smoke = Path(given[0] if given else "runs/melt_volume_searches"), "--smoke" in sys.argv
    how = {"duration_ps": SMOKE_PS, "on_unconverged": "accept", "max_runs": 5} if smoke else {}
    stages = (
        Relax(name="relax", max_force_eV_A=0.5, max_steps=200),
        Equilibrate(name="melt", temperature_K=2000.0, duration_ps=SMOKE_PS if smoke else 1.0),
        EquilibrateVolume(name="volume", temperature_K=TEMPERATURE_K, **how),
    )
    long = Production(
        name="long", temperature_K=TEMPERATURE_K, duration_ps=SMOKE_PS if smoke else LONG_PS
    )
    calculator = load_calculator("chgnet")
    true_A3 = stderr_A3 = None
    for seed, start_A3 in enumerate(STARTS_A3):
        protocol = Protocol("search", stages + ((long,) if true_A3 is None else ()))
        atoms = pack("LiCl", N_ATOMS, volume_per_atom_A3=start_A3, seed=seed)
        run = protocol.run(atoms, calculator, folder / f"search-{seed}", seed=seed)
        found = run.stages[2].result
        if true_A3 is None:
            frames = run.trajectory("long")
            pressure = standard_error(frames.pressures_GPa[len(frames) // 10 :])
            slope = found["cell_volume_A3"] / found["bulk_modulus_GPa"]
            true_A3 = found["cell_volume_A3"] + slope * pressure.mean
            stderr_A3 = slope * (pressure.stderr or float("nan"))
            print(f"truth: {true_A3 / N_ATOMS:.2f} +- {stderr_A3 / N_ATOMS:.2f} A3 an atom")
        error = found["volume_stderr_A3"]
        off = (found["volume_A3"] - true_A3) / (error**2 + stderr_A3**2) ** 0.5
        print(
            f"from {start_A3:g}: {found['status']}, V0 {found['volume_A3'] / N_ATOMS:.2f} +- "
            f"{error / N_ATOMS:.2f} A3 an atom ({off:+.1f} errors), cell "
            f"{found['cell_volume_A3'] / N_ATOMS:.2f}, B {found['bulk_modulus_GPa']:.1f} GPa, "
            f"{found['n_steps']} steps",
            flush=True,
        )


if __name__ == "__main__":
    main()
