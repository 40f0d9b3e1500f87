"""Weights that would run code are refused before they are loaded, unless they are trusted."""

from __future__ import annotations

import json
import os
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlmd import CalculatorSpec
from mlmd.calculators.models.trust import read_numbers, refuse_code
from mlmd.cli.app import run_command_line
from mlmd.errors import InputError

torch = pytest.importorskip("torch", reason="needs torch")


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, how: str, mark: Path) -> None:
        self.how, self.mark = how, mark

    def __reduce__(self) -> Any:
        if self.how == "system":
            return os.system, (f"touch {self.mark}",)
        if self.how == "path":
            return Path.touch, (self.mark,)
        if self.how == "eval":
            return eval, (f"open({str(self.mark)!r}, 'w')",)
        return getattr, (self.mark, "touch")


HOWS = {"system": "posix.system", "path": "pathlib", "eval": r"\.eval", "getattr": "getattr"}


def plain(payload: Any) -> Any:
    return payload


def deep(payload: Any) -> Any:
    return {"model": {"state_dict": [torch.zeros(2), {"x": payload}]}, "config": {}}


def zipped(content: Any, file: Path) -> None:
    torch.save(content, file)


def of_old(content: Any, file: Path) -> None:
    torch.save(content, file, _use_new_zipfile_serialization=False)


def bare(protocol: int) -> Callable[[Any, Path], None]:
    def write(content: Any, file: Path) -> None:
        file.write_bytes(pickle.dumps(content, protocol))

    write.__name__ = f"pickle-{protocol}"
    return write


def two(content: Any, file: Path) -> None:
    """Numbers first."""
    file.write_bytes(pickle.dumps(1) + pickle.dumps(content))


def optimized(content: Any, file: Path) -> None:
    file.write_bytes(pickletools.optimize(pickle.dumps(content)))


def dumped_by_joblib(content: Any, file: Path) -> None:
    pytest.importorskip("joblib").dump(content, file)


WAYS = [zipped, of_old, *(bare(number) for number in range(6)), two, optimized, dumped_by_joblib]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("nested", [plain, deep])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", ["chgnet", "sevennet", "mace"])
def test_code_is_named_and_not_run(
    tmp_path: Path,
    name: str,
    way: Callable[[Any, Path], None],
    nested: Callable[[Any], Any],
    how: str,
) -> None:
    mark, file = tmp_path / "run", tmp_path / "weights.pth"
    way(nested(Runs(how, mark)), file)
    with pytest.raises(InputError, match=rf"are code.*{HOWS[how]}.*--trust") as caught:
        refuse_code(CalculatorSpec(name, model=str(file)), file)
    assert not mark.exists()
    assert "\n" not in str(caught.value)
    refuse_code(CalculatorSpec(name, model=str(file), trust=True), file)
    assert not mark.exists()  # that is for the package to do


@pytest.mark.parametrize("name", ["chgnet", "sevennet"])
@pytest.mark.parametrize("way", [zipped, of_old], ids=lambda way: way.__name__)
def test_no_door_loads_code_untrusted(
    tmp_path: Path, name: str, way: Callable[[Any, Path], None]
) -> None:
    pytest.importorskip({"sevennet": "sevenn"}.get(name, name), reason="needs the extra")
    mark, file = tmp_path / "run", tmp_path / "weights.pth"
    way(deep(Runs("system", mark)), file)
    with pytest.raises(InputError, match=r"posix\.system.*--trust"):
        CalculatorSpec(name, model=str(file), device="cpu").load()
    assert not mark.exists()
    with pytest.raises(InputError, match="was not made"):  # it is no model, besides
        CalculatorSpec(name, model=str(file), device="cpu", trust=True).load()
    assert mark.exists()


