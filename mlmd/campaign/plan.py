"""A campaign as a file says it: compositions and structures x protocol x calculators x seeds."""

from __future__ import annotations

import fnmatch
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.spec import CalculatorSpec
from mlmd.campaign.engines.alone import alone
from mlmd.campaign.engines.settings import LOCAL, EngineSettings
from mlmd.campaign.lengthening import Until
from mlmd.campaign.sources import files_of, several, sources_of
from mlmd.checks import (
    input_file,
    known_keys,
    positive_number,
    shown,
    texts,
    truth,
    whole_number,
)
from mlmd.errors import InputError
from mlmd.protocol.protocol import Protocol
from mlmd.run.identity import digest, digest_text, structure_text
from mlmd.yaml_text import read_yaml_file

if TYPE_CHECKING:
    from mlmd.campaign.case import Case

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
    protocol
        Which of the campaign's.
    """

    name: str
    source: Mapping[str, Any]
    calculator: int
    seed: int
    group: str
    n_atoms: int
    protocol: int = 0


@dataclass(frozen=True)
class Campaign:
    """What is to be done, and where.

    Attributes
    ----------
    name
        For people.
    folder
        Of all its run directories, and of what its workers write down.
    protocols, calculators
        Protocols with the campaign's settings, and specs: each case names one of each.
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
    protocols: tuple[Protocol, ...]
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
        protocols = tuple(
            Protocol.load(_beside(beside, one)).with_settings(content.get("set", {}))
            for one in several(content, "protocol", "quickstart")
        )
        calculators = tuple(CalculatorSpec.of(one) for one in several(content, "calculators"))
        bad: dict[str, str] = {}
        sources = list(sources_of(content, beside, bad if skip_bad else None))
        seeds = _seeds(content.get("seeds", 1))
        name = str(content.get("name", name))
        until = Until.of(content["until"]) if content.get("until") is not None else None
        if until is not None:
            for protocol in protocols:
                until.check(protocol)
        ways = [
            ([_stages(protocol), spec.physics()], number, which)
            for number, spec in enumerate(calculators)
            for which, protocol in enumerate(protocols)
        ]
        cases: dict[str, Planned] = {}
        for seed in seeds:  # first one of each, then the others
            for label, source, is_what, n_atoms in sources:
                for how, number, which in ways:
                    same = [is_what, *how]
                    case = _named(label, [*same, seed])
                    if case in cases:
                        raise InputError(
                            f"campaign has {label} with seed {seed} twice; name it once"
                        )
                    group = _named(label, same)
                    cases[case] = Planned(case, source, number, seed, group, n_atoms, which)
        workers, walkers = content.get("workers"), content.get("walkers", 1)
        return cls(
            name=name,
            folder=beside / str(content.get("out", f"runs/{name}")),
            protocols=protocols,
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
            files=tuple(files_of(content, beside)),
        )

    @classmethod
    def of_cases(cls, cases: Sequence[Case], calculator: Any, **how: Any) -> Campaign:
        """Make a campaign of single cases, each with its protocol, structure, seed and directory.

        Parameters
        ----------
        cases
            Their directories are in one folder.
        calculator
            A name or a :class:`mlmd.CalculatorSpec`, of all of them.
        **how
            Fields of a campaign, such as `walkers` and `engine`.

        Raises
        ------
        InputError
            If there is no case, their directories are not in one folder, or two have the same.
        """
        folders = {Path(case.directory).absolute().parent for case in cases}
        if len(folders) != 1:
            raise InputError(
                f"{len(cases)} cases have directories in {len(folders)} folders; expected one"
            )
        rules = list(dict.fromkeys(case.until for case in cases))
        if len(rules) > 1:
            raise InputError("cases have different rules `until`; expected the same for all")
        spec = CalculatorSpec.of(calculator)
        physics = spec.physics()
        protocols: list[Protocol] = []
        planned: dict[str, Planned] = {}
        for case in cases:
            protocol, name = case.resolved(), Path(case.directory).name
            if protocol not in protocols:
                protocols.append(protocol)
            if name in planned:
                raise InputError(f"two cases have the directory {name}; expected one for each")
            text = structure_text(case.structure)
            source = {"structure": zlib.compress(text.encode())}
            same = [digest_text(text), _stages(protocol), physics]
            group = _named(case.structure.symbols.get_chemical_formula("reduce"), same)
            which, n_atoms = protocols.index(protocol), len(case.structure)
            planned[name] = Planned(name, source, 0, case.seed, group, n_atoms, which)
        folder = folders.pop()
        how = {"until": rules[0], **how}
        return cls(folder.name, folder, tuple(protocols), (spec,), tuple(planned.values()), **how)


def _stages(protocol: Protocol) -> list[dict[str, Any]]:
    return [stage.to_dict() for stage in protocol.stages]


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


def _seeds(given: Any) -> Sequence[int]:
    if isinstance(given, list):
        return [whole_number("seeds", one, least=0, most=None) for one in given]
    return range(whole_number("seeds", given, least=1, most=None))


def _beside(folder: Path, protocol: Any) -> str:
    """Return a protocol's name, or its file beside the campaign's."""
    file = folder / str(protocol)
    return str(file) if file.is_file() else str(protocol)
