"""Tables of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlmd.report.comparison.features import feature_tables
from mlmd.report.page.elements import Cell, Table, of, of_interval
from mlmd.report.page.numbers import DASH, number

Contents = Mapping[str, Mapping[str, Any]]
"""What `Comparison.to_dict` gives, by the surrogate's label."""


def comparison_tables(contents: Contents) -> list[Table]:
    """Return the tables that have rows."""
    tables = (
        _rdf(contents),
        _diffusivity(contents),
        _activation_energy(contents),
        _coordination(contents),
        *feature_tables(contents),
        _spectra(contents),
        _points(contents),
    )
    return [table for table in tables if table.rows]


def _systems(contents: Contents, section: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give every system of a section with the name of its row."""
    for label, content in contents.items():
        for system in (content.get(section) or {}).get("systems") or []:
            yield f"{label}, {system['label']}", system


def _rdf(contents: Contents) -> Table:
    rows = []
    for name, one in _systems(contents, "rdf"):
        known = {pair: r2 for pair, r2 in one["r2_by_pair"].items() if r2 is not None}
        worst = min(known, key=known.__getitem__) if known else None
        rows.append(
            (
                Cell(name),
                of(one["r2_pooled"], 4),
                of(one["r2_noise_ceiling"], 4),
                of(one["excess"]),
                Cell(DASH)
                if worst is None
                else Cell(f"{number(known[worst], 4)} ({worst})", known[worst]),
            )
        )
    return Table(
        "Radial distribution functions",
        ("System", "R², all pairs", "Ceiling", "Excess", "Worst pair"),
        tuple(rows),
        "The ceiling is the R² of a perfect surrogate, given the noise of trajectories this long; "
        "the excess is (1 − R²)/(1 − ceiling), 1 where nothing but noise is left.",
    )


def _points_of_D(contents: Contents) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for label, content in contents.items():
        for point in (content.get("diffusivity") or {}).get("points") or []:
            yield label, point


def _diffusivity(contents: Contents) -> Table:
    rows = []
    for label, point in _points_of_D(contents):
        log_ratio, interval = point["log10_ratio"], point["log10_ratio_interval68"]
        ratio = None if log_ratio is None else 10.0**log_ratio
        ends = None if interval is None else [10.0**end for end in interval]
        rows.append(
            (
                Cell(f"{label}, {point['label']}, {point['species']}"),
                diffusivity_cell(point["surrogate"]),
                diffusivity_cell(point["reference"]),
                of_interval(ratio, ends),
            )
        )
    return Table(
        "Diffusivities",
        ("System", "Surrogate (cm²/s)", "Reference (cm²/s)", "Ratio"),
        tuple(rows),
        "Brackets are intervals of 68 %. Where the motion is not diffusive the bound holds with "
        "95 %.",
    )


def diffusivity_cell(side: Mapping[str, Any]) -> Cell:
    """Return D with its interval, or the bound where the motion is not diffusive."""
    if side["D_cm2_s"] is not None:
        return of_interval(side["D_cm2_s"], side["D_interval68_cm2_s"])
    bound = side["D_upper_bound_cm2_s"]
    return Cell("not diffusive") if bound is None else Cell(f"< {number(bound)}", bound)


def _activation_energy(contents: Contents) -> Table:
    rows = []
    for label, content in contents.items():
        for one in (content.get("diffusivity") or {}).get("activation_energy") or []:
            rows.append(
                (
                    Cell(f"{label}, {one['composition']}, {one['species']}"),
                    of_interval(one["surrogate_eV"], one["surrogate_interval68_eV"]),
                    of_interval(one["reference_eV"], one["reference_interval68_eV"]),
                    of(one["difference_eV"]),
                    of(one["difference_stderr_eV"], 2),
                )
            )
    return Table(
        "Activation energies of diffusion",
        ("System", "Surrogate (eV)", "Reference (eV)", "Difference (eV)", "Its error (eV)"),
        tuple(rows),
    )


def _coordination(contents: Contents) -> Table:
    rows = []
    for name, one in _systems(contents, "coordination"):
        for pair, found in one["pairs"].items():
            rows.append(
                (
                    Cell(f"{name}, {pair}"),
                    of(found["cutoff_A"]),
                    of(found["surrogate"]),
                    of(found["reference"]),
                    of(found["difference"], 2),
                    of(found["difference_stderr"], 2),
                )
            )
    return Table(
        "Coordination numbers",
        ("System and pair", "Up to (Å)", "Surrogate", "Reference", "Difference", "Its error"),
        tuple(rows),
    )


def _spectra(contents: Contents) -> Table:
    rows = [
        (
            Cell(name),
            of(one["vdos_overlap"]),
            of(one["vdos_ceiling"]),
            of(one["vdos_mean_ratio"]),
            of(one["sq_r2"], 4),
        )
        for name, one in _systems(contents, "spectra")
    ]
    return Table(
        "Vibrations and structure factor",
        ("System", "VDOS overlap", "Its ceiling", "Mean frequency ratio", "S(q) R²"),
        tuple(rows),
    )


POINT_WISE = (
    ("energy_mae_meV_atom", "Energy, mean absolute error (meV/atom)"),
    ("energy_rmse_meV_atom", "Energy, root mean square error (meV/atom)"),
    ("force_mae_meV_A", "Force, mean absolute error (meV/Å)"),
    ("force_rmse_meV_A", "Force, root mean square error (meV/Å)"),
    ("force_cosine", "Force, mean cosine"),
    ("force_slope", "Force slope (1: neither softer nor harder)"),
    ("stress_mae_GPa", "Stress, mean absolute error (GPa)"),
    ("pressure_bias_GPa", "Pressure bias (GPa)"),
)


def _points(contents: Contents) -> Table:
    known = {label: content.get("points") or {} for label, content in contents.items()}
    rows = [
        (Cell(title), *(of(points.get(key)) for points in known.values()))
        for key, title in POINT_WISE
        if any(points.get(key) is not None for points in known.values())
    ]
    return Table(
        "On the reference's own frames", ("Quantity", *known), tuple(rows) if known else ()
    )
