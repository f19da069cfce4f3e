"""The log: one sequence of everything that matters, so that the order of events can be proved from outside.

Kinds and their own fields, beside `seq`, `at`, `kind` and the SIDs of the resources:

    task_created
    attributes_written              version, by (the client's User-Agent, "intruder" or "taskrouter"), length
    task_updated                    version, what
    task_moved_on                   skipped, step (the filter's name and the target's number)
    task_queue_timeout              step
    task_evaluated_anew
    task_canceled, task_wrapping, task_completed, task_deleted                              reason
    reservation_created
    assignment_callback_sent        url; fallback_sent likewise, to the fallback URL
    assignment_callback_answered    status, elapsed_ms, answer; fallback_answered likewise
    assignment_callback_failed      error, elapsed_ms; fallback_failed likewise
    worker_dialled                  instruction, via
    worker_supervised               mode
    call_ended
    reservation_accepted            via ("callback" or "rest"), instruction
    reservation_rejected            via
    reservation_timeout, reservation_canceled, reservation_rescinded, reservation_wrapping, reservation_completed
    worker_activity                 activity_name
    event_sent                      event_type; event_answered: status, elapsed_ms; event_failed: error, elapsed_ms
    event_lost                      event_type
    stream_sent                     url, sink_sid, events (their number); stream_answered: status, elapsed_ms;
                                    stream_failed: error, elapsed_ms; stream_lost
    alert                           code (Twilio's, or null for kinds of the emulator), message, alert
    rest_answered                   method, path, status, code; a fault that strikes later may still spoil the response
    fault_struck                    fault (its kind), fault_id, method, path
    parameters_ignored              names
    clock_advanced                  seconds
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Any

Entry = dict[str, Any]

MAX_ENTRIES = 100_000


class Log:
    """Entries in the order in which things happened; the newest 100,000 are kept.

    An entry is a flat dict of JSON values: `seq` counts from 1 without gaps, `at` is ISO 8601 in virtual time.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._seq = 0
        self._changed = threading.Condition()

    def append(self, kind: str, **fields: object) -> Entry:
        """Add an entry, and wake all that wait for it."""
        with self._changed:
            self._seq += 1
            entry: Entry = {"seq": self._seq, "at": self._now().isoformat(), "kind": kind, **fields}
            self._entries.append(entry)
            self._changed.notify_all()
            return entry

    @property
    def last(self) -> int:
        """The `seq` of the newest entry, 0 without one: the position to read on from."""
        with self._changed:
            return self._seq

    def entries(self, kind: str | None = None, *, after: int = 0, **fields: object) -> list[Entry]:
        """Return the entries with a `seq` greater than `after`, of this kind and with these fields, oldest first."""
        with self._changed:
            return self._select(kind, after, fields)

    def wait_for(self, kind: str, timeout: float = 5.0, *, after: int = 0, **fields: object) -> Entry:
        """Return the first entry of this kind with these fields, as soon as there is one.

        timeout: seconds of real time. Raises TimeoutError, which names the kinds that were logged instead.
        """
        ends_at = time.monotonic() + timeout
        with self._changed:
            while not (matches := self._select(kind, after, fields)):
                after = self._seq
                if not self._changed.wait(ends_at - time.monotonic()):
                    kinds = ", ".join(str(entry["kind"]) for entry in self._entries) or "nothing"
                    raise TimeoutError(f"no {kind} with {fields} within {timeout} s; seen: {kinds}")
            return matches[0]

    def _select(self, kind: str | None, after: int, fields: dict[str, object]) -> list[Entry]:
        newer = min(max(self._seq - after, 0), len(self._entries))
        candidates = islice(self._entries, len(self._entries) - newer, None)
        return [
            entry
            for entry in candidates
            if (kind is None or entry["kind"] == kind)
            and all(entry.get(name) == value for name, value in fields.items())
        ]
