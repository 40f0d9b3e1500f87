"""Results of a campaign as a table: a line for each species of each production."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.digits import value_of
from mlmd.errors import MissingExtraError
from mlmd.files import write_output
from mlmd.marks import RESULTS
from mlmd.plain import csv_text

if TYPE_CHECKING:
    import pandas as pd

    from mlmd.campaign.plan import Campaign
    from mlmd.campaign.results.rows import CampaignResults, ResultRow

COLUMNS = tuple(RESULTS.split(","))


def lines_of(row: ResultRow) -> Iterator[dict[str, Any]]:
    """Yield what there is of each species of a production, by :data:`COLUMNS`."""
    for symbol in row.species:
        yield {
            "case": row.case,
            "group": row.group,
            "n_melts": row.n_melts,
            "formula": row.formula,
            "n_atoms": row.n_atoms,
            "calculator": row.calculator,
            "seed": row.seed,
            "stage": row.stage,
            "temperature_K": row.temperature_K,
            "duration_ps": row.duration_ps,
            "species": symbol,
            **row.numbers_of(symbol),
            "volume_per_atom_A3": row.volume_per_atom_A3,
            "volume_per_atom_stderr_A3": row.volume_per_atom_stderr_A3,
            "flags": " ".join(row.flags),
            "wall_s": row.wall_s,
            "versions": ", ".join(f"{name} {one}" for name, one in row.versions.items()),
            "path": "" if row.path is None else str(row.path),
        }


def write_table(
    campaign: Campaign, results: CampaignResults, path: str | Path, force: bool = False
) -> Path:
    """Write a table of CSV; an earlier one of a campaign is replaced.

    Raises
    ------
    InputError
        If it cannot be written there.
    """
    path = Path(path)
    with (
        write_output(path, "results", force, inputs=campaign.files) as place,
        place.open("w", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in results.rows:
            for line in lines_of(row):
                writer.writerow([_cell(line[column]) for column in COLUMNS])
    return path


def data_frame(results: CampaignResults) -> pd.DataFrame:
    """Return the table for pandas; what is not known is NaN or None there.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError("pandas", "campaign") from error
    lines = [line for row in results.rows for line in lines_of(row)]
    return pandas.DataFrame(lines, columns=list(COLUMNS))


def _cell(value: Any) -> str:
    return csv_text(value) if isinstance(value, str) else value_of(value)
