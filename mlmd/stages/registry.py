"""The stage classes by name, as protocols in YAML name them."""

from __future__ import annotations

from mlmd.checks import shown
from mlmd.errors import InputError
from mlmd.stages.equilibrate import Equilibrate
from mlmd.stages.equilibrate_volume import EquilibrateVolume
from mlmd.stages.production import Production
from mlmd.stages.quench import Quench
from mlmd.stages.relax import Relax
from mlmd.stages.sample_inherent_structures import SampleInherentStructures
from mlmd.stages.stage import Stage

STAGES: dict[str, type[Stage]] = {
    kind.__name__: kind
    for kind in (
        Relax,
        Equilibrate,
        EquilibrateVolume,
        Quench,
        Production,
        SampleInherentStructures,
    )
}


def stage_class(name: str) -> type[Stage]:
    """Return a stage class by its name.

    Raises
    ------
    InputError
        If there is none such.
    """
    if not isinstance(name, str) or name not in STAGES:
        raise InputError(
            f"stage class {shown(name)} is not known; expected one of {', '.join(STAGES)}"
        )
    return STAGES[name]
