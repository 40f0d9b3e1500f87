"""Python files in the working directory are not taken for modules by what mlmd starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write

REPOSITORY = Path(__file__).parents[1]
MODULES = (
    *("abc", "ase", "bisect", "copy", "h5py", "heapq", "json", "logging", "multiprocessing"),
    *("numpy", "pandas", "pickle", "random", "scipy", "selectors", "signal", "socket", "ssl"),
    *("struct", "subprocess", "tempfile", "threading", "traceback", "typing", "venv", "pip"),
    *("sitecustomize", "usercustomize", "encodings", "warnings", "mlmd"),
)
MARK = """
import os
with open(os.environ["TAKEN"], "a") as file:
    file.write(__file__ + chr(10))
raise ImportError("taken from the working directory: " + __file__)
"""
FACTORY = """
from pathlib import Path
import helper_of_mine
def make():
    return helper_of_mine.make()
"""
HELPER = """
from mlmd.calculators.models.lennard_jones import LennardJones
def make():
    return LennardJones(cutoff_A=2.5)
"""
SCRIPT = "import sys\nfrom mlmd.cli.app import main\nif __name__ == '__main__':\n    main()\n"
MODULE = ("-m", "mlmd.cli")


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """Return a folder with a file or folder for each module that might be taken for it."""
    for i, name in enumerate(MODULES):
        if i % 2 and name != "mlmd":
            (tmp_path / f"{name}.py").write_text(MARK)
        else:
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text(MARK)
    (tmp_path / "my_potential.py").write_text(FACTORY)
    (tmp_path / "helper_of_mine.py").write_text(HELPER)
    for name in ("a", "b"):
        write(tmp_path / f"{name}.extxyz", bulk("Cu", cubic=True))
    return tmp_path


def start(folder: Path, *arguments: str, path: str = "", code: int = 0) -> str:
    """Run a process in a folder; return what it says, and see that it took nothing from there."""
    taken = folder / "taken"
    done = subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "TAKEN": str(taken), "PYTHONPATH": f"{path}{REPOSITORY}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not taken.exists(), taken.read_text()
    assert done.returncode == code, done.stderr
    return done.stdout


FEATURES = ("features", "a.extxyz", "b.extxyz", "--mobile", "Cu", "-j", "2", "--output", "f.csv")


@pytest.fixture
def script(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the command ``mlmd`` as pip makes it, in a folder of its own."""
    path = tmp_path_factory.mktemp("bin") / "mlmd"
    path.write_text(SCRIPT)
    return str(path)


@pytest.mark.parametrize("door", [(), pytest.param(MODULE, marks=pytest.mark.slow)])
def test_jobs_of_features(trapped: Path, script: str, door: tuple[str, ...]) -> None:
    if door is MODULE:  # Python itself takes the package from there
        (trapped / "mlmd" / "__init__.py").unlink()
        (trapped / "mlmd").rmdir()
        # and what mlmd's first page imports before any line of ours is run
        (trapped / "typing.py").unlink(missing_ok=True)
    start(trapped, sys.executable, *(door or (script,)), *FEATURES)
    assert len((trapped / "f.csv").read_text().splitlines()) == 4  # a comment, heads, two rows


@pytest.mark.parametrize(
    "empty",
    [os.pathsep, *(pytest.param(e, marks=pytest.mark.slow) for e in ("", f".{os.pathsep}"))],
)
def test_workers_of_calculators(trapped: Path, empty: str) -> None:
    """A model and a factory; an empty entry of PYTHONPATH means the working directory."""
    program = (
        "import os, sys\n"
        f"os.environ['PYTHONPATH'] = {empty!r} + os.environ['PYTHONPATH']\n"
        "from ase.build import bulk\n"
        "from mlmd import CalculatorSpec\n"
        "atoms = bulk('Cu', cubic=True) * 2\n"
        "lj, python = {'cutoff_A': 2.5}, sys.executable\n"
        "for spec in (CalculatorSpec('lj', options=lj, python=python),\n"
        "             CalculatorSpec('my_potential:make', python=python),\n"
        "             CalculatorSpec('my_potential:make')):\n"
        "    spec.physics(), spec.packages()\n"
        "    atoms.calc = spec.load()\n"
        "    atoms.get_forces()\n"
    )
    start(trapped, sys.executable, "-P", "-c", program)


def test_environments_are_made_by_a_python_that_takes_nothing_from_here(
    trapped: Path,
) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from mlmd.calculators.isolation.environments import _command\n"
        "_command([sys.executable, '-m', 'venv', '--help'], Path('log'))\n"
        "_command([sys.executable, '-m', 'pip', '--version'], Path('log'))\n"
    )
    start(trapped, sys.executable, "-P", "-c", program)


@pytest.mark.slow
@pytest.mark.parametrize("python", [(), ("--python", sys.executable)])
def test_a_run_with_a_calculator_of_the_working_directory(
    trapped: Path, script: str, python: tuple[str, ...]
) -> None:
    (trapped / "p.yaml").write_text(
        "schema: 1\nname: one\nstages:\n"
        "  - {name: relax, class: Relax, max_force_eV_A: 0.1, max_steps: 2}\n"
    )
    write(trapped / "big.extxyz", bulk("Cu", cubic=True) * 2)
    start(
        trapped,
        *(sys.executable, script, "run", "p.yaml", "--structure", "big.extxyz", "--out", "run"),
        *("--calculator", "my_potential:make", *python),
    )
    assert (trapped / "run" / "run.json").exists()


def test_an_installed_module_is_named_where_it_hides_ones_own(trapped: Path) -> None:
    program = (
        "from mlmd import CalculatorSpec\n"
        "try:\n    CalculatorSpec('random:make').load()\n"
        "except Exception as error:\n    print(error)\n"
    )
    said = start(trapped, sys.executable, "-P", "-c", program)
    assert "random.py) has no 'make'" in said
