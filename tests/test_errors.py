"""Every error goes through a process pool and back: one that does not breaks the pool for good."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import pickle
import pkgutil
from concurrent.futures import ProcessPoolExecutor

import pytest

import mlmd
from mlmd import CalculatorSpec
from mlmd.errors import MissingExtraError, MlmdError, VolumeNotFoundError
from mlmd.stages.volume.result import VolumePoint


def all_errors() -> list[type[MlmdError]]:
    """Return every error class of the package, wherever it is defined."""
    for module in pkgutil.walk_packages(mlmd.__path__, "mlmd."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, left = [], [MlmdError]
    while left:
        kind = left.pop()
        found.append(kind)
        left.extend(kind.__subclasses__())
    return sorted(set(found), key=lambda kind: kind.__qualname__)


def made(kind: type[MlmdError]) -> MlmdError:
    if kind is MissingExtraError:
        return MissingExtraError("chgnet", "chgnet", "mlmd calculators install chgnet")
    if kind is VolumeNotFoundError:
        return VolumeNotFoundError("none", VolumePoint("run", 1.0, 100.0))
    return kind("what was given; what was expected")


def test_every_error_survives_pickling_with_all_that_it_says():
    kinds = all_errors()
    assert len(kinds) > 15
    for kind in kinds:
        error = made(kind)
        error.add_note("seen in case 7")
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(again) is kind
            assert str(again) == str(error)
            assert again.__notes__ == ["seen in case 7"]
            assert vars(again) == vars(error)


def load_absent(number: int) -> int:
    """Fail as a task does where a package is not installed."""
    if number == 1:
        raise MissingExtraError("chgnet", "chgnet")
    if number == 2:
        CalculatorSpec("lj", options={"cutof_A": 1}).load()
    return number


def test_one_missing_package_leaves_a_pool_whole():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        tasks = [pool.submit(load_absent, number) for number in range(5)]
        with pytest.raises(MissingExtraError, match=r"pip install 'mlmd\[chgnet\]'"):
            tasks[1].result(120)
        assert isinstance(tasks[2].exception(120), MlmdError)
        assert [tasks[number].result(120) for number in (0, 3, 4)] == [0, 3, 4]
