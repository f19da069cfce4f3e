"""The `flask worker` command: runs the worker until SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import datetime, timedelta
from functools import partial

import click
from flask import Flask
from flask.cli import with_appcontext
from gevent import monkey

from enrich import health, settings
from enrich.accounts.attempts import Attempts
from enrich.accounts.sessions import Sessions
from enrich.cli.base import Command
from enrich.cli.syncs import sync_jobs
from enrich.cli.taskrouter import find_stuck, make_catch_up
from enrich.customers.projector import adopt_after
from enrich.database.notifications import Listener
from enrich.flows.upkeep import Upkeep, UpkeepTasks
from enrich.flows.worker import Job, Worker
from enrich.journal.lookups import Lookups
from enrich.journal.reads import Reads
from enrich.services import Services, current_services

# SQLite is asked for news so often; PostgreSQL tells them at once, and is waited for in turns of `LISTEN_S`.
LISTEN_INTERVAL_S = 0.02
LISTEN_S = 1.0
RATE_LIMIT_INTERVAL_S = 1.0


@click.command("worker", cls=Command)
@click.option("--once", is_flag=True, help="Run what is due now, and exit.")
@click.option("--metrics", metavar="HOST:PORT", help="Serve /metrics, /readyz and /healthz there.")
@click.option("--confirm-clock", is_flag=True, help="Confirm that the time is right, and exit.")
@with_appcontext
def worker(once: bool, metrics: str | None, confirm_clock: bool) -> None:
    """Run follow-ups until SIGTERM or Ctrl-C. Any number of workers may run."""
    services = current_services()
    if confirm_clock:
        now = services.clock.synchronize()
        services.heartbeats.confirm_clock(now)
        click.echo(f"{now:%Y-%m-%d %H:%M:%S} UTC is right; old entries are pruned again.")
        return
    services.settings.require(settings.FOR_REST)
    services.settings.require_strong_secrets()
    # Worker and server must make the same card tokens.
    if services.settings.frame_ancestors:
        services.settings.require(("SECRET_KEY",))
    services.require_policy()
    if once:
        services.clock.synchronize()
        click.echo(f"{services.dispatcher.run_batch()} tried")
        return
    if not monkey.is_module_patched("socket"):
        # Restart under gevent, like the server: only there a deadline can interrupt a response that arrives slowly.
        # With the same command, because `flask` starts another app if FLASK_APP names one.
        module = "flask" if click.get_current_context().find_root().command.name == "flask" else "enrich"
        command = ["-m", "gevent.monkey", "--module", module, "worker", *(("--metrics", metrics) if metrics else ())]
        os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - this very program
    if metrics:
        _serve_health(metrics)
    stop, wakeup = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    services.clock.start()
    _worker(services, stop, wakeup).run_until(stop)


def _worker(services: Services, stop: threading.Event, wakeup: threading.Event) -> Worker:
    """Return the worker with its jobs."""

    def count(now: datetime) -> None:
        services.rollups.sample_open_followups(now, services.adapters.followups.open_count)
        services.rollups.count(now)

    def prune(now: datetime) -> int:
        database, keep = services.database, timedelta(days=services.settings.keep_days)
        of_accounts = Sessions(database).prune(now) + Attempts(database).prune(now)
        return of_accounts + Lookups(database).prune(now - keep) + Reads(database).prune(now - keep)

    upkeep = Upkeep(
        services.adapters,
        UpkeepTasks(
            beat=services.heartbeats.beat,
            count=count,
            catch_up=partial(make_catch_up(services).run, is_over=stop.is_set),
            find_stuck=partial(find_stuck, services),
            may_prune=lambda: services.heartbeats.clock_in_doubt_since() is None,
            prune=prune,
            adopt_customers=partial(adopt_after, services.database),
        ),
        timedelta(days=services.settings.keep_days),
        stop,
    )
    syncs = sync_jobs(services, settings.environment(), stop)
    jobs = (*upkeep.jobs, _listening(services, wakeup), _yielding(services), *syncs)
    return Worker(
        services.adapters,
        services.dispatcher,
        concurrency=services.settings.worker_concurrency,
        capacity=services.followup_capacity,
        beat=upkeep.beat,
        jobs=jobs,
        on_return=upkeep.catch_up_soon,
        wakeup=wakeup,
    )


def _listening(services: Services, wakeup: threading.Event) -> Job:
    """Return the job that wakes the worker when something was committed."""
    listener = Listener(services.database)

    def listen() -> None:
        if listener.wait(LISTEN_S):
            wakeup.set()

    return Job("listening", listen, LISTEN_INTERVAL_S)


def _yielding(services: Services) -> Job:
    """Return the job that leaves more of TaskRouter's rate limit to callbacks when those are refused."""
    seen = services.adapters.now()

    def look() -> None:
        nonlocal seen
        last = services.rate_limits.last(services.adapters.now())
        if last is not None and last > seen:
            seen = last
            services.rest_limit.refused()

    return Job("rate limit", look, RATE_LIMIT_INTERVAL_S)


def _serve_health(address: str) -> None:
    """Serve health and metrics of this process at this address. Raises BadParameter."""
    from gevent.pywsgi import WSGIServer

    app = Flask("worker")
    app.extensions["enrich"] = current_services()
    app.register_blueprint(health.bp)
    host, _, port = address.rpartition(":")
    try:
        WSGIServer((host, int(port)), app, log=None).start()
    except (OSError, ValueError) as exc:
        raise click.BadParameter(f"{address}: {exc}", param_hint="--metrics") from exc
