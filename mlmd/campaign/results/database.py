"""Results of a campaign as a database that ASE reads: a file of SQLite, or PostgreSQL by URL."""

from __future__ import annotations

import importlib.util
import math
import shutil
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mlmd.campaign.archive import opened_run
from mlmd.campaign.results.measuring import measure_case
from mlmd.errors import InputError, MissingExtraError, MlmdError
from mlmd.files import write_output
from mlmd.plain import to_plain, without_nan
from mlmd.trajectory.export import frame_atoms

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.campaign.plan import Campaign
    from mlmd.campaign.results.rows import CampaignResults, ResultRow
    from mlmd.run.run import Run

SCHEMES = ("postgresql://", "postgres://")
CONNECT_S = 10
"""After which a server that does not answer counts as out of reach."""


def is_url(place: str) -> bool:
    """Tell whether results go to a server rather than to a file."""
    return place.startswith(SCHEMES)


def write_database(
    campaign: Campaign, results: CampaignResults, place: str | Path, force: bool = False
) -> dict[str, str]:
    """Write a row for each production and for melts pooled, with the last frame as its structure.

    A file is made elsewhere and put in its place when it is whole. On a server the rows of this
    campaign (of its name and folder) are replaced in one transaction, and no others are touched.

    Parameters
    ----------
    campaign, results
        What to write; pooled rows have the last frame of their first melt.
    place
        A file, or ``postgresql://USER@HOST/DATABASE``.
    force
        Replace a file that is no earlier database of a campaign.

    Returns
    -------
    dict
        By case, why a row could not be written: its trajectory is damaged.

    Raises
    ------
    MissingExtraError
        If what speaks with PostgreSQL is not installed.
    InputError
        If the file cannot be written, or the server does not let us.
    """
    problems: dict[str, str] = {}
    if is_url(str(place)):
        _into_server(campaign, results, str(place), problems)
        return problems
    from ase.db import connect

    path = Path(place)
    written = write_output(path, "results", force, inputs=campaign.files)
    with written as made, TemporaryDirectory() as here:
        # Not beside it: SQLite needs locks, which network disks may not have.
        local = Path(here, "results.db")
        with connect(local, type="db", use_lock_file=False) as database:
            _write_all(database, campaign, results, problems)
        shutil.copyfile(local, made)
    return problems


def _write_all(
    database: Any, campaign: Campaign, results: CampaignResults, problems: dict[str, str]
) -> None:
    own = {"campaign": campaign.name, "folder": str(campaign.folder.absolute())}
    melts: dict[str, list[ResultRow]] = {}
    for row in results.rows:
        if row.path is not None:
            melts.setdefault(row.group, []).append(row)
    shown = (
        (row, row if row.path is not None else _first_melt(row, melts[row.group]))
        for row in results.rows
    )
    for path, group in groupby(shown, key=lambda pair: pair[1].path):
        pairs = list(group)
        assert path is not None
        try:
            with opened_run(path) as run:
                whole = measure_case(run).summary
                made = [
                    (row, _last_frame(run, one), data_of(row, whole if one is row else None))
                    for row, one in pairs
                ]
        except (MlmdError, OSError) as error:
            problems |= {row.case: " ".join(str(error).split()) for row, _ in pairs}
            continue
        for row, atoms, data in made:
            database.write(atoms, {**_texts(own), **key_value_pairs(row)}, data)


def _first_melt(pooled: ResultRow, melts: Iterable[ResultRow]) -> ResultRow:
    """Return the first of the productions that a row is pooled from."""
    return next(
        row
        for row in melts
        if row.temperature_K == pooled.temperature_K and pooled.stage.startswith(row.stage)
    )


def _last_frame(run: Run, row: ResultRow) -> Atoms:
    """Return the last frame of a production, its atoms within the cell."""
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = frame_atoms(run.trajectory(row.stage, -1), -1)
    known = {} if atoms.calc is None else atoms.calc.results
    atoms.wrap()  # which energy and forces do not see
    atoms.calc = SinglePointCalculator(atoms, **known)
    atoms.calc.name = row.calculator
    return atoms


