"""Models that were tampered with, hash and all: one line, and never the end of the process."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from copy import copy

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the model extra")
pytest.importorskip("skops", reason="needs the model extra")
pandas = pytest.importorskip("pandas", reason="needs the model extra")

from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor  # noqa: E402
from test_model_table import table  # noqa: E402

from mlmd.errors import InputError  # noqa: E402
from mlmd.model import Predictor, fit_predictor  # noqa: E402
from mlmd.model.predictor.soundness import _check_booster, check_trees  # noqa: E402
from mlmd.model.predictor.ubjson import read_ubjson  # noqa: E402

RNG = np.random.default_rng(0)
X, Y = RNG.random((60, 4)), RNG.random(60)


def tampered(path, change):
    """Write the members of a model anew as `change` gives them, with a hash that fits."""
    whole = zipfile.ZipFile(path)
    head = json.loads(whole.read("about.json"))
    inner, out = zipfile.ZipFile(io.BytesIO(whole.read("model.skops"))), io.BytesIO()
    done = 0
    with zipfile.ZipFile(out, "w") as archive:
        for name in inner.namelist():
            changed = change(name, inner.read(name))
            done += changed is not None
            archive.writestr(name, inner.read(name) if changed is None else changed)
    assert done
    content = out.getvalue()
    written = json.dumps(head["about"], sort_keys=True).encode()
    head["sha256"] = hashlib.sha256(written + b"\n" + content).hexdigest()
    evil = path.with_name("evil.mlmd")
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr("about.json", json.dumps(head))
        archive.writestr("model.skops", content)
    return evil


def array(change):
    """Change arrays that `change` has something else for."""

    def member(name, data):
        found = np.load(io.BytesIO(data)) if name.endswith(".npy") else None
        changed = None if found is None else change(found.copy())
        if changed is None:
            return None
        out = io.BytesIO()
        np.save(out, changed)
        return out.getvalue()

    return member


def nodes(field, value):
    def change(found):
        if not found.dtype.names or "left_child" not in found.dtype.names:
            return None
        found[field][0] = value
        return found

    return array(change)


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.mlmd"
    fit_predictor(table(30), "random_forest", n_bootstrap=10).save(path)
    return path


def test_a_model_that_was_not_touched_is_read(forest):
    same = tampered(forest, lambda name, data: data)
    features = table(30).problem().X
    assert np.array_equal(
        Predictor.load(same).predict(features), Predictor.load(forest).predict(features)
    )


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("feature", 2_000_000_000, "splits a feature beyond its 4"),
        ("feature", -2, "splits a feature beyond its 4"),
        ("left_child", 1_000_000, "a child of a tree of .* nodes is none of them"),
        ("right_child", -7, "is none of them"),
        ("left_child", 0, "is none of them"),
        ("left_child", -1, "has one child"),
    ],
)
def test_a_forest_with_a_wrong_index_is_refused_in_one_line(forest, field, value, says):
    with pytest.raises(InputError, match=f"the model is damaged.*{says}") as caught:
        Predictor.load(tampered(forest, nodes(field, value)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [RandomForestRegressor, ExtraTreesRegressor])
def test_every_wrong_index_of_a_tree_is_found(kind):
    """Each node's children and feature, set to anything that is not there."""
    fitted = kind(n_estimators=2, max_depth=3, random_state=0).fit(X, Y)
    check_trees({"pipeline": [fitted]})
    tree = fitted.estimators_[1].tree_
    whole = {key: copy(value) for key, value in tree.__getstate__().items()}
    n = whole["node_count"]
    wrong = {"left_child": (0, n, -2, 2**40), "right_child": (0, n, -2), "feature": (4, -3, 2**40)}
    for field, values in wrong.items():
        for node in range(n):
            if whole["nodes"]["left_child"][node] == -1:
                continue
            for value in values:
                state = {**whole, "nodes": whole["nodes"].copy()}
                state["nodes"][field][node] = value
                tree.__setstate__(state)
                with pytest.raises(ValueError, match="tree"):
                    check_trees({"members": [fitted]})
    for node in range(1, n):  # a way back up, or across, goes round for ever or reads twice
        state = {**whole, "nodes": whole["nodes"].copy()}
        inner = np.flatnonzero(whole["nodes"]["left_child"] != -1)[-1]
        if node in (state["nodes"]["left_child"][inner], state["nodes"]["right_child"][inner]):
            continue
        state["nodes"]["left_child"][inner] = node
        tree.__setstate__(state)
        with pytest.raises(ValueError, match="two parents"):
            check_trees(fitted)
    for count in (n + 1, 10**9, 0, -1):
        tree.__setstate__({**whole, "node_count": count})
        with pytest.raises(ValueError, match="nodes"):
            check_trees(fitted)
    tree.__setstate__(whole)
    check_trees(fitted)
    fitted.estimators_[0].n_features_in_ = 3
    with pytest.raises(ValueError, match="of 3 features splits 4"):
        check_trees(fitted)


