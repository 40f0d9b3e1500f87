"""A campaign as a file says it: compositions and structures x protocol x calculators x seeds."""

from __future__ import annotations

import fnmatch
import glob
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.spec import CalculatorSpec
from mlmd.campaign.engines.alone import alone
from mlmd.campaign.engines.settings import LOCAL, EngineSettings
from mlmd.campaign.lengthening import Until
from mlmd.checks import (
    input_file,
    known_keys,
    positive_number,
    shown,
    texts,
    truth,
    whole_number,
)
from mlmd.csv_cells import Cells
from mlmd.errors import InputError
from mlmd.protocol.protocol import Protocol
from mlmd.run.identity import digest, digest_text, structure_from_text, structure_text
from mlmd.structure.composition import Composition
from mlmd.structure.packing import pack
from mlmd.structure.reading import read_structures
from mlmd.yaml_text import read_yaml_file

if TYPE_CHECKING:
    from ase import Atoms

SCHEMA = 1
KEYS = (
    "schema",
    "name",
    "out",
    "compositions",
    "structures",
    "n_atoms",
    "density_g_cm3",
    "volume_per_atom_A3",
    "protocol",
    "set",
    "calculators",
    "seeds",
    "walkers",
    "workers",
    "workers_per_gpu",
    "time_limit_s",
    "stalled_after_s",
    "until",
    "priority",
    "pack",
    "engine",
)
N_ATOMS = 100
STALLED_AFTER_S = 3600.0
"""Without a step, after which a case hangs: longer than a step of any model takes, or a start."""
DIGITS_OF_NAME = 12


@dataclass(frozen=True, slots=True)
class Planned:
    """One case, as plain data.

    Attributes
    ----------
    name
        Its directory: what it is made of, and a checksum of all that it is.
    source
        ``composition`` with ``n_atoms`` and at most one of ``density_g_cm3`` and
        ``volume_per_atom_A3``, to be packed with the seed of the case; or ``structure``, a
        compressed text.
    calculator
        Which of the campaign's.
    seed
        Of everything random.
    group
        What it shares with those cases that differ from it in nothing but their seed: independent
        melts of the same.
    n_atoms
        In its cell.
    """

    name: str
    source: Mapping[str, Any]
    calculator: int
    seed: int
    group: str
    n_atoms: int


@dataclass(frozen=True)
class Campaign:
    """What is to be done, and where.

    Attributes
    ----------
    name
        For people.
    folder
        Of all its run directories, and of what its workers write down.
    protocol
        With the campaign's settings.
    calculators
        Specs; each case is run with each.
    cases
        In the order in which they are begun.
    walkers
        Cases that share one model on one worker at a time.
    workers
        Processes of the local pool; as many as the machine has for them where None.
    workers_per_gpu
        Of the local pool, where `workers` is None and there are GPUs.
    time_limit_s
        Wall time after which a task stops at a checkpoint; what is left is a task of its own.
    stalled_after_s
        Wall time without a step after which the process of a case that hangs is ended; never where
        None.
    until
        When productions are long enough; as long as the protocol says where None.
    pack
        Whether each finished run becomes one file.
    engine
        Where it runs.
    bad
        What the file names and cannot be run, with the reason: listed where it was left out.
    files
        Files that the cases are made from, which no output replaces.
    """

    name: str
    folder: Path
    protocol: Protocol
    calculators: tuple[CalculatorSpec, ...]
    cases: tuple[Planned, ...]
    walkers: int = 1
    workers: int | None = None
    workers_per_gpu: int = 1
    time_limit_s: float | None = None
    stalled_after_s: float | None = STALLED_AFTER_S
    until: Until | None = None
    pack: bool = False
    engine: EngineSettings = field(default_factory=EngineSettings)
    bad: Mapping[str, str] | None = None
    files: tuple[Path, ...] = ()

    @classmethod
    def load(cls, path: str | Path, *, skip_bad: bool = False) -> Campaign:
        """Read a campaign from YAML; ``docs/campaigns.md`` has the keys.

        Parameters
        ----------
        path
            The file; what it names is looked for beside it.
        skip_bad
            Leave out compositions and structures that cannot be run, and list them in `bad`.

        Raises
        ------
        InputError
            If it cannot be read, a key is unknown, or a case cannot be run.
        """
        path = input_file(path, "YAML", "campaign file")
        content = read_yaml_file(path)
        if not isinstance(content, Mapping):
            raise InputError(f"{path} holds {shown(content)}; expected a mapping with its cases")
        return cls.from_dict(content, beside=path.parent, name=path.stem, skip_bad=skip_bad)

    @classmethod
    def from_dict(
        cls,
        content: Mapping[str, Any],
        *,
        beside: Path = Path(),
        name: str = "campaign",
        skip_bad: bool = False,
    ) -> Campaign:
        """Make a campaign from plain data, as :meth:`load` from a file's."""
        alone()
        known_keys("campaign", content, KEYS)
        schema = content.get("schema", SCHEMA)
        if schema != SCHEMA:
            raise InputError(f"campaign has schema {shown(schema)}; expected {SCHEMA}")
        protocol = Protocol.load(_beside(beside, content.get("protocol", "quickstart")))
        protocol = protocol.with_settings(content.get("set", {}))
        calculators = tuple(CalculatorSpec.of(one) for one in _listed(content, "calculators"))
        bad: dict[str, str] = {}
        sources = list(_sources(content, beside, bad if skip_bad else None))
        seeds = _seeds(content.get("seeds", 1))
        name = str(content.get("name", name))
        until = Until.of(content["until"]) if content.get("until") is not None else None
        if until is not None:
            until.check(protocol)
        physics = [spec.physics() for spec in calculators]
        stages = [stage.to_dict() for stage in protocol.stages]
        cases: dict[str, Planned] = {}
        for seed in seeds:  # first one of each, then the others
            for label, source, is_what, n_atoms in sources:
                for number, one in enumerate(physics):
                    same = [is_what, stages, one]
                    case = _named(label, [*same, seed])
                    if case in cases:
                        raise InputError(
                            f"campaign has {label} with seed {seed} twice; name it once"
                        )
                    cases[case] = Planned(case, source, number, seed, _named(label, same), n_atoms)
        workers, walkers = content.get("workers"), content.get("walkers", 1)
        return cls(
            name=name,
            folder=beside / str(content.get("out", f"runs/{name}")),
            protocol=protocol,
            calculators=calculators,
            cases=_first(cases.values(), content.get("priority", [])),
            walkers=whole_number("walkers", walkers, most=None),
            workers=None
            if workers is None
            else whole_number("workers", workers, least=1, most=None),
            workers_per_gpu=whole_number(
                "workers_per_gpu", content.get("workers_per_gpu", 1), most=None
            ),
            time_limit_s=_seconds(content, "time_limit_s", None),
            stalled_after_s=_seconds(content, "stalled_after_s", STALLED_AFTER_S),
            until=until,
            pack=truth("pack", content.get("pack", False)),
            engine=EngineSettings.of(content.get("engine", LOCAL), beside),
            bad=bad,
            files=tuple(_files(content, beside)),
        )


