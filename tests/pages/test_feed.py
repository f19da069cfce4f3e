"""The feed narrowed down and searched: what its address asks for, what it shows, what it says when there is none."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from html import unescape
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.database.engine import Database
from enrich.journal import feed, filters
from enrich.journal.filters import ENDINGS, Choice, Filters
from enrich.pages.feed_query import query_of
from tests.support.databases import seed_customers
from tests.support.journal import Make

NOW = datetime.now(UTC)
VOICE_QUEUE, CHAT_QUEUE = "WQ" + "1" * 32, "WQ" + "2" * 32
DANA, SAMIR = "WK" + "1" * 32, "WK" + "2" * 32


def shown(page: str) -> list[str]:
    """The tasks that the page lists, in order."""
    return re.findall(r'<li id="line-(\w+)" class="line"', page)


def headline(page: str) -> str:
    found = re.search(r"<h3>(.*?)</h3>", page)
    return unescape(found[1]) if found else ""


@pytest.fixture
def some_tasks(make_entry: Make, make_followup: Make) -> None:
    voice = {"task_channel": "voice", "task_queue_sid": VOICE_QUEUE, "worker_sid": DANA, "worker_name": "Dana"}
    chat = {"task_channel": "whatsapp", "task_queue_sid": CHAT_QUEUE, "worker_sid": SAMIR, "worker_name": "Samir"}
    make_entry(task_sid="WT1", **voice, received_at=NOW - timedelta(days=3), first_key="+14155550100")
    nobody = {"match": "none", "reason": "no_such_key", "customer_id": None, "customer_name": ""}
    make_entry(task_sid="WT2", **voice, **nobody, received_at=NOW - timedelta(hours=2), first_key="+12125550143")
    make_entry(task_sid="WT2", kind="event", outcome=None, match=None, task_queue_name="Calls")
    make_entry(task_sid="WT3", **chat, match="ambiguous", customer_id=None, customer_name="")
    failed = {"outcome": "could_not_write", "reason": "rate_limited"}
    make_followup(make_entry(task_sid="WT4", **chat, **failed, customer_id="C-1002"))
    make_entry(task_sid="WT5", **chat, outcome=None, match=None, concluded_at=None, customer_id=None)
    make_followup(make_entry(task_sid="WT6", **chat, customer_id="C-1002"), due_at=None, done_at=NOW)


@pytest.mark.parametrize(
    ("query", "tasks"),
    [
        ("", ["WT6", "WT5", "WT4", "WT3", "WT2", "WT1"]),
        ("outcome=matched", ["WT6", "WT1"]),
        ("outcome=none", ["WT2"]),
        ("outcome=ambiguous", ["WT3"]),
        ("outcome=could_not_write", ["WT4"]),
        ("outcome=trouble", ["WT4"]),
        ("outcome=owed", ["WT4"]),
        ("outcome=in_progress", ["WT5"]),
        ("outcome=claimed", []),
        (f"worker={DANA}", ["WT2", "WT1"]),
        (f"queue={CHAT_QUEUE}", ["WT6", "WT5", "WT4", "WT3"]),
        ("channel=voice", ["WT2", "WT1"]),
        ("channel=voice&outcome=none", ["WT2"]),
        (f"channel=voice&worker={SAMIR}", []),
        ("time=1h", ["WT6", "WT5", "WT4", "WT3"]),
        ("time=24h", ["WT6", "WT5", "WT4", "WT3", "WT2"]),
        (f"to={quote((NOW - timedelta(hours=1)).isoformat())}", ["WT2", "WT1"]),
        (f"from={quote((NOW - timedelta(days=1)).isoformat())}&channel=voice", ["WT2"]),
        ("to=1999-01-01T00:00", []),
        ("from=2999-01-01T00:00", []),
        ("from=0001-01-01T00:00&to=9999-12-31T23:59&channel=voice", ["WT2", "WT1"]),
    ],
)
def test_the_address_says_which_tasks_are_shown(
    browser: FlaskClient, some_tasks: None, query: str, tasks: list[str]
) -> None:
    assert shown(browser.get(f"/?{query}").text) == tasks
    assert shown(browser.get(f"/feed?{query}").text) == tasks


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_can_be_asked_for(browser: FlaskClient, some_tasks: None, ending: str) -> None:
    page = browser.get(f"/?outcome={ending}")
    assert page.status_code == 200
    assert f'<option value="{ending}" selected' in page.text


@pytest.mark.parametrize(
    ("query", "tasks"),
    [
        ("Ada", ["WT1"]),
        ("love", ["WT1"]),
        ("C-1001", ["WT1"]),
        ("c-1002", ["WT6", "WT4"]),
        ("(415) 555-0100", ["WT1"]),
        ("+12125550143", ["WT2"]),
        ("212-555-0143", ["WT2"]),
        ("ada@example.com", ["WT1"]),
        ("WT" + "0" * 31 + "7", ["WT" + "0" * 31 + "7"]),
        ("WR" + "0" * 31 + "7", ["WT" + "0" * 31 + "7"]),
        (SAMIR, ["WT6", "WT5", "WT4", "WT3"]),
        ("nobody at all", []),
        ("%", []),
        ("\u202e🦜", []),
    ],
)
def test_tasks_are_found_by_customer_number_and_sid(
    browser: FlaskClient, database: Database, some_tasks: None, make_entry: Make, query: str, tasks: list[str]
) -> None:
    seed_customers(database, NOW)
    if "WT" + "0" * 31 + "7" in tasks:
        sid = "0" * 31 + "7"
        make_entry(task_sid=f"WT{sid}", reservation_sid=f"WR{sid}", delivery_key=f"WR{sid}")
    assert shown(browser.get(f"/?q={quote(query)}").text) == tasks


def test_a_search_keeps_to_the_filters(browser: FlaskClient, database: Database, some_tasks: None) -> None:
    seed_customers(database, NOW)
    assert shown(browser.get("/?q=C-1002&outcome=trouble").text) == ["WT4"]


def test_a_viewer_cannot_try_out_names_and_numbers(stranger: FlaskClient, database: Database, some_tasks: None) -> None:
    seed_customers(database, NOW)
    users.add(database, email="vera@example.com", role=Role.VIEWER, password="correct horse battery")
    stranger.post("/login", data={"email": "vera@example.com", "password": "correct horse battery"})
    for query in ("Ada", "+14155550100", "ada@example.com", "+12125550143"):
        page = stranger.get(f"/?q={quote(query)}").text
        assert shown(page) == []
        assert "Your role can search by customer id and by SID only" in page
        assert "C-1001" not in stranger.get(f"/customers?q={quote(query)}").text
    assert shown(stranger.get("/?q=C-1001").text) == ["WT1"]
    assert "A••• L•••" in stranger.get("/customers?q=c-1001").text


def test_what_an_address_cannot_mean_is_left_out_of_it() -> None:
    meant = {"q": " Ada ", "outcome": "none", "time": "1h", "from": "2026-11-24T10:00"}
    nonsense = {"outcome": "drop table", "time": "x", "from": "soon", "to": "\0", "channel": "x" * 65, "q": "a\0"}
    assert query_of(meant | {"other": "1", "worker": ""}) == meant | {"q": "Ada"}
    assert query_of(nonsense) == {}


def test_the_view_is_kept_from_page_to_page(browser: FlaskClient, make_entry: Make) -> None:
    for number in range(60):
        make_entry(task_sid=f"WT{number:03}", task_channel="voice" if number % 2 else "sms")
    page = browser.get("/?channel=voice").text
    assert len(shown(page)) == 30
    assert 'href="/tasks/WT059?channel=voice"' in page
    assert re.search(r'hx-get="/feed\?shown=[\d-]+&amp;channel=voice"', page)
    detail = browser.get("/tasks/WT059/detail?channel=voice").text
    assert "channel=voice" in re.findall(r'hx-get="([^"]+)"', detail)[0]
    make_entry(task_sid="WT059", task_channel="voice")
    assert "/tasks/WT059?channel=voice&amp;entry=" in browser.get("/tasks/WT059/detail?channel=voice").text


def test_older_pages_keep_the_filter_and_begin_where_the_last_ended(browser: FlaskClient, make_entry: Make) -> None:
    for number in range(120):
        make_entry(task_sid=f"WT{number:03}", task_channel="voice" if number % 2 else "sms")
    seen: list[str] = []
    path: str | None = "/?channel=voice"
    while path:
        page = browser.get(path).text
        seen += shown(page)
        older = re.search(r'<a href="([^"]+)">Older tasks', page)
        path = unescape(older[1]) if older else None
    assert seen == [f"WT{number:03}" for number in range(119, 0, -2)]


def test_each_filter_can_be_taken_away_by_itself(browser: FlaskClient, some_tasks: None) -> None:
    page = browser.get(f"/?channel=voice&worker={DANA}&outcome=none").text
    chips = [unescape(each) for each in re.findall(r'<a class="chip" href="([^"]+)">', page)]
    assert chips == [
        f"/?worker={DANA}&channel=voice",
        "/?outcome=none&channel=voice",
        f"/?outcome=none&worker={DANA}",
    ]
    assert "Worker: Dana" in page
    assert "Channel: Voice" in page


def test_the_choices_are_those_that_the_journal_knows(database: Database, some_tasks: None) -> None:
    known = filters.choices(database)
    assert known.workers == (Choice(DANA, "Dana"), Choice(SAMIR, "Samir"))
    assert known.queues == (Choice(VOICE_QUEUE, "Calls"), Choice(CHAT_QUEUE, ""))
    assert known.channels == (Choice("voice", "voice"), Choice("whatsapp", "whatsapp"))


def test_none_is_explained(browser: FlaskClient, make_entry: Make) -> None:
    assert headline(browser.get("/").text) == "No tasks yet"
    make_entry()
    for query in ("outcome=claimed", "q=nobody"):
        page = browser.get(f"/?{query}").text
        assert headline(page) == "No task fits"
        assert "Show all tasks" in page
    assert "Search by a customer’s name or id" in page


def test_looking_ends_in_time_and_says_how_far_it_came(
    browser: FlaskClient, make_entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page must not keep the callbacks of its process waiting, however long the journal."""
    ids = [make_entry(task_sid=f"WT{number}") for number in range(10)]
    make_entry(task_sid="WT3", match="none", customer_id=None)
    monkeypatch.setattr(feed, "find_tasks", partial(feed.find_tasks, range_size=2, fast_query_s=0.0, timeout_s=0.0))
    page = browser.get("/?outcome=ambiguous").text
    assert headline(page) == "None found yet"
    assert f'href="/?before={ids[-1]}&amp;outcome=ambiguous">Look further back' in page
    further = browser.get(f"/?before={ids[1]}&outcome=ambiguous").text
    assert headline(further) == "No older task fits"


