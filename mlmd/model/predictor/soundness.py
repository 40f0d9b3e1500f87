"""Whether trees of a model that was read can be walked without leaving their memory.

The compiled code of scikit-learn and XGBoost believes the indices that it has read: one that is out
of range reads foreign memory, ends the process, or goes round for ever. Here they are looked at
before any tree is used: that features and children are there, and that each node but the root has
one parent at most, so that no way down from the root comes back.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.model.predictor.ubjson import read_ubjson

if TYPE_CHECKING:
    from mlmd.arrays import IntArray

_LEAF = -1


def check_boosted(content: bytes) -> None:
    """Look at the trees of XGBoost in a file of skops, before it is loaded.

    Raises
    ------
    ValueError
        If one is not sound, or not of the kind that `mlmd.model.regressors` makes: numbers alone,
        one target.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            if name.endswith(".bin"):
                _check_booster(read_ubjson(archive.read(name)))


def _check_booster(content: Any) -> None:
    learner = content["Model"]["learner"]
    about, model = learner["learner_model_param"], learner["gradient_booster"]["model"]
    trees, n_features = model["trees"], int(about["num_feature"])
    if int(about["num_class"]) > 1 or int(about["num_target"]) > 1 or any(model["tree_info"]):
        raise ValueError("boosted trees are of several targets")
    if len(model["tree_info"]) != len(trees):
        raise ValueError("boosted trees are not as many as they are said to be")
    for tree in trees:
        left, right, feature = (
            np.asarray(tree[key], dtype=np.int64)
            for key in ("left_children", "right_children", "split_indices")
        )
        parts = ("split_conditions", "default_left", "parents", "base_weights", "split_type")
        if any(len(tree[key]) != len(left) for key in parts) or np.any(tree["split_type"]):
            raise ValueError("a boosted tree has parts of different lengths, or categories")
        if any(len(tree[key]) for key in tree if key.startswith("categories")):
            raise ValueError("a boosted tree has categories")
        _check_nodes(left, right, feature, n_features)


def check_trees(parts: Any) -> None:
    """Look at all trees of scikit-learn in what was loaded.

    Raises
    ------
    ValueError
        If one is not sound.
    """
    for owner in _within(parts):
        tree = getattr(owner, "tree_", None)
        if tree is None:
            continue
        # Before its arrays are looked at: they are views of this many nodes.
        if not 0 < tree.node_count <= tree.capacity or tree.n_outputs != 1:
            raise ValueError(f"a tree says that it has {tree.node_count} nodes")
        if tree.n_features != owner.n_features_in_ or tree.max_n_classes != 1:
            raise ValueError(f"a tree of {owner.n_features_in_} features splits {tree.n_features}")
        _check_nodes(tree.children_left, tree.children_right, tree.feature, tree.n_features)


def _check_nodes(left: IntArray, right: IntArray, feature: IntArray, n_features: int) -> None:
    n = len(left)
    if n == 0 or len(right) != n or len(feature) != n:
        raise ValueError("a tree has no nodes, or parts of different lengths")
    inner = left != _LEAF
    if not np.array_equal(inner, right != _LEAF):
        raise ValueError("a node of a tree has one child")
    children = np.concatenate([left[inner], right[inner]])
    if children.size and not (children.min() > 0 and children.max() < n):
        raise ValueError(f"a child of a tree of {n} nodes is none of them")
    if len(np.unique(children)) < children.size:
        raise ValueError("a node of a tree has two parents")
    if inner.any() and not (feature[inner].min() >= 0 and feature[inner].max() < n_features):
        raise ValueError(f"a tree splits a feature beyond its {n_features}")


def _within(value: Any) -> Iterator[Any]:
    """Give all objects that something is made of, each once."""
    waiting, seen = [value], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, str | bytes | int | float | type):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple | set):
            waiting += one
        elif isinstance(one, np.ndarray):
            waiting += one.ravel().tolist() if one.dtype == object else []
        else:
            waiting += getattr(one, "__dict__", {}).values()
