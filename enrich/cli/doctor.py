"""`flask taskrouter doctor`: the problems of this installation, each with its meaning and its fix.

This module collects the facts, from settings, database, TaskRouter and PUBLIC_URL; diagnosis/ judges them. Nothing is
changed, except that the round trip stores one event of the type `enrich.doctor` in the journal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import click
from flask.cli import with_appcontext
from sqlalchemy import text

from enrich import errors
from enrich.accounts.attempts import Attempts
from enrich.cli.base import Command
from enrich.customers.stream_states import StreamStates
from enrich.database import migrations
from enrich.database.engine import Database
from enrich.diagnosis import account, callbacks, installation, probe, reach, sources, tasks
from enrich.diagnosis.snapshot import WorkspaceSnapshot
from enrich.domain.event_sinks import EventSink
from enrich.domain.findings import Finding, Level, not_examined, problem, worst
from enrich.domain.stream_status import status_of
from enrich.domain.work_kinds import WorkKind, work_of
from enrich.journal import heartbeats, samples
from enrich.services import Services, current_services, declared_databases, synced_source
from enrich.settings import FOR_SERVING, TABLE, Settings, dotenv_file
from enrich.taskrouter import attributes, endpoints
from enrich.taskrouter import callbacks as taskrouter_callbacks

# Records in quarantine are counted up to this.
MAX_COUNTED = 10_000

_WORDS = {Level.OK: "ok", Level.WARNING: "warning", Level.PROBLEM: "problem"}


@click.command("doctor", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="For programs: {status, findings: [{level, check, found, ...}]}.")
@with_appcontext
def doctor(as_json: bool) -> None:
    """Check settings, database, worker and TaskRouter's set-up, and send a signed event to PUBLIC_URL.

    Status: 0 everything is OK, 1 there are warnings, 2 there are problems.
    """
    findings: list[Finding] = []
    for finding in examine(current_services()):
        findings.append(finding)
        if not as_json:
            click.echo(lines_of(finding))
    level = worst(findings)
    if as_json:
        documents = [asdict(finding) | {"level": _WORDS[finding.level]} for finding in findings]
        click.echo(json.dumps({"status": _WORDS[level], "findings": documents}, ensure_ascii=False, indent=2))
    else:
        counts = {severity: sum(finding.level is severity for finding in findings) for severity in Level}
        click.echo(f"\nProblems: {counts[Level.PROBLEM]}. Warnings: {counts[Level.WARNING]}. OK: {counts[Level.OK]}.")
    raise SystemExit(int(level))


def examine(services: Services) -> Iterator[Finding]:
    """Yield every finding, in the order in which to fix them. Raises nothing for what it checks."""
    settings = services.settings
    services.clock.synchronize()
    yield from _settings(settings)
    yield installation.files(_modes(services.database))
    yield installation.policy(str(settings.policy or ""), str(services.policy_error or ""))
    yield sources.sources_file(str(settings.sources or ""), str(services.sources_error or ""))
    yield from _database(services)
    workspaces: tuple[WorkspaceSnapshot, ...] = ()
    sinks: tuple[EventSink, ...] = ()
    if settings.twilio_account_sid and settings.twilio_auth_token:
        checks = _TaskRouterChecks(settings, services.clock.now)
        yield from checks.findings()
        workspaces, sinks = checks.workspaces, checks.sinks
    if settings.public_url:
        yield reach.public_address(settings.public_url, settings.taskrouter_base_url)
        yield from _urls(workspaces, sinks, settings)
        yield from _proxy(services)
        if settings.twilio_account_sid and settings.twilio_auth_token:
            yield reach.round_trip(_round_trip(services, workspaces))


def _settings(settings: Settings) -> Iterator[Finding]:
    missing = [setting for setting in TABLE if setting.name in FOR_SERVING and not getattr(settings, setting.field)]
    if missing:
        yield problem(
            "settings",
            "not set: " + ", ".join(setting.name for setting in missing),
            "the service does not start without them",
            "; ".join(f"{setting.name}: {setting.help}" for setting in missing),
        )
    if settings.secret_key:
        yield from installation.secret_key(settings.secret_key, settings.metrics_token)


def _modes(database: Database) -> dict[str, int]:
    """Return the permissions of `.env` and of SQLite's file, where they exist, by their paths."""
    paths = (dotenv_file(), Path(database.url.database or "") if database.is_sqlite else None)
    return {str(path): path.stat().st_mode for path in paths if path and path.is_file()}


