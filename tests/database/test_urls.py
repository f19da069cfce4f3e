"""URLs of databases: the driver that we ship, and refusals without their secrets."""

from __future__ import annotations

import pytest

from enrich.database.engine import Database
from enrich.database.urls import normal_url
from enrich.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://h/d?sslmode=require", "postgresql+psycopg://h/d?sslmode=require"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
    ],
)
def test_postgresql_means_the_driver_that_we_ship(url: str, normal: str) -> None:
    assert normal_url(url) == normal


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        Database(url)


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:p@h/d", "sqlite:////proc/nowhere/x.db"])
def test_a_url_that_cannot_be_used_is_told_by_its_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        Database(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:{}@1@127.0.0.1/d",
        "postgresql://u:1@{}@127.0.0.1:5432/d",
        "postgresql://u:1@{}:1@127.0.0.1/d",
        "postgresql://u:1@h:{}@127.0.0.1/d",
        "postgresql://u:1/{}@127.0.0.1@h/d",
        "postgresql://u/1:{}@127.0.0.1/d",
        "postgresql://u:1@h?{}@127.0.0.1/d=1",
        "postgresql://127.0.0.1:{}/d",
        "postgresql://u:{}@127.0.0.1:99999/d",
        "postgresql://u:{}@127.0.0.1:0/d",
        "u:{}@127.0.0.1/d",
    ],
)
def test_a_url_that_is_not_well_quoted_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL: not of the form") as caught:
        Database(url.format("secret"))
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
