"""Rules: the first one whose condition holds, and whose instruction is possible, decides the instruction.

The instructions and their parameters are defined in taskrouter/instructions.py and come in as functions; the format of
the file is in file.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from enrich.policy.evaluation import Context, Reference
from enrich.policy.expressions import Expression
from enrich.policy.templates import Missing, Template

Instruction = dict[str, Any]
# Makes an instruction from its name, parameters and context. Raises ValueError with the reason if it is not possible.
Make = Callable[[str, Mapping[str, Any], Context], Instruction]


@dataclass(frozen=True, slots=True)
class PolicyAction:
    """An instruction with its parameters, as in the file.

    addresses: names of the parameters that are URLs. dials: whether it calls the worker, possibly at the worker's own
    address.
    """

    instruction: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    addresses: frozenset[str] = frozenset()
    dials: bool = False

    @property
    def references(self) -> tuple[Reference, ...]:
        templates = (value for value in self.parameters.values() if isinstance(value, Template))
        return tuple(reference for template in templates for reference in template.references)

    def instruction_for(self, context: Context, make: Make) -> Instruction:
        """Return the instruction for this context. Raises ValueError with the reason if it is not possible."""
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
class SkippedRule:
    """A rule whose condition held, but whose instruction was not possible, with the reason."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The result of the rules, or of a channel's default. instruction: None if nothing applied.

    by: the rule's name, or the channel's. when: the rule's condition; "" where it has none.
    """

    instruction: Instruction | None
    by: str = ""
    when: str = ""
    skipped: tuple[SkippedRule, ...] = ()


def choose(rules: Iterable[Rule], context: Context, make: Make) -> Choice:
    """Return the choice of the first rule that applies. Raises nothing for any context."""
    skipped: list[SkippedRule] = []
    for rule in rules:
        if rule.when is None or rule.when.holds(context):
            try:
                instruction = rule.action.instruction_for(context, make)
            except ValueError as exc:
                skipped.append(SkippedRule(rule.name, str(exc)))
            else:
                return Choice(instruction, rule.name, rule.when.text if rule.when else "", tuple(skipped))
    return Choice(None, skipped=tuple(skipped))


def choose_default(
    defaults: Mapping[str, PolicyAction], channels: Sequence[str], context: Context, make: Make
) -> Choice:
    """Return the default of the first of these channels that has one whose instruction is possible."""
    skipped: list[SkippedRule] = []
    for channel in channels:
        if channel in defaults:
            try:
                return Choice(defaults[channel].instruction_for(context, make), channel, skipped=tuple(skipped))
            except ValueError as exc:
                skipped.append(SkippedRule(f"default for {channel}", str(exc)))
    return Choice(None, skipped=tuple(skipped))
