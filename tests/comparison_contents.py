"""Contents of comparisons made by hand, in the shape of ``Comparison.to_dict``."""

from __future__ import annotations

from typing import Any

import numpy as np

TEMPERATURES = (671.0, 856.0)


def content(
    *, shift: float = 0.0, D_factor: float = 1.1, composition: str = "Na", answer: str = "yes"
) -> dict[str, Any]:
    """A comparison of one composition at two temperatures; `shift` moves the peaks of g(r)."""
    labels = [f"{composition} {T:g} K" for T in TEMPERATURES]
    r_A = np.linspace(0.05, 8.15, 163)
    system = [
        {"label": label, "composition": composition, "temperature_K": T}
        for label, T in zip(labels, TEMPERATURES, strict=True)
    ]
    side = {"source": "XDATCAR.gz", "n_frames": 2000, "n_atoms": 100, "duration_ps": 3.998,
            "interval_fs": 2.0}  # fmt: skip
    r2 = 1.0 - (0.002 + shift**2)
    rdf_systems = [
        {**one, "r2_pooled": r2, "r2_by_pair": {"Na-Na": r2}, "r2_noise_ceiling": 0.99771,
         "excess": (1 - r2) / (1 - 0.99771), "ceiling_from": "atoms"}
        for one in system
    ]  # fmt: skip
    points = [
        {**one, "species": "Na", "settings": {"estimator": "gls", "drift": "cell"},
         "surrogate": _side(D * D_factor), "reference": _side(D),
         "log10_ratio": float(np.log10(D_factor)), "log10_ratio_interval68": [-0.07, 0.151]}
        for one, D in zip(system, (1.27193e-4, 2.2111868e-4), strict=True)
    ]  # fmt: skip
    curve = _liquid(r_A, 0.0)
    curves = {
        label: {
            "r_A": r_A.tolist(),
            "surrogate": {"Na-Na": _liquid(r_A, shift).tolist()},
            "reference": {"Na-Na": curve.tolist()},
            "surrogate_stderr": {"Na-Na": (0.02 + 0 * r_A).tolist()},
            "reference_stderr": {"Na-Na": (0.02 + 0 * r_A).tolist()},
        }
        for label in labels
    }
    return {
        "schema": 1,
        "systems": [{**one, "surrogate": side, "reference": side} for one in system],
        "rdf": {
            "r2_pooled": r2, "r2_by_pair": {"Na-Na": r2}, "r2_noise_ceiling": 0.99771,
            "excess": 1.2, "distribution": None, "systems": rdf_systems, "curves": curves,
            "settings": {"convention": "exact", "r_max_A": 8.2, "bin_A": 0.05,
                         "ceiling_from": "atoms"},
        },
        "diffusivity": {
            "n_points": 2, "n_bounds": 0, "log10_mae": abs(float(np.log10(D_factor))),
            "points": points, "activation_energy": [
                {"composition": composition, "species": "Na", "surrogate_eV": 0.151,
                 "surrogate_interval68_eV": [0.10, 0.20], "reference_eV": 0.148,
                 "reference_interval68_eV": [0.11, 0.19], "difference_eV": 0.003,
                 "difference_stderr_eV": 0.06},
            ],
        },
        "points": None,
        "spectra": {"systems": [
            {**one, "vdos_overlap": 0.97, "vdos_overlap_by_species": {"Na": 0.97},
             "vdos_ceiling": 0.98, "vdos_mean_ratio": 1.01, "sq_r2": 0.996} for one in system]},
        "coordination": {"largest_difference": 0.12, "systems": [
            {**one, "pairs": {"Na-Na": {"cutoff_A": 5.1, "surrogate": 13.1, "reference": 13.0,
                                        "difference": 0.12, "difference_stderr": 0.1}}}
            for one in system]},
        "verdict": {
            "rdf": _verdict(answer, "the excess over the noise is 1.2, below 5", 1.2,
                            {"excess": 5.0}),
            "coordination": _verdict("yes", "the largest difference is 0.12 neighbours", 0.12,
                                     {"difference": 0.5}),
            "vdos": _verdict("yes", "the overlap is 0.97, the ceiling 0.98", 0.97,
                             {"overlap": 0.9}),
            "diffusivity": _verdict(
                "inconclusive", "the interval of the ratio, 0.85 to 1.42, holds the threshold: "
                "a run of 4 ps cannot tell", float(np.log10(D_factor)), {"factor": 1.26}),
        },
        "missing": {"points": "the reference has no forces; give a vasprun.xml or an OUTCAR"},
        "warnings": ["4 ps are short for a diffusivity: 10 ps windows are usual"],
    }  # fmt: skip


def _side(D_cm2_s: float) -> dict[str, Any]:
    return {
        "D_cm2_s": D_cm2_s,
        "D_raw_cm2_s": D_cm2_s,
        "D_interval68_cm2_s": [0.83 * D_cm2_s, 1.19 * D_cm2_s],
        "D_upper_bound_cm2_s": None,
        "is_diffusive": True,
        "reason": "",
    }


def _verdict(answer: str, reason: str, value: float, threshold: dict[str, float]) -> dict[str, Any]:
    return {
        "answer": answer,
        "reason": reason,
        "value": value,
        "threshold": threshold,
        "by_temperature": {
            f"{T:g}": {"answer": answer, "reason": reason, "value": value} for T in TEMPERATURES
        },
    }


def _liquid(r_A: np.ndarray, shift: float) -> np.ndarray:
    """Something that looks like the g(r) of a liquid."""
    x = r_A * (1 - shift)
    rise = 1.0 / (1.0 + np.exp(-(x - 3.1) / 0.12))
    wave = 1.6 * np.exp(-0.55 * (x - 3.6)) * np.cos(2 * np.pi * (x - 3.75) / 3.2)
    return rise * (1 + np.where(x > 2.4, wave, 0.0))
