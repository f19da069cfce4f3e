"""Log lines, from every part that uses `logging`: SIDs, reasons and times, never anybody's data.

One JSON object a line where machines read, aligned text on a terminal. What a part passes as `extra` becomes the line's
fields. A traceback tells where and what, source lines included, but an exception's words only where they are ours
(errors.py promises that those are harmless): a database's complaint quotes the row, a parser's what it could not parse.
"""

from __future__ import annotations

import linecache
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import structlog

from enrich.errors import EnrichError

# The attributes of every record; any other was passed as `extra`.
_RECORD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Deeper than any chain of causes that we know; what is longer goes round in circles.
_MAX_CHAIN_DEPTH = 10
# What gunicorn says of a request that failed holds its address, query and all, and of one that it could not read, the
# sender's address and words.
_QUERY = re.compile(r"\?\S*")
_INVALID = re.compile(r"(Invalid request) from ip=.*", re.DOTALL)


def configure(style: str = "auto", level: int = logging.INFO) -> None:
    """Sends what `enrich` logs, and what libraries warn of, to standard error. Calling it again only sets the style."""
    logging.getLogger("enrich").setLevel(level)
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler.formatter, _LineFormatter):
            handler.setFormatter(formatter(style))
            return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(style))
    root.addHandler(handler)


def formatter(style: str = "json") -> logging.Formatter:
    """Makes one line of a log record: its message as `event`, its `extra` as fields, and its traceback, if it has one.

    style: `json`; `text`, which takes more lines for a traceback; `auto`: text on a terminal, else json.
    """
    is_text = style == "text" or (style == "auto" and sys.stderr.isatty())
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=12
        )
        if is_text
        else structlog.processors.JSONRenderer()
    )
    return _LineFormatter(renderer)


class _LineFormatter(logging.Formatter):
    """Format a record with one of structlog's renderers.

    structlog's ProcessorFormatter gives the same lines (tests/test_logs.py holds the two against each other), but
    copies the record and serves structlog's own loggers, too. Without it a callback takes nearly 4 % less.
    """

    def __init__(self, renderer: structlog.types.Processor) -> None:
        super().__init__()
        self._renderer = renderer

    def format(self, record: logging.LogRecord) -> str:
        level = record.levelname.lower()
        line: dict[str, Any] = {"event": record.getMessage(), "level": level, "logger": record.name}
        line |= {name: value for name, value in vars(record).items() if name not in _RECORD_ATTRIBUTES}
        if not record.name.startswith("enrich"):
            line["event"] = _harmless(str(line["event"]))
        line["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line["process"] = record.process
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = told(record.exc_info[1])
        if record.stack_info:
            line["stack"] = record.stack_info
        return str(self._renderer(None, level, line))


def told(exc: BaseException) -> str:
    """A traceback with its causes, first things first, as Python prints it, but for the words of foreign exceptions."""
    return "".join(_chain(exc, _MAX_CHAIN_DEPTH)).rstrip()


def _chain(exc: BaseException, longest: int) -> Iterator[str]:
    cause = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    if cause is not None and longest:
        yield from _chain(cause, longest - 1)
        yield "\nwhich led to\n\n" if exc.__cause__ else "\nand then\n\n"
    yield "Traceback (most recent call last):\n"
    for frame, line in traceback.walk_tb(exc.__traceback__):
        code = frame.f_code
        yield f'  File "{code.co_filename}", line {line}, in {code.co_name}\n'
        source = linecache.getline(code.co_filename, line, frame.f_globals).strip()
        yield f"    {source}\n" if source else ""
    yield f"{_named(exc)}\n"
    for each in exc.exceptions if isinstance(exc, BaseExceptionGroup) and longest else ():
        yield from _chain(each, longest - 1)


def _named(exc: BaseException) -> str:
    """Return the kind of an exception with text that is safe to log: our own words, or a code from a closed list."""
    kind = type(exc)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(exc, EnrichError):
        return f"{name}: {exc}"
    for code in ("sqlstate", "sqlite_errorname", "errno"):
        value = getattr(exc, code, None)
        if isinstance(value, str | int):
            return f"{name} ({code} {value})"
    return name


def _harmless(event: str) -> str:
    """Return a library's message without the data of a request."""
    return _QUERY.sub("?...", _INVALID.sub(r"\1", event))
