"""Faults of the REST side that can be set, listed and cleared while the emulator runs.

    latency                waits `seconds` before the request is looked at
    status                 answers with `status` (429, 500, 503, ...) instead of doing what was asked
    precondition_failed    answers 412/20412 to requests that carry `If-Match`, whatever they say
    intruding_writer       another writer sets `key` in the task's attributes right after a client fetched the task

Each holds for the next `times` requests that it fits, or for all until it is cleared; `method` and `path` (a regular
expression, searched for in the path) narrow down which ones it fits.
"""

import itertools
import re
import threading
from dataclasses import asdict, dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    LATENCY = "latency"
    STATUS = "status"
    PRECONDITION_FAILED = "precondition_failed"
    INTRUDING_WRITER = "intruding_writer"


@dataclass
class Fault:
    """One fault. times: for how many more requests; None means until it is cleared. hits: how often it struck."""

    kind: FaultKind
    times: int | None = None
    method: str | None = None
    path: str | None = None
    seconds: float = 0.0
    status: int = 503
    key: str = "intruder"
    id: str = ""
    hits: int = 0

    def fits(self, method: str, path: str) -> bool:
        if self.method is not None and self.method.upper() != method:
            return False
        return self.path is None or re.search(self.path, path) is not None

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Faults:
    """The faults in force. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def latency(self, seconds: float, **where: object) -> Fault:
        """REST answers come this much later. where: times, method, path."""
        return self.set({"kind": "latency", "seconds": seconds, **where})

    def status(self, status: int, **where: object) -> Fault:
        """REST requests are answered with this status and not processed. where: times, method, path."""
        return self.set({"kind": "status", "status": status, **where})

    def precondition_failed(self, **where: object) -> Fault:
        """Conditional requests get 412. where: times, method, path."""
        return self.set({"kind": "precondition_failed", **where})

    def intruding_writer(self, key: str = "intruder", **where: object) -> Fault:
        """After each fetch of a task somebody else writes this attribute. where: times, path."""
        return self.set({"kind": "intruding_writer", "key": key, **where})

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
        """Ends one fault, or all of them; whether there was anything to end."""
        with self._lock:
            kept = [fault for fault in self._faults if fault_id is not None and fault.id != fault_id]
            ended = len(kept) < len(self._faults)
            self._faults = kept
            return ended

    def strike(self, kind: FaultKind, method: str, path: str) -> Fault | None:
        """The fault of this kind that hits this request, now used once more, or None."""
        with self._lock:
            for fault in self._faults:
                if fault.kind is kind and fault.fits(method, path):
                    self._use(fault)
                    return fault
        return None

    def _use(self, fault: Fault) -> None:
        fault.hits += 1
        if fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                self._faults.remove(fault)


_OWN_FIELDS = {
    FaultKind.LATENCY: {"seconds"},
    FaultKind.STATUS: {"status"},
    FaultKind.PRECONDITION_FAILED: set[str](),
    FaultKind.INTRUDING_WRITER: {"key"},
}


def _fault(wanted: dict[str, object]) -> Fault:
    kinds = ", ".join(FaultKind)
    try:
        kind = FaultKind(str(wanted.get("kind")))
    except ValueError:
        raise ValueError(f"kind must be one of {kinds}") from None
    known = _OWN_FIELDS[kind] | {"kind", "times", "method", "path"}
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise ValueError(f"{kind} does not take {', '.join(unknown)}")
    return Fault(
        kind=kind,
        times=_whole_number(wanted.get("times"), "times", 1),
        method=_word(wanted.get("method"), "method"),
        path=_pattern(wanted.get("path")),
        seconds=_seconds(wanted.get("seconds", 0.0)),
        status=_whole_number(wanted.get("status"), "status", 400) or 503,
        key=_word(wanted.get("key"), "key") or "intruder",
    )


def _whole_number(value: object, name: str, least: int) -> int | None:
    if value is None:
        return None
    if type(value) is not int or value < least:
        raise ValueError(f"{name} must be a whole number from {least}")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError("seconds must be a number from 0")
    return float(value)


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
