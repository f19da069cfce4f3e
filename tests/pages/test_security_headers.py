"""The headers of every response, and the pages for errors."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from enrich import __version__
from enrich.database.engine import Database
from tests.support.fixtures import MakeApp

HTML = {"Accept": "text/html"}


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere", "/feed"])
def test_pages_load_nothing_from_elsewhere_and_are_not_kept(browser: FlaskClient, path: str) -> None:
    headers = browser.get(path, headers=HTML).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/login", "/nowhere", "/static/enrich.css", "/healthz"])
@pytest.mark.parametrize(
    ("public_url", "said"),
    [("https://hooks.example.com/enrich", "max-age=31536000"), ("http://127.0.0.1:8000", None)],
)
def test_browsers_are_kept_to_https_where_it_is_there(
    make_app: MakeApp, public_url: str, said: str | None, path: str
) -> None:
    response = make_app(PUBLIC_URL=public_url).test_client().get(path)
    assert response.headers.get("Strict-Transport-Security") == said
    response.close()


def test_every_page_tells_the_version(browser: FlaskClient) -> None:
    for path in ("/", "/customers", "/overview"):
        assert f"TaskRouter Enrich {__version__}</footer>" in browser.get(path).text


def test_no_page_needs_what_the_policy_forbids(browser: FlaskClient, make_entry: Callable[..., int]) -> None:
    make_entry()
    for path in ("/", "/login", "/tasks/WT" + "0" * 32):
        page = browser.get(path).text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page)
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)


def test_files_of_ours_may_be_kept_because_their_address_changes_with_them(browser: FlaskClient) -> None:
    page = browser.get("/").text
    addresses = re.findall(r'"(/static/[^"]+)"', page)
    assert {address.partition("?")[0].rpartition(".")[2] for address in addresses} >= {"css", "svg"}
    for address in addresses:
        answer = browser.get(address)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        answer.close()


def test_a_file_without_a_version_is_asked_for_again(browser: FlaskClient) -> None:
    answer = browser.get("/static/enrich.css")
    assert answer.headers["Cache-Control"] == "no-cache"
    answer.close()


@pytest.mark.parametrize(
    ("method", "path", "code", "said"),
    [("GET", "/nowhere", 404, "Not found"), ("POST", "/", 405, "Method not allowed")],
)
def test_errors_are_told_calmly(browser: FlaskClient, method: str, path: str, code: int, said: str) -> None:
    answer = browser.open(path, method=method, headers=HTML)
    assert answer.status_code == code
    assert said in answer.text
    assert f"Error {code}" in answer.text


def test_a_refused_method_still_says_which_are_allowed(browser: FlaskClient) -> None:
    assert "GET" in browser.post("/", headers=HTML).headers["Allow"]


def test_programs_get_a_line_of_text(browser: FlaskClient) -> None:
    answer = browser.get("/nowhere", headers={"Accept": "*/*"})
    assert answer.mimetype == "text/plain"
    assert answer.text.startswith("404 Not Found")


def test_a_mistake_of_ours_shows_none_of_its_details(
    app: Flask, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("a secret detail")

    monkeypatch.setattr("enrich.journal.feed.recent_tasks", fail)
    for accept in ("text/html", "*/*"):
        answer = browser.get("/", headers={"Accept": accept})
        assert answer.status_code == 500
        assert "secret detail" not in answer.text
    assert "Internal error" in browser.get("/", headers=HTML).text


@pytest.mark.parametrize("path", ["/", "/feed", "/tasks/WT1"])
def test_a_database_that_does_not_answer_is_said_in_words(browser: FlaskClient, database: Database, path: str) -> None:
    """Even the reader's account cannot be read then."""
    database.write(text("DROP TABLE users"))
    answer = browser.get(path, headers=HTML)
    assert answer.status_code == 503
    assert "The database does not respond" in answer.text
    assert answer.headers["Retry-After"] == "5"


def test_without_htmx_the_page_asks_for_no_script(browser: FlaskClient, app: Flask) -> None:
    app.jinja_env.globals["htmx"] = None
    page = browser.get("/").text
    assert "<script" not in page
    assert "No tasks yet" in page
