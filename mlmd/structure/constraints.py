"""Which atoms are held in place: what ASE's constraints mean to a simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import BoolArray


def held_atoms(atoms: Atoms) -> BoolArray:
    """Return which atoms are held in place by ``FixAtoms``, shape (atoms,).

    ``FixCom`` changes nothing, the dynamics holds the centre of mass anyway; nor does a
    constraint of no atoms.

    Raises
    ------
    InputError
        If there is another constraint, ``FixCom`` beside atoms that are held, an index beyond
        the atoms, or nothing is left that moves.
    """
    kinds = {type(constraint).__name__: constraint for constraint in _that_act(atoms)}
    others = [kind for kind in kinds if kind not in ("FixAtoms", "FixCom")]
    if others:
        raise InputError(
            f"the structure has constraints ({', '.join(sorted(others))}); expected FixAtoms or "
            "none, remove the others with atoms.set_constraint() (in a POSCAR: F F F or T T T)"
        )
    if len(kinds) == 2:
        raise InputError(
            "the structure has FixCom beside FixAtoms; expected one of them, for the centre of "
            "mass of atoms that push against held ones moves: remove FixCom"
        )
    held = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if type(constraint).__name__ == "FixAtoms":
            try:
                held[constraint.get_indices()] = True
            except IndexError:
                raise InputError(
                    f"FixAtoms holds atom {max(constraint.get_indices())} of {len(atoms)}; "
                    f"expected indices from 0 to {len(atoms) - 1}"
                ) from None
    if held.any() and held.all():
        raise InputError(
            f"FixAtoms holds all {len(atoms)} atoms; expected at least one that moves, give it "
            "fewer indices"
        )
    return held


def _that_act(atoms: Atoms) -> list[Any]:
    """Return the constraints but those of no atoms."""
    return [c for c in atoms.constraints if not hasattr(c, "index") or np.size(c.index)]
