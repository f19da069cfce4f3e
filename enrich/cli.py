"""The `flask` commands, apart from `flask users` (accounts/commands.py) and `flask demo` (demo/command.py).

Each asks for the settings it uses and no others. Errors of ours end a command with one line and status 1.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import with_appcontext
from gevent import monkey

from enrich import catchup, completion, followups, health, migrations, settings
from enrich.commands import Command, Group
from enrich.customers import context, fixtures, matching, seeding
from enrich.demo.command import demo
from enrich.doctor import doctor
from enrich.parts import parts
from enrich.policy.commands import policy
from enrich.taskrouter import callbacks
from enrich.taskrouter.commands import describe, provision
from enrich.vocabulary import FollowupKind

# From so many lines on a progress bar tells more than the wait does.
LARGE_FILE = 1000


def register(app: Flask) -> None:
    for command in (crm, db, show_settings, work, owed, taskrouter, emulator, demo):
        app.cli.add_command(command)


@click.command("emulator", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def emulator(arguments: tuple[str, ...]) -> None:
    """Run the TaskRouter emulator alone, with a page that shows what it does: --port N, --host H."""
    # A process of its own: nothing of the service is in it, and nothing of it is in the service.
    os.execv(sys.executable, [sys.executable, "-m", "enrich.emulator", *arguments])  # noqa: S606 - our own module


@click.group(cls=Group)
def crm() -> None:
    """Customers: fixtures in and out, and what a key would match."""


@crm.command("seed")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_appcontext
def seed(files: tuple[Path, ...]) -> None:
    """Load FILEs of customers (.json, .jsonl, .csv), or the built-in ones. A second time changes nothing.

    Rows that are wrong are told with line, field and reason; the others are loaded, and the status is 1.
    """
    bad = 0
    region = parts().settings.default_region
    for path in files or (fixtures.builtin_path(),):
        with _progress_of(path) as progress:
            rows = fixtures.read_fixtures(path, region=region)
            report = seeding.seed(parts().database, rows, now=datetime.now(UTC), progress=progress)
        for row in report.bad:
            click.echo(f"{path.name}: {row}", err=True)
        bad += len(report.bad)
        click.echo(
            f"{path.name}: {report.created} new, {report.changed} changed, {report.unchanged} unchanged"
            + (f", {report.settled} partly as staff settled them" if report.settled else "")
            + (f", {len(report.bad)} not loaded" if report.bad else "")
        )
    if bad:
        raise SystemExit(1)


@contextmanager
def _progress_of(path: Path) -> Iterator[Callable[[int], None] | None]:
    """A progress bar for a file of more than a thousand lines, on a terminal: on the lines, as rows are not known."""
    with path.open("rb") as file:
        lines = sum(1 for _ in file)
    if lines < LARGE_FILE or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=lines, label=path.name, file=sys.stderr) as bar:
        yield lambda done: bar.update(done - bar.pos)


@crm.command("export")
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
@with_appcontext
def export(file: Any) -> None:
    """Write all customers to FILE, or to standard output, one JSON object a line; `crm seed` reads it."""
    for customer in seeding.export(parts().database):
        file.write(json.dumps(customer, ensure_ascii=False) + "\n")


@crm.command("lookup")
@click.argument("key", required=False)
@click.option("--kind", help="What KEY is: phone, email, address, account_number … (default: whatever is looked up)")
@click.option("--attributes", help="Instead of KEY: the attributes of a task, as JSON.")
@with_appcontext
def lookup(key: str | None, kind: str | None, attributes: str | None) -> None:
    """Tell which customer KEY leads to, and why, as it would for a task that holds it."""
    parts().require_policy()
    rules = parts().tools.rules
    keys = matching.lookup_keys(*_as_task(key, kind, attributes, rules.keys))
    store = parts().tools.store
    found = store.look_up(keys)
    match = matching.choose(keys, found.candidates)
    customer = store.details_of(match, found)
    for asked in matching.explain(keys, found.candidates, match)["keys"]:
        click.echo(f"{asked['kind']} {asked['value']} ({asked['trust']}): {asked['found'] or 'nobody'}")
    for attribute in keys.withheld:
        click.echo(f"{attribute}: the caller hides the number")
    click.echo(
        json.dumps({rules.attribute: context.compose(match, customer, rules.shape)[0]}, ensure_ascii=False, indent=2)
    )


def _as_task(
    key: str | None, kind: str | None, attributes: str | None, rules: matching.KeyRules
) -> tuple[dict[str, Any], matching.KeyRules]:
    """Attributes that hold what was given, and the rules to read them by."""
    if (key is None) == (attributes is None):
        raise click.UsageError("Give either KEY or --attributes.")
    if attributes is not None:
        try:
            task = json.loads(attributes)
        except ValueError as exc:
            raise click.BadParameter(f"not JSON: {exc}", param_hint="--attributes") from exc
        if not isinstance(task, dict):
            raise click.BadParameter("not a JSON object", param_hint="--attributes")
        return task, rules
    if kind is None:
        return {source.attribute: key for source in rules.sources if len(source.path) == 1}, rules
    try:
        return {"key": key}, matching.KeyRules.parse(f"key:{kind}", region=rules.region)
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--kind") from exc


@click.group(cls=Group)
def db() -> None:
    """The database's schema."""


