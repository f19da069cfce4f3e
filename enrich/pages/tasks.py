"""The feed of newest tasks and one task opened beside it: whole pages, and the fragments that keep them fresh.

A page is complete without script. A fragment asks with the version it shows, and gets 204 while nothing changed, so
that focus and place are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from enrich import masked_records
from enrich.database.engine import Database
from enrich.database.types import MAX_ROW_ID
from enrich.journal import feed as journal_feed
from enrich.journal import filters, timeline
from enrich.journal.filters import Choice, Choices
from enrich.journal.records import Summary
from enrich.journal.timeline import Timeline
from enrich.pages import formatting, label_texts, labels
from enrich.pages.completion import state_of
from enrich.pages.feed_query import Feed, filters_of, query_of
from enrich.pages.resolution import trail_of
from enrich.pages.sessions import require_sign_in, sees_masked
from enrich.services import Services, current_services

bp = Blueprint("pages", __name__)
bp.before_request(require_sign_in)

LINES_PER_PAGE = 50
_ID = re.compile("[0-9]{1,19}")


@bp.get("/")
def tasks() -> ResponseReturnValue:
    """Show the newest tasks."""
    return _page(current_services(), None)


@bp.get("/tasks/<task_sid>")
def task(task_sid: str) -> ResponseReturnValue:
    """Show the newest tasks and one task opened: its newest entry, or the requested one (`entry`)."""
    services = current_services()
    return _page(services, _task_story(services.database, task_sid))


@bp.get("/entries/<entry_id>")
def entry(entry_id: str) -> ResponseReturnValue:
    """Show the newest tasks and an entry without task opened; an entry with a task is shown with its task."""
    services = current_services()
    story = _entry_story(services.database, _id(entry_id))
    task_sid = story.shown.task_sid
    if formatting.is_plain_sid(task_sid):
        return redirect(url_for("pages.task", task_sid=task_sid, entry=story.shown.id))
    return _page(services, story)


@bp.get("/feed")
def feed() -> ResponseReturnValue:
    """Fragment: the feed; 204 while it is as the asking page shows it (`shown`)."""
    services = current_services()
    if request.args.get("shown") == journal_feed.feed_version(services.database, _now()):
        return Response(status=204)
    fragment = render_template("tasks/_feed.html", feed=_feed(services, before=_before()), opened="", now=_now())
    # Whatever task is open beside it looks whether the change was its own.
    return Response(fragment, headers={"HX-Trigger": "tasks-changed"})


@bp.get("/feed/news")
def feed_news() -> ResponseReturnValue:
    """Fragment: how many tasks have come since this id (`since`), for a page that shows older ones; 204 for none."""
    since = _id_in(request.args.get("since", "")) or 0
    newest = _feed(current_services(), before=None)
    count = sum(line.id > since for line in newest.lines)
    if not count:
        return Response(status=204)
    return render_template("tasks/_news.html", feed=newest, count=count, since=since)


@bp.get("/tasks/<task_sid>/detail")
def task_detail(task_sid: str) -> ResponseReturnValue:
    """Fragment: one task; 204 while it is as the asking page shows it (`shown`)."""
    services = current_services()
    shown = request.args.get("shown")
    if (
        shown
        and formatting.is_plain_sid(task_sid)
        and shown == timeline.task_version(services.database, task_sid, _now())
    ):
        return Response(status=204)
    return _detail(services, _task_story(services.database, task_sid))


@bp.get("/entries/<entry_id>/detail")
def entry_detail(entry_id: str) -> ResponseReturnValue:
    """Fragment: one entry that belongs to no task; 204 while it is as the asking page shows it (`shown`)."""
    services = current_services()
    number = _id(entry_id)
    shown = request.args.get("shown")
    if shown and shown == timeline.entry_version(services.database, number, _now()):
        return Response(status=204)
    return _detail(services, _entry_story(services.database, number))


@bp.app_template_global()
def address(summary: Summary, fragment: str = "", **query: Any) -> str:
    """Return the address of this entry's task, or of the entry if it has no task, beside the same feed.

    fragment: "" or "_detail".
    """
    query = query_of(request.args) | query
    if formatting.is_plain_sid(summary.task_sid):
        return url_for(f"pages.task{fragment}", task_sid=summary.task_sid, **query)
    return url_for(f"pages.entry{fragment}", entry_id=summary.id, **query)


@bp.app_template_global()
def element_id(summary: Summary) -> str:
    """Return the id of this entry's line on the page, the same for every entry of one task."""
    return f"line-{summary.task_sid if formatting.is_plain_sid(summary.task_sid) else summary.id}"


