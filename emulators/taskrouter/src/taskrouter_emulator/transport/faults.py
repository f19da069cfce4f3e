"""Faults of the REST API that can be set, listed and cleared while the emulator runs.

Instead of processing the request:

    status                 responds with `status` (429, 500, 503, ...), and `Retry-After` if `retry_after` is set
    precondition_failed    responds with 412/20412 to requests that have `If-Match`, whatever its value

Instead of the response; with `after_processing` the request is processed first, else never:

    stall                  sends nothing for `seconds`, then closes the connection
    reset                  resets the connection
    html                   responds with `status` and a page of HTML, as a proxy might

The request is processed, and the response is spoiled:

    broken_json            the first half of the JSON, in an otherwise correct response
    without_etag           no `ETag` header
    cut                    the first half of the body, then the end of the connection
    drip_headers           status line and headers one byte every `every_s` seconds, then the body at once
    drip_body              the headers at once, then the body one byte every `every_s` seconds

Around it:

    latency                waits `seconds` before the request is processed
    intruding_writer       another writer sets `key` in the task's attributes right after a client fetched the task

A fault applies to the next `times` requests that it matches, or to all until it is cleared; `method` and `path` (a
regular expression that is searched for) select requests, and of those `every` strikes one in so many: with 3 the third,
the sixth, and so on. A response that lacks the part to be spoiled is passed by:
`broken_json`, `cut` and `drip_body` need a body, `without_etag` an ETag. Of several faults that exclude each other, the
one that was set first strikes.

Clearing a fault, or stopping the emulator, ends its waits at once: latencies and drips go on without further delay,
stalls close the connection.
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
_COMMON_FIELDS = ("kind", "times", "every", "method", "path")


@dataclass(eq=False)
class Fault:
    """One fault. times: for how many more requests, None until cleared. every: one in so many requests is struck.

    hits: how often it struck. passed: requests that it matched since it struck last.

    The fields from `seconds` to `after_processing` have a meaning for some kinds only.
    """

    kind: FaultKind
    times: int | None = None
    every: int = 1
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
    passed: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def matches(self, method: str, path: str) -> bool:
        if self.method is not None and self.method.upper() != method:
            return False
        return self.path is None or re.search(self.path, path) is not None

    def wait(self, seconds: float) -> bool:
        """Wait this long; return False, at once, when the fault is cleared or the emulator stops."""
        return not self.ended.wait(seconds)

    def as_dict(self) -> dict[str, object]:
        """Return the fields that this kind of fault has, as JSON values."""
        names = ("id", *_COMMON_FIELDS, *_OWN_FIELDS[self.kind], "hits")
        return {name: getattr(self, name) for name in names}


class Faults:
    """The faults in force. All methods are thread-safe.

    match, in the methods that set a fault: times, every, method, path.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._faults: list[Fault] = []
        # Used up, but perhaps still delaying a connection, whose thread keeps the fault alive.
        self._used_up: WeakSet[Fault] = WeakSet()
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._stopped = False

    def latency(self, seconds: float, **match: object) -> Fault:
        """Delay requests by this many seconds."""
        return self.set({"kind": "latency", "seconds": seconds, **match})

    def status(self, status: int, *, retry_after: int | str | None = None, **match: object) -> Fault:
        """Respond with this status, without processing the request.

        retry_after: the value of that header: seconds, or any text, unchanged.
        """
        return self.set({"kind": "status", "status": status, "retry_after": retry_after, **match})

    def precondition_failed(self, **match: object) -> Fault:
        """Respond with 412 to conditional requests."""
        return self.set({"kind": "precondition_failed", **match})

    def intruding_writer(self, key: str = "intruder", **match: object) -> Fault:
        """Let another writer set this attribute after each fetch of a task."""
        return self.set({"kind": "intruding_writer", "key": key, **match})

    def stall(self, seconds: float = 60.0, *, after_processing: bool = False, **match: object) -> Fault:
        """Read requests, send nothing, and close the connection after this many seconds."""
        return self.set({"kind": "stall", "seconds": seconds, "after_processing": after_processing, **match})

    def reset(self, *, after_processing: bool = False, **match: object) -> Fault:
        """Read requests, then reset the connection."""
        return self.set({"kind": "reset", "after_processing": after_processing, **match})

    def html(self, status: int = 200, *, after_processing: bool = False, **match: object) -> Fault:
        """Respond with a page of HTML."""
        return self.set({"kind": "html", "status": status, "after_processing": after_processing, **match})

    def broken_json(self, **match: object) -> Fault:
        """Cut the JSON of responses in the middle; length and status are right."""
        return self.set({"kind": "broken_json", **match})

    def without_etag(self, **match: object) -> Fault:
        """Leave out the ETag of responses."""
        return self.set({"kind": "without_etag", **match})

    def cut(self, **match: object) -> Fault:
        """Close the connection in the middle of the body."""
        return self.set({"kind": "cut", **match})

    def drip_headers(self, every_s: float = 1.0, **match: object) -> Fault:
        """Send status line and headers byte by byte, then the body at once."""
        return self.set({"kind": "drip_headers", "every_s": every_s, **match})

    def drip_body(self, every_s: float = 1.0, **match: object) -> Fault:
        """Send the body byte by byte."""
        return self.set({"kind": "drip_body", "every_s": every_s, **match})

    def set(self, fields: dict[str, object]) -> Fault:
        """Set a fault that is described as in JSON. Raises ValueError with what is wrong."""
        fault = _parse_fault(fields)
        with self._lock:
            fault.id = f"F{next(self._ids)}"
            self._faults.append(fault)
        return fault

    def all(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def clear(self, fault_id: str | None = None) -> bool:
        """End one fault, or all, and release what they hold up; return whether there was any."""
        with self._lock:
            return self._clear(fault_id)

    def stop(self) -> None:
        """End all faults for good: from now on none strikes and none delays anything."""
        with self._lock:
            self._stopped = True
            self._clear(None)

    def strike(self, method: str, path: str, *kinds: FaultKind, after_processing: bool = False) -> Fault | None:
        """Return the fault of one of these kinds that hits this request, counted and logged, or None.

        after_processing: whether the request has been processed; faults of the other point are passed by.
        """
        with self._lock:
            fault = self._find(method, path, kinds, after_processing=after_processing)
            if fault is None:
                return None
            self._use(fault)
        task = _TASK_SID.search(path)
        sids = {"task_sid": task[0]} if task else {}
        self._log.append("fault_struck", fault=fault.kind.value, fault_id=fault.id, method=method, path=path, **sids)
        return fault

    def _find(self, method: str, path: str, kinds: tuple[FaultKind, ...], *, after_processing: bool) -> Fault | None:
        if self._stopped:
            return None
        for fault in self._faults:
            if fault.kind in kinds and fault.after_processing is after_processing and fault.matches(method, path):
                fault.passed += 1
                if fault.passed == fault.every:
                    fault.passed = 0
                    return fault
        return None

    def _use(self, fault: Fault) -> None:
        fault.hits += 1
        if fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                self._faults.remove(fault)
                self._used_up.add(fault)

    def _clear(self, fault_id: str | None) -> bool:
        ended = [fault for fault in (*self._faults, *self._used_up) if fault_id in (None, fault.id)]
        for fault in ended:
            fault.ended.set()
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


def _parse_fault(fields: dict[str, object]) -> Fault:
    kinds = ", ".join(FaultKind)
    try:
        kind = FaultKind(str(fields.get("kind")))
    except ValueError:
        raise ValueError(f"kind must be one of {kinds}") from None
    own = _OWN_FIELDS[kind]
    unknown = sorted(set(fields) - set(own) - set(_COMMON_FIELDS))
    if unknown:
        raise ValueError(f"{kind} does not take {', '.join(unknown)}")
    values = own | fields
    return Fault(
        kind=kind,
        times=_whole_number(values.get("times"), "times", 1),
        every=_whole_number(values.get("every"), "every", 1) or 1,
        method=_text(values.get("method"), "method"),
        path=_pattern(values.get("path")),
        seconds=_seconds(values.get("seconds", 0.0), "seconds"),
        every_s=_seconds(values.get("every_s", 1.0), "every_s"),
        status=_status(values.get("status", 503), kind),
        retry_after=_retry_after(values.get("retry_after")),
        key=_text(values.get("key"), "key") or "intruder",
        after_processing=kind in _ALWAYS_AFTER or _boolean(values.get("after_processing", False)),
    )


def _whole_number(value: object, name: str, minimum: int) -> int | None:
    if value is None:
        return None
    if type(value) is not int or value < minimum:
        raise ValueError(f"{name} must be a whole number from {minimum}")
    return value


def _status(value: object, kind: FaultKind) -> int:
    """Return the status; a page of HTML takes any that has a body, a refusal only errors."""
    minimum = 200 if kind is FaultKind.HTML else 400
    if type(value) is not int or not minimum <= value <= 599 or value in _WITHOUT_BODY:
        raise ValueError(f"status must be a whole number from {minimum} to 599, of a response with a body")
    return value


def _seconds(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_WAIT_S:
        raise ValueError(f"{name} must be a number from 0 to {MAX_WAIT_S}")
    return float(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("after_processing must be true or false")
    return value


def _retry_after(value: object) -> int | str | None:
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return value
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError("retry_after must be a whole number from 0, or text that a header can hold")
    return value


def _text(value: object, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} must be text")
    return value


def _pattern(value: object) -> str | None:
    pattern = _text(value, "path")
    try:
        re.compile(pattern or "")
    except re.error as exc:
        raise ValueError(f"path is not a regular expression: {exc}") from exc
    return pattern
