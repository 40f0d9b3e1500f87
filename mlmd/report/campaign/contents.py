"""What the page of a campaign embeds: every line of its table once, texts and numbers as lists."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlmd.campaign.archive import archive_of
from mlmd.digits import number, with_error
from mlmd.report.page.elements import of_diffusivity, of_interval

if TYPE_CHECKING:
    from mlmd.campaign import Campaign, CampaignResults, CampaignState, ResultRow

REPORT = "report.html"
"""Of a run, in its directory."""
NOT_MEASURED = "not measured"


class _Texts:
    """Texts that occur often, each once."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """Return where a text stands."""
        if text not in self._places:
            self._places[text] = len(self.all)
            self.all.append(text)
        return self._places[text]


def page_contents(
    campaign: Campaign, results: CampaignResults, state: CampaignState, beside: Path
) -> dict[str, Any]:
    """Return what the script of the page makes its table of.

    Parameters
    ----------
    campaign, results, state
        What is to be shown.
    beside
        Folder of the page, which links start from.

    Returns
    -------
    dict
        ``owners``: cases, then groups of melts, as name, what it is of, calculator, seed (or None),
        melts, state, group, link, message. ``lines``: as owner, stage, temperature, species,
        verdict, D, both ends of its interval, bound of D, D as a text, the errors within and
        between melts as a text, length that is needed (ps), law, volume as a text, volume, length
        (ps), findings. ``laws``: as E_a, E_a as a text, D0. Texts are places in ``texts``.
    """
    texts = _Texts()
    owners: list[list[Any]] = []
    places: dict[str, int] = {}
    names = {row.calculator for row in results.rows}
    linked = {row.case: row for row in results.rows}
    for case in campaign.cases:
        row = linked.get(case.name)
        calculator = campaign.calculators[case.calculator].name
        message = results.problems.get(case.name) or str(
            state.failures.get(case.name, {}).get("message") or ""
        )
        places[case.name] = len(owners)
        owners.append(
            [
                case.name,
                texts.place(case.name.rpartition("-")[0] if row is None else row.formula),
                texts.place(calculator if row is None else row.calculator),
                case.seed,
                1,
                texts.place(
                    "not measured" if case.name in results.problems else state.cases[case.name]
                ),
                texts.place(case.group),
                _link(campaign.folder / case.name, beside),
                message,
            ]
        )
    lines: list[list[Any]] = []
    laws: list[list[Any]] = []
    known: dict[tuple[str, str], int] = {}
    for row in results.rows:
        if row.case not in places:
            places[row.case] = len(owners)
            owners.append(
                [
                    row.case,
                    texts.place(row.formula),
                    texts.place(row.calculator),
                    None,
                    row.n_melts,
                    texts.place("done"),
                    texts.place(row.group),
                    None,
                    results.problems.get(row.case, ""),
                ]
            )
        lines += _lines(row, places[row.case], texts, laws, known)
    return {
        "owners": owners,
        "lines": lines,
        "laws": laws,
        "texts": texts.all,
        "one_calculator": len(names) < 2,
        "species": shown_first(results),
    }


def shown_first(results: CampaignResults) -> str:
    """Return the species that all cases have, if that is one: they are about it."""
    alone = [row for row in results.rows if row.n_melts == 1]
    cases = {row.case: row.species for row in alone}
    found = Counter(symbol for species in cases.values() for symbol in species)
    common = [symbol for symbol, n in found.items() if n == len(cases)]
    return common[0] if len(common) == 1 else ""


def _lines(
    row: ResultRow,
    owner: int,
    texts: _Texts,
    laws: list[list[Any]],
    known: dict[tuple[str, str], int],
) -> list[list[Any]]:
    lines: list[list[Any]] = []
    for symbol, one in row.species.items():
        if (row.case, symbol) not in known:
            known[row.case, symbol] = len(laws)
            laws.append(_law(row.laws.get(symbol, {})))
        low, high = one.D_interval68_cm2_s or (None, None)
        D = of_diffusivity(one.D_cm2_s, one.D_interval68_cm2_s, one.D_upper_bound_cm2_s)
        doubts = dict.fromkeys((*row.flags, *row.findings.get(symbol, ())))
        lines.append(
            [
                owner,
                texts.place(row.stage),
                row.temperature_K,
                texts.place(symbol),
                texts.place(one.verdict.replace("_", " ")),
                one.D_cm2_s,
                low,
                high,
                one.D_upper_bound_cm2_s,
                D.text,
                "" if row.n_melts == 1 else _sources(one.details),
                one.needs_ps,
                known[row.case, symbol],
                with_error(row.volume_per_atom_A3, row.volume_per_atom_stderr_A3),
                row.volume_per_atom_A3,
                row.duration_ps,
                texts.place(", ".join(code.replace("_", " ") for code in doubts)),
            ]
        )
    return lines


def _law(law: Mapping[str, Any]) -> list[Any]:
    E_a, lowest = law.get("E_a_eV"), law.get("E_a_lower_bound_eV")
    if E_a is None and lowest is not None and math.isfinite(lowest):
        return [None, f"> {number(lowest)}", None]
    return [E_a, of_interval(E_a, law.get("E_a_interval68_eV")).text, law.get("D0_cm2_s")]


def _sources(details: Mapping[str, Any]) -> str:
    """Say what the melts' own errors and the spread between them give the error of their mean."""
    within, between = (details.get(f"{one}_stderr_cm2_s") for one in ("within", "between"))
    return f"within {number(within)}, between {number(between)}"


def _link(directory: Path, beside: Path) -> str | None:
    """Return the relative address of a run's report, directory or file; None if there is none.

    The colon of a name would begin a scheme: an address begins with a dot.
    """
    places = (directory / REPORT, directory, archive_of(directory))
    place = next((one for one in places if one.exists()), None)
    if place is None:
        return None
    return "./" + quote(os.path.relpath(place, beside))
