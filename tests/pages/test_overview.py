"""The overview: what is told of the numbers, for every range, with the tables behind the charts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from enrich.pages import overview
from tests.support.journal import Make


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page))


@pytest.mark.parametrize("of", ["hour", "day", "week", "nonsense"])
def test_an_empty_journal_is_told_as_nothing(browser: FlaskClient, of: str) -> None:
    page = browser.get(f"/overview?of={of}").text
    assert "No callbacks in this range." in page
    assert "None in this range." in page
    assert "no task needs a look" in page
    assert "No worker sampled them in this range." in page


@pytest.mark.parametrize("of", ["hour", "day", "week"])
def test_numbers_stand_in_words_charts_and_tables(
    browser: FlaskClient, make_entry: Make, make_followup: Make, of: str
) -> None:
    now = datetime.now(UTC)
    for number in range(3):
        make_entry(task_sid=f"WT{number}", received_at=now - timedelta(minutes=number))
    make_entry(task_sid="WT8", match="none", reason="no_such_key")
    slow = make_entry(task_sid="WT9", outcome="could_not_write", reason="rate_limited", elapsed_ms=3600.0)
    make_entry(task_sid="WT9", kind="late")
    make_entry(task_sid="WT9", kind="event", outcome=None, match=None)
    make_followup(slow, due_at=now - timedelta(minutes=5))
    tallies = browser.application.extensions["enrich"].rollups
    tallies.sample_open_followups(now, lambda: 3)
    tallies.sample_open_followups(now + timedelta(seconds=10), lambda: 100)  # too soon to look again
    page = browser.get(f"/overview?of={of}").text
    told = text_of(page)
    assert "Pending follow-ups average of each span" in told
    assert "Pending 3.0" in re.sub(r"[A-Z][a-z]{2} ?\d\d:\d\d |\d\d:\d\d ", "", told)
    assert "Matched 80.0 %" in told  # what could not be written was looked up all the same
    assert "Callbacks 5" in told
    assert "1 enriched late" in told
    assert "Answered in time 80.0 %" in told
    assert "Pending now 1 the oldest due for 5 min" in told
    assert "Write failed too many requests 1" in told
    assert page.count('role="img"') == 4
    assert page.count("As a table") == 4
    assert "style=" not in page


def test_a_broken_off_entry_is_in_progress_and_breaks_nothing(browser: FlaskClient, make_entry: Make) -> None:
    make_entry(outcome=None, match=None, concluded_at=None, elapsed_ms=None)
    assert "in progress" in text_of(browser.get("/overview").text)


def test_it_needs_signing_in(stranger: FlaskClient) -> None:
    assert stranger.get("/overview").status_code == 302


def test_every_class_of_a_chart_has_a_colour() -> None:
    css = (Path(overview.__file__).parents[1] / "static" / "enrich.css").read_text()
    used = {css_class for _, css_class, _ in (*overview.ENDINGS, *overview.PERCENTILES)}
    used |= {*overview.REASON_COLOURS, overview.OTHER_REASONS[1]}
    assert {name for name in used if f".{name} {{" not in css} == set()
