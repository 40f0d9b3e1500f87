"""The known calculators: one module each, looked up by name, imported when needed."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def build(spec: CalculatorSpec, directory: Path | None = None) -> Calculator:
    """Make the calculator of a spec; see :meth:`mlmd.CalculatorSpec.load`."""
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
    model: Any = spec.model
    if spec.name in KNOWN:
        require(spec.name)
        model = importlib.import_module(KNOWN[spec.name].module).model_identity(spec)
    given = {"name": spec.name, "model": model, "options": dict(spec.options)}
    # Only where given: runs made before there was a choice stay what they were.
    return given if spec.dtype is None else {**given, "dtype": spec.dtype}


def packages(spec: CalculatorSpec) -> dict[str, str]:
    """Return the versions of the distributions that compute the forces."""
    if spec.name in KNOWN:
        names = KNOWN[spec.name].distributions
    else:
        top = spec.name.partition(":")[0].partition(".")[0]
        names = tuple(importlib.metadata.packages_distributions().get(top, ()))
    return {name: importlib.metadata.version(name) for name in names}


def repeats_bitwise(spec: CalculatorSpec, calculator: Calculator) -> bool | None:
    """Tell whether forces repeat bit for bit; None where nobody has looked."""
    device = str(getattr(calculator, "device", "cpu"))
    if spec.name in KNOWN and device == "cpu" and spec.threads == 1:
        return KNOWN[spec.name].bitwise_on_cpu
    return None
