"""The `flask settings` command: every setting with its value and meaning."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from enrich import settings
from enrich.services import current_services


@click.command("settings")
@click.option("--example", is_flag=True, help="The text of .env.example.")
@with_appcontext
def settings_command(example: bool) -> None:
    """List every setting with its value, default and meaning."""
    if example:
        click.echo(settings.example(), nl=False)
        return
    for setting in settings.TABLE:
        value = getattr(current_services().settings, setting.field)
        text = "(set)" if setting.secret and value else ", ".join(value) if isinstance(value, tuple) else value
        click.echo(f"{setting.name} = {text}\n    {setting.help} (default: {setting.default or 'none'})")
