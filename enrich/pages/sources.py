"""The sources of customers, for admins: how each is doing, the question of the brake, and the quarantine.

Web processes have no connection to a source. What an admin asks for stands in the database, and a worker does it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b

from flask import Blueprint, Response, abort, current_app, redirect, render_template, request, url_for
from flask.sansio.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from enrich.accounts.tables import Role
from enrich.customers import quarantine
from enrich.customers.projection import FILE, RecordState
from enrich.customers.quarantine import QuarantinedRecord
from enrich.customers.record_counts import RecordCounts
from enrich.customers.spelling import is_storable
from enrich.customers.stream_states import StreamStates
from enrich.domain.stream_status import Condition, NextPass, last_pass, status_of
from enrich.domain.streams import Pass, Question, StreamState
from enrich.journal.heartbeats import ALIVE
from enrich.pages import notices, source_labels
from enrich.pages.label_texts import Verdict
from enrich.pages.notices import Done, Notice
from enrich.pages.sessions import needs, require_sign_in, signed_in
from enrich.services import Services, current_services, declared_databases, synced_source

# Records in quarantine are counted up to this.
MAX_COUNTED = 10_000
QUARANTINED_PER_PAGE = 50
# A pass that has been due for so long does not begin by itself.
DUE_FOR_LONG_S = 60
_COUNTS = "enrich.record_counts"

log = logging.getLogger(__name__)
bp = Blueprint("sources", __name__, url_prefix="/sources")
bp.before_request(require_sign_in)


@dataclass(frozen=True, slots=True)
class LastRun:
    """The present or last run. ended_at: None while it runs. rate: rows a second while it runs, None if unknown."""

    pass_name: str
    began_at: datetime
    ended_at: datetime | None
    counts: str
    rate: int | None = None


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One source as the page shows it. state: None if nothing is stored of it.

    fresh_at: the customers are as they were there then; is_late: longer ago than usual. records: by state, None while
    they are not counted. missing, incomplete: records in quarantine, up to `MAX_COUNTED`. is_read: by a worker, which
    can be asked for a pass. has_windows: a pass over what changed is another one than a full pass.
    """

    name: str
    kind: str
    verdict: Verdict
    state: StreamState | None
    last_run: LastRun | None = None
    fresh_at: datetime | None = None
    is_late: bool = False
    next_pass: NextPass | None = None
    records: tuple[tuple[str, int], ...] | None = None
    missing: int = 0
    incomplete: int = 0
    is_read: bool = False
    has_windows: bool = False

    @property
    def question(self) -> Question | None:
        """Return the question of the brake."""
        return self.state.question if self.state else None

    @property
    def quarantined(self) -> int:
        """Return the number of records in quarantine."""
        return self.missing + self.incomplete


@bp.record
def _add_counts(setup: BlueprintSetupState) -> None:
    setup.app.extensions[_COUNTS] = RecordCounts(setup.app.extensions["enrich"].database)


def are_shown() -> bool:
    """Return whether there is a source to show: declared, or stored. Raises DatabaseError."""
    services, seen = current_services(), current_app.extensions
    if not seen.get("enrich.has_sources"):
        seen["enrich.has_sources"] = bool(services.sources.declarations) or StreamStates(services.database).is_any()
    return bool(seen["enrich.has_sources"])


@bp.get("")
@needs(Role.ADMIN)
def index() -> ResponseReturnValue:
    """Show all sources."""
    return render_template("sources/index.html", **_context())


@bp.get("/list")
@needs(Role.ADMIN)
def fragment() -> ResponseReturnValue:
    """Fragment: the sources; 204 while they are as the asking page shows them (`shown`)."""
    context = _context()
    if request.args.get("shown") == context["version"]:
        return Response(status=204)
    return render_template("sources/_sources.html", **context)