@db.command("upgrade")
@click.argument("revision", default="head")
@with_appcontext
def db_upgrade(revision: str) -> None:
    """Bring the schema up to REVISION (default: the newest)."""
    migrations.upgrade(parts().database, revision)
    _tell_revision()


@db.command("downgrade")
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_appcontext
def db_downgrade(revision: str, yes: bool) -> None:
    """Take the schema down to REVISION: `-1` for one step, `base` for all, and then everything is gone."""
    if not yes:
        shown = parts().database.url.render_as_string(hide_password=True)
        click.confirm(f"Tables and columns of {shown} will be deleted, with what is in them. Go on?", abort=True)
    migrations.downgrade(parts().database, revision)
    _tell_revision()


@db.command("current")
@with_appcontext
def db_current() -> None:
    """Tell where the schema is, and where this code wants it."""
    _tell_revision()


def _tell_revision() -> None:
    at, head = migrations.revisions(parts().database)
    click.echo(f"at {at or 'nothing'}" + ("" if at == head else f"; this version needs {head}: flask db upgrade"))


@click.command("settings")
@click.option("--example", is_flag=True, help="The text of .env.example.")
@with_appcontext
def show_settings(example: bool) -> None:
    """List every setting: what it is set to, its default, and what it means."""
    if example:
        click.echo(settings.example(), nl=False)
        return
    for setting in settings.TABLE:
        value = getattr(parts().settings, setting.field)
        shown = "(set)" if setting.secret and value else ", ".join(value) if isinstance(value, tuple) else value
        click.echo(f"{setting.name} = {shown}\n    {setting.help} (default: {setting.default or 'none'})")


@click.command("worker", cls=Command)
@click.option("--once", is_flag=True, help="Do what is due now, and end.")
@click.option("--metrics", metavar="HOST:PORT", help="Serve /metrics, /readyz and /healthz there.")
@with_appcontext
def work(once: bool, metrics: str | None) -> None:
    """Do what is owed, every half second, until SIGTERM or Ctrl-C. Any number of workers may run."""
    parts().settings.require(settings.FOR_REST)
    if parts().settings.frame_ancestors:  # the card's token must be the one that the server makes
        parts().settings.require(("SECRET_KEY",))
    parts().require_policy()
    if once:
        click.echo(f"{followups.round_of_work(parts().tools, parts().owed)} tried")
        return
    if not monkey.is_module_patched("socket"):
        # Begun anew under gevent, as the server is: only there can the clock end an answer that drips.
        command = ["-m", "gevent.monkey", "--module", "flask", "worker", *(("--metrics", metrics) if metrics else ())]
        os.execv(sys.executable, [sys.executable, *command])  # noqa: S606 - this very program
    if metrics:
        _serve_health(metrics)
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    keep = timedelta(days=parts().settings.keep_days)

    def beat(now: datetime) -> None:
        parts().heartbeats.beat(now)
        parts().tallies.note_owed(now, parts().owed.how_many)
        parts().tallies.count(now)

    followups.work_until(over.is_set, parts().tools, parts().owed, keep, _catch_up, beat, _find_stuck)


def _serve_health(at: str) -> None:
    """Begins to answer for this process there, and for nothing else of the service. Raises click's error."""
    from gevent.pywsgi import WSGIServer

    app = Flask("worker")
    app.extensions["enrich"] = parts()
    app.register_blueprint(health.bp)
    host, _, port = at.rpartition(":")
    try:
        WSGIServer((host, int(port)), app, log=None).start()
    except (OSError, ValueError) as exc:
        raise click.BadParameter(f"{at}: {exc}", param_hint="--metrics") from exc


@click.group(cls=Group)
def taskrouter() -> None:
    """TaskRouter itself, over REST."""


taskrouter.add_command(policy)
taskrouter.add_command(provision)
taskrouter.add_command(describe)
taskrouter.add_command(doctor)


@taskrouter.command("catch-up")
@click.option("--minutes", type=click.IntRange(1, 30 * 24 * 60), default=60, show_default=True, help="How far back.")
@with_appcontext
def catch_up(minutes: int) -> None:
    """Bring in what was never recorded: events, and reservations whose enrichment is then owed."""
    parts().settings.require(settings.FOR_REST)
    parts().require_policy()
    now = datetime.now(UTC)
    click.echo(f"{_catch_up(now - timedelta(minutes=minutes), now)} brought in")


