"""Limits on attempts to sign in, by address, by account and by browser, and the cost of a wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from enrich.accounts import attempts, passwords, users
from enrich.accounts.attempts import Attempts, account_key, address_key, device_key
from enrich.accounts.tables import AttemptsRow, Role
from enrich.database.engine import Database
from tests.support.app import EMAIL, PASSWORD, services_of
from tests.support.fixtures import MakeApp

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
HERE, ELSEWHERE = address_key("192.0.2.1"), address_key("192.0.2.2")
DANA = account_key("dana@example.com")


def waits(database: Database, *keys: attempts.Key, times: int) -> list[float]:
    """The waits that so many tries meet, each made as soon as it may be."""
    now, met = NOW, []
    for _ in range(times):
        wait_s = Attempts(database).admit(keys, now)
        met.append(wait_s)
        if wait_s:
            now += timedelta(seconds=wait_s)
            assert Attempts(database).admit(keys, now) == 0
    return met


def test_an_account_has_five_tries_and_then_waits_twice_as_long_each_time(database: Database) -> None:
    assert waits(database, DANA, times=14) == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_an_address_has_twenty_and_waits_a_quarter_of_an_hour_at_most(database: Database) -> None:
    met = waits(database, HERE, times=33)
    assert met[:20] == [0] * 20
    assert met[20:] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


def test_who_waits_is_not_made_to_wait_longer_by_asking(database: Database) -> None:
    for _ in range(5):
        Attempts(database).admit((DANA,), NOW)
    assert [Attempts(database).admit((DANA,), NOW) for _ in range(50)] == [1.0] * 50
    assert Attempts(database).admit((DANA,), NOW + timedelta(seconds=1)) == 0


def test_an_address_that_waits_does_not_count_against_the_account(database: Database) -> None:
    for _ in range(20):
        Attempts(database).admit((HERE,), NOW)
    for _ in range(20):
        assert Attempts(database).admit((HERE, DANA), NOW)
    assert Attempts(database).admit((ELSEWHERE, DANA), NOW) == 0


def test_a_browser_that_signed_in_before_is_not_locked_out_by_others(database: Database) -> None:
    for _ in range(5):
        Attempts(database).admit((HERE, DANA), NOW)
    assert Attempts(database).admit((HERE, DANA), NOW)
    assert Attempts(database).admit((ELSEWHERE, device_key("x")), NOW) == 0


def test_an_hour_of_peace_is_a_new_beginning(database: Database) -> None:
    for _ in range(5):
        Attempts(database).admit((DANA,), NOW)
    later = NOW + attempts.FORGOTTEN_AFTER + timedelta(seconds=1)
    assert [Attempts(database).admit((DANA,), later) for _ in range(5)] == [0] * 5


def test_a_good_one_forgets_the_account_and_takes_back_the_address_only_its_own(database: Database) -> None:
    """Otherwise the owner of one account could try others for ever, signing in to their own in between."""
    for _ in range(5):
        Attempts(database).admit((HERE, DANA), NOW)
    Attempts(database).succeeded(HERE, DANA, NOW)
    rows = database.read(select(AttemptsRow.key, AttemptsRow.count.label("number")))
    counts = {row.key: row.number for row in rows}
    assert counts == {HERE.value: 4}


def test_of_many_at_once_no_more_get_through(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        met = list(pool.map(lambda _: Attempts(database).admit((DANA,), NOW), range(40)))
    assert met.count(0) == 5


def test_old_rows_go_when_somebody_signs_in(database: Database) -> None:
    Attempts(database).admit((account_key("somebody@example.com"),), NOW - timedelta(days=2))
    Attempts(database).succeeded(HERE, DANA, NOW)
    assert database.read(select(AttemptsRow.key)) == []


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("nonsense" * 50, "nonsense", False),
    ],
)
def test_a_home_with_ipv6_is_one_address(one: str, other: str, is_same: bool) -> None:
    assert (address_key(one) == address_key(other)) is is_same
    assert len(address_key(one).value) <= 80


# --- at the door


@pytest.fixture
def app(make_app: MakeApp, request: pytest.FixtureRequest) -> Flask:
    app = make_app(ENRICH_TRUSTED_PROXIES=getattr(request, "param", "0"))
    app.config["WTF_CSRF_ENABLED"] = False
    users.add(services_of(app).database, email=EMAIL, role=Role.VIEWER, password=PASSWORD)
    return app


def try_to_sign_in(client: FlaskClient, typed: str = "wrong", email: str = EMAIL, **more: Any) -> int:
    form = {"email": email, "password": typed}
    return client.post("/login", data=form, base_url="https://hooks.example.test", **more).status_code


def test_who_tries_too_often_is_told_to_wait_and_costs_no_hash(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    client = app.test_client()
    assert [try_to_sign_in(client) for _ in range(5)] == [401] * 5
    monkeypatch.setattr(passwords, "is_right", lambda *_: pytest.fail("a hash was made"))
    refused = client.post("/login", data={"email": EMAIL, "password": PASSWORD})
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert "Try again in 1 second" in refused.text


def test_an_account_that_does_not_exist_waits_just_the_same(app: Flask) -> None:
    client = app.test_client()
    assert [try_to_sign_in(client, email="nobody@example.com") for _ in range(6)] == [401] * 5 + [429]


def test_the_browser_of_the_owner_signs_in_while_others_guess(app: Flask) -> None:
    owner, attacker = app.test_client(), app.test_client()
    assert try_to_sign_in(owner, PASSWORD) == 302
    cookie = owner.get_cookie("__Host-enrich_device", domain="hooks.example.test")
    assert cookie
    assert (cookie.http_only, cookie.secure, cookie.same_site) == (True, True, "Lax")
    for _ in range(6):
        try_to_sign_in(attacker)
    assert try_to_sign_in(attacker, PASSWORD) == 429
    assert try_to_sign_in(owner, PASSWORD) == 302
    assert try_to_sign_in(owner, email="somebody@example.com") == 401, "it says nothing for another account"


def test_a_forged_device_is_none(app: Flask) -> None:
    client = app.test_client()
    for number in range(6):
        client.set_cookie("__Host-enrich_device", f'["{number}"]', domain="hooks.example.test")
        last = try_to_sign_in(client)
    assert last == 429


@pytest.mark.parametrize("app", ["0", "1"], indirect=True)
def test_the_address_is_the_clients_only_behind_a_trusted_proxy(app: Flask) -> None:
    """Without one, the header is what anybody writes into it."""
    client = app.test_client()
    for number in range(20):
        forwarded = {"X-Forwarded-For": f"192.0.2.{number}"}
        try_to_sign_in(client, email=f"{number}@example.com", headers=forwarded)
    database: Database = app.extensions["enrich"].database
    keys = {row.key for row in database.read(select(AttemptsRow.key).where(AttemptsRow.key.like("from %")))}
    is_trusted = app.extensions["enrich"].settings.trusted_proxies == 1
    assert len(keys) == (20 if is_trusted else 1)
