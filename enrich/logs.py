"""Log lines: one JSON object each, from every part that uses `logging`; SIDs and reasons, never a customer's data.

What a part passes as `extra` becomes the line's fields.
"""

from __future__ import annotations

import logging
import sys

import structlog

_SHARED: tuple[structlog.types.Processor, ...] = (
    structlog.stdlib.add_log_level,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def configure(level: int = logging.INFO) -> None:
    """Sends what `enrich` logs to standard error. Calling it again changes nothing."""
    logger = logging.getLogger("enrich")
    logger.setLevel(level)
    if any(isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter) for handler in logger.handlers):
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter())
    logger.addHandler(handler)


def formatter() -> logging.Formatter:
    """Makes one JSON object of a log record: its message as `event`, its `extra` as fields, a traceback as text."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
