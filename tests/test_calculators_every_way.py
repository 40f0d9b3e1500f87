"""Every engine, by every way in which one can be run, gives the same motion.

Here and in another interpreter, in a pool of processes and in threads, as a spec and as an object.
The engines are those of the list: one that is added must be added here.
"""

from __future__ import annotations

import multiprocessing
import os
import shlex
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from ase import Atoms
from ase.build import bulk
from test_calculators_espresso import HEADER
from test_calculators_vasp import write_potcar

from mlmd import CalculatorSpec, Production, Protocol, Run
from mlmd.calculators.known import KNOWN
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.calculators.weights import cache_folder

SHORT = Protocol(
    "short",
    (
        Production(
            name="motion", temperature_K=600.0, duration_ps=0.008, timestep_fs=2.0,
            record_every_fs=4.0,
        ),
    ),
)  # fmt: skip
STAND_INS = Path(__file__).parent / "stand_ins"
SLOW = ("chgnet", "m3gnet", "mace", "sevennet")  # torch is imported in every process


def make_own(cutoff_A: float) -> LennardJones:
    """Return what a user's own factory does: numbers of kinds that others do not give."""
    return _Odd(cutoff_A=cutoff_A)


class _Odd(LennardJones):
    def calculate(self, *arguments, **keywords):
        super().calculate(*arguments, **keywords)
        for name in ("energy", "free_energy"):
            self.results[name] = np.array(self.results[name], dtype=np.float32)
        self.results["forces"] = self.results["forces"].astype(np.float32)
        self.results["magmoms"] = np.zeros(len(self.atoms), dtype=np.float32)


def salt() -> Atoms:
    atoms = bulk("LiCl", "rocksalt", 5.13, cubic=True)
    atoms.rattle(0.05, seed=3)
    return atoms


def command(name: str) -> str:
    return shlex.join([sys.executable, str(STAND_INS / name)])


@dataclass
class Engine:
    """What a spec of it needs, and a structure that it can do."""

    options: dict[str, object] = field(default_factory=dict)
    model: Path | None = None
    atoms: Atoms = field(default_factory=salt)
    variables: dict[str, str] = field(default_factory=dict)


def emt(folder: Path) -> Engine:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=3)
    return Engine(atoms=atoms)


def m3gnet(folder: Path) -> Engine:
    pytest.importorskip("matgl")
    return Engine(model=tiny_models.m3gnet(folder / "tiny"))


def mace(folder: Path) -> Engine:
    given = os.environ.get("MLMD_TEST_MACE_PYTHON")
    python = Path(given) if given else cache_folder() / "environments/mace/bin/python"
    if not python.is_file():
        pytest.skip("needs an environment with MACE")
    return Engine(model=tiny_models.mace(folder / "tiny.model", str(python)))


def siesta(folder: Path) -> Engine:
    for symbol in ("Li", "Cl"):
        (folder / f"{symbol}.psml").write_text(f"<psml> of {symbol}\n")
    options = {"command": command("siesta"), "pseudopotentials": str(folder)}
    return Engine(options, atoms=salt() * (2, 2, 2))


def vasp(folder: Path) -> Engine:
    for setup in ("Li_sv", "Cl"):
        write_potcar(folder / "potpaw_PBE", setup)
    options: dict[str, object] = {"command": command("vasp")}
    return Engine(options, atoms=salt() * (2, 2, 2), variables={"VASP_PP_PATH": str(folder)})


def espresso(folder: Path) -> Engine:
    for file in ("Li.pbe.UPF", "Cl.pbe.UPF"):
        (folder / file).write_text(HEADER.format("F"))
    options = {"command": command("pw_standin.py"), "pseudopotentials": str(folder)}
    return Engine({**options, "ecutwfc_Ry": 30})


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "chgnet": lambda folder: pytest.importorskip("chgnet") and Engine(),
    "cp2k": lambda folder: Engine({"command": command("cp2k_shell_standin.py")}),
    "emt": emt,
    "espresso": espresso,
    "lj": lambda folder: Engine({"cutoff_A": 2.5}),
    "m3gnet": m3gnet,
    "mace": mace,
    "sevennet": lambda folder: pytest.importorskip("sevenn") and Engine(),
    "siesta": siesta,
    "test_calculators_every_way:make_own": lambda folder: Engine({"cutoff_A": 2.5}),
    "vasp": vasp,
}