def _database(services: Services) -> Iterator[Finding]:
    database, settings, now = services.database, services.settings, services.clock.now
    try:
        revision, head = migrations.revisions(database)
        yield installation.schema(revision, head)
        yield installation.writable(_refusal_of_writes(database))
        if not database.is_sqlite:
            yield installation.database_clock(services.clock.ahead_s())
            log_settings = database.read(text("SELECT name, setting FROM pg_settings WHERE name LIKE 'log%'"))
            yield installation.server_log({row.name: row.setting for row in log_settings})
        if revision != head:
            return
        yield installation.worker(services.heartbeats.last(), now(), heartbeats.ALIVE, heartbeats.MAX_SKEW)
        yield installation.pruning(services.heartbeats.clock_in_doubt_since())
        figures = services.adapters.followups.figures(now())
        unknown = services.adapters.followups.unknown_count()
        yield from installation.followups(figures.overdue_s, figures.owed, figures.given_up, unknown)
        yield from _sources(services, now())
        kinds = _kinds(samples.newest_forms(database))
        yield tasks.instruction(settings.default_instruction, settings.accept_via, kinds)
        yield tasks.headroom(_lengths(samples.newest_attributes(database)))
        counts = samples.restorations(database, now() - timedelta(days=1))
        yield tasks.overwritten(counts.restored, counts.left, counts.tasks)
    except errors.DatabaseError as exc:
        yield installation.schema(None, None, failed=f"{exc.reason} ({exc})")


def _sources(services: Services, now: datetime) -> Iterator[Finding]:
    """Check each declared source. Raises DatabaseError."""
    declared, databases = services.sources.declarations, declared_databases(services)
    states = StreamStates(services.database)
    stored = {state.source: state for state in states.all(now)}
    numbers = states.quarantined_of(declared, at_most=MAX_COUNTED)
    for name in declared:
        state = stored.get(name)
        if name in databases:
            source = synced_source(services, databases[name])
            status = status_of(state, source.intervals, source.fingerprint, now) if state else None
            yield sources.sync(name, state, status)
        yield from sources.waiting(name, state, *numbers[name])


def _refusal_of_writes(database: Database) -> str:
    try:
        database.check_writable()
    except errors.DatabaseNotWritable as exc:
        return str(exc)
    return ""


