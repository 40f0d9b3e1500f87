"""Tables of a comparison."""

from __future__ import annotations

from mlmd.digits import r_squared_text
from mlmd.report.comparison.contents import Contents, all_listed, part_of
from mlmd.report.comparison.features import feature_tables
from mlmd.report.page.elements import (
    Cell,
    Table,
    Value,
    make_table,
    of,
    of_diffusivity,
    of_interval,
    of_r_squared,
)

DIFFUSIVITY = ("D_cm2_s", "D_interval68_cm2_s", "D_upper_bound_cm2_s")
POINT_WISE = {
    "energy_mae_meV_atom": "Energy, mean absolute error (meV/atom)",
    "energy_rmse_meV_atom": "Energy, root mean square error (meV/atom)",
    "force_mae_meV_A": "Force, mean absolute error (meV/Å)",
    "force_rmse_meV_A": "Force, root mean square error (meV/Å)",
    "force_cosine": "Force, mean cosine",
    "force_slope": "Force slope (1: neither softer nor harder)",
    "stress_mae_GPa": "Stress, mean absolute error (GPa)",
    "pressure_bias_GPa": "Pressure bias (GPa)",
}
"""Errors frame by frame, by their keys."""


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


def _rdf(contents: Contents) -> Table:
    rows = []
    for label, one in all_listed(contents, "rdf"):
        known = {pair: r2 for pair, r2 in one["r2_by_pair"].items() if r2 is not None}
        worst = min(known, key=known.__getitem__, default=None)
        last = Cell(f"{r_squared_text(known[worst])} ({worst})", known[worst]) if worst else None
        r2, ceiling = (of_r_squared(one[key]) for key in ("r2_pooled", "r2_noise_ceiling"))
        rows.append((f"{label}, {one['label']}", r2, ceiling, one["excess"], last))
    return make_table(
        "Radial distribution functions",
        ("System", "R², all pairs", "Ceiling", "Excess", "Worst pair"),
        rows,
        "The ceiling is the R² of a perfect surrogate, given the noise of trajectories this long; "
        "the excess is (1 − R²)/(1 − ceiling), 1 where nothing but noise is left.",
    )


def _diffusivity(contents: Contents) -> Table:
    rows: list[tuple[Value, ...]] = []
    for label, point in all_listed(contents, "diffusivity", "points"):
        log_ratio, interval = point["log10_ratio"], point["log10_ratio_interval68"]
        ratio = None if log_ratio is None else 10.0**log_ratio
        ends = None if interval is None else [10.0**end for end in interval]
        sides = [
            of_diffusivity(*(point[side][key] for key in DIFFUSIVITY))
            for side in ("surrogate", "reference")
        ]
        name = f"{label}, {point['label']}, {point['species']}"
        rows.append((name, *sides, of_interval(ratio, ends)))
    return make_table(
        "Diffusivities",
        ("System", "Surrogate (cm²/s)", "Reference (cm²/s)", "Ratio"),
        rows,
        "Brackets are intervals of 68 %. Where the motion is not diffusive the bound holds with "
        "95 %.",
    )


def _activation_energy(contents: Contents) -> Table:
    return make_table(
        "Activation energies of diffusion",
        ("System", "Surrogate (eV)", "Reference (eV)", "Difference (eV)", "Its error (eV)"),
        [
            (
                f"{label}, {one['composition']}, {one['species']}",
                of_interval(one["surrogate_eV"], one["surrogate_interval68_eV"]),
                of_interval(one["reference_eV"], one["reference_interval68_eV"]),
                one["difference_eV"],
                of(one["difference_stderr_eV"], 2),
            )
            for label, one in all_listed(contents, "diffusivity", "activation_energy")
        ],
    )


def _coordination(contents: Contents) -> Table:
    return make_table(
        "Coordination numbers",
        ("System and pair", "Up to (Å)", "Surrogate", "Reference", "Difference", "Its error"),
        [
            (
                f"{label}, {one['label']}, {pair}",
                *(found[key] for key in ("cutoff_A", "surrogate", "reference")),
                *(of(found[key], 2) for key in ("difference", "difference_stderr")),
            )
            for label, one in all_listed(contents, "coordination")
            for pair, found in one["pairs"].items()
        ],
    )


def _spectra(contents: Contents) -> Table:
    keys = ("vdos_overlap", "vdos_ceiling", "vdos_mean_ratio")
    return make_table(
        "Vibrations and structure factor",
        ("System", "VDOS overlap", "Its ceiling", "Mean frequency ratio", "S(q) R²"),
        [
            (f"{label}, {one['label']}", *(one[key] for key in keys), of_r_squared(one["sq_r2"]))
            for label, one in all_listed(contents, "spectra")
        ],
    )


def _points(contents: Contents) -> Table:
    known = [part_of(content, "points") for content in contents.values()]
    rows = [(title, *(one.get(key) for one in known)) for key, title in POINT_WISE.items()]
    shown = [row for row in rows if any(value is not None for value in row[1:])]
    return make_table("On the reference's own frames", ("Quantity", *contents), shown)
