"""`flask taskrouter doctor`: what is wrong with this installation, what that means, and what to do.

Here it is found out, from settings, database, TaskRouter and PUBLIC_URL; what it means stands in diagnosis/. Nothing
is changed, but for one event of the type `enrich.doctor` that the round trip leaves in the journal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import click
from flask.cli import with_appcontext
from sqlalchemy import func, select

from enrich import errors
from enrich.cli.base import Command
from enrich.database import migrations
from enrich.diagnosis import account, callbacks, installation, probe, reach, tasks
from enrich.diagnosis.findings import Finding, Level, not_examined, problem, worst
from enrich.diagnosis.snapshot import SeenWorkspace
from enrich.domain.event_sinks import EventSink
from enrich.domain.work_kinds import WorkKind, work_of
from enrich.journal import heartbeats, samples
from enrich.services import Services, current_services
from enrich.settings import FOR_SERVING, TABLE, Settings
from enrich.taskrouter import attributes, endpoints
from enrich.taskrouter import callbacks as taskrouter_callbacks

_WORDS = {Level.OK: "ok", Level.WARNING: "warning", Level.PROBLEM: "problem"}


@click.command("doctor", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="For programs: {status, findings: [{level, check, found, ...}]}.")
@with_appcontext
def doctor(as_json: bool) -> None:
    """Check settings, database, worker and TaskRouter's set-up, and send a signed event to PUBLIC_URL.

    Status: 0 all is well, 1 there are warnings, 2 there are problems.
    """
    findings: list[Finding] = []
    for finding in examine(current_services(), lambda: datetime.now(UTC)):
        findings.append(finding)
        if not as_json:
            click.echo(_in_words(finding))
    level = worst(findings)
    if as_json:
        told = [asdict(finding) | {"level": _WORDS[finding.level]} for finding in findings]
        click.echo(json.dumps({"status": _WORDS[level], "findings": told}, ensure_ascii=False, indent=2))
    else:
        counts = {each: sum(finding.level is each for finding in findings) for each in Level}
        click.echo(f"\nProblems: {counts[Level.PROBLEM]}. Warnings: {counts[Level.WARNING]}. OK: {counts[Level.OK]}.")
    raise SystemExit(int(level))


def examine(these: Services, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Yield every finding, in the order in which to fix them. Raises nothing for what it checks."""
    chosen = these.settings
    yield from _settings(chosen)
    yield installation.policy(str(chosen.policy or ""), str(these.policy_error or ""))
    yield from _database(these, now)
    workspaces: tuple[SeenWorkspace, ...] = ()
    sinks: tuple[EventSink, ...] = ()
    if chosen.twilio_account_sid and chosen.twilio_auth_token:
        found = _TaskRouter(chosen, now)
        yield from found.findings()
        workspaces, sinks = found.workspaces, found.sinks
    if chosen.public_url:
        yield reach.public_address(chosen.public_url, chosen.taskrouter_base_url)
        yield from _urls(workspaces, sinks, chosen)
        if chosen.twilio_account_sid and chosen.twilio_auth_token:
            yield reach.round_trip(_round_trip(these, workspaces))


def _settings(chosen: Settings) -> Iterator[Finding]:
    missing = [setting for setting in TABLE if setting.name in FOR_SERVING and not getattr(chosen, setting.field)]
    if missing:
        yield problem(
            "settings",
            "not set: " + ", ".join(setting.name for setting in missing),
            "the service does not start without them",
            "; ".join(f"{setting.name}: {setting.help}" for setting in missing),
        )
    if chosen.secret_key:
        yield from installation.secret_key(chosen.secret_key, chosen.metrics_token)


def _database(these: Services, now: Callable[[], datetime]) -> Iterator[Finding]:
    database, chosen = these.database, these.settings
    try:
        at, head = migrations.revisions(database)
        yield installation.schema(at, head)
        if not database.is_sqlite:
            theirs: datetime = database.read(select(func.now()))[0][0]
            yield installation.clock((theirs - now()).total_seconds(), "the database")
        if at != head:
            return
        yield installation.worker(these.heartbeats.last(), now(), heartbeats.ALIVE)
        figures = these.adapters.followups.figures(now())
        yield from installation.owed(figures.overdue_s, figures.owed, figures.given_up)
        kinds = _kinds(samples.newest_forms(database))
        yield tasks.instruction(chosen.default_instruction, chosen.accept_via, kinds)
        yield tasks.headroom(_lengths(samples.newest_attributes(database)))
        counts = samples.restorations(database, now() - timedelta(days=1))
        yield tasks.overwritten(counts.restored, counts.left, counts.tasks)
    except errors.DatabaseError as exc:
        yield installation.schema(None, None, failed=f"{exc.reason} ({exc})")


