"""Volumes at which virial and total pressure of melts vanish, with CHGNet (docs/protocols.md).

    python benchmarks/melt_volumes.py [FOLDER] [--smoke]

One NVT run of 2 ps at each volume (32 atoms, 2 fs, the first half ps left out) gives both
pressures, and a third-order Birch-Murnaghan curve through them both zeros. The same command goes on
where it stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ase import units

from mlmd import Equilibrate, Protocol, Relax, load_calculator, pack
from mlmd.numerics.autocorrelation import standard_error
from mlmd.stages.volume.birch_murnaghan import fit_birch_murnaghan

N_ATOMS, SETTLED_PS = 32, 0.5
# Volumes per atom (A3) that enclose both zeros.
MELTS = {
    ("LiSi", 2500.0): (16.0, 19.0, 22.0, 25.5, 29.0),
    ("LiSi", 5000.0): (19.0, 23.0, 27.0, 31.0, 36.0),
    ("LiAlO2", 5000.0): (13.0, 15.5, 19.0),
    ("LiCl", 5000.0): (32.0, 37.0, 44.0),
}


def pressures_GPa(
    formula: str, temperature_K: float, volume_A3: float, folder: Path, duration_ps: float
) -> tuple[float, float, float]:
    """Return the virial pressure, the total pressure and the standard error of their means."""
    melt = Protocol(
        name="melt",
        stages=(
            Relax(name="relax"),
            Equilibrate(name="melt", temperature_K=temperature_K, duration_ps=duration_ps),
        ),
    )
    atoms = pack(formula, N_ATOMS, volume_per_atom_A3=volume_A3)
    run = melt.run(
        atoms, load_calculator("chgnet"), folder / f"{formula}-{temperature_K:g}K-{volume_A3:g}"
    )
    trajectory = run.trajectory("melt")
    settled = trajectory.time_fs >= 1000.0 * min(SETTLED_PS, 0.5 * duration_ps)
    total, kinetic = (
        trajectory.pressures_GPa,
        units.kB * trajectory.temperatures_K / volume_A3 / units.GPa,
    )
    virial = standard_error((total - kinetic)[settled], min_effective=5.0)
    stderr = float("nan") if virial.stderr is None else virial.stderr
    return virial.mean, float(np.mean(total[settled])), stderr


def main() -> None:
    given = [word for word in sys.argv[1:] if not word.startswith("-")]
    folder, smoke = Path(given[0] if given else "runs/melt_volumes"), "--smoke" in sys.argv
    print("melt            V (A3/atom)   P_virial  P_total  stderr (GPa)")
    for (formula, temperature_K), volumes in MELTS.items():
        rows = []
        for volume in volumes:
            rows.append(
                pressures_GPa(formula, temperature_K, volume, folder, 0.1 if smoke else 2.0)
            )
            print(
                f"{formula:6} {temperature_K:5.0f} K {volume:9.1f} {rows[-1][0]:13.2f} "
                f"{rows[-1][1]:8.2f} {rows[-1][2]:7.2f}",
                flush=True,
            )
        virial, total, stderr = (np.array(column) for column in zip(*rows, strict=True))
        for name, pressures in (("virial", virial), ("total", total)):
            found = fit_birch_murnaghan(
                volumes, pressures, stderr if np.isfinite(stderr).all() else None
            )
            zero = (
                "none"
                if found.V0_A3 is None
                else f"{found.V0_A3:.1f} +- {found.V0_stderr_A3 or 0:.1f}"
            )
            print(
                f"{formula} {temperature_K:g} K: zero of the {name} pressure {zero} A3/atom "
                f"({found.reason})",
                flush=True,
            )


if __name__ == "__main__":
    main()
