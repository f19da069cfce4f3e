"""The application: made twice, and guarded everywhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from app import create_app
from enrich.errors import SettingsError
from enrich.settings import Settings
from tests.support.app import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL, SECRET_KEY, services_of
from tests.support.fixtures import MakeApp

# Routes without a guard, each on purpose.
OPEN = {"/healthz", "/readyz", "/metrics", "/login", "/logout", "/static/<path:filename>"}


def test_two_apps_do_not_share_anything(make_app: MakeApp, settings: Settings, tmp_path: Path) -> None:
    other = replace(settings, database_url=f"sqlite:///{tmp_path / 'other.db'}")
    apps = [make_app(settings, migrated=False), make_app(other, migrated=False)]
    urls = {str(services_of(app).database.url) for app in apps}
    assert len(urls) == 2


def test_every_route_has_a_guard_or_is_open_on_purpose(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        blueprint = rule.endpoint.rpartition(".")[0]
        guards = app.before_request_funcs.get(blueprint or None, [])
        assert guards or rule.rule in OPEN, rule


def test_what_nobody_signed_in_for_is_refused(app: Flask) -> None:
    """Without a session no page gives anything away, with guards of any form.

    For what TaskRouter calls see `webhooks/test_views.py`.
    """
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        if rule.rule in OPEN:
            continue
        path = re.sub(r"<[^<>]*task_sid>", "WT" + "1" * 32, rule.rule)
        path = re.sub(r"<[^<>]*(entry_id|audit_id|customer_id|user_id|session_id|token_id|source)>", "1", path)
        assert "<" not in path, rule
        for method in (rule.methods or set()) & {"GET", "POST"}:
            response = client.open(path, method=method)
            assert response.status_code in (302, 400, 401, 403), (rule, method, response.status_code)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"lookup_keys": "from:"}, "ENRICH_LOOKUP_KEYS"),
        ({"lookup_keys": "crm.customer_id"}, "ENRICH_LOOKUP_KEYS"),
        ({"own_numbers": ("nonsense",)}, "ENRICH_OWN_NUMBERS"),
    ],
)
def test_a_wrong_look_up_rule_stops_the_start(settings: Settings, change: dict[str, object], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        create_app(replace(settings, **change))  # type: ignore[arg-type]


def test_a_forged_client_address_is_not_logged_whole(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(ENRICH_TRUSTED_PROXIES="1")
    app.config["WTF_CSRF_ENABLED"] = False
    response = app.test_client().post("/login", headers={"X-Forwarded-For": "9" * 4000})
    assert response.status_code == 401
    (line,) = (record.__dict__ for record in caplog.records if record.getMessage() == "sign-in refused")
    assert line["address"] == "9" * 64


@pytest.mark.parametrize("name", ["SECRET_KEY", "METRICS_TOKEN"])
def test_a_secret_that_can_be_guessed_stops_the_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    good = {"SECRET_KEY": SECRET_KEY, "PUBLIC_URL": PUBLIC_URL}
    good |= {"TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_AUTH_TOKEN": AUTH_TOKEN}
    for variable, value in (good | {name: "short"}).items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"can be guessed:\n  {name}: has only 5 characters"):
        create_app()
