"""``mlmd pack``: a composition to a packed cell in a file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from mlmd.cli.options import (
    AsJson,
    Density,
    Force,
    NAtoms,
    Seed,
    VolumePerAtom,
)
from mlmd.cli.outputs import Output
from mlmd.errors import InputError
from mlmd.files import write_output
from mlmd.plain import json_line


def pack_command(
    composition: Annotated[str, typer.Argument(help="Such as Li3PS4 or '(Li2S)0.75(P2S5)0.25'.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File to write; by its suffix."),
        Output("structure"),
    ],
    n_atoms: NAtoms = 100,
    seed: Seed = 0,
    density_g_cm3: Density = None,
    volume_per_atom_A3: VolumePerAtom = None,
    tolerance_A: Annotated[
        float, typer.Option("--tolerance-A", help="No two atoms closer than this.")
    ] = 2.0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Pack a composition into a cubic periodic cell."""
    from ase.io import write
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    format = ""
    with suppress(UnknownFileTypeError):
        format = filetype(str(output), read=False)
    known = ioformats.get(format)
    if known is None or not known.can_write:
        raise InputError(
            f"'{output.name}' has no suffix that ASE can write; expected .extxyz, .cif, .vasp, ..."
        )
    from mlmd.structure import pack

    atoms = pack(
        composition,
        n_atoms,
        seed=seed,
        density_g_cm3=density_g_cm3,
        volume_per_atom_A3=volume_per_atom_A3,
        tolerance_A=tolerance_A,
    )
    with write_output(output, "structure", force) as place:
        write(place, atoms, format=format)
    volume = atoms.get_volume()
    made = {
        "file": str(output),
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "volume_A3": volume,
        "volume_per_atom_A3": volume / len(atoms),
        "density_g_cm3": float(atoms.get_masses().sum()) / volume * 1.66053906660,
        "packing": atoms.info["packing"],
    }
    if as_json:
        print(json_line(made))
        return
    print(
        f"{output}: {made['formula']}, {len(atoms)} atoms, "
        f"{made['volume_per_atom_A3']:.2f} A3/atom, {made['density_g_cm3']:.3f} g/cm3"
    )
