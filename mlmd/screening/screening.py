"""Many structures, one after another: relaxed, scanned, described, ranked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.spec import CalculatorSpec
from mlmd.checks import element
from mlmd.errors import InputError, MlmdError, StoppedError
from mlmd.plain import to_plain
from mlmd.screening.descriptors import Descriptors, Profile, describe, easiest_way
from mlmd.screening.kept import Kept, atoms_of, make_kept, plain_atoms, what_decides
from mlmd.screening.ranking import Ranking, Screened
from mlmd.screening.relaxing import relaxed
from mlmd.screening.scan.crystal import crystal_of
from mlmd.screening.scan.scan import ScanSettings, scan_crystal
from mlmd.screening.scan.sites import mobile_ions

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

logger = logging.getLogger(__name__)

Structures = Mapping[str, "Atoms"] | Iterable[tuple[str, "Atoms | InputError"]]
Report = Callable[[str, int, int], None]
"""Called with the name of a structure, the energies known, and the most that it may take."""


def screen(
    structures: Structures,
    calculator: CalculatorSpec | Calculator | str,
    mobile: str = "Li",
    settings: ScanSettings | None = None,
    *,
    relax: bool = True,
    kept: str | Path | None = None,
    report: Report | None = None,
) -> Ranking:
    """Rank crystals by how freely an ion moves in their rigid frameworks.

    Parameters
    ----------
    structures
        Crystals by name, or pairs of names and crystals as `read_structures` gives them; one that
        cannot be read or scanned stands in the ranking with the reason, and costs no other.
    calculator
        What energies come from: an ASE calculator, a spec or its short form.
    mobile
        The element that moves.
    settings
        How crystals are scanned.
    relax
        Whether they are relaxed with the same calculator before.
    kept
        A folder for what has been computed; the same call goes on from it. It takes a spec.
    report
        Called from time to time.

    Raises
    ------
    InputError
        If a setting cannot be used, or `kept` is given with a calculator that is an object: of
        that nobody knows afterwards what it was.
    RunLockedError
        If another process works on `kept`.
    """
    screening = _Screening(calculator, element("mobile", mobile), settings, relax, kept, report)
    named = structures.items() if isinstance(structures, Mapping) else structures
    try:
        return Ranking(tuple(screening.rows(named)))
    finally:
        screening.close()


class _Screening:
    """One call of :func:`screen`; the calculator is made when it is first needed."""

    def __init__(
        self,
        calculator: Any,
        mobile: str,
        settings: ScanSettings | None,
        relax: bool,
        kept: str | Path | None,
        report: Report | None,
    ) -> None:
        self._spec: CalculatorSpec | None = None
        self._calculator: Any = calculator
        if isinstance(calculator, str | Mapping | CalculatorSpec):
            self._spec, self._calculator = CalculatorSpec.of(calculator), None
        elif kept is not None:
            raise InputError(
                f"what a {type(calculator).__name__} object computes cannot be kept; expected a "
                "CalculatorSpec or a name such as chgnet"
            )
        self._mobile, self._settings = mobile, settings or ScanSettings()
        self._relax, self._report = relax, report
        self._kept = None if kept is None else Path(kept)
        self._lock = None if self._kept is None else make_kept(self._kept)

    def close(self) -> None:
        """End a calculator that was made here, and let others work on what is kept."""
        if self._lock is not None:
            self._lock.close()
        close = getattr(self._calculator, "close", None)
        if self._spec is not None and callable(close):
            close()

    def rows(self, structures: Iterable[tuple[str, Atoms | InputError]]) -> Iterator[Screened]:
        """Give what is found of each structure."""
        for name, atoms in structures:
            formula = ""
            try:
                if isinstance(atoms, InputError):
                    raise atoms
                formula = format(atoms.symbols.formula.reduce()[0], "metal")
                screened = self._one(name, formula, atoms)
            except StoppedError:
                raise
            except Exception as error:  # whatever a model raises is this structure's alone
                logger.info("%s is left out", name, exc_info=True)
                said = (
                    str(error)
                    if isinstance(error, MlmdError)
                    else f"{type(error).__name__}: {error}"
                )
                yield Screened(name, formula, None, 0, self._settings, " ".join(said.split()))
            else:
                yield screened

    def _one(self, name: str, formula: str, atoms: Atoms) -> Screened:
        mobile_ions(atoms, self._mobile)
        kept = self._place_of(atoms)
        done = None if kept is None else kept.read("result")
        if done is None:
            done = self._scanned(name, atoms, kept)
            if kept is not None:
                kept.write("result", done)
        profile = done["profile"] and Profile.of(done["profile"])
        return Screened(
            name,
            formula,
            Descriptors.of(done["descriptors"]),
            done["n_evaluations"],
            self._settings,
            profile=profile,
        )

    def _scanned(self, name: str, atoms: Atoms, kept: Kept | None) -> dict[str, Any]:
        """Relax, scan and describe; return what is found as JSON has it."""
        crystal = self._prepared(atoms, kept)

        def report(n: int, most: int) -> None:
            if self._report is not None:
                self._report(name, n, most)

        scan = scan_crystal(
            crystal,
            self._made(),
            self._mobile,
            self._settings,
            kept=None if kept is None else kept.path,
            report=report,
        )
        found = describe(scan)
        return {
            "descriptors": found.to_dict(),
            "profile": to_plain(easiest_way(scan, found)),
            "n_evaluations": scan.n_evaluations,
        }

    def _place_of(self, atoms: Atoms) -> Kept | None:
        if self._kept is None or self._spec is None:
            return None
        physics = self._spec.physics(sorted(set(atoms.get_chemical_symbols())))
        asked = what_decides(physics, self._mobile, self._settings, self._relax)
        return Kept(self._kept, atoms, asked)

    def _prepared(self, atoms: Atoms, kept: Kept | None) -> Atoms:
        """Return the crystal that is scanned, relaxed if it is to be."""
        if not self._relax:
            return atoms
        before = None if kept is None else kept.read("relaxed")
        if before is not None:
            return atoms_of(before)
        # The smallest cell that does: what is relaxed is then repeated where that is asked for.
        cell = "given" if self._settings.cell == "given" else "primitive"
        after = relaxed(crystal_of(atoms, cell).atoms, self._made())
        if kept is not None:
            kept.write("relaxed", plain_atoms(after))
        return after

    def _made(self) -> Calculator:
        if self._calculator is None and self._spec is not None:
            self._calculator = self._spec.load()
        made: Calculator = self._calculator
        return made
