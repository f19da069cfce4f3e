"""Sources that send their customers, on the command line: the check, the state, the brake and the quarantine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from enrich import errors
from enrich.accounts.tokens import ApiTokens
from enrich.customers.export import export
from enrich.customers.push_intake import PushIntake
from enrich.customers.pushed_records import read_pushed
from tests.support.app import run_command, services_of
from tests.support.fixtures import MakeApp
from tests.support.webhooks import SECRET

PLAIN = '[sources.shop]\nkind = "push"\n'
SIGNED = PLAIN + 'secret_env = "SHOP_SECRET"\n'
TWO = SIGNED + SIGNED.replace("shop", "desk")


@pytest.fixture
def app_of(make_app: MakeApp, tmp_path: Path) -> Callable[..., Flask]:
    def make(text: str, region: str = "US") -> Flask:
        path = tmp_path / "sources.toml"
        path.write_text(text)
        return make_app(ENRICH_SOURCES=str(path), ENRICH_DEFAULT_REGION=region)

    return make


def push(app: Flask, *raws: dict[str, Any]) -> None:
    """Have the source shop send these."""
    services = services_of(app)
    now, rules = services.adapters.now(), services.rules.keys
    read = [read_pushed(raw["id"], raw, rules.region, kinds=rules.kinds, now=now) for raw in raws]
    PushIntake(services.database, services.adapters.now, lambda: None).apply("shop", read)


def add_token(app: Flask, name: str, scope: str, *, expires_at: datetime | None = None) -> None:
    tokens = ApiTokens(services_of(app).database)
    assert tokens.add(name=name, scopes=[scope], now=datetime.now(UTC), expires_at=expires_at)


class TestCheck:
    def test_without_a_token_or_secret_nobody_can_send(self, app_of: Callable[..., Flask]) -> None:
        app = app_of(PLAIN)
        add_token(app, "other", "intake:desk")
        add_token(app, "expired", "intake:shop", expires_at=datetime.now(UTC) - timedelta(days=1))
        status, output = run_command(app, "sources", "check")
        assert status == 1
        assert "problem  token                no token that is in effect has the scope intake:shop" in output
        assert "flask tokens add NAME --scope intake:shop" in output

    def test_a_token_is_enough(self, app_of: Callable[..., Flask]) -> None:
        app = app_of(PLAIN)
        add_token(app, "Shop, production", "intake:shop")
        status, output = run_command(app, "sources", "check")
        assert (status, "may send: Shop, production" in output) == (0, True)

    def test_a_secret_is_enough(self, app_of: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SHOP_SECRET", SECRET)
        status, output = run_command(app_of(SIGNED), "sources", "check")
        assert (status, "SHOP_SECRET verifies signed requests" in output) == (0, True)
        assert "problem" not in output

    def test_a_secret_of_another_form_is_named_and_not_shown(
        self, app_of: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SHOP_SECRET", "v1," + SECRET)
        status, output = run_command(app_of(SIGNED), "sources", "check")
        assert (status, "SHOP_SECRET must begin with whsec_" in output) == (1, True)
        assert SECRET not in output

    def test_one_secret_for_two_sources_is_warned_of(
        self, app_of: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SHOP_SECRET", SECRET)
        status, output = run_command(app_of(TWO), "sources", "check")
        assert (status, "SHOP_SECRET is the secret of desk, too" in output) == (0, True)

    def test_without_a_database_the_tokens_are_not_known(self, make_app: MakeApp, tmp_path: Path) -> None:
        path = tmp_path / "sources.toml"
        path.write_text(PLAIN)
        app = make_app(ENRICH_SOURCES=str(path), migrated=False)
        status, output = run_command(app, "sources", "check")
        assert (status, "warning  token" in output) == (0, True)


def test_the_brake_asks_and_is_answered(app_of: Callable[..., Flask]) -> None:
    app = app_of(PLAIN)
    push(app, *({"id": str(number), "version": 1, "name": "Ada"} for number in range(60)))
    gone = [{"id": str(number), "version": 2, "state": "archived"} for number in range(30)]
    assert run_command(app, "sources", "status", "shop")[0] == 0
    with pytest.raises(errors.BrakeApplied) as stopped:
        push(app, *gone)
    status, output = run_command(app, "sources", "status", "shop")
    assert status == 1
    assert "shop (push): sends its customers; brake_applied: " in output
    answer = f"flask sources sync shop --accept {stopped.value.removed}"
    assert answer in output
    assert "does not ask for 1." in run_command(app, "sources", "sync", "shop", "--accept", "1")[1]
    assert run_command(app, *answer.split()[1:]) == (0, "")
    push(app, *gone[: stopped.value.removed])
    status, output = run_command(app, "sources", "status", "shop")
    assert (status, "archived" in output) == (0, True)


def test_what_was_sent_is_tried_again_by_the_rules_of_today(app_of: Callable[..., Flask]) -> None:
    app = app_of(PLAIN)
    push(app, {"id": "17", "version": 2, "name": "Sam", "phones": ["020 7946 0018"]})
    assert "17  " in run_command(app, "sources", "quarantine", "list", "shop")[1]
    assert run_command(app, "sources", "quarantine", "retry", "shop") == (0, "0 of 1 are out of quarantine\n")
    app = app_of(PLAIN, region="GB")
    assert run_command(app, "sources", "quarantine", "retry", "shop", "17") == (0, "1 of 1 are out of quarantine\n")
    assert [one["name"] for one in export(services_of(app).database)] == ["Sam"]
