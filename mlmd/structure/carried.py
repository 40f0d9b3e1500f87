"""What atoms carry besides where they are: charges, moments, tags, arrays and info of the user's.

Potentials read these (a total charge in ``atoms.info``, molecules in an array), so that they belong
to the structure: whoever hands atoms on takes them along, or says by name what is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.plain import to_plain

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

OF_READERS = ("spacegroup", "unit_cell", "occupancy")
"""Entries of ``Atoms.info`` that readers of ASE leave behind, and that say how a file was made."""
ARRAYS_OF_READERS = ("spacegroup_kinds",)
GEOMETRY = ("numbers", "positions", "momenta", "masses")
"""Arrays that whoever hands atoms on treats by themselves."""
KINDS = "biufU"
ARRAY = "array of numpy"
"""Key that marks an array among lists, which a potential may take for something else."""


def carried_info(atoms: Atoms) -> dict[str, Any]:
    """Return the entries of ``Atoms.info`` as plain data, arrays by :func:`restored_info`'s mark.

    Raises
    ------
    InputError
        If one is not plain data; it names that.
    """
    info: dict[str, Any] = {}
    for name, value in atoms.info.items():
        if name in OF_READERS:
            continue
        plain = to_plain(value)
        if isinstance(value, np.ndarray) and value.ndim:
            plain = {ARRAY: plain, "dtype": str(value.dtype)}
        try:
            json.dumps(plain)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"atoms.info[{name!r}] is {type(value).__name__}, which is not plain data and "
                "would be lost; expected numbers, text, lists or mappings: remove or convert it"
            ) from error
        if not isinstance(name, str):
            raise InputError(f"atoms.info has the key {name!r}; expected text")
        info[name] = plain
    return info


def restored_info(plain: dict[str, Any]) -> dict[str, Any]:
    """Return entries of ``Atoms.info`` from what :func:`carried_info` made of them."""
    return {
        name: np.array(value[ARRAY], dtype=value["dtype"])
        if isinstance(value, dict) and ARRAY in value
        else value
        for name, value in plain.items()
    }


def carried_arrays(atoms: Atoms) -> dict[str, NDArray[Any]]:
    """Return what is set for each atom besides numbers, positions, momenta and masses.

    Tags, initial charges and initial magnetic moments that are all zero are as good as not set.

    Raises
    ------
    InputError
        If an array cannot be handed on; it names that.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, values in atoms.arrays.items():
        if name in (*GEOMETRY, *ARRAYS_OF_READERS):
            continue
        if name in ("tags", "initial_charges", "initial_magmoms") and not values.any():
            continue
        if values.dtype.kind not in KINDS or values.ndim > 2:
            raise InputError(
                f"atoms.arrays[{name!r}] has shape {values.shape} and type {values.dtype}, and "
                "would be lost; expected numbers or text, one or one row for each atom: remove or "
                "convert it"
            )
        arrays[name] = values
    return arrays


def plain_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Return arrays as plain data that keeps every bit and the type."""
    return {name: [str(one.dtype), one.tolist()] for name, one in arrays.items()}


def arrays_of(plain: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the arrays of :func:`plain_arrays`."""
    return {name: np.array(values, dtype=dtype) for name, (dtype, values) in plain.items()}
