"""Log lines of every module that uses `logging`: SIDs, reasons and times, never personal data.

One JSON object per line for machines, aligned text on a terminal. `extra` becomes the line's fields. A traceback has
files, lines and source lines, but the message of an exception only if the exception is ours (errors.py promises that
those are harmless): a database error quotes the row, a parser's error the text that it could not parse.
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

# The attributes of every record; all others were passed as `extra`.
_RECORD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Deeper than any chain of causes that we know; a longer one is a cycle.
_MAX_CHAIN_DEPTH = 10
# gunicorn's message on a failed request holds its URL with the query, and its message on an unreadable request the
# sender's address and the text that it sent.
_QUERY = re.compile(r"\?\S*")
_INVALID = re.compile(r"(Invalid request) from ip=.*", re.DOTALL)


def configure(style: str = "auto", level: int = logging.INFO) -> None:
    """Send the log lines of `enrich` and the warnings of libraries to standard error; a second call sets the style."""
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
    """Return a formatter that writes a record as one line: `event`, the fields of `extra`, and any traceback.

    style: `json`; `text`, where a traceback takes more lines; `auto`: text on a terminal, else json.
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

    structlog's ProcessorFormatter gives the same lines (tests/telemetry/test_logging.py compares the two), but copies
    the record and serves structlog's own loggers, too. Without it a callback takes nearly 4 % less.
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
            line["exception"] = traceback_text(record.exc_info[1])
        if record.stack_info:
            line["stack"] = record.stack_info
        return str(self._renderer(None, level, line))


def traceback_text(exc: BaseException) -> str:
    """Return the traceback with its causes as Python prints it, without the messages of foreign exceptions."""
    return "".join(_chain(exc, _MAX_CHAIN_DEPTH)).rstrip()


def _chain(exc: BaseException, max_depth: int) -> Iterator[str]:
    cause = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
    if cause is not None and max_depth:
        yield from _chain(cause, max_depth - 1)
        yield "\nwhich led to\n\n" if exc.__cause__ else "\nand then\n\n"
    yield "Traceback (most recent call last):\n"
    for frame, line in traceback.walk_tb(exc.__traceback__):
        code = frame.f_code
        yield f'  File "{code.co_filename}", line {line}, in {code.co_name}\n'
        source = linecache.getline(code.co_filename, line, frame.f_globals).strip()
        yield f"    {source}\n" if source else ""
    yield f"{_kind_and_text(exc)}\n"
    for member in exc.exceptions if isinstance(exc, BaseExceptionGroup) and max_depth else ():
        yield from _chain(member, max_depth - 1)


def _kind_and_text(exc: BaseException) -> str:
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