def starting_structure(source: Mapping[str, Any], seed: int) -> Atoms:
    """Pack or unfold the structure of a case."""
    if "structure" in source:
        return structure_from_text(zlib.decompress(source["structure"]).decode())
    how = dict(source)
    return pack(how.pop("composition"), how.pop("n_atoms"), seed=seed, **how)


def _named(label: str, what: list[Any]) -> str:
    return f"{label}-{digest(what)[:DIGITS_OF_NAME]}"


def _seconds(content: Mapping[str, Any], key: str, default: float | None) -> float | None:
    given = content.get(key, default)
    return None if given is None else positive_number(key, given, "s")


def _first(cases: Iterable[Planned], patterns: Any) -> tuple[Planned, ...]:
    """Put those cases first whose names fit a pattern: the first pattern's before the second's."""
    cases = tuple(cases)
    wanted = [f"{one}-*" for one in texts("priority", patterns)]
    for pattern in wanted:
        if not any(fnmatch.fnmatchcase(case.group, pattern) for case in cases):
            raise InputError(
                f"priority has {pattern[:-2]!r}, which no case is named by; expected compositions "
                "or files of the campaign, or patterns such as Li*"
            )

    def place(case: Planned) -> int:
        fits = (n for n, pattern in enumerate(wanted) if fnmatch.fnmatchcase(case.group, pattern))
        return next(fits, len(wanted))

    return tuple(sorted(cases, key=place))


_Source = tuple[str, Mapping[str, Any], Any, int]
"""A label, the source, what identifies it, and its number of atoms."""


def _sources(
    content: Mapping[str, Any], beside: Path, bad: dict[str, str] | None
) -> Iterator[_Source]:
    """Yield all compositions and structures; note what is bad, or raise where that is None."""
    if not ("compositions" in content or "structures" in content):
        raise InputError("campaign has neither compositions nor structures; give one of them")
    packing = {
        key: content[key] for key in ("density_g_cm3", "volume_per_atom_A3") if key in content
    }
    n_atoms = whole_number("n_atoms", content.get("n_atoms", N_ATOMS), least=1, most=None)
    for text in _compositions(content, beside):
        try:
            composition = Composition.parse(text)
            n_packed = sum(composition.counts(n_atoms).values())
        except InputError as error:
            _note(bad, text, error)
            continue
        source = {"composition": text, "n_atoms": n_atoms, **packing}
        yield composition.formula, source, source, n_packed
    for pattern in _listed(content, "structures", []):
        files = sorted(glob.glob(str(beside / str(pattern))))
        if not files:
            raise InputError(f"structures: there is no file {beside / str(pattern)}")
        for file in files:
            yield from _structures(Path(file), bad)


def _files(content: Mapping[str, Any], beside: Path) -> Iterator[Path]:
    """Yield the files that a campaign names."""
    for key in ("protocol", "compositions", "structures"):
        for named in _listed(content, key, []):
            yield from (Path(file) for file in sorted(glob.glob(str(beside / str(named)))))


def _structures(file: Path, bad: dict[str, str] | None) -> Iterator[_Source]:
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
    return [str(one) for one in _listed(content, "compositions", [])]


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


def _listed(content: Mapping[str, Any], key: str, default: Any = None) -> Sequence[Any]:
    given = content.get(key, default)
    if given is None:
        raise InputError(f"campaign has no {key}; expected one or a list")
    return given if isinstance(given, list) else [given]


def _seeds(given: Any) -> Sequence[int]:
    if isinstance(given, list):
        return [whole_number("seeds", one, least=0, most=None) for one in given]
    return range(whole_number("seeds", given, least=1, most=None))


def _beside(folder: Path, protocol: Any) -> str:
    """Return a protocol's name, or its file beside the campaign's."""
    file = folder / str(protocol)
    return str(file) if file.is_file() else str(protocol)
