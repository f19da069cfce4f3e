"""The `serve` command: gunicorn with the configuration that comes with the service."""

from __future__ import annotations

import os
import sys

import click

from enrich.resources import resource

APPLICATION = "enrich.application:create_app()"


@click.command("serve", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Serve webhooks and pages with gunicorn. ARGUMENTS go to gunicorn: --bind 0.0.0.0:8000, --workers 4."""
    command = ["-m", "gunicorn", "--config", str(resource("gunicorn.conf.py")), *arguments, APPLICATION]
    os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - gunicorn, with our own configuration
