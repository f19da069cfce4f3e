"""The `flask emulator` command: runs the TaskRouter emulator as a process of its own."""

from __future__ import annotations

import os
import sys

import click


@click.command("emulator", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def emulator(arguments: tuple[str, ...]) -> None:
    """Run the TaskRouter emulator alone, with a page that shows what it does: --port N, --host H."""
    # A process of its own: nothing of the service is in it, and nothing of it is in the service.
    os.execv(sys.executable, [sys.executable, "-m", "taskrouter_emulator", *arguments])  # noqa: S606 - our own module