@pytest.mark.parametrize("part", ["model.pt", "state.pt", "module"])
def test_a_folder_of_matgl(tmp_path: Path, part: str) -> None:
    pytest.importorskip("matgl", reason="needs the m3gnet extra")
    mark = tmp_path / "run"
    model: Any = {"model": {"@module": "matgl.models._m3gnet", "@class": "M3GNet", "init_args": {}}}
    state: Any = {}
    if part == "module":
        touch = {"args": ["touch", str(mark)]}
        model["more"] = {"@module": "subprocess", "@class": "Popen", "init_args": touch}
    elif part == "model.pt":
        model["more"] = Runs("system", mark)
    else:
        state["more"] = Runs("system", mark)
    torch.save(model, tmp_path / "model.pt")
    torch.save(state, tmp_path / "state.pt")
    about = {"@class": "Potential", "@module": "matgl.apps.pes", "@model_version": 3}
    (tmp_path / "model.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=r"subprocess\.Popen|posix\.system"):
        CalculatorSpec("m3gnet", model=str(tmp_path), device="cpu").load()
    assert not mark.exists()


def test_a_torchscript_program_is_code(tmp_path: Path) -> None:
    file = tmp_path / "deployed.pth"
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(file))
    with pytest.raises(InputError, match=r"TorchScript program.*--trust"):
        refuse_code(CalculatorSpec("mace", model=str(file)), file)


def test_a_whole_model_is_code(tmp_path: Path) -> None:
    file = tmp_path / "whole.model"
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), file)
    with pytest.raises(InputError, match=r"runs torch\.nn\.modules.*--trust"):
        refuse_code(CalculatorSpec("mace", model=str(file)), file)


@pytest.mark.parametrize("way", [zipped, of_old], ids=lambda way: way.__name__)
def test_numbers_need_no_trust(tmp_path: Path, way: Callable[[Any, Path], None]) -> None:
    """Tensors, containers, arrays of NumPy of every plain kind, numbers of NumPy."""
    arrays = {code: np.ones(2).astype(code) for code in "bhilqBHILQ?efd"}
    content = {"state": {"w": torch.ones(3)}, "arrays": arrays, "x": np.float64(1.5), "t": (1, "a")}
    file = tmp_path / "weights.pth"
    way(content, file)
    found = read_numbers(CalculatorSpec("chgnet", model=str(file)), file)
    assert (found["state"]["w"] == 1).all()
    assert found["x"] == 1.5
    for code, values in arrays.items():
        assert (found["arrays"][code] == values).all()


@pytest.mark.parametrize("cut", range(0, 100, 7))
def test_what_is_no_file_of_torch_is_not_called_code(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"w": torch.ones(100)}, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * cut // 100])
    with pytest.raises(ValueError, match=r"no file of weights|not hold numbers alone") as caught:
        refuse_code(CalculatorSpec("chgnet", model=str(file)), file)
    assert not isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)


def test_trust_is_no_part_of_what_is_computed_and_goes_everywhere() -> None:
    spec = CalculatorSpec("lj", options={"cutoff_A": 3.0})
    trusted = CalculatorSpec("lj", options={"cutoff_A": 3.0}, trust=True)
    assert spec.physics() == trusted.physics()
    assert "trust" not in spec.to_dict()
    assert CalculatorSpec(**trusted.to_dict()) == trusted
    assert pickle.loads(pickle.dumps(trusted)).trust
    assert CalculatorSpec.of({"name": "lj", "trust": True}).trust
    with pytest.raises(InputError, match="expected true or false"):
        CalculatorSpec("lj", trust="yes")


def test_the_command_line_asks_for_trust_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("chgnet", reason="needs the chgnet extra")
    mark, file = tmp_path / "run", tmp_path / "weights.pth"
    torch.save(deep(Runs("system", mark)), file)
    arguments = ["run", "quickstart", "--composition", "LiCl", "--n-atoms", "8"]
    arguments += ["--calculator", f"chgnet:{file}", "--out", str(tmp_path / "out")]
    assert run_command_line(arguments) == 2
    said = capsys.readouterr().err
    assert "--trust" in said
    assert len(said.strip().splitlines()) == 1
    assert not mark.exists()
    assert not (tmp_path / "out").exists()
    run_command_line([*arguments, "--trust"])
    assert mark.exists()
