"""Make mlmd/descriptors/elements.csv from packages that carry public physical data.

    python benchmarks/element_table.py FOLDER > mlmd/descriptors/elements.csv

FOLDER holds the wheels of jarvis-tools and matminer (``pip download --no-deps``): two small
data files inside them are read, nothing of them is imported. Needed only to make the table anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
import zipfile
from importlib.metadata import version
from pathlib import Path

NOBLE = {"He", "Ne", "Ar", "Kr", "Xe", "Rn"}
LAST_Z = 94  # plutonium: no element beyond it is in the paper's database
ANION_FROM_X = 2.5  # elements as electronegative as this are anions when they are ions
COLUMNS = (
    "symbol",
    "bulk_modulus_GPa",
    "shear_modulus_GPa",
    "cohesive_energy_eV",
    "atomic_radius_A",
    "mass_u",
    "electronegativity",
    "ionic_radius_A",
    "moduli_from",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    jarvis, jarvis_version = data_of(folder, "jarvis_tools", "jarvis/core/Elements.json")
    cohesive, matminer_version = data_of(
        folder, "matminer", "matminer/utils/data_files/cohesive_energies.json"
    )
    pymatgen = f"pymatgen-core {version('pymatgen-core')}"
    print("# bulk_modulus_GPa, shear_modulus_GPa: Voigt averages of the elemental solid by DFT")
    print("#   (OptB88vdW), JARVIS-DFT (Choudhary et al. Phys. Rev. B 98, 014107, 2018), from")
    print(f"#   jarvis-tools {jarvis_version} (moduli_from: computed); where it has none, measured")
    print("#   ones, the shear modulus of Cs by G = 3 B E / (9 B - E) from Young's modulus E, from")
    print(f"#   {pymatgen} (moduli_from: measured)")
    print("# cohesive_energy_eV: per atom, measured, 0 K (Kittel, Introduction to Solid State")
    print(f"#   Physics; knowledgedoor.com), from matminer {matminer_version}")
    print("# atomic_radius_A: Slater, J. Chem. Phys. 41, 3199 (1964);")
    print("# mass_u: standard atomic weights; electronegativity: Pauling's scale;")
    print("# ionic_radius_A: Shannon, Acta Cryst. A 32, 751 (1976), crystal radii, mean over the")
    print(f"#   charges of the anion (electronegativity >= {ANION_FROM_X}) or of the cation;")
    print(f"#   all four from {pymatgen}")
    print(",".join(COLUMNS))
    for row in rows(jarvis, cohesive):
        print(",".join("" if value is None else f"{value}" for value in row))
    return 0


def data_of(folder: Path, package: str, member: str) -> tuple[dict, str]:
    (wheel,) = folder.glob(f"{package}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return json.loads(archive.read(member)), wheel.name.split("-")[1]


def rows(jarvis: dict, cohesive: dict):
    from pymatgen.core import Element

    warnings.simplefilter("ignore")
    for z in range(1, LAST_Z + 1):
        element = Element.from_Z(z)
        symbol = element.symbol
        if symbol in NOBLE:
            continue
        bulk, shear, source = moduli(element, jarvis.get(symbol, {}))
        radius = element.atomic_radius
        charged = (
            element.average_anionic_radius
            if element.X >= ANION_FROM_X
            else element.average_cationic_radius
        )
        yield (
            symbol,
            bulk,
            shear,
            positive(cohesive.get(symbol)),
            positive(radius),
            round(float(element.atomic_mass), 10),
            positive(element.X),
            positive(round(float(charged), 4)),
            source,
        )


def moduli(element, computed: dict) -> tuple[float | None, float | None, str]:
    """Bulk and shear modulus of one source, never one from each."""
    bulk, shear = positive(computed.get("KV")), positive(computed.get("GV"))
    if bulk and shear:
        return bulk, shear, "computed"
    bulk, shear = positive(element.bulk_modulus), positive(element.rigidity_modulus)
    young = positive(element.youngs_modulus)
    if bulk and young and not shear:
        shear = round(3 * bulk * young / (9 * bulk - young), 3)
    return bulk, shear, "measured" if bulk or shear else ""


def positive(value: object) -> float | None:
    """Return a number above zero, None for anything else ("na", negative, not a number)."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if number > 0 else None


if __name__ == "__main__":
    sys.exit(main())
