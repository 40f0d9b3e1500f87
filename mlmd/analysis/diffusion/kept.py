"""A diffusivity as plain data, to be kept in a file and combined with others later."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from mlmd.analysis.diffusion.diffusivity import Diffusivity
from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings
from mlmd.analysis.diffusion.estimators.options import (
    BlocksOptions,
    KinisiOptions,
    WeightedOptions,
)
from mlmd.analysis.diffusion.gate import Exponent, Motion
from mlmd.analysis.diffusion.relaxation import Relaxation
from mlmd.analysis.diffusion.rotation import Rotation
from mlmd.plain import plain_fields

CURVES = ("lag_ps", "msd_A2", "msd_spread_A2", "window_msd_A2")
"""Most of a diffusivity, and nothing that its numbers, or those of several, are made of."""
_OPTIONS = {"blocks": BlocksOptions, "weighted": WeightedOptions, "kinisi": KinisiOptions}
_OF_MOTION = {"late": Exponent, "relaxation": Relaxation, "rotation": Rotation}


def kept(result: Diffusivity) -> dict[str, Any]:
    """Return all of it but the curves as plain data that JSON has."""
    plain = plain_fields(result, (*CURVES, "motion", "df"))
    plain["motion"] = plain_fields(result.motion)
    # JSON has no infinity: an error that is known is without a number here.
    plain["df"] = None if math.isinf(result.df) else result.df
    plain["last_lag_ps"] = float(result.lag_ps[-1]) if len(result.lag_ps) else 0.0
    return plain


def from_kept(plain: Mapping[str, Any]) -> Diffusivity:
    """Return what :func:`kept` was given, to the digit; its curves are two lags without a value.

    Raises
    ------
    KeyError, TypeError, ValueError, InputError
        If it is nothing of the kind.
    """
    content = dict(plain)
    last_ps = float(content.pop("last_lag_ps"))
    motion, settings = dict(content.pop("motion")), dict(content.pop("settings"))
    for name, kind in _OF_MOTION.items():
        motion[name] = None if motion[name] is None else kind(**motion[name])
    motion["slope_range"] = tuple(motion["slope_range"])
    for name in ("fit_ps", "atoms"):
        settings[name] = None if settings[name] is None else tuple(settings[name])
    if settings["options"] is not None:
        settings["options"] = _OPTIONS[settings["estimator"]](**settings["options"])
    df, interval = content.pop("df"), content.pop("D_interval68_cm2_s")
    names = {one.name for one in fields(Diffusivity)}
    if set(content) - names:
        raise KeyError(f"unknown {sorted(set(content) - names)}")
    return Diffusivity(
        **{
            **content,
            "motion": Motion(**motion),
            "settings": DiffusivitySettings(**settings),
            "df": math.inf if df is None else float(df),
            "D_interval68_cm2_s": None if interval is None else (interval[0], interval[1]),
            "D_axes_cm2_s": np.array(content["D_axes_cm2_s"], dtype=float),
            "window_D_cm2_s": np.array(content["window_D_cm2_s"], dtype=float),
            "lag_ps": np.array([0.0, last_ps]),
            "msd_A2": np.full(2, np.nan),
            "msd_spread_A2": None,
            "window_msd_A2": np.full((1, 2), np.nan),
        }
    )
