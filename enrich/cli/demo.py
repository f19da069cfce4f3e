"""`flask demo`: sets everything up, prints the address and the sign-in, and lets work arrive until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import random
import secrets
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
import dotenv

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.cli.base import Command
from enrich.cli.emulator import MODULE as EMULATOR
from enrich.cli.emulator import require_emulator
from enrich.customers.fixtures import builtin_path, read_fixtures
from enrich.customers.seeding import seed
from enrich.database import migrations
from enrich.database.engine import Database
from enrich.demo import changes
from enrich.demo.arrivals import OUR_NUMBER, People, arrivals, call
from enrich.demo.crm import SOURCES_FILE, URL_VARIABLE, Crm, forget_passes, is_read
from enrich.demo.processes import DidNotStart, Processes, free_port

if TYPE_CHECKING:
    from enrich.demo.workplace import Workplace

EMAIL = "demo@example.com"
PORT = click.IntRange(1, 65535)
FIRST_ARRIVALS = 12
# The worker looks for what is due every two seconds.
MAX_FIRST_SYNC_S = 30.0
# What a command needs that looks at the running demo.
SETTINGS_OF_COMMANDS = ("DATABASE_URL", "ENRICH_INSTANCE_PATH", "ENRICH_SOURCES", URL_VARIABLE)
# (seconds without a fault before it, the message, the emulator's fault, its duration in seconds)
FAULTS: tuple[tuple[float, str, dict[str, object], float], ...] = (
    (25.0, "TaskRouter's REST API is failing (503)", {"kind": "status", "status": 503}, 5.0),
    (30.0, "TaskRouter's REST API is slow (5 s an answer)", {"kind": "latency", "seconds": 5.0}, 6.0),
)
# Faults hit only the service's own requests, which fetch or write one task.
ONE_TASK = "/Tasks/WT[0-9a-f]{32}$"


@click.command("demo", cls=Command)
@click.option(
    "--port", type=PORT, default=8000, show_default=True, help="Port of the service; another one if it is taken."
)
@click.option(
    "--emulator-port",
    type=PORT,
    default=8810,
    show_default=True,
    help="Port of the emulator; another one if it is taken.",
)
@click.option("--seconds", type=float, help="Stop after that many seconds.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("instance/demo"),
    show_default=True,
    help="Folder of the database and the logs.",
)
@click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A policy file to try; ENRICH_POLICY is ignored, like all settings.",
)
def demo(port: int, emulator_port: int, seconds: float | None, folder: Path, policy: Path | None) -> None:
    """Run the emulator, the service and the worker on this machine, with incoming work. Stop with Ctrl-C."""
    require_emulator()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        lock = _lock(folder)
        port, emulator_port = _ports(port, emulator_port)
        crm = Crm(folder.absolute() / "crm.db")
        environment = _environment(folder.absolute(), port, emulator_port, crm)
        if policy:
            environment["ENRICH_POLICY"] = str(policy.absolute())
        click.echo("Preparing the database, the customers and a sign-in ...")
        password = _prepare(environment["DATABASE_URL"], crm)
        _write_settings(folder, environment)
        with Processes(environment, folder.absolute() / "logs") as processes:
            workplace = _start(processes, environment, stop)
            if not stop.is_set():
                click.echo(_welcome(environment, password, folder))
                _run(workplace, crm, processes, stop, time.monotonic() + (seconds or float("inf")))
            click.echo("\nStopping the service, the worker and the emulator ...")
        lock.close()
    except DidNotStart as exc:
        raise click.ClickException(str(exc)) from exc


def _lock(folder: Path) -> IO[str]:
    """Lock the folder until the lock is closed: two demos cannot share a database."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as exc:
        raise DidNotStart(f"{folder} cannot be used: {exc.strerror}") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise DidNotStart(f"a demo is running in {folder} already; for another one: --folder SOMEWHERE_ELSE") from None
    return lock


def _ports(port: int, emulator_port: int) -> tuple[int, int]:
    notes = []
    free_ports = []
    for preferred in (port, emulator_port):
        free = free_port(preferred)
        free_ports.append(free)
        if free != preferred:
            notes.append(f"port {preferred} is taken, {free} is used instead")
    if notes:
        click.echo("; ".join(notes).capitalize() + ".")
    return free_ports[0], free_ports[1]


def _environment(folder: Path, port: int, emulator_port: int, crm: Crm) -> dict[str, str]:
    """Return the demo's settings; those for a real account are left out."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TWILIO_", "ENRICH_", "FLASK_", "TASKROUTER_"))
    }
    return inherited | {
        "FLASK_SKIP_DOTENV": "1",
        "SECRET_KEY": secrets.token_hex(32),
        "TWILIO_ACCOUNT_SID": f"AC{secrets.token_hex(16)}",
        "TWILIO_AUTH_TOKEN": secrets.token_hex(16),
        "TASKROUTER_BASE_URL": f"http://127.0.0.1:{emulator_port}",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DATABASE_URL": f"sqlite:///{folder / 'enrich.db'}",
        "ENRICH_INSTANCE_PATH": str(folder),
        "ENRICH_OWN_NUMBERS": OUR_NUMBER,
        "ENRICH_SOURCES": str(SOURCES_FILE),
        URL_VARIABLE: crm.url,
        "BIND": f"127.0.0.1:{port}",
        "PYTHONUNBUFFERED": "1",
    }


def _write_settings(folder: Path, environment: Mapping[str, str]) -> None:
    """Write a file for the option --env-file of commands."""
    for name in SETTINGS_OF_COMMANDS:
        dotenv.set_key(folder / "demo.env", name, environment[name])


def _prepare(url: str, crm: Crm) -> str:
    """Migrate and seed the database, create the CRM, give the demo's account a new password, and return it."""
    database = Database(url)
    password = "-".join(secrets.token_hex(2) for _ in range(4))
    try:
        migrations.upgrade(database)
        seed(database, read_fixtures(builtin_path(), region="US"), now=datetime.now(UTC))
        crm.create()
        forget_passes(database)
        if not users.set_password(database, EMAIL, password):
            users.add(database, email=EMAIL, role=Role.ADMIN, password=password, name="Demo")
    finally:
        database.close()
    return password


