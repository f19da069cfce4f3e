"""The `flask emulator` command: runs the TaskRouter emulator as a process of its own."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

import click

MODULE = "taskrouter_emulator"


def require_emulator() -> None:
    """Raise ClickException unless the emulator is installed beside the service. Nothing of it is imported."""
    if find_spec(MODULE) is None:
        raise click.ClickException(
            "The emulator is not installed: pip install taskrouter-emulator, or make setup in a checkout"
        )


@click.command("emulator", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def emulator(arguments: tuple[str, ...]) -> None:
    """Run the TaskRouter emulator alone, with a page that shows its tasks and callbacks: --port N, --host H."""
    require_emulator()
    # A process of its own: service and emulator share no code.
    os.execv(sys.executable, [sys.executable, "-m", MODULE, *arguments])  # noqa: S606 - a module of ours
