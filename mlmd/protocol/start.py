"""Is this the same run? Looking at a directory, and making a new run in it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mlmd._version import __version__
from mlmd.errors import InputError, RunDirectoryError
from mlmd.files import disk_full_is_a_stop, write_atomically
from mlmd.protocol.calculators import FILES_PREFIX
from mlmd.protocol.mending import readable_manifest
from mlmd.run.checksums import checksum
from mlmd.run.history import EventLog
from mlmd.run.identity import (
    IDENTITY_VERSION,
    digest,
    digest_text,
    how_made,
    identity_differences,
    structure_differences,
    structure_from_text,
    structure_text,
)
from mlmd.run.lock import RunLock
from mlmd.run.manifest import Manifest, StageEntry
from mlmd.run.run import STRUCTURE

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.protocol.calculators import StageCalculators
    from mlmd.protocol.tree import ProtocolTree


NOT_PHYSICS = ("guard", "max_halvings")
"""Settings of stages that change nothing of what was already computed."""


@dataclass(frozen=True)
class Asked:
    """What was asked for: all that makes a run this run and no other.

    Attributes
    ----------
    protocol, atoms, calculators, seed
        As given to :meth:`mlmd.Protocol.run`.
    """

    protocol: ProtocolTree
    atoms: Atoms
    calculators: StageCalculators
    seed: int

    def structure(self, version: int = IDENTITY_VERSION) -> str:
        """Return the text of the structure, by a version of the rule."""
        return structure_text(self.atoms, version)

    def identity(
        self,
        version: int = IDENTITY_VERSION,
        recorded: Mapping[str, Any] = MappingProxyType({"calculators": {}}),
    ) -> dict[str, Any]:
        """Return the identity by a version of the rule, :data:`IDENTITY_VERSION`.

        The stages of the protocol (not its prose or analysis, nor limits of guards), the checksum
        of the structure's text, the calculators' physics, and the seed; not device, threads, paths
        or progress. Where it is held against a recorded one, that one is to be given.
        """
        elements = sorted(set(self.atoms.symbols))
        stages = [stage.to_dict() for stage in self.protocol.stages]
        if version > 1:
            stages = [_physics_of(stage) for stage in stages]
        return {
            "protocol": {"stages": stages},
            "structure_sha256": digest_text(self.structure(version)),
            "calculators": self.calculators.physics(elements, version, recorded["calculators"]),
            "seed": self.seed,
        }


def _physics_of(stage: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stage.items() if key not in NOT_PHYSICS}


def find_run(folder: Path, asked: Asked) -> Manifest | None:
    """Return the manifest of the run in a folder, None where there is room for a new one.

    A run is held against what was asked for by the rule that it was recorded by.

    Raises
    ------
    InputError
        If the folder holds another run (saying what differs) or other files.
    """
    place = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not place.is_dir():
        raise RunDirectoryError(
            f"{place} is a file or a broken link; expected a directory for the run"
        )
    manifest = readable_manifest(folder)
    if manifest is not None:
        version = manifest.identity_version
        if version > IDENTITY_VERSION:
            raise RunDirectoryError(
                f"{folder} was made by a newer mlmd (identity_version {version}, known is "
                f"{IDENTITY_VERSION}); install a newer one"
            )
        given = _comparable(asked.identity(version, manifest.identity))
        differences = identity_differences(_comparable(manifest.identity), given)
        if differences:
            _refuse_differences(_in_detail(differences, folder, asked.structure(version)), folder)
        return manifest
    if folder.is_dir():
        foreign = sorted(
            item.name
            for item in folder.iterdir()
            if not _left_by_a_killed_start(item, digest_text(asked.structure()))
        )
        if foreign:
            raise RunDirectoryError(
                f"{folder} is not empty and no run ({', '.join(foreign[:3])}...); give a new "
                "directory"
            )
    return None


def _comparable(identity: dict[str, Any]) -> dict[str, Any]:
    """Leave out of an identity what may change in any run, by whatever rule it was recorded."""
    stages = [_physics_of(stage) for stage in identity["protocol"]["stages"]]
    return {**identity, "protocol": {"stages": stages}}


def _left_by_a_killed_start(item: Path, structure_sha256: str) -> bool:
    """Tell whether a file is ours to replace: a structure only where it is the same."""
    if item.name == STRUCTURE:
        return item.is_file() and hashlib.sha256(item.read_bytes()).hexdigest() == structure_sha256
    if item.name.startswith(FILES_PREFIX):
        return item.is_dir()
    return item.name in ("lock", "heartbeat") or item.name.startswith(".")


def _in_detail(differences: list[str], folder: Path, structure: str) -> list[str]:
    """Say what differs in a structure, not only that its checksum does."""
    try:
        there = structure_from_text((folder / STRUCTURE).read_text(encoding="utf-8"))
        found = list(structure_differences(there, structure_from_text(structure)))
    except Exception:  # the file is damaged: then the checksum must do
        return differences
    return [
        text
        for one in differences
        for text in (found or [one] if one.startswith("structure_sha256") else [one])
    ]


def _refuse_differences(differences: list[str], folder: Path) -> None:
    more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
    longer = all("].duration_ps is " in difference for difference in differences)
    remedy = (
        "to lengthen a stage of that run use --extend STAGE=PS with its other settings"
        if longer
        else "give another directory, or the settings of that run to go on with it"
    )
    raise RunDirectoryError(
        f"{folder} holds another run: {'; '.join(differences[:3])}{more}; {remedy}"
    )


def create_run(folder: Path, asked: Asked, tried: dict[str, Any]) -> Manifest:
    """Write the structure and ``run.json`` of a new run, the latter last.

    Parameters
    ----------
    folder
        Its directory.
    asked
        What the run is.
    tried
        What :func:`mlmd.protocol.trials.try_calculators` returned.
    """
    structure, identity = asked.structure(), asked.identity()
    stages = [
        StageEntry(
            name=stage.name,
            kind=type(stage).__name__,
            folder=f"{i:02d}-{stage.name}",
            settings=stage.to_dict(),
            measured=stage.measured,
        )
        for i, stage in enumerate(asked.protocol.stages, start=1)
    ]
    manifest = Manifest(
        identity=json.loads(json.dumps(identity)),
        identity_sha256=digest(identity),
        identity_version=IDENTITY_VERSION,
        calculator=tried,
        checksums={STRUCTURE: checksum(structure.encode())},
        protocol=asked.protocol.to_dict(),
        input={"file": STRUCTURE, "packing": None, **how_made(asked.atoms)},
        calculators=asked.calculators.to_dict(),
        versions=versions(asked.calculators),
        stages=stages,
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )
    with disk_full_is_a_stop(str(folder)):
        write_atomically(folder / STRUCTURE, lambda file: file.write(structure.encode()))
    manifest.write(folder)
    return manifest


def note_changes(
    manifest: Manifest,
    protocol: ProtocolTree,
    now: dict[str, str],
    other: str | None,
    events: EventLog,
) -> None:
    """Note what was allowed to be another than before.

    Parameters
    ----------
    manifest
        Of the run; changed, not written.
    protocol
        As it is now: limits of guards and the analysis may be others.
    now
        Versions of the packages.
    other
        How the calculator differs; None where it does not.
    events
        Where it is noted.
    """
    if now != manifest.versions:
        events.write("versions changed", then=manifest.versions, now=now)
        manifest.versions = now
    if other is not None:
        events.write("calculator changed", how=other)
    asked = json.loads(json.dumps(protocol.to_dict()))
    if asked["stages"] != manifest.protocol["stages"]:
        events.write("guards changed")
    if (then := manifest.protocol.get("analysis") or {}) != asked["analysis"]:
        events.write("analysis changed", then=then, now=asked["analysis"])
    changed = {key: asked[key] for key in ("stages", "analysis")}
    manifest.protocol = {**manifest.protocol, **changed}


def renew_analysis(
    manifest: Manifest, protocol: ProtocolTree, folder: Path, *, take_over: bool
) -> None:
    """Note in a run that is done how its recipe, which may be another now, has it analysed."""
    if (manifest.protocol.get("analysis") or {}) == protocol.to_dict()["analysis"]:
        return
    with RunLock(folder, take_over=take_over):
        note_changes(manifest, protocol, manifest.versions, None, EventLog(folder))
        manifest.write(folder)


def versions(calculators: StageCalculators) -> dict[str, str]:
    """Return the versions of everything that can change a number of the run."""
    return {
        "mlmd": __version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: importlib.metadata.version(name) for name in ("ase", "numpy")},
        **calculators.packages(),
    }


def refuse_other_versions(manifest: Manifest, now: dict[str, str], folder: Path) -> None:
    """Raise InputError where a package has another version than the run began with."""
    changed = [
        f"{name} {manifest.versions.get(name)} then, {now.get(name)} now"
        for name in dict.fromkeys([*manifest.versions, *now])
        if manifest.versions.get(name) != now.get(name)
    ]
    if changed:
        raise InputError(
            f"{folder} began with other versions: {'; '.join(changed)}; install those, or go on "
            "with --allow-version-change"
        )
