"""Plain data for JSON: dataclasses, arrays and mappings; what JSON does not have becomes None."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlmd.plain import plain_fields, to_plain, without_nan


@dataclass(frozen=True)
class Inner:
    pair: tuple[float, float]
    n: Any


@dataclass(frozen=True)
class Outer:
    inner: Inner
    by_name: dict[str, Inner]
    values: Any
    secret: str = "of no use"

    def to_dict(self) -> dict[str, Any]:
        return {**plain_fields(self, ("secret",)), "mean": np.float64(np.mean(self.values))}


def test_nested_fields_and_numbers_of_numpy_become_json():
    one = Outer(Inner((1.0, 2.0), np.int64(3)), {"a": Inner((0.0, 1.0), None)}, np.eye(2))
    found = to_plain({"outer": one, "where": Path("a") / "b"})
    assert found == {
        "outer": {
            "inner": {"pair": [1.0, 2.0], "n": 3},
            "by_name": {"a": {"pair": [0.0, 1.0], "n": None}},
            "values": [[1.0, 0.0], [0.0, 1.0]],
            "mean": 0.5,
        },
        "where": "a/b",
    }
    assert json.loads(json.dumps(found)) == found
    assert type(found["outer"]["inner"]["n"]) is int


def test_what_json_does_not_have_becomes_none():
    value = to_plain({"a": (1.0, float("nan")), "b": np.array([np.inf, 2.0]), "c": "nan"})
    assert without_nan(value) == {"a": [1.0, None], "b": [None, 2.0], "c": "nan"}
