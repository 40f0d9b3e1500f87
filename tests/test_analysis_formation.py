"""Formation energies and energies above a crystal or a hull, against computing them by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes

from mlmd.analysis.energies.formation import (
    ElementalReference,
    energy_above,
    formation_energy,
    reference_energies,
)
from mlmd.analysis.energies.relaxed_energy import RelaxedEnergy, relaxed_energy
from mlmd.calculators.models.emt import StatelessEMT
from mlmd.errors import InputError, MissingExtraError, SimulationError
from mlmd.numerics.short_series import short_series_mean


def l12(host: str, guest: str, edge_A: float) -> Atoms:
    """Cu3Au's structure: the guest at the corners, the host on the faces."""
    sites = [(0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Atoms([guest, *[host] * 3], scaled_positions=sites, cell=[edge_A] * 3, pbc=True)


def lowest_along_the_edge(atoms: Atoms, start_A: float) -> float:
    """Return the lowest energy per atom of a cubic crystal, by a parabola in its edge (eV)."""
    edges, energies = start_A * np.linspace(0.99, 1.01, 9), []
    for edge in edges:
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell * (edge / start_A), scale_atoms=True)
        scaled.calc = StatelessEMT()
        energies.append(scaled.get_potential_energy() / len(atoms))
    curve = np.polynomial.Polynomial.fit(edges, energies, 4)
    stationary = [r.real for r in curve.deriv().roots() if edges[0] < r.real < edges[-1]]
    return float(min(curve(np.array(stationary))))


@pytest.fixture(scope="module")
def metals() -> Mapping[str, ElementalReference]:
    return reference_energies(["Cu", "Au", "Cu"], StatelessEMT())


def test_references_are_the_lowest_of_their_lattice(
    metals: Mapping[str, ElementalReference],
) -> None:
    assert list(metals) == ["Cu", "Au"]
    for symbol, edge_A in (("Cu", 3.59), ("Au", 4.06)):
        expected = lowest_along_the_edge(bulk(symbol, cubic=True, a=edge_A), edge_A)
        # 0.05 GPa of stress are left: P^2 V / 2 B is 1e-6 eV.
        assert metals[symbol].energy_eV_atom == pytest.approx(expected, abs=5e-6)
        assert metals[symbol].structure == "fcc"
        assert metals[symbol].relaxed.volume_A3_atom == pytest.approx(edge_A**3 / 4, rel=0.01)


def test_formation_energy_of_cu3au_is_that_of_direct_computation(
    metals: Mapping[str, ElementalReference],
) -> None:
    crystal = relaxed_energy(l12("Cu", "Au", 3.8), StatelessEMT(), "Cu3Au")
    found = formation_energy([crystal.energy_eV_atom], "Cu3Au", metals)
    compound = lowest_along_the_edge(l12("Cu", "Au", 3.71), 3.71)
    copper = lowest_along_the_edge(bulk("Cu", cubic=True, a=3.59), 3.59)
    gold = lowest_along_the_edge(bulk("Au", cubic=True, a=4.06), 4.06)
    assert found.mean_eV_atom == pytest.approx((4 * compound - 3 * copper - gold) / 4, abs=1e-5)
    assert found.mean_eV_atom < -0.005  # the intermetallic compound is stable
    assert found.stderr_eV_atom is None
    assert found.fractions == {"Cu": 0.75, "Au": 0.25}
    assert asdict(found)["reference_structures"] == {"Cu": "fcc", "Au": "fcc"}


def reference(energy_eV_atom: float, formula: str = "X") -> ElementalReference:
    """Return a reference of a given energy."""
    relaxed = RelaxedEnergy(formula, energy_eV_atom, 10.0, 0.0, 0.0, 0)
    return ElementalReference(energy_eV_atom, "given", relaxed)


def test_sign_and_error_by_hand() -> None:
    references = {"Li": reference(-2.0), "Si": reference(-5.0), "O": reference(-4.0)}
    # Li2SiO3: (2 x -2 - 5 + 3 x -4) / 6 = -3.5 eV per atom.
    energies = [-6.0, -6.1, -5.9]
    found = formation_energy(energies, "Li2SiO3", references)
    assert found.mean_eV_atom == pytest.approx(-2.5)
    assert found.lowest_eV_atom == pytest.approx(-2.6)
    assert found.stderr_eV_atom == pytest.approx(0.1 / 3**0.5)
    assert "independent" in found.stderr_method
    same = formation_energy(energies, {"Li": 2, "Si": 1, "O": 3.0}, references)
    assert same == found
    assert formation_energy([-3.0], "Li2SiO3", references).mean_eV_atom == pytest.approx(0.5)


class PerAtom(Calculator):
    """Energy per atom by the formula; forces and stress of an ideal minimum."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, energies_eV_atom: Mapping[str, float]) -> None:
        super().__init__()
        self._energies = energies_eV_atom

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        name = self.atoms.get_chemical_formula(empirical=True)
        self.results = {
            "energy": self._energies[name] * len(self.atoms),
            "forces": np.zeros((len(self.atoms), 3)),
            "stress": np.zeros(6),
        }


def cell(formula: str) -> Atoms:
    atoms = Atoms(formula, cell=[10] * 3, pbc=True)
    atoms.positions[:, 0] = np.arange(len(atoms)) * 2.0
    return atoms


# Elements at 0; A B at -0.6 eV per atom is stable, A3 B at -0.2 is above the line from A to A B
# (-0.3 at a quarter of B).
BINARY = {"Al": 0.0, "Cu": 0.0, "AlCu": -0.6, "Al3Cu": -0.2}
PHASES = {"Al": cell("Al"), "Cu": cell("Cu"), "AlCu": cell("Al2Cu2"), "Al3Cu": cell("Al3Cu")}


def test_hull_of_three_phases_by_hand() -> None:
    calculator = PerAtom(BINARY)
    three = {name: PHASES[name] for name in ("Al", "Cu", "AlCu")}
    # At a quarter of Cu: half of the atoms in Al, half in AlCu: 0.5 x 0 + 0.5 x -0.6.
    found = energy_above([-0.1, -0.2, -0.3, -0.2, -0.1, -0.2], "Al3Cu", three, calculator)
    assert found.above == "hull"
    assert found.stable_eV_atom == pytest.approx(-0.3)
    assert found.mixture == pytest.approx({"Al": 0.5, "AlCu": 0.5})
    assert found.mean_eV_atom == pytest.approx(-1.1 / 6 + 0.3)
    assert found.lowest_eV_atom == pytest.approx(0.0)
    assert found.stderr_eV_atom >= np.std([-0.1, -0.2, -0.3, -0.2, -0.1, -0.2], ddof=1) / 6**0.5
    # A phase above the hull changes nothing; below it, the amorphous solid is negative.
    again = energy_above([-0.35], "Al3Cu", PHASES, calculator)
    assert again.stable_eV_atom == pytest.approx(-0.3)
    assert again.mean_eV_atom == pytest.approx(-0.05)
    # Two thirds of Cu: one third Cu, two thirds AlCu.
    other = energy_above([0.0], "AlCu2", three, calculator)
    assert other.mean_eV_atom == pytest.approx(0.4)
    assert other.mixture == pytest.approx({"Cu": 1 / 3, "AlCu": 2 / 3})


def test_hull_of_many_phases_is_the_lowest_mixture() -> None:
    """Against the linear programme that defines the hull, in a ternary with random energies."""
    from scipy.optimize import linprog

    rng, elements = np.random.default_rng(5), ("Al", "Cu", "Ni")
    formulas = ["Al", "Cu", "Ni", "AlCu", "Al3Ni", "AlNi", "CuNi", "AlCuNi", "Al2CuNi", "AlCu3"]
    crystals = {formula: cell(formula) for formula in formulas}
    energies = {
        a.get_chemical_formula(empirical=True): rng.uniform(-1, 0) for a in crystals.values()
    }
    calculator = PerAtom(energies)
    table = np.array(
        [[list(a.symbols).count(e) / len(a) for a in crystals.values()] for e in elements]
    )
    costs = [energies[a.get_chemical_formula(empirical=True)] for a in crystals.values()]
    for target in ("Al5Cu2Ni", "AlCuNi3", "Al2Cu5Ni4"):
        amounts = Atoms(target)
        wanted = [list(amounts.symbols).count(e) / len(amounts) for e in elements]
        expected = linprog(costs, A_eq=table, b_eq=wanted, bounds=(0, None)).fun
        found = energy_above([0.0], target, crystals, calculator)
        assert found.stable_eV_atom == pytest.approx(expected, abs=1e-9)
        assert sum(found.mixture.values()) == pytest.approx(1.0)


def test_elements_of_the_hull_may_come_from_references() -> None:
    references = {"Al": reference(0.1, "Al4"), "Cu": reference(0.0, "Cu")}
    crystals = {"AlCu": PHASES["AlCu"]}
    found = energy_above([0.0], "Al3Cu", crystals, PerAtom(BINARY), references)
    # Half of the atoms in Al at 0.1, half in AlCu at -0.6.
    assert found.mean_eV_atom == pytest.approx(0.25)
    assert set(found.mixture) == {"Al (given)", "AlCu"}


def test_above_the_lowest_crystal_of_the_composition() -> None:
    crystals = {"L12": l12("Cu", "Au", 3.75), "stretched": l12("Cu", "Au", 3.75).repeat((2, 1, 1))}
    found = energy_above([0.1, 0.3], "AuCu3", crystals, StatelessEMT())
    expected = lowest_along_the_edge(l12("Cu", "Au", 3.71), 3.71)
    assert found.above == "crystal"
    assert found.stable_eV_atom == pytest.approx(expected, abs=5e-6)
    assert found.mean_eV_atom == pytest.approx(0.2 - expected, abs=5e-6)
    assert found.lowest_eV_atom == pytest.approx(0.1 - expected, abs=5e-6)


def test_a_gas_is_one_molecule_at_its_bond_length() -> None:
    (found,) = reference_energies(["N"], StatelessEMT()).values()
    assert found.structure == "N2 molecule in a box of 12 A"
    energies = []
    for bond in np.linspace(0.8, 1.4, 601):
        molecule = Atoms("N2", positions=[(0, 0, 0), (0, 0, bond)], cell=[12] * 3, pbc=True)
        molecule.calc = StatelessEMT()
        energies.append(molecule.get_potential_energy() / 2)
    assert found.energy_eV_atom == pytest.approx(min(energies), abs=1e-4)


def test_a_given_structure_replaces_the_default() -> None:
    square = bulk("Cu", "sc", a=2.4)
    found = reference_energies("Cu", StatelessEMT(), {"Cu": square})["Cu"]
    assert found.structure == "given"
    assert found.energy_eV_atom > 0.1  # EMT's simple cubic copper is far above fcc


@pytest.mark.parametrize(
    ("symbols", "structures", "message"),
    [
        (
            ["Li", "P", "S"],
            None,
            "no reference structure is known for P, S; give them: structures=",
        ),
        (["Se"], None, "no reference structure is known for Se"),
        ([], None, "no element was given"),
        (["Qq"], None, "unknown element(s) 'Qq'"),
        (["Cu"], {"Cu": Atoms("Au", cell=[3] * 3, pbc=True)}, "structure of Cu is Au"),
        (["Cu"], {"Cu": Atoms("Cu")}, "not periodic in three directions"),
        (["Li"], None, "StatelessEMT cannot do reference of Li (bcc)"),
    ],
)
def test_references_that_cannot_be(symbols: list, structures: dict, message: str) -> None:
    with pytest.raises(InputError) as refused:
        reference_energies(symbols, StatelessEMT(), structures)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_relaxation_that_does_not_end_is_no_reference() -> None:
    with pytest.raises(SimulationError, match=r"reference of Cu \(fcc\) did not relax in 2 steps"):
        reference_energies(["Cu"], StatelessEMT(), max_steps=2)


@pytest.mark.parametrize(
    ("energies", "composition", "message"),
    [
        ([], "Cu3Au", "expected one dimension"),
        ([np.nan], "Cu3Au", "all finite"),
        ([-1.0], "Cu3Xy", "unknown element"),
        ([-1.0], "Li3PS4", "no reference energy of Li, P, S"),
        ([-1.0], {"Cu": -1}, "amount of Cu in the composition is -1"),
        ([-1.0], {}, "composition is empty"),
    ],
)
def test_formation_energies_that_cannot_be(
    energies: list, composition: str | dict, message: str
) -> None:
    references = {"Cu": reference(0.0), "Au": reference(0.0)}
    with pytest.raises(InputError) as refused:
        formation_energy(energies, composition, references)
    assert message in str(refused.value)


def test_hulls_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    calculator = PerAtom(BINARY)
    with pytest.raises(InputError, match="a hull needs the elements too and Al is missing"):
        energy_above([0.0], "Al3Cu", {"Cu": PHASES["Cu"], "AlCu": PHASES["AlCu"]}, calculator)
    with pytest.raises(InputError, match="no crystal of Cu, Au alone"):
        energy_above([0.0], "CuAu", {"Al": PHASES["Al"]}, calculator)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"mlmd\[hull\]"):
        energy_above([0.0], "Al3Cu", PHASES, calculator)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
def test_error_of_ten_correlated_values_covers_the_truth(rho: float) -> None:
    """Mean +- its error covers the truth about as often as a normal variable's, 68 %."""
    rng, n_series = np.random.default_rng(11), 2000
    values = np.empty((n_series, 10))
    values[:, 0] = rng.normal(size=n_series)
    for i in range(1, 10):
        values[:, i] = rho * values[:, i - 1] + np.sqrt(1 - rho**2) * rng.normal(size=n_series)
    means = [short_series_mean(series) for series in values]
    covered = np.mean([abs(mean.mean) < mean.stderr for mean in means])
    naive = np.mean([abs(mean.mean) < mean.std / 10**0.5 for mean in means])
    assert 0.63 < covered < 0.78
    if rho == 0.6:
        assert naive < 0.40


def test_equal_values_have_no_error_and_one_has_none() -> None:
    assert short_series_mean([-1.1] * 10).stderr == 0.0
    assert short_series_mean([-1.1] * 10).mean == -1.1
    assert short_series_mean([-1.1]).stderr is None
