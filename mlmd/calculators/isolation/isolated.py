"""The caller's side: an ordinary ASE calculator whose forces come from another interpreter."""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

from mlmd.calculators.isolation.ipi_server import IpiServer
from mlmd.calculators.isolation.process import WorkerProcess, raise_told
from mlmd.errors import CalculatorError
from mlmd.numerics.voigt import to_voigt
from mlmd.structure.carried import carried_arrays, carried_info, plain_arrays

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.isolation.ipi_server import IpiForces
    from mlmd.calculators.plain_spec import PlainSpec

START_TIMEOUT_S = 600.0
"""For importing the packages and loading the model, from a slow network disk too."""
CALL_TIMEOUT_S = 1800.0
"""For a force call where the spec names no time: the first one may compile the model."""
PROPERTIES = ("energy", "free_energy", "forces", "stress")


class IsolatedCalculator(Calculator):
    """A calculator in another interpreter, over i-PI's protocol on a Unix-domain socket.

    The socket lies in a private folder. What the protocol lacks goes with it as JSON: which
    atoms there are, with each request; whether there is a stress, whether numbers are finite,
    and errors, with each answer. A worker that dies or hangs is a
    :class:`mlmd.errors.CalculatorError` with the last lines that it said; the next request
    starts another one.

    Parameters
    ----------
    spec
        What to make there; its `python` names the interpreter.
    directory
        Handed to :meth:`mlmd.CalculatorSpec.load` there.

    Raises
    ------
    InputError
        If the interpreter cannot be started or the calculator not be made there.
    """

    def __init__(self, spec: PlainSpec, directory: Path | None = None) -> None:
        super().__init__()
        self.parameters = spec.to_dict()
        self.spec = spec
        self.device: str | None = None
        self.dtype: str | None = None
        self.hardware: str | None = None
        self.n_unconverged_scf = self._n_unconverged_now = self._counted = 0
        # A worker that is started again later finds files by the paths of now.
        self._place = Path.cwd()
        self._program_files = None if directory is None else directory.absolute()
        self._connection: _Connection | None = None
        self._connect()

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as what it was made of; the copy has a worker of its own."""
        return type(self), (self.spec, self._program_files)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Have everything that the calculator can do computed there."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # the line above copies them
        connection = self._connection or self._connect()
        try:
            answer = connection.forces(self.atoms, self.spec.timeout_s or CALL_TIMEOUT_S)
        except BaseException as error:
            # A conversation that was cut off cannot be taken up again.
            said = connection.last_words()
            self.close()
            if isinstance(error, CalculatorError):
                raise CalculatorError(
                    f"calculator '{self.spec.name}' in {self.spec.python}: {error}: {said}"
                ) from error
            raise
        extra = json.loads(answer.extra)
        raise_told(self.spec, extra)
        self.results = _results(self.atoms, answer, extra)
        counted = extra["n_unconverged_scf"]
        # A worker that was started again counts from the beginning.
        self._n_unconverged_now = counted - (self._counted if counted >= self._counted else 0)
        self._counted = counted
        self.n_unconverged_scf += self._n_unconverged_now

    def unconverged_scf_at(self, atoms: Atoms) -> int:
        """Return how often the results kept for these very atoms did not converge."""
        known = bool(self.results) and not self.check_state(atoms)
        return self._n_unconverged_now if known else 0

    def close(self) -> None:
        """End the worker; the next request starts another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> _Connection:
        connection = _Connection(self.spec, self._program_files, self._place)
        known = connection.about["properties"]
        self.implemented_properties = [name for name in PROPERTIES if name in known]
        self.device, self.dtype = connection.about["device"], connection.about["dtype"]
        self.hardware = connection.about["hardware"]
        self._connection = connection
        return connection


class _Connection:
    """A worker and the socket to it."""

    def __init__(self, spec: PlainSpec, directory: Path | None, place: Path) -> None:
        self._worker = WorkerProcess(spec, directory, place)
        self._server = IpiServer(self._worker.socket)
        # Also when the caller forgets about it or ends.
        self.close = weakref.finalize(self, _end, self._server, self._worker)
        try:
            self._worker.start()
            try:
                self._server.accept(START_TIMEOUT_S, self._worker.is_alive)
            except CalculatorError as error:
                self._worker.answer()  # raises what it said, if it said
                raise CalculatorError(
                    f"calculator '{spec.name}' was not made in {spec.python} ({error}): "
                    f"{self._worker.last_lines()}"
                ) from error
            self.about = self._worker.answer()
        except BaseException:
            self.close()
            raise

    def forces(self, atoms: Atoms, timeout_s: float) -> IpiForces:
        arrays = {"numbers": atoms.numbers, **carried_arrays(atoms)}
        who: dict[str, Any] = {
            "arrays": plain_arrays(arrays),
            "info": carried_info(atoms),
            "pbc": atoms.pbc.tolist(),
        }
        cell = atoms.cell.array
        if atoms.cell.rank < 3:  # the protocol needs an inverse
            who["cell_A"], cell = cell.tolist(), np.eye(3)
        return self._server.force_call(
            atoms.positions,
            cell,
            timeout_s=timeout_s,
            alive=self._worker.is_alive,
            init=json.dumps(who).encode(),
        )

    def last_words(self) -> str:
        code = self._worker.exit_code()
        ended = "" if code is None else f"exit code {code}; "
        return f"{ended}{self._worker.last_lines()}"


def _end(server: IpiServer, worker: WorkerProcess) -> None:
    server.close()
    worker.end()


def _results(atoms: Atoms, answer: IpiForces, extra: dict[str, Any]) -> dict[str, Any]:
    """Return the results in ASE's conventions; no stress where the worker has none."""
    if not extra.get("finite", True):
        # Let the guards of the dynamics judge it, as they do for a calculator in this process.
        results = {"energy": np.nan, "forces": np.full_like(answer.forces_eV_A, np.nan)}
        return {**results, **({"stress": np.full(6, np.nan)} if extra["stress"] else {})}
    results = {"energy": answer.energy_eV, "forces": answer.forces_eV_A}
    if extra["free_energy"] is not None:
        results["free_energy"] = extra["free_energy"]
    if extra["stress"]:
        stress = -answer.virial_eV / atoms.get_volume()
        results["stress"] = to_voigt(stress)
    return results
