"""What pw.x says: its XML file for the numbers, its output for the reasons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
from ase.units import Bohr, Hartree

from mlmd.calculators.programs.base import Step
from mlmd.errors import CalculatorError
from mlmd.numerics.voigt import symmetric_voigt

if TYPE_CHECKING:
    from pathlib import Path

    from mlmd.arrays import FloatArray


def read_result(path: Path) -> Step:
    """Read ``data-file-schema.xml``, all in Hartree atomic units.

    Raises
    ------
    CalculatorError
        If the file is not there, cut short, or has no energy or forces.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise CalculatorError(f"pw.x left no result {path}; see its output") from error
    except ElementTree.ParseError as error:
        raise CalculatorError(f"the result of pw.x is cut short ({path}: {error})") from error
    threshold = float(_text(root, "input/electron_control/conv_thr", path))
    estimate = float(_text(root, "output/convergence_info/scf_conv/scf_error", path))
    said = root.findtext("output/convergence_info/scf_conv/convergence_achieved", "true")
    energy_eV = float(_text(root, "output/total_energy/etot", path)) * Hartree
    stress = None
    if root.find("output/stress") is not None:
        # pw.x counts compression as positive.
        stress = symmetric_voigt(-_array(root, "output/stress", path) * Hartree / Bohr**3)
    return Step(
        energy_eV=energy_eV,
        free_energy_eV=energy_eV,
        forces_eV_A=_array(root, "output/forces", path) * Hartree / Bohr,
        stress_eV_A3=stress,
        # With scf_must_converge false pw.x claims convergence whatever the error is (seen: 6.7).
        n_unconverged=int(not (said.strip().lower() == "true" and estimate <= threshold)),
        positions_A=read_positions(root) * Bohr,
    )


def read_positions(root: ElementTree.Element) -> FloatArray:
    """Return the positions of the atoms in Bohr, in the order of the input."""
    atoms = root.findall("output/atomic_structure/atomic_positions/atom")
    ordered = sorted(atoms, key=lambda atom: int(atom.get("index", "0")))
    rows = [[float(x) for x in (atom.text or "").split()] for atom in ordered]
    return np.array(rows).reshape(-1, 3)


def error_message(output: str) -> str | None:
    """Return the text of the box in which pw.x says why it stops; None where there is none."""
    found = re.findall(r"^ *%{20,}\s*\n(.*?)\n *%{20,}", output, re.M | re.S)
    return " ".join(found[0].split()) if found else None


def says_unconverged(output: str) -> bool:
    """Tell whether pw.x stopped because the SCF did not converge."""
    return "convergence NOT achieved" in output


def _text(root: ElementTree.Element, path: str, file: Path) -> str:
    text = root.findtext(path)
    if text is None:
        raise CalculatorError(f"the result of pw.x has no {path.rpartition('/')[2]} (in {file})")
    return text


def _array(root: ElementTree.Element, path: str, file: Path) -> FloatArray:
    values = np.array([float(x) for x in _text(root, path, file).split()])
    if len(values) % 3:
        raise CalculatorError(
            f"the result of pw.x has {path.rpartition('/')[2]} that are not all there (in {file})"
        )
    return values.reshape(-1, 3)
