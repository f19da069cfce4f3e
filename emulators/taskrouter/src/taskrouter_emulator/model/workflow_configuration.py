"""A workflow's configuration: JSON text in, filters with their targets out, with what is odd about it said aloud.

Source: https://www.twilio.com/docs/taskrouter/workflow-configuration and the pages below it (known-agent-routing),
https://www.twilio.com/docs/taskrouter/order-workers and /worker-presence
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from taskrouter_emulator.model import expressions
from taskrouter_emulator.model.errors import invalid
from taskrouter_emulator.model.expressions import Expression

MAX_BYTES = 1_038_576
DEFAULT_FILTER = "Default Filter"
_FILTER_MEMBERS = {"filter_friendly_name", "friendly_name", "expression", "targets"}
_TARGET_MEMBERS = {"queue", "priority", "expression", "order_by", "skip_if", "known_worker_sid"}
_TARGET_MEMBERS |= {"known_worker_friendly_name", "timeout"}


@dataclass(frozen=True, eq=False)
class OrderBy:
    """One clause of `order_by`: a worker's integer attribute, as the path below `worker.`."""

    path: tuple[str, ...]
    descending: bool


@dataclass(frozen=True, eq=False)
class KnownWorker:
    """Which worker a target is for. path: where the task's attributes name it, below `task.`; by: sid or name."""

    by: str
    path: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Target:
    """One routing step. priority: None keeps the task's; timeout_s: None waits for ever."""

    queue_sid: str
    priority: int | None = None
    timeout_s: int | None = None
    expression: Expression | None = None
    order_by: tuple[OrderBy, ...] = ()
    skip_if: Expression | None = None
    known_worker: KnownWorker | None = None

    @property
    def is_the_same_for_all_tasks(self) -> bool:
        """Whether the workers that it admits do not depend on the task's attributes."""
        return self.known_worker is None and (self.expression is None or "task" not in self.expression.roots)


@dataclass(frozen=True, eq=False)
class Filter:
    """The targets of all tasks that the expression fits; it is None for the default filter."""

    name: str
    expression: Expression | None
    targets: tuple[Target, ...]


@dataclass(frozen=True, eq=False)
class Configuration:
    """filters: the first that fits counts. remarks: sentences about what is allowed and yet hardly meant."""

    filters: tuple[Filter, ...]
    default: Filter | None
    remarks: tuple[str, ...]

    @property
    def queue_sids(self) -> set[str]:
        """Every queue that is named somewhere."""
        every = (*self.filters, *((self.default,) if self.default else ()))
        return {target.queue_sid for one in every for target in one.targets}


