"""Before anything is written: the calculators of a protocol are made and tried on the structure."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.calculators.derivatives import (
    WrongStressError,
    check_derivatives,
    has_stress,
    rattled,
)
from mlmd.calculators.evaluation import evaluate
from mlmd.calculators.precision import is_program, rounding_of
from mlmd.errors import CalculatorError, InputError, MlmdError
from mlmd.plain import to_plain

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from mlmd.protocol.calculators import StageCalculators
    from mlmd.stages.stage import Stage

logger = logging.getLogger(__name__)

NO_GRADIENT = "forces_are_no_gradient"
"""Flag of the stages whose calculator's forces are not the derivative of its energy."""


def make_calculators(calculators: StageCalculators, stages: Sequence[Stage]) -> None:
    """Make the calculators of stages, and see that they have what the stages need of them.

    Raises
    ------
    InputError
        Names the stage.
    """
    for stage in stages:
        with _said_of(stage, "its calculator cannot be made"):
            calculator = calculators.serve(stage)
        stage.check_calculator(calculator, "stress" in calculator.implemented_properties)


def try_calculators(
    calculators: StageCalculators, stages: Sequence[Stage], atoms: Atoms
) -> dict[str, Any]:
    """See that all calculators can do a structure, before anything is written.

    The first stage's calculator keeps the result of its start, which is not paid for again;
    the programs of later stages have their input checked and are not run.

    Returns
    -------
    dict
        ``probe``: ``energy_eV`` and ``forces_eV_A`` of step 0 by the first stage's calculator,
        which tell this potential from another, and with them those of a rattled copy (a
        symmetric structure has no forces) where the calculator is known by nothing else;
        ``probes``: the same of the others, by key; ``checks``: what `check_derivatives` found, by
        key; ``first_call_s``: wall time of a program's first force call, or None.

    Raises
    ------
    InputError
        If one cannot do it, or gives a stress that its energy does not have.
    CalculatorError
        If a program fails.
    """
    make_calculators(calculators, stages)
    first_call_s: float | None = None
    probes: dict[str, Any] = {}
    checks: dict[str, Any] = {}
    for number, stage in enumerate(stages):
        key, calculator = calculators.key_of(stage), calculators.serve(stage)
        if key in checks:
            continue
        checks[key] = None
        if not is_program(calculator):
            probes[key], checks[key] = _tried(calculators, stage, atoms)
        elif number == 0:
            began = time.perf_counter()
            probes[key] = _forces(stage, calculator, atoms)
            first_call_s = round(time.perf_counter() - began, 3)
        elif hasattr(calculator, "check_atoms"):
            with _said_of(stage, "its calculator cannot do this structure"):
                calculator.check_atoms(atoms)
    for stage in stages:
        check = checks[calculators.key_of(stage)]
        # It may say that it gives one and not have it.
        if check is not None:
            stage.check_calculator(calculators.serve(stage), check["stress_GPa"] is not None)
    first = calculators.key_of(stages[0])
    return {
        "probe": probes.pop(first),
        "probes": probes,
        "checks": checks,
        "first_call_s": first_call_s,
    }


def flags_of(recorded: dict[str, Any], key: str) -> list[str]:
    """Return the flags that the trial of a calculator gives the stages that it serves."""
    check = recorded.get("checks", {}).get(key)
    return [NO_GRADIENT] if check and not check["forces_are_gradient"] else []


def refuse_other_potential(
    calculators: StageCalculators,
    stages: Sequence[Stage],
    atoms: Atoms,
    recorded: dict[str, Any],
) -> str | None:
    """See that calculators known by nothing else compute what was recorded at step 0.

    Returns
    -------
    str or None
        What differs; None where nothing does.
    """
    by_key = {calculators.key_of(stage): stage for stage in reversed(stages)}
    first = calculators.key_of(stages[0])
    for key, stage in by_key.items():
        if not calculators.is_opaque(key):
            continue
        then = recorded.get("probe") if key == first else recorded.get("probes", {}).get(key)
        if not then:
            logger.warning(
                "whether calculator '%s' is the one that the run was made with cannot be told: "
                "nothing of it was recorded",
                key,
            )
            continue
        other = _rattled(calculators, stage, atoms)
        now = {**_forces(stage, calculators.serve(stage), atoms), **other}
        difference = _difference(then, now, calculators.serve(stage))
        if difference is not None:
            return f"calculator '{key}' gives {difference} on the starting structure"
    return None