def test_what_was_found_in_stretches_is_what_is_found_at_once(database: Database, make_entry: Make) -> None:
    for number in range(40):
        make_entry(task_sid=f"WT{number % 17}", match="none" if number % 3 else "matched")
    for ending in ("none", "matched"):
        at_once = feed.find_tasks(database, Filters(ending=ending), limit=5)
        in_stretches = feed.find_tasks(
            database, Filters(ending=ending), limit=5, timeout_s=60, range_size=3, fast_query_s=0.0
        )
        assert in_stretches == at_once


def test_of_newer_tasks_an_older_page_is_told(browser: FlaskClient, make_entry: Make) -> None:
    for number in range(60):
        make_entry(task_sid=f"WT{number:03}")
    page = browser.get("/?before=5").text
    poll = unescape(re.findall(r'hx-get="(/feed/news[^"]+)"', page)[0])
    assert browser.get(poll).status_code == 204
    make_entry(task_sid="WTX")
    assert '<a href="/">1 newer task. Show it</a>' in browser.get(poll).text
    assert browser.get(poll.replace("since", "outcome=none&since")).status_code == 204


def test_every_filter_is_answered_from_an_index(database: Database, some_tasks: None) -> None:
    """Nothing is read through, nothing is sorted, and an index leads to what is rare."""
    wanted = {
        "ix_entries_worker_sid": Filters(worker_sid=DANA),
        "ix_entries_task_queue_sid": Filters(task_queue_sid=VOICE_QUEUE),
        "ix_entries_task_channel": Filters(task_channel="voice"),
        "ix_entries_endings": Filters(ending="failed"),
        "ix_entries_unconcluded": Filters(ending="in_progress"),
        "ix_entries_customer_id": Filters(searched=True, customer_ids=("C-1001",)),
        "ix_entries_first_key": Filters(searched=True, first_keys=("+14155550100",)),
        "ix_entries_task_sid": Filters(searched=True, task_sid="WT1"),
        "uq_entries_delivery_key|sqlite_autoindex_entries": Filters(searched=True, reservation_sid="WR1"),
    }
    for index, each in wanted.items():
        asked: list[tuple[str, tuple[object, ...]]] = []

        def note(
            _c: object,
            _cursor: object,
            sql: str,
            given: tuple[object, ...],
            *_: object,
            asked: list[tuple[str, tuple[object, ...]]] = asked,
        ) -> None:
            asked.append((sql, given))

        event.listen(database.engine, "before_cursor_execute", note)
        feed.find_tasks(database, each)
        event.remove(database.engine, "before_cursor_execute", note)
        with closing(sqlite3.connect(str(database.url.database))) as connection:
            plans = [
                [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", given)]
                for sql, given in asked
                if "NOT (EXISTS" in sql
            ]
        assert plans
        for plan in plans:
            assert re.search(index, str(plan)), (index, plan)
            assert not re.search(r"SCAN entries\w*(?! USING|\w)", str(plan)), plan


class TestIncidents:
    """A failure is found after its repair, which is the task's newest entry."""

    @pytest.fixture
    def repaired(self, make_entry: Make) -> None:
        failed = {"outcome": "could_not_write", "reason": "rate_limited", "match": None}
        make_entry(task_sid="WT1", received_at=NOW - timedelta(minutes=50), **failed)
        make_entry(task_sid="WT2", received_at=NOW - timedelta(minutes=40), **failed)
        make_entry(task_sid="WT1", received_at=NOW - timedelta(minutes=30), **failed)
        make_entry(task_sid="WT3", received_at=NOW - timedelta(minutes=20))
        make_entry(task_sid="WT1", received_at=NOW - timedelta(minutes=10), kind="late")

    @pytest.mark.parametrize("ending", ["trouble", "could_not_write"])
    def test_it_is_found_and_shown_as_it_stands_now(self, database: Database, repaired: None, ending: str) -> None:
        page = feed.find_tasks(database, Filters(ending=ending))
        assert [(line.task_sid, line.kind) for line in page.lines] == [("WT1", "late"), ("WT2", "assignment")]

    def test_the_period_is_that_of_the_failure(self, database: Database, repaired: None) -> None:
        early = Filters(ending="trouble", until=NOW - timedelta(minutes=45))
        assert [line.task_sid for line in feed.find_tasks(database, early).lines] == ["WT1"]
        late = Filters(ending="trouble", since=NOW - timedelta(minutes=15))
        assert feed.find_tasks(database, late).lines == ()

    def test_late_enrichments_are_a_filter(self, database: Database, repaired: None, make_entry: Make) -> None:
        make_entry(task_sid="WT1", kind="staff")
        assert [line.task_sid for line in feed.find_tasks(database, Filters(ending="late")).lines] == ["WT1"]

    def test_pages_follow_each_other_without_gap_or_repetition(self, database: Database, make_entry: Make) -> None:
        for number in range(9):
            make_entry(task_sid=f"WT{number % 4}", outcome="out_of_time", match=None)
            make_entry(task_sid=f"WT{number % 3}")
        found: list[str | None] = []
        before = None
        while page := feed.find_tasks(database, Filters(ending="trouble"), limit=1, before=before):
            if not page.lines:
                break
            found += [line.task_sid for line in page.lines]
            before = page.matches[-1]
        assert sorted(map(str, found)) == ["WT0", "WT1", "WT2", "WT3"]

    def test_the_overview_leads_to_it(self, browser: FlaskClient, make_entry: Make) -> None:
        now = datetime.now(UTC)
        make_entry(task_sid="WT1", outcome="could_not_write", reason="rate_limited", match=None, received_at=now)
        make_entry(task_sid="WT1", kind="late", received_at=now)
        link = re.search(r'href="(/\?outcome=could_not_write&amp;time=1h)"', browser.get("/overview?of=hour").text)
        assert link
        assert "line-WT1" in browser.get(unescape(link[1])).text
