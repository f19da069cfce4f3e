"""The policy file: TOML in, a Policy out, or all of its problems at once.

    [[rules]]           name, when, instruction, and the instruction's parameters   (rules.py)
    [defaults]          per channel: the name of an instruction, or a table as above
    [context]           what is written to the task, and the keys of look-ups       (context.py)
    [timeouts]          the reaction to missed reservations                         (timeouts.py)
    [wrapup]            the completion of tasks that wrap up too long               (wrapup.py)

Each table has one reader, which returns its value and adds to the problems. Instructions, fields and look-up keys are
defined by other packages and come in as `Vocabulary`. Pure: the text is an argument, too.
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
from enrich.policy.problems import Problems
from enrich.policy.rules import PolicyAction, Rule
from enrich.policy.templates import compile_template
from enrich.policy.timeouts import TimeoutPolicy, parse_timeouts
from enrich.policy.vocabulary import Parameter, Vocabulary, check_reference, did_you_mean
from enrich.policy.wrapup import WrapupPolicy, parse_wrapup

DEFAULT_CHANNEL = "default"
MAX_RULES = 500
MAX_NAME_LENGTH = 120


@dataclass(frozen=True)
class Policy:
    """One policy file. With an empty one the settings decide."""

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
        """Return whether the worker's attributes are needed, by a reference or by an instruction that dials."""
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


Reader = Callable[[Any, Vocabulary, Problems], Any]


def read_policy(text: str, vocabulary: Vocabulary) -> tuple[Policy, Problems]:
    """Return the policy and its problems; if there are problems, the policy is only the part that could be read."""
    problems = Problems()
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        problems.add("the file", "", f"not TOML: {exc or 'nested too deeply'}")
        return Policy(), problems
    for name in document:
        if name not in TABLES:
            problems.add(f"[{name}]", "", f"there is no such table{did_you_mean(name, TABLES)}")
    values = {name: read(document[name], vocabulary, problems) for name, read in TABLES.items() if name in document}
    policy = Policy(**values)
    _check_own_attributes(policy, vocabulary, problems)
    return policy, problems


# --- the tables of rules and defaults


