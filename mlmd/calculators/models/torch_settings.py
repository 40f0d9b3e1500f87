"""What a torch model needs of its process, and what it must leave there as it was."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mlmd.errors import CalculatorError, InputError, MlmdError

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.spec import CalculatorSpec

logger = logging.getLogger(__name__)

WORKSPACE = ":4096:8"
"""Buffers with which cuBLAS repeats its sums; NVIDIA's documentation offers this or ``:16:8``."""


def apply_settings(spec: CalculatorSpec) -> str:
    """Set threads and deterministic algorithms, for the whole process: torch knows no other.

    Returns
    -------
    str
        The device, with ``"auto"`` resolved.

    Raises
    ------
    InputError
        If this machine has no such device.
    """
    import torch

    device = spec.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    # Making a tensor is what shows that the device is there.
    with loading(spec, "a device of this machine, such as cpu or cuda"):
        torch.empty(1, device=device)
    torch.set_num_threads(spec.threads)
    if spec.deterministic:
        if device.startswith("cuda"):
            # Read when cuBLAS is first used, which is after this.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", WORKSPACE)
        torch.use_deterministic_algorithms(True)
    return device


def refuse_double(spec: CalculatorSpec) -> None:
    """Raise InputError where double precision is asked of a model that knows single only."""
    if spec.dtype == "float64":
        raise InputError(
            f"calculator '{spec.name}' knows only float32; given dtype 'float64'; leave it out"
        )


@contextlib.contextmanager
def loading(spec: CalculatorSpec, expected: str) -> Iterator[None]:
    """Load a model without a word and leave the process as it was.

    What a package prints or warns goes to the log; the environment, torch's default dtype and
    the handlers of the root logger are put back; whatever it raises becomes an InputError.

    Parameters
    ----------
    spec
        Whose model.
    expected
        What the user should have given; the end of the error's message.
    """
    import torch

    environment, dtype = dict(os.environ), torch.get_default_dtype()
    handlers = logging.root.handlers[:]
    notes = io.StringIO()
    # Packages build their models in the default dtype, whatever the user has made it.
    torch.set_default_dtype(torch.float32)
    try:
        with contextlib.redirect_stdout(notes), warnings.catch_warnings(record=True) as warned:
            yield
    except MlmdError:
        raise
    except Exception as error:  # torch and pickle raise anything; the cause is kept
        raise InputError(
            f"calculator '{spec.name}' was not made ({_one_line(error)}); expected {expected}"
        ) from error
    finally:
        torch.set_default_dtype(dtype)
        logging.root.handlers[:] = handlers
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update(environment)
    for line in [*notes.getvalue().splitlines(), *(str(one.message) for one in warned)]:
        logger.info("%s: %s", spec.name, line)


