"""`flask sources`: the systems that customers come from, as the sources file declares them."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from enrich import errors
from enrich.cli.base import Group
from enrich.cli.doctor import lines_of
from enrich.cli.load_progress import duration
from enrich.cli.pushes import apply_again, are_pushes, push_in_words
from enrich.cli.source_checks import examine
from enrich.cli.syncs import LOOK_INTERVAL_S, declare_sources, sync_of
from enrich.customers import quarantine
from enrich.customers.projection import FILE, RecordState
from enrich.customers.push_intake import PUSH
from enrich.customers.quarantine import QuarantinedRecord
from enrich.customers.search import find_customers
from enrich.customers.stream_states import StreamStates
from enrich.domain.findings import Finding, Level, worst
from enrich.domain.streams import Pass, StreamState, behind
from enrich.flows.sync import Run
from enrich.services import Services, connector_of, current_services, declared_databases, read_sources_file
from enrich.settings import environment
from enrich.sources.file import SqlDeclaration

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
# Rows of quarantine that are read together.
_PAGE = 500


@click.group("sources", cls=Group)
def sources() -> None:
    """The systems that customers come from: databases, and systems that send their customers."""


@sources.command("check")
@click.argument("file", type=_FILE, required=False)
@click.option("--offline", is_flag=True, help="Check the file alone, and connect to nothing.")
@with_appcontext
def check(file: Path | None, offline: bool) -> None:
    """Check FILE, or the file of ENRICH_SOURCES, and list every mistake; then look at each source that it names.

    Nothing is written. Status: 0 all is right, or there are warnings; 1 there are mistakes or problems.
    """
    settings = current_services().settings
    path = file or settings.sources
    if path is None:
        raise click.UsageError("Give a FILE, or set ENRICH_SOURCES.")
    environ = environment()
    declared = read_sources_file(settings, path, environ=environ).declarations
    kinds = ", ".join(f"{name} ({declaration.kind})" for name, declaration in declared.items())
    click.echo(f"{path}: {kinds}: OK")
    found: list[Finding] = []
    for declaration in () if offline else declared.values():
        click.echo(f"\n{declaration.name}")
        for finding in examine(current_services(), declaration, declared, environ):
            found.append(finding)
            click.echo(lines_of(finding))
    if worst(found) is Level.PROBLEM:
        raise SystemExit(1)


# --- syncs


@sources.command("sync")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--full", is_flag=True, help="Read every row, not only what changed.")
@click.option("--watch", is_flag=True, help="Go on, as the file says when, until SIGTERM or Ctrl-C.")
@click.option("--accept", type=int, metavar="N", help="Answer the question of the brake: N may leave.")
@with_appcontext
def sync(names: tuple[str, ...], full: bool, watch: bool, accept: int | None) -> None:
    """Read what changed in the databases called NAME, or in all, and apply it. The worker does the same by itself.

    Status: 0 all are read; 1 one could not be read, is read by another process, or waits for an answer.
    """
    services = _services()
    if accept is not None and _accept(services, names, accept):  # what sends its customers does so again by itself
        return
    declared = _declared(services, names)
    if watch:
        _watch(services, declared)
        return
    results = [_sync(services, declaration, full=full) for declaration in declared]
    if not all(results):
        raise SystemExit(1)


def _accept(services: Services, names: Sequence[str], number: int) -> bool:
    if len(names) != 1:
        raise click.UsageError("--accept answers for one source: give its NAME.")
    if not StreamStates(services.database).accept(names[0], number):
        raise click.ClickException(f"{names[0]} does not ask for {number}. See: flask sources status {names[0]}")
    return are_pushes(services, names)


def _sync(services: Services, declaration: SqlDeclaration, *, full: bool) -> bool:
    """Sync one database and say how it went; return whether it is in sync now."""
    name, states = declaration.name, StreamStates(services.database)
    state = states.of(name, services.adapters.now())
    pass_ = Pass.FULL if full else (state and (state.requested or state.interrupted)) or Pass.WINDOW
    began_at = services.adapters.now()
    try:
        with closing(connector_of(declaration, environment())) as connector:
            run = sync_of(services, declaration, connector, progress=_Progress(name)).run(pass_)
    except errors.SourceError as exc:
        click.echo(f"{name}: {exc.reason}: {exc}", err=True)
        if isinstance(exc, errors.BrakeApplied):
            click.echo(_how_to_answer(name, exc.removed), err=True)
        return False
    if run is None:
        state = states.of(name, services.adapters.now())
        click.echo(f"{name}: {state.owner if state and state.owner else 'another process'} reads it already", err=True)
        return False
    click.echo(f"{name}: {_told(run)}, in {(services.adapters.now() - began_at).total_seconds():.1f} s")
    if run.question is not None:
        click.echo(f"{name}: {run.question.detail}; nothing was removed", err=True)
        click.echo(_how_to_answer(name, run.question.removed), err=True)
    return run.question is None


def _watch(services: Services, declared: Sequence[SqlDeclaration]) -> None:
    """Sync as the file says when. Ends soon after SIGTERM, between two pages."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    services.clock.start()
    connectors = [connector_of(declaration, environment()) for declaration in declared]
    syncs = [
        sync_of(services, declaration, connector, progress=_Progress(declaration.name), is_over=stop.is_set)
        for declaration, connector in zip(declared, connectors, strict=True)
    ]
    while not stop.is_set():
        for declaration, one in zip(declared, syncs, strict=True):
            try:
                run = one.run_due()
            except (errors.SourceError, errors.DatabaseError) as exc:
                click.echo(f"{declaration.name}: {exc.reason}: {exc}", err=True)
                continue
            if run is not None and run.is_complete:
                click.echo(f"{declaration.name}: {_told(run)}")
        stop.wait(LOOK_INTERVAL_S)
    for connector in connectors:
        connector.close()


