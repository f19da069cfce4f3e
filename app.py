"""The application factory: builds every part, wires them, and is the one file that knows them all.

`flask` finds it here without an option; `gunicorn 'app:create_app()'` serves it.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from dotenv import dotenv_values
from flask import Flask

from enrich import accounts, pages
from enrich.db import Database
from enrich.parts import Parts
from enrich.settings import FOR_SERVING, Settings, read_settings

HERE = Path(__file__).parent


def create_app(settings: Settings | None = None) -> Flask:
    """The service, ready to serve.

    settings: those to use; without, they come from the environment and from `.env` beside this file, the environment
    first. Raises SettingsError naming what is wrong, and, when it is to serve, what is missing.
    """
    if settings is None:
        settings = read_settings(_environment())
        if _is_to_serve():
            settings.require(FOR_SERVING)
    app = Flask(
        __name__, static_folder=str(HERE / "enrich" / "static"), instance_path=str(settings.instance_path.absolute())
    )
    app.config.update(SECRET_KEY=settings.secret_key or None)
    app.extensions["enrich"] = Parts(settings=settings, database=Database(settings.database_url))
    accounts.register(app)
    pages.register(app)
    return app


def _environment() -> dict[str, str]:
    from_file = {} if os.environ.get("FLASK_SKIP_DOTENV") else dotenv_values(HERE / ".env")
    return {**{name: value or "" for name, value in from_file.items()}, **os.environ}


def _is_to_serve() -> bool:
    """Whether a server is asking, not a command, which asks for the settings it uses by itself."""
    command = click.get_current_context(silent=True)
    return command is None or command.info_name == "run"
