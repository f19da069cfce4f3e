"""PostgreSQL's own log, with the settings that compose.yaml gives it and without them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import yaml
from sqlalchemy import make_url

NAME = "Zebulon Quartermain"
# What an operator may switch on to find slow or failing statements.
TALKATIVE = ["log_min_duration_statement=0", "log_min_error_statement=error", "log_min_messages=warning"]


def shipped() -> list[str]:
    compose = yaml.safe_load((Path(__file__).parents[2] / "compose.yaml").read_text())
    words = compose["services"]["database"]["command"]
    return [word.removeprefix("--") for word in words if word.startswith("--log_")]


@pytest.fixture
def log(postgresql: str) -> Path:
    directory = make_url(postgresql).query["host"]
    path = Path(str(directory)) / "log"
    assert path.is_file()
    return path


@pytest.mark.parametrize(
    ("settings", "is_told"),
    [
        pytest.param(shipped(), False, id="as shipped"),
        pytest.param([], True, id="PostgreSQL's own defaults"),
        pytest.param(
            ["log_parameter_max_length=0", "log_error_verbosity=default"], True, id="errors with their detail"
        ),
    ],
)
def test_it_tells_what_a_row_holds_only_if_it_is_let(
    postgresql: str, log: Path, settings: list[str], is_told: bool
) -> None:
    begins = log.stat().st_size
    options = " ".join(f"-c {setting}" for setting in [*TALKATIVE, *settings])
    with psycopg.connect(postgresql, options=options, autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE people (name text PRIMARY KEY, age integer NOT NULL)")
        for age in (1, 2, None):  # good, taken already, and missing
            with suppress(psycopg.IntegrityError):
                connection.execute("INSERT INTO people VALUES (%s, %s)", (NAME, age))
    written = log.read_text()[begins:]
    assert "INSERT INTO people" in written
    assert (NAME in written) is is_told
