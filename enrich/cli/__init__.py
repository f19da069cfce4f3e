"""The `flask` commands, one module per group.

Each command asks for the settings that it uses and no others. An expected error ends a command with one line and
status 1.
"""

from __future__ import annotations

from flask import Flask

from enrich.cli.crm import crm
from enrich.cli.database import db
from enrich.cli.demo import demo
from enrich.cli.emulator import emulator
from enrich.cli.followups import followups_group
from enrich.cli.serve import serve
from enrich.cli.settings import settings_command
from enrich.cli.sources import sources
from enrich.cli.taskrouter import taskrouter
from enrich.cli.tokens import tokens_group
from enrich.cli.users import users_group
from enrich.cli.worker import worker

COMMANDS = (
    crm,
    sources,
    db,
    settings_command,
    serve,
    worker,
    followups_group,
    taskrouter,
    emulator,
    demo,
    users_group,
    tokens_group,
)


def register(app: Flask) -> None:
    """Add every command to `flask`."""
    for command in COMMANDS:
        app.cli.add_command(command)