@bp.post("/<source>/run")
@needs(Role.ADMIN)
def run(source: str) -> ResponseReturnValue:
    """Have a worker run a pass now. Form: `pass`, window or full."""
    _require_database(source)
    wanted = request.form.get("pass", "")
    if wanted not in (Pass.WINDOW, Pass.FULL):
        abort(400)
    is_known = StreamStates(current_services().database).request(source, Pass(wanted))
    _note("sync requested", source, **{"pass": wanted})
    requested = Done.FULL_PASS_REQUESTED if wanted == Pass.FULL else Done.PASS_REQUESTED
    return _done(requested if is_known else Done.SOURCE_NOT_SEEN)


@bp.post("/<source>/answer")
@needs(Role.ADMIN)
def answer(source: str) -> ResponseReturnValue:
    """Answer the question of the brake. Form: `removed`, the number that was shown; `answer`, go or leave."""
    states = StreamStates(current_services().database)
    written, answered = request.form.get("removed", ""), request.form.get("answer", "")
    if source not in _names(states) or answered not in ("go", "leave"):
        abort(404 if answered in ("go", "leave") else 400)
    removed = int(written) if written.isascii() and written.isdecimal() and len(written) < 16 else -1
    decide, done = (states.accept, Done.REMOVAL_ACCEPTED) if answered == "go" else (states.leave, Done.REMOVAL_REFUSED)
    if not decide(source, removed):
        return _done(Done.QUESTION_CHANGED)
    _note("removal accepted" if answered == "go" else "removal refused", source, count=removed)
    if answered == "go" and source not in declared_databases(current_services()):
        return _done(Done.SENDING_ACCEPTED)
    return _done(done)


@bp.get("/<source>/quarantine")
@needs(Role.ADMIN)
def quarantined(source: str) -> ResponseReturnValue:
    """Show the source's records in quarantine. Query: `object` and `after`, of the last one of the page before."""
    services = current_services()
    states = StreamStates(services.database)
    after = request.args.get("object", ""), request.args.get("after", "")
    if source not in _names(states) or not all(map(is_storable, after)):
        abort(404)
    with services.database.reading() as session:
        rows = quarantine.listed(session, source, after=after, limit=QUARANTINED_PER_PAGE + 1)
    shown = rows[:QUARANTINED_PER_PAGE]
    missing, incomplete = states.quarantined_of([source], at_most=MAX_COUNTED)[source]
    return render_template(
        "sources/quarantine.html",
        source=source,
        rows=shown,
        following=shown[-1] if len(rows) > len(shown) else None,
        is_first=after == ("", ""),
        missing=missing,
        incomplete=incomplete,
        max_counted=MAX_COUNTED,
        values=_values,
        is_read=source in declared_databases(services),
        now=services.adapters.now(),
    )


@bp.post("/<source>/quarantine/retry")
@needs(Role.ADMIN)
def retry(source: str) -> ResponseReturnValue:
    """Have a worker read the records in quarantine again."""
    _require_database(source)
    is_known = StreamStates(current_services().database).request_retry(source)
    _note("retry of the quarantine requested", source)
    notices.flash(Notice(Done.RETRY_REQUESTED if is_known else Done.SOURCE_NOT_SEEN))
    return redirect(url_for("sources.quarantined", source=source))


def _require_database(source: str) -> None:
    """Abort with 404 unless this is a declared database."""
    if source not in declared_databases(current_services()):
        abort(404)


def _names(states: StreamStates) -> set[str]:
    """Return the names of all sources, declared or stored."""
    services = current_services()
    return {*services.sources.declarations, *(one.source for one in states.all(services.adapters.now()))}


def _note(event: str, source: str, **more: str | int) -> None:
    reader = signed_in()
    log.info(event, extra={"source": source, "by_user_id": reader.id if reader else None, **more})


def _done(done: Done) -> ResponseReturnValue:
    notices.flash(Notice(done))
    return redirect(url_for("sources.index"))


