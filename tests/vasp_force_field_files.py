"""VASP's files of runs with a machine-learned force field, in VASP 6's own layout."""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np
from vasp_files import Run, _lattice, _rows, _structure, outcar, vasprun

ML_OFF = 0.25
"""What the force field's energies (eV) and forces (eV/A) are off from the density functional's."""
THERMOSTAT = [
    "  ENERGY OF THE ELECTRON-ION-THERMOSTAT SYSTEM (eV)",
    "  ---------------------------------------------------",
    "% ion-electron   TOTEN  =       -24.127098  see above",
    "  kinetic energy EKIN   =         0.000027",
    "  total energy   ETOTAL =       -24.123556 eV",
    "",
]


def energies_eV(run: Run, dft: Collection[int]) -> np.ndarray:
    """Return what is printed of each step: by density functional theory where it is in `dft`."""
    by_dft = np.isin(np.arange(len(run.scaled)), list(dft))
    return np.where(by_dft, run.free_eV - run.entropy_eV, run.free_eV + ML_OFF)


def forces_eV_A(run: Run, dft: Collection[int]) -> np.ndarray:
    """Return the forces likewise."""
    by_dft = np.isin(np.arange(len(run.scaled)), list(dft))
    return np.where(by_dft[:, None, None], run.forces, run.forces + ML_OFF)


def outcar_of_force_field(
    run: Run,
    dft: Collection[int] = (),
    order: str = "as VASP does",
    every: int = 1,
    energies_every: int = 1,
    thermostat: bool = True,
    incar: str = "",
    version: str = "6.3.0",
) -> str:
    """Return an OUTCAR of a training (`dft`: steps that are calculated too) or of a prediction.

    `order` is where the force field's results of a step stand that has both: ``as VASP does``
    before the announcement of the electronic steps, ``inside`` behind it, ``last`` at the end.
    Tables are written of every `every`-th step, energies and thermostat of every
    `energies_every`-th.
    """
    pieces = re.split(r"(?=^-+ Iteration +\d+\( +1\))", outcar(run, end=False), flags=re.M)
    head = pieces[0].replace("vasp.5.4.4.18Apr17-6-g9f103f2a35", f"vasp.{version}")
    lines = [head.replace(" INCAR:\n", f" INCAR:\n   ML_LMLFF = .TRUE.\n{incar}")]
    for i, piece in enumerate(pieces[1:]):
        table, energy = (i + 1) % every == 0, (i + 1) % energies_every == 0
        ml = [*(_table(run, i) if table else []), *(_energy(run, i) if energy else [])]
        announced, rest = piece.split("\n", 1)
        by_dft = [rest.partition("  ENERGY OF THE")[0]]
        if i not in dft:
            lines += ml
        elif order == "as VASP does":
            lines += [*ml, announced, *by_dft]
        elif order == "inside":
            lines += [announced, *ml, *by_dft]
        else:
            lines += [announced, *by_dft, *ml]
        lines += THERMOSTAT if thermostat and energy else []
    return "\n".join(lines) + "\n"


def _table(run: Run, i: int) -> list[str]:
    s = run.stress_kB[i] + ML_OFF
    shown = [s[0, 0], s[1, 1], s[2, 2], s[0, 1], s[1, 2], s[2, 0]]
    table = np.hstack([run.wrapped[i] @ run.cells[i], run.forces[i] + ML_OFF])
    return [
        "  ML FORCE on cell =-STRESS in cart. coord. units (eV/cell)",
        "  Direction    XX          YY          ZZ          XY          YZ          ZX",
        "  --------------------------------------------------------------------------------------",
        "  Total:" + "".join(f"{number:12.5f}" for number in shown),
        "  in kB " + "".join(f"{number:12.5f}" for number in shown),
        f"  volume of cell :{np.linalg.det(run.cells[i]):12.2f}",
        *_lattice(run.cells[i]),
        "  POSITION                                       TOTAL-FORCE (eV/Angst) (ML)",
        " " + "-" * 83,
        *(
            "".join(f"{x:13.5f}" for x in row[:3]) + "".join(f"{x:15.6f}" for x in row[3:])
            for row in table
        ),
        " " + "-" * 83,
        "    total drift:                                0.000000      0.000000      0.000000",
        "",
    ]


def _energy(run: Run, i: int) -> list[str]:
    energy = run.free_eV[i] + ML_OFF
    return [
        "  ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
        "  ---------------------------------------------------",
        f"  free  energy ML TOTEN  = {energy:18.8f} eV",
        "",
        f"  ML energy  without entropy={energy:18.8f}  ML energy(sigma->0) ={energy:18.8f}",
        "",
    ]


def vasprun_of_force_field(
    run: Run,
    dft: Collection[int] = (),
    energies: bool = True,
    written: bool = True,
    incar: str = "",
    version: str = "6.4.0",
) -> str:
    """Return a vasprun.xml where only the steps in `dft` stand in ``<calculation>``.

    `energies`: whether the force field's own energy is written, as VASP 6.4 does; `written`:
    whether its structures, forces and stresses are, as they are not with ML_OUTPUT_MODE = 0.
    """
    head, *pieces = re.split(r"(?=^ <calculation>)", vasprun(run), flags=re.M)
    head = head.replace("5.4.4.18Apr17-6-g9f103f2a35", version)
    text = [head.replace(" <incar>\n", f" <incar>\n{incar}")]
    for i, piece in enumerate(pieces):
        end = piece.index("</calculation>") + len("</calculation>\n")
        if i in dft:
            text.append(piece[:end])
            continue
        if written:
            text += ["\n".join(_structure(run, i, "")), "\n"]
            for name, table in (("forces", run.forces[i]), ("stress", run.stress_kB[i])):
                rows = "\n".join(_rows(table + ML_OFF))
                text.append(f' <varray name="{name}" >\n{rows}\n </varray>\n')
        energy = f"{run.free_eV[i] + ML_OFF:16.8f} </i>\n"
        own = "".join(
            f'  <i name="{name}">{energy}' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy")
        )
        text.append(
            f' <energy>\n{own if energies else ""}  <i name="kinetic">      0.50000000 </i>\n'
            f'  <i name="total">{run.free_eV[i] + ML_OFF + 0.5:16.8f} </i>\n </energy>\n'
            ' <time name="totalsc">    0.00    0.00</time>\n'
        )
    return "".join(text) + pieces[-1][pieces[-1].index("</calculation>") + 15 :]
