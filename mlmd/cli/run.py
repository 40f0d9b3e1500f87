"""``mlmd run``: a protocol on a structure, in a directory."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlmd.cli.options import (
    AsJson,
    CalculatorOptions,
    Density,
    Deterministic,
    Device,
    Dtype,
    Format,
    Python,
    Seed,
    SupercellAtoms,
    SupercellDiameter,
    Threads,
    Trust,
    Vacancies,
    VolumePerAtom,
    assignments,
)
from mlmd.cli.outputs import Output
from mlmd.errors import DamagedDataError, RunDirectoryError, RunLostError, StoppedError
from mlmd.plain import json_line

if TYPE_CHECKING:
    from mlmd.run.run import Run


def run_command(
    protocol: Annotated[str, typer.Argument(help="A protocol's name or a YAML file.")],
    calculator: Annotated[
        list[str],
        typer.Option(
            "--calculator",
            help="A name (chgnet, mace:FILE, vasp, ...) or package.module:factory; for one stage "
            "or a class of stages melt=chgnet, again for the next; or a YAML file of these.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Directory of the run."), Output("run")],
    composition: Annotated[
        str | None, typer.Option("--composition", help="Composition to pack.")
    ] = None,
    structure: Annotated[
        Path | None, typer.Option("--structure", help="File to start from instead.")
    ] = None,
    format: Format = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--from", help="RUN:STAGE, the end of a stage of a run to start from instead."
        ),
    ] = None,
    n_atoms: Annotated[
        int | None,
        typer.Option("--n-atoms", help="About how many atoms to pack, 100 if not given."),
    ] = None,
    density_g_cm3: Density = None,
    volume_per_atom_A3: VolumePerAtom = None,
    supercell_diameter_A: SupercellDiameter = None,
    supercell_n_atoms: SupercellAtoms = None,
    vacancies: Vacancies = None,
    seed: Seed = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME.field=value: one stage, or all stages of a class."),
    ] = None,
    extend: Annotated[
        list[str] | None,
        typer.Option("--extend", help="STAGE=PS: lengthen a stage to this total."),
    ] = None,
    calculator_options: CalculatorOptions = None,
    device: Device = "auto",
    threads: Threads = 1,
    dtype: Dtype = None,
    deterministic: Deterministic = False,
    python: Python = None,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout-s", help="Time after which a force call there has hung."),
    ] = None,
    trust: Trust = False,
    checkpoint_every_s: Annotated[
        float, typer.Option("--checkpoint-every-s", help="Wall time between checkpoints.")
    ] = 30.0,
    allow_version_change: Annotated[
        bool, typer.Option("--allow-version-change", help="Go on with other package versions.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take a directory that another process holds.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show steps, frames, disk and time; write nothing."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a protocol; the same command goes on where it stopped."""
    from mlmd.calculators.choice import chosen_calculators
    from mlmd.cli.progress import shown_progress
    from mlmd.cli.signals import stop_on_signals
    from mlmd.cli.starting import Start
    from mlmd.protocol import Protocol
    from mlmd.protocol.settings import RunSettings

    chosen = Protocol.load(protocol).with_settings(assignments(settings or [], "--set"))
    calculators = chosen_calculators(
        calculator,
        device=device,
        threads=threads,
        dtype=dtype,
        deterministic=deterministic,
        python=python,
        timeout_s=timeout_s,
        trust=trust,
        options=assignments(calculator_options or [], "--calculator-option"),
    )
    kept = RunSettings(checkpoint_every_s, allow_version_change, take_over)
    more = assignments(extend or [], "--extend")
    atoms = Start(
        composition=composition,
        structure=structure,
        end=end,
        n_atoms=n_atoms,
        density_g_cm3=density_g_cm3,
        volume_per_atom_A3=volume_per_atom_A3,
        format=format,
        diameter_A=supercell_diameter_A,
        supercell_n_atoms=supercell_n_atoms,
        vacancies=vacancies or [],
        seed=seed,
    ).atoms()
    if dry_run:
        from mlmd.cli.dry_run import show_plan

        show_plan(chosen, atoms, calculators, out, seed, more, as_json)
        return
    before = _n_sessions(out)
    with stop_on_signals() as stop, shown_progress() as progress:
        try:
            run = chosen.run(
                atoms,
                calculators,
                out,
                seed=seed,
                progress=progress,
                stop=stop,
                extend=more,
                settings=kept,
            )
        except RunLostError:
            raise  # the same command is not what helps
        except StoppedError as error:
            raise type(error)(f"{error}: {shlex.join(['mlmd', *sys.argv[1:]])}") from error
    _report(run, out, before == len(run.manifest.sessions), as_json)


def _n_sessions(out: Path) -> int:
    """Return how often somebody began to work on a run; one that is done is left alone."""
    from mlmd.run.run import Run

    try:
        return len(Run.open(out).manifest.sessions)
    except (RunDirectoryError, DamagedDataError):
        return 0


def _report(run: Run, out: Path, nothing_to_do: bool, as_json: bool) -> None:
    if as_json:
        content: dict[str, Any] = {
            "directory": str(out),
            "status": run.status,
            "results": run.results,
        }
        print(json_line(content))
        return
    what = "nothing to do" if nothing_to_do else f"{len(run.stages)} stages"
    print(f"{out} is done: {what}; analyse it with: mlmd analyze {out}")
