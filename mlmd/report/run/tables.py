"""What a run gives, in tables: diffusivities, laws, conductivity, coordination, with doubts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmd.digits import DASH
from mlmd.report.page.elements import (
    Cell,
    Table,
    Value,
    make_table,
    of,
    of_diffusivity,
    of_interval,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.analysis.summary import AnalysisSummary
    from mlmd.analysis.transport import ConductivityValue

_BRACKETS = "Brackets are intervals of 68 %."
_DIFFUSIVITY = (
    "Stage",
    "T (K)",
    "D (cm²/s)",
    "Fit (ps)",
    "Length (ps)",
    "Length / relaxation time",
    "Doubts",
)
_CONDUCTIVITY = (
    "Stage",
    "Ions",
    "T (K)",
    "σ (mS/cm)",
    "σ of independent ions (mS/cm)",
    "Haven ratio",
    "Doubts",
)


def result_tables(summary: AnalysisSummary) -> list[Table]:
    """Return what there is to say of a run in numbers; tables without a row are left out."""
    tables = (
        make_table(
            "Diffusivities",
            _DIFFUSIVITY,
            _diffusivities(summary),
            f"{_BRACKETS} Where the motion is not diffusive the bound holds with 95 %. What the "
            "doubts mean stands above.",
        ),
        make_table(
            "Arrhenius law", ("Species", "Eₐ (eV)", "D₀ (cm²/s)", "Doubts"), _laws(summary),
            _BRACKETS,
        ),
        make_table(
            "Conductivity", _CONDUCTIVITY, _conductivities(summary),
            f"{_BRACKETS} The Haven ratio is that of the second conductivity to the first.",
        ),
        make_table(
            "Extrapolated", ("What", "T (K)", "Value", "Doubts"), _extrapolated(summary),
            f"{_BRACKETS} What the laws give at other temperatures.",
        ),
        make_table(
            "Coordination numbers", ("Stage, pair", "Neighbours", "Within (Å)", "Peak (Å)"),
            _coordination(summary), "Up to the first minimum of g(r).",
        ),
    )  # fmt: skip
    return [table for table in tables if table.rows]


def _diffusivities(summary: AnalysisSummary) -> Iterator[tuple[Value, ...]]:
    for name, group in summary.groups.items():
        for symbol, one in group.species.items():
            fit_ps = one.settings.fit_ps
            yield (
                f"{name}, {symbol}",
                of(group.temperature_K, 4),
                of_diffusivity(one.D_cm2_s, one.D_interval68_cm2_s, one.D_upper_bound_cm2_s),
                DASH if fit_ps is None else f"{fit_ps[0]:.3g} to {fit_ps[1]:.3g}",
                one.duration_ps,
                _lifetimes(one),
                _listed(summary.doubts(name, symbol, notes=True)),
            )


def _laws(summary: AnalysisSummary) -> Iterator[tuple[Value, ...]]:
    for symbol, law in summary.arrhenius.items():
        if law is not None:
            E_a = of_interval(law.E_a_eV, law.E_a_interval68_eV)
            doubts = [one.code for one in summary.about_laws.get(symbol, ())]
            yield symbol, E_a, law.D0_cm2_s, _listed(doubts)


def _conductivities(summary: AnalysisSummary) -> Iterator[tuple[Value, ...]]:
    for name, stage in summary.stages.items():
        sigma = stage.conductivity
        if sigma is not None:
            charge = sigma.charge
            yield (
                name,
                ", ".join(charge.carriers.species),
                of(sigma.temperature_K, 4),
                _mS_cm(sigma.full),
                _mS_cm(sigma.nernst_einstein),
                of_interval(charge.haven_ratio, charge.haven_interval68),
                _listed(summary.doubts(name, notes=True)),
            )


def _extrapolated(summary: AnalysisSummary) -> Iterator[tuple[Value, ...]]:
    for further in summary.extrapolations:
        at, doubts = of(further.temperature_K, 4), [one.code for one in further.findings]
        for symbol, value in further.species.items():
            if value is not None:
                D = of_interval(value.D_cm2_s, value.D_interval68_cm2_s)
                yield f"D of {symbol} (cm²/s)", at, D, _listed(doubts)
        for what, sigma in (
            ("σ", further.full),
            ("σ of independent ions", further.nernst_einstein),
        ):
            if sigma is not None:
                yield f"{what} (mS/cm)", at, _mS_cm(sigma), _listed(doubts)


def _coordination(summary: AnalysisSummary) -> Iterator[tuple[Value, ...]]:
    for name, stage in summary.stages.items():
        for pair, shell in stage.coordination().items():
            if not isinstance(shell, str):
                yield f"{name}, {pair}", shell.coordination, shell.minimum_A, shell.peak_A


def _mS_cm(value: ConductivityValue | None) -> Cell:
    if value is None or value.interval68_S_cm is None:
        return of(None if value is None else value.mS_cm)
    ends = [None if end is None else 1000.0 * end for end in value.interval68_S_cm]
    return of_interval(value.mS_cm, ends)


def _listed(codes: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(code.replace("_", " ") for code in codes)) or DASH


def _lifetimes(result: Diffusivity) -> Value:
    """Length of the run over the structural relaxation time."""
    relaxed = result.motion.relaxation
    if relaxed is None:
        return None
    return f"< {relaxed.relaxations:g}" if relaxed.time_ps is None else of(relaxed.relaxations, 2)