def read(text: str) -> Configuration:
    """The configuration that this text describes. Raises ApiError 400 for what is malformed."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise invalid(f"Configuration must not be larger than {MAX_BYTES} bytes")
    try:
        routing = json.loads(text)["task_routing"]
        filters = routing.get("filters") or []
        default = routing.get("default_filter")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise invalid("Configuration must be a JSON object with a member task_routing") from None
    if not isinstance(filters, list):
        raise invalid("task_routing.filters must be a list")
    if not filters and not default:
        raise invalid("Configuration needs a filter or a default_filter")
    reader = _Reader()
    return Configuration(
        filters=tuple(reader.filter(one, f"filter {number}") for number, one in enumerate(filters, 1)),
        default=reader.default(default) if default else None,
        remarks=tuple(reader.remarks),
    )


class _Reader:
    def __init__(self) -> None:
        self.remarks: list[str] = []

    def filter(self, value: object, where: str) -> Filter:
        given = _object(value, where)
        self._note_unknown(given, _FILTER_MEMBERS, where)
        expression = self._expression(given, "expression", where)
        if expression is None:
            raise invalid(f"Configuration: {where} needs an expression")
        self._note_roots(expression, where, {"task", "worker"}, "attributes are named without a prefix here")
        targets = given.get("targets")
        if not isinstance(targets, list) or not targets:
            raise invalid(f"Configuration: {where} needs a list of targets")
        name = given.get("filter_friendly_name") or given.get("friendly_name") or where
        return Filter(str(name), expression, tuple(self._targets(targets, where)))

    def default(self, value: object) -> Filter:
        where = "default_filter"
        given = _object(value, where)
        self._note_unknown(given, _TARGET_MEMBERS - {"timeout"}, where)
        without = {name: member for name, member in given.items() if name != "timeout"}
        return Filter(DEFAULT_FILTER, None, (self._target(without, None, where),))

    def _targets(self, values: list[object], where: str) -> Iterator[Target]:
        queue_sid = None
        for number, value in enumerate(values, 1):
            here = f"{where}, target {number}"
            given = _object(value, here)
            self._note_unknown(given, _TARGET_MEMBERS, here)
            target = self._target(given, queue_sid, here)
            queue_sid = target.queue_sid
            if target.timeout_s is None and target.skip_if is None and number < len(values):
                self.remarks.append(f"{here} has neither timeout nor skip_if: the targets after it are never reached")
            yield target

    def _target(self, given: Mapping[str, Any], queue_before: str | None, where: str) -> Target:
        queue_sid = given.get("queue") or queue_before
        if not isinstance(queue_sid, str):
            raise invalid(f"Configuration: {where} needs the SID of a queue")
        expression = self._expression(given, "expression", where)
        if expression is not None:
            strange = expression.roots - {"task", "worker"}
            self._note_roots(expression, where, strange, "names here begin with task. or worker.")
        return Target(
            queue_sid=queue_sid,
            priority=_whole_number(given, "priority", 0, where),
            timeout_s=_whole_number(given, "timeout", 1, where),
            expression=expression,
            order_by=_order_by(given, where),
            skip_if=self._expression(given, "skip_if", where),
            known_worker=_known_worker(given, where),
        )

    def _expression(self, given: Mapping[str, Any], member: str, where: str) -> Expression | None:
        text = given.get(member)
        if text is None or text == "":
            return None
        if not isinstance(text, str):
            raise invalid(f"Configuration: {member} of {where} must be text")
        try:
            expression = expressions.parse(text)
        except expressions.MalformedExpression as problem:
            raise invalid(f"Configuration: {member} of {where}: {problem}") from problem
        if expression.assumes_precedence:
            self.remarks.append(f"{where} mixes AND and OR without parentheses: Twilio does not say which goes first")
        return expression

    def _note_unknown(self, given: Mapping[str, Any], known: set[str], where: str) -> None:
        if unknown := sorted(set(given) - known):
            self.remarks.append(f"{where} has members that mean nothing there: {', '.join(unknown)}")

    def _note_roots(self, expression: Expression, where: str, strange: set[str] | frozenset[str], why: str) -> None:
        if found := sorted(expression.roots & strange):
            self.remarks.append(f"{where} asks for {', '.join(found)}: {why}")


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"Configuration: {where} must be an object")
    return value


def _whole_number(given: Mapping[str, Any], member: str, least: int, where: str) -> int | None:
    """A whole number, or text that is one, as Twilio's own console writes it."""
    value = given.get(member)
    if value is None or value == "":
        return None
    text = str(value).strip()
    if isinstance(value, bool) or not isinstance(value, int | str) or not _WHOLE_NUMBER.fullmatch(text):
        raise invalid(f"Configuration: {member} of {where} must be a whole number")
    if not least <= int(text) <= 2**31 - 1:
        raise invalid(f"Configuration: {member} of {where} must be between {least} and {2**31 - 1}")
    return int(text)


def _order_by(given: Mapping[str, Any], where: str) -> tuple[OrderBy, ...]:
    """`worker.level DESC, worker.languages.en ASC`; ascending if it does not say."""
    text = given.get("order_by")
    if text is None or text == "":
        return ()
    clauses = [_ORDER_BY.fullmatch(clause.strip()) for clause in str(text).split(",")]
    found = [clause for clause in clauses if clause is not None]
    if len(found) < len(clauses):
        raise invalid(f"Configuration: order_by of {where} must be a list such as worker.level DESC, worker.age ASC")
    return tuple(OrderBy(_path(one[1], "worker", where), (one[2] or "").upper() == "DESC") for one in found)


def _known_worker(given: Mapping[str, Any], where: str) -> KnownWorker | None:
    named = {by: given.get(f"known_worker_{by}") for by in ("sid", "friendly_name")}
    chosen = {by: value for by, value in named.items() if value}
    if len(chosen) > 1:
        raise invalid(f"Configuration: {where} takes known_worker_sid or known_worker_friendly_name, not both")
    for by, value in chosen.items():
        return KnownWorker(by, _path(str(value), "task", where))
    return None


_WHOLE_NUMBER = re.compile(r"[0-9]{1,20}")
_ORDER_BY = re.compile(r"(\S+)(?:\s+(ASC|DESC))?", re.IGNORECASE)


def _path(reference: str, prefix: str, where: str) -> tuple[str, ...]:
    root, *path = reference.replace("[", ".").replace("]", "").split(".")
    if root != prefix or not path or not all(path):
        raise invalid(f"Configuration: {reference} in {where} must be a name below {prefix}.")
    return tuple(path)
