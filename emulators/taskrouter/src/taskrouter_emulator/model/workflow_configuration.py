"""A workflow's configuration: JSON text in, filters with their targets out, with remarks on suspicious parts.

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
from taskrouter_emulator.model.expressions import ParsedExpression

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
    """The worker that a target is for. by: "sid" or "friendly_name"; path: where the task has it, below `task.`."""

    by: str
    path: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FilterTarget:
    """One target of a filter. priority: None keeps the task's; timeout_s: None waits for ever."""

    queue_sid: str
    priority: int | None = None
    timeout_s: int | None = None
    expression: ParsedExpression | None = None
    order_by: tuple[OrderBy, ...] = ()
    skip_if: ParsedExpression | None = None
    known_worker: KnownWorker | None = None

    @property
    def is_independent_of_task(self) -> bool:
        """True if the eligible workers do not depend on the task's attributes."""
        return self.known_worker is None and (self.expression is None or "task" not in self.expression.roots)


@dataclass(frozen=True, eq=False)
class WorkflowFilter:
    """Targets for all tasks that match the expression, which is None for the default filter."""

    name: str
    expression: ParsedExpression | None
    targets: tuple[FilterTarget, ...]


@dataclass(frozen=True, eq=False)
class WorkflowConfiguration:
    """A parsed configuration. filters: the first match counts. remarks: sentences about legal but suspicious parts."""

    filters: tuple[WorkflowFilter, ...]
    default: WorkflowFilter | None
    remarks: tuple[str, ...]

    @property
    def queue_sids(self) -> set[str]:
        """Every queue that the configuration names."""
        every = (*self.filters, *((self.default,) if self.default else ()))
        return {target.queue_sid for item in every for target in item.targets}


def read(text: str) -> WorkflowConfiguration:
    """Return the configuration that this text describes. Raises ApiError 400 for malformed text."""
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
    return WorkflowConfiguration(
        filters=tuple(reader.filter(item, f"filter {number}") for number, item in enumerate(filters, 1)),
        default=reader.default(default) if default else None,
        remarks=tuple(reader.remarks),
    )


class _Reader:
    def __init__(self) -> None:
        self.remarks: list[str] = []

    def filter(self, value: object, location: str) -> WorkflowFilter:
        members = _object(value, location)
        self._report_unknown(members, _FILTER_MEMBERS, location)
        expression = self._expression(members, "expression", location)
        if expression is None:
            raise invalid(f"Configuration: {location} needs an expression")
        self._report_roots(expression, location, {"task", "worker"}, "attributes have no prefix here")
        targets = members.get("targets")
        if not isinstance(targets, list) or not targets:
            raise invalid(f"Configuration: {location} needs a list of targets")
        name = members.get("filter_friendly_name") or members.get("friendly_name") or location
        return WorkflowFilter(str(name), expression, tuple(self._targets(targets, location)))

    def default(self, value: object) -> WorkflowFilter:
        location = "default_filter"
        members = _object(value, location)
        self._report_unknown(members, _TARGET_MEMBERS - {"timeout"}, location)
        members_used = {name: member for name, member in members.items() if name != "timeout"}
        return WorkflowFilter(DEFAULT_FILTER, None, (self._target(members_used, None, location),))

    def _targets(self, values: list[object], location: str) -> Iterator[FilterTarget]:
        queue_sid = None
        for number, value in enumerate(values, 1):
            target_location = f"{location}, target {number}"
            members = _object(value, target_location)
            self._report_unknown(members, _TARGET_MEMBERS, target_location)
            target = self._target(members, queue_sid, target_location)
            queue_sid = target.queue_sid
            if target.timeout_s is None and target.skip_if is None and number < len(values):
                self.remarks.append(
                    f"{target_location} has neither timeout nor skip_if: later targets are never reached"
                )
            yield target

    def _target(self, members: Mapping[str, Any], queue_before: str | None, location: str) -> FilterTarget:
        queue_sid = members.get("queue") or queue_before
        if not isinstance(queue_sid, str):
            raise invalid(f"Configuration: {location} needs the SID of a queue")
        expression = self._expression(members, "expression", location)
        if expression is not None:
            unexpected = expression.roots - {"task", "worker"}
            self._report_roots(expression, location, unexpected, "names here begin with task. or worker.")
        return FilterTarget(
            queue_sid=queue_sid,
            priority=_whole_number(members, "priority", 0, location),
            timeout_s=_whole_number(members, "timeout", 1, location),
            expression=expression,
            order_by=_order_by(members, location),
            skip_if=self._expression(members, "skip_if", location),
            known_worker=_known_worker(members, location),
        )

    def _expression(self, members: Mapping[str, Any], member: str, location: str) -> ParsedExpression | None:
        text = members.get(member)
        if text is None or text == "":
            return None
        if not isinstance(text, str):
            raise invalid(f"Configuration: {member} of {location} must be text")
        try:
            expression = expressions.parse(text)
        except expressions.MalformedExpression as exc:
            raise invalid(f"Configuration: {member} of {location}: {exc}") from exc
        if expression.assumes_precedence:
            self.remarks.append(f"{location} mixes AND and OR without parentheses: their precedence is undocumented")
        return expression

    def _report_unknown(self, members: Mapping[str, Any], known_members: set[str], location: str) -> None:
        if unknown := sorted(set(members) - known_members):
            self.remarks.append(f"{location} has members that have no meaning there: {', '.join(unknown)}")

    def _report_roots(
        self, expression: ParsedExpression, location: str, unexpected: set[str] | frozenset[str], hint: str
    ) -> None:
        if matches := sorted(expression.roots & unexpected):
            self.remarks.append(f"{location} uses {', '.join(matches)}: {hint}")


