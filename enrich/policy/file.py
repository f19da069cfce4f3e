"""The policy file: TOML in, a Policy out, or everything that is wrong with it at once.

    [[rules]]           name, when, instruction, and the instruction's parameters   (rules.py)
    [defaults]          per channel: the name of an instruction, or a table as above
    [context]           what lands on the task, and what customers are looked up by  (context.py)
    [timeouts]          what is done when a reservation came to nothing              (timeouts.py)
    [wrapup]            what is done when the work is over                           (wrapup.py)

Each table has one reader: from the table as TOML has it to a value, adding to the problems what is wrong there.
What TaskRouter and the customers know (instructions, fields, look-up keys) comes in as `Known`. Pure: so does the text.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from enrich.policy.context import ContextPolicy, parse_context
from enrich.policy.expressions import Expression, ExpressionError, compile_expression
from enrich.policy.known import Known, Parameter, check_reference, did_you_mean
from enrich.policy.problems import Problems
from enrich.policy.rules import PolicyAction, Rule
from enrich.policy.templates import compile_template
from enrich.policy.timeouts import TimeoutPolicy, parse_timeouts
from enrich.policy.wrapup import WrapupPolicy, parse_wrapup

DEFAULT_CHANNEL = "default"
MAX_RULES = 500
MAX_NAME_LENGTH = 120


@dataclass(frozen=True)
class Policy:
    """One policy file. An empty one decides nothing, and the settings do."""

    rules: tuple[Rule, ...] = ()
    defaults: Mapping[str, PolicyAction] = field(default_factory=dict)
    context: ContextPolicy = field(default_factory=ContextPolicy)
    timeouts: TimeoutPolicy = field(default_factory=TimeoutPolicy)
    wrapup: WrapupPolicy = field(default_factory=WrapupPolicy)

    @cached_property
    def decides(self) -> bool:
        """Return whether the policy decides instructions."""
        return bool(self.rules or self.defaults)

    @cached_property
    def asks_worker(self) -> bool:
        """Return whether the worker's attributes are needed: by a reference, or by an instruction that dials them."""
        actions = [*(rule.action for rule in self.rules), *self.defaults.values()]
        return any(action.dials for action in actions) or any(path[0] == "worker" for path in self._paths())

    @cached_property
    def asks_channel(self) -> bool:
        """Return whether anything refers to the task's channel."""
        return any(path[:2] == ("task", "channel") for path in self._paths())

    @cached_property
    def asks_channel_for_default(self) -> bool:
        """Return whether the default differs by channel."""
        return bool(self.defaults.keys() - {DEFAULT_CHANNEL})

    def _paths(self) -> Iterator[tuple[str | int, ...]]:
        for rule in self.rules:
            yield from (reference.path for reference in rule.references)
        for action in self.defaults.values():
            yield from (reference.path for reference in action.references)


Reader = Callable[[Any, Known, Problems], Any]


def read_policy(text: str, known: Known) -> tuple[Policy, Problems]:
    """The policy, and what is wrong with it; where something is, the policy is merely what could be read."""
    problems = Problems()
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        problems.add("the file", "", f"not TOML: {exc or 'nested too deeply'}")
        return Policy(), problems
    for name in document:
        if name not in TABLES:
            problems.add(f"[{name}]", "", f"there is no such table{did_you_mean(name, TABLES)}")
    values = {name: read(document[name], known, problems) for name, read in TABLES.items() if name in document}
    policy = Policy(**values)
    _check_own_attributes(policy, known, problems)
    return policy, problems


# --- the tables of rules and defaults


