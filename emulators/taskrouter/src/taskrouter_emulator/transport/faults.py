"""Faults of the REST side that can be set, listed and cleared while the emulator runs.

Instead of doing what was asked:

    status                 answers with `status` (429, 500, 503, ...), and `Retry-After` if `retry_after` says so
    precondition_failed    answers 412/20412 to requests that carry `If-Match`, whatever they say

Instead of the answer; `after_processing` says whether the request is carried out first (else it never is):

    stall                  sends nothing for `seconds`, then closes the connection
    reset                  resets the connection
    html                   answers with `status` and a page of HTML, as a proxy in between would

With what was asked done, as always, but its answer spoiled:

    broken_json            the first half of the JSON, in an otherwise correct answer
    without_etag           no `ETag` header
    cut                    the first half of the body, then the end of the connection
    drip_headers           status line and headers one byte every `every_s` seconds, then the body at once
    drip_body              the headers at once, then the body one byte every `every_s` seconds

And around it:

    latency                waits `seconds` before the request is looked at
    intruding_writer       another writer sets `key` in the task's attributes right after a client fetched the task

Each holds for the next `times` requests that it fits, or for all until it is cleared; `method` and `path` (a regular
expression, searched for in the path) narrow down which ones it fits. What an answer does not have cannot be spoiled:
`broken_json`, `cut` and `drip_body` pass by answers without a body, `without_etag` those without an ETag. Of several
that exclude each other, the one that was set first strikes.

A fault that makes somebody wait stops doing so at once when it is cleared or the emulator stops: latencies and drips
go on without further delay, stalls close the connection.
"""

import itertools
import re
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from weakref import WeakSet

from taskrouter_emulator.model.log import Log

MAX_WAIT_S = 86_400


class FaultKind(StrEnum):
    LATENCY = "latency"
    STATUS = "status"
    PRECONDITION_FAILED = "precondition_failed"
    INTRUDING_WRITER = "intruding_writer"
    STALL = "stall"
    RESET = "reset"
    HTML = "html"
    BROKEN_JSON = "broken_json"
    WITHOUT_ETAG = "without_etag"
    CUT = "cut"
    DRIP_HEADERS = "drip_headers"
    DRIP_BODY = "drip_body"


_OWN_FIELDS: dict[FaultKind, dict[str, object]] = {
    FaultKind.LATENCY: {"seconds": 0.0},
    FaultKind.STATUS: {"status": 503, "retry_after": None},
    FaultKind.PRECONDITION_FAILED: {},
    FaultKind.INTRUDING_WRITER: {"key": "intruder"},
    FaultKind.STALL: {"seconds": 60.0, "after_processing": False},
    FaultKind.RESET: {"after_processing": False},
    FaultKind.HTML: {"status": 200, "after_processing": False},
    FaultKind.BROKEN_JSON: {},
    FaultKind.WITHOUT_ETAG: {},
    FaultKind.CUT: {},
    FaultKind.DRIP_HEADERS: {"every_s": 1.0},
    FaultKind.DRIP_BODY: {"every_s": 1.0},
}
_COMMON_FIELDS = ("kind", "times", "method", "path")


@dataclass(eq=False)
class Fault:
    """One fault. times: for how many more requests; None means until it is cleared. hits: how often it struck.

    The fields from `seconds` to `after_processing` have a meaning for some kinds only.
    """

    kind: FaultKind
    times: int | None = None
    method: str | None = None
    path: str | None = None
    seconds: float = 0.0
    every_s: float = 1.0
    status: int = 503
    retry_after: int | str | None = None
    key: str = "intruder"
    after_processing: bool = False
    id: str = ""
    hits: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def fits(self, method: str, path: str) -> bool:
        if self.method is not None and self.method.upper() != method:
            return False
        return self.path is None or re.search(self.path, path) is not None

    def wait(self, seconds: float) -> bool:
        """Waits this long; False, and at once, if the fault is over: it was cleared or the emulator stops."""
        return not self.over.wait(seconds)

    def as_dict(self) -> dict[str, object]:
        """As JSON: what this kind of fault has."""
        names = ("id", *_COMMON_FIELDS, *_OWN_FIELDS[self.kind], "hits")
        return {name: getattr(self, name) for name in names}


