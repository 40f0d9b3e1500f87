"""The ranking: one row for each structure, the best first, ties and failures shown as such."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.checks import whole_number
from mlmd.files import write_output
from mlmd.findings import Finding
from mlmd.plain import csv_text
from mlmd.screening.scan.scan import XI_ERROR

if TYPE_CHECKING:
    from numpy.random import Generator

    from mlmd.screening.descriptors import Descriptors, Profile
    from mlmd.screening.scan.scan import ScanSettings

COLUMNS = (
    "name",
    "formula",
    "xi",
    "mpe_eV",
    "mpe_1d_eV",
    "mpe_2d_eV",
    "mpe_3d_eV",
    "fv_connected",
    "fv_disconnected",
    "n_evaluations",
    "status",
    "rank",
    "cell",
    "mode",
    "known_eV",
    "xi_error",
    "fv_error",
    "deeper_eV",
    "control",
    "message",
)
DEEPER_EV = 0.01
"""So far below an ion's site another place is worth a word."""
FV_ERROR = 0.02
"""A volume that may be larger by more has not been looked for."""
_TIE = 5e-7


@dataclass(frozen=True)
class Screened:
    """What is known of one structure.

    Attributes
    ----------
    name, formula
        As it was given.
    descriptors
        None where there are none; `message` says why then.
    n_evaluations
        Energies that the calculator was asked for.
    settings
        How it was scanned.
    message
        Why it failed, in one line.
    profile
        The easiest way of an ion to an image of itself, where one is known.
    """

    name: str
    formula: str
    descriptors: Descriptors | None
    n_evaluations: int
    settings: ScanSettings
    message: str = ""
    profile: Profile | None = None

    @property
    def status(self) -> str:
        """`done`; `above_max_level` or `closed` where a lazy or a full scan found no way out;
        `failed`.
        """
        if self.descriptors is None:
            return "failed"
        if math.isfinite(self.descriptors.mpe_eV):
            return "done"
        return "closed" if self.settings.mode == "full" else "above_max_level"

    def energy_text(self, energy_eV: float) -> str:
        """Return one of its energies as people see it: that it is above what is known, too."""
        assert self.descriptors is not None
        if math.isfinite(energy_eV):
            return f"{energy_eV:.3f}"
        known_eV = self.descriptors.known_eV
        return f">{math.floor(known_eV * 100) / 100:.2f}" if math.isfinite(known_eV) else "none"

    @property
    def volume_text(self) -> str:
        """Return its disconnected volume as people see it: whether there may be more."""
        found = self.descriptors
        assert found is not None
        return f"{'>' if found.fv_error > FV_ERROR else ''}{found.fv_disconnected:.4f}"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What to know before its numbers are believed."""
        if self.descriptors is None:
            return (Finding("not_screened", "invalid", f"{self.name}: {self.message}"),)
        found = []
        deeper_eV, error = self.descriptors.deeper_eV, self.descriptors.xi_error
        if deeper_eV > DEEPER_EV:
            text = (
                f"{self.name}: a place {deeper_eV:.2f} eV below an ion's own was found; energies "
                "are counted from its own"
            )
            found.append(Finding("deeper_place", "doubt", text, {"deeper_eV": deeper_eV}))
        if error > XI_ERROR:
            text = f"{self.name}: Xi may be larger by {error:.2f}; scan it with --mode full"
            found.append(Finding("xi_uncertain", "doubt", text, {"xi_error": error}))
        return tuple(found)


@dataclass(frozen=True)
class Ranking:
    """Structures, the best first.

    Attributes
    ----------
    screened
        In any order.
    control
        Names of those that were drawn at random, to compare the top with.
    """

    screened: tuple[Screened, ...]
    control: tuple[str, ...] = ()

    def with_control(self, n: int, rng: Generator) -> Ranking:
        """Return the ranking with a control drawn of all that have a rank; all, if there are fewer.

        See :func:`mlmd.screening.scores.enrichment.enrichment` for what to compare.
        """
        names = sorted(one.name for one in self.screened if one.descriptors is not None)
        drawn = rng.choice(len(names), min(whole_number("control", n), len(names)), replace=False)
        return replace(self, control=tuple(names[i] for i in sorted(drawn.tolist())))

    def ranked(self) -> list[tuple[int | None, Screened]]:
        """Return structures with their ranks, equal ones for equal Xi; failures last, without."""
        done = [one for one in self.screened if one.descriptors is not None]
        done.sort(key=lambda one: (-_xi(one), _mpe_eV(one), one.name))
        rows: list[tuple[int | None, Screened]] = []
        rank, last = 0, math.inf
        for place, one in enumerate(done, start=1):
            if last - _xi(one) > _TIE:
                rank = place
                last = _xi(one)
            rows.append((rank, one))
        return rows + [(None, one) for one in self.screened if one.descriptors is None]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What to know of all of them, in the order of the ranking."""
        return tuple(finding for _, one in self.ranked() for finding in one.findings)

    def rows(self) -> list[dict[str, Any]]:
        """Return rows of the table by `COLUMNS`; None where there is no number."""
        rows = [_row(rank, one) for rank, one in self.ranked()]
        for row in rows:
            row["control"] = int(row["name"] in self.control) if self.control else None
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain types for JSON."""
        return {"structures": self.rows(), "findings": [one.to_dict() for one in self.findings]}

    def to_csv(self, path: str | Path, force: bool = False) -> None:
        """Write the table.

        Raises
        ------
        InputError
            If something is there already.
        """
        with (
            write_output(path, "table", force) as place,
            place.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row in self.rows():
                writer.writerow(_cell(row[column]) for column in COLUMNS)


def _xi(one: Screened) -> float:
    return one.descriptors.xi if one.descriptors else -math.inf


def _mpe_eV(one: Screened) -> float:
    return one.descriptors.mpe_eV if one.descriptors else math.inf


def _row(rank: int | None, one: Screened) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row.update(
        name=one.name,
        formula=one.formula,
        n_evaluations=one.n_evaluations,
        status=one.status,
        rank=rank,
        cell=one.settings.cell,
        mode=one.settings.mode,
        message=one.message,
    )
    if one.descriptors is not None:
        for column in COLUMNS:
            value = getattr(one.descriptors, column, None)
            if value is not None and math.isfinite(value):
                row[column] = value
        if one.descriptors.fv_error > FV_ERROR:
            row["fv_disconnected"] = None
    return row


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return (
        csv_text(value)
        if isinstance(value, str)
        else f"{value:.6g}"
        if isinstance(value, float)
        else str(value)
    )