class _Progress:
    """Tells on standard error how far a long run is, at most every ten seconds."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began_at = self._told_at = datetime.now(UTC)

    def __call__(self, run: Run) -> None:
        now = datetime.now(UTC)
        if now - self._told_at < _TELL_EVERY:
            return
        self._told_at = now
        rate = run.counts["read"] / (now - self._began_at).total_seconds()
        click.echo(f"{self._name}: {_told(run)}, {rate:,.0f} rows a second", err=True)


def _told(run: Run) -> str:
    """Return a run in words: "window: 12 read, 1 created, 11 unchanged"."""
    return f"{run.pass_.value}: {_counted(run.counts) or 'nothing read'}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[name]:,} {word}" for name, word in _WORDS.items() if counts.get(name))


def _how_to_answer(name: str, removed: int) -> str:
    return f"If that is right: flask sources sync {name} --accept {removed}"


# --- what is known


@sources.command("status")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@with_appcontext
def status(names: tuple[str, ...]) -> None:
    """Show for each source how far behind it is, how its last run went, and what waits for somebody.

    Status: 0 all is well; 1 one fails, is stopped, or waits for an answer.
    """
    services = _services()
    now, states = services.adapters.now(), StreamStates(services.database)
    known = {state.source: state for state in states.all(now)}
    if unknown := [name for name in names if name not in known]:
        raise click.ClickException(f"Nothing was ever read from {', '.join(unknown)}.")
    shown = [known[name] for name in names] if names else list(known.values())
    records, quarantined = states.records(), states.quarantined()
    for state in shown:
        words = "loaded by flask crm seed" if state.kind == FILE else _state_in_words(state, now)
        click.echo(f"{state.source} ({state.kind}): {words}")
        if state.counts:
            click.echo(f"  last run: {_counted(state.counts) or 'nothing read'}")
        by_state = [f"{number:,} {name.value}" for name, number in sorted(records.get(state.source, {}).items())]
        click.echo(f"  records: {', '.join(by_state) or 'none'}")
        if state.source in quarantined:
            missing, incomplete = quarantined[state.source]
            click.echo(f"  quarantine: {missing:,} not loaded, {incomplete:,} loaded without some of their values")
        if state.question is not None:
            click.echo(f"  {state.question.detail}\n  {_how_to_answer(state.source, state.question.removed)}")
    if not shown:
        click.echo("Nothing was read yet. Declare a source (docs/sources.md), and run: flask sources sync")
    if any(state.problem or state.question for state in shown):
        raise SystemExit(1)


def _state_in_words(state: StreamState, now: datetime) -> str:
    if state.kind == PUSH:
        return push_in_words(state)
    if state.owner is not None:
        return f"read by {state.owner}"
    late = behind(state, now)
    words = "never read whole" if late is None else f"as it was {duration(late.total_seconds())} ago"
    if state.problem is None:
        return words
    next_at = "stopped until somebody mends it" if state.is_stopped else f"tried again at {_time(state.due_at)}"
    return f"{words}; {state.problem}: {state.detail} ({next_at})"


@sources.command("find")
@click.argument("name")
@click.argument("key")
@with_appcontext
def find(name: str, key: str) -> None:
    """Show the record KEY of the source NAME, at the source and in the store.

    KEY is the source's own, or a phone number, e-mail address or id of a customer. Status: 1 if nothing is found.
    """
    services = _services()
    states = StreamStates(services.database)
    remote_ids = [key] if states.record(name, key) else []
    if not remote_ids:
        rules = services.rules
        customers = find_customers(
            services.database, key, kinds=rules.keys.kinds, region=services.settings.default_region
        )
        remote_ids = states.remote_ids(name, [one.id for one in customers]) or [key]
    declaration = declared_databases(services).get(name)
    pulled = {}
    if declaration is not None:
        with closing(connector_of(declaration, environment())) as connector:
            pulled = {one.remote_id: one for one in connector.read(remote_ids)}
    is_found = False
    for remote_id in remote_ids:
        stored, there = states.record(name, remote_id), pulled.get(remote_id)
        is_found |= bool(stored or there)
        click.echo(f"{name} {remote_id}")
        if declaration is not None:
            what = "not there" if there is None else "deleted" if there.is_deleted else _json(there.customer)
            click.echo(f"  at the source: {what}")
        if stored is None:
            click.echo("  in the store: never applied")
        else:
            record, customer_id = stored
            of = f"customer {customer_id}" if record.state is RecordState.LIVE else record.state.value
            click.echo(f"  in the store: {of}: {_json(record.fields)}")
        for one in _quarantined(services, name, (remote_id,)):
            click.echo(f"  in quarantine since {_time(one.at)}: {one.reason}")
    if not is_found:
        raise SystemExit(1)


# --- quarantine and replay


@sources.group("quarantine", cls=Group)
def quarantine_group() -> None:
    """Records that could not be applied, or not whole."""


@quarantine_group.command("list")
@click.argument("name")
@with_appcontext
def list_quarantine(name: str) -> None:
    """List the records of the source NAME in quarantine, each with its reason."""
    services = _services()
    number = 0
    for one in _quarantined(services, name):
        number += 1
        state = "loaded without this" if one.is_loaded else "not loaded"
        click.echo(f"{one.remote_id}  {_time(one.at)}  {state}: {one.reason}")
    if not number:
        click.echo(f"No records of {name} are in quarantine.")


@quarantine_group.command("retry")
@click.argument("name")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@with_appcontext
def retry_quarantine(name: str, keys: tuple[str, ...]) -> None:
    """Read the records KEY of the source NAME, or what it sent, again, or all that are in quarantine; apply them."""
    services = _services()
    records = list(_quarantined(services, name, keys or None))
    remote_ids = [one.remote_id for one in records]
    if unknown := sorted(set(keys) - set(remote_ids)):
        raise click.ClickException(f"Not in quarantine: {', '.join(unknown)}")
    if are_pushes(services, (name,)):
        apply_again(services, name, records)
    else:
        _read_again(services, _declared(services, (name,))[0], remote_ids)
    left = len({one.remote_id for one in _quarantined(services, name, keys or None)})
    click.echo(f"{len(remote_ids) - left} of {len(remote_ids)} are out of quarantine")


@sources.command("replay")
@click.argument("name")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--hours", type=click.FloatRange(0, min_open=True), help="Read again what changed within so many hours.")
@with_appcontext
def replay(name: str, keys: tuple[str, ...], hours: float | None) -> None:
    """Read records of the database NAME again, and apply them as they are there: KEYS, or what changed lately."""
    if bool(keys) == bool(hours):
        raise click.UsageError("Give KEYs, or --hours.")
    services = _services()
    (declaration,) = _declared(services, (name,))
    if keys:
        _read_again(services, declaration, keys)
        return
    since = services.adapters.now() - timedelta(hours=hours or 0)
    with closing(connector_of(declaration, environment())) as connector:
        sync_of(services, declaration, connector).rewind(int(since.timestamp() * 1_000_000))
    if not _sync(services, declaration, full=False):
        raise SystemExit(1)


def _read_again(services: Services, declaration: SqlDeclaration, remote_ids: Sequence[str]) -> None:
    counts: dict[str, int] = {}
    with closing(connector_of(declaration, environment())) as connector:
        one = sync_of(services, declaration, connector)
        for start in range(0, len(remote_ids), _PAGE):
            for name, number in one.read_again(remote_ids[start : start + _PAGE]).counts.items():
                counts[name] = counts.get(name, 0) + number
    click.echo(f"{declaration.name}: {_counted(counts) or 'nothing to read'}")


def _quarantined(services: Services, name: str, keys: Sequence[str] | None = None) -> Iterator[QuarantinedRecord]:
    """Yield the records in quarantine, all or those of these keys."""
    after = ("", "")
    while True:
        with services.database.reading() as session:
            page = quarantine.listed(session, name, after=after, limit=_PAGE)
        yield from (one for one in page if keys is None or one.remote_id in keys)
        if len(page) < _PAGE:
            return
        after = (page[-1].object, page[-1].remote_id)


def _services() -> Services:
    services = current_services()
    services.require_sources()
    services.clock.synchronize()
    return services


def _declared(services: Services, names: Sequence[str]) -> list[SqlDeclaration]:
    """Return the declared databases of these names, or all. Stores the declarations. Raises ClickException."""
    declared = declared_databases(services)
    if not declared:
        raise click.ClickException("No databases are declared: ENRICH_SOURCES names the file (docs/sources.md).")
    if unknown := [name for name in names if name not in declared]:
        known = ", ".join(declared)
        raise click.ClickException(f"There is no database {', '.join(unknown)}; the file declares {known}.")
    declare_sources(services)
    return [declared[name] for name in names or declared]


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "once"


def _json(fields: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in fields.items() if value}, ensure_ascii=False)


_TELL_EVERY = timedelta(seconds=10)
# The outcomes of a run, in the order in which they are told.
_WORDS = {
    "read": "read",
    "created": "created",
    "changed": "changed",
    "unchanged": "unchanged",
    "removed": "removed",
    "older": "older than what is stored",
    "quarantined": "not loaded",
    "incomplete": "not loaded whole",
}
