"""The ``mlmd`` command and how its failures become one line and an exit code."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

import typer

from mlmd._version import __version__
from mlmd.cli import (
    analyze,
    calculators,
    campaign,
    campaign_results,
    compare,
    export,
    features,
    pack,
    predict,
    protocols,
    rdf,
    report,
    run,
    screen,
    status,
    train,
)
from mlmd.cli.outputs import Commands
from mlmd.cli.streams import open_standard_streams
from mlmd.errors import DamagedDataError, InputError, MlmdError, StoppedError

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 3
INTERRUPTED = 130
"""What Typer makes of KeyboardInterrupt."""

app = Commands(
    name="mlmd",
    help="Molecular dynamics of non-crystalline materials and ion conductors with any ASE "
    "calculator.",
    epilog="Exit codes: 0 done, 1 failed, 2 bad input, 3 stopped and resumable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what happens to standard error.")
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="mlmd: %(message)s",
        stream=sys.stderr,
    )


COMMANDS: dict[str, Callable[..., None]] = {
    "pack": pack.pack_command,
    "run": run.run_command,
    "status": status.status_command,
    "export": export.export_command,
    "analyze": analyze.analyze_command,
    "rdf": rdf.rdf_command,
    "features": features.features_command,
    "train": train.train_command,
    "predict": predict.predict_command,
    "screen": screen.screen_command,
    "compare": compare.compare_command,
    "report": report.report_command,
    "protocols": protocols.protocols_command,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(calculators.calculators_app, name="calculators")
for _name, _command in campaign_results.COMMANDS.items():
    campaign.campaign_app.command(_name)(_command)
app.add_typer(campaign.campaign_app, name="campaign")


def main() -> None:
    """Run the command line and exit with its code."""
    open_standard_streams()
    sys.exit(run_command_line(sys.argv[1:]))


@cache
def _whole_command() -> Any:
    """Make it once: it takes longer than most command lines."""
    return typer.main.get_command(app)


def run_command_line(arguments: list[str]) -> int:
    """Run a command line; return the exit code (0 done, 1 failed, 2 bad input, 3 stopped)."""
    try:
        code = _whole_command().main(arguments, "mlmd", standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except (Exception, KeyboardInterrupt) as error:
        logging.getLogger(__name__).info("traceback", exc_info=error)
        code, message = _verdict(error)
        with contextlib.suppress(OSError):
            print(f"mlmd: {' '.join(message.split())}", file=sys.stderr)
        return code
    return code if isinstance(code, int) else DONE


def _verdict(error: BaseException) -> tuple[int, str]:
    """Return exit code and message of a failure."""
    if isinstance(error, KeyboardInterrupt):
        return STOPPED, "interrupted; the same command goes on from what runs and studies keep"
    if isinstance(error, MlmdError):
        kinds = (
            (StoppedError, STOPPED),
            (InputError, BAD_INPUT),
            (DamagedDataError, BAD_INPUT),
        )
        code = next((code for kind, code in kinds if isinstance(error, kind)), FAILED)
        return code, str(error)
    if hasattr(error, "format_message"):  # the command line itself: an unknown option, say
        return BAD_INPUT, error.format_message() or "see mlmd --help"
    if isinstance(error, OSError) and error.strerror:
        what = " and ".join(str(name) for name in (error.filename, error.filename2) if name)
        reason = f"{what}: {error.strerror}" if what else error.strerror
        return FAILED, f"{reason} (mlmd -v ... shows where)"
    if isinstance(error, MemoryError):
        return FAILED, f"not enough memory: {error or 'take fewer atoms or frames'}"
    return FAILED, f"{type(error).__name__}: {error} (mlmd -v ... shows where)"
