"""Starting volumes: against measured densities, and what is refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk

from mlmd.errors import InputError
from mlmd.structure.composition import Composition
from mlmd.structure.volume import starting_volume, warn_if_improbable

# g/cm3. Melts of salts and metals near the melting point: CRC Handbook, after Janz (1988);
# glasses, amorphous solids and crystals: common handbook values. The first group took part in
# the fit of the factors, the second did not.
FITTED = {
    **{"Li": 0.512, "Na": 0.927, "Si": 2.285, "Cu": 8.02, "S": 1.82, "LiCl": 1.451},
    **{"NaCl": 1.542, "KCl": 1.4945, "SiO2": 2.20, "B2O3": 1.81, "Al2O3": 3.05, "MgO": 3.58},
    **{"Li7La3Zr2O12": 5.1, "Li3PS4": 1.88, "Li10GeP2S12": 2.0, "GeS2": 2.72, "Si3N4": 2.9},
    **{"Li3PO4": 2.48, "Li15Si4": 1.18, "Ge2Sb2Te5": 5.87, "H2O": 1.0, "C2H4O": 1.13},
}
HELD_OUT = {
    **{"AgCl": 4.83, "AgBr": 5.577, "AlCl3": 1.302, "AlI3": 3.223, "BaCl2": 3.174},
    **{"BeF2": 1.96, "BeCl2": 1.54, "AgNO3": 3.970, "BiCl3": 3.916, "Ag": 9.32, "Bi": 10.05},
    **{"Au": 17.31, "Be": 1.69, "Ca": 1.378, "LiFePO4": 3.6, "Na3Zr2Si2PO12": 3.27},
    **{"ZnS": 4.09, "InP": 4.81, "GaN": 6.15, "HfO2": 9.68, "Bi2O3": 8.9, "Na2S": 1.86},
    **{"MoS2": 5.06, "TiN": 5.4, "Ar": 1.396, "Br2": 3.10},
}


def measured_volume(formula: str, density_g_cm3: float) -> float:
    return Composition.parse(formula).mass_per_atom_u / density_g_cm3 / (units.mol * 1e-24)


def log_errors(densities: dict[str, float]) -> np.ndarray:
    return np.array(
        [
            np.log(
                starting_volume(Composition.parse(formula)).volume_per_atom_A3
                / measured_volume(formula, density)
            )
            for formula, density in densities.items()
        ]
    )


def test_measured_volumes_are_the_well_known_ones():
    assert measured_volume("SiO2", 2.20) == pytest.approx(15.1, abs=0.05)
    assert measured_volume("LiCl", 1.451) == pytest.approx(24.3, abs=0.1)


@pytest.mark.parametrize("densities", [FITTED, HELD_OUT], ids=["fitted", "held out"])
def test_estimate_is_as_good_as_the_documentation_says(densities):
    errors = log_errors(densities)
    assert np.sqrt(np.mean(errors**2)) < 0.20  # documented: 14 % and 17 % on all that were tried
    assert abs(errors).max() < np.log(1.55)  # documented: at worst a factor 1.53
    assert abs(errors.mean()) < 0.08  # and no trend


def test_a_guess_without_chemistry_would_not_pass():
    """Negative control: one volume for every material is far worse."""
    for densities in (FITTED, HELD_OUT):
        logs = np.log([measured_volume(f, d) for f, d in densities.items()])
        assert np.std(logs) > 2 * np.sqrt(np.mean(log_errors(densities) ** 2))


@pytest.mark.parametrize(("dilute", "host"), [("Si0.99H0.01", "Si"), ("Si0.99O0.01", "Si")])
def test_estimate_is_continuous_as_anions_vanish(dilute, host):
    volumes = [starting_volume(Composition.parse(f)).volume_per_atom_A3 for f in (dilute, host)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.04)


def test_estimate_is_bounded_for_every_element():
    from ase.data import chemical_symbols

    for symbol in chemical_symbols[1:97]:
        volume = starting_volume(Composition.parse(symbol)).volume_per_atom_A3
        assert 5.0 <= volume <= 150.0, symbol
    with pytest.raises(InputError, match="no atomic radius is known for Lr"):
        starting_volume(Composition.parse("Lr"))


def test_estimate_leaves_room_for_the_distance_between_atoms_and_says_so():
    carbon = Composition.parse("C")
    assert starting_volume(carbon).volume_per_atom_A3 < 8.0
    raised = starting_volume(carbon, exclusion_volume_A3=8.0)
    assert raised.volume_per_atom_A3 == 8.0
    assert raised.source == "atomic radii"
    assert "raised to 8" in raised.detail


def test_density_and_reference_give_the_same_volume():
    silicon = bulk("Si", cubic=True, a=5.431)
    composition = Composition.parse("Si")
    from_crystal = starting_volume(composition, reference=silicon)
    assert from_crystal.volume_per_atom_A3 == pytest.approx(5.431**3 / 8, rel=1e-12)
    assert from_crystal.source == "reference structure"
    density = silicon.get_masses().sum() / silicon.get_volume() / (units.mol * 1e-24)
    from_density = starting_volume(composition, density_g_cm3=density)
    assert from_density.volume_per_atom_A3 == pytest.approx(5.431**3 / 8, rel=1e-6)
    assert density == pytest.approx(2.329, abs=0.001)  # silicon


def test_reference_of_another_composition_is_used_with_a_warning(caplog):
    reference = bulk("NaCl", "rocksalt", a=5.64)
    with caplog.at_level(logging.WARNING):
        found = starting_volume(Composition.parse("LiCl"), reference=reference)
    assert found.volume_per_atom_A3 == pytest.approx(5.64**3 / 8)
    assert "LiCl is taken from a reference of ClNa" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"density_g_cm3": 1.0, "volume_per_atom_A3": 20.0}, "expected one source"),
        ({"density_g_cm3": 1.0, "reference": bulk("Si")}, "density_g_cm3 and reference are all"),
        ({"density_g_cm3": 0.0}, "density_g_cm3 is 0.0; expected a positive number in g/cm3"),
        ({"density_g_cm3": -1.0}, "density_g_cm3 is -1.0"),
        ({"density_g_cm3": float("nan")}, "density_g_cm3 is nan"),
        ({"density_g_cm3": "light"}, "density_g_cm3 is 'light'"),
        ({"volume_per_atom_A3": float("inf")}, "volume_per_atom_A3 is inf"),
        ({"volume_per_atom_A3": 0}, "volume_per_atom_A3 is 0; expected a positive number in A3"),
        ({"density_g_cm3": 1880.0}, "check the unit"),  # kg/m3
        ({"volume_per_atom_A3": 0.02}, "check the unit"),  # nm3
        ({"volume_per_atom_A3": 2000.0}, "atomic radii suggest about 20.2; check the number"),
        (
            {"reference": "POSCAR"},
            "reference is a path .'POSCAR'.; expected ase.Atoms",
        ),
        ({"reference": Atoms("Li3PS4")}, "not periodic"),
        ({"reference": Atoms(cell=[3, 3, 3], pbc=True)}, "not periodic"),
        ({"reference": Atoms("Li3PS4", cell=[10, 10, 10], pbc=True)}, "one without vacuum"),
    ],
)
def test_what_gives_no_volume_is_refused_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        starting_volume(Composition.parse("Li3PS4"), exclusion_volume_A3=8.0, **arguments)
    assert "\n" not in str(error.value)


def test_the_improbable_is_done_with_a_warning(caplog):
    composition = Composition.parse("Li3PS4")
    with caplog.at_level(logging.WARNING):
        warn_if_improbable(composition, starting_volume(composition, volume_per_atom_A3=25.0))
        assert not caplog.records
        large = starting_volume(composition, volume_per_atom_A3=80.0)
        assert large.volume_per_atom_A3 == 80.0
        warn_if_improbable(composition, large)
    assert "80 A3/atom for Li3PS4, but atomic radii suggest about 20.2" in caplog.text
