"""Lengthening a stage of a run: the same run, with more of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlmd.checks import by_name, positive_number
from mlmd.errors import InputError
from mlmd.stages.dynamics.molecular_dynamics import MolecularDynamicsStage

if TYPE_CHECKING:
    from mlmd.protocol.tree import ProtocolTree
    from mlmd.run.manifest import Manifest


def extended(
    protocol: ProtocolTree,
    durations_ps: Mapping[str, float],
    before: Mapping[str, float] = MappingProxyType({}),
) -> ProtocolTree:
    """Return the protocol with stages lengthened to new total durations in ps.

    Parameters
    ----------
    protocol
        As it was at first.
    durations_ps
        New durations, by stage.
    before
        Durations that earlier extensions gave; a stage without a new one keeps its own.

    Raises
    ------
    InputError
        If a stage is unknown, is not dynamics, would be shortened, or is where another starts.
    """
    durations_ps = {**before, **by_name("extend", durations_ps)}
    for name, given_ps in durations_ps.items():
        stage = protocol.stage(name)
        if not isinstance(stage, MolecularDynamicsStage):
            raise InputError(f"stage '{name}' ({type(stage).__name__}) has no duration to extend")
        there_ps = before.get(name, stage.duration_ps)
        duration_ps = positive_number(f"stage '{name}': duration_ps", given_ps, "ps")
        if duration_ps < there_ps:
            raise InputError(
                f"stage '{name}' already has {there_ps:g} ps; an extension to "
                f"{duration_ps:g} ps would shorten it: give the new total"
            )
        dependents = protocol.descendants(name)
        if dependents and duration_ps != stage.duration_ps:
            raise InputError(
                f"stage '{name}' cannot be extended: '{dependents[0].name}' starts from its last "
                "frame"
            )
    return protocol.with_settings({f"{name}.duration_ps": ps for name, ps in durations_ps.items()})


def register(manifest: Manifest, durations_ps: Mapping[str, float]) -> list[str]:
    """Note new durations in a manifest; return the stages that have more to do.

    The result of a finished stage is kept beside the one to come.
    """
    longer = [name for name, ps in durations_ps.items() if manifest.duration_ps(name) != float(ps)]
    for name in longer:
        manifest.extensions[name] = float(durations_ps[name])
        entry = manifest.stage(name)
        if entry.result is not None:
            entry.earlier_results.append(entry.result)
            entry.result = None
        if entry.status == "done":
            entry.status, entry.checksums = "stopped", {}
    return longer