class GuardedModel(Calculator):
    """Mixed into a package's calculator by :func:`guarded`; each model has one of its own.

    Elements that the model was not trained for, and anything that goes wrong in it, leave as
    errors of mlmd; torch's default dtype is the model's own during a call and as it was after.
    """

    spec_name: str
    elements: frozenset[str]
    dtype: str
    deterministic: bool

    def set_atoms(self, atoms: Atoms) -> None:
        """Accept any atoms; what the model knows is checked where forces are asked."""

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Compute what the model gives.

        Raises
        ------
        InputError
            If the model does not know an element.
        CalculatorError
            If the model fails.
        """
        if atoms is None:
            raise InputError(f"calculator '{self.spec_name}' was given no atoms")
        with self._watched([atoms]):
            self._calculate_one(atoms, properties, system_changes)
        _without_volume(atoms, self.results)

    def calculate_many(
        self, structures: Sequence[Atoms], properties: Collection[str]
    ) -> list[dict[str, Any]]:
        """Compute structures of any sizes and elements in one batch.

        Parameters
        ----------
        structures
            Their own calculators are not asked.
        properties
            ASE's names; what comes along with these is given, too.

        Returns
        -------
        list of dict
            ASE's results of each structure, as its calculator would keep them, and ``num_edges``:
            the same within rounding as of each alone, but not to the last bit.

        Raises
        ------
        InputError, CalculatorError
            As for one alone; whose fault it is only a batch of one tells.
        """
        with self._watched(structures):
            results = self.compute(structures, properties)
        for atoms, result in zip(structures, results, strict=True):
            _without_volume(atoms, result)
        return results

    def compute(
        self, structures: Sequence[Atoms], properties: Collection[str]
    ) -> list[dict[str, Any]]:
        """Return the results of each structure: what a model's own class gives."""
        raise NotImplementedError

    def graphs(self, structures: Sequence[Atoms]) -> Any:
        """Return what :meth:`compute` begins with: who is near whom, without the model."""
        raise NotImplementedError

    def _calculate_one(self, atoms: Atoms, properties: Any, system_changes: Any) -> None:
        """Have the package's calculator compute one structure."""
        super().calculate(atoms, properties, system_changes)

    def _batch_of_one(self, atoms: Atoms, properties: Any, system_changes: Any) -> None:
        """Compute one structure as many are, past the package's calculator."""
        Calculator.calculate(self, atoms, properties, system_changes)
        self.results = self.compute([atoms], properties)[0]

    @contextlib.contextmanager
    def _watched(self, structures: Sequence[Atoms]) -> Iterator[None]:
        """Refuse what the model does not know; have what fails in it leave as ours."""
        for atoms in structures:
            if len(atoms) == 0:
                raise InputError(f"calculator '{self.spec_name}' was given a structure of no atoms")
            unknown = sorted(set(atoms.get_chemical_symbols()) - self.elements)
            if unknown:
                raise InputError(
                    f"the model of calculator '{self.spec_name}' does not know "
                    f"{', '.join(unknown)}; it knows {', '.join(sorted(self.elements))}"
                )
            if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
                raise CalculatorError(
                    f"calculator '{self.spec_name}' was given {atoms.get_chemical_formula()} at "
                    "positions that are not finite"
                )
        try:
            with default_dtype(self.dtype):
                yield
        except MlmdError:
            raise
        except Exception as error:  # torch raises anything; the cause is kept
            of = structures[0].get_chemical_formula()
            more = f" and {len(structures) - 1} more" if len(structures) > 1 else ""
            raise CalculatorError(
                f"calculator '{self.spec_name}' failed on {of}{more} "
                f"({_one_line(error)}); look at the structure and, on a GPU, at its memory"
            ) from error


def _without_volume(atoms: Atoms, results: dict[str, Any]) -> None:
    """Take away a stress that was divided by a volume which packages make up."""
    if atoms.cell.rank < 3:
        results.pop("stress", None)


def guarded(base: type[Calculator], model: type[GuardedModel]) -> Any:
    """Return `base` with `model` mixed in.

    Its own list of properties: MACE extends the list that every calculator of ASE shares.
    """
    properties = list(base.implemented_properties)
    return type(base.__name__, (model, base), {"implemented_properties": properties})


def guard(calculator: Any, spec: CalculatorSpec, elements: Collection[str], dtype: str) -> None:
    """Tell a guarded calculator what it may be asked."""
    calculator.spec_name, calculator.dtype = spec.name, dtype
    calculator.elements = frozenset(elements)
    calculator.deterministic = spec.deterministic


@contextlib.contextmanager
def default_dtype(name: str) -> Iterator[None]:
    """Make `name` torch's default dtype, and put the one before back."""
    import torch

    before, wanted = torch.get_default_dtype(), getattr(torch, name)
    if before == wanted:
        # Also where the call changes it and fails before changing it back.
        try:
            yield
        finally:
            if torch.get_default_dtype() != before:
                torch.set_default_dtype(before)
        return
    torch.set_default_dtype(wanted)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _one_line(error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"{type(error).__name__}: {reason}"
