"""Words for calculators: one for all stages, or another for some; environments made for them."""

import json
from pathlib import Path

import pytest
from ase import Atoms
from ase.io import write

from mlmd import CalculatorSpec, Protocol, Run
from mlmd.calculators.choice import chosen_calculators
from mlmd.calculators.isolation import environments
from mlmd.calculators.registry import interpreter
from mlmd.cli.app import run_command_line
from mlmd.errors import CalculatorError, InputError


def test_words_of_a_command_line() -> None:
    found = chosen_calculators(["lj", "melt=emt", "Production=chgnet:0.2.0"], device="cpu")
    assert {key: (spec.name, spec.model, spec.device) for key, spec in found.items()} == {
        "default": ("lj", None, "cpu"),
        "melt": ("emt", None, "cpu"),
        "Production": ("chgnet", "0.2.0", "cpu"),
    }


def test_model_path_with_an_equals_sign_is_a_path() -> None:
    (spec,) = chosen_calculators(["chgnet:/data/a=b/weights.tar"]).values()
    assert spec.model == "/data/a=b/weights.tar"


def test_file_of_calculators(tmp_path: Path) -> None:
    file = tmp_path / "calculators.yaml"
    file.write_text(
        "default: emt\n"
        "melt: {name: lj, device: cuda, options: {cutoff_A: 4.5}}\n"
        "Production: 'chgnet:0.3.0'\n"
    )
    found = chosen_calculators([str(file)], device="cpu", threads=2)
    assert found["default"] == CalculatorSpec("emt", device="cpu", threads=2)
    assert found["melt"] == CalculatorSpec(
        "lj", device="cuda", threads=2, options={"cutoff_A": 4.5}
    )
    assert found["Production"].model == "0.3.0"


@pytest.mark.parametrize(
    ("words", "common", "text"),
    [
        (["lj", "emt"], {}, "two calculators"),
        (["melt=lj", "melt=emt"], {}, "'melt'"),
        (["melt=lj", "emt"], {"options": {"cutoff_A": 4}}, "YAML"),
        (["melt="], {}, "''"),
        (["nothing"], {}, "nothing"),
        (["absent.yaml"], {}, "absent.yaml"),
    ],
)
def test_words_that_are_not_understood(
    words: list[str], common: dict[str, object], text: str
) -> None:
    with pytest.raises(InputError, match=text) as caught:
        chosen_calculators(words, **common)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("- lj\n", "no calculators"),
        ("default: 3\n", "3"),
        ("default: {name: lj, cutoff_A: 3}\n", "cutoff_A"),
        ("default: {model: x}\n", "name"),
        ("default: {name: lj, threads: many}\n", "threads"),
        ("default: {name: lj, dtype: float16}\n", "float16"),
        ("default: {name: 'chgnet:0.3.0', model: 0.2.0}\n", "0.2.0"),
        ("default: [\n", "cannot be read"),
    ],
)
def test_files_that_are_not_understood(tmp_path: Path, content: str, text: str) -> None:
    file = tmp_path / "calculators.yaml"
    file.write_text(content)
    with pytest.raises(InputError, match=text) as caught:
        chosen_calculators([str(file)])
    assert "\n" not in str(caught.value)


def test_fields_of_one_call_change_what_decides_forces_and_nothing_else() -> None:
    plain = CalculatorSpec("lj")
    for changes in ({"timeout_s": 3.0}, {"deterministic": True}, {"threads": 3}):
        assert CalculatorSpec("lj", **changes).physics() == plain.physics()
    assert CalculatorSpec("lj", dtype="float64").physics() != plain.physics()


STAGE = {"class": "Equilibrate", "temperature_K": 300, "duration_ps": 0.02, "record_every_fs": 10}


def test_each_stage_has_the_forces_of_its_own_calculator(
    tmp_path: Path, atoms: Atoms, capsys: pytest.CaptureFixture[str]
) -> None:
    atoms = atoms.copy()
    write(tmp_path / "start.extxyz", atoms)
    protocol = Protocol.from_dict(
        {
            "schema": 1,
            "name": "two",
            "stages": [
                {"name": "melt", **STAGE},
                {**STAGE, "name": "production", "class": "Production"},
            ],
        }
    )
    protocol.save(tmp_path / "two.yaml")
    (tmp_path / "calculators.yaml").write_text(
        "melt: {name: lj, options: {cutoff_A: 4.5}}\n"
        "Production: {name: lj, options: {cutoff_A: 4.5, epsilon_eV: 0.04}}\n"
    )
    out = tmp_path / "run"
    words = ["--structure", str(tmp_path / "start.extxyz"), "--out", str(out)]
    words = [
        "run",
        str(tmp_path / "two.yaml"),
        *words,
        "--calculator",
        str(tmp_path / "calculators.yaml"),
    ]
    assert run_command_line([*words, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert set(planned["calculators"]) == {"melt", "Production"}
    assert not out.exists()
    assert run_command_line(words) == 0
    run = Run.open(out)
    end, begin = (
        run.trajectory("melt").energies_eV[-1],
        run.trajectory("production").energies_eV[0],
    )
    # The same atoms with wells twice as deep (the unlike default is 0.02 eV for all).
    assert begin == pytest.approx(2.0 * end, rel=1e-6)


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One environment that can be made, of a calculator that is not installed here."""
    folder = tmp_path / "pinned"
    folder.mkdir()
    (folder / "mace.txt").write_text("torch==2.13.0\nmace-torch==0.3.16\n")
    monkeypatch.setattr(environments, "PINNED", folder)
    monkeypatch.setenv("MLMD_CACHE", str(tmp_path / "cache"))
    return folder


def test_environment_is_made_once_and_found(
    pinned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[list[str]] = []

    def command(words: list[str], log: Path) -> None:
        done.append(words)
        python = tmp_path / "cache/environments/mace/bin/python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    monkeypatch.setattr(environments, "_command", command)
    monkeypatch.setattr("mlmd.calculators.registry.is_installed", lambda name: False)
    said: list[str] = []
    assert interpreter(CalculatorSpec("mace")) is None
    python = environments.install("mace", said.append)
    assert [words[-1] for words in done] == [
        str(python.parents[1]),
        "torch==2.13.0",
        str(pinned / "mace.txt"),
    ]
    assert interpreter(CalculatorSpec("mace")) == str(python)
    assert environments.install("mace", said.append) == python
    assert len(done) == 3
    assert "already" in said[-1]
    # Other versions: made anew.
    (pinned / "mace.txt").write_text("torch==2.13.0\nmace-torch==0.3.17\n")
    environments.install("mace", said.append)
    assert len(done) == 6


def test_environment_that_fails_leaves_nothing(
    pinned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments.sys, "executable", "/bin/false")
    with pytest.raises(CalculatorError, match=r"failed \(1\)") as caught:
        environments.install("mace", lambda line: None)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache/environments/mace").exists()
    assert interpreter(CalculatorSpec("mace")) is None


def test_environment_that_cannot_be_made(pinned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["calculators", "install", "vasp"]) == 2
    assert "expected one of mace" in capsys.readouterr().err
