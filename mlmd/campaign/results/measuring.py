"""A case measured once: as ``mlmd analyze`` measures its run, and kept in the run directory."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd._version import __version__
from mlmd.analysis.diffusion.kept import from_kept, kept
from mlmd.analysis.recipe import RecipeAnalysis
from mlmd.analysis.summary import summarize
from mlmd.errors import MlmdError
from mlmd.plain import to_plain, without_nan
from mlmd.run.checksums import checksum, file_checksum
from mlmd.run.measured import measured_stages
from mlmd.run.ordinary_files import read_ordinary
from mlmd.run.run import TRAJECTORY

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.findings import Finding
    from mlmd.run.manifest import StageEntry
    from mlmd.run.run import Run

logger = logging.getLogger(__name__)

NAME = "analysis.json"
"""In the run directory: what was measured of it, with all that this depends on."""
SCHEMA = 1


@dataclass(frozen=True)
class MeasuredStage:
    """A finished production.

    Attributes
    ----------
    temperature_K
        Of the thermostat.
    duration_ps
        Its length.
    flags
        Codes of the doubts that its trajectory came with.
    species
        Diffusivities by symbol; their curves are not kept.
    findings
        Codes of all that is to be known of the diffusivity of each species.
    """

    temperature_K: float | None
    duration_ps: float
    flags: tuple[str, ...]
    species: Mapping[str, Diffusivity]
    findings: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class MeasuredCase:
    """What a run gave.

    Attributes
    ----------
    formula, n_atoms
        Of its structure.
    stages
        Its finished productions by name.
    about_laws
        Codes of what is to be known of the activation energy of each species.
    summary
        All of it, as ``mlmd analyze --json`` prints it.
    """

    formula: str
    n_atoms: int
    stages: Mapping[str, MeasuredStage]
    about_laws: Mapping[str, tuple[str, ...]]
    summary: Mapping[str, Any]


def measure_case(run: Run) -> MeasuredCase:
    """Measure the finished productions of a run as its recipe says, or return what was kept of it.

    What was measured is kept in the run directory, and is measured again where a production was
    lengthened or altered, or by another version of mlmd.

    Raises
    ------
    InputError
        If no production is finished, or a diffusivity cannot be had.
    DamagedDataError
        If a trajectory is not what was written.
    """
    entries = [entry for entry in run.stages if entry.measured and entry.status == "done"]
    key = _key(run, entries)
    content = None if key is None else _read(run, key, entries)
    if content is None:
        content = _measured(run)
        if key is not None:
            _keep(run, {"schema": SCHEMA, "key": key, "files": _files(run, entries), **content})
    return _case(content)


def keep_measured(run: Run) -> None:
    """Measure a run that has just ended, for those who ask later; that it cannot be is no error."""
    try:
        measure_case(run)
    except MlmdError as error:
        logger.info("not measured: %s", error)
    except Exception:  # of the analysis: the case is done all the same
        logger.warning("%s could not be measured", run.path, exc_info=True)


def _measured(run: Run) -> dict[str, Any]:
    summary = summarize(measured_stages(run), recipe=RecipeAnalysis.of(run))
    atoms = run.atoms
    return {
        "formula": atoms.symbols.formula.reduce()[0].format("metal"),
        "n_atoms": len(atoms),
        "stages": {
            name: {
                "temperature_K": stage.temperature_K,
                "duration_ps": stage.duration_ps,
                "flags": list(stage.flags),
                "species": {symbol: kept(one) for symbol, one in stage.species.items()},
                "findings": {symbol: codes(stage.about(symbol)) for symbol in stage.species},
            }
            for name, stage in summary.stages.items()
        },
        "about_laws": {symbol: codes(found) for symbol, found in summary.about_laws.items()},
        "summary": without_nan(to_plain(summary)),
    }


def codes(findings: Iterable[Finding]) -> list[str]:
    """Return the codes of findings, each once."""
    return list(dict.fromkeys(finding.code for finding in findings))


def _case(content: Mapping[str, Any]) -> MeasuredCase:
    return MeasuredCase(
        str(content["formula"]),
        int(content["n_atoms"]),
        {
            name: MeasuredStage(
                stage["temperature_K"],
                stage["duration_ps"],
                tuple(stage["flags"]),
                {symbol: from_kept(one) for symbol, one in stage["species"].items()},
                {symbol: tuple(found) for symbol, found in stage["findings"].items()},
            )
            for name, stage in content["stages"].items()
        },
        {symbol: tuple(found) for symbol, found in content["about_laws"].items()},
        content["summary"],
    )


def _key(run: Run, entries: list[StageEntry]) -> str | None:
    """Return a checksum of all that is measured and how; None where files have no checksums."""
    if not entries or any(TRAJECTORY not in entry.checksums for entry in entries):
        return None
    about = {
        "mlmd": __version__,
        "run": run.manifest.identity_sha256,
        "recipe": RecipeAnalysis.of(run).to_dict(),
        "stages": {
            entry.name: [
                entry.checksums[TRAJECTORY],
                entry.settings.get("temperature_K"),
                entry.flags,
            ]
            for entry in entries
        },
    }
    return checksum(json.dumps(about, sort_keys=True).encode())


def _files(run: Run, entries: list[StageEntry]) -> dict[str, list[int]]:
    """Return size and time of change of each trajectory: while they stay, nobody wrote to it."""
    found = {}
    for entry in entries:
        status = os.stat(run.path / entry.folder / TRAJECTORY)
        found[entry.name] = [status.st_size, status.st_mtime_ns]
    return found


def _read(run: Run, key: str, entries: list[StageEntry]) -> dict[str, Any] | None:
    """Return what was kept; None where there is nothing of use."""
    try:
        content = json.loads(read_ordinary(run.path / NAME))
        said = content.pop("checksum")
        if said != _checksum(content) or content["schema"] != SCHEMA or content["key"] != key:
            return None
        if content["files"] != _files(run, entries):  # altered, or only copied
            for entry in entries:
                place = run.path / entry.folder / TRAJECTORY
                if file_checksum(place) != entry.checksums[TRAJECTORY]:
                    return None
        _case(content)
    except (OSError, MlmdError, ValueError, TypeError, LookupError, AttributeError):
        return None  # none yet, damaged, or something else of that name
    return dict(content)


def _keep(run: Run, content: dict[str, Any]) -> None:
    """Write it whole or not at all; several may do so at once."""
    text = json.dumps({**content, "checksum": _checksum(content)})
    partial = ""
    try:
        handle, partial = tempfile.mkstemp(prefix=f".{NAME}.", suffix=".partial", dir=run.path)
        with os.fdopen(handle, "wb") as file:
            file.write(f"{text}\n".encode())
        os.chmod(partial, 0o644)
        Path(partial).replace(run.path / NAME)
    except OSError as error:  # a full disk, a folder that is only to be read
        logger.info("what was measured of %s is not kept: %s", run.path, error)
        with suppress(OSError):
            if partial:
                os.unlink(partial)


def _checksum(content: Mapping[str, Any]) -> str:
    return checksum(json.dumps(content, sort_keys=True).encode())
