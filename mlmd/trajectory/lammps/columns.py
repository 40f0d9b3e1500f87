"""The columns of a LAMMPS dump, and positions from whichever of them there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.lammps.box import Box
    from mlmd.trajectory.text.source import TextSource


# The first of these that a dump has is taken: what is unwrapped needs no guess.
POSITIONS = {
    "xu": ("xu", "yu", "zu"),
    "xsu": ("xsu", "ysu", "zsu"),
    "x": ("x", "y", "z"),
    "xs": ("xs", "ys", "zs"),
}
GROUPS = {
    **POSITIONS,
    "id": ("id",),
    "type": ("type",),
    "mass": ("mass",),
    "image": ("ix", "iy", "iz"),
    "v": ("vx", "vy", "vz"),
    "f": ("fx", "fy", "fz"),
}


@dataclass(frozen=True)
class DumpColumns:
    """Where what is wanted stands among the columns.

    Attributes
    ----------
    names
        Every column of the dump.
    label
        Which of them tells the elements: the element, or the type.
    numbers
        Which of them are read as numbers; the first is the id.
    may_lack
        Which of these may be none in a frame or two, without which there are positions still.
    position
        Which kind of positions is taken, by its first column.
    """

    names: tuple[str, ...]
    label: int
    numbers: tuple[int, ...]
    may_lack: tuple[int, ...]
    position: str

    @property
    def has_elements(self) -> bool:
        """Whether the label is an element."""
        return self.names[self.label] == "element"

    @property
    def unwrapped(self) -> bool:
        """Whether positions are unwrapped, by their kind or by the images that go with them."""
        return self.position in ("xu", "xsu") or "ix" in (self.names[i] for i in self.numbers)

    def of(self, values: FloatArray, group: str) -> FloatArray | None:
        """Return the columns of a group, shape (atoms, columns), or None if there are none."""
        names = [self.names[i] for i in self.numbers]
        if not set(GROUPS[group]) <= set(names):
            return None
        columns: FloatArray = values[:, [names.index(name) for name in GROUPS[group]]]
        return columns

    def positions(self, values: FloatArray, box: Box) -> FloatArray:
        """Return positions in the dump's unit of length, unwrapped where images are given."""
        positions = self.of(values, self.position)
        assert positions is not None  # chosen since it is there
        if self.position in ("xs", "xsu"):
            positions = positions @ box.cell + box.origin
        images = self.of(values, "image")
        if images is not None and self.position in ("x", "xs"):
            positions = positions + images @ box.cell
        return positions


def dump_columns(source: TextSource, names: list[str]) -> DumpColumns:
    """Return the columns of the ``ITEM: ATOMS`` that was just read.

    Raises
    ------
    InputError
        If there are no ids, no elements or types, or no positions among them.
    """
    if "id" not in names:
        raise source.error(
            "atoms without ids, which LAMMPS writes in any order",
            "a column 'id': dump it, or number the lines if they are sorted",
        )
    label = next((name for name in ("element", "type") if name in names), None)
    if label is None:
        raise source.error(
            "atoms without elements and types",
            "a column 'element' or 'type': 'dump custom' with it",
        )
    known = [key for key, columns in POSITIONS.items() if set(columns) <= set(names)]
    if not known:
        raise source.error("atoms without positions", "columns x y z, xu yu zu or xs ys zs")
    wanted = [
        name
        for key in ("id", known[0], "image", "type", "mass", "v", "f")
        for name in GROUPS[key]
        if set(GROUPS[key]) <= set(names)
    ]
    return DumpColumns(
        names=tuple(names),
        label=names.index(label),
        numbers=tuple(names.index(name) for name in wanted),
        # Types have names since 2022.
        may_lack=tuple(
            names.index(name)
            for key in ("type", "v", "f")
            for name in GROUPS[key]
            if name in wanted
        ),
        position=known[0],
    )
