"""The volume to start from: given, taken from a reference structure, or guessed from radii."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ase import units

from mlmd.checks import one_structure, positive_number
from mlmd.errors import InputError
from mlmd.structure.composition import Composition
from mlmd.structure.radii import volume_from_radii

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

# A given volume against the guess from radii, which is right within a factor 1.5 or so.
_IMPROBABLE = (0.5, 2.5)  # logged
_ABSURD = (0.2, 20.0)  # refused: a unit or a digit is wrong
_ABSURD_REFERENCE = (0.2, 5.0)  # refused: a reference with vacuum in it is no bulk material

_U_PER_A3_IN_G_CM3 = units._amu * 1e27  # kg per u, and 1e30 A3/m3 over 1e3 (kg/m3)/(g/cm3)


@dataclass(frozen=True)
class VolumeEstimate:
    """A starting volume and where it comes from.

    Attributes
    ----------
    volume_per_atom_A3 : float
        Volume per atom in cubic angstrom.
    source : str
        ``density``, ``volume per atom``, ``reference structure`` or ``atomic radii``.
    detail : str
        What was given, or how the number was made.
    """

    volume_per_atom_A3: float
    source: str
    detail: str


def starting_volume(
    composition: Composition,
    *,
    density_g_cm3: float | None = None,
    volume_per_atom_A3: float | None = None,
    reference: Atoms | None = None,
    exclusion_volume_A3: float = 0.0,
) -> VolumeEstimate:
    """Volume per atom from the one source that is given, else from atomic radii.

    Parameters
    ----------
    composition : Composition
        What the volume is for.
    density_g_cm3 : float, optional
        Mass density.
    volume_per_atom_A3 : float, optional
        Volume per atom.
    reference : ase.Atoms, optional
        A bulk structure whose volume per atom is taken, such as the crystal.
    exclusion_volume_A3 : float, default 0
        Mean volume per atom of cubes as wide as the distance that atoms must keep. An estimate
        from radii is raised to it, so that the atoms can be placed with ease; what is given
        must exceed it divided by sqrt(2), the volume of close-packed spheres.

    Returns
    -------
    VolumeEstimate
        The number and how it was made.

    Raises
    ------
    InputError
        If more than one source is given; a number is not finite and positive; the reference
        is no bulk structure; or the volume cannot be meant: below close packing, or outside
        0.2 to 20 times what the atomic radii suggest (0.2 to 5 times for a reference).
        Outside 0.5 to 2.5 times it is logged as a warning.
    """
    given = {
        "density_g_cm3": density_g_cm3,
        "volume_per_atom_A3": volume_per_atom_A3,
        "reference": reference,
    }
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)} are all given; expected one source of the volume")
    if density_g_cm3 is not None:
        density = positive_number("density_g_cm3", density_g_cm3, "g/cm3")
        volume = composition.mass_per_atom_u * _U_PER_A3_IN_G_CM3 / density
        found = VolumeEstimate(volume, "density", f"{density:g} g/cm3")
    elif volume_per_atom_A3 is not None:
        volume = positive_number("volume_per_atom_A3", volume_per_atom_A3, "A3")
        found = VolumeEstimate(volume, "volume per atom", f"{volume:g} A3/atom")
    elif reference is not None:
        found = _from_reference(composition, reference)
    else:
        return _from_radii(composition, exclusion_volume_A3)
    _check_density(composition, found, exclusion_volume_A3)
    return found


def _from_reference(composition: Composition, reference: Atoms) -> VolumeEstimate:
    one_structure("reference", reference)
    if len(reference) == 0 or not all(reference.pbc) or not reference.cell.volume > 0:
        raise InputError(
            "the reference structure is not periodic in three directions or has no cell or no "
            "atoms; expected a bulk structure, else give density_g_cm3 or volume_per_atom_A3"
        )
    formula = reference.get_chemical_formula()
    if Composition.parse(formula).fractions != composition.fractions:
        logger.warning(
            "the volume of %s is taken from a reference of %s", composition.text, formula
        )
    volume = float(reference.cell.volume) / len(reference)
    if not math.isfinite(volume):
        raise InputError("the cell of the reference structure is not finite; expected numbers")
    return VolumeEstimate(volume, "reference structure", f"{formula}, {volume:g} A3/atom")


def _from_radii(composition: Composition, exclusion_volume_A3: float) -> VolumeEstimate:
    volume = volume_from_radii(composition.fractions)
    detail = f"{volume:.4g} A3/atom from ionic, covalent and van der Waals radii, +-17 %"
    if volume < exclusion_volume_A3:
        detail += f", raised to {exclusion_volume_A3:.4g} for the distance between atoms"
        volume = exclusion_volume_A3
    logger.info("volume of %s: %s", composition.formula, detail)
    return VolumeEstimate(volume, "atomic radii", detail)


def _check_density(
    composition: Composition, found: VolumeEstimate, exclusion_volume_A3: float
) -> None:
    """Refuse what cannot work."""
    volume, given = found.volume_per_atom_A3, _given(found)
    closest = exclusion_volume_A3 / math.sqrt(2.0)
    if volume < closest:
        raise InputError(
            f"{given} for {composition.text}, less than the {closest:.4g} of close-packed spheres "
            "at the distance that atoms must keep; check the unit, lower the density or tolerance_A"
        )
    guess = volume_from_radii(composition.fractions)
    is_reference = found.source == "reference structure"
    lowest, highest = _ABSURD_REFERENCE if is_reference else _ABSURD
    if not lowest * guess <= volume <= highest * guess:
        raise InputError(
            f"{given} for {composition.text}, but atomic radii suggest about {guess:.3g}; "
            + ("give one without vacuum" if is_reference else "check the number and its unit")
        )


def warn_if_improbable(composition: Composition, found: VolumeEstimate) -> None:
    """Say if a volume is far from what the radii of the atoms suggest."""
    guess = volume_from_radii(composition.fractions)
    is_guess = found.source == "atomic radii"
    if (
        not is_guess
        and not _IMPROBABLE[0] * guess <= found.volume_per_atom_A3 <= _IMPROBABLE[1] * guess
    ):
        logger.warning(
            "%s for %s, but atomic radii suggest about %.3g",
            _given(found),
            composition.text,
            guess,
        )


def _given(found: VolumeEstimate) -> str:
    return f"{found.source} ({found.detail}) gives {found.volume_per_atom_A3:.4g} A3/atom"
