"""Birch-Murnaghan fits of pressures, and searches for zero pressure on planted curves."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState

from mlmd.errors import InputError
from mlmd.stages.volume.birch_murnaghan import fit_birch_murnaghan
from mlmd.stages.volume.next_volume import next_volume

VOLUMES = 30.0 * np.array([0.8, 0.9, 1.0, 1.1, 1.2])

# LiCl, 32 atoms, CHGNet: GPa against A3/atom.
LICL_5000K = ([18.4, 23.0, 27.6, 34.5, 46.0], [15.7, 7.4, 3.9, 2.1, 1.1])
LICL_1800K = ([29.0, 34.0, 34.0], [0.58, 0.01, 0.22], [0.10, 0.08, 0.08])
LICL_1000K = ([24.5, 27.0], [1.0, 0.46])


def pressure(volume, V0=30.0, B0=4.0, prime=4.0):
    """The textbook formula."""
    x = (V0 / np.asarray(volume)) ** (1 / 3)
    return 1.5 * B0 * (x**7 - x**5) * (1 + 0.75 * (prime - 4) * (x**2 - 1))


@pytest.mark.parametrize("prime", [2.0, 3.7, 4.0, 5.5, 9.0])
@pytest.mark.parametrize("free", [False, True])
def test_planted_parameters_come_back(prime, free):
    fit = fit_birch_murnaghan(
        VOLUMES, pressure(VOLUMES, prime=prime), B0_prime=None if free else prime
    )
    assert (fit.status, fit.is_bracketed) == ("interpolated", True)
    assert (fit.V0_A3, fit.B0_GPa, fit.B0_prime) == pytest.approx((30.0, 4.0, prime), rel=1e-7)
    assert fit.df == (2 if free else 3)
    assert fit.chi2 < 1e-15
    assert fit.V0_stderr_A3 < 1e-6
    far = np.linspace(20, 45, 7)
    assert fit.pressure_GPa(far) == pytest.approx(pressure(far, prime=prime), abs=1e-7)
    slope = (fit.pressure_GPa(far + 1e-4) - fit.pressure_GPa(far - 1e-4)) / 2e-4
    assert fit.bulk_modulus_GPa(far) == pytest.approx(-far * slope, rel=1e-5)
    assert fit.bulk_modulus_GPa(30.0) == pytest.approx(4.0, rel=1e-6)
    assert fit.bulk_modulus_GPa(25.0) > 5.0  # B is that of the volume, not of V0


def test_two_points_are_enough_with_a_fixed_derivative():
    fit = fit_birch_murnaghan([28.0, 31.0], pressure([28.0, 31.0]))
    assert pytest.approx(30.0) == fit.V0_A3
    assert (fit.V0_stderr_A3, fit.covariance, fit.df) == (None, None, 0)
    with_errors = fit_birch_murnaghan([28.0, 31.0], pressure([28.0, 31.0]), [0.1, 0.05])
    assert with_errors.V0_stderr_A3 > 0


@pytest.mark.parametrize("prime", [4.0, None])
def test_errors_cover_the_truth(prime):
    rng = np.random.default_rng(1)
    sigma = np.array([0.10, 0.05, 0.05, 0.08, 0.12])
    n, hits, values, errors, chi2 = 800, np.zeros(2), [], [], []
    for _ in range(n):
        data = pressure(VOLUMES) + sigma * rng.normal(size=5)
        fit = fit_birch_murnaghan(VOLUMES, data, sigma, B0_prime=prime)
        hits += [
            abs(fit.V0_A3 - 30.0) < fit.V0_stderr_A3,
            abs(fit.B0_GPa - 4.0) < fit.B0_stderr_GPa,
        ]
        values.append(fit.V0_A3)
        errors.append(fit.V0_stderr_A3)
        chi2.append(fit.chi2 / fit.df)
    assert ((hits / n > 0.62) & (hits / n < 0.74)).all()
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.08)
    assert np.mean(chi2) == pytest.approx(1.0, abs=0.1)


def test_without_errors_the_scatter_gives_the_scale():
    rng = np.random.default_rng(2)
    volumes = np.linspace(24, 36, 40)
    data = pressure(volumes) + 0.05 * rng.normal(size=40)
    free, given = (fit_birch_murnaghan(volumes, data, sigma) for sigma in (None, [0.05] * 40))
    assert pytest.approx(given.V0_A3) == free.V0_A3
    assert free.V0_stderr_A3 == pytest.approx(given.V0_stderr_A3, rel=0.35)


def test_static_points_agree_with_the_energies():
    copper, edges = bulk("Cu", cubic=True), np.linspace(3.45, 3.75, 9)
    energies, pressures = [], []
    for edge in edges:
        copper.set_cell([edge] * 3, scale_atoms=True)
        copper.calc = EMT()
        energies.append(copper.get_potential_energy())
        pressures.append(-copper.get_stress()[:3].mean() / units.GPa)
    V0, _, B0 = EquationOfState(edges**3, energies, eos="birchmurnaghan").fit()
    fit = fit_birch_murnaghan(edges**3, pressures, B0_prime=None)
    assert fit.status == "interpolated"
    assert pytest.approx(V0, rel=1e-3) == fit.V0_A3
    assert fit.B0_GPa == pytest.approx(B0 / units.GPa, rel=0.02)
    assert 3 < fit.B0_prime < 7


def test_units_scale_the_moduli_and_not_the_volume():
    sigma = np.full(5, 0.1)
    in_gpa = fit_birch_murnaghan(VOLUMES, pressure(VOLUMES), sigma)
    in_ev = fit_birch_murnaghan(VOLUMES, pressure(VOLUMES) * units.GPa, sigma * units.GPa)
    assert pytest.approx(in_gpa.V0_A3) == in_ev.V0_A3
    assert in_ev.V0_stderr_A3 == pytest.approx(in_gpa.V0_stderr_A3)
    assert in_ev.B0_GPa == pytest.approx(in_gpa.B0_GPa / 160.21766, rel=1e-6)


def test_a_cell_and_an_atom_have_the_same_curve():
    sigma = np.full(5, 0.1)
    atom, cell = (fit_birch_murnaghan(n * VOLUMES, pressure(VOLUMES), sigma) for n in (1, 100))
    assert pytest.approx(100 * atom.V0_A3) == cell.V0_A3
    assert cell.V0_stderr_A3 == pytest.approx(100 * atom.V0_stderr_A3)
    assert cell.B0_GPa == pytest.approx(atom.B0_GPa)
    scale = np.outer([100, 1], [100, 1])
    assert cell.covariance == pytest.approx(scale * atom.covariance)


@pytest.mark.parametrize(
    ("prime", "n"),
    [(prime, n) for prime in (3.0, 4.0, 5.0, 7.0) for n in (2, 3, 4, 5)] + [(None, 4), (None, 5)],
)
@pytest.mark.parametrize("sigma", [None, 0.1])
def test_boiling_lithium_chloride_has_no_volume(prime, n, sigma):
    volumes, pressures = (values[:n] for values in LICL_5000K)
    errors = None if sigma is None else [sigma] * n
    fit = fit_birch_murnaghan(volumes, pressures, errors, B0_prime=prime)
    assert fit.status == "none"
    assert not fit.is_bracketed
    assert (fit.V0_A3, fit.V0_stderr_A3, fit.B0_GPa, fit.covariance) == (None,) * 4
    assert fit.reason
    # There is a curve to plot nevertheless.
    assert fit.pressure_GPa(volumes) == pytest.approx(pressures, abs=3.0)


def test_chord_shows_what_a_bent_curve_hides():
    """Five points of a boiling melt whose fit crosses zero within reach."""
    fit = fit_birch_murnaghan(*LICL_5000K, B0_prime=3.0)
    assert fit.status == "none"
    assert "flatten before they reach zero" in fit.reason


def test_liquid_lithium_chloride_has_one():
    hot = fit_birch_murnaghan(*LICL_1800K)
    assert hot.status == "extrapolated"  # nobody measured a negative pressure
    assert 34.0 < hot.V0_A3 < 38.0
    assert "no pressure is negative" in hot.reason
    cold = fit_birch_murnaghan(*LICL_1000K)
    assert cold.status == "extrapolated"
    assert 29.0 < cold.V0_A3 < 32.0
    sealed = fit_birch_murnaghan(
        [*LICL_1800K[0], 38.0], [*LICL_1800K[1], -0.2], [*LICL_1800K[2], 0.08]
    )
    assert sealed.status == "interpolated"
    assert 33.0 < sealed.V0_A3 < 37.0


def test_a_sign_within_the_noise_is_no_bracket():
    volumes = [27.0, 29.0, 30.1]
    loose = fit_birch_murnaghan(volumes, pressure(volumes), [0.1] * 3)
    sharp = fit_birch_murnaghan(volumes, pressure(volumes), [0.001] * 3)
    assert (loose.is_bracketed, loose.status) == (False, "extrapolated")
    assert (sharp.is_bracketed, sharp.status) == (True, "interpolated")


@pytest.mark.parametrize(
    ("pressures", "reason"),
    [
        (-pressure(VOLUMES), "does not fall through zero"),  # stress taken for pressure
        (pressure(VOLUMES) + 40.0, ""),
        (pressure(VOLUMES, V0=50.0), "too far from"),
        (pressure(VOLUMES, V0=15.0), "too far from"),
        ([3.0, 3.0, 3.0, 3.0, 3.0], ""),
    ],
)
def test_what_has_no_zero_gives_none(pressures, reason):
    fit = fit_birch_murnaghan(VOLUMES, pressures)
    assert (fit.status, fit.V0_A3, fit.B0_GPa) == ("none", None, None)
    assert reason in fit.reason


def test_noise_alone_determines_nothing():
    rng = np.random.default_rng(3)
    fits = [fit_birch_murnaghan(VOLUMES, 0.05 * rng.normal(size=5), [0.05] * 5) for _ in range(200)]
    given = [fit for fit in fits if fit.status == "interpolated"]
    assert len(given) < 0.05 * len(fits)
    assert all(fit.V0_stderr_A3 < 0.2 * fit.V0_A3 for fit in fits if fit.V0_A3)


@pytest.mark.parametrize(
    ("volumes", "pressures", "errors", "prime", "message"),
    [
        ([30.0], [0.0], None, 4.0, "at least 2 at 2 different"),
        ([30.0, 30.0], [0.0, 0.1], None, 4.0, "2 different"),
        ([28.0, 30.0, 31.0], [1.0, 0.0, -0.1], None, None, "at least 4 at 3 different"),
        ([28.0, 30.0], [1.0], None, 4.0, "shapes"),
        ([28.0, 30.0], [1.0, np.nan], None, 4.0, "not finite"),
        ([28.0, -30.0], [1.0, 0.0], None, 4.0, "not positive"),
        ([28.0, 30.0], [1.0, 0.0], [0.1, 0.0], 4.0, "not positive"),
        ([28.0, 30.0], [1.0, 0.0], [0.1, None], 4.0, "not finite"),
        ([28.0, 30.0], [1.0, 0.0], None, np.inf, "expected a number, or None"),
    ],
)
def test_bad_points_are_refused(volumes, pressures, errors, prime, message):
    with pytest.raises(InputError, match=message):
        fit_birch_murnaghan(volumes, pressures, errors, B0_prime=prime)


def search(curve, volumes, sigma=None, steps=20, limits=(10.0, 100.0), seed=0):
    """Volumes and pressures of a search, and whether it went on to the end."""
    rng = np.random.default_rng(seed)

    def measure(volume):
        return float(curve(volume)) + (sigma or 0.0) * rng.normal()

    volumes = list(volumes)
    pressures = [measure(volume) for volume in volumes]
    for _ in range(steps):
        errors = [sigma or 1e-6] * len(volumes)
        new = next_volume(volumes, pressures, errors, limits_A3=limits)
        if new is None:
            return volumes, pressures, False
        assert limits[0] <= new <= limits[1]
        assert min(volumes) / 1.2 - 1e-9 <= new <= max(volumes) * 1.2 + 1e-9
        volumes.append(new)
        pressures.append(measure(new))
    return volumes, pressures, True


@pytest.mark.parametrize("V0", [18.0, 25.0, 30.0, 45.0, 60.0])
@pytest.mark.parametrize("prime", [2.5, 4.0, 7.0])
@pytest.mark.parametrize("start", [[30.0], [24.0, 30.0, 36.0]])
def test_search_converges_from_far_away(V0, prime, start):
    volumes, pressures, _ = search(lambda v: pressure(v, V0=V0, prime=prime), start, steps=12)
    assert volumes[-1] == pytest.approx(V0, rel=1e-3)
    assert max(pressures) > 0 > min(pressures)
    assert fit_birch_murnaghan(volumes, pressures).is_bracketed


@pytest.mark.parametrize("V0", [20.0, 30.0, 45.0])
@pytest.mark.parametrize("seed", range(8))
def test_search_in_noise_brackets_and_finds_the_volume(V0, seed):
    volumes, pressures, _ = search(
        lambda v: pressure(v, V0=V0, prime=6.0), [24.0, 30.0, 36.0], sigma=0.1, seed=seed
    )
    fit = fit_birch_murnaghan(volumes, pressures, [0.1] * len(volumes), B0_prime=None)
    assert fit.status == "interpolated"
    assert abs(fit.V0_A3 - V0) < 4 * fit.V0_stderr_A3 < 0.05 * V0
    assert abs(np.mean(volumes[-5:]) - V0) < 0.05 * V0


def boiling(volume):
    """Pressure of the melt at 5000 K: as measured, an ideal gas beyond."""
    volumes, pressures = LICL_5000K
    inside = np.exp(np.interp(np.log(volume), np.log(volumes), np.log(pressures)))
    return inside if volume <= volumes[-1] else 1.1 * volumes[-1] / volume


@pytest.mark.parametrize("sigma", [None, 0.05])
@pytest.mark.parametrize("start", [[23.0], [18.4, 23.0, 27.6]])
def test_search_in_a_gas_ends_at_the_limit(sigma, start):
    volumes, pressures, went_on = search(boiling, start, sigma, limits=(10.0, 70.0))
    assert not went_on
    assert max(volumes) == 70.0
    errors = None if sigma is None else [sigma] * len(volumes)
    fit = fit_birch_murnaghan(volumes, pressures, errors)
    assert fit.status == "none"


def test_search_ends_at_the_lower_limit_too():
    volumes, _, went_on = search(lambda v: -1.0, [30.0], limits=(20.0, 40.0))
    assert not went_on
    assert min(volumes) == 20.0


def test_torn_material_is_compressed():
    """Negative, then positive again because of a hole: the liquid is on the dense side."""
    new = next_volume([40.0, 50.0], [-0.8, 0.1], [0.1, 0.02], limits_A3=(10.0, 100.0))
    assert 30.0 < new < 40.0


def test_errors_too_large_for_a_bracket_end_the_search():
    volumes, _, went_on = search(pressure, [30.0], sigma=3.0, limits=(25.0, 36.0), seed=1)
    assert not went_on
    assert len(volumes) < 8


@pytest.mark.parametrize(
    "settings",
    [
        {"limits_A3": (0.0, 10.0)},
        {"limits_A3": (40.0, 20.0)},
        {"limits_A3": (20.0, np.inf)},
        {"limits_A3": (20.0, 40.0), "max_step": 1.0},
    ],
)
def test_search_without_sense_is_refused(settings):
    with pytest.raises(InputError, match="expected 0 < smallest < largest and a factor above 1"):
        next_volume([30.0], [1.0], [0.1], **settings)