def _start(processes: Processes, environment: Mapping[str, str], stop: threading.Event) -> Workplace:
    """Start everything and wait until it responds, or `stop` is set."""
    # Imported here: every web process knows this command, and none needs the SDK that the workplace is set up with.
    from enrich.demo.workplace import Workplace

    emulator, service = environment["TASKROUTER_BASE_URL"], environment["PUBLIC_URL"]
    click.echo("Starting the TaskRouter emulator, the service and the worker ...")
    processes.start("emulator", EMULATOR, "--port", emulator.rpartition(":")[2])
    processes.start("web", "enrich", "serve")
    processes.start("worker", "enrich", "worker")
    processes.wait_for("emulator", f"{emulator}/_emulator/healthz", stop.is_set)
    processes.wait_for("web", f"{service}/readyz", stop.is_set)
    workplace = Workplace(emulator, environment["TWILIO_ACCOUNT_SID"], environment["TWILIO_AUTH_TOKEN"])
    if not stop.is_set():
        workplace.set_up(service)
    _wait_for_first_sync(environment["DATABASE_URL"], processes, stop)
    return workplace


def _wait_for_first_sync(url: str, processes: Processes, stop: threading.Event) -> None:
    """Wait until the worker has read the CRM, so that its customers are known when they call."""
    database = Database(url)
    until = time.monotonic() + MAX_FIRST_SYNC_S
    try:
        while not stop.is_set() and not is_read(database, datetime.now(UTC)):
            processes.check()
            if time.monotonic() > until:
                _print_line("the CRM has not been read yet; the worker's log says why")
                return
            stop.wait(0.2)
    finally:
        database.close()


def _welcome(environment: Mapping[str, str], password: str, folder: Path) -> str:
    return f"""
    Open       {environment["PUBLIC_URL"]}
    Sign in    {EMAIL}   {password}

Work arrives every second or two; now and then TaskRouter's API is slow or fails, and you can watch the effect.
Customers come from a file and from a CRM, a database that the worker reads every five seconds. In the first two minutes
people are created, changed, merged and deleted there, and call; the lines below say when. A customer's page shows where
each value comes from, and the page Sources how far the CRM is read; so does this:
    {shlex.join((_own_command(), "-e", str(folder / "demo.env"), "sources", "status"))}
The emulator's console: {environment["TASKROUTER_BASE_URL"]}/   Logs: {folder / "logs"}
Stop with Ctrl-C.
"""


def _own_command() -> str:
    """Return the command by which this one was called, as a shell finds it from here."""
    return "flask" if Path(sys.argv[0]).name == "__main__.py" else sys.argv[0]


def _run(workplace: Workplace, crm: Crm, processes: Processes, stop: threading.Event, until: float) -> None:
    """Let work arrive, agents work and faults come and go until it is over. Raises DidNotStart if a process dies."""
    chance = random.Random()  # noqa: S311 - a demo's dice
    people = People.of(builtin_path())
    work = arrivals(replace(people, phones=(*people.phones, *crm.phones())), chance)
    faults = _fault_cycle(workplace)
    is_calm, lasts_s = next(faults)
    change_at = time.monotonic() + lasts_s
    began_at, elapsed_s, count = time.monotonic(), 0.0, 0
    while not stop.is_set() and time.monotonic() < until:
        since_s, elapsed_s = elapsed_s, time.monotonic() - began_at
        for event in changes.due(changes.PLAN, since_s, elapsed_s):
            _print_line(event.text)
            if isinstance(event, changes.Change):
                crm.change(event.sql)
            else:
                workplace.receive(*call(event.caller, chance))
        workplace.receive(*next(work))
        # During a fault the agents would get it, too: they use the same API.
        if is_calm:
            workplace.deal_with_tasks()
        processes.check()
        if time.monotonic() >= change_at:
            is_calm, lasts_s = next(faults)
            change_at = time.monotonic() + lasts_s
        count += 1
        stop.wait(0.4 if count <= FIRST_ARRIVALS else chance.uniform(0.8, 2.2))


def _fault_cycle(workplace: Workplace) -> Iterator[tuple[bool, float]]:
    """Yield whether TaskRouter works, and for how many seconds; each step sets or clears a fault."""
    while True:
        for calm_s, symptom, fault, lasts_s in FAULTS:
            yield True, calm_s
            workplace.has_trouble(fault | {"path": ONE_TASK})
            _print_line(f"{symptom} for {lasts_s:.0f} s")
            yield False, lasts_s
            workplace.recovers()
            _print_line("it works again; pending follow-ups are done now")


def _print_line(text: str) -> None:
    """Print a line with the time on the reader's own clock."""
    click.echo(f"  {time.strftime('%H:%M:%S')}  {text}")