def _tried(
    calculators: StageCalculators, stage: Stage, atoms: Atoms
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the probe of a calculator, and what its derivatives are.

    In this order it is asked five times for the derivatives, the first time being the rattled
    probe, and then for the start, which it keeps for the stage.
    """
    calculator, key = calculators.serve(stage), calculators.key_of(stage)
    other = _rattled(calculators, stage, atoms)
    unchecked, found = None, None
    try:
        found = check_derivatives(calculator, atoms, calculators.known_by(key))
    except WrongStressError as error:
        raise InputError(f"stage '{stage.name}': {error}") from error
    except Exception as error:  # whatever a package raises; perhaps it can do the structure
        unchecked = f"{type(error).__name__}: {' '.join(str(error).split())}"
    probe = {**_forces(stage, calculator, atoms), **other}
    if unchecked is not None:
        logger.warning(
            "%s could not be checked on a rattled copy (%s)", type(calculator).__name__, unchecked
        )
    return probe, None if found is None else to_plain(asdict(found))


def _rattled(calculators: StageCalculators, stage: Stage, atoms: Atoms) -> dict[str, Any]:
    """Return the probe of a rattled copy, of a calculator that is known by nothing else."""
    calculator = calculators.serve(stage)
    if calculators.is_opaque(calculators.key_of(stage)) and not is_program(calculator):
        with contextlib.suppress(InputError, CalculatorError):
            return {"rattled": _forces(stage, calculator, rattled(atoms), with_stress=True)}
    return {}


def _forces(
    stage: Stage, calculator: Calculator, atoms: Atoms, with_stress: bool = False
) -> dict[str, Any]:
    """Return energy (eV) and forces (eV/A) of a structure; with stress computed along with them."""
    atoms = atoms.copy()
    atoms.calc = calculator
    what = f"the calculator cannot do this structure ({atoms.get_chemical_formula()})"
    with _said_of(stage, what):
        stress = ("stress",) if with_stress and has_stress(calculator, atoms) else ()
        found = evaluate(atoms, (*stress, "forces", "energy"))
        assert found.forces_eV_A is not None  # they were asked for
        if not np.isfinite(found.forces_eV_A).all():
            raise InputError(
                "the calculator gives forces that are not finite on the starting structure; "
                "pack at a lower density"
            )
    return {"energy_eV": found.energy_eV, "forces_eV_A": found.forces_eV_A.tolist()}


def _difference(then: dict[str, Any], now: dict[str, Any], calculator: Calculator) -> str | None:
    """Say where a potential differs from the recorded one by more than rounding."""
    forces, before = (np.array(one["forces_eV_A"], dtype=float) for one in (now, then))
    rounding = rounding_of(calculator, forces)
    largest_eV_A = float(np.abs(before).max())
    off_eV_A = float(np.abs(forces - before).max())
    allowed = max(rounding.forces_eV_A, rounding.relative_force * largest_eV_A)
    if not off_eV_A <= allowed:
        return f"forces that differ by {off_eV_A:.3g} eV/A (expected at most {allowed:.1g})"
    if now["energy_eV"] is not None and then["energy_eV"] is not None:
        off_eV = abs(now["energy_eV"] - then["energy_eV"]) / len(forces)
        allowed = max(
            rounding.energy_eV_atom, rounding.relative_energy * abs(then["energy_eV"]) / len(forces)
        )
        if not off_eV <= allowed:
            return (
                f"an energy that differs by {off_eV:.3g} eV/atom (expected at most {allowed:.1g})"
            )
    if "rattled" in then and "rattled" in now:
        return _difference(then["rattled"], now["rattled"], calculator)
    return None


@contextlib.contextmanager
def _said_of(stage: Stage, what: str) -> Iterator[None]:
    """Turn whatever a package raises into an error that says of which stage's calculator."""
    try:
        yield
    except MlmdError as error:
        if type(error) is InputError:
            raise InputError(f"stage '{stage.name}': {error}") from error
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"stage '{stage.name}': {what}: {type(error).__name__}: {reason}"
        ) from error
