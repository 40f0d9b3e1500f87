"""The i-PI server against ASE's own client: units, signs, order, deadlines, bad answers."""

import socket
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.socketio import SocketClient
from ase.units import Bohr, Hartree

from mlmd.calculators.isolation.ipi_server import IpiServer
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.errors import CalculatorError, InputError


def alive():
    return True


@pytest.fixture
def salt():
    """Twelve interleaved atoms in a triclinic cell."""
    cell = [[8.2, 0.0, 0.0], [1.1, 8.6, 0.0], [-0.7, 1.3, 8.9]]
    atoms = Atoms("LiClLiClClLiLiClLiClClLi", cell=cell, pbc=True)
    grid = np.array([(i % 3, i // 3 % 2, i // 6) for i in range(12)]) / [3, 2, 2]
    atoms.positions = grid @ atoms.cell.array
    atoms.rattle(0.1, seed=3)
    atoms.calc = LennardJones(sigma_A=2.2, epsilon_eV=0.05, cutoff_A=3.9)
    return atoms


@pytest.fixture(params=["unix", "tcp"])
def server(request):
    server = IpiServer(tcp=request.param == "tcp")
    yield server
    server.close()


def ase_client(server, atoms):
    """Connect ASE's client, computing with the calculator of `atoms`, in a thread."""

    def work():
        if server.port is None:
            client = SocketClient(unixsocket=server.name)
        else:
            client = SocketClient(host=server.address, port=server.port)
        client.run(atoms, use_stress=True)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    server.accept(5.0, alive)
    return thread


def plain_client(server):
    client = socket.socket(socket.AF_UNIX)
    client.connect(server.address)
    server.accept(5.0, alive)
    return client


def answer(client, *, n_atoms, n_sent=None, energy=0.0, forces=None, extra=b"", cut=None):
    """Play one whole dialogue by hand, in a thread; return what INIT said."""
    said = []

    def header(text):
        client.sendall(text.encode().ljust(12))

    def work():
        client.recv(12, socket.MSG_WAITALL)
        header("NEEDINIT")
        client.recv(12, socket.MSG_WAITALL)
        _, length = struct.unpack("=ii", client.recv(8, socket.MSG_WAITALL))
        said.append(client.recv(length, socket.MSG_WAITALL))
        client.recv(12, socket.MSG_WAITALL)
        header("READY")
        client.recv(12 + 144 + 4 + 24 * n_atoms + 12, socket.MSG_WAITALL)
        header("HAVEDATA")
        client.recv(12, socket.MSG_WAITALL)
        header("FORCEREADY")
        number = n_atoms if n_sent is None else n_sent
        values = np.zeros(3 * number + 9) if forces is None else np.append(forces, np.zeros(9))
        body = struct.pack("=di", energy, number) + values.tobytes()
        body += struct.pack("=i", len(extra)) + extra
        client.sendall(body[:cut])
        if cut is not None:
            client.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, said


def call(server, atoms, **changes):
    arguments = {"timeout_s": 5.0, "alive": alive, **changes}
    return server.force_call(atoms.positions, atoms.cell.array, **arguments)


def test_energy_forces_and_stress_survive_the_way_there_and_back(server, salt):
    client_atoms = salt.copy()
    client_atoms.calc = LennardJones(sigma_A=2.2, epsilon_eV=0.05, cutoff_A=3.9)
    thread = ase_client(server, client_atoms)
    for strain in (0.0, 0.02):
        # The cell is sheared, so that a transposed one would be seen.
        salt.set_cell(salt.cell.array @ (np.eye(3) + strain * np.eye(3, k=1)), scale_atoms=True)
        result = call(server, salt)
        assert result.energy_eV == pytest.approx(salt.get_potential_energy(), abs=1e-12)
        assert result.forces_eV_A == pytest.approx(salt.get_forces(), abs=1e-12)
        stress = -result.virial_eV / salt.get_volume()
        assert stress == pytest.approx(salt.get_stress(voigt=False), abs=1e-13)
        assert np.abs(stress).max() > 1e-3
        assert client_atoms.cell.array == pytest.approx(salt.cell.array, abs=1e-12)
    server.close()
    thread.join(5.0)
    assert not thread.is_alive()


def test_virial_that_is_not_symmetric_is_transposed_as_on_the_way_out():
    server = IpiServer()
    client = plain_client(server)
    virial = np.arange(9.0).reshape(3, 3)

    def work():
        client.recv(12, socket.MSG_WAITALL)
        client.sendall(b"READY".ljust(12))
        client.recv(12 + 144 + 4 + 24 + 12, socket.MSG_WAITALL)
        client.sendall(b"HAVEDATA".ljust(12))
        client.recv(12, socket.MSG_WAITALL)
        body = struct.pack("=di", 1.0, 1) + np.arange(3.0).tobytes()
        client.sendall(b"FORCEREADY".ljust(12) + body + virial.T.tobytes() + struct.pack("=i", 0))

    threading.Thread(target=work, daemon=True).start()
    result = call(server, Atoms("H", cell=[5] * 3))
    server.close()
    assert result.energy_eV == pytest.approx(Hartree)
    assert result.forces_eV_A[0] == pytest.approx(np.arange(3) * Hartree / Bohr)
    assert result.virial_eV == pytest.approx(virial * Hartree)


def test_init_bytes_arrive_and_free_bytes_come_back():
    server = IpiServer()
    thread, said = answer(plain_client(server), n_atoms=2, extra=b'{"charge": 1}')
    result = call(server, Atoms("H2", cell=[5] * 3), init=b"H2, please")
    thread.join(5.0)
    server.close()
    assert said == [b"H2, please"]
    assert result.extra == b'{"charge": 1}'


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_sent": 1}, "of 1 atoms; expected 2"),
        ({"n_sent": -3}, "of -3 atoms; expected 2"),
        ({"energy": np.nan}, "not finite"),
        ({"forces": [0, 0, np.inf, 0, 0, 0]}, "not finite"),
        ({"cut": 5}, "closed the connection"),
        ({"cut": 40}, "closed the connection"),
    ],
)
def test_bad_answer_is_an_error_of_one_line(changes, message):
    server = IpiServer()
    if "n_sent" in changes and changes["n_sent"] < 0:
        changes = {**changes, "forces": np.zeros(6)}
    thread, _ = answer(plain_client(server), n_atoms=2, **changes)
    with pytest.raises(CalculatorError, match=message) as caught:
        call(server, Atoms("H2", cell=[5] * 3))
    thread.join(5.0)
    server.close()
    assert "\n" not in str(caught.value)


def test_next_client_is_served_after_one_that_broke_off(salt):
    server = IpiServer()
    answer(plain_client(server), n_atoms=len(salt), cut=3)
    with pytest.raises(CalculatorError, match="closed"):
        call(server, salt)
    with pytest.raises(CalculatorError, match="accept one first"):
        call(server, salt)
    client_atoms = salt.copy()
    client_atoms.calc = LennardJones(sigma_A=2.2, epsilon_eV=0.05, cutoff_A=3.9)
    ase_client(server, client_atoms)
    assert call(server, salt).energy_eV == pytest.approx(salt.get_potential_energy())
    server.close()


def test_silent_client_is_given_up_at_the_deadline():
    server = IpiServer()
    client = plain_client(server)
    begin = time.monotonic()
    with pytest.raises(CalculatorError, match=r"within 0\.3 s; give a larger timeout_s"):
        call(server, Atoms("H", cell=[5] * 3), timeout_s=0.3)
    assert 0.25 < time.monotonic() - begin < 20.0  # not the hour of a call without a limit
    client.close()
    server.close()


def test_client_that_takes_no_positions_is_given_up_at_the_deadline():
    server = IpiServer()
    client = plain_client(server)
    client.sendall(b"READY".ljust(12))
    with pytest.raises(CalculatorError, match="did not take the positions"):
        call(server, Atoms("H100000", cell=[5] * 3), timeout_s=0.3)
    client.close()
    server.close()


def test_dead_process_is_noticed_long_before_the_deadline():
    server = IpiServer()
    begin = time.monotonic()
    with pytest.raises(CalculatorError, match="process ended; expected it to connect"):
        server.accept(60.0, lambda: False)
    client = plain_client(server)
    with pytest.raises(CalculatorError, match="process ended; expected it to answer"):
        call(server, Atoms("H", cell=[5] * 3), timeout_s=60.0, alive=lambda: False)
    assert time.monotonic() - begin < 30.0  # half of one of the two deadlines
    client.close()
    server.close()


def test_nobody_connects():
    server = IpiServer()
    with pytest.raises(CalculatorError, match=r"did not connect within 0\.2 s"):
        server.accept(0.2, alive)
    server.close()


def test_socket_file_is_private_short_and_removed():
    server = IpiServer()
    file = Path(server.address)
    assert len(server.address) < 100
    assert file.is_socket()
    assert file.parent.stat().st_mode & 0o077 == 0
    assert server.address == f"/tmp/ipi_{server.name}"
    server.close()
    server.close()
    assert not file.parent.exists()

    forgotten = IpiServer()
    file = Path(forgotten.address)
    del forgotten
    assert not file.parent.exists()


def test_socket_where_the_caller_wants_it(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s")
    server = IpiServer(folder / "s")
    assert server.address == str(folder / "s")
    with pytest.raises(InputError, match="no socket at"):
        IpiServer(folder / "s")
    server.close()
    assert list(folder.iterdir()) == []
    with pytest.raises(InputError, match="expected at most 99"):
        IpiServer(folder / ("long" * 30))