def _page(services: Services, story: Timeline | None) -> str:
    return render_template(
        "tasks/index.html",
        feed=_feed(services, before=_before()),
        choices=filters.choices(services.database),
        **_task_context(services, story),
        opened=element_id(story.shown) if story else "",
        now=_now(),
    )


def _detail(services: Services, story: Timeline) -> str:
    return render_template("tasks/_detail.html", **_task_context(services, story), now=_now())


def _task_context(services: Services, story: Timeline | None) -> dict[str, Any]:
    """Return the variables of the opened task, read here so that no template asks the database."""
    if story is None:
        return {"story": None, "trail": (), "state": None}
    return {
        "story": story,
        "trail": trail_of(services.database, story.shown.task_sid),
        "state": state_of(services.adapters.task_states, story.task_sid),
    }


def _feed(services: Services, *, before: int | None) -> Feed:
    """Return the requested page of the feed. Its version is read first, so that the next poll sees later changes."""
    database, rules = services.database, services.rules.keys
    version = journal_feed.feed_version(database, _now())
    query = query_of(request.args)
    chosen_filters = filters_of(query, database, rules, _now(), by_id_only=sees_masked())
    if chosen_filters.is_empty:
        lines, looked_back_to = journal_feed.recent_tasks(database, limit=LINES_PER_PAGE + 1, before=before), None
        matches = tuple(line.id for line in lines)
    else:
        page = journal_feed.find_tasks(database, chosen_filters, limit=LINES_PER_PAGE + 1, before=before)
        lines, looked_back_to, matches = page.lines, page.continue_before, page.matches
    shown = lines[:LINES_PER_PAGE]
    older = matches[LINES_PER_PAGE - 1] if len(lines) > LINES_PER_PAGE else looked_back_to
    return Feed(
        lines=tuple(masked_records.line(line) for line in shown) if sees_masked() else shown,
        version=version,
        query=query,
        before=before,
        older=older,
        looked_back_to=journal_feed.received_at(database, looked_back_to) if looked_back_to else None,
        newest=int(version.partition("-")[0]),
    )


@bp.app_template_global()
def named(choices: Sequence[Choice]) -> list[tuple[str, str]]:
    """Return values with their labels; the end of the SID if no name is known."""
    return [(choice.value, choice.name or formatting.short_sid(choice.value)) for choice in choices]


@bp.app_template_global()
def channels_of(choices: Choices) -> list[tuple[str, str]]:
    return [(choice.value, labels.channel(choice.value)) for choice in choices.channels]


@bp.app_template_global()
def filter_label(field: str, value: str, choices: Choices) -> str:
    """Return the label of a parameter of the address; an unknown value is returned unchanged."""
    lists = {
        "outcome": labels.outcome_choices(),
        "worker": dict(named(choices.workers)),
        "queue": dict(named(choices.queues)),
        "channel": dict(channels_of(choices)),
        "time": label_texts.TIMES,
    }
    return formatting.as_text(
        lists.get(field, {}).get(value, value.replace("T", " ") if field in ("from", "to") else value)
    )


def _before() -> int | None:
    return _id_in(request.args.get("before", ""))


def _task_story(database: Database, task_sid: str) -> Timeline:
    if not formatting.is_plain_sid(task_sid):
        abort(404)
    entry_id = request.args.get("entry")
    story = timeline.task_timeline(database, task_sid, entry_id=None if entry_id is None else _id(entry_id))
    return _for_reader(story or abort(404))


def _entry_story(database: Database, entry_id: int) -> Timeline:
    return _for_reader(timeline.entry_timeline(database, entry_id) or abort(404))


def _for_reader(story: Timeline) -> Timeline:
    return masked_records.story(story, current_services().settings.attribute) if sees_masked() else story


def _id(written: str) -> int:
    """Return the id of an entry in an address; aborts with 404 if it cannot be one."""
    return _id_in(written) or abort(404)


def _id_in(written: str) -> int | None:
    """Return the id in this text; None if it cannot be one, such as a number of 5,000 digits, which `int` refuses."""
    number = int(written) if _ID.fullmatch(written) else 0
    return number if 0 < number <= MAX_ROW_ID else None


def _now() -> datetime:
    return current_services().adapters.now()
