"""What a campaign's file names: compositions to pack, and structures of files."""

from __future__ import annotations

import glob
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.checks import input_file, shown, whole_number
from mlmd.csv_cells import Cells
from mlmd.errors import InputError
from mlmd.run.identity import digest_text, structure_from_text, structure_text
from mlmd.structure.packing import pack, packing_box
from mlmd.structure.reading import read_structures

if TYPE_CHECKING:
    from ase import Atoms

N_ATOMS = 100


def starting_structure(source: Mapping[str, Any], seed: int) -> Atoms:
    """Pack or unfold the structure of a case."""
    if "structure" in source:
        return structure_from_text(zlib.decompress(source["structure"]).decode())
    how = dict(source)
    return pack(how.pop("composition"), how.pop("n_atoms"), seed=seed, **how)


Source = tuple[str, Mapping[str, Any], Any, int]
"""A label, the source, what identifies it, and its number of atoms."""


def sources_of(
    content: Mapping[str, Any], beside: Path, bad: dict[str, str] | None
) -> Iterator[Source]:
    """Yield all compositions and structures; note what is bad, or raise where that is None."""
    if not ("compositions" in content or "structures" in content):
        raise InputError("campaign has neither compositions nor structures; give one of them")
    packing = {
        key: content[key] for key in ("density_g_cm3", "volume_per_atom_A3") if key in content
    }
    n_atoms = whole_number("n_atoms", content.get("n_atoms", N_ATOMS), least=1, most=None)
    for text in _compositions(content, beside):
        try:
            box = packing_box(text, n_atoms, **packing)
        except InputError as error:
            _note(bad, text, error)
            continue
        source = {"composition": text, "n_atoms": n_atoms, **packing}
        yield box.composition.formula, source, source, sum(box.counts.values())
    for pattern in several(content, "structures", []):
        files = sorted(glob.glob(str(beside / str(pattern))))
        if not files:
            raise InputError(f"structures: there is no file {beside / str(pattern)}")
        for file in files:
            yield from _structures(Path(file), bad)


def files_of(content: Mapping[str, Any], beside: Path) -> Iterator[Path]:
    """Yield the files that a campaign names."""
    for key in ("protocol", "compositions", "structures"):
        for named in several(content, key, []):
            yield from (Path(file) for file in sorted(glob.glob(str(beside / str(named)))))


def _structures(file: Path, bad: dict[str, str] | None) -> Iterator[Source]:
    for label, atoms in read_structures(file):
        if isinstance(atoms, InputError):
            _note(bad, label, atoms)
            continue
        text = structure_text(atoms)
        source = {"structure": zlib.compress(text.encode())}
        yield Path(label).name.replace(":", "-"), source, digest_text(text), len(atoms)


def _compositions(content: Mapping[str, Any], beside: Path) -> list[str]:
    """Return formulas: a list, or a column of a CSV."""
    given = content.get("compositions", [])
    if isinstance(given, str) and given.lower().endswith(".csv"):
        cells = Cells.read(input_file(beside / given, "CSV with a column composition"))
        place = _column(cells, given)
        return [row[place].strip() for row in cells.rows]
    return [_formula(one) for one in several(content, "compositions", [])]


def _formula(given: Any) -> str:
    if not isinstance(given, str):
        raise InputError(
            f"compositions has {shown(given)}; expected a formula, in quotes where YAML takes it "
            "for something else ('NO' is false there)"
        )
    return given


def _column(cells: Cells, file: str) -> int:
    """Return the place of the compositions in a table."""
    for place, name in enumerate(cells.columns):
        if name.strip().lower() in ("composition", "formula"):
            return place
    raise InputError(
        f"{file} has the columns {', '.join(cells.columns)}; expected one named composition"
    )


def _note(bad: dict[str, str] | None, what: str, error: Exception) -> None:
    if bad is None:
        raise InputError(f"{what}: {error} (--skip-bad goes on without it)") from error
    bad[what] = str(error)


def several(content: Mapping[str, Any], key: str, default: Any = None) -> Sequence[Any]:
    """Return what stands under a key, one or a list, as a list."""
    given = content.get(key, default)
    if given is None:
        raise InputError(f"campaign has no {key}; expected one or a list")
    return given if isinstance(given, list) else [given]