def _read_rules(tables: Any, vocabulary: Vocabulary, problems: Problems) -> tuple[Rule, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.add("[[rules]]", "", "must be tables, each under its own [[rules]]")
        return ()
    if len(tables) > MAX_RULES:
        problems.add("[[rules]]", "", f"there are {len(tables)} rules; at most {MAX_RULES} can be evaluated in time")
        return ()
    rules: list[Rule] = []
    names: set[str] = set()
    for number, table in enumerate(tables, 1):
        name = table.get("name")
        where = f"rule {number}" + (f" {name!r}" if isinstance(name, str) else "")
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME_LENGTH:
            problems.add(
                where,
                "name",
                f"needed, as text of at most {MAX_NAME_LENGTH} characters: journal and log show it",
            )
            name = where
        elif name in names:
            problems.add(where, "name", "another rule has this name already")
        names.add(name)
        when = _read_condition(where, table.get("when"), vocabulary, problems)
        action = _read_action(where, table, ("name", "when"), vocabulary, problems)
        if action and (when is not None or "when" not in table):
            rules.append(Rule(name, when, action))
    _check_reach(rules, problems)
    return tuple(rules)


def _check_reach(rules: list[Rule], problems: Problems) -> None:
    always: Rule | None = None
    for rule in rules:
        if always:
            problems.add(f"rule {rule.name!r}", "", f"never reached: rule {always.name!r} before it always applies")
        elif rule.when is None and rule.action.instruction in ("accept", "reject", "defer") and not rule.references:
            always = rule


def _read_condition(where: str, text: Any, vocabulary: Vocabulary, problems: Problems) -> Expression | None:
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
        check_reference(where, "when", reference, vocabulary, problems)
    return expression


def _read_defaults(table: Any, vocabulary: Vocabulary, problems: Problems) -> dict[str, PolicyAction]:
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
        action = _read_action(
            where, value, (), vocabulary, problems, channel if where == "[defaults]" else "instruction"
        )
        if action:
            actions[channel] = action
    return actions


def _read_action(
    where: str,
    table: Mapping[str, Any],
    other_keys: tuple[str, ...],
    vocabulary: Vocabulary,
    problems: Problems,
    instruction_key: str = "instruction",
) -> PolicyAction | None:
    """Return the instruction and its parameters. other_keys: keys of the table that are not parameters."""
    name = table.get("instruction")
    if name is None:
        similar = get_close_matches("instruction", [key for key in table if key not in other_keys], 1, 0.6)
        hint = (
            f"; did you mean it by {similar[0]!r}?" if similar else f"; there are {', '.join(vocabulary.instructions)}"
        )
        problems.add(where, instruction_key, f"missing{hint}")
        return None
    if not isinstance(name, str) or name not in vocabulary.instructions:
        problems.add(
            where, instruction_key, f"{name!r} is no instruction{did_you_mean(str(name), vocabulary.instructions)}"
        )
        return None
    parameters = vocabulary.instructions[name]
    values: dict[str, Any] = {}
    is_valid = True
    for key, value in table.items():
        if key == "instruction" or key in other_keys:
            continue
        if key not in parameters:
            allowed = [*parameters, *other_keys]
            takes = did_you_mean(key, allowed) if parameters else "; it takes none"
            problems.add(where, key, f"{name} has no such parameter{takes}")
            is_valid = False
            continue
        values[key] = _read_value(where, key, value, parameters[key], vocabulary, problems)
        is_valid = is_valid and values[key] is not None
    for key, parameter in parameters.items():
        if parameter.is_required and key not in table:
            problems.add(where, key, f"missing, and {name} needs it")
            is_valid = False
    addresses = frozenset(key for key in values if parameters[key].is_address)
    return PolicyAction(name, values, addresses, dials="to" in parameters) if is_valid else None


def _read_value(
    where: str, key: str, value: Any, parameter: Parameter, vocabulary: Vocabulary, problems: Problems
) -> Any:
    """Return the value or its template; None if it is wrong, with a problem added."""
    try:
        template = compile_template(value) if isinstance(value, str) else None
        if template is None or template.constant is not None:
            constant = value if template is None else template.constant
            parameter.read(constant)
            return constant
    except ValueError as exc:
        # ExpressionError is a ValueError, too.
        problems.add(where, key, str(exc))
        return None
    if parameter.is_address and template.chooses_host:
        problems.add(where, key, "must begin with https://a.host/ spelt out: no task may choose the host")
        return None
    is_valid = [check_reference(where, key, reference, vocabulary, problems) for reference in template.references]
    return template if all(is_valid) else None


# --- the whole


def _check_own_attributes(policy: Policy, vocabulary: Vocabulary, problems: Problems) -> None:
    """Refuse references to attributes that this service writes: they are no evidence, and a visitor may set them."""
    own_paths = [(vocabulary.attribute,), *(projection.path for projection in policy.context.projections)]
    places = [(f"rule {rule.name!r}", rule.references) for rule in policy.rules]
    places += [(f"[defaults] {channel}", action.references) for channel, action in policy.defaults.items()]
    for where, references in places:
        for reference in references:
            path = reference.path[1:]
            if reference.path[0] == "task" and any(path[: len(own)] == own for own in own_paths):
                message = "we write that ourselves, and anybody may have set it before; use customer.* or match.*"
                problems.add(where, reference.text, message)


def _reader(parse: Callable[[Mapping[str, object], Problems], Any], default: Callable[[], Any]) -> Reader:
    """Return a reader for a table that needs no vocabulary."""

    def read(table: Any, _vocabulary: Vocabulary, problems: Problems) -> Any:
        if isinstance(table, dict):
            table_problems = Problems()
            value = parse(table, table_problems)
            for problem in table_problems.found:
                problems.add(f"[{problem.where}]", problem.key, problem.message)
            return value
        problems.add("the file", "", f"{default.__name__.removesuffix('Policy').lower()} must be a table")
        return default()

    return read


# One reader for each table. Its result is the field of the same name of `Policy`.
TABLES: Mapping[str, Reader] = {
    "rules": _read_rules,
    "defaults": _read_defaults,
    "context": parse_context,
    "timeouts": _reader(parse_timeouts, TimeoutPolicy),
    "wrapup": _reader(parse_wrapup, WrapupPolicy),
}
