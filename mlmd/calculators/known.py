"""The calculators that can be named, as a table."""

from __future__ import annotations

from dataclasses import dataclass

from mlmd.errors import InputError


@dataclass(frozen=True)
class Entry:
    """A known calculator.

    Attributes
    ----------
    module
        Our module for it, light to import. It has ``build(spec)``, for a program
        ``build(spec, directory)``; ``model_identity(spec)``, for a program also
        ``model_identity(spec, elements)``, plain data that names what decides the forces
        besides the options (weights, pseudopotentials), without importing the package; and
        where models are shipped or fetched ``models()``, the file of each by name, None where
        it has to be fetched.
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
    command_variables
        Environment variables that name another, the first that is set.
    not_physics
        Options that say where things are or how they are reached, not what is computed: a run
        may go on with others.
    """

    module: str
    package: str
    distributions: tuple[str, ...]
    extra: str | None
    summary: str
    bitwise_on_cpu: bool
    program: str | None = None
    command_variables: tuple[str, ...] = ()
    not_physics: tuple[str, ...] = ()


KNOWN: dict[str, Entry] = {
    "chgnet": Entry(
        "mlmd.calculators.models.chgnet",
        "chgnet",
        ("chgnet", "torch"),
        "chgnet",
        "CHGNet, a universal potential; weights come with the package",
        True,
    ),
    "cp2k": Entry(
        "mlmd.calculators.programs.cp2k",
        "ase",
        ("ase",),
        None,
        "CP2K, density functional theory kept running between steps",
        False,
        program="cp2k_shell",
        command_variables=("MLMD_CP2K_COMMAND", "ASE_CP2K_COMMAND"),
        not_physics=("command",),
    ),
    "espresso": Entry(
        "mlmd.calculators.programs.espresso",
        "ase",
        ("ase",),
        None,
        "Quantum ESPRESSO (pw.x), density functional theory with plane waves",
        False,
        program="pw.x",
        command_variables=("MLMD_ESPRESSO_COMMAND", "ASE_ESPRESSO_COMMAND"),
        not_physics=("command", "pseudopotentials"),
    ),
    "emt": Entry(
        "mlmd.calculators.models.emt",
        "ase",
        ("ase",),
        None,
        "ASE's effective medium theory (Al, Ni, Cu, Pd, Ag, Pt, Au)",
        True,
    ),
    "lj": Entry(
        "mlmd.calculators.models.lennard_jones",
        "mlmd",
        (),
        None,
        "Lennard-Jones with mixing, for tests and benchmarks",
        True,
    ),
    "m3gnet": Entry(
        "mlmd.calculators.models.m3gnet",
        "matgl",
        ("matgl", "torch"),
        "m3gnet",
        "M3GNet, or any potential that matgl saved; weights are fetched by you",
        True,
    ),
    "mace": Entry(
        "mlmd.calculators.models.mace",
        "mace",
        ("mace-torch", "torch"),
        "mace",
        "MACE; weights are fetched by you, and it wants an environment of its own",
        True,
    ),
    "sevennet": Entry(
        "mlmd.calculators.models.sevennet",
        "sevenn",
        ("sevenn", "torch"),
        "sevennet",
        "SevenNet, a universal potential; weights of the common models come with the package",
        True,
    ),
    "siesta": Entry(
        "mlmd.calculators.programs.siesta",
        "ase",
        ("ase",),
        None,
        "SIESTA 4.1 or 5, density functional theory with atomic orbitals",
        False,
        program="siesta",
        command_variables=("MLMD_SIESTA_COMMAND",),
        not_physics=("command", "mode", "pseudopotentials", "socket"),
    ),
    "vasp": Entry(
        "mlmd.calculators.programs.vasp",
        "ase",
        ("ase",),
        None,
        "VASP (licensed, your own) with settings for molecular dynamics",
        False,
        program="vasp_std",
        command_variables=("MLMD_VASP_COMMAND", "ASE_VASP_COMMAND", "VASP_COMMAND"),
        not_physics=("command", "mode"),
    ),
}


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