def _object(value: object, location: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"Configuration: {location} must be an object")
    return value


def _whole_number(members: Mapping[str, Any], member: str, minimum: int, location: str) -> int | None:
    """Return a whole number, also from text, as Twilio's console writes it."""
    value = members.get(member)
    if value is None or value == "":
        return None
    text = str(value).strip()
    if isinstance(value, bool) or not isinstance(value, int | str) or not _WHOLE_NUMBER.fullmatch(text):
        raise invalid(f"Configuration: {member} of {location} must be a whole number")
    if not minimum <= int(text) <= 2**31 - 1:
        raise invalid(f"Configuration: {member} of {location} must be between {minimum} and {2**31 - 1}")
    return int(text)


def _order_by(members: Mapping[str, Any], location: str) -> tuple[OrderBy, ...]:
    """Return the clauses of `worker.level DESC, worker.languages.en ASC`; ascending by default."""
    text = members.get("order_by")
    if text is None or text == "":
        return ()
    clauses = [_ORDER_BY.fullmatch(clause.strip()) for clause in str(text).split(",")]
    matches = [clause for clause in clauses if clause is not None]
    if len(matches) < len(clauses):
        raise invalid(f"Configuration: order_by of {location} must be like worker.level DESC, worker.age ASC")
    return tuple(OrderBy(_path(item[1], "worker", location), (item[2] or "").upper() == "DESC") for item in matches)


def _known_worker(members: Mapping[str, Any], location: str) -> KnownWorker | None:
    candidates = {by: members.get(f"known_worker_{by}") for by in ("sid", "friendly_name")}
    references = {by: value for by, value in candidates.items() if value}
    if len(references) > 1:
        raise invalid(f"Configuration: {location} takes known_worker_sid or known_worker_friendly_name, not both")
    for by, value in references.items():
        return KnownWorker(by, _path(str(value), "task", location))
    return None


_WHOLE_NUMBER = re.compile(r"[0-9]{1,20}")
_ORDER_BY = re.compile(r"(\S+)(?:\s+(ASC|DESC))?", re.IGNORECASE)


def _path(reference: str, prefix: str, location: str) -> tuple[str, ...]:
    root, *path = reference.replace("[", ".").replace("]", "").split(".")
    if root != prefix or not path or not all(path):
        raise invalid(f"Configuration: {reference} in {location} must be a name below {prefix}.")
    return tuple(path)
