"""The known calculators: one module each, looked up by name, imported when needed."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.weights import READY, environment_python
from mlmd.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from mlmd.calculators.spec import CalculatorSpec


@dataclass(frozen=True)
class Entry:
    """A known calculator.

    Attributes
    ----------
    module
        Our module for it, light to import. It has ``build(spec)``, for a program
        ``build(spec, directory)``; ``model_identity(spec)``, plain data that names what
        decides the forces besides the options (weights, pseudopotentials), without importing
        the package; and where models are shipped or fetched ``models()``, the file of each by
        name, None where it has to be fetched.
    package
        The importable package that computes the forces, or talks to the program that does.
    distributions
        Distributions whose versions go into a run's manifest.
    extra
        The extra of mlmd that installs it; None where it always is.
    summary
        One line for ``mlmd calculators``.
    bitwise_on_cpu
        Whether one thread on a CPU was seen to repeat its forces bit for bit.
    program
        Executable that has to be there; the option ``command`` names another.
    """

    module: str
    package: str
    distributions: tuple[str, ...]
    extra: str | None
    summary: str
    bitwise_on_cpu: bool
    program: str | None = None


KNOWN: dict[str, Entry] = {
    "chgnet": Entry(
        "mlmd.calculators.chgnet",
        "chgnet",
        ("chgnet", "torch"),
        "chgnet",
        "CHGNet, a universal potential; weights come with the package",
        True,
    ),
    "cp2k": Entry(
        "mlmd.calculators.cp2k",
        "ase",
        ("ase",),
        None,
        "CP2K, density functional theory kept running between steps",
        False,
        "cp2k_shell",
    ),
    "espresso": Entry(
        "mlmd.calculators.espresso",
        "ase",
        ("ase",),
        None,
        "Quantum ESPRESSO (pw.x), density functional theory with plane waves",
        False,
        "pw.x",
    ),
    "emt": Entry(
        "mlmd.calculators.emt",
        "ase",
        ("ase",),
        None,
        "ASE's effective medium theory (Al, Ni, Cu, Pd, Ag, Pt, Au)",
        True,
    ),
    "lj": Entry(
        "mlmd.calculators.lennard_jones",
        "mlmd",
        (),
        None,
        "Lennard-Jones with mixing, for tests and benchmarks",
        True,
    ),
    "m3gnet": Entry(
        "mlmd.calculators.m3gnet",
        "matgl",
        ("matgl", "torch"),
        "m3gnet",
        "M3GNet, or any potential that matgl saved; weights are fetched by you",
        True,
    ),
    "mace": Entry(
        "mlmd.calculators.mace",
        "mace",
        ("mace-torch", "torch"),
        "mace",
        "MACE; weights are fetched by you, and it wants an environment of its own",
        True,
    ),
    "sevennet": Entry(
        "mlmd.calculators.sevennet",
        "sevenn",
        ("sevenn", "torch"),
        "sevennet",
        "SevenNet, a universal potential; weights of the common models come with the package",
        True,
    ),
    "siesta": Entry(
        "mlmd.calculators.siesta",
        "ase",
        ("ase",),
        None,
        "SIESTA 4.1 or 5, density functional theory with atomic orbitals",
        False,
        program="siesta",
    ),
    "vasp": Entry(
        "mlmd.calculators.vasp",
        "ase",
        ("ase",),
        None,
        "VASP (licensed, your own) with settings for molecular dynamics",
        False,
        program="vasp_std",
    ),
}


def is_known(name: str) -> bool:
    """Tell whether `name` is one of the known calculators."""
    return name in KNOWN


def check_name(name: str) -> None:
    """Raise InputError unless `name` is known or has the form ``package.module:factory``."""
    module, colon, factory = name.partition(":")
    named = all(part.isidentifier() for part in module.split(".")) and factory.isidentifier()
    if name in KNOWN or (colon and named):
        return
    raise InputError(
        f"calculator '{name}' is not known; expected one of {', '.join(sorted(KNOWN))}, or "
        "package.module:factory"
    )


def is_installed(name: str) -> bool:
    """Tell whether the package of a known calculator can be imported, or its program found."""
    entry = KNOWN[name]
    if entry.program is not None:
        return shutil.which(entry.program) is not None
    return importlib.util.find_spec(entry.package) is not None


def require(name: str) -> None:
    """Raise MissingExtraError where the package of a known calculator is absent."""
    entry = KNOWN[name]
    if entry.extra is not None and importlib.util.find_spec(entry.package) is None:
        raise MissingExtraError(entry.package, entry.extra)


def interpreter(spec: CalculatorSpec) -> str | None:
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


def build(spec: CalculatorSpec, directory: Path | None = None) -> Calculator:
    """Make the calculator of a spec; see :meth:`mlmd.CalculatorSpec.load`."""
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


def _build_from_factory(spec: CalculatorSpec) -> Calculator:
    """Call the user's own factory and see that it gave a calculator."""
    module_name, _, factory_name = spec.name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except ImportError as error:
        raise InputError(
            f"calculator '{spec.name}': module '{module_name}' cannot be imported ({error}); "
            "put it on PYTHONPATH or install it"
        ) from error
    except AttributeError as error:
        raise InputError(
            f"calculator '{spec.name}': module '{module_name}' has no '{factory_name}'"
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


def physics(spec: CalculatorSpec) -> dict[str, Any]:
    """Return name, options and the identity of the model's weights."""
    python = interpreter(spec)
    if python is not None:
        return dict(_described(replace(spec, python=python))["physics"])
    model: Any = spec.model
    if spec.name in KNOWN:
        require(spec.name)
        model = importlib.import_module(KNOWN[spec.name].module).model_identity(spec)
    given = {"name": spec.name, "model": model, "options": dict(spec.options)}
    # Only where given: runs made before there was a choice stay what they were.
    return given if spec.dtype is None else {**given, "dtype": spec.dtype}


def packages(spec: CalculatorSpec) -> dict[str, str]:
    """Return the versions of the distributions that compute the forces."""
    python = interpreter(spec)
    if python is not None:
        return dict(_described(replace(spec, python=python))["packages"])
    if spec.name in KNOWN:
        names = KNOWN[spec.name].distributions
    else:
        top = spec.name.partition(":")[0].partition(".")[0]
        names = tuple(importlib.metadata.packages_distributions().get(top, ()))
    return {name: importlib.metadata.version(name) for name in names}


@cache
def _described(spec: CalculatorSpec) -> dict[str, Any]:
    """Ask a spec's own interpreter what it makes of it, once."""
    from mlmd.calculators.isolation.process import describe

    return describe(spec)


def repeats_bitwise(spec: CalculatorSpec, calculator: Calculator) -> bool | None:
    """Tell whether forces repeat bit for bit: seen to, known not to, or (None) not known."""
    device = str(getattr(calculator, "device", "cpu"))
    if spec.name in KNOWN and KNOWN[spec.name].program is not None:
        return False  # its wave functions begin where the last step left them
    if spec.name in KNOWN and device == "cpu" and spec.threads == 1:
        return KNOWN[spec.name].bitwise_on_cpu
    return None
