"""Small writers of VASP's text files, in VASP's own layout, for the tests of their readers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

TRICLINIC = np.array([[7.0, 0.0, 0.0], [1.5, 6.5, 0.0], [-1.0, 0.8, 7.5]])
MASSES = {"Li": 7.01, "Cl": 35.453}


@dataclass(frozen=True)
class Run:
    """A molecular dynamics run of Li4 Cl4: what every file of it is written from."""

    scaled: np.ndarray  # (frames, 8, 3), unwrapped
    cells: np.ndarray  # (frames, 3, 3)
    forces: np.ndarray
    stress_kB: np.ndarray  # (frames, 3, 3), symmetric, VASP's sign
    free_eV: np.ndarray
    entropy_eV: np.ndarray  # free - sigma->0
    species: tuple[str, ...] = ("Li", "Cl")
    counts: tuple[int, ...] = (4, 4)
    potim_fs: float = 2.0
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def wrapped(self) -> np.ndarray:
        return self.scaled - np.floor(self.scaled)

    @property
    def positions(self) -> np.ndarray:
        """Unwrapped, beginning where the files do: with every atom in the cell."""
        return (self.scaled - np.floor(self.scaled[0])) @ self.cells

    def frames(self, which: slice) -> Run:
        names = ("scaled", "cells", "forces", "stress_kB", "free_eV", "entropy_eV")
        return replace(self, **{name: getattr(self, name)[which] for name in names})


def run(n_frames: int = 12, changing: bool = False, seed: int = 0) -> Run:
    """Return a run whose atoms cross the cell's borders in every direction."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 0.06, (n_frames, 8, 3))
    steps[0] = rng.uniform(0.0, 1.0, (8, 3))
    scaled = np.round(np.cumsum(steps, axis=0), 8)
    growth = 1.0 + (0.004 * np.arange(n_frames) if changing else np.zeros(n_frames))
    stress = rng.normal(0.0, 20.0, (n_frames, 3, 3))
    return Run(
        scaled=scaled,
        cells=np.round(TRICLINIC * growth[:, None, None], 6),
        forces=np.round(rng.normal(0.0, 1.0, (n_frames, 8, 3)), 6),
        stress_kB=np.round((stress + stress.transpose(0, 2, 1)) / 2, 5),
        free_eV=np.round(rng.normal(-30.0, 0.5, n_frames), 8),
        entropy_eV=np.round(rng.uniform(-0.05, -0.01, n_frames), 8),
    )


def vectors(rows: np.ndarray, form: str = "{:12.6f}") -> list[str]:
    return ["".join(form.format(number) for number in row) for row in rows]


def xdatcar(run: Run, variable: bool = False, first: int = 1, scale: str = "1") -> str:
    """Return an XDATCAR of VASP 5 and 6, with one header or, where the cell varies, many."""
    lines: list[str] = []
    for i, frame in enumerate(run.wrapped):
        if i == 0 or variable:
            lines += ["unknown system                          ", f"           {scale}"]
            lines += vectors(run.cells[i])
            lines += ["".join(f"{symbol:>5s}" for symbol in run.species)]
            lines += ["".join(f"{count:5d}" for count in run.counts)]
        lines += [f"Direct configuration={first + i:6d}", *vectors(frame, "{:12.8f}")]
    return "\n".join(lines) + "\n"