class _TaskRouterChecks:
    """The checks of TaskRouter's side. workspaces, sinks: available once the findings have been read."""

    def __init__(self, settings: Settings, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._now = now
        self.workspaces: tuple[WorkspaceSnapshot, ...] = ()
        self.sinks: tuple[EventSink, ...] = ()

    def findings(self) -> Iterator[Finding]:
        # Imported here: the SDK is large, and the web processes know this module for its commands' names.
        from enrich.diagnosis import inspection

        settings = self._settings
        rest_check = inspection.check_credentials(settings.taskrouter_base_url, *settings.rest_credentials, self._now)
        token = (
            inspection.check_credentials(
                settings.taskrouter_base_url, settings.twilio_account_sid, settings.twilio_auth_token, self._now
            ).access
            if settings.twilio_api_key
            else None
        )
        yield from account.credentials(rest_check.access, token)
        if rest_check.access != "ok":
            yield not_examined("workspace", "TaskRouter refuses the credentials")
            return
        yield installation.clock(rest_check.skew_s, "TaskRouter")
        try:
            self.workspaces = inspection.workspaces(
                settings.taskrouter_base_url, settings.twilio_account_sid, *settings.rest_credentials
            )
        except errors.TaskRouterError as exc:
            yield not_examined("workspace", f"{exc.reason}: {exc}")
            return
        yield account.workspace(self.workspaces, settings.twilio_workspace_sid)
        if settings.event_streams_url:
            yield from self._read_sinks(settings.event_streams_url)

    def _read_sinks(self, base_url: str) -> Iterator[Finding]:
        """Read the sinks; a key without permission is a finding only if events do not come by the callback."""
        from enrich.taskrouter.event_sinks import EventSinks

        settings = self._settings
        try:
            self.sinks = EventSinks(base_url, settings.twilio_account_sid, *settings.rest_credentials).read()
        except errors.TaskRouterError as exc:
            if not any(callbacks.sends_events(workspace, settings.public_url) for workspace in self.workspaces):
                yield not_examined("event_stream", f"{exc.reason}: {exc}")


def _urls(workspaces: Sequence[WorkspaceSnapshot], sinks: Sequence[EventSink], settings: Settings) -> Iterator[Finding]:
    """Check the configured workspace, else those that call us, else the first; and the sinks."""
    public_url, workspace_sid = settings.public_url, settings.twilio_workspace_sid
    if workspace_sid:
        checked = [workspace for workspace in workspaces if workspace.sid == workspace_sid]
    else:
        checked = [workspace for workspace in workspaces if callbacks.calls_us(workspace, public_url)]
        checked = checked or list(workspaces[:1])
    for workspace in checked:
        yield from callbacks.workflows(workspace, public_url)
        yield from callbacks.events(workspace, public_url, sinks)
    yield from callbacks.event_stream(sinks, public_url)


def _proxy(services: Services) -> Iterator[Finding]:
    """Send a request to PUBLIC_URL, and see whether any request of the last day came through an untrusted proxy."""
    settings = services.settings
    if settings.trusted_proxies:
        yield reach.proxies(settings.trusted_proxies, has_untrusted=False)
        return
    probe.is_us(settings.public_url)
    try:
        has_untrusted = Attempts(services.database).has_untrusted_proxy(services.adapters.now())
    except errors.DatabaseError:
        return
    yield reach.proxies(0, has_untrusted=has_untrusted)


def _round_trip(services: Services, workspaces: Sequence[WorkspaceSnapshot]) -> reach.RoundTrip:
    settings = services.settings
    query = callbacks.configured_query(workspaces, settings.public_url)
    url = settings.public_url + endpoints.EVENTS + query
    workspace_sid = settings.twilio_workspace_sid or (workspaces[0].sid if workspaces else "WS" + "0" * 32)

    account_sid, token = settings.twilio_account_sid, settings.twilio_auth_token

    def send(signed_for: str | None = None, *, to: str = url) -> probe.ProbeResponse:
        return probe.send(to, account_sid, workspace_sid, token, signed_for=signed_for)

    response = send()
    good_for, origin_is_us, loses_query = "", False, False
    if response.status == 403 and query:
        loses_query = send(to=settings.public_url + endpoints.EVENTS).status == 204
    if response.status == 403 and not loses_query:
        roots = reach.addresses_like(settings.public_url)
        good_for = next((root for root in roots if send(root + endpoints.EVENTS + query).status == 204), "")
    elif response.status == 404:
        parts = urlsplit(settings.public_url)
        origin_is_us = bool(parts.path) and probe.is_us(f"{parts.scheme}://{parts.netloc}")
    return reach.RoundTrip(
        url=url,
        status=response.status,
        elapsed_ms=response.elapsed_ms,
        failed=response.failed,
        detail=response.detail,
        location=response.location,
        recorded=_is_recorded(services, response) if response.status == 204 else None,
        good_for=good_for,
        origin_is_us=origin_is_us,
        loses_query=loses_query,
    )


def _is_recorded(services: Services, response: probe.ProbeResponse) -> bool | None:
    try:
        return samples.has_event(services.database, response.event_sid)
    except errors.DatabaseError:
        return None


def _kinds(forms: Sequence[str]) -> tasks.Kinds:
    calls = flex = 0
    for raw_form in forms:
        form = taskrouter_callbacks.read_form(taskrouter_callbacks.split_form(raw_form.encode("utf-8", "replace")))
        try:
            parsed = attributes.parse(form.get("TaskAttributes", ""))
        except errors.AttributesUnreadable:
            continue
        work = work_of(parsed)
        calls += work.is_call
        flex += work.kind is WorkKind.FLEX
    return tasks.Kinds(len(forms), calls, flex)


def _lengths(attributes_samples: Sequence[samples.AttributesSample]) -> tasks.Lengths:
    if not attributes_samples:
        return tasks.Lengths(0)
    characters = sorted(sample.characters for sample in attributes_samples)
    return tasks.Lengths(
        total=len(attributes_samples),
        longest=characters[-1],
        p95=characters[int(0.95 * (len(characters) - 1))],
        trimmed=sum(sample.is_trimmed for sample in attributes_samples),
        no_room=sum(sample.had_no_room for sample in attributes_samples),
    )


def lines_of(finding: Finding) -> str:
    """Return the finding as lines for people."""
    lines = [f"{_WORDS[finding.level]:<8} {finding.check:<20} {finding.found}"]
    if finding.level is not Level.OK:
        lines += [f"{'':<9}{'Meaning':<20} {finding.meaning}", f"{'':<9}{'Fix':<20} {finding.todo}"]
    return "\n".join(lines)
