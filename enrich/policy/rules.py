"""Rules: which instruction is given when. The first whose condition holds, and whose instruction can be given, wins.

Which instructions there are, and what each takes, is TaskRouter's business (taskrouter/instructions.py): it comes in as
functions. What the file looks like is known to file.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from enrich.policy.evaluation import Context, Reference
from enrich.policy.expressions import Expression
from enrich.policy.templates import Missing, Template

Instruction = dict[str, Any]
# From an instruction's name, its parameters and the context to the instruction. Raises ValueError: not here, and why.
Make = Callable[[str, Mapping[str, Any], Context], Instruction]


@dataclass(frozen=True, slots=True)
class PolicyAction:
    """An instruction with its parameters, as the file has them.

    addresses: names of those that are URLs. dials: whether it calls the worker, at an address that may be the worker's.
    """

    instruction: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    addresses: frozenset[str] = frozenset()
    dials: bool = False

    @property
    def references(self) -> tuple[Reference, ...]:
        templates = (value for value in self.parameters.values() if isinstance(value, Template))
        return tuple(reference for template in templates for reference in template.references)

    def made(self, context: Context, make: Make) -> Instruction:
        """The instruction for this context. Raises ValueError saying why there is none."""
        values = {}
        for key, value in self.parameters.items():
            try:
                is_address = key in self.addresses
                values[key] = value.fill(context, is_address=is_address) if isinstance(value, Template) else value
            except Missing as exc:
                raise ValueError(f"{key}: {exc}") from None
        return make(self.instruction, values, context)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. when: None for one that always applies."""

    name: str
    when: Expression | None
    action: PolicyAction

    @property
    def references(self) -> tuple[Reference, ...]:
        return (self.when.references if self.when else ()) + self.action.references


@dataclass(frozen=True, slots=True)
class Passed:
    """A rule that was passed over although its condition held, and why its instruction could not be given."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """The result of the rules, or of a channel's default. instruction: None if nothing applied.

    by: the rule's name, or the channel's. when: the rule's condition; "" where it has none.
    """

    instruction: Instruction | None
    by: str = ""
    when: str = ""
    passed: tuple[Passed, ...] = ()


def choose(rules: Iterable[Rule], context: Context, make: Make) -> Chosen:
    """The first rule that applies. Raises nothing for any context."""
    passed: list[Passed] = []
    for rule in rules:
        if rule.when is None or rule.when.holds(context):
            try:
                instruction = rule.action.made(context, make)
            except ValueError as exc:
                passed.append(Passed(rule.name, str(exc)))
            else:
                return Chosen(instruction, rule.name, rule.when.text if rule.when else "", tuple(passed))
    return Chosen(None, passed=tuple(passed))


def choose_default(
    defaults: Mapping[str, PolicyAction], channels: Sequence[str], context: Context, make: Make
) -> Chosen:
    """The default of the first of these channels that has one, and whose instruction can be given."""
    passed: list[Passed] = []
    for channel in channels:
        if channel in defaults:
            try:
                return Chosen(defaults[channel].made(context, make), channel, passed=tuple(passed))
            except ValueError as exc:
                passed.append(Passed(f"default for {channel}", str(exc)))
    return Chosen(None, passed=tuple(passed))
