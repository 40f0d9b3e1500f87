"""What a campaign gave, in rows: one for each finished production, and melts of the same pooled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.analysis.recipe import RecipeAnalysis, shared_analysis
from mlmd.analysis.together import plain_laws, taken_together
from mlmd.campaign.archive import archive_of, opened_run
from mlmd.campaign.results.measuring import MeasuredStage, codes, measure_case
from mlmd.errors import InputError, MlmdError
from mlmd.numerics.student import independent_mean
from mlmd.run.manifest import NAME
from mlmd.run.overview import StageView, overview

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.campaign.plan import Campaign, Planned
    from mlmd.run.run import Run

logger = logging.getLogger(__name__)

_GROUND = ("python", "ase", "numpy")
"""Versions that say nothing of who computed the forces."""


@dataclass(frozen=True)
class ResultRow:
    """A finished production, or those of several melts of the same together.

    Attributes
    ----------
    case
        Name of the case; of a pooled row, of its group.
    group
        What melts of the same have in common.
    n_melts
        Melts that are pooled; 1 for a production of one case.
    formula, n_atoms, calculator
        What it is of.
    seed
        Of the melt; None where several are pooled.
    stage, temperature_K
        Of the production.
    duration_ps, wall_s
        Its length (the mean over melts), and the wall time it took (of all together).
    volume_per_atom_A3, volume_per_atom_stderr_A3
        Of the cell, and the error of the volume search that it comes from; of several melts the
        mean, with the error that follows from the spread between them. None where the volume was
        given and not searched for.
    species
        Diffusivities by symbol. Pooled ones have the error within the melts and the one that
        follows from the spread between them in their ``details``, by
        :func:`mlmd.analysis.combine`.
    laws
        By symbol the activation energy of all productions of the case, or of the group: ``E_a_eV``,
        ``E_a_stderr_eV``, ``E_a_interval68_eV``, ``E_a_lower_bound_eV``, ``D0_cm2_s``.
    flags
        Doubts that the production came with.
    findings
        Codes of all that is to be known, by symbol: of the diffusivity and of the law.
    versions
        Of mlmd and of the packages that computed the forces.
    path
        The run directory, which may be packed; None where several are pooled.
    """

    case: str
    group: str
    n_melts: int
    formula: str
    n_atoms: int
    calculator: str
    seed: int | None
    stage: str
    temperature_K: float | None
    duration_ps: float
    wall_s: float | None
    volume_per_atom_A3: float | None
    volume_per_atom_stderr_A3: float | None
    species: Mapping[str, Diffusivity]
    laws: Mapping[str, Mapping[str, Any]]
    flags: tuple[str, ...]
    findings: Mapping[str, tuple[str, ...]]
    versions: Mapping[str, str]
    path: Path | None

    def numbers_of(self, symbol: str) -> dict[str, Any]:
        """Return what tables and databases say of a species; None where not known."""
        one, law = self.species[symbol], self.laws.get(symbol, {})
        D_low, D_high = one.D_interval68_cm2_s or (None, None)
        E_low, E_high = law.get("E_a_interval68_eV") or (None, None)
        return {
            "verdict": one.verdict,
            "D_cm2_s": one.D_cm2_s,
            "D_low68_cm2_s": D_low,
            "D_high68_cm2_s": D_high,
            "D_stderr_cm2_s": one.D_stderr_cm2_s,
            "D_within_stderr_cm2_s": one.details.get("within_stderr_cm2_s"),
            "D_between_stderr_cm2_s": one.details.get("between_stderr_cm2_s"),
            "D_raw_cm2_s": one.D_raw_cm2_s,
            "D_upper_bound_cm2_s": one.D_upper_bound_cm2_s,
            "D_lower_bound_cm2_s": one.D_lower_bound_cm2_s,
            "needs_ps": one.needs_ps,
            "E_a_eV": law.get("E_a_eV"),
            "E_a_low68_eV": E_low,
            "E_a_high68_eV": E_high,
            "E_a_stderr_eV": law.get("E_a_stderr_eV"),
            "E_a_lower_bound_eV": law.get("E_a_lower_bound_eV"),
            "findings": " ".join(self.findings.get(symbol, ())),
        }


@dataclass(frozen=True)
class CampaignResults:
    """What there is of a campaign.

    Attributes
    ----------
    rows
        Productions in the order of the cases, then those of melts pooled.
    problems
        By case, or group, why there is nothing of it: its run is damaged, or cannot be measured.
    """

    rows: tuple[ResultRow, ...]
    problems: Mapping[str, str]


@dataclass(frozen=True)
class _Ended:
    """What is to be remembered of a case: thousands of runs would not fit."""

    recipe: RecipeAnalysis
    stages: Mapping[str, MeasuredStage]
    rows: list[ResultRow]


def results_of(
    campaign: Campaign, progress: Callable[[int, int], None] | None = None
) -> CampaignResults:
    """Return what the cases gave that are done, and the finished productions of those that failed.

    Everything is read from the run directories, and is what ``mlmd analyze`` says of them. A run
    that is damaged is a line among the problems.

    Parameters
    ----------
    campaign
        As for :func:`mlmd.campaign.run_campaign`.
    progress
        Called with the number of cases looked at, and of all.
    """
    problems: dict[str, str] = {}
    rows: list[ResultRow] = []
    groups: dict[str, list[_Ended]] = {}
    labels = _calculators(campaign)
    for number, case in enumerate(campaign.cases, start=1):
        directory = (campaign.folder / case.name).absolute()
        try:
            if (directory / NAME).exists() or archive_of(directory).exists():
                with opened_run(directory) as run:
                    found = _ended(case, run, labels[case.calculator], directory)
                if found is not None:
                    rows += found.rows
                    groups.setdefault(case.group, []).append(found)
        except (MlmdError, OSError) as error:
            problems[case.name] = " ".join(str(error).split())
            logger.info("no result of %s: %s", case.name, error)
        if progress is not None:
            progress(number, len(campaign.cases))
    for name, members in groups.items():
        if len(members) > 1:
            try:
                rows += _pooled(name, members)
            except MlmdError as error:
                problems[name] = " ".join(str(error).split())
    return CampaignResults(tuple(rows), problems)


def _calculators(campaign: Campaign) -> list[str]:
    """Return what to call each calculator: its name and model, numbered where these are alike."""
    plain = [spec.name if spec.model is None else f"{spec.name}:{spec.model}"
             for spec in campaign.calculators]  # fmt: skip
    return [
        name if plain.count(name) == 1 else f"{name}-{number}"
        for number, name in enumerate(plain, start=1)
    ]


def _ended(case: Planned, run: Run, calculator: str, directory: Path) -> _Ended | None:
    """Return what a case gave; None for one that is at work, or to go on."""
    if run.status not in ("done", "failed"):
        return None
    if not any(entry.measured and entry.status == "done" for entry in run.stages):
        return None
    measured = measure_case(run)
    views = {view.entry.name: view for view in overview(run)}
    versions = {k: v for k, v in run.manifest.versions.items() if k not in _GROUND}
    laws = measured.summary["arrhenius"]
    rows = []
    for name, stage in measured.stages.items():
        view = views[name]
        rows.append(
            ResultRow(
                case=case.name,
                group=case.group,
                n_melts=1,
                formula=measured.formula,
                n_atoms=measured.n_atoms,
                calculator=calculator,
                seed=case.seed,
                stage=name,
                temperature_K=stage.temperature_K,
                duration_ps=stage.duration_ps,
                wall_s=None if view.wall is None else view.wall.seconds,
                volume_per_atom_A3=view.volume_per_atom_A3,
                volume_per_atom_stderr_A3=_volume_stderr(view, views, measured.n_atoms),
                species=stage.species,
                laws=laws,
                flags=stage.flags,
                findings={
                    symbol: tuple(dict.fromkeys((*found, *measured.about_laws.get(symbol, ()))))
                    for symbol, found in stage.findings.items()
                },
                versions=versions,
                path=directory,
            )
        )
    return _Ended(RecipeAnalysis.of(run), measured.stages, rows)


def _volume_stderr(view: StageView, views: Mapping[str, StageView], n_atoms: int) -> float | None:
    """Return the error of the volume that a stage has from the search that it descends from."""
    while view.starts_from is not None:
        view = views[view.starts_from]
        error = (view.entry.result or {}).get("volume_stderr_A3")
        if error is not None:
            return float(error) / n_atoms
    return None


def _pooled(group: str, members: list[_Ended]) -> Iterator[ResultRow]:
    """Yield the productions of one name and temperature of several melts, together.

    Raises
    ------
    InputError
        If they cannot be combined.
    """
    if shared_analysis(one.recipe for one in members) is None:
        raise InputError("the recipes of its runs measure differently; analyse each by itself")
    stages: dict[str, MeasuredStage] = {}
    rows: dict[str, ResultRow] = {}
    alike: dict[str, dict[float | None, list[str]]] = {}
    for one in members:
        for row in one.rows:
            own = f"{row.case}:{row.stage}"
            stages[own], rows[own] = one.stages[row.stage], row
            alike.setdefault(row.stage, {}).setdefault(row.temperature_K, []).append(own)
    groups = {
        (stage if len(by_K) == 1 or T_K is None else f"{stage} {T_K:g} K"): names
        for stage, by_K in alike.items()
        for T_K, names in by_K.items()
        if len(names) > 1
    }
    together = taken_together(stages, groups)
    laws = plain_laws(together.arrhenius, together.E_a_lower_bounds_eV)
    for name, found in together.replicas.items():
        each = [rows[one] for one in found.stages]
        first = each[0]
        walls = [row.wall_s for row in each if row.wall_s is not None]
        volume, error = _mean_volume(each)
        yield ResultRow(
            case=group,
            group=group,
            n_melts=len(each),
            formula=first.formula,
            n_atoms=first.n_atoms,
            calculator=first.calculator,
            seed=None,
            stage=name,
            temperature_K=found.temperature_K,
            duration_ps=sum(row.duration_ps for row in each) / len(each),
            wall_s=sum(walls) if walls else None,
            volume_per_atom_A3=volume,
            volume_per_atom_stderr_A3=error,
            species=found.species,
            laws=laws,
            flags=tuple(dict.fromkeys(flag for row in each for flag in row.flags)),
            findings={
                symbol: tuple(codes((*found.about(symbol), *together.about_laws.get(symbol, ()))))
                for symbol in found.species
            },
            versions=first.versions,
            path=None,
        )


def _mean_volume(rows: list[ResultRow]) -> tuple[float | None, float | None]:
    """Return the mean volume of several melts, and its error by the spread between them."""
    known = [row.volume_per_atom_A3 for row in rows if row.volume_per_atom_A3 is not None]
    if len(known) < len(rows):
        return None, None
    mean = independent_mean(known)
    searched = any(row.volume_per_atom_stderr_A3 is not None for row in rows)
    return mean.mean, mean.stderr if searched else None
