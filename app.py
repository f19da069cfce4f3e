"""The application factory: builds every part, wires them, and is the one file that knows them all.

`flask` finds it here without an option; `gunicorn 'app:create_app()'` serves it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from enrich import cli, errors, health, pages
from enrich.cli.base import foreseen_errors
from enrich.customers import card_token
from enrich.customers.store import CustomerStore
from enrich.database.engine import Database
from enrich.domain.deliveries import Exchange, Tried
from enrich.environment import environment
from enrich.flows.work import JITTER, Rules, Tools
from enrich.journal.followups import Owed
from enrich.journal.heartbeats import Heartbeats
from enrich.journal.receipts import Journal
from enrich.journal.rollups import Tallies
from enrich.journal.task_states import States
from enrich.parts import Parts
from enrich.policy.file import Policy
from enrich.policy_file import read_policy_file, rules_of
from enrich.resilience.admission import Admission
from enrich.resilience.circuit_breaker import Breaker
from enrich.resilience.dns_cache import Addresses
from enrich.resilience.timeouts import limited
from enrich.settings import FOR_SERVING, Settings, read_settings
from enrich.taskrouter.client import TaskRouterClient
from enrich.telemetry import logging as telemetry_logging
from enrich.telemetry import multiprocess
from enrich.telemetry.metrics import Metrics
from enrich.telemetry.tracing import tracing_of
from enrich.webhooks import views as webhooks
from enrich.webhooks.load_shedding import Shedding

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HERE = Path(__file__).parent
# No form of a page is longer; what is longer is not read to its end.
LARGEST_OF_PAGES = 1_000_000


def create_app(settings: Settings | None = None) -> Flask:
    """The service, ready to serve.

    settings: those to use; without, they come from the environment and from `.env` beside this file, the environment
    first. Raises SettingsError naming what is wrong, and, when it is to serve, what is missing; a command is told the
    same in one line.
    """
    command = click.get_current_context(silent=True)
    with foreseen_errors() if command else nullcontext():
        return _create_app(settings or _settings(command), serves=_serves(command))


def _create_app(settings: Settings, *, serves: bool) -> Flask:
    telemetry_logging.configure(settings.log_format)
    app = Flask(__name__, static_folder=str(HERE / "enrich" / "static"), instance_path=_instance_path(settings))
    app.config.update(
        SECRET_KEY=settings.secret_key or None,
        MAX_CONTENT_LENGTH=LARGEST_OF_PAGES,
        MAX_FORM_MEMORY_SIZE=LARGEST_OF_PAGES,
    )
    app.extensions["enrich"] = parts = _parts(settings, serves=serves)
    app.register_blueprint(health.bp)
    pages.register(app)
    cli.register(app)
    pages_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies) if settings.trusted_proxies else app.wsgi_app
    hooks_app = Shedding(webhooks.application(parts), parts)
    # Flask's documented way to put a middleware in front; to mypy it assigns to a method, and a callable's parameters
    # have no names.
    app.wsgi_app = _parted(hooks_app, pages_app)  # type: ignore[assignment, method-assign]
    return app


def _parted(hooks_app: WSGIApplication, pages_app: WSGIApplication) -> WSGIApplication:
    """What TaskRouter calls goes to the one, everything else to the other.

    A path begins with one slash, as werkzeug reads it; nginx sends two where it takes a prefix off.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"] = "/" + environ["PATH_INFO"].lstrip("/")
        is_hook = path.startswith(f"{webhooks.PREFIX}/")
        return (hooks_app if is_hook else pages_app)(environ, start_response)

    return application


def _parts(settings: Settings, *, serves: bool) -> Parts:
    policy, wrong = _policy(settings, serves=serves)
    addresses = Addresses()
    metrics, tracing = Metrics(multiprocess.shared()), tracing_of(os.environ)

    def count_exchange(exchange: Exchange) -> None:
        metrics.rest_request(exchange.method, exchange.status)
        if tracing:
            tracing.exchange(exchange)

    def count_followup(tried: Tried) -> None:
        metrics.followup(tried.kind, tried.outcome, tried.reason)
        if tracing:
            tracing.followup(tried)

    database = Database(settings.database_url, addresses=addresses, breaker=_breaker("database", settings, metrics))
    tools = Tools(
        rules=_rules(settings, policy),
        journal=Journal(database, limited=limited),
        states=States(database),
        store=CustomerStore(database),
        taskrouter=TaskRouterClient(
            settings.taskrouter_base_url,
            settings.twilio_api_key or settings.twilio_account_sid,
            settings.twilio_api_secret or settings.twilio_auth_token,
            addresses=addresses,
            breaker=_breaker("taskrouter", settings, metrics),
            observe=count_exchange,
            connections=settings.max_in_flight,  # more would be opened, and closed after use
        ),
        limited=limited,
        now=lambda: datetime.now(UTC),
        pause=lambda seconds: time.sleep(seconds * random.uniform(0.5, JITTER)),  # noqa: S311 - spreads load
        observe=count_followup,
    )
    return Parts(
        settings=settings,
        database=database,
        tools=tools,
        owed=Owed(database),
        heartbeats=Heartbeats(database),
        tallies=Tallies(database),
        admission=Admission(settings.max_in_flight, observe=metrics.in_flight),
        metrics=metrics,
        policy_error=wrong,
        tracing=tracing,
    )


def _breaker(of: str, settings: Settings, metrics: Metrics) -> Breaker:
    return Breaker(failures=settings.breaker_failures, observe=lambda is_open: metrics.breaker(of, is_open))


def _policy(settings: Settings, *, serves: bool) -> tuple[Policy, errors.PolicyError | None]:
    """The policy; to a command also what is wrong with it, so that one can examine what another needs.

    Raises PolicyError where callbacks would be answered by it.
    """
    try:
        return read_policy_file(settings), None
    except errors.PolicyError as exc:
        if serves:
            raise
        return Policy(), exc


def _rules(settings: Settings, policy: Policy) -> Rules:
    """The settings and the policy as the rules take them. Raises SettingsError."""
    rules = rules_of(settings, policy)
    has_cards = settings.frame_ancestors and settings.secret_key
    return replace(rules, card_key=card_token.key_of(settings.secret_key) if has_cards else b"")


def _settings(command: click.Context | None) -> Settings:
    """Those of the environment; complete where they are for serving. Other commands ask for what they use."""
    settings = read_settings(environment())
    if _serves(command):
        settings.require(FOR_SERVING)
    return settings


def _serves(command: click.Context | None) -> bool:
    return command is None or command.info_name == "run"


def _instance_path(settings: Settings) -> str:
    return str(settings.instance_path.absolute())
