"""The feed and an opened task: what they say, what they keep to themselves, and when they are silent."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, text

from enrich.database.engine import Database
from tests.support.journal import Make

SID = "WT" + "0" * 32


def line_of(page: str, sid: str = SID) -> str:
    found = re.search(rf'<li id="line-{sid}".*?</li>', page, re.DOTALL)
    assert found, page
    return found[0]


def shown_text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def poll_of(fragment: str) -> str:
    found = re.search(r'hx-get="([^"]+)" hx-(?:trigger|swap)', fragment)
    assert found, fragment
    return unescape(found[1])


# --- the feed


def test_page_and_fragment_show_the_same_line(browser: FlaskClient, make_entry: Make) -> None:
    make_entry()
    whole, fragment = browser.get("/").text, browser.get("/feed").text
    assert line_of(whole) == line_of(fragment)
    assert shown_text(line_of(whole)) == "Ada Lovelace just now Matched by phone, verified Grace Hopper 41 ms"


def test_a_task_names_the_attributes_whose_form_is_not_known(browser: FlaskClient, make_entry: Make) -> None:
    finding = {"keys": [], "withheld": [], "unknown": ["from"], "candidates": []}
    nobody = {"match": "none", "reason": "unknown_form", "customer_id": None, "customer_name": ""}
    make_entry(**nobody, finding=finding)
    page = shown_text(browser.get(f"/tasks/{SID}").text)
    assert "from of unknown form, not looked up" in page
    assert "No contact details" not in page


def test_a_fragment_is_one_element_with_an_id(browser: FlaskClient, make_entry: Make) -> None:
    make_entry()
    for path, element in (("/feed", "feed"), (f"/tasks/{SID}/detail", "detail")):
        fragment = browser.get(path).text.strip()
        assert re.match(rf'<(div|section) id="{element}"', fragment)
        assert "<html" not in fragment


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ({"match": "claimed", "trust": "claimed", "by": "email"}, "Claimed, verify first by e-mail, claimed"),
        ({"match": "ambiguous", "by": "account_number"}, "Ambiguous by account number Grace Hopper"),
        ({"match": "none", "reason": "withheld"}, "No match number withheld"),
        ({"match": "none", "reason": "no_such_key"}, "No match no customer has this phone number"),
        ({"match": "none", "reason": "no_key"}, "No match no contact details"),
        ({"match": "none", "reason": "unknown_form"}, "No match address of unknown form"),
        (
            {"outcome": "could_not_look", "match": None, "reason": "database_locked"},
            "Look-up failed database locked",
        ),
        ({"outcome": "could_not_write", "reason": "taskrouter_failed"}, "Write failed TaskRouter error"),
        ({"outcome": "out_of_time", "reason": "taskrouter_too_slow"}, "Out of time TaskRouter too slow"),
        ({"outcome": "malformed", "match": None}, "Not understood"),
        ({"outcome": "not_tried", "match": None}, "Answered without look-up"),
        ({"outcome": None, "match": None, "concluded_at": None}, "In progress"),
    ],
)
def test_each_ending_is_said_in_words(
    browser: FlaskClient, make_entry: Make, differences: dict[str, object], said: str
) -> None:
    make_entry(**differences)
    assert said in shown_text(line_of(browser.get("/").text))


def test_late_and_owed_are_marked(browser: FlaskClient, make_entry: Make, make_followup: Make) -> None:
    make_followup(make_entry(outcome="could_not_look", match=None))
    make_entry(kind="late")
    line = shown_text(line_of(browser.get("/").text))
    assert "Enriched late" in line
    assert "Follow-up pending" in line


def test_a_worker_without_a_name_is_told_by_sid(browser: FlaskClient, make_entry: Make) -> None:
    make_entry(worker_name="", worker_sid="WK" + "0" * 28 + "4f2a")
    assert "WK…4f2a" in line_of(browser.get("/").text)


def test_an_empty_journal_says_what_to_do(browser: FlaskClient) -> None:
    page = browser.get("/").text
    assert "No tasks yet" in page
    assert "http://127.0.0.1/taskrouter/assignment" in page


def test_nothing_is_sent_while_nothing_changed(browser: FlaskClient, make_entry: Make) -> None:
    make_entry()
    poll = poll_of(browser.get("/").text)
    unchanged = browser.get(poll)
    assert (unchanged.status_code, unchanged.text) == (204, "")
    make_entry(task_sid="WT1")
    changed = browser.get(poll)
    assert changed.status_code == 200
    assert changed.headers["HX-Trigger"] == "tasks-changed"
    assert browser.get(poll_of(changed.text)).status_code == 204


def test_older_tasks_are_a_link_away_and_hold_still(browser: FlaskClient, make_entry: Make) -> None:
    for number in range(60):
        make_entry(task_sid=f"WT{number:03}")
    page = browser.get("/").text
    assert len(re.findall('class="line"', page)) == 50
    older = re.search(r'<a href="(/\?before=\d+)">Older tasks', page)
    assert older
    rest = browser.get(older[1]).text
    assert len(re.findall('class="line"', rest)) == 10
    assert 'id="line-WT009"' in rest
    assert "every 2s" not in rest
    assert "Older tasks" not in rest


@pytest.mark.parametrize("before", ["0", "-1", "x", "9" * 30, "9" * 5000, "%00", "%D9%A3"], ids=lambda place: place[:9])
def test_a_senseless_place_is_the_newest(browser: FlaskClient, make_entry: Make, before: str) -> None:
    make_entry()
    assert line_of(browser.get(f"/?before={before}").text)


# --- one task


def test_an_opened_task_is_marked_in_the_feed_and_told_beside_it(browser: FlaskClient, make_entry: Make) -> None:
    make_entry()
    page = browser.get(f"/tasks/{SID}").text
    assert 'aria-current="true"' in line_of(page)
    told = shown_text(page[page.index('id="detail"') :])
    assert "The phone number +14155550100 belongs to Ada Lovelace and to no other customer." in told
    assert "Look up the customer 4.2 ms" in told
    assert "41 ms of 3,500 ms" in told
    assert '"instruction": "accept"' in told


def test_the_attributes_are_compared(browser: FlaskClient, make_entry: Make) -> None:
    make_entry()
    page = browser.get(f"/tasks/{SID}").text
    added = [shown_text(row) for row in re.findall(r'<tr class="added">.*?</tr>', page, re.DOTALL)]
    assert added == [
        '3 + added "crm": {',
        '4 + added "match": "matched" ,',
        '5 + added "name": "Ada Lovelace"',
        "6 + added }",
    ]


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ({"attributes_after": None}, "the block was there already"),
        ({"attributes_after": None, "outcome": "could_not_write"}, "nothing was written"),
        ({"attributes_after": None, "attributes_before": '{"broken'}, "Not JSON; shown as stored"),
    ],
)
def test_what_was_not_written_is_said(
    browser: FlaskClient, make_entry: Make, differences: dict[str, object], said: str
) -> None:
    make_entry(**differences)
    assert said in browser.get(f"/tasks/{SID}").text


def test_everything_that_happened_is_told_in_order(browser: FlaskClient, make_entry: Make, make_followup: Make) -> None:
    make_entry(kind="event", event_type="task.created", outcome=None)
    failed = make_entry(outcome="could_not_look", match=None, reason="database_locked", repeats=2)
    make_followup(failed, attempts=1, due_at=None, done_at=datetime.now(UTC))
    make_entry(kind="late")
    page = browser.get(f"/tasks/{SID}").text
    history = re.search(r'<ol class="history">.*?</ol>', page, re.DOTALL)
    assert history
    told = shown_text(history[0])
    assert re.search(
        "task.created .* Assignment callback Look-up failed .* 2 more times .* Enriched late Matched", told
    )
    assert "Enrich the task late done just now . 1 attempt." in shown_text(page)


def test_what_is_owed_says_when_and_why(browser: FlaskClient, make_entry: Make, make_followup: Make) -> None:
    entry = make_entry(outcome="could_not_write", reason="rate_limited")
    due_at = datetime.now(UTC) + timedelta(seconds=300)
    make_followup(entry, attempts=3, due_at=due_at, last_reason="rate_limited")
    told = shown_text(browser.get(f"/tasks/{SID}").text)
    assert re.search(r"pending , next attempt in [45] min. 3 attempts so far. TaskRouter asked us to slow down.", told)


def test_an_unsettled_task_asks_again_and_a_settled_one_waits_for_the_feed(
    browser: FlaskClient, make_entry: Make, database: Database
) -> None:
    make_entry(concluded_at=None, outcome=None)
    fragment = browser.get(f"/tasks/{SID}/detail").text
    assert "every 2s" in fragment
    poll = poll_of(fragment)
    assert browser.get(poll).status_code == 204
    database.write(text("UPDATE entries SET outcome = 'enriched', concluded_at = received_at"))
    settled = browser.get(poll)
    assert settled.status_code == 200
    assert "every 2s" not in settled.text
    assert "tasks-changed from:body" in settled.text


def test_an_entry_without_a_task_has_a_page_of_its_own(browser: FlaskClient, make_entry: Make) -> None:
    entry_id = make_entry(task_sid=None, outcome="malformed", match=None, customer_id=None, customer_name="")
    assert f'href="/entries/{entry_id}"' in browser.get("/").text
    assert "Not understood" in browser.get(f"/entries/{entry_id}").text
    assert browser.get(f"/entries/{entry_id}/detail").status_code == 200


def test_an_entry_with_a_task_is_shown_with_it(browser: FlaskClient, make_entry: Make) -> None:
    entry_id = make_entry()
    assert browser.get(f"/entries/{entry_id}").location == f"/tasks/{SID}?entry={entry_id}"
    assert browser.get(f"/entries/{entry_id}", follow_redirects=True).status_code == 200


# --- one of its entries


def link_to(page: str, element: str) -> tuple[str, str]:
    """Return the addresses of this link, without script and with it."""
    found = re.search(rf'<a id="{element}" href="([^"]+)" hx-get="([^"]+)"', page)
    assert found, page
    return unescape(found[1]), unescape(found[2])


def test_an_earlier_entry_is_a_link_away_and_told_alone(browser: FlaskClient, make_entry: Make) -> None:
    earlier = make_entry(customer_name="Katherine Johnson", answer='{"told":"earlier"}')
    make_entry(answer='{"told":"newest"}')
    page = browser.get(f"/tasks/{SID}").text
    assert "earlier" not in shown_text(page[page.index("Answer to TaskRouter") :])
    whole, fragment = (browser.get(path).text for path in link_to(page, f"entry-{earlier}"))
    for told in (whole, fragment):
        assert '"told": "earlier"' in unescape(shown_text(told))
        assert '"told": "newest"' not in unescape(shown_text(told))
        assert re.search(rf'<a id="entry-{earlier}"[^>]+aria-current="true"', told)
    assert "<title>Katherine Johnson" in whole
    assert 'aria-current="true"' in line_of(whole), "it is still this task that is open"
    back = browser.get(link_to(whole, "newest")[0]).text
    assert '"told": "newest"' in unescape(shown_text(back))


def test_an_earlier_entry_stays_open_while_others_come(browser: FlaskClient, make_entry: Make) -> None:
    earlier = make_entry(answer='{"told":"earlier"}')
    make_entry()
    poll = poll_of(browser.get(f"/tasks/{SID}/detail?entry={earlier}").text)
    assert browser.get(poll).status_code == 204
    newest = make_entry()
    told = browser.get(poll).text
    assert '"told": "earlier"' in shown_text(told)
    assert f'id="entry-{newest}"' in told


def test_an_event_is_told_when_it_is_asked_for(browser: FlaskClient, make_entry: Make) -> None:
    asked = make_entry(kind="event", event_type="task.created", outcome=None, match=None, raw_form="EventType=x1y2")
    make_entry()
    assert "x1y2" not in browser.get(f"/tasks/{SID}").text
    told = shown_text(browser.get(f"/tasks/{SID}?entry={asked}").text)
    assert "An event of the task, as TaskRouter reported it." in told
    assert "x1y2" in told


@pytest.mark.parametrize("entry", ["", "0", "-1", "x", "7", "%00", "9" * 20, "9" * 5000, "1_0", "%D9%A3"])
@pytest.mark.parametrize("path", ["", "/detail"])
def test_an_entry_that_the_task_does_not_have_is_not_found(
    browser: FlaskClient, make_entry: Make, path: str, entry: str
) -> None:
    make_entry()
    assert browser.get(f"/tasks/{SID}{path}?entry={entry}").status_code == 404


DENSE = f'{{"crm":1,"x":[{",".join(["1"] * 1990)}]}}'


def test_a_task_that_was_offered_two_hundred_times_costs_what_one_does(
    app: Flask, browser: FlaskClient, make_entry: Make, database: Database
) -> None:
    """All its entries in full were 64 MB and 11 s, in which the process answered nobody."""
    for _ in range(200):
        make_entry(attributes_before=DENSE, attributes_after=DENSE.replace("1", "2"), raw_form=DENSE)
    for path in (f"/tasks/{SID}", f"/tasks/{SID}/detail", f"/tasks/{SID}/detail?entry=3"):
        page = browser.get(path).text
        rows = re.findall(r'<tr class="(?:same|added|removed)">', page)
        assert 200 < len(rows) <= 300
        assert len(re.findall('<a id="entry-', page)) == 50
        assert "the last 50" in page
        assert re.search(r"[0-9,]+ more lines", page)
        assert DENSE[:200] in unescape(page), "the text as it is stored"
        assert len(page) < 200_000


def test_a_long_text_is_shown_in_part(browser: FlaskClient, make_entry: Make) -> None:
    make_entry(
        attributes_before=f"[{','.join([DENSE] * 4)}]", attributes_after=None, outcome="could_not_write", answer=DENSE
    )
    page = browser.get(f"/tasks/{SID}").text
    assert "7,682 more lines" in page, "of what was not written"
    assert "1,695 more lines" in page, "of the answer"
    assert "the first 10,000 of" in page
    assert len(page) < 200_000


def test_nothing_of_any_length_is_read_to_say_that_nothing_changed(
    browser: FlaskClient, make_entry: Make, database: Database
) -> None:
    without_task = make_entry(task_sid=None)
    make_entry()
    polls = [poll_of(browser.get(f"{path}/detail").text) for path in (f"/tasks/{SID}", f"/entries/{without_task}")]
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda _c, _cursor, sql, *_: asked.append(sql))
    for poll in polls:
        assert browser.get(poll).status_code == 204
    long = ("raw_form", "attributes_before", "attributes_after", "answer", "finding", "steps")
    assert "entries.concluded_at" in str(asked)
    assert not [column for column in long if f"entries.{column}" in str(asked)]


def test_only_the_texts_of_one_entry_are_read(browser: FlaskClient, make_entry: Make, database: Database) -> None:
    for _ in range(3):
        make_entry()
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda _c, _cursor, sql, *_: asked.append(sql))
    browser.get(f"/tasks/{SID}/detail")
    (full,) = [sql for sql in asked if "raw_form" in sql]
    assert "entries.id = ?" in full


# --- late


def test_late_work_is_told_apart_from_its_callback(browser: FlaskClient, make_entry: Make) -> None:
    callback = make_entry(outcome="could_not_look", match=None, reason="database_locked", elapsed_ms=3350)
    make_entry(kind="late", elapsed_ms=612, answer=None)
    page = browser.get(f"/tasks/{SID}").text
    told = shown_text(page)
    assert "The late work took 612 ms" in told
    assert "The callback took 3,350 ms, look-up failed" in told
    assert "Time taken" not in told
    assert "612 ms of the follow-up, which no call waited for" in told
    assert "of 3,500 ms" not in told
    assert 'class="budget"' not in page
    whole, _ = link_to(page, "callback")
    assert whole == f"/tasks/{SID}?entry={callback}"
    assert "3,350 ms of 3,500 ms" in shown_text(browser.get(whole).text)


def test_the_timeline_says_how_often_the_block_was_put_back(browser: FlaskClient, make_entry: Make) -> None:
    make_entry()
    assert "put back" not in shown_text(browser.get(f"/tasks/{SID}").text)
    for times, said in ((1, "put back once."), (2, "put back 2 times.")):
        make_entry(kind="event", event_type="block restored", raw_form=f"Times={times}")
        page = shown_text(browser.get(f"/tasks/{SID}").text)
        assert said in page
        assert page.count("Block restored") == times


def test_the_legend_explains_the_marks(browser: FlaskClient, make_entry: Make) -> None:
    make_entry()
    told = shown_text(browser.get("/").text)
    for mark in ("Follow-up pending", "Enriched late", "Fallback", "Not understood"):
        assert mark in told


NOT_THERE = ["/tasks/WT1", "/tasks/WT1/detail", "/tasks/%00", "/tasks/%ED%A0%80", "/entries/7", f"/entries/{2**70}"]
NO_IDS = ["/entries/-1", "/entries/0", "/entries/x", "/entries/%00", "/entries/%D9%A3", "/entries/" + "9" * 5000]


@pytest.mark.parametrize("path", [*NOT_THERE, *NO_IDS, f"/entries/{2**63}/detail"], ids=lambda path: path[:20])
def test_what_the_journal_does_not_have_is_not_found(browser: FlaskClient, path: str) -> None:
    answer = browser.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "Not found" in answer.text


# --- hostile texts

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{ 7 * 7 }}",
    "\u202egnp.exe",
    "🦜" * 4096,
    "]]>--><!--",
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile[:12])
def test_hostile_text_is_shown_harmlessly(browser: FlaskClient, make_entry: Make, hostile: str) -> None:
    """Text that a caller, a visitor or another writer can put into a task."""
    make_entry(
        customer_name=hostile[:200],
        customer_id=hostile[:60],
        worker_name=hostile[:100],
        event_type=hostile[:60],
        by=hostile[:40],
        reason=hostile[:40],
        attributes_before=hostile,
        attributes_after=f'{{"crm": {{"name": "{hostile}", "notes": ["{hostile}"]}}}}',
        answer=hostile,
        raw_form=f"TaskAttributes={hostile}&x",
        steps=[{"name": hostile, "elapsed_ms": 1, "failed": hostile}],
        finding={
            "keys": [{"kind": hostile, "value": hostile, "trust": hostile, "attribute": hostile, "found": None}],
            "withheld": [hostile],
            "candidates": [{"customer_id": hostile, "name": hostile}],
        },
    )
    page = browser.get(f"/tasks/{SID}")
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "<img src=x" not in page.text
    assert 'href="javascript' not in page.text
    assert "\u202e" not in page.text
    assert page.text.count("49") < 20


def test_half_characters_in_a_finding_are_shown_by_number(browser: FlaskClient, make_entry: Make) -> None:
    """JSON can hold them, UTF-8 cannot."""
    key = {"kind": "email", "value": "\ud800", "trust": "claimed", "attribute": "email", "found": 0}
    make_entry(customer_id=None, customer_name="", match="none", finding={"keys": [key]})
    assert "U+D800" in browser.get(f"/tasks/{SID}").text


def test_a_task_sid_that_is_none_gets_no_address(browser: FlaskClient, make_entry: Make) -> None:
    entry_id = make_entry(task_sid="../../login")
    assert f'href="/entries/{entry_id}"' in browser.get("/").text
    assert browser.get(f"/entries/{entry_id}").status_code == 200


# --- who may look, and what goes along


def test_every_page_is_guarded(app: Flask, stranger: FlaskClient) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("pages.")]
    assert len(rules) >= 6
    with app.test_request_context():
        for rule in rules:
            path = rule.build(dict.fromkeys(rule.arguments, 1))
            assert path
            refused = stranger.open(path[1], method=next(iter((rule.methods or set()) - {"HEAD", "OPTIONS"})))
            assert refused.status_code == 302, rule
            assert refused.location.startswith("/login"), rule


def test_the_reader_is_named(browser: FlaskClient) -> None:
    assert "Dana Whitfield editor Sign out" in shown_text(browser.get("/").text)
