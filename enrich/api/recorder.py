"""Rows about requests, and the use of their tokens, written after the answers: several at a time, in the background.

A process that is killed loses those of the last half second; one that is told to end writes them when it closes the
database. While the database does not take them, `MAX_WAITING` are kept.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Generic, TypeVar

from enrich import errors
from enrich.accounts.tokens import ApiToken, ApiTokens
from enrich.database.engine import Database
from enrich.resilience.coalesced_call import CoalescedCall

INTERVAL_S = 0.5
MAX_WAITING = 10_000
# On SQLite the process does nothing else while a batch is written, about a millisecond.
ROWS_AT_ONCE = 50
# Between two batches the event loop looks at its sockets: a greenlet that only yields would be back before that.
PAUSE_S = 0.001

Row = TypeVar("Row")


class Recorder(Generic[Row]):
    """Records rows of one kind, and the use of tokens. Safe to share between greenlets and threads.

    record: writes some rows in one transaction; raises DatabaseError.
    """

    def __init__(self, database: Database, record: Callable[[Sequence[Row]], object]) -> None:
        self._record = record
        self._tokens = ApiTokens(database)
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._has_ended = False
        self._waiting: list[tuple[Row | None, ApiToken, datetime]] = []
        self._soon = CoalescedCall(self.write, INTERVAL_S)
        database.before_close(self.end)

    def add(self, row: Row | None, token: ApiToken, at: datetime) -> None:
        """Have this row written soon, and that the token was used. Costs a few instructions and never waits.

        row: None if only the use of the token is to be recorded.
        """
        with self._lock:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append((row, token, at))
        self._soon.ask()

    def write(self) -> None:
        """Write what is waiting now. Raises DatabaseError; what was not written goes on waiting.

        What comes meanwhile is left to the next call. Under load some always does: it would be written at once, a few
        rows at a time, and a few rows cost almost what fifty do.
        """
        with self._writing:
            for _ in range(math.ceil(len(self._waiting) / ROWS_AT_ONCE)):
                if self._has_ended or not self._write_some():
                    return
                time.sleep(PAUSE_S)

    def end(self) -> None:
        """Write what is waiting, if the database takes it; nothing is written afterwards."""
        with suppress(errors.DatabaseError):
            self.write()
        with self._writing:
            self._has_ended = True

    def _write_some(self) -> bool:
        """Write a batch, and the use of its tokens; return whether there was one."""
        with self._lock:
            batch, self._waiting = self._waiting[:ROWS_AT_ONCE], self._waiting[ROWS_AT_ONCE:]
        if not batch:
            return False
        try:
            if rows := [row for row, _, _ in batch if row is not None]:
                self._record(rows)
        except errors.DatabaseError:
            with self._lock:
                self._waiting = batch + self._waiting
            raise
        for token, at in {token.id: (token, at) for _, token, at in batch}.values():
            self._tokens.note_use(token, at)
        return True
