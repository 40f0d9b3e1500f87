"""The search for the equilibrium volume: against exact answers, to its bitter ends, interrupted."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from runs import edit_manifest
from scipy.optimize import brentq
from systems import ARGON

from mlmd import CalculatorSpec, EquilibrateVolume, Production, Protocol, Run
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.cli.app import run_command_line
from mlmd.dynamics.kinetics import kinetic_temperature_K
from mlmd.errors import InputError, StageFailedError, StoppedError
from mlmd.numerics.autocorrelation import standard_error
from mlmd.plot import plot_equation_of_state
from mlmd.protocol.settings import RunSettings
from mlmd.run.checkpoint import CheckpointStore
from mlmd.run.stopping import StopToken
from mlmd.stages.context import Progress
from mlmd.stages.volume.birch_murnaghan import fit_birch_murnaghan
from mlmd.stages.volume.result import VolumeResult
from mlmd.stages.volume.zero_pressure import fit_around_zero, zero_pressure

N_SIDE, V0_PER_ATOM, B_GPa, TEMPERATURE_K = 3, 12.0, 20.0, 300.0
N_ATOMS = N_SIDE**3
V0 = N_ATOMS * V0_PER_ATOM
GRID = np.stack(np.meshgrid(*[np.arange(N_SIDE) / N_SIDE] * 3), -1).reshape(-1, 3)


class Crystal(Calculator):
    """Atoms on springs in a cell with a Birch-Murnaghan energy, B0' = 4: every answer is known.

    The mean virial of the springs is -(N - 1) kT / V with the centre of mass at rest, so that the
    total pressure is the static one plus kT / V, and the virial one less by N kT / V.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(
        self, breaks_below_A3: float = 0.0, drift_eV: float = 0.0, zero_eV: float = 0.0
    ) -> None:
        super().__init__(breaks_below_A3=breaks_below_A3, drift_eV=drift_eV, zero_eV=zero_eV)
        self._breaks_below_A3, self._drift_eV = breaks_below_A3, drift_eV
        self._zero_eV = zero_eV
        self._calls = 0
        # Different frequencies: oscillators in step would have no temperature.
        self._springs = np.linspace(1.0, 4.0, N_ATOMS)[:, None]

    def calculate(
        self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        volume = self.atoms.get_volume()
        away = self.atoms.positions - GRID @ self.atoms.cell.array
        stress = -np.eye(3) * static_pressure_GPa(volume) * units.GPa
        stress += (self._springs * away).T @ away / volume
        energy = 1.125 * B_GPa * units.GPa * V0 * ((V0 / volume) ** (2 / 3) - 1) ** 2
        energy += 0.5 * float((self._springs * away**2).sum())
        self._calls += 1
        # Not in the check at the start, which would refuse it.
        energy += self._drift_eV * max(0, self._calls - 10) + self._zero_eV
        forces = -self._springs * away
        if volume < self._breaks_below_A3:
            forces = forces * np.nan
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": forces,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }


def static_pressure_GPa(volume_A3: float) -> float:
    x = (V0 / volume_A3) ** (1 / 3)
    return 1.5 * B_GPa * (x**7 - x**5)


def exact_volume_A3(pressure: str) -> float:
    """Volume at which the mean pressure is zero."""
    n = 1 if pressure == "total" else 1 - N_ATOMS
    kT_GPa_A3 = units.kB * TEMPERATURE_K / units.GPa
    return float(brentq(lambda V: static_pressure_GPa(V) + n * kT_GPa_A3 / V, 0.8 * V0, 1.2 * V0))


def crystal(scale: float = 1.05) -> Atoms:
    """The crystal at a multiple of its static volume."""
    edge = (scale * V0) ** (1 / 3)
    return Atoms(f"Cu{N_ATOMS}", scaled_positions=GRID, cell=[edge] * 3, pbc=True)


def search(**settings: Any) -> EquilibrateVolume:
    """A search that takes a second."""
    given: dict[str, Any] = {
        "name": "volume",
        "temperature_K": TEMPERATURE_K,
        "duration_ps": 3.0,
        "timestep_fs": 4.0,
        "record_every_fs": 20.0,
        "thermostat": "bussi",
        **settings,
    }
    return EquilibrateVolume(**given)


def then(*stages: Any) -> Protocol:
    return Protocol("search", stages)


PRODUCTION = Production(
    name="production",
    temperature_K=TEMPERATURE_K,
    duration_ps=1.0,
    timestep_fs=4.0,
    record_every_fs=8.0,
)
QUIET = Production(
    name="quiet", temperature_K=200.0, duration_ps=1.0, timestep_fs=4.0, record_every_fs=8.0
)


def result_of(run: Run) -> VolumeResult:
    return VolumeResult(**run.results["volume"])


def failed(protocol: Protocol, atoms: Atoms, calculator: Any, folder: Path, match: str) -> Run:
    """Run a protocol whose search is to fail."""
    with pytest.raises(StageFailedError, match=match):
        protocol.run(atoms, calculator, folder, seed=1)
    return Run.open(folder)


def table(run: Run) -> list[dict[str, str]]:
    with (run.path / "01-volume" / "volumes.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """The crystal's volume by both conventions, and a production after it."""
    runs = {}
    for pressure in ("total", "virial"):
        protocol = then(search(pressure=pressure, duration_ps=9.0), PRODUCTION)
        folder = tmp_path_factory.mktemp("volume") / pressure
        runs[pressure] = protocol.run(crystal(), Crystal(), folder, seed=3)
    return runs


@pytest.mark.parametrize("pressure", ["total", "virial"])
def test_the_volume_of_a_crystal_is_the_exact_one(found: dict[str, Run], pressure: str) -> None:
    result = result_of(found[pressure])
    exact = exact_volume_A3(pressure)
    assert (result.status, result.pressure_convention) == ("converged", pressure)
    assert abs(result.volume_A3 - exact) < 3 * result.volume_stderr_A3
    assert result.volume_stderr_A3 < 0.005 * V0
    assert result.volume_per_atom_A3 == pytest.approx(result.volume_A3 / N_ATOMS)
    assert abs(result.bulk_modulus_GPa - B_GPa) < 0.15 * B_GPa
    assert abs(result.pressure_GPa) < 0.025 * B_GPa
    assert result.pressure_stderr_GPa < 0.0125 * B_GPa
    assert abs(result.energy_drift_eV_ps) <= 2 * result.energy_drift_stderr_eV_ps
    assert result.temperature_K == pytest.approx(TEMPERATURE_K, rel=0.1)


def test_conventions_differ_by_the_kinetic_pressure(found: dict[str, Run]) -> None:
    flags = {pressure: run.stages[0].flags for pressure, run in found.items()}
    assert flags == {"total": [], "virial": ["virial_pressure_volume"]}
    total, virial = (result_of(found[pressure]) for pressure in ("total", "virial"))
    expected = N_ATOMS * units.kB * TEMPERATURE_K / (B_GPa * units.GPa)
    error = np.hypot(total.volume_stderr_A3, virial.volume_stderr_A3)
    assert abs(total.volume_A3 - virial.volume_A3 - expected) < 3 * error + 0.05 * expected


def test_later_stages_start_from_the_verification_run(found: dict[str, Run]) -> None:
    run = found["total"]
    result = result_of(run)
    last = result.points[-1]["run"]
    end = CheckpointStore(run.path / "01-volume" / last).load()
    kept = CheckpointStore(run.path / "01-volume").load()
    assert end is not None
    assert kept is not None
    assert kept["nsteps"] == result.n_steps
    for name in ("cell", "positions", "momenta"):
        assert kept[name].tobytes() == end[name].tobytes()
    production = run.trajectory("production")
    assert np.linalg.det(production.cell_A) == pytest.approx(result.cell_volume_A3)
    assert np.allclose(production.positions_A[0], end["positions"], atol=1e-5)
    steps = sum(point["duration_ps"] for point in result.points) * 250
    assert result.n_steps == pytest.approx(steps)


def test_table_has_every_run_with_units(found: dict[str, Run]) -> None:
    result, rows = result_of(found["total"]), table(found["total"])
    assert [row["run"] for row in rows] == [point["run"] for point in result.points]
    assert [row["run"] for row in rows][:3] == ["volume-0.800", "volume-1.000", "volume-1.200"]
    for row, point in zip(rows, result.points, strict=True):
        assert float(row["volume_A3"]) == pytest.approx(point["volume_A3"], rel=1e-5)
        assert float(row["pressure_GPa"]) == pytest.approx(point["pressure_GPa"], rel=1e-5)
        assert float(row["pressure_stderr_GPa"]) == pytest.approx(point["stderr_GPa"], rel=1e-5)
        assert row["error"] == ""


def test_scan_runs_are_independent_and_scaled(found: dict[str, Run]) -> None:
    folder = found["total"].path / "01-volume"
    first = []
    for name in ("volume-0.800", "volume-1.000", "volume-1.200"):
        with h5py.File(folder / name / "trajectory.h5md", "r", locking=False) as file:
            particles = file["particles/trajectory"]
            first.append(particles["position/value"][0] / particles["box/edges/value"][0, 0, 0])
            speeds = file["observables/temperature/value"][:20]
        first[-1] = (first[-1], speeds)
    assert np.allclose(first[0][0], first[1][0], atol=1e-6)
    assert np.allclose(first[0][0], first[2][0], atol=1e-6)
    assert abs(np.corrcoef(first[0][1], first[1][1])[0, 1]) < 1 - 1e-6


def test_verification_goes_on_until_its_error_is_small(tmp_path: Path) -> None:
    strict = search(pressure_tolerance=0.0006, max_duration_factor=8.0, max_runs=8)
    run = then(strict).run(crystal(), Crystal(), tmp_path / "run", seed=3)
    result = result_of(run)
    durations = [point["duration_ps"] for point in result.points]
    assert durations[:3] == pytest.approx([3.0] * 3)
    assert max(durations[3:]) > 3.0
    verified = result.points[int(np.argmax(durations))]  # the cell may move by a short run after it
    assert verified["stderr_GPa"] / result.bulk_modulus_GPa < 0.0006 / 2 * 1.1
    with h5py.File(
        run.path / "01-volume" / verified["run"] / "trajectory.h5md", "r", locking=False
    ) as file:
        times = file["particles/trajectory/position/time"][:]
    assert times[-1] / 1000 == pytest.approx(max(durations))
    assert np.allclose(np.diff(times), 20.0)


class StopWhen:
    """Asks for a stop in the n-th sub-run that comes up, at a step."""

    def __init__(self, number: int, step: int) -> None:
        self.token, self._number, self._step = StopToken(), number, step
        self._seen: list[str] = []

    def __call__(self, progress: Progress) -> None:
        if progress.stage not in self._seen:
            self._seen.append(progress.stage)
        if len(self._seen) == self._number and progress.step >= self._step:
            self.token.stop("asked")


def everything(run: Run) -> dict[str, bytes]:
    """Every dataset of every trajectory, and the stage's own checkpoint."""
    data: dict[str, bytes] = {}
    for path in sorted(run.path.rglob("trajectory.h5md")):
        where = str(path.parent.relative_to(run.path))
        with h5py.File(path, "r", locking=False) as file:

            def keep(name: str, item: object, where: str = where) -> None:
                if isinstance(item, h5py.Dataset):
                    data[f"{where}/{name}"] = item[()].tobytes()

            file.visititems(keep)
    state = CheckpointStore(run.path / "01-volume").load() or {}
    for name in ("cell", "positions", "momenta"):
        data[name] = state[name].tobytes()
    data["table"] = (run.path / "01-volume" / "volumes.csv").read_bytes()
    return data


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search with a lengthened verification run, uninterrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return then(STRICT, PRODUCTION).run(crystal(), Crystal(), folder, seed=3)


STRICT = search(pressure_tolerance=0.0006, max_duration_factor=8.0, thermostat="nose_hoover")


@pytest.mark.parametrize(
    ("number", "step"),
    [(1, 100), (2, 0), (2, 749), (3, 750), (4, 300), (4, 750), (0, 800), (0, 1400)],
)
def test_interrupted_search_gives_the_same_bits(
    tmp_path: Path, whole: Run, number: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlmd.stages.context.REPORT_INTERVAL_S", 0.0)
    lengthened = [point["duration_ps"] > 3.0 for point in result_of(whole).points].index(True)
    stop = StopWhen(number or lengthened + 1, step)
    with pytest.raises(StoppedError, match="asked"):
        then(STRICT, PRODUCTION).run(
            crystal(),
            Crystal(),
            tmp_path / "run",
            seed=3,
            progress=stop,
            stop=stop.token,
            settings=RunSettings(checkpoint_every_s=1e-9) if step == 100 else None,
        )
    assert Run.open(tmp_path / "run").manifest.stage("volume").status == "stopped"
    run = then(STRICT, PRODUCTION).run(crystal(), Crystal(), tmp_path / "run", seed=3)
    assert run.results == whole.results
    assert everything(run) == everything(whole)


def test_lost_checkpoint_of_the_stage_is_made_again(tmp_path: Path) -> None:
    protocol = then(search(), PRODUCTION)
    stop = StopWhen(5, 0)
    with pytest.raises(StoppedError):
        protocol.run(crystal(), Crystal(), tmp_path / "run", seed=3, progress=stop, stop=stop.token)
    before = CheckpointStore(tmp_path / "run" / "01-volume").load()
    assert before is not None
    for path in (tmp_path / "run" / "01-volume").glob("checkpoint*.npz"):
        path.unlink()
    run = protocol.run(crystal(), Crystal(), tmp_path / "run", seed=3)
    after = CheckpointStore(tmp_path / "run" / "01-volume").load()
    assert after is not None
    assert after["positions"].tobytes() == before["positions"].tobytes()
    assert run.status == "done"


def hot_argon(volume_per_atom_A3: float = 60.0) -> Atoms:
    edge = (N_ATOMS * volume_per_atom_A3) ** (1 / 3)
    return Atoms(f"Ar{N_ATOMS}", scaled_positions=GRID, cell=[edge] * 3, pbc=True)


@pytest.fixture(scope="module")
def boiling(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Argon at ten times its boiling point."""
    stage = search(temperature_K=900.0, on_unconverged="accept")
    folder = tmp_path_factory.mktemp("boiling") / "run"
    calculator = LennardJones(**ARGON, cutoff_A=5.2)
    return failed(
        then(stage, PRODUCTION), hot_argon(), calculator, folder, "no_equilibrium_volume.*volumes"
    )


def test_a_gas_has_no_equilibrium_volume(boiling: Run) -> None:
    entry = boiling.manifest.stage("volume")
    assert (boiling.status, entry.status) == ("failed", "failed")
    assert entry.error is not None
    assert "\n" not in entry.error
    assert "volumes.csv" in entry.error
    assert "--plot" in entry.error
    result = VolumeResult(**entry.result)
    assert result.status == "no_equilibrium_volume"
    assert "does not change its sign" in result.reason
    assert (result.volume_A3, result.cell_volume_A3, result.pressure_GPa) == (None, None, None)
    assert result.points[-1]["scale"] == pytest.approx(2.5)
    assert all(point["pressure_GPa"] > 5 * point["stderr_GPa"] for point in result.points)
    assert len(table(boiling)) == result.n_runs == len(result.points)
    assert boiling.manifest.stage("production").result is None
    assert not (boiling.path / "02-production").exists()


def test_failed_search_fails_again_without_a_step(boiling: Run) -> None:
    """The same command finds the finished runs and says the same."""
    before = {path: path.stat().st_mtime_ns for path in boiling.path.rglob("trajectory.h5md")}
    stage = search(temperature_K=900.0, on_unconverged="accept")
    calculator = LennardJones(**ARGON, cutoff_A=5.2)
    again = failed(
        then(stage, PRODUCTION), hot_argon(), calculator, boiling.path, "no_equilibrium_volume"
    )
    assert again.manifest.stage("volume").result == boiling.manifest.stage("volume").result
    assert len(before) == len(list(boiling.path.rglob("trajectory.h5md")))


def test_analyze_plots_a_failed_search(
    boiling: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["analyze", str(boiling.path), "--plot", str(tmp_path / "p")]) == 0
    assert (tmp_path / "p" / "volume-volume.png").stat().st_size > 5000
    assert "volume-volume.png" in capsys.readouterr().out
    assert run_command_line(["analyze", str(boiling.path)]) != 0


HOPELESS: dict[str, Any] = {
    "pressure_tolerance": 1e-5,
    "max_runs": 5,
    "max_duration_factor": 1.0,
    "duration_ps": 2.0,
}


def test_unconverged_search_stops_the_run(tmp_path: Path) -> None:
    run = failed(
        then(search(**HOPELESS), PRODUCTION),
        crystal(),
        Crystal(),
        tmp_path / "run",
        "unconverged: after 5 runs: P = ",
    )
    result = result_of(run)
    assert (result.status, result.n_runs, len(table(run))) == ("unconverged", 5, 5)
    assert result.volume_A3 == pytest.approx(V0, rel=0.01)
    assert not (run.path / "02-production").exists()
    assert run.manifest.stage("volume").flags == []


def test_accepted_volume_flags_everything_that_descends_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Production(
        name="before", temperature_K=300.0, duration_ps=1.0, timestep_fs=4.0, record_every_fs=8.0
    )
    aside = Production(
        name="aside",
        starts_from="before",
        temperature_K=300.0,
        duration_ps=1.0,
        timestep_fs=4.0,
        record_every_fs=8.0,
    )
    accepting = search(on_unconverged="accept", **HOPELESS)
    protocol = then(before, accepting, PRODUCTION, QUIET, aside)
    run = protocol.run(crystal(), Crystal(), tmp_path / "run", seed=1)
    flags = {entry.name: entry.flags for entry in run.stages}
    carried = ["unconverged_volume"]
    assert flags == {
        "before": [],
        "volume": carried,
        "production": carried,
        "quiet": carried,
        "aside": [],
    }
    result = result_of(run)
    assert result.status == "unconverged"
    cell = run.trajectory("production").cell_A
    assert np.linalg.det(cell) == pytest.approx(result.cell_volume_A3)
    assert run_command_line(["status", str(run.path)]) == 0
    assert capsys.readouterr().out.count("unconverged_volume") >= 3
    window = ["--window-ps", "0.5", "--fit-ps", "0.1", "0.5"]
    assert run_command_line(["analyze", str(run.path), *window, "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert {name: stage.get("flags", []) for name, stage in stages.items()} == {
        name: flags[name] for name in stages
    }
    assert run_command_line(["analyze", str(run.path), *window]) == 0
    assert "UNCONVERGED_VOLUME" in capsys.readouterr().out


def test_manifest_from_before_flags_is_readable(found: dict[str, Run], tmp_path: Path) -> None:
    shutil.copy(found["total"].path / "run.json", tmp_path)
    edit_manifest(tmp_path, lambda run: [entry.pop("flags") for entry in run["stages"]])
    assert [entry.flags for entry in Run.open(tmp_path).stages] == [[], []]


def test_a_run_that_breaks_is_a_point_with_its_error(tmp_path: Path) -> None:
    """Too dense at 0.8; the others bracket P = 0 all the same."""
    calculator = Crystal(breaks_below_A3=0.9 * V0)
    run = then(search()).run(crystal(0.95), calculator, tmp_path / "run", seed=1)
    result = result_of(run)
    assert result.status == "converged"
    assert result.volume_A3 == pytest.approx(V0, rel=0.01)
    broken = result.points[0]
    assert "not finite" in broken["error"]
    assert broken["pressure_GPa"] is None
    assert "not finite" in table(run)[0]["error"]
    axes = plot_equation_of_state(result)
    assert "run failed" in axes.get_legend_handles_labels()[1]


def test_a_search_into_volumes_that_break_says_so(tmp_path: Path) -> None:
    calculator = Crystal(breaks_below_A3=1.1 * V0)
    stage = search(scales=[1.0, 1.2], max_runs=8)
    run = failed(
        then(stage), crystal(1.2), calculator, tmp_path / "run", "unconverged.*failed.*not finite"
    )
    points = result_of(run).points
    errors = [point["scale"] for point in points if point["error"]]
    assert errors == sorted(errors)  # each attempt nearer to what works
    assert len(errors) >= 2


def test_nothing_works(tmp_path: Path) -> None:
    broken = Crystal(breaks_below_A3=1.0)
    broken._breaks_below_A3 = 10 * V0
    with pytest.raises(InputError, match="not finite"):
        then(search()).run(crystal(), broken, tmp_path / "first")
    only_at_start = Crystal(breaks_below_A3=1.0)
    only_at_start.calculate = lambda *a, **k: _broken(only_at_start, *a, **k)  # type: ignore[method-assign]
    run = failed(
        then(search(scales=[0.9, 1.1])),
        crystal(),
        only_at_start,
        tmp_path / "run",
        "no run gave a pressure",
    )
    assert result_of(run).status == "unconverged"


def _broken(calculator: Crystal, *arguments: Any, **more: Any) -> None:
    """Fail wherever the volume is not that of the start."""
    Crystal.calculate(calculator, *arguments, **more)
    if abs(calculator.atoms.get_volume() / V0 - 1.05) > 1e-6:
        calculator.results["forces"] = np.full((N_ATOMS, 3), np.nan)


def test_energy_drift_is_seen(tmp_path: Path) -> None:
    """An energy that falls with every call: the pressure alone would be content."""
    stage = search(max_duration_factor=2.0, max_runs=5)
    run = failed(then(stage), crystal(), Crystal(drift_eV=-0.01), tmp_path / "run", "energy drift")
    result = result_of(run)
    assert abs(result.pressure_GPa) < 0.025 * B_GPa
    assert result.energy_drift_eV_ps == pytest.approx(-0.01 * 250, rel=0.2)
    assert result.points[-1]["duration_ps"] == pytest.approx(6.0)


def test_published_criteria(tmp_path: Path) -> None:
    stage = search(convergence="mpmorph", max_duration_factor=4.0)
    run = then(stage).run(crystal(), Crystal(zero_eV=-300.0), tmp_path / "run", seed=1)
    result = result_of(run)
    assert result.criteria["convergence"] == "mpmorph"
    assert abs(result.pressure_GPa) < 0.5
    assert "halves" in result.reason
    assert {point["duration_ps"] for point in result.points} == {3.0}
    assert {point["n_discarded"] for point in result.points} == {75}
    # The same physics with another zero of energy does not converge.
    stage = search(convergence="mpmorph", max_runs=5)
    failed(then(stage), crystal(), Crystal(), tmp_path / "zero", "differ by 0.0[1-9]")


def test_free_B0_prime_takes_five_volumes(tmp_path: Path) -> None:
    stage = search(B0_prime=None, scales=[0.85, 0.95, 1.05, 1.15])
    run = then(stage).run(crystal(), Crystal(), tmp_path / "run", seed=1)
    result = result_of(run)
    assert len(result.points) >= 5
    assert result.volume_A3 == pytest.approx(V0, rel=0.01)


def test_a_calculator_without_stress_is_refused(tmp_path: Path) -> None:
    calculator = Crystal()
    calculator.implemented_properties = ["energy", "free_energy", "forces"]
    with pytest.raises(InputError, match="needs stress to find the volume of zero pressure"):
        then(search()).run(crystal(), calculator, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature_K", 0),
        ("duration_ps", 0.1),
        ("duration_ps", 3.001),
        ("thermostat", "berendsen"),
        ("scales", [1.0]),
        ("scales", [1.0, 1.0]),
        ("scales", [0.8, 3.0]),
        ("scales", 1.0),
        ("scales", ["a", "b"]),
        ("pressure", "kinetic"),
        ("B0_prime", "free"),
        ("B0_prime", None),
        ("convergence", "vasp"),
        ("pressure_tolerance", 0),
        ("energy_drift_stderrs", -1),
        ("max_runs", 3),
        ("max_runs", 6.0),
        ("max_duration_factor", 0.5),
        ("max_scale", 1.0),
        ("on_unconverged", "ignore"),
    ],
)
def test_settings_are_checked(field: str, value: object) -> None:
    with pytest.raises(InputError, match="stage 'volume': ") as refused:
        search(**{field: value})
    assert "\n" not in str(refused.value)


def test_stage_is_plain_data() -> None:
    content = {"name": "v", "class": "EquilibrateVolume", "temperature_K": 900, "scales": [1, 1.2]}
    protocol = Protocol.from_dict({"schema": 1, "name": "p", "stages": [content]})
    stage = protocol.stages[0]
    assert isinstance(stage, EquilibrateVolume)
    assert stage.scales == (1.0, 1.2)
    assert stage.to_dict()["scales"] == [1.0, 1.2]
    assert Protocol.from_dict(protocol.to_dict()) == protocol
    assert protocol.with_settings({"v.scales": [0.9, 1.1]}).stages[0].to_dict()["scales"][0] == 0.9


def test_distant_points_do_not_decide_where_zero_is() -> None:
    volumes = np.array([0.7, 0.8, 0.97, 1.02, 1.2])
    soft = -20.0 * np.log(volumes)  # B0' = 0: none of the points lies on a curve of B0' = 4
    errors = [0.02] * 5
    zero = zero_pressure(volumes, soft, errors)
    assert zero is not None
    assert abs(zero.V0_A3 - 1.0) < 2 * zero.V0_stderr_A3
    assert zero.V0_stderr_A3 < 0.003
    assert abs(zero.B0_GPa - 20.0) < 2 * zero.B0_stderr_GPa
    plain = fit_birch_murnaghan(volumes, soft, errors)
    assert abs(plain.V0_A3 - 1.0) > 5 * abs(zero.V0_A3 - 1.0)
    assert plain.chi2 > 100


def test_noise_between_neighbours_is_no_slope() -> None:
    close = np.array([0.9, 0.999, 1.001, 1.1])
    noisy = -20.0 * np.log(close) + np.array([0.0, 0.1, -0.1, 0.0])
    zero = zero_pressure(close, noisy, [0.04] * 4)
    assert zero is not None
    assert abs(zero.B0_GPa - 20.0) < 2 * zero.B0_stderr_GPa < 10.0


def test_volume_and_its_error_are_calibrated() -> None:
    """Noise as given, B0' drawn as it is admitted: z has unit width."""
    rng = np.random.default_rng(11)
    volumes, errors = np.array([0.82, 0.95, 1.0, 1.03, 1.18]), np.full(5, 0.05)
    z = []
    for _ in range(300):
        x = volumes ** (-1 / 3)
        prime = rng.normal(4.0, 2.0)
        pressures = 30.0 * (x**7 - x**5) * (1 + 0.75 * (prime - 4.0) * (x**2 - 1))
        zero = zero_pressure(volumes, pressures + rng.normal(0, errors), errors)
        assert zero is not None
        z.append((zero.V0_A3 - 1.0) / zero.V0_stderr_A3)
    assert abs(np.mean(z)) < 0.25
    assert 0.7 < np.std(z) < 1.15


def test_without_a_bracket_there_is_no_volume() -> None:
    volumes = np.array([0.7, 0.8, 0.9])
    assert zero_pressure(volumes, -20.0 * np.log(volumes), [0.02] * 3) is None
    fit = fit_around_zero(volumes, -20.0 * np.log(volumes), [0.02] * 3)
    assert not fit.is_bracketed


def test_plot_shows_what_was_measured(found: dict[str, Run]) -> None:
    result = result_of(found["total"])
    axes = plot_equation_of_state(result)
    labels = axes.get_legend_handles_labels()[1]
    assert any("V_0" in label for label in labels)
    assert any("Birch-Murnaghan" in label for label in labels)
    assert {"runs", "verification run"} <= set(labels)
    low, high = axes.get_xlim()
    assert all(low < point["volume_A3"] < high for point in result.points)
    with pytest.raises(InputError, match="no runs"):
        plot_equation_of_state(VolumeResult(**{**vars(result), "points": []}))


@pytest.mark.slow
def test_copper_against_its_static_equation_of_state(tmp_path: Path) -> None:
    from mlmd.calculators.models.emt import StatelessEMT

    temperature_K = 30.0
    volumes, pressures = [], []
    for edge in np.linspace(3.45, 3.75, 9):
        atoms = bulk("Cu", "fcc", a=edge, cubic=True)
        atoms.calc = StatelessEMT()
        volumes.append(8 * atoms.get_volume())
        pressures.append(-atoms.get_stress()[:3].mean() / units.GPa)
    static = fit_birch_murnaghan(volumes, pressures, B0_prime=None)
    stage = search(
        temperature_K=temperature_K,
        duration_ps=2.0,
        timestep_fs=5.0,
        record_every_fs=10.0,
        scales=[0.94, 1.0, 1.06],
    )
    atoms = bulk("Cu", "fcc", a=3.65, cubic=True) * (2, 2, 2)
    run = then(stage).run(atoms, CalculatorSpec("emt"), tmp_path / "run", seed=2)
    result = result_of(run)
    assert result.status == "converged"
    assert result.bulk_modulus_GPa == pytest.approx(static.B0_GPa, rel=0.06)
    # Classical thermal expansion, gamma 3 N kT / (B V) with Grueneisen's gamma of 2 +- 0.5.
    heat = 3 * 32 * units.kB * temperature_K / (static.B0_GPa * units.GPa)
    error = np.hypot(3 * result.volume_stderr_A3, 0.5 * heat)
    assert abs(result.volume_A3 - static.V0_A3 - 2.0 * heat) < error
    assert error < 0.002 * static.V0_A3


LJ_SOLID_K = 40.0
LJ_SOLID = {**ARGON, "cutoff_A": 7.3}


def solid_argon() -> Atoms:
    return bulk("Ar", "fcc", a=5.6, cubic=True) * (3, 3, 3)


@pytest.fixture(scope="module")
def solid(tmp_path_factory: pytest.TempPathFactory) -> dict[str, VolumeResult]:
    """The volume of solid argon by both conventions."""
    results = {}
    for pressure in ("total", "virial"):
        stage = search(
            temperature_K=LJ_SOLID_K,
            duration_ps=16.0,
            timestep_fs=8.0,
            record_every_fs=40.0,
            scales=[0.88, 0.93, 0.98],
            pressure=pressure,
        )
        folder = tmp_path_factory.mktemp("solid") / pressure
        run = then(stage).run(solid_argon(), CalculatorSpec("lj", options=LJ_SOLID), folder, seed=4)
        results[pressure] = result_of(run)
    return results


@pytest.mark.slow
def test_solid_argon_against_long_npt(solid: dict[str, VolumeResult]) -> None:
    from mlmd.dynamics.kinetics import draw_momenta
    from mlmd.dynamics.npt import IsotropicNPT

    atoms = solid_argon()
    atoms.set_cell(0.975 * atoms.cell.array, scale_atoms=True)
    atoms.calc = LennardJones(**LJ_SOLID)
    draw_momenta(atoms, LJ_SOLID_K, np.random.default_rng(7))
    dynamics = IsotropicNPT(
        atoms,
        timestep_fs=8.0,
        temperature_K=LJ_SOLID_K,
        thermostat_time_fs=200.0,
        barostat_time_fs=1000.0,
    )
    volumes: list[float] = []
    dynamics.attach(lambda: volumes.append(atoms.get_volume()), interval=5)
    dynamics.run(20_000)
    npt = standard_error(volumes[400:])
    result = solid["total"]
    assert npt.stderr is not None
    error = np.hypot(npt.stderr, result.volume_stderr_A3)
    assert error < 0.003 * npt.mean
    assert abs(result.volume_A3 - npt.mean) < 3 * error


@pytest.mark.slow
def test_solid_argon_is_smaller_without_its_kinetic_pressure(
    solid: dict[str, VolumeResult],
) -> None:
    total, virial = solid["total"], solid["virial"]
    modulus = 0.5 * (total.bulk_modulus_GPa + virial.bulk_modulus_GPa) * units.GPa
    expected = 108 * units.kB * LJ_SOLID_K / modulus
    error = np.hypot(total.volume_stderr_A3, virial.volume_stderr_A3)
    difference = total.volume_A3 - virial.volume_A3
    assert difference > 3 * error
    assert abs(difference - expected) < 3 * error + 0.25 * expected


def test_another_run_starts_at_the_volume_that_was_found(found: dict[str, Run]) -> None:
    run = found["total"]
    end = run.end_of("volume")
    assert "flags" not in end.info["started_from"]
    doubted = found["virial"].end_of("volume").info["started_from"]
    assert doubted["flags"] == ["virial_pressure_volume"]
    first = run.trajectory("production")  # which went on from there too
    assert end.cell.array == pytest.approx(first.cells_A()[0], rel=1e-12)
    assert end.get_volume() == pytest.approx(result_of(run).volume_A3, rel=1e-3)
    assert end.positions == pytest.approx(first.positions_A[0], abs=2e-6)
    assert kinetic_temperature_K(end) == pytest.approx(first.temperatures_K[0], rel=1e-9)
