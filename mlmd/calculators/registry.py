"""The known calculators: one module each, looked up by name, imported when needed."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.known import KNOWN
from mlmd.calculators.plain_spec import D3
from mlmd.calculators.weights import READY, environment_python, named_files
from mlmd.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from mlmd.calculators.plain_spec import PlainSpec


IN_BATCHES = "computed in batches: who else is in one decides how its sums are rounded"
"""Why the forces of walkers that share a model do not repeat bit for bit."""


def is_installed(name: str) -> bool:
    """Tell whether the package of a known calculator can be imported, or its program found."""
    entry = KNOWN[name]
    if entry.program is not None:
        named = any(os.environ.get(variable) for variable in entry.command_variables)
        return named or shutil.which(entry.program) is not None
    return importlib.util.find_spec(entry.package) is not None


def require(name: str) -> None:
    """Raise MissingExtraError where the package of a known calculator is absent."""
    entry = KNOWN[name]
    if entry.extra is not None and importlib.util.find_spec(entry.package) is None:
        from mlmd.calculators.isolation.environments import installable

        other_way = f"mlmd calculators install {name}" if name in installable() else None
        raise MissingExtraError(entry.package, entry.extra, other_way)


def interpreter(spec: PlainSpec) -> str | None:
    """Return the interpreter that a spec's calculator runs in; None for this one.

    A model whose package is not in this environment runs in the one that
    ``mlmd calculators install`` made for it, where there is one.
    """
    if spec.python is not None or spec.name not in KNOWN:
        return spec.python
    if KNOWN[spec.name].extra is None or is_installed(spec.name):
        return None
    python = environment_python(spec.name)
    return str(python) if (python.parents[1] / READY).is_file() else None


def build(spec: PlainSpec, directory: Path | None = None) -> Calculator:
    """Make the calculator of a spec; see :meth:`mlmd.CalculatorSpec.load`."""
    if D3 in spec.options:
        from mlmd.calculators.dispersion import WithD3, without_d3

        bare, dispersion = without_d3(spec)
        return WithD3(build(bare, directory), dispersion)
    python = interpreter(spec)
    if python is not None:
        from mlmd.calculators.isolation import IsolatedCalculator

        return IsolatedCalculator(replace(spec, python=python), directory)
    if spec.name not in KNOWN:
        return _build_from_factory(spec)
    require(spec.name)
    module = importlib.import_module(KNOWN[spec.name].module)
    if KNOWN[spec.name].program is None:
        calculator: Calculator = module.build(spec)
    else:
        folder = directory or Path(tempfile.mkdtemp(prefix=f"mlmd-{spec.name}-"))
        calculator = module.build(spec, folder)
    return calculator


def _build_from_factory(spec: PlainSpec) -> Calculator:
    """Call the user's own factory and see that it gave a calculator."""
    module_name, _, factory_name = spec.name.partition(":")
    _find_modules_here_too()
    try:
        module = importlib.import_module(module_name)
        factory = getattr(module, factory_name)
    except ImportError as error:
        raise InputError(
            f"calculator '{spec.name}': module '{module_name}' cannot be imported ({error}); "
            "put it into the working directory or on PYTHONPATH, or install it"
        ) from error
    except AttributeError as error:
        raise InputError(
            f"calculator '{spec.name}': module '{module_name}' "
            f"({getattr(module, '__file__', None) or 'of Python itself'}) has no '{factory_name}'"
        ) from error
    options = dict(spec.options)
    if spec.model is not None:
        options["model"] = spec.model
    try:
        calculator = factory(**options)
    except Exception as error:  # the user's own code; the cause is kept
        reason = " ".join(str(error).split())
        raise InputError(
            f"calculator '{spec.name}' was not made ({type(error).__name__}: {reason})"
        ) from error
    if not hasattr(calculator, "get_property"):
        raise InputError(
            f"calculator '{spec.name}' returned {type(calculator).__name__}; "
            "expected an ASE calculator"
        )
    return calculator  # type: ignore[no-any-return]


def _find_modules_here_too() -> None:
    """Have the user's modules found in the working directory, after all that is installed."""
    with contextlib.suppress(FileNotFoundError):  # somebody has removed it
        here = os.getcwd()
        if here not in sys.path:
            sys.path.append(here)