def vasprun(run: Run, n_electronic: int = 2, end: bool = True) -> str:
    """Return a vasprun.xml of VASP 5.4, without what no reader of trajectories looks at."""
    settings = {"IBRION": "0", "POTIM": f"{run.potim_fs:.8f}", **run.settings}
    lines = [
        '<?xml version="1.0" encoding="ISO-8859-1"?>',
        "<modeling>",
        " <generator>",
        '  <i name="program" type="string">vasp </i>',
        '  <i name="version" type="string">5.4.4.18Apr17-6-g9f103f2a35  </i>',
        '  <i name="subversion" type="string">(build) complex parallel </i>',
        '  <i name="platform" type="string">LinuxIFC </i>',
        '  <i name="date" type="string">2019 04 23 </i>',
        '  <i name="time" type="string">05:48:14 </i>',
        " </generator>",
        " <incar>",
        '  <i type="int" name="IBRION">     0</i>',
        " </incar>",
        " <kpoints>",
        '  <generation param="Gamma">',
        '   <v type="int" name="divisions">       1        1        1 </v>',
        '   <v name="usershift">      0.00000000       0.00000000       0.00000000 </v>',
        "  </generation>",
        '  <varray name="kpointlist" >',
        "   <v>       0.00000000       0.00000000       0.00000000 </v>",
        "  </varray>",
        '  <varray name="weights" >',
        "   <v>       1.00000000 </v>",
        "  </varray>",
        " </kpoints>",
        " <parameters>",
        '  <separator name="general" >',
        '   <i type="string" name="SYSTEM">unknown system</i>',
        '   <i type="logical" name="LWAVE"> F  </i>',
        "  </separator>",
        '  <separator name="electronic" >',
        '   <i type="int" name="NELM">    60</i>',
        '   <i name="EDIFF">      0.00010000</i>',
        "  </separator>",
        '  <separator name="ionic" >',
        f'   <i type="int" name="NSW">{len(run.scaled):6d}</i>',
        '   <i name="EDIFFG">      0.00100000</i>',
        *[
            f'   <i name="{name}">     {value}</i>'
            if "." in value
            else f'   <i type="int" name="{name}">     {value}</i>'
            for name, value in settings.items()
        ],
        "  </separator>",
        " </parameters>",
        " <atominfo>",
        f"  <atoms>{sum(run.counts):8d} </atoms>",
        f"  <types>{len(run.counts):8d} </types>",
        '  <array name="atoms" >',
        '   <dimension dim="1">ion</dimension>',
        '   <field type="string">element</field>',
        '   <field type="int">atomtype</field>',
        "   <set>",
    ]
    for i, (symbol, count) in enumerate(zip(run.species, run.counts, strict=True), 1):
        lines += [f"    <rc><c>{symbol:2s}</c><c>{i:4d}</c></rc>"] * count
    lines += [
        "   </set>",
        "  </array>",
        '  <array name="atomtypes" >',
        '   <dimension dim="1">type</dimension>',
        '   <field type="int">atomspertype</field>',
        '   <field type="string">element</field>',
        "   <field>mass</field>",
        "   <field>valence</field>",
        '   <field type="string">pseudopotential</field>',
        "   <set>",
    ]
    lines += [
        f"    <rc><c>{count:4d}</c><c>{symbol:2s}</c><c>{MASSES[symbol]:16.8f}</c>"
        f"<c>      1.00000000</c><c>  PAW_PBE {symbol} 17Jan2003                   </c></rc>"
        for symbol, count in zip(run.species, run.counts, strict=True)
    ]
    lines += ["   </set>", "  </array>", " </atominfo>"]
    lines += _structure(run, 0, ' name="initialpos" ')
    for i in range(len(run.scaled)):
        lines += [" <calculation>"]
        sigma0 = run.free_eV[i] - run.entropy_eV[i]
        for j in range(n_electronic):
            # Far from converged, but for the last.
            off = 0.3 * (n_electronic - 1 - j)
            lines += ["  <scstep>", '   <time name="total">    3.12    3.12</time>', "   <energy>"]
            lines += [
                f'    <i name="alphaZ">{0.897:16.8f} </i>',
                f'    <i name="e_fr_energy">{run.free_eV[i] + off:16.8f} </i>',
                f'    <i name="e_wo_entrp">{sigma0 + off:16.8f} </i>',
                f'    <i name="e_0_energy">{sigma0 + off:16.8f} </i>',
                "   </energy>",
                "  </scstep>",
            ]
        lines += ["".join((" ", line)) for line in _structure(run, i, "")]
        lines += ['  <varray name="forces" >', *_rows(run.forces[i]), "  </varray>"]
        lines += ['  <varray name="stress" >', *_rows(run.stress_kB[i]), "  </varray>"]
        work = float(settings.get("PSTRESS", 0)) * abs(np.linalg.det(run.cells[i])) / 1602.1766208
        lines += [
            "  <energy>",
            f'   <i name="e_fr_energy">{run.free_eV[i] + work:16.8f} </i>',
            f'   <i name="e_wo_entrp">{sigma0:16.8f} </i>',
            f'   <i name="e_0_energy">{0.0:16.8f} </i>',
            f'   <i name="kinetic">{0.5:16.8f} </i>',
            f'   <i name="total">{run.free_eV[i] + 0.5:16.8f} </i>',
            "  </energy>",
            '  <time name="totalsc">   29.41   29.44</time>',
            " </calculation>",
        ]
    if end:
        lines += [*_structure(run, -1, ' name="finalpos" '), "</modeling>"]
    return "\n".join(lines) + "\n"