def _read_rules(tables: Any, known: Known, problems: Problems) -> tuple[Rule, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.add("[[rules]]", "", "must be tables, each under its own [[rules]]")
        return ()
    if len(tables) > MAX_RULES:
        problems.add("[[rules]]", "", f"there are {len(tables)} rules; at most {MAX_RULES} are asked in time")
        return ()
    rules: list[Rule] = []
    names: set[str] = set()
    for number, table in enumerate(tables, 1):
        name = table.get("name")
        where = f"rule {number}" + (f" {name!r}" if isinstance(name, str) else "")
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME_LENGTH:
            problems.add(
                where, "name", f"needed, as text of at most {MAX_NAME_LENGTH} characters: journal and log show it"
            )
            name = where
        elif name in names:
            problems.add(where, "name", "another rule has this name already")
        names.add(name)
        when = _read_condition(where, table.get("when"), known, problems)
        action = _read_action(where, table, ("name", "when"), known, problems)
        if action and (when is not None or "when" not in table):
            rules.append(Rule(name, when, action))
    _check_reach(rules, problems)
    return tuple(rules)


def _check_reach(rules: list[Rule], problems: Problems) -> None:
    always: Rule | None = None
    for rule in rules:
        if always:
            problems.add(f"rule {rule.name!r}", "", f"never asked: rule {always.name!r} before it always applies")
        elif rule.when is None and rule.action.instruction in ("accept", "reject", "defer") and not rule.references:
            always = rule


def _read_condition(where: str, text: Any, known: Known, problems: Problems) -> Expression | None:
    if text is None:
        return None
    if not isinstance(text, str):
        problems.add(where, "when", "must be a condition in quotes, such as 'customer.tier == \"gold\"'")
        return None
    try:
        expression = compile_expression(text)
    except ExpressionError as exc:
        problems.add(where, "when", str(exc))
        return None
    for reference in expression.references:
        check_reference(where, "when", reference, known, problems)
    return expression


def _read_defaults(table: Any, known: Known, problems: Problems) -> dict[str, PolicyAction]:
    if not isinstance(table, dict):
        problems.add("[defaults]", "", "must be a table of channels")
        return {}
    actions = {}
    for channel, value in table.items():
        where = f"[defaults.{channel}]"
        if isinstance(value, str):
            where, value = "[defaults]", {"instruction": value}
        if not isinstance(value, dict):
            problems.add("[defaults]", channel, "must be an instruction's name, or a table with one and its parameters")
            continue
        action = _read_action(where, value, (), known, problems, channel if where == "[defaults]" else "instruction")
        if action:
            actions[channel] = action
    return actions


def _read_action(
    where: str,
    table: Mapping[str, Any],
    others: tuple[str, ...],
    known: Known,
    problems: Problems,
    instruction_key: str = "instruction",
) -> PolicyAction | None:
    """The instruction and its parameters. others: keys of the table that are no parameters."""
    name = table.get("instruction")
    if name is None:
        meant = get_close_matches("instruction", [key for key in table if key not in others], 1, 0.6)
        hint = f"; did you mean it by {meant[0]!r}?" if meant else f"; there are {', '.join(known.instructions)}"
        problems.add(where, instruction_key, f"missing{hint}")
        return None
    if not isinstance(name, str) or name not in known.instructions:
        shown = repr(name)
        problems.add(where, instruction_key, f"{shown} is no instruction{did_you_mean(str(name), known.instructions)}")
        return None
    parameters = known.instructions[name]
    values: dict[str, Any] = {}
    is_good = True
    for key, value in table.items():
        if key == "instruction" or key in others:
            continue
        if key not in parameters:
            allowed = [*parameters, *others]
            takes = did_you_mean(key, allowed) if parameters else "; it takes none"
            problems.add(where, key, f"{name} has no such parameter{takes}")
            is_good = False
            continue
        values[key] = _read_value(where, key, value, parameters[key], known, problems)
        is_good = is_good and values[key] is not None
    for key, parameter in parameters.items():
        if parameter.is_required and key not in table:
            problems.add(where, key, f"missing, and {name} needs it")
            is_good = False
    addresses = frozenset(key for key in values if parameters[key].is_address)
    return PolicyAction(name, values, addresses, dials="to" in parameters) if is_good else None


def _read_value(where: str, key: str, value: Any, parameter: Parameter, known: Known, problems: Problems) -> Any:
    """The value or its template; None when it is wrong, and that is told."""
    try:
        template = compile_template(value) if isinstance(value, str) else None
        if template is None or template.constant is not None:
            constant = value if template is None else template.constant
            parameter.read(constant)
            return constant
    except ValueError as exc:  # ExpressionError among them
        problems.add(where, key, str(exc))
        return None
    if parameter.is_address and template.chooses_host:
        problems.add(where, key, "must begin with https://a.host/ spelt out: no task may choose the host")
        return None
    is_good = [check_reference(where, key, reference, known, problems) for reference in template.references]
    return template if all(is_good) else None


# --- the whole


def _check_own_attributes(policy: Policy, known: Known, problems: Problems) -> None:
    """Refuse look-up keys that this service writes itself: no evidence, and a visitor may have set them."""
    ours = [(known.attribute,), *(each.path for each in policy.context.projections)]
    wheres = [(f"rule {rule.name!r}", rule.references) for rule in policy.rules]
    wheres += [(f"[defaults] {channel}", action.references) for channel, action in policy.defaults.items()]
    for where, references in wheres:
        for reference in references:
            path = reference.path[1:]
            if reference.path[0] == "task" and any(path[: len(own)] == own for own in ours):
                told = "we write that ourselves, and anybody may have put it there before; ask customer.* or match.*"
                problems.add(where, reference.text, told)


def _by(parse: Callable[[Mapping[str, object], Problems], Any], default: Callable[[], Any]) -> Reader:
    """A reader that needs to know nothing of the rest."""

    def read(table: Any, _known: Known, problems: Problems) -> Any:
        if isinstance(table, dict):
            own = Problems()
            value = parse(table, own)
            for each in own.found:
                problems.add(f"[{each.where}]", each.key, each.message)
            return value
        problems.add("the file", "", f"{default.__name__.removesuffix('Policy').lower()} must be a table")
        return default()

    return read


# One reader for each table; what it returns is the field of the same name of `Policy`.
TABLES: Mapping[str, Reader] = {
    "rules": _read_rules,
    "defaults": _read_defaults,
    "context": parse_context,
    "timeouts": _by(parse_timeouts, TimeoutPolicy),
    "wrapup": _by(parse_wrapup, WrapupPolicy),
}
