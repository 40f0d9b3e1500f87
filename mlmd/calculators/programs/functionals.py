"""Functionals by one name each, and pseudopotentials that are of another element or functional.

A pseudopotential is made with a functional, and used with another it gives forces of neither.
Programs run on without a word, so that what a file says of itself is read before.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmd.checks import choice
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.calculators.plain_spec import PlainSpec

logger = logging.getLogger(__name__)

OPTION = "other_functional"
"""Option of all programs: ``"stop"``, or ``"continue"`` with pseudopotentials of another one."""

# Fits to the same electron gas are one: pseudopotentials of one are used with the others.
LDA = "LDA"
_BY_WORD: Mapping[str, str] = {
    **dict.fromkeys(("LDA", "PZ", "PADE", "CA", "PW92", "PERDEW-ZUNGER"), LDA),
    **{name: name for name in ("PBE", "PW91", "RPBE", "REVPBE", "PBESOL", "WC", "AM05", "TPSS")},
    **{name: name for name in ("BLYP", "OLYP", "SCAN", "R2SCAN")},
    **dict.fromkeys(("BP", "BP86"), "BP"),
    # SIESTA's van der Waals functionals, for which there are hardly any files.
    **dict.fromkeys(("DRSLL", "LMKLL", "KBM", "C09", "BH", "VV"), "VDW"),
}
# libxc's numbers of exchange and correlation, as in PSML.
_BY_LIBXC: Mapping[frozenset[int], str] = {
    **{frozenset((1, number)): LDA for number in (7, 9, 10, 12, 13)},
    frozenset((20,)): LDA,
    frozenset((101, 130)): "PBE",
    frozenset((102, 130)): "REVPBE",
    frozenset((106, 131)): "BLYP",
    frozenset((106, 132)): "BP",
    frozenset((109, 134)): "PW91",
    frozenset((110, 131)): "OLYP",
    frozenset((116, 133)): "PBESOL",
    frozenset((117, 130)): "RPBE",
    frozenset((118, 130)): "WC",
    frozenset((120, 135)): "AM05",
    frozenset((202, 231)): "TPSS",
    frozenset((263, 267)): "SCAN",
}
# Exchange, correlation and their gradient corrections, as Quantum ESPRESSO writes them.
_BY_TERMS: Mapping[tuple[str, ...], str] = {
    **dict.fromkeys([("SLA", "PZ"), ("SLA", "PW"), ("SLA", "VWN")], LDA),
    **{("SLA", "PW", x, c): "PBE" for x in ("PBX", "PBE") for c in ("PBC", "PBE")},
    ("SLA", "PW", "PSX", "PSC"): "PBESOL",
    ("SLA", "PW", "REVX", "PBC"): "REVPBE",
    ("SLA", "PW", "HHNX", "PBC"): "RPBE",
    ("SLA", "PW", "WCX", "PBC"): "WC",
    ("SLA", "PW", "GGX", "GGC"): "PW91",
    ("SLA", "PW", "TPSS", "TPSS"): "TPSS",
    ("SLA", "LYP", "B88", "BLYP"): "BLYP",
    ("SLA", "LYP", "OPTX", "BLYP"): "OLYP",
    **{("SLA", local, "B88", "P86"): "BP" for local in ("PZ", "PW")},
}


@dataclass(frozen=True)
class Pseudopotential:
    """What a file says of itself.

    Attributes
    ----------
    element
        Chemical symbol; None where it does not say.
    functional
        By the name that all formats share (``"LDA"``, ``"PBE"``, ...); None where it does not
        say, or says one that is not known here.
    """

    element: str | None
    functional: str | None


def functional(text: str) -> str | None:
    """Return the shared name of a functional: ``"PZ"``, ``"SLA PW PBX PBC"``, ``"revPBE"``."""
    terms = text.upper().replace("+", " ").split()
    if len(terms) == 1:
        return _BY_WORD.get(terms[0])
    # Older files have a short name behind the terms.
    return _BY_TERMS.get(tuple(term for term in terms[:4] if term not in ("NOGX", "NOGC")))


def functional_of_libxc(numbers: list[int]) -> str | None:
    """Return the shared name of libxc's numbers."""
    return _BY_LIBXC.get(frozenset(numbers))


def goes_on_with_another(spec: PlainSpec) -> bool:
    """Read the option ``other_functional``: whether files of another functional are taken."""
    given = spec.options.get(OPTION)
    return given is not None and choice(OPTION, given, ("stop", "continue")) == "continue"


def check_pseudopotential(
    what: str, symbol: str, found: Pseudopotential, wanted: str | None, *, goes_on: bool
) -> None:
    """See that a pseudopotential is of an element and a functional, as far as it says.

    Parameters
    ----------
    what
        The file, in messages.
    symbol
        The element that it is to stand for.
    found
        What the file says.
    wanted
        Shared name of the functional of the calculation; None where it is not known.
    goes_on
        Only say in the log that the functional is another.

    Raises
    ------
    InputError
        If the element is another; if the functional is, and that is not asked for.
    """
    if found.element is not None and found.element != symbol:
        raise InputError(
            f"the pseudopotential {what} is of {found.element}; expected one of {symbol}"
        )
    if fits(found.functional, wanted):
        return
    said = f"the pseudopotential of {symbol}, {what}, was made with {found.functional}"
    if not goes_on:
        raise InputError(
            f"{said}; the calculation is {wanted}: give one made with that, set xc, or take it "
            f"nevertheless with {OPTION} 'continue'"
        )
    logger.warning("%s, the calculation is %s; taken nevertheless", said, wanted)


def fits(found: str | None, wanted: str | None) -> bool:
    """Tell whether two functionals are the same, or may be for all that is known."""
    if found is None or wanted is None:
        return True
    if wanted == "VDW":
        return found != LDA
    return found == wanted