@pytest.fixture(scope="module")
def engine(request, tmp_path_factory):
    """The spec of an engine, a structure, and the motion of a run in this process."""
    name, folder = request.param, tmp_path_factory.mktemp("engine")
    found = ENGINES[name](folder)
    spec = CalculatorSpec(
        name,
        model=None if found.model is None else str(found.model),
        device="cpu",
        options=found.options,
        timeout_s=300.0,
        trust=name == "mace",  # which saves whole models
    )
    with pytest.MonkeyPatch.context() as patch:
        # Stand-ins, workers and pools find mlmd and the modules beside this one, and nothing else:
        # the packages of this environment would be taken for those of another.
        root = Path(__file__).parents[1]
        places = (root, root / "tests", root / "examples" / "models")
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, places)))
        for variable, value in found.variables.items():
            patch.setenv(variable, value)
        plain = run(spec, found.atoms, folder / "plain")
        yield spec, found.atoms, Run.open(plain).trajectory("motion")


def run(spec: CalculatorSpec, atoms: Atoms, folder: Path) -> Path:
    """What a task of a pool is: a function of a module, and of data."""
    return SHORT.run(atoms, spec, folder, seed=5).path


def as_object(spec: CalculatorSpec, atoms: Atoms, folder: Path) -> list[Path]:
    calculator = spec.load(folder / "files")
    try:
        return [run(calculator, atoms, folder / "object")]
    finally:
        getattr(calculator, "close", lambda: None)()


def isolated(spec: CalculatorSpec, atoms: Atoms, folder: Path) -> list[Path]:
    return [run(replace(spec, python=sys.executable), atoms, folder / "isolated")]


def isolated_object(spec: CalculatorSpec, atoms: Atoms, folder: Path) -> list[Path]:
    return as_object(replace(spec, python=sys.executable), atoms, folder)


def in_a_pool(spec: CalculatorSpec, atoms: Atoms, folder: Path) -> list[Path]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return [pool.submit(run, spec, atoms, folder / "pool").result(300)]


def in_threads(spec: CalculatorSpec, atoms: Atoms, folder: Path) -> list[Path]:
    with ThreadPoolExecutor(2) as pool:
        places = [folder / "one", folder / "two"]
        return list(pool.map(lambda place: run(spec, atoms, place), places))


WAYS = {way.__name__: way for way in (as_object, isolated, isolated_object, in_a_pool, in_threads)}


def test_the_engines_are_those_of_the_list():
    assert set(ENGINES) == {*KNOWN, "test_calculators_every_way:make_own"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(
            name,
            marks=[pytest.mark.xdist_group(f"every-{name}"), *[pytest.mark.slow] * (name in SLOW)],
        )
        for name in ENGINES
    ],
    indirect=True,
)
def test_every_engine_moves_atoms_alike_by_every_way(engine, way, tmp_path):
    spec, atoms, expected = engine
    if spec.name == "mace" and way.startswith("isolated"):
        pytest.skip("mace is in an environment of its own by every way")
    assert np.abs(expected.positions_A[-1] - expected.positions_A[0]).max() > 1e-2
    for path in WAYS[way](spec, atoms, tmp_path):
        assert Run.open(path).status == "done"
        found = Run.open(path).trajectory("motion")
        # The other interpreter gets bohr, and programs start from electrons of their own.
        assert found.positions_A == pytest.approx(expected.positions_A, abs=2e-5)
        assert found.energies_eV == pytest.approx(expected.energies_eV, abs=2e-4)
        assert found.pressures_GPa == pytest.approx(expected.pressures_GPa, abs=2e-3, nan_ok=True)
        assert found.temperatures_K == pytest.approx(expected.temperatures_K, rel=1e-4)
