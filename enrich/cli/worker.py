"""The `flask worker` command: runs the worker until SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
from datetime import datetime, timedelta

import click
from flask import Flask
from flask.cli import with_appcontext
from gevent import monkey

from enrich import health, settings
from enrich.cli.base import Command
from enrich.cli.taskrouter import catch_up_since, find_stuck
from enrich.flows import worker as flows_worker
from enrich.services import current_services


@click.command("worker", cls=Command)
@click.option("--once", is_flag=True, help="Do what is due now, and end.")
@click.option("--metrics", metavar="HOST:PORT", help="Serve /metrics, /readyz and /healthz there.")
@with_appcontext
def worker(once: bool, metrics: str | None) -> None:
    """Do what is owed, every half second, until SIGTERM or Ctrl-C. Any number of workers may run."""
    current_services().settings.require(settings.FOR_REST)
    if current_services().settings.frame_ancestors:  # the card's token must be the one that the server makes
        current_services().settings.require(("SECRET_KEY",))
    current_services().require_policy()
    if once:
        click.echo(f"{flows_worker.round_of_work(current_services().adapters, current_services().owed)} tried")
        return
    if not monkey.is_module_patched("socket"):
        # Begun anew under gevent, as the server is: only there can the clock end an answer that drips.
        command = ["-m", "gevent.monkey", "--module", "enrich", "worker", *(("--metrics", metrics) if metrics else ())]
        os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - this very program
    if metrics:
        _serve_health(metrics)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    keep = timedelta(days=current_services().settings.keep_days)

    def beat(now: datetime) -> None:
        current_services().heartbeats.beat(now)
        current_services().tallies.note_owed(now, current_services().owed.how_many)
        current_services().tallies.count(now)

    flows_worker.work_until(
        over.is_set, current_services().adapters, current_services().owed, keep, catch_up_since, beat, find_stuck
    )


def _serve_health(at: str) -> None:
    """Begins to answer for this process there, and for nothing else of the service. Raises click's error."""
    from gevent.pywsgi import WSGIServer

    app = Flask("worker")
    app.extensions["enrich"] = current_services()
    app.register_blueprint(health.bp)
    host, _, port = at.rpartition(":")
    try:
        WSGIServer((host, int(port)), app, log=None).start()
    except (OSError, ValueError) as exc:
        raise click.BadParameter(f"{at}: {exc}", param_hint="--metrics") from exc