def _catch_up(since: datetime, now: datetime) -> int:
    # Imported here: the SDK is large, and the web processes know this module for its commands' names.
    from enrich.taskrouter.history import History

    chosen = parts().settings
    history = History(
        chosen.taskrouter_base_url,
        chosen.twilio_account_sid,
        chosen.twilio_api_key or chosen.twilio_account_sid,
        chosen.twilio_api_secret or chosen.twilio_auth_token,
    )
    return catchup.catch_up(history, parts().tools, _workspaces(), since, now)


def _find_stuck(now: datetime) -> int:
    if parts().tools.rules.policy.wrapup.complete_after_s is None:
        return 0
    return sum(completion.stuck(each, parts().tools, parts().owed, now) for each in _workspaces())


def _workspaces() -> Sequence[str]:
    """The one that is set; else those that the journal knows."""
    chosen = parts().settings.twilio_workspace_sid
    return [chosen] if chosen else parts().tools.journal.recent_workspaces()


@taskrouter.command("wrap-up")
@click.argument("task_sid", metavar="TASK")
@click.option("--reservation", help="Only this worker's part of the work: the SID of the reservation.")
@click.option("--workspace", help="The workspace of TASK (default: the one that is set, or that the journal knows).")
@with_appcontext
def wrap_up(task_sid: str, reservation: str | None, workspace: str | None) -> None:
    """Put TASK into wrapping: the work itself is over. What is further already stays as it is."""
    _carry_out(FollowupKind.WRAP_UP, task_sid, reservation, workspace)


@taskrouter.command("complete")
@click.argument("task_sid", metavar="TASK")
@click.option("--outcome", default="", help="What came of it; kept on the task and in the customer's history.")
@click.option("--reason", default="", help="What TaskRouter keeps as the task's reason.")
@click.option("--reservation", help="Only this worker's part of the work: the SID of the reservation.")
@click.option("--workspace", help="The workspace of TASK (default: the one that is set, or that the journal knows).")
@with_appcontext
def complete(task_sid: str, outcome: str, reason: str, reservation: str | None, workspace: str | None) -> None:
    """Complete TASK, from assigned or wrapping. What is completed or gone already is well."""
    _carry_out(FollowupKind.COMPLETE, task_sid, reservation, workspace, outcome, reason)


def _carry_out(
    kind: FollowupKind,
    task_sid: str,
    reservation: str | None,
    workspace: str | None,
    outcome: str = "",
    reason: str = "",
) -> None:
    parts().settings.require(settings.FOR_REST)
    tools, owed = parts().tools, parts().owed
    for name, sid, prefix in (("TASK", task_sid, "WT"), ("--reservation", reservation, "WR")):
        if sid is not None and callbacks.sid_or_none({name: sid}, name, prefix) is None:
            raise click.BadParameter(f"not a SID: {prefix} and 32 hexadecimal digits", param_hint=name)
    known = workspace or parts().settings.twilio_workspace_sid or tools.states.workspace_of(task_sid)
    if not known:
        raise click.UsageError("The journal does not know this task: give its --workspace.")
    wish = completion.Wish(kind, known, task_sid, "command line", outcome, reason, reservation)
    key = completion.ask(wish, tools)
    is_over, why = followups.do_now(key, tools, owed)
    if not is_over:
        raise click.ClickException(f"{why or 'a worker is at it'}: it is owed, and flask worker goes on trying")
    if why:
        raise click.ClickException(f"not done: {why}")
    click.echo("done")


@click.group("followups", cls=Group)
def owed() -> None:
    """What is owed: enrichment, and what follows from events, until it is done or given up."""


@owed.command("list")
@with_appcontext
def list_owed() -> None:
    """List what is owed or was given up, the newest 100."""
    lines = parts().owed.overview()
    for line in lines:
        state = f"due {line.due_at:%Y-%m-%d %H:%M:%S} UTC" if line.due_at else "given up"
        tried = f"tried {line.attempts} times" + (f", last {line.last_reason}" if line.last_reason else "")
        click.echo(f"{line.id}  {line.kind}  {line.task_sid}  {state}, {tried}")
    if not lines:
        click.echo("nothing is owed")


@owed.command("retry")
@click.argument("ids", nargs=-1, type=int, required=True)
@with_appcontext
def retry(ids: tuple[int, ...]) -> None:
    """Try the follow-ups IDS again, now, from the beginning."""
    count = parts().owed.retry(ids, datetime.now(UTC))
    others = "" if count == len(ids) else "; the others are done, or there are none with these numbers"
    click.echo(f"{count} of {len(ids)} will be tried again{others}")
    if not count:
        raise SystemExit(1)