def booster():
    xgboost = pytest.importorskip("xgboost", reason="needs the model extra")
    fitted = xgboost.XGBRegressor(n_estimators=3, max_depth=3, n_jobs=1).fit(X, Y)
    return read_ubjson(bytes(fitted.get_booster().__getstate__()["handle"]))


def test_boosted_trees_are_read_as_xgboost_writes_them():
    xgboost = pytest.importorskip("xgboost", reason="needs the model extra")
    fitted = xgboost.XGBRegressor(n_estimators=3, max_depth=3, n_jobs=1).fit(X, Y).get_booster()
    ours = read_ubjson(bytes(fitted.__getstate__()["handle"]))["Model"]
    theirs = json.loads(fitted.save_raw("json"))
    pairs = zip(
        *(one["learner"]["gradient_booster"]["model"]["trees"] for one in (ours, theirs)),
        strict=True,
    )
    for our, their in pairs:
        for key in ("left_children", "right_children", "split_indices"):
            assert list(our[key]) == their[key]
        assert our["split_conditions"] == pytest.approx(their["split_conditions"], rel=1e-6)
    data = bytes(fitted.__getstate__()["handle"])
    for end in range(0, len(data), 37):
        with pytest.raises(ValueError, match=r"."):
            read_ubjson(data[:end])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("left_children", 10**6), ("left_children", 0), ("left_children", -5),
        ("right_children", 10**6), ("split_indices", 4), ("split_indices", 2 * 10**9),
        ("split_type", 1),
    ],
)  # fmt: skip
def test_every_wrong_index_of_a_boosted_tree_is_found(key, value):
    content = booster()
    _check_booster(content)
    tree = content["Model"]["learner"]["gradient_booster"]["model"]["trees"][1]
    tree[key] = np.array(tree[key], dtype=np.int64)
    tree[key][0] = value
    with pytest.raises(ValueError, match=r"boosted|tree"):
        _check_booster(content)


@pytest.mark.parametrize(
    ("key", "value"),
    [("split_conditions", [1.0]), ("categories_nodes", [0]), ("categories_sizes", [10**9])],
)
def test_boosted_trees_of_other_parts_are_refused(key, value):
    content = booster()
    content["Model"]["learner"]["gradient_booster"]["model"]["trees"][0][key] = value
    with pytest.raises(ValueError, match="boosted"):
        _check_booster(content)


def test_a_file_with_a_wrong_boosted_tree_is_refused_before_xgboost_sees_it(tmp_path):
    pytest.importorskip("xgboost", reason="needs the model extra")
    path = tmp_path / "m.mlmd"
    fit_predictor(table(30), "xgboost", n_bootstrap=10).save(path)
    assert np.isfinite(Predictor.load(path).predict(table(30).problem().X)).all()

    def change(name, data):
        if not name.endswith(".bin"):
            return None
        at = data.index(b"split_indices") + len(b"split_indices")
        place = data.index(b"#L", at) + 10  # a typed array: its values follow its length
        return data[:place] + b"\x7f\xff\xff\xff" + data[place + 4 :]

    with pytest.raises(InputError, match="the model is damaged"):
        Predictor.load(tampered(path, change))


@pytest.mark.parametrize("model", ["kernel_ridge", "gaussian_process", "ridge"])
def test_parts_that_do_not_fit_together_are_refused_in_one_line(tmp_path, model):
    path = tmp_path / "m.mlmd"
    fit_predictor(table(30), model, n_bootstrap=10).save(path)
    Predictor.load(path)

    def short(found):
        return found.ravel()[:1] if found.size > 3 and found.dtype.kind == "f" else None

    with pytest.raises(InputError, match=r"the model is damaged|no complete model") as caught:
        Predictor.load(tampered(path, array(short)))
    assert "\n" not in str(caught.value)


def test_a_model_that_gives_no_number_says_so(forest, monkeypatch):
    found = Predictor.load(forest)
    features = table(30).problem().X
    monkeypatch.setattr(found._pipeline, "predict", lambda rows: np.full(len(rows), np.nan))
    with pytest.raises(InputError, match="no number for 30 of 30 rows; it is damaged"):
        found.predict(features)
