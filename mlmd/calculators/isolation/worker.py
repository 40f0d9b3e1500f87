"""The side of the other interpreter: describes a calculator, or computes what it is asked."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.calculators.evaluation import evaluate
from mlmd.calculators.registry import device_and_dtype, hardware_of
from mlmd.calculators.spec import CalculatorSpec
from mlmd.errors import MlmdError
from mlmd.structure.carried import arrays_of, restored_info

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator


def main(command: str) -> None:
    """Read the request from standard input; answer in the file that it names."""
    request = json.loads(sys.stdin.readline())
    spec = CalculatorSpec(**request["spec"])
    answer = Path(request["answer"])
    try:
        if command == "describe":
            physics = spec.physics(request["elements"])
            _write(answer, {"physics": physics, "packages": spec.packages()})
            return
        threading.Thread(target=_end_with_parent, daemon=True).start()
        directory = request["directory"]
        calculator = spec.load(None if directory is None else Path(directory))
        properties = list(calculator.implemented_properties)
        about = {**device_and_dtype(calculator), "hardware": hardware_of(calculator)}
        _write(answer, {"properties": properties, **about})
    except Exception as error:  # whatever a package raises is told to the caller
        traceback.print_exc()
        _write(answer, _told(error))
        sys.exit(1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(request["socket"])
        serve(connection, calculator)


def serve(connection: socket.socket, calculator: Calculator) -> None:
    """Answer one request after the other until the caller ends the conversation.

    The i-PI protocol never says which atoms there are: each request therefore begins with an
    initialization that does.
    """
    from ase import Atoms
    from ase.calculators.socketio import IPIProtocol, SocketClosed

    protocol = IPIProtocol(connection)
    atoms, said, state = Atoms(), b"", "NEEDINIT"
    results: dict[str, Any] = {}
    while True:
        try:
            message = protocol.recvmsg()
        except (SocketClosed, ConnectionError):
            return
        if message == "STATUS":
            protocol.sendmsg(state)
        elif message == "INIT":
            content = protocol.recvinit()[1].tobytes()
            if content != said:
                atoms, said = _named(json.loads(content)), content
            state = "READY"
        elif message == "POSDATA":
            cell, _, positions = protocol.recvposdata()
            if b"cell_A" not in said:
                atoms.set_cell(cell)
            atoms.set_positions(positions)
            results, state = _results(atoms, calculator), "HAVEDATA"
        elif message == "GETFORCE":
            extra = json.dumps(results["extra"]).encode()
            protocol.sendforce(
                results["energy"], results["forces"], results["virial"], np.frombuffer(extra, "b")
            )
            state = "NEEDINIT"
        else:
            return


def _named(content: dict[str, Any]) -> Atoms:
    """Return atoms of the kinds that a caller names, at no place yet."""
    from ase import Atoms

    arrays = arrays_of(content["arrays"])
    atoms = Atoms(
        numbers=arrays.pop("numbers"),
        pbc=content["pbc"],
        cell=content.get("cell_A"),
        info=restored_info(content["info"]),
    )
    for name, values in arrays.items():
        atoms.set_array(name, values)
    return atoms


def _results(atoms: Atoms, calculator: Calculator) -> dict[str, Any]:
    """Return energy (eV), forces (eV/A), virial (eV) and what the protocol has no place for.

    An error, numbers that are not finite and a missing stress are said so in ``extra``: the
    protocol itself would pass zeros or break.
    """
    from ase.stress import voigt_6_to_full_3x3_stress

    nothing: dict[str, Any] = {
        "energy": 0.0,
        "forces": np.zeros((len(atoms), 3)),
        "virial": np.zeros((3, 3)),
    }
    try:
        atoms.calc = calculator
        has_stress = "stress" in calculator.implemented_properties and atoms.cell.rank == 3
        found = evaluate(atoms, ("forces", "energy", *(("stress",) if has_stress else ())))
    except Exception as error:  # whatever a package raises is told to the caller
        traceback.print_exc()
        return {**nothing, "extra": _told(error)}
    extra = {
        "stress": found.stress_eV_A3 is not None,
        "free_energy": found.extras.get("free_energy"),
        "n_unconverged_scf": int(getattr(calculator, "n_unconverged_scf", 0)),
    }
    energy, forces, virial = found.energy_eV, found.forces_eV_A, nothing["virial"]
    assert energy is not None  # it was asked for, and the forces
    assert forces is not None
    if found.stress_eV_A3 is not None:
        virial = -atoms.get_volume() * voigt_6_to_full_3x3_stress(found.stress_eV_A3)
    if not (np.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(virial).all()):
        return {**nothing, "extra": {**extra, "free_energy": None, "finite": False}}
    return {"energy": energy, "forces": forces, "virial": virial, "extra": extra}


def _told(error: Exception) -> dict[str, str]:
    text = " ".join(str(error).split())
    if isinstance(error, MlmdError):
        return {"error": text, "kind": type(error).__name__}
    return {"error": f"{type(error).__name__}: {text}", "kind": "Exception"}


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that is there as a whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.replace(path)


def _end_with_parent() -> None:
    """End when the caller has gone, however it went: it alone holds our standard input."""
    sys.stdin.read()
    os._exit(1)