def _rows(table: np.ndarray) -> list[str]:
    return [f"   <v> {row} </v>" for row in vectors(table, "{:16.8f} ")]


def _structure(run: Run, i: int, name: str) -> list[str]:
    return [
        f" <structure{name}>",
        "  <crystal>",
        '   <varray name="basis" >',
        *_rows(run.cells[i]),
        "   </varray>",
        f'   <i name="volume">{np.linalg.det(run.cells[i]):16.8f} </i>',
        '   <varray name="rec_basis" >',
        *_rows(np.linalg.inv(run.cells[i]).T),
        "   </varray>",
        "  </crystal>",
        '  <varray name="positions" >',
        *_rows(run.wrapped[i]),
        "  </varray>",
        " </structure>",
    ]


def outcar(run: Run, end: bool = True) -> str:
    """Return an OUTCAR of VASP 5.4, without most of what no reader of trajectories looks at."""
    rule = "-" * 104
    lines = [
        " vasp.5.4.4.18Apr17-6-g9f103f2a35 (build Sep 18 2018 16:57:57) complex          ",
        "  ",
        " executed on             LinuxIFC date 2019.04.23  05:48:14",
        " running on    1 total cores",
        "",
        f"\n{rule}\n",
        " INCAR:",
        *[f" POTCAR:    PAW_PBE {symbol} 17Jan2003                  " for symbol in run.species],
    ]
    for symbol in run.species:
        lines += [
            f" POTCAR:    PAW_PBE {symbol} 17Jan2003                  ",
            f"   VRHFIN ={symbol}: s1p0                              ",
            "   LEXCH  = PE                                            ",
            f"   TITEL  = PAW_PBE {symbol} 17Jan2003                  ",
            f"   POMASS = {MASSES[symbol]:8.3f}; ZVAL   =    1.000    mass and valenz    ",
            "   ENMAX  =  140.000; ENMIN  =  100.000 eV                 ",
        ]
    counts = "".join(f"{count:4d}" for count in run.counts)
    lines += [
        " Dimension of arrays:",
        "   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   "
        "number of bands    NBANDS=     12",
        f"   number of dos      NEDOS =    301   number of ions     NIONS ={sum(run.counts):7d}",
        "   total plane-waves  NPLWV =  27000",
        f"   ions per type =            {counts}",
        " SYSTEM =  unknown system                          ",
        "   ISPIN  =      1    spin polarized calculation?",
        " Ionic relaxation",
        f"   NSW    = {len(run.scaled):6d}    number of steps for IOM",
        "   NBLOCK =      1;   KBLOCK =     10    inner block; outer block ",
        f"   IBRION = {run.settings.get('IBRION', '0'):>6s}    ionic relax: 0-MD 1-quasi-New 2-CG",
        "   ISIF   =      3    stress and relaxation",
        f"   POTIM  = {run.potim_fs:6.4f}    time-step for ionic-motion",
        "   TEBEG  =  500.0;   TEEND  = 500.0 temperature during run",
        "   estimated Nose-frequenzy (Omega)   =  0.10E-29 period in steps =****** mass=",
        "  Mass of Ions in am",
        "   POMASS = " + "".join(f"{MASSES[symbol]:6.2f}" for symbol in run.species),
        "  Ionic Valenz",
        "   ZVAL   =   1.00  7.00",
        f"\n{rule}\n",
        "  energy-cutoff  :      140.00",
        f"  volume of cell :{np.linalg.det(run.cells[0]):12.2f}",
        *_lattice(run.cells[0]),
        " ",
        " k-points in units of 2pi/SCALE and weight: Automatic mesh",
        "   0.00000000  0.00000000  0.00000000       1.000",
        " ",
        " k-points in reciprocal lattice and weights: Automatic mesh",
        "   0.00000000  0.00000000  0.00000000       1.000",
        " ",
    ]
    for i in range(len(run.scaled)):
        free, sigma0 = run.free_eV[i], run.free_eV[i] - run.entropy_eV[i]
        for j in (1, 2):
            dashes = "-" * 39
            lines += [
                f"{dashes} Iteration {i + 1:6d}({j:4d})  {dashes}",
                "",
                " Free energy of the ion-electron system (eV)",
                "  ---------------------------------------------------",
                f"  free energy    TOTEN  ={free + 0.3 * (2 - j):18.8f} eV",
                "",
                f"  energy without entropy ={sigma0:18.8f}  energy(sigma->0) ={sigma0 + 1:18.8f}",
                "",
            ]
        s = run.stress_kB[i]
        shown = [s[0, 0], s[1, 1], s[2, 2], s[0, 1], s[1, 2], s[2, 0]]
        lines += [
            "  FORCE on cell =-STRESS in cart. coord.  units (eV):",
            "  Direction    XX          YY          ZZ          XY          YZ          ZX",
            "  --------------------------------------------------------------------------------",
            "  Total  " + "".join(f"{number:12.5f}" for number in shown),
            "  in kB  " + "".join(f"{number:12.5f}" for number in shown),
            f"  external pressure ={np.trace(s) / 3:12.2f} kB  Pullay stress =        0.00 kB",
            "",
            " VOLUME and BASIS-vectors are now :",
            " " + "-" * 77,
            "  energy-cutoff  :      140.00",
            f"  volume of cell :{np.linalg.det(run.cells[i]):12.2f}",
            *_lattice(run.cells[i]),
            " POSITION                                       TOTAL-FORCE (eV/Angst)",
            " " + "-" * 83,
        ]
        table = np.hstack([run.wrapped[i] @ run.cells[i], run.forces[i]])
        lines += [
            "".join(f"{x:13.5f}" for x in row[:3]) + "".join(f"{x:14.6f}" for x in row[3:])
            for row in table
        ]
        lines += [
            " " + "-" * 83,
            "    total drift:                                0.000068      0.001768     -0.000018",
            f"\n\n{rule}\n\n\n",
            "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
            "  ---------------------------------------------------",
            f"  free  energy   TOTEN  ={free:18.8f} eV",
            "",
            f"  energy  without entropy={sigma0:17.8f}  energy(sigma->0) ={sigma0:17.8f}",
            " ",
            "  ENERGY OF THE ELECTRON-ION-THERMOSTAT SYSTEM (eV)",
            f"% ion-electron   TOTEN  ={free:18.6f}  see above",
            "  kinetic energy EKIN   =         1.232824",
        ]
    if end:
        lines += [" General timing and accounting informations for this job:"]
    return "\n".join(lines) + "\n"


def _lattice(cell: np.ndarray) -> list[str]:
    both = np.hstack([cell, np.linalg.inv(cell).T])
    return [
        "      direct lattice vectors                 reciprocal lattice vectors",
        *["  " + "".join(f"{number:13.9f}" for number in row) for row in both],
        "",
        "  length of vectors",
        "",
    ]