class Faults:
    """The faults in force. All methods may be called from any thread.

    where, in the methods that set one: times, method, path.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._faults: list[Fault] = []
        # Used up, but perhaps still at work on some connection, whose thread then keeps it alive.
        self._used_up: WeakSet[Fault] = WeakSet()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._stopped = False

    def latency(self, seconds: float, **where: object) -> Fault:
        """REST requests are looked at this much later."""
        return self.set({"kind": "latency", "seconds": seconds, **where})

    def status(self, status: int, *, retry_after: int | str | None = None, **where: object) -> Fault:
        """REST requests are answered with this status and not processed.

        retry_after: for the header of that name: seconds, or any text, as it stands.
        """
        return self.set({"kind": "status", "status": status, "retry_after": retry_after, **where})

    def precondition_failed(self, **where: object) -> Fault:
        """Conditional requests get 412."""
        return self.set({"kind": "precondition_failed", **where})

    def intruding_writer(self, key: str = "intruder", **where: object) -> Fault:
        """After each fetch of a task somebody else writes this attribute."""
        return self.set({"kind": "intruding_writer", "key": key, **where})

    def stall(self, seconds: float = 60.0, *, after_processing: bool = False, **where: object) -> Fault:
        """Requests are read, and nothing is sent; after this many seconds the connection is closed."""
        return self.set({"kind": "stall", "seconds": seconds, "after_processing": after_processing, **where})

    def reset(self, *, after_processing: bool = False, **where: object) -> Fault:
        """Requests are read, then the connection is reset."""
        return self.set({"kind": "reset", "after_processing": after_processing, **where})

    def html(self, status: int = 200, *, after_processing: bool = False, **where: object) -> Fault:
        """Requests are answered with a page of HTML."""
        return self.set({"kind": "html", "status": status, "after_processing": after_processing, **where})

    def broken_json(self, **where: object) -> Fault:
        """The JSON of answers ends in the middle; their length and status are right."""
        return self.set({"kind": "broken_json", **where})

    def without_etag(self, **where: object) -> Fault:
        """Answers lack their ETag."""
        return self.set({"kind": "without_etag", **where})

    def cut(self, **where: object) -> Fault:
        """The connection ends in the middle of the body."""
        return self.set({"kind": "cut", **where})

    def drip_headers(self, every_s: float = 1.0, **where: object) -> Fault:
        """Status line and headers come byte by byte, the body then at once."""
        return self.set({"kind": "drip_headers", "every_s": every_s, **where})

    def drip_body(self, every_s: float = 1.0, **where: object) -> Fault:
        """The body comes byte by byte."""
        return self.set({"kind": "drip_body", "every_s": every_s, **where})

    def set(self, wanted: dict[str, object]) -> Fault:
        """Puts a fault in force, described as in JSON. Raises ValueError, saying what is wrong with it."""
        fault = _fault(wanted)
        with self._lock:
            fault.id = f"F{next(self._numbers)}"
            self._faults.append(fault)
        return fault

    def all(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def clear(self, fault_id: str | None = None) -> bool:
        """Ends one fault, or all of them, and what they still hold up; whether there was anything to end."""
        with self._lock:
            return self._end(fault_id)

    def stop(self) -> None:
        """Ends all of them for good: from now on nothing strikes and nobody waits."""
        with self._lock:
            self._stopped = True
            self._end(None)

    def strike(self, method: str, path: str, *kinds: FaultKind, after_processing: bool = False) -> Fault | None:
        """The fault of one of these kinds that hits this request, now used once more and logged, or None.

        after_processing: at what point the request is; faults of the other point pass it by.
        """
        with self._lock:
            fault = self._first(method, path, kinds, after_processing)
            if fault is None:
                return None
            self._use(fault)
        task = _TASK_SID.search(path)
        sids = {"task_sid": task[0]} if task else {}
        self._log.append("fault_struck", fault=fault.kind.value, fault_id=fault.id, method=method, path=path, **sids)
        return fault

    def _first(self, method: str, path: str, kinds: tuple[FaultKind, ...], after_processing: bool) -> Fault | None:
        if self._stopped:
            return None
        for fault in self._faults:
            if fault.kind in kinds and fault.after_processing is after_processing and fault.fits(method, path):
                return fault
        return None

    def _use(self, fault: Fault) -> None:
        fault.hits += 1
        if fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                self._faults.remove(fault)
                self._used_up.add(fault)

    def _end(self, fault_id: str | None) -> bool:
        ended = [fault for fault in (*self._faults, *self._used_up) if fault_id in (None, fault.id)]
        for fault in ended:
            fault.over.set()
            self._used_up.discard(fault)
        self._faults = [fault for fault in self._faults if fault not in ended]
        return bool(ended)


_TASK_SID = re.compile(r"(?<=/Tasks/)WT[0-9a-f]{32}")
_ALWAYS_AFTER = {
    FaultKind.INTRUDING_WRITER,
    FaultKind.BROKEN_JSON,
    FaultKind.WITHOUT_ETAG,
    FaultKind.CUT,
    FaultKind.DRIP_HEADERS,
    FaultKind.DRIP_BODY,
}
_WITHOUT_BODY = (204, 205, 304)


def _fault(wanted: dict[str, object]) -> Fault:
    kinds = ", ".join(FaultKind)
    try:
        kind = FaultKind(str(wanted.get("kind")))
    except ValueError:
        raise ValueError(f"kind must be one of {kinds}") from None
    own = _OWN_FIELDS[kind]
    unknown = sorted(set(wanted) - set(own) - set(_COMMON_FIELDS))
    if unknown:
        raise ValueError(f"{kind} does not take {', '.join(unknown)}")
    given = own | wanted
    return Fault(
        kind=kind,
        times=_whole_number(given.get("times"), "times", 1),
        method=_word(given.get("method"), "method"),
        path=_pattern(given.get("path")),
        seconds=_seconds(given.get("seconds", 0.0), "seconds"),
        every_s=_seconds(given.get("every_s", 1.0), "every_s"),
        status=_status(given.get("status", 503), kind),
        retry_after=_retry_after(given.get("retry_after")),
        key=_word(given.get("key"), "key") or "intruder",
        after_processing=kind in _ALWAYS_AFTER or _truth(given.get("after_processing", False)),
    )


def _whole_number(value: object, name: str, least: int) -> int | None:
    if value is None:
        return None
    if type(value) is not int or value < least:
        raise ValueError(f"{name} must be a whole number from {least}")
    return value


def _status(value: object, kind: FaultKind) -> int:
    """Of a page of HTML any status that has a body; else that of a refusal."""
    least = 200 if kind is FaultKind.HTML else 400
    if type(value) is not int or not least <= value <= 599 or value in _WITHOUT_BODY:
        raise ValueError(f"status must be a whole number from {least} to 599, of an answer that has a body")
    return value


def _seconds(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_WAIT_S:
        raise ValueError(f"{name} must be a number from 0 to {MAX_WAIT_S}")
    return float(value)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("after_processing must be true or false")
    return value


def _retry_after(value: object) -> int | str | None:
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return value
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError("retry_after must be a whole number from 0, or text that a header can hold")
    return value


def _word(value: object, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} must be text")
    return value


def _pattern(value: object) -> str | None:
    pattern = _word(value, "path")
    try:
        re.compile(pattern or "")
    except re.error as problem:
        raise ValueError(f"path is not a regular expression: {problem}") from problem
    return pattern
