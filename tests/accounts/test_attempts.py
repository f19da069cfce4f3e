"""Limits on attempts to sign in, by address, by account and by browser, and the cost of a wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from enrich.accounts import attempts, passwords, users
from enrich.accounts.attempts import Attempt, Attempts, Key, address_keys, from_address, from_device
from enrich.accounts.tables import AttemptsRow, Role
from enrich.database.engine import Database
from tests.support.app import EMAIL, PASSWORD, services_of
from tests.support.fixtures import MakeApp

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
DANA = "dana@example.com"
HERE = "192.0.2.1"


def settle(database: Database, attempt: Attempt) -> Attempt:
    """Return the attempt after its address has used up the tries of a new one, on an account of nobody."""
    for number in range(attempts.NEW_TRIES):
        other = from_address("", f"nobody-{number}@example.com")
        assert Attempts(database).admit(replace(other, addresses=attempt.addresses), NOW) == 0
    return attempt


def known(database: Database, address: str = HERE, email: str = DANA) -> Attempt:
    """Return an attempt of an address with failures on record."""
    return settle(database, from_address(address, email))


def waits(database: Database, attempt: Attempt, times: int) -> list[float]:
    """The waits that so many tries meet, each made as soon as it may be."""
    now, met = NOW, []
    for _ in range(times):
        wait_s = Attempts(database).admit(attempt, now)
        met.append(wait_s)
        if wait_s:
            now += timedelta(seconds=wait_s)
            assert Attempts(database).admit(attempt, now) == 0
    return met


def test_an_account_has_five_tries_and_then_waits_twice_as_long_each_time(database: Database) -> None:
    assert waits(database, known(database), times=14) == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_an_address_has_twenty_and_waits_a_quarter_of_an_hour_at_most(database: Database) -> None:
    of_the_address_alone = replace(from_address(HERE, DANA), lane=Key("x", free=1000, longest_s=1))
    met = waits(database, of_the_address_alone, times=33)
    assert met[:20] == [0] * 20
    assert met[20:] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


def test_who_waits_is_not_made_to_wait_longer_by_asking(database: Database) -> None:
    dana = known(database)
    for _ in range(5):
        Attempts(database).admit(dana, NOW)
    assert [Attempts(database).admit(dana, NOW) for _ in range(50)] == [1.0] * 50
    assert Attempts(database).admit(dana, NOW + timedelta(seconds=1)) == 0


def test_an_address_that_waits_does_not_count_against_the_account(database: Database) -> None:
    for number in range(20):
        Attempts(database).admit(from_address(HERE, f"{number}@example.com"), NOW)
    for _ in range(20):
        assert Attempts(database).admit(from_address(HERE, DANA), NOW)
    assert Attempts(database).admit(known(database, "192.0.2.2"), NOW) == 0


def test_a_browser_that_signed_in_before_waits_for_neither_account_nor_address(database: Database) -> None:
    for _ in range(20):
        Attempts(database).admit(from_address(HERE, DANA), NOW)
    assert Attempts(database).admit(from_address(HERE, DANA), NOW)
    assert [Attempts(database).admit(from_device("x"), NOW) for _ in range(5)] == [0] * 5
    assert Attempts(database).admit(from_device("x"), NOW), "its own tries count"


def test_a_new_browser_does_not_stand_behind_those_who_keep_guessing(database: Database) -> None:
    """Four addresses try as often as they may, for ten minutes; the colleague comes then."""
    attackers = [known(database, f"198.51.100.{number}") for number in range(4)]
    for second in range(600):
        for attacker in attackers:
            Attempts(database).admit(attacker, NOW + timedelta(seconds=second))
    then = NOW + timedelta(seconds=600)
    assert min(Attempts(database).admit(attacker, then) for attacker in attackers) > 0
    colleague = from_address(HERE, DANA)
    assert [Attempts(database).admit(colleague, then) for _ in range(2)] == [0, 0]
    assert Attempts(database).admit(colleague, then), "the third stands behind the others"


@pytest.mark.parametrize("form", ["198.51.{}.{}", "2001:db8:{0:x}{1:02x}::1"], ids=["IPv4", "IPv6"])
def test_any_number_of_new_addresses_is_bounded(database: Database, form: str) -> None:
    """Two tries each, 200 in all; after them one a minute."""
    tried = [
        Attempts(database).admit(from_address(form.format(number // 256, number % 256), DANA), NOW)
        for number in range(110)
        for _ in range(2)
    ]
    assert tried.count(0) == 200
    late = NOW
    admitted = 0
    for number in range(600):
        late += timedelta(seconds=1)
        admitted += Attempts(database).admit(from_address(f"203.0.{number // 256}.{number % 256}", DANA), late) == 0
    assert admitted <= 6 + 10  # 1, 2, 4, ... 32 s, then a minute each


def test_the_many_homes_of_one_site_are_one_new_address(database: Database) -> None:
    for number in range(20):
        Attempts(database).admit(from_address(f"2001:db8:0:{number:x}::1", DANA), NOW)
    rows = database.read(select(AttemptsRow.key, AttemptsRow.count.label("number")))
    counts = {row.key[:3]: row.number for row in rows}
    assert (counts["new"], counts["for"]) == (2, 5)


def test_a_site_has_a_hundred_tries(database: Database) -> None:
    met = [
        Attempts(database).admit(from_address(f"2001:db8:0:{number:x}::1", f"{number}@example.com"), NOW)
        for number in range(101)
    ]
    assert (met[:100], met[100]) == ([0] * 100, 1)


def test_an_hour_of_peace_is_a_new_beginning(database: Database) -> None:
    dana = known(database)
    for _ in range(5):
        Attempts(database).admit(dana, NOW)
    later = NOW + attempts.FORGOTTEN_AFTER + timedelta(seconds=1)
    assert [Attempts(database).admit(dana, later) for _ in range(7)] == [0] * 7, "two as a new one, then five"
    assert Attempts(database).admit(dana, later)


def test_a_good_one_forgets_the_account_and_takes_back_the_address_only_its_own(database: Database) -> None:
    """Otherwise the owner of one account could try others for ever, signing in to their own in between."""
    dana = from_address(HERE, DANA)
    for _ in range(5):
        Attempts(database).admit(dana, NOW)
    Attempts(database).succeeded(dana, NOW)
    rows = database.read(select(AttemptsRow.key, AttemptsRow.count.label("number")))
    assert {row.key[:4]: row.number for row in rows} == {"from": 4, "new ": 1}


def test_of_many_at_once_no_more_get_through(database: Database) -> None:
    dana = known(database)
    with ThreadPoolExecutor(8) as pool:
        met = list(pool.map(lambda _: Attempts(database).admit(dana, NOW), range(15)))
    assert met.count(0) == 5


def test_of_many_at_once_from_a_new_address_two_count_as_new(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        met = list(pool.map(lambda _: Attempts(database).admit(from_address(HERE, DANA), NOW), range(18)))
    assert met.count(0) == 7


def test_signing_in_prunes_nothing(database: Database) -> None:
    """A DELETE of two million old rows took three seconds, on the loop."""
    Attempts(database).admit(from_address("192.0.2.9", "somebody@example.com"), NOW - timedelta(days=2))
    Attempts(database).succeeded(from_address(HERE, DANA), NOW)
    assert len(database.read(select(AttemptsRow.key))) == 2


def test_old_rows_are_pruned_some_at_a_time_and_new_ones_stay(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "PRUNED_AT_ONCE", 3)
    for number in range(8):
        Attempts(database).admit(from_device(f"old {number}"), NOW - attempts.KEPT_FOR - timedelta(seconds=1 + number))
    Attempts(database).admit(from_device("new"), NOW - attempts.KEPT_FOR)
    assert [Attempts(database).prune(NOW) for _ in range(4)] == [3, 3, 2, 0]
    assert len(database.read(select(AttemptsRow.key))) == 1


def test_an_untrusted_proxy_is_on_record_for_a_day(database: Database) -> None:
    assert not Attempts(database).has_untrusted_proxy(NOW)
    for moment in (NOW - timedelta(hours=1), NOW):
        Attempts(database).note_untrusted_proxy(moment)
    assert Attempts(database).has_untrusted_proxy(NOW + timedelta(hours=24))
    assert not Attempts(database).has_untrusted_proxy(NOW + timedelta(hours=25))


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
    assert (address_keys(one) == address_keys(other)) is is_same
    assert all(len(key.value) <= 80 for key in address_keys(one))


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
    assert [try_to_sign_in(client) for _ in range(7)] == [401] * 7
    monkeypatch.setattr(passwords, "is_right", lambda *_: pytest.fail("a hash was made"))
    refused = client.post("/login", data={"email": EMAIL, "password": PASSWORD})
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1"
    assert "Try again in 1 second" in refused.text


def test_an_account_that_does_not_exist_waits_just_the_same(app: Flask) -> None:
    client = app.test_client()
    assert [try_to_sign_in(client, email="nobody@example.com") for _ in range(8)] == [401] * 7 + [429]


def test_the_browser_of_the_owner_signs_in_while_others_guess(app: Flask) -> None:
    owner, attacker = app.test_client(), app.test_client()
    assert try_to_sign_in(owner, PASSWORD) == 302
    cookie = owner.get_cookie("__Host-enrich_device", domain="hooks.example.test")
    assert cookie
    assert (cookie.http_only, cookie.secure, cookie.same_site) == (True, True, "Lax")
    for _ in range(30):
        try_to_sign_in(attacker)
    assert try_to_sign_in(attacker, PASSWORD) == 429
    assert try_to_sign_in(owner, PASSWORD) == 302
    assert try_to_sign_in(owner, email="somebody@example.com") == 401, "it says nothing for another account"


def test_a_forged_device_is_none(app: Flask) -> None:
    client = app.test_client()
    for number in range(8):
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


def test_a_known_browser_signs_in_though_its_address_has_to_wait(app: Flask) -> None:
    """As behind a proxy that is not trusted, where everybody has one address."""
    owner, attacker = app.test_client(), app.test_client()
    assert try_to_sign_in(owner, PASSWORD) == 302
    for number in range(25):
        last = try_to_sign_in(attacker, email=f"{number}@example.com")
    assert last == 429
    assert try_to_sign_in(owner, PASSWORD) == 302