def _context() -> dict[str, object]:
    services = current_services()
    now = services.adapters.now()
    last_beat = services.heartbeats.last()
    context = {
        "sources": _lines(services, now),
        "is_worker_silent": last_beat is None or now - last_beat > ALIVE,
        "max_counted": MAX_COUNTED,
    }
    version = blake2b(repr(context).encode("utf-8", "replace"), digest_size=8).hexdigest()
    return {**context, "version": version, "source_labels": source_labels, "now": now}


def _lines(services: Services, now: datetime) -> Sequence[SourceLine]:
    """Return the declared sources as the file has them, then others that are stored, files last."""
    states = StreamStates(services.database)
    stored = {state.source: state for state in states.all(now)}
    declared = services.sources.declarations
    names = [*declared, *sorted(stored.keys() - {*declared, FILE}), *(name for name in stored if name == FILE)]
    numbers = states.quarantined_of(names, at_most=MAX_COUNTED)
    counts = current_app.extensions[_COUNTS].latest()
    lines = []
    for name in names:
        line = _line(services, name, stored.get(name), now)
        records = None if counts is None else _by_state(counts.get(name, {}))
        missing, incomplete = numbers[name]
        lines.append(replace(line, records=records, missing=missing, incomplete=incomplete))
    return lines


def _by_state(counts: Mapping[RecordState, int]) -> tuple[tuple[str, int], ...]:
    return tuple((state.value, counts[state]) for state in RecordState if counts.get(state))


def _line(services: Services, name: str, state: StreamState | None, now: datetime) -> SourceLine:
    declaration = services.sources.declarations.get(name)
    kind = source_labels.kind(declaration.kind if declaration else state.kind if state else "")
    last_run = _last_run(state, now) if state else None
    if name == FILE and state:
        return SourceLine(name, kind, source_labels.of_files(state), state, last_run)
    if declaration is None:
        return SourceLine(name, kind, source_labels.UNDECLARED, state, last_run)
    database = declared_databases(services).get(name)
    if database is None:
        return SourceLine(name, kind, source_labels.of_pushed(state), state)
    source = synced_source(services, database)
    line = SourceLine(name, kind, source_labels.NOT_SEEN, None, is_read=True, has_windows=source.intervals.has_windows)
    if state is None:
        return line
    status = status_of(state, source.intervals, source.fingerprint, now)
    verdict = source_labels.CONDITIONS[status.condition]
    coming = status.next_pass
    if status.condition is Condition.WAITING and coming and (now - coming.at).total_seconds() > DUE_FOR_LONG_S:
        verdict = replace(verdict, sentence=source_labels.NO_WORKER)
    return replace(
        line,
        verdict=verdict,
        state=state,
        last_run=last_run,
        fresh_at=None if status.behind is None else max(at for at in (state.window_at, state.full_at) if at),
        is_late=status.is_late,
        next_pass=_in_utc(coming) if coming and coming.at > now and status.condition is not Condition.RUNNING else None,
    )


def _in_utc(coming: NextPass) -> NextPass:
    """Return the pass with its time as pages show times; full passes are planned in the zone of their source."""
    return replace(coming, at=coming.at.astimezone(UTC))


def _last_run(state: StreamState, now: datetime) -> LastRun | None:
    if state.began_at is None:
        return None
    name = source_labels.pass_name(last_pass(state)) if state.kind != FILE else "load"
    counts = source_labels.counts(state.counts)
    elapsed_s = (now - state.began_at).total_seconds()
    read = state.counts.get("read")
    is_running = state.owner is not None and state.ended_at is None and isinstance(read, int) and elapsed_s > 1
    rate = round(read / elapsed_s) if is_running and read else None
    return LastRun(name, state.began_at, state.ended_at, counts, rate)


def _values(row: QuarantinedRecord) -> list[tuple[str, str]]:
    """Return the values of a record as they came, those that are empty left out."""
    values = {str(field): value for field, value in row.fields.items() if value not in (None, "", [], {})}
    return [
        (field, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for field, value in values.items()
    ]
