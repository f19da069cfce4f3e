"""The console command `taskrouter-enrich`, also `python -m enrich`: every `flask` command of this service."""

from __future__ import annotations

import click
from flask.cli import FlaskGroup

from enrich import __version__
from enrich.application import create_app


@click.group("taskrouter-enrich", cls=FlaskGroup, create_app=create_app, add_version_option=False)
@click.version_option(__version__, prog_name="taskrouter-enrich")
def main() -> None:
    """CRM enrichment for Twilio TaskRouter, inside the assignment callback."""


if __name__ == "__main__":
    main()