def key_value_pairs(row: ResultRow) -> dict[str, Any]:
    """Return what a row can be found by: names that ASE allows, finite numbers, texts.

    What is not known has no key. ASE refuses texts that read as a number: these begin with ``_``.
    """
    found: dict[str, Any] = {
        "case": row.case,
        "melts_of": row.group,
        "n_melts": row.n_melts,
        "reduced_formula": row.formula,
        "calculator_name": row.calculator,
        "seed": row.seed,
        "stage": row.stage,
        "temperature_K": row.temperature_K,
        "duration_ps": row.duration_ps,
        "wall_s": row.wall_s,
        "volume_per_atom_A3": row.volume_per_atom_A3,
        "volume_per_atom_stderr_A3": row.volume_per_atom_stderr_A3,
        "flags": " ".join(row.flags),
        "versions": ", ".join(f"{name} {one}" for name, one in row.versions.items()),
        "path": None if row.path is None else str(row.path),
    }
    for symbol, one in row.species.items():
        found |= {_key(name, symbol): value for name, value in row.numbers_of(symbol).items()}
        # ASE's tables have three decimals.
        found[f"log10_D_{symbol}_cm2_s"] = math.log10(one.D_cm2_s) if one.D_cm2_s else None
    return _texts(found)


def _key(name: str, symbol: str) -> str:
    """Return the name of a number with a symbol before its unit."""
    unit = next((one for one in ("_cm2_s", "_eV") if name.endswith(one)), "")
    return f"{name.removesuffix(unit)}_{symbol}{unit}"


def _texts(found: Mapping[str, Any]) -> dict[str, Any]:
    from ase.db.core import str_represents

    known = {}
    for key, value in found.items():
        if isinstance(value, str):
            if value:
                like = any(str_represents(value, kind) for kind in (bool, int, float))
                known[key] = f"_{value}" if like else value
        elif value is not None and math.isfinite(value):
            known[key] = value
    return known


def data_of(row: ResultRow, whole: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return all that was found of a row, out of all that ``mlmd analyze`` says of its run."""
    found: dict[str, Any] = {"species": row.species, "arrhenius": row.laws}
    if whole is not None:
        ours = (f"{row.stage}: ", *(f"{symbol}: " for symbol in row.species))
        found |= {
            "analysis": whole["stages"][row.stage],
            "from_recipe": whole["from_recipe"],
            "findings": [one for one in whole["findings"] if one["message"].startswith(ours)],
        }
    plain: dict[str, Any] = without_nan(to_plain({**found, "versions": row.versions}))
    return plain


class _OneTransaction:
    """A connection that commits once: ASE does so after some thousands of rows."""

    def __init__(self, connection: Any) -> None:
        self.real = connection

    def cursor(self) -> Any:
        return self.real.cursor()

    def commit(self) -> None:
        """Wait: the rest belongs to the same transaction."""


def _into_server(
    campaign: Campaign, results: CampaignResults, url: str, problems: dict[str, str]
) -> None:
    if not all(importlib.util.find_spec(one) for one in ("ase_db_backends", "psycopg2")):
        raise MissingExtraError("ase-db-backends", "campaign")
    import psycopg2
    from ase.db import connect
    from ase_db_backends.postgresql import Connection

    patience = {} if "connect_timeout" in url else {"connect_timeout": CONNECT_S}
    try:
        database = connect(url)
        connection = Connection(psycopg2.connect(url, **patience))
    except psycopg2.Error as error:
        raise InputError(f"{_shown(url)} cannot be reached: {_line(error)}") from error
    try:
        database.connection = _OneTransaction(connection)
        database.change_count = 0
        with database.managed_connection() as held:  # makes the tables where there are none
            cursor = held.cursor()
            # ASE asks for the last number that was given out: nobody else may write meanwhile.
            cursor.execute("LOCK TABLE systems IN EXCLUSIVE MODE")
        own = _texts({"campaign": campaign.name, "folder": str(campaign.folder.absolute())})
        before = [row.id for row in database.select(include_data=False, **own)]
        for start in range(0, len(before), 1000):
            database.delete(before[start : start + 1000])
        _write_all(database, campaign, results, problems)
        connection.commit()
    except psycopg2.Error as error:
        raise InputError(f"nothing was written into {_shown(url)}: {_line(error)}") from error
    finally:
        connection.close()  # without a commit all is as it was


def _shown(url: str) -> str:
    """Return a URL without its password."""
    scheme, _, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{host}"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