class _TaskRouter:
    """The findings on TaskRouter's side. workspaces, sinks: what was inspected, once the findings were read."""

    def __init__(self, chosen: Settings, now: Callable[[], datetime]) -> None:
        self._chosen = chosen
        self._now = now
        self.workspaces: tuple[SeenWorkspace, ...] = ()
        self.sinks: tuple[EventSink, ...] = ()

    def findings(self) -> Iterator[Finding]:
        # Imported here: the SDK is large, and the web processes know this module for its commands' names.
        from enrich.diagnosis import inspection

        chosen = self._chosen
        rest = inspection.check_credentials(chosen.taskrouter_base_url, *chosen.rest_credentials, self._now)
        token = (
            inspection.check_credentials(
                chosen.taskrouter_base_url, chosen.twilio_account_sid, chosen.twilio_auth_token, self._now
            ).entered
            if chosen.twilio_api_key
            else None
        )
        yield from account.credentials(rest.entered, token)
        if rest.entered != "ok":
            yield not_examined("workspace", "TaskRouter refuses the credentials")
            return
        yield installation.clock(rest.skew_s, "TaskRouter")
        try:
            self.workspaces = inspection.workspaces(
                chosen.taskrouter_base_url, chosen.twilio_account_sid, *chosen.rest_credentials
            )
        except errors.TaskRouterError as exc:
            yield not_examined("workspace", f"{exc.reason}: {exc}")
            return
        yield account.workspace(self.workspaces, chosen.twilio_workspace_sid)
        if chosen.event_streams_url:
            yield from self._read_sinks(chosen.event_streams_url)

    def _read_sinks(self, base_url: str) -> Iterator[Finding]:
        """Read the sinks; a key that may not is a finding only where events do not come by the callback."""
        from enrich.taskrouter.event_sinks import EventSinks

        try:
            self.sinks = EventSinks(base_url, self._chosen.twilio_account_sid, *self._chosen.rest_credentials).read()
        except errors.TaskRouterError as exc:
            if not any(callbacks.sends_events(each, self._chosen.public_url) for each in self.workspaces):
                yield not_examined("event_stream", f"{exc.reason}: {exc}")


def _urls(workspaces: Sequence[SeenWorkspace], sinks: Sequence[EventSink], chosen: Settings) -> Iterator[Finding]:
    """Return the workspaces to check: the configured one, else those that call us, else the first."""
    meant = [each for each in workspaces if each.sid == chosen.twilio_workspace_sid]
    if not chosen.twilio_workspace_sid:
        meant = [each for each in workspaces if callbacks.asks_us(each, chosen.public_url)] or list(workspaces[:1])
    for each in meant:
        yield from callbacks.workflows(each, chosen.public_url)
        yield from callbacks.events(each, chosen.public_url, sinks)
    yield from callbacks.event_stream(sinks, chosen.public_url)


def _round_trip(these: Services, workspaces: Sequence[SeenWorkspace]) -> reach.RoundTrip:
    chosen = these.settings
    query = callbacks.configured_query(workspaces, chosen.public_url)
    url = chosen.public_url + endpoints.EVENTS + query
    workspace_sid = chosen.twilio_workspace_sid or (workspaces[0].sid if workspaces else "WS" + "0" * 32)

    def send(signed_for: str | None = None, *, to: str = url) -> probe.ProbeResponse:
        return probe.send(to, chosen.twilio_account_sid, workspace_sid, chosen.twilio_auth_token, signed_for=signed_for)

    answer = send()
    good_for, origin_is_us, loses_query = "", False, False
    if answer.status == 403 and query:
        loses_query = send(to=chosen.public_url + endpoints.EVENTS).status == 204
    if answer.status == 403 and not loses_query:
        roots = reach.addresses_like(chosen.public_url)
        good_for = next((root for root in roots if send(root + endpoints.EVENTS + query).status == 204), "")
    elif answer.status == 404:
        parts_of_url = urlsplit(chosen.public_url)
        origin_is_us = bool(parts_of_url.path) and probe.is_us(f"{parts_of_url.scheme}://{parts_of_url.netloc}")
    return reach.RoundTrip(
        url=url,
        status=answer.status,
        elapsed_ms=answer.elapsed_ms,
        failed=answer.failed,
        detail=answer.detail,
        location=answer.location,
        recorded=_is_recorded(these, answer) if answer.status == 204 else None,
        good_for=good_for,
        origin_is_us=origin_is_us,
        loses_query=loses_query,
    )


def _is_recorded(these: Services, answer: probe.ProbeResponse) -> bool | None:
    try:
        return samples.has_event(these.database, answer.event_sid)
    except errors.DatabaseError:
        return None


def _kinds(forms: Sequence[str]) -> tasks.Kinds:
    calls = flex = 0
    for raw_form in forms:
        form = taskrouter_callbacks.read_form(taskrouter_callbacks.split_form(raw_form.encode("utf-8", "replace")))
        try:
            held = attributes.parse(form.get("TaskAttributes", ""))
        except errors.AttributesUnreadable:
            continue
        work = work_of(held)
        calls += work.is_call
        flex += work.kind is WorkKind.FLEX
    return tasks.Kinds(len(forms), calls, flex)


def _lengths(written: Sequence[samples.AttributesSample]) -> tasks.Lengths:
    if not written:
        return tasks.Lengths(0)
    characters = sorted(each.characters for each in written)
    return tasks.Lengths(
        seen=len(written),
        longest=characters[-1],
        most=characters[int(0.95 * (len(characters) - 1))],
        trimmed=sum(each.is_trimmed for each in written),
        no_room=sum(each.had_no_room for each in written),
    )


def _in_words(finding: Finding) -> str:
    lines = [f"{_WORDS[finding.level]:<8} {finding.check:<20} {finding.found}"]
    if finding.level is not Level.OK:
        lines += [f"{'':<9}{'Meaning':<20} {finding.meaning}", f"{'':<9}{'Fix':<20} {finding.todo}"]
    return "\n".join(lines)
