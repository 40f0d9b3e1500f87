"""Options reach what they name: conductivity, pooling, other temperatures, atoms, frames."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from synthetic_motion import vibration

from mlmd import CalculatorSpec, Production, Protocol, Trajectory
from mlmd.analysis import charge_diffusivity, conductivity, diffusivity, summarize
from mlmd.cli.analyze_plots import plot_summary
from mlmd.cli.app import run_command_line
from mlmd.digits import TERMINAL, with_interval
from mlmd.errors import InputError

BOLTZMANN_EV_K = 8.617333e-5
EDGE_A = 40.0
NEUTRAL = {"Li": 1, "Cl": -1}


def positions(seed: int, D_cm2_s: dict[str, float], n: int = 12, frames: int = 500) -> np.ndarray:
    """Independent walkers with a small vibration, one frame each 0.1 ps; D of 0 stays."""
    rng = np.random.default_rng(seed)
    parts = []
    for D in D_cm2_s.values():
        step_A = np.sqrt(2.0 * D * 1e4 * 0.1)
        moved = np.cumsum(rng.normal(0, 1, (frames, n, 3)), axis=0) * step_A
        parts.append(moved + vibration(rng, frames, n, 0.1, width_A=0.1))
    start = rng.uniform(0, EDGE_A, (1, n * len(parts), 3))
    return start + np.concatenate(parts, axis=1)


def salt(seed: int, Li: float, Cl: float, **more) -> Trajectory:
    x = positions(seed, {"Li": Li, "Cl": Cl}, **more)
    numbers = np.array([3] * (x.shape[1] // 2) + [17] * (x.shape[1] // 2))
    return Trajectory(x, np.eye(3) * EDGE_A, numbers, np.arange(len(x)) * 100.0)


def file_of(path, trajectory: Trajectory) -> str:
    frames = [
        Atoms(numbers=trajectory.numbers, positions=at, cell=trajectory.cell_A, pbc=True)
        for at in trajectory.positions_A
    ]
    for frame in frames:
        frame.wrap()
    write(path, frames)
    return str(path)


def told(capsys, *words: str) -> dict:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert run_command_line([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=refuse)


def test_two_independent_ions_have_a_haven_ratio_of_one() -> None:
    """Whichever species is looked at: D of Cl is twice that of Li, and both carry the charge."""
    ratios, held = [], 0
    for seed in range(12):
        trajectory = salt(seed, 2e-5, 4e-5)
        stages = {"p": (trajectory, 1000.0)}
        asked = "Li" if seed % 2 else None
        stage = summarize(stages, species=asked, oxidation_states=NEUTRAL, drift="none").stages["p"]
        charge = stage.conductivity.charge
        assert charge.carriers.species == ("Li", "Cl")
        ratios.append(charge.tracer_D_raw_cm2_s / charge.D_raw_cm2_s)
        low, high = charge.haven_interval68
        held += low < 1.0 < high
    # One walker: D of the charge scatters by a quarter, the mean of twelve by 0.07.
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.25)
    assert 5 <= held <= 12


def test_a_framework_that_stays_is_no_carrier_unless_it_is_said() -> None:
    trajectory = salt(1, 4e-5, 0.0)
    charge = charge_diffusivity(trajectory, NEUTRAL, drift="none")
    assert charge.carriers.species == ("Li",)
    assert charge.left_out == ()
    with_all = charge_diffusivity(trajectory, NEUTRAL, ["Li", "Cl"], drift="none")
    assert with_all.carriers.species == ("Li", "Cl")
    assert with_all.haven_ratio is None  # Cl does not diffuse
    # The conductivity does not depend on who is called mobile.
    of_one, of_two = (
        conductivity(trajectory, NEUTRAL, mobile, temperature_K=900, drift="none", fit_ps=(1, 5))
        for mobile in (None, ["Li", "Cl"])
    )
    assert of_one.full_raw.S_cm == pytest.approx(of_two.full_raw.S_cm)
    both = charge_diffusivity(salt(2, 2e-5, 4e-5), NEUTRAL, "Li", drift="none")
    assert both.left_out == ("Cl",)
    assert "carriers_left_out" in {one.code for one in both.findings}


def test_charges_that_are_not_neutral_are_refused_in_one_line(tmp_path, capsys) -> None:
    path = file_of(tmp_path / "t.xyz", salt(1, 2e-5, 4e-5, frames=60))
    command = ["analyze", path, "--timestep-fs", "100", "--temperature-K", "900"]
    states = ["--oxidation-state", "Li=1", "--oxidation-state", "Cl=-2"]
    assert run_command_line([*command, *states]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert "12 Li of +1, 12 Cl of -2 add up to -12 e" in error
    for option in (["--carrier", "Li"], ["--reference", "framework"]):
        assert run_command_line([*command, *option]) == 2
        assert "give --oxidation-state as well" in capsys.readouterr().err


@pytest.mark.parametrize(
    "how",
    [
        {"estimator": "windowed", "window_ps": 10.0, "fit_ps": (0.5, 5.0)},
        {"estimator": "gls", "fit_ps": (1.0, 6.0)},
        {"estimator": "lag", "drift": "none"},
        {"drift": "none"},
    ],
)
def test_conductivity_is_measured_as_the_diffusivities_are(how) -> None:
    trajectory = salt(3, 2e-5, 4e-5)
    summary = summarize({"p": (trajectory, 1000.0)}, oxidation_states=NEUTRAL, **how)
    stage = summary.stages["p"]
    charge = stage.conductivity.charge
    for symbol, own in stage.species.items():
        assert charge.tracers[symbol].D_raw_cm2_s == own.D_raw_cm2_s
        assert charge.tracers[symbol].settings == own.settings
    assert charge.estimator == how.get("estimator", "gls")
    if "fit_ps" in how:
        assert charge.collective.settings.fit_ps == pytest.approx(how["fit_ps"], abs=0.11)
    assert charge.collective.settings.window_ps == how.get("window_ps")
    mean = np.mean([one.D_raw_cm2_s for one in stage.species.values()])
    assert charge.tracer_D_raw_cm2_s == pytest.approx(mean)
    known = charge.haven_interval68 is not None
    assert known == (how.get("estimator") != "lag")
    if not known:  # a ratio without an interval is none, on any face
        assert charge.haven_ratio is None
        assert charge.to_dict()["haven_ratio_raw"] is None
        said = {one.code for one in summary.findings}
        assert ("no_haven_ratio" if charge.is_diffusive else "no_conductivity") in said


def test_conductivity_stands_in_all_four_faces(tmp_path, capsys) -> None:
    x = positions(5, {"Li": 3e-5, "Cl": 3e-5}, n=8, frames=400)
    trajectory = Trajectory(x, np.eye(3) * EDGE_A, np.array([3] * 8 + [17] * 8),
                            np.arange(400) * 100.0)  # fmt: skip
    path = file_of(tmp_path / "t.xyz", trajectory)
    command = ["analyze", path, "--timestep-fs", "100", "--temperature-K", "1000", "--drift",
               "none", "--oxidation-state", "Li=1", "--oxidation-state", "Cl=-1"]  # fmt: skip
    (stage,) = told(capsys, *command)["stages"].values()
    charge = stage["conductivity"]["charge"]
    assert run_command_line(command) == 0
    out = capsys.readouterr().out
    haven = with_interval(charge["haven_ratio_raw"], charge["haven_interval68"], style=TERMINAL)
    assert f"Haven ratio {haven}" in out
    full = stage["conductivity"]["full_raw"]
    ends = [1000 * end for end in full["interval68_S_cm"]]
    assert f"{with_interval(full['mS_cm'], ends, style=TERMINAL)} mS/cm" in out


def test_several_files_with_their_temperatures_give_one_law(tmp_path, capsys) -> None:
    E_a, D0, paths, temperatures = 0.25, 8e-4, [], []
    for seed, T in enumerate((900, 1200, 1600, 1600)):
        D = D0 * np.exp(-E_a / (BOLTZMANN_EV_K * T))
        paths.append(file_of(tmp_path / f"{seed}.xyz", salt(seed, D, D, frames=200)))
        temperatures += ["--temperature-K", f"{T}"]
    command = ["analyze", *paths, *temperatures, "--timestep-fs", "100", "--drift", "none"]
    command += ["--extrapolate-K", "600", "--oxidation-state", "Li=1", "--oxidation-state", "Cl=-1"]
    content = told(capsys, *command)
    law = content["arrhenius"]["Li"]
    low, high = law["E_a_interval68_eV"]
    assert low - (high - low) < E_a < high + (high - low)
    (group,) = content["replicas"].values()  # the two at 1600 K are samples of the same
    assert group["temperature_K"] == 1600
    assert len(group["stages"]) == 2
    (further,) = content["extrapolations"]
    found, true = further["species"]["Li"], D0 * np.exp(-E_a / (BOLTZMANN_EV_K * 600))
    low, high = found["D_interval68_cm2_s"]
    assert low**2 / high < true < high**2 / low
    # sigma = n q^2 D / (V kB T) of 24 ions; the volume of the files.
    sigma = 24 * 1.602177e-19**2 * true / (EDGE_A**3 * 1e-24 * 1.380649e-23 * 600)
    low, high = further["nernst_einstein"]["interval68_S_cm"]
    assert low**2 / high < sigma < high**2 / low
    codes = [one["code"] for one in content["findings"]]
    assert codes.count("extrapolated") == 4  # D of two species, two conductivities
    assert run_command_line(command) == 0
    out = capsys.readouterr().out
    D = with_interval(found["D_cm2_s"], found["D_interval68_cm2_s"], style=TERMINAL)
    assert f"D = {D} cm2/s" in out
    assert "D of Li at 600 K is extrapolated from 900 to 1600 K" in out
    assert run_command_line(["analyze", *paths, *temperatures[:4], "--timestep-fs", "100"]) == 2
    assert "2 times for 4 path(s)" in capsys.readouterr().err


def test_chosen_atoms_are_measured_with_the_drift_of_all(tmp_path, capsys) -> None:
    x = positions(7, {"fast": 6e-5, "slow": 1e-5}, n=10)
    x = x + np.linspace(0, 30, len(x))[:, None, None]  # the whole cell drifts
    trajectory = Trajectory(x, np.eye(3) * EDGE_A, np.full(20, 3), np.arange(len(x)) * 100.0)
    fast = diffusivity(trajectory, "Li", atoms=range(10))
    slow = diffusivity(trajectory, "Li", atoms=np.arange(10, 20))
    assert fast.n_atoms == slow.n_atoms == 10
    assert fast.D_raw_cm2_s == pytest.approx(6e-5, rel=0.3)
    assert slow.D_raw_cm2_s == pytest.approx(1e-5, rel=0.4)
    path = file_of(tmp_path / "t.xyz", trajectory)
    command = ["analyze", path, "--timestep-fs", "100"]
    (stage,) = told(capsys, *command, "--atoms", "0-8,9")["stages"].values()
    assert stage["species"]["Li"]["D_raw_cm2_s"] == pytest.approx(fast.D_raw_cm2_s, rel=1e-3)
    assert stage["species"]["Li"]["settings"]["atoms"] == list(range(10))
    for bad in ("0-", "5-2", "a", "3,,4", "0-99999999999"):
        assert run_command_line([*command, "--atoms", bad]) == 2
        assert "--atoms" in capsys.readouterr().err
    assert run_command_line([*command, "--atoms", "20"]) == 2
    assert "atom 20 was chosen" in capsys.readouterr().err
    with pytest.raises(InputError, match="empty list"):
        diffusivity(trajectory, "Li", atoms=[])


@pytest.mark.parametrize("estimator", ["gls", "windowed", "lag", "weighted"])
def test_every_estimator_measures_the_chosen_atoms_only(estimator) -> None:
    trajectory = salt(9, 2e-5, 4e-5, n=10)
    how = {"window_ps": 10.0, "fit_ps": (1.0, 5.0)} if estimator == "windowed" else {}
    half = Trajectory(
        trajectory.positions_A[:, :5], trajectory.cell_A, trajectory.numbers[:5], trajectory.time_fs
    )
    chosen = diffusivity(trajectory, "Li", estimator=estimator, drift="none", atoms=range(5), **how)
    alone = diffusivity(half, "Li", estimator=estimator, drift="none", **how)
    assert chosen.D_raw_cm2_s == pytest.approx(alone.D_raw_cm2_s)
    assert chosen.D_raw_cm2_s != diffusivity(
        trajectory, "Li", estimator=estimator, drift="none", **how
    ).D_raw_cm2_s  # fmt: skip


def test_frames_of_a_run_can_be_chosen(tmp_path, capsys) -> None:
    grid = 3.4 * np.indices((3, 3, 3)).reshape(3, -1).T
    atoms = Atoms("Ar27", positions=grid, cell=[10.2] * 3, pbc=True)
    stage = Production(name="p", temperature_K=80, duration_ps=1.0, record_every_fs=10.0)
    spec = CalculatorSpec("lj", options={"cutoff_A": 5.0})
    run = Protocol("one", (stage,)).run(atoms, spec, tmp_path / "run")
    windows = ["--window-ps", "0.4", "--fit-ps", "0.1", "0.4"]
    whole = told(capsys, "analyze", str(run.path), *windows)["stages"]["p"]
    later = told(capsys, "analyze", str(run.path), *windows, "--start", "50")["stages"]["p"]
    assert (whole["duration_ps"], later["duration_ps"]) == (pytest.approx(1.0), pytest.approx(0.5))
    direct = diffusivity(run.trajectory("p", start=50), "Ar", window_ps=0.4, fit_ps=(0.1, 0.4))
    assert later["species"]["Ar"]["D_raw_cm2_s"] == pytest.approx(direct.D_raw_cm2_s)
    assert run_command_line(["analyze", str(run.path), "--temperature-K", "80"]) == 2
    assert "a run knows its times and temperatures" in capsys.readouterr().err
    assert run_command_line(["analyze", str(run.path), "--pieces", "--elements", "Ar"]) == 2
    assert "leave --elements and --pieces out" in capsys.readouterr().err
    page = tmp_path / "page.html"
    assert run_command_line(["report", str(run.path), "--stop", "1", "-o", str(page)]) == 2
    assert "has 1 frame(s)" in capsys.readouterr().err
    assert not page.exists()


def test_options_of_an_estimator_are_given_by_name(tmp_path, capsys) -> None:
    path = file_of(tmp_path / "t.xyz", salt(4, 4e-5, 4e-5))
    command = ["analyze", path, "--timestep-fs", "100", "--species", "Li"]
    chosen = ["--estimator", "weighted", "--estimator-option", "smoothed=max"]
    (stage,) = told(capsys, *command, *chosen)["stages"].values()
    assert stage["species"]["Li"]["settings"]["smoothed"] == "max"
    for bad, why in (
        (["--estimator-option", "smoothed=max"], "without --estimator; expected one"),
        ([*chosen[:2], "--estimator-option", "least=1"], "least"),
        (["--origins", "second"], "expected sliding or first"),
        (["--origins", "first"], "of the estimator 'windowed'"),
        (["--mobile", "Li"], "take drift 'framework'"),
    ):
        assert run_command_line([*command, *bad]) == 2
        assert why in capsys.readouterr().err


def test_plots_of_files_elsewhere_lie_in_the_folder(tmp_path, capsys) -> None:
    paths = []
    for i, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        paths.append(file_of(tmp_path / folder / "t.xyz", salt(i, 4e-5, 4e-5, frames=120)))
    command = ["analyze", *paths, "--timestep-fs", "100", "--replicas", "--species", "Li"]
    assert run_command_line([*command, "--plot", str(tmp_path / "plots")]) == 0
    drawn = [path for path in (tmp_path / "plots").rglob("*") if path.is_file()]
    assert {path.parent for path in drawn} == {tmp_path / "plots"}
    assert len([path for path in drawn if path.name.startswith("rdf-")]) == 2


def test_panels_of_many_pairs_keep_their_names_under_that_of_the_stage(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "mlmd.cli.analyze_plots.save_axes",
        lambda axes, path, force: drawn.update({path.stem: axes}),
    )
    rng = np.random.default_rng(0)
    numbers = np.repeat([3, 15, 16, 17], 4)
    positions = rng.uniform(0, 12, (16, 3)) + rng.normal(0, 0.1, (30, 16, 3))
    glass = Trajectory(positions, np.eye(3) * 12.0, numbers, np.arange(30) * 100.0)
    summary = summarize({"p": (glass, 500.0)})
    plot_summary(summary, tmp_path, force=False)
    figure = drawn["rdf-p"].figure
    assert [panel.get_title() for panel in figure.axes][:2] == ["Li-Li", "Li-P"]
    assert figure.get_suptitle().startswith("p: motion")
