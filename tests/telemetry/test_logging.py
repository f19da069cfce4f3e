"""Log lines: one object each, readable on a terminal, and harmless whatever an exception has to say."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
import structlog
from sqlalchemy import text

from enrich import errors
from enrich.database.engine import Database
from enrich.database.errors import translated
from enrich.telemetry import logging as telemetry_logging

PERSON = "+14155550142"


def line(name: str = "enrich.x", message: str = "told", exc: BaseException | None = None, **extra: Any) -> Any:
    """Return the formatted line of such a record, parsed."""
    exc_info = (type(exc), exc, exc.__traceback__) if exc else None
    record = logging.LogRecord(name, logging.WARNING, __file__, 1, message, (), exc_info)
    record.__dict__.update(extra)
    written = telemetry_logging.formatter("json").format(record)
    assert "\n" not in written
    return json.loads(written)


def raised(exc: BaseException, cause: BaseException | None = None) -> BaseException:
    """The same, with a traceback and a cause."""
    try:
        try:
            if cause:
                raise cause
        except BaseException as first:
            raise exc from first
        raise exc
    except BaseException as caught:
        return caught


def test_a_line_is_one_object_with_its_extra() -> None:
    told = line(task_sid="WT1", steps={"fetch": 1.5})
    assert (told["event"], told["level"], told["logger"]) == ("told", "warning", "enrich.x")
    assert (told["task_sid"], told["steps"]) == ("WT1", {"fetch": 1.5})
    assert told["timestamp"].endswith("+00:00")


def test_whatever_stands_in_a_field_the_line_stays_one_line() -> None:
    assert line(event_type="a\nb\u2028\ud800\0")["event_type"] == "a\nb\u2028\ud800\0"


def test_a_traceback_says_where_and_what_but_not_what_it_was_about() -> None:
    told = line(exc=raised(ValueError(f"no such number: {PERSON}"), KeyError(PERSON)))["exception"]
    assert PERSON not in told
    assert [each in told for each in ("KeyError", "which led to", "ValueError", "test_logging.py", "in raised")] == [
        True
    ] * 5


def test_our_own_words_are_told() -> None:
    told = telemetry_logging.traceback_text(
        raised(errors.TaskRouterFailed("GET: HTTP 500, code 20001"), OSError(104, f"reset by {PERSON}"))
    )
    assert "enrich.errors.TaskRouterFailed: GET: HTTP 500, code 20001" in told
    assert "(errno 104)" in told
    assert PERSON not in told


def test_a_group_tells_of_each_of_its_exceptions() -> None:
    told = telemetry_logging.traceback_text(raised(ExceptionGroup(PERSON, [ValueError(PERSON), LookupError(PERSON)])))
    assert [each in told for each in ("ExceptionGroup", "ValueError", "LookupError", PERSON)] == [
        True,
        True,
        True,
        False,
    ]


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert telemetry_logging.traceback_text(first).count("ValueError") < 20


def test_what_a_database_says_of_a_row_is_not_told(owned_database: Database) -> None:
    """PostgreSQL's DETAIL carries the key, its primary message the value, SQLAlchemy's own the statement."""
    with owned_database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE once (phone VARCHAR(20) PRIMARY KEY, age INTEGER CHECK (age > 0))"))
    for statement in (
        "INSERT INTO once VALUES ('+14155550142', 1), ('+14155550142', 1)",
        "INSERT INTO once VALUES ('+14155550142', -1)",
        "SELECT CAST('+14155550142' AS NUMERIC) FROM nowhere_14155550142",
    ):
        with pytest.raises(errors.DatabaseError) as caught, translated(), owned_database.engine.begin() as connection:
            connection.execute(text(statement))
        told = line(exc=caught.value)
        assert PERSON[1:] not in json.dumps(told)
        assert "which led to" in told["exception"]
        assert "sqlstate" in told["exception"] or "sqlite_errorname" in told["exception"]
    with owned_database.engine.begin() as connection:
        connection.execute(text("DROP TABLE once"))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Error handling request GET /customers?q=ada@example.com", "Error handling request GET /customers?..."),
        ("Invalid request from ip=198.51.100.7: Invalid HTTP Header: 'ada@example.com'", "Invalid request"),
        ("Worker exiting (pid: 7)", "Worker exiting (pid: 7)"),
    ],
)
def test_what_a_request_brought_along_is_cut_from_the_servers_lines(message: str, expected: str) -> None:
    assert line("gunicorn.error", message)["event"] == expected


def test_what_a_request_brought_along_is_cut_from_their_fields_too() -> None:
    assert line("gunicorn.error", "x", event="GET /customers?q=ada@example.com")["event"] == "GET /customers?..."


def test_where_a_line_was_told_is_told_when_somebody_asked_for_it() -> None:
    assert line(stack_info="Stack (most recent call last): ...")["stack"].startswith("Stack")


def test_what_another_handler_left_in_the_record_is_no_field() -> None:
    assert not {"message", "asctime"} & line(message="told", asctime="2026-11-02 09:00:00").keys()


def test_the_time_is_that_of_the_record() -> None:
    assert line(created=1793610000.5)["timestamp"] == "2026-11-02T09:00:00.500+00:00"


def test_a_line_is_the_one_that_structlog_makes() -> None:
    """The plain form of the formatter, for what both know: level, logger, fields and their order."""
    plain = structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ]
    )
    record = logging.LogRecord("enrich.x", logging.WARNING, __file__, 1, "%s told", ("all",), None)
    record.__dict__.update({"task_sid": "WT1", "steps": {"fetch": 1.5}, "level": "mine", "text": "\u2028\ud800"})
    written = telemetry_logging.formatter("json").format(record)
    assert written.startswith(plain.format(record).removesuffix("}") + ', "timestamp": ')


def test_on_a_terminal_it_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    record = logging.LogRecord("enrich.x", logging.INFO, __file__, 1, "told", (), None)
    written = telemetry_logging.formatter("auto").format(record)
    assert "told" in written
    assert not written.startswith("{")
    assert telemetry_logging.formatter("json").format(record).startswith("{")


def test_configuring_it_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    before = list(logging.root.handlers)
    telemetry_logging.configure("json")
    telemetry_logging.configure("text")
    assert len([each for each in logging.root.handlers if each not in before]) <= 1