def physics(spec: PlainSpec, elements: Collection[str] | None = None) -> dict[str, Any]:
    """Return name, options and the identity of the model's weights or pseudopotentials.

    Those of a program are known where the elements are: without, as for runs of identity
    version 1, all files of their folder are in it.
    """
    if D3 in spec.options:
        from mlmd.calculators.dispersion import without_d3

        bare, dispersion = without_d3(spec)
        plain = physics(bare, elements)
        return {**plain, "options": {**plain["options"], D3: asdict(dispersion)}}
    python = interpreter(spec)
    if python is not None:
        of = None if elements is None else tuple(elements)
        return dict(_described(replace(spec, python=python), named_files(spec), of)["physics"])
    model: Any = spec.model
    if spec.name in KNOWN:
        require(spec.name)
        room = importlib.import_module(KNOWN[spec.name].module)
        by_element = KNOWN[spec.name].program is not None and elements is not None
        model = room.model_identity(spec, *([elements] if by_element else []))
    apart = KNOWN[spec.name].not_physics if spec.name in KNOWN else ()
    options = {key: value for key, value in spec.options.items() if key not in apart}
    given = {"name": spec.name, "model": model, "options": options}
    # Only where given: runs made before there was a choice stay what they were.
    return given if spec.dtype is None else {**given, "dtype": spec.dtype}


def packages(spec: PlainSpec) -> dict[str, str]:
    """Return the versions of the distributions that compute the forces."""
    if D3 in spec.options:
        from mlmd.calculators.dispersion import without_d3

        bare, _ = without_d3(spec)
        return {**packages(bare), "dftd3": importlib.metadata.version("dftd3")}
    python = interpreter(spec)
    if python is not None:
        return dict(_described(replace(spec, python=python), named_files(spec))["packages"])
    if spec.name in KNOWN:
        names = KNOWN[spec.name].distributions
    else:
        top = spec.name.partition(":")[0].partition(".")[0]
        names = tuple(_distributions().get(top, ()))
    return {name: importlib.metadata.version(name) for name in names}


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Return which distributions a package comes from; half a second where many are installed."""
    return importlib.metadata.packages_distributions()


@cache
def _described(
    spec: PlainSpec, files: tuple[tuple[int, ...], ...], elements: tuple[str, ...] | None = None
) -> dict[str, Any]:
    """Ask a spec's own interpreter what it makes of it, once until its files change."""
    from mlmd.calculators.isolation.process import describe

    return describe(spec, elements)


def device_and_dtype(calculator: Calculator) -> dict[str, str | None]:
    """Return where a calculator computes and in which floating-point type; None: not said.

    With the version of a program that has said it.
    """
    device, dtype = (getattr(calculator, name, None) for name in ("device", "dtype"))
    if dtype is None:
        parameters = getattr(getattr(calculator, "model", None), "parameters", None)
        first = next(iter(parameters()), None) if callable(parameters) else None
        dtype = None if first is None else str(first.dtype).removeprefix("torch.")
    version = getattr(calculator, "program_version", None)
    return {
        "device": None if device is None else str(device),
        "dtype": None if dtype is None else str(dtype),
        **({} if version is None else {"version": str(version)}),
    }


def way_of_computing(spec: PlainSpec, calculator: Calculator) -> dict[str, Any]:
    """Return what decides the last bits of the forces besides the physics.

    :func:`device_and_dtype`, the model of the processor or GPU, the threads and the interpreter.
    """
    return {
        **device_and_dtype(calculator),
        "hardware": hardware_of(calculator),
        "threads": spec.threads,
        "python": interpreter(spec) or "that of mlmd",
    }


def hardware_of(calculator: Calculator) -> str:
    """Return the model of the GPU or the processor that a calculator computes on."""
    known = getattr(calculator, "hardware", None)  # of one in another interpreter
    device = str(getattr(calculator, "device", None) or "cpu")
    if isinstance(known, str):
        return known
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    return _processor()


@cache
def _processor() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def repeats_bitwise(spec: PlainSpec, calculator: Calculator) -> tuple[bool | None, str]:
    """Tell whether forces repeat bit for bit (None: not known), and why."""
    device = str(getattr(calculator, "device", None) or "cpu")
    if getattr(calculator, "in_batches", False):
        return False, IN_BATCHES
    if spec.name not in KNOWN:
        return None, f"'{spec.name}' is not one of the calculators that were tried"
    if KNOWN[spec.name].program is not None:
        return False, f"the wave functions of {spec.name} begin where its last step left them"
    if device == "cpu" and spec.threads == 1:
        return KNOWN[spec.name].bitwise_on_cpu, f"{spec.name} on one thread of a CPU was tried"
    return None, f"{spec.name} was not tried on {device} with {spec.threads} thread(s)"
