"""Validation studies on a liquid whose true potential is known: right is right, wrong is found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from lennard_jones_aimd import RIGHT, TEMPERATURE_K, WRONG, make_reference

from mlmd import CalculatorSpec, Run, Trajectory
from mlmd.cli.app import run_command_line
from mlmd.comparison import Thresholds
from mlmd.errors import InputError
from mlmd.studies import Reference, StudySettings, ValidationStudy, validate
from mlmd.studies.matching import matching_protocol
from mlmd.studies.surrogates import folder_names, labelled
from mlmd.studies.validation import ranked

pytestmark = pytest.mark.kernels

SETTINGS = StudySettings(equilibration_ps=1.0, timestep_fs=4.0)
FRAGILE = """
from mlmd.calculators.models.lennard_jones import LennardJones

class Fragile(LennardJones):
    calls = 0

    def calculate(self, *arguments, **keywords):
        super().calculate(*arguments, **keywords)
        Fragile.calls += 1
        if Fragile.calls > 30:
            raise RuntimeError("the model has broken")

def make(**options):
    return Fragile(**options)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reference as extxyz and as XDATCAR.gz."""
    folder = tmp_path_factory.mktemp("aimd")
    make_reference(folder, duration_ps=6.0)
    return folder


@pytest.fixture(scope="module")
def reference(made: Path) -> Reference:
    """The reference as VASP would have written it."""
    return Reference.read(made / "XDATCAR.gz", TEMPERATURE_K, timestep_fs=20.0)


@pytest.fixture(scope="module")
def study(made: Path, reference: Reference) -> ValidationStudy:
    """The true potential and one with atoms too large."""
    return validate(reference, {"wrong": WRONG, "right": RIGHT}, made / "study", settings=SETTINGS)


def answers(study: ValidationStudy, label: str) -> dict[str, str]:
    found = study.to_dict()["surrogates"][label]["comparison"]["verdict"]
    return {name: verdict["answer"] for name, verdict in found.items()}


def test_the_true_potential_is_not_refused_and_the_wrong_one_is(study):
    right, wrong = answers(study, "right"), answers(study, "wrong")
    assert right["rdf"] == "yes"
    assert "no" not in right.values()
    assert wrong["rdf"] == "no"
    assert [one.label for one in study.outcomes] == ["right", "wrong"]


def test_a_run_is_the_reference_again(study, reference):
    run = Run.open(study.outcomes[0].runs[0])
    made, held = run.trajectory("production"), reference.trajectory
    assert len(made) == len(held)
    assert made.uniform_interval_fs() == held.uniform_interval_fs() == 20.0
    assert np.allclose(made.cells_A()[0], held.cells_A()[0])
    assert (made.numbers == held.numbers).all()
    assert np.allclose(run.atoms.get_scaled_positions(), held.positions_A[0] @ np.linalg.inv(
        held.cells_A()[0]) % 1.0, atol=1e-6)  # fmt: skip
    warm = run.results["equilibrate"]
    assert warm["duration_ps"] == 1.0
    mean_K = run.results["production"]["temperature_K"]
    assert mean_K == pytest.approx(TEMPERATURE_K, rel=0.12)  # 64 atoms, 6 ps


def test_the_file_holds_what_the_study_says(study, made):
    written = json.loads((made / "study" / "comparison.json").read_text())
    assert written == {"schema": 1, **json.loads(json.dumps(study.to_dict()))}
    assert written["ranking"] == ["right", "wrong"]


def test_the_same_call_runs_nothing_and_judges_again(study, made, reference):
    files = sorted((made / "study" / "runs").rglob("trajectory.h5md"))
    before = [file.stat().st_mtime_ns for file in files]
    lax = {"thresholds": Thresholds(r2_min=0.5, r2_same=0.6)}
    again = validate(
        reference,
        {"wrong": WRONG, "right": RIGHT},
        made / "study",
        settings=SETTINGS,
        compare_options=lax,
    )
    assert [file.stat().st_mtime_ns for file in files] == before
    assert len(files) == 4
    assert answers(again, "wrong")["rdf"] == "yes"
    assert again.created == study.created


def test_the_page_of_the_study_says_the_same(study):
    pytest.importorskip("jinja2", reason="needs the report extra")
    from mlmd.report import write_study_report

    html = write_study_report(study).read_text(encoding="utf-8")
    r2 = study.to_dict()["surrogates"]["wrong"]["comparison"]["rdf"]["r2_pooled"]
    assert f'<data value="{r2!r}">' in html
    assert html.index("<strong>right</strong>") < html.index("<strong>wrong</strong>")
    assert "XDATCAR.gz" in html
    assert f"<dt>ase</dt><dd>{study.versions['ase']}</dd>" in html


def test_other_settings_in_the_same_place_are_refused(study, made, reference):
    with pytest.raises(InputError, match="holds another run"):
        validate(
            reference,
            {"right": RIGHT},
            made / "study",
            settings=StudySettings(equilibration_ps=2.0, timestep_fs=4.0),
        )


def test_energies_are_compared_where_the_reference_has_them(made):
    short = Reference(Trajectory.read(made / "ref.extxyz", stop=60), TEMPERATURE_K)
    settings = StudySettings(equilibration_ps=0.1, timestep_fs=4.0, seeds=(1, 2))
    found = validate(short, {"wrong": WRONG}, made / "points", settings=settings)
    outcome = found.outcomes[0]
    assert len(outcome.runs) == 2
    assert outcome.comparison is not None
    assert outcome.comparison.points is not None
    assert outcome.comparison.points.energy_mae_meV_atom > 0.1


def test_a_surrogate_that_breaks_is_told_and_the_others_are_done(
    made, reference, tmp_path, monkeypatch, capsys
):
    pytest.importorskip("jinja2", reason="needs the report extra")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fragile.py").write_text(FRAGILE)
    pots = {
        "fragile": {"name": "fragile:make", "options": {"cutoff_A": 7.5}},
        "right": RIGHT,
    }
    (tmp_path / "pots.yaml").write_text(json.dumps(pots))
    make = ["--md-timestep-fs", "4", "--equilibrate-ps", "0.2"]
    code = run_command_line(
        ["compare", "--reference", str(made / "XDATCAR.gz"), "--timestep-fs", "20",
         "--temperature-K", "140", "--calculator", str(tmp_path / "pots.yaml"),
         "--out", str(tmp_path / "study"), *make]
    )  # fmt: skip
    shown = capsys.readouterr()
    assert code == 1
    assert "the model has broken" in shown.err
    assert shown.out.index("1. right") < shown.out.index("2. fragile")
    assert "the model has broken" in (tmp_path / "study" / "report.html").read_text()


def test_the_protocol_follows_the_reference():
    def protocol(symbol: str, T: float, interval_fs: float, settings: StudySettings):
        n = 101
        grid = 4.0 * np.stack(np.meshgrid(*[np.arange(2)] * 3), -1).reshape(-1, 3)
        trajectory = Trajectory(
            positions_A=np.repeat(grid[None], n, axis=0),
            cell_A=8.0 * np.eye(3),
            numbers=Atoms(f"{symbol}8").numbers,
            time_fs=interval_fs * np.arange(n),
        )
        return matching_protocol(Reference(trajectory, T), settings)

    usual = protocol("Na", 800, 5.0, StudySettings())
    warm, measure = usual.stages
    assert measure.timestep_fs == pytest.approx(5 / 3)  # the longest that divides 5 fs, <= 2 fs
    assert measure.record_every_fs == 5.0
    assert (measure.duration_ps, warm.duration_ps) == (0.5, 1.0)
    assert protocol("Na", 800, 200.0, StudySettings()).stages[0].duration_ps == 2.0  # a tenth
    assert protocol("H", 800, 2.0, StudySettings()).stages[1].timestep_fs == 0.5
    assert protocol("Na", 5000, 2.0, StudySettings()).stages[1].timestep_fs == 1.0
    with pytest.raises(InputError, match="2 fs apart"):
        protocol("Na", 800, 2.0, StudySettings(timestep_fs=4.0))


def test_a_cell_that_changes_is_run_at_its_mean():
    n = 50
    scale = 1.0 + 0.1 * np.arange(n) / (n - 1)
    grid = np.stack(np.meshgrid(*[np.arange(2)] * 3), -1).reshape(-1, 3) / 2.0
    cells = 8.0 * scale[:, None, None] * np.eye(3)
    trajectory = Trajectory(
        positions_A=grid @ cells,
        cell_A=cells,
        numbers=np.full(8, 11),
        time_fs=10.0 * np.arange(n),
    )
    start = Reference(trajectory, 500).start()
    assert start.cell.lengths() == pytest.approx([8.4] * 3)
    assert np.allclose(start.get_scaled_positions(), grid)


def test_labels_and_folders_are_unique_and_tame():
    assert list(labelled(["lj", "lj", "emt"])) == ["lj", "lj-2", "emt"]
    assert list(labelled("emt")) == ["emt"]
    spec = CalculatorSpec("mace", model="/far/away/medium.model")
    assert list(labelled(spec)) == ["mace:medium.model"]
    names = folder_names(["a/../b", "<script>", "A", "a", "..", "ü"])
    assert len(set(names.values())) == 6
    assert len({name.lower() for name in names.values()}) == 6
    for name in names.values():
        assert Path(name).name == name
        assert name not in (".", "..")


def test_the_ranking_counts_what_is_wrong_then_what_is_open():
    def content(answers: list[str], error: float | None) -> dict:
        verdict = {str(i): {"answer": answer} for i, answer in enumerate(answers)}
        return {
            "verdict": verdict,
            "diffusivity": {"log10_mae": error},
            "rdf": {"r2_pooled": 0.99},
        }

    order = ranked(
        {
            "failed": None,
            "one wrong": content(["yes", "no"], 0.01),
            "one open": content(["yes", "inconclusive"], 0.01),
            "no D": content(["yes", "yes"], None),
            "far": content(["yes", "yes"], 0.3),
            "near": content(["yes", "yes"], 0.1),
        }
    )
    assert order == ["near", "far", "no D", "one open", "one wrong", "failed"]
