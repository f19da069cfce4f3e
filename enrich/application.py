"""The application factory: pages and commands in one Flask application, webhooks and the API in others.

In a checkout `app.py` hands it to `flask` and to `gunicorn 'app:create_app()'`; where the service is installed it is
`gunicorn 'enrich.application:create_app()'`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from enrich import cli, health, pages
from enrich.api import views as api
from enrich.api.access import PREFIX as API_PREFIX
from enrich.cli.base import foreseen_errors
from enrich.domain.lengths import MAX_CLIENT_ADDRESS_LENGTH, MAX_PAGE_REQUEST_BYTES
from enrich.pages.page_timeout import PageTimeout
from enrich.resources import resource
from enrich.services import build_services
from enrich.settings import FOR_SERVING, Settings, environment, read_settings
from enrich.taskrouter import endpoints
from enrich.telemetry import logging as telemetry_logging
from enrich.webhooks import views as webhooks
from enrich.webhooks.load_shedding import LoadShedding

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def create_app(settings: Settings | None = None) -> Flask:
    """Create the Flask application.

    settings: those to use; without, they come from the environment and from `.env` beside this file, the environment
    first. Raises SettingsError naming what is wrong, and, when it is to serve, what is missing or can be guessed; a
    command is told the same in one line.
    """
    command = click.get_current_context(silent=True)
    with foreseen_errors() if command else nullcontext():
        return _create_app(settings or _settings(command), serves=_serves(command))


def _create_app(settings: Settings, *, serves: bool) -> Flask:
    telemetry_logging.configure(settings.log_format)
    app = Flask(
        __name__,
        template_folder=str(resource("templates")),
        static_folder=str(resource("static")),
        instance_path=str(settings.instance_path.absolute()),
    )
    app.config.update(
        SECRET_KEY=settings.secret_key or None,
        MAX_CONTENT_LENGTH=MAX_PAGE_REQUEST_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_PAGE_REQUEST_BYTES,
    )
    # A redirect to the address with one slash would take the host from the request.
    app.url_map.merge_slashes = False
    app.extensions["enrich"] = services = build_services(settings, serves=serves)
    app.register_blueprint(health.bp)
    pages.register(app)
    cli.register(app)
    pages_app: WSGIApplication = PageTimeout(app.wsgi_app, services.refusals)
    if settings.trusted_proxies:
        pages_app = ProxyFix(_with_short_address(pages_app), x_for=settings.trusted_proxies)
    hooks_app = LoadShedding(webhooks.application(services), services)
    # Flask's documented way to put a middleware in front; to mypy it assigns to a method, and a callable's parameters
    # have no names.
    app.wsgi_app = _dispatcher(hooks_app, api.application(services), pages_app)  # type: ignore[assignment, method-assign]
    return app


def _dispatcher(hooks_app: WSGIApplication, api_app: WSGIApplication, pages_app: WSGIApplication) -> WSGIApplication:
    """Return an application that sends webhooks and requests of other systems to theirs, and all others to the pages.

    A path begins with one slash, as werkzeug reads it; nginx sends two where it takes a prefix off.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"] = "/" + environ["PATH_INFO"].lstrip("/")
        if path.startswith(f"{endpoints.PREFIX}/"):
            return hooks_app(environ, start_response)
        return (api_app if path.startswith(f"{API_PREFIX}/") else pages_app)(environ, start_response)

    return application


def _with_short_address(pages_app: WSGIApplication) -> WSGIApplication:
    """Return the application with the client's address cut: a header that somebody forged would be logged whole."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = environ.get("REMOTE_ADDR", "")[:MAX_CLIENT_ADDRESS_LENGTH]
        return pages_app(environ, start_response)

    return application


def _settings(command: click.Context | None) -> Settings:
    """Return the settings of the environment; complete for serving. Other commands require only what they use."""
    settings = read_settings(environment())
    if _serves(command):
        settings.require(FOR_SERVING)
        settings.require_strong_secrets()
    return settings


def _serves(command: click.Context | None) -> bool:
    return command is None or command.info_name == "run"
