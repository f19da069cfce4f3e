"""The choice of the instruction: the policy's rules, the channel's default, the setting, in this order.

Instantaneous and without I/O, so that it can be made at any moment: after enrichment, and where the time ran out or no
look-up was made; there `customer` and `match` are NULL. `customer` is only ever a certain one: of a claimed customer a
policy sees that there is a claim, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from enrich.domain.work_kinds import work_of
from enrich.flows.rules import Rules
from enrich.flows.run import EnrichmentRun
from enrich.policy.evaluation import Context
from enrich.policy.facts import customer_facts, match_facts
from enrich.policy.file import DEFAULT_CHANNEL
from enrich.policy.rules import SkippedRule, choose, choose_default
from enrich.taskrouter import attributes, instructions
from enrich.taskrouter.callbacks import AssignmentCallback, Form, sid_or_none
from enrich.taskrouter.instructions import Instruction

VOICE = "voice"
# Values of `channelType` whose work is on a task channel of another name (docs/taskrouter.md,
# "Flex and channel conventions").
_CHANNELS_BY_TYPE = {"web": "chat", "webchat": "chat", "call": VOICE, "phone": VOICE}


class DecidedBy(StrEnum):
    """The source of an instruction."""

    RULE = "rule"
    CHANNEL = "channel"  # the policy's default for the task's channel
    SETTING = "setting"  # ENRICH_DEFAULT_INSTRUCTION


@dataclass(frozen=True, slots=True)
class InstructionDecision:
    """One decision. name: of the rule or the channel; "" for the setting.

    when: the rule's condition; "" if it has none. skipped: rules that applied before, and could not be carried out.
    """

    instruction: Instruction
    by: DecidedBy
    name: str = ""
    when: str = ""
    skipped: tuple[SkippedRule, ...] = ()

    def to_journal(self) -> dict[str, Any]:
        """Return the decision as the journal keeps it."""
        explained: dict[str, Any] = {"by": str(self.by), "name": self.name, "when": self.when}
        if self.skipped:
            explained["passed"] = [{"rule": skipped.rule, "reason": skipped.reason} for skipped in self.skipped]
        return explained


def decide(
    callback: AssignmentCallback,
    run: EnrichmentRun,
    rules: Rules,
    stored_channel: Callable[[], str | None] = lambda: None,
) -> InstructionDecision:
    """Return the instruction for this reservation, and what led to it.

    run: as far as enrichment came. stored_channel: returns the task's channel from an event, None if no event has it;
    called only if the policy depends on it.
    """
    policy = rules.policy
    if not policy.decides:
        return by_setting(callback, rules)
    channel = ""
    if policy.asks_channel:
        channel = channel_of(callback, stored_channel())
    context = context_of(callback, run, rules, channel)
    choice = choose(policy.rules, context, make)
    if choice.instruction is not None:
        return InstructionDecision(choice.instruction, DecidedBy.RULE, choice.by, choice.when, choice.skipped)
    skipped = choice.skipped
    if policy.defaults:
        if policy.asks_channel_for_default:
            channel = channel or channel_of(callback, stored_channel())
        choice = choose_default(policy.defaults, _channels(channel), context, make)
        skipped += choice.skipped
        if choice.instruction is not None:
            return InstructionDecision(choice.instruction, DecidedBy.CHANNEL, choice.by, skipped=skipped)
    return by_setting(callback, rules, skipped)


def by_setting(
    callback: AssignmentCallback, rules: Rules, skipped: tuple[SkippedRule, ...] = ()
) -> InstructionDecision:
    """Return the decision of last resort, which needs nothing: ENRICH_DEFAULT_INSTRUCTION."""
    default = instructions.default_instruction(rules.default_instruction, callback.attributes, callback.raw_attributes)
    return InstructionDecision(default, DecidedBy.SETTING, skipped=skipped)


def default_for(form: Form, rules: Rules) -> Instruction:
    """Return ENRICH_DEFAULT_INSTRUCTION for this form; for a callback of which nothing else could be read."""
    raw_attributes = form.get("TaskAttributes", "")
    parsed = attributes.parse_or_none(raw_attributes)
    return instructions.default_instruction(rules.default_instruction, parsed, raw_attributes)


def channel_of(callback: AssignmentCallback, stored: str | None) -> str:
    """Return the unique name of the task's channel: from an event, else inferred, else `default`.

    The callback does not carry it (docs/taskrouter.md, "Assignment callback"); if it ever does, that is believed.
    """
    known = callback.form.get("TaskChannelUniqueName") or stored
    if known:
        return known
    task_attributes = callback.attributes or {}
    kind = task_attributes.get("channelType")
    if isinstance(kind, str) and kind.strip():
        word = kind.strip().lower()
        return _CHANNELS_BY_TYPE.get(word, word)
    return VOICE if work_of(task_attributes).is_call else DEFAULT_CHANNEL


def context_of(callback: AssignmentCallback, run: EnrichmentRun, rules: Rules, channel: str) -> Context:
    """Return the variables of a policy's expressions. TaskRouter's values override attributes of the same name.

    channel: "" where the policy does not depend on it.
    """
    form = callback.form
    return {
        "task": {
            **(callback.attributes or {}),
            "sid": form.get("TaskSid"),
            "channel": channel or None,
            "queue_sid": form.get("TaskQueueSid"),
            "workflow_sid": form.get("WorkflowSid"),
            "priority": _integer(form.get("TaskPriority")),
            "age": _integer(form.get("TaskAge")),
        },
        "worker": _worker(form) if rules.policy.asks_worker else {},
        "customer": customer_facts(run.match, run.customer),
        "match": match_facts(run.match),
    }


def make(name: str, values: Mapping[str, Any], context: Context) -> Instruction:
    """Return the instruction, if it can be given here. Raises ValueError with the reason why it cannot."""
    instruction = instructions.build(name, values)
    if wrong := instructions.lacking(instruction, context["task"], context["worker"]):
        raise ValueError(wrong)
    return instruction


def _channels(channel: str) -> tuple[str, ...]:
    return (channel, DEFAULT_CHANNEL) if channel not in ("", DEFAULT_CHANNEL) else (DEFAULT_CHANNEL,)


def _worker(form: Form) -> dict[str, Any]:
    worker = attributes.parse_or_none(form.get("WorkerAttributes", "")) or {}
    known = {"sid": sid_or_none(form, "WorkerSid", "WK")}
    if form.get("WorkerName"):  # only events carry it
        known["name"] = form["WorkerName"]
    return {**worker, **known}


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None


# --- for `flask taskrouter policy test`


@dataclass(frozen=True, slots=True)
class Considered:
    """One rule, evaluated for one callback. why: the part of its condition that decided, or what prevents it.

    applies: its condition holds. instruction: None if it does not, or if it cannot be carried out.
    """

    rule: str
    applies: bool
    instruction: Instruction | None
    why: str


def consider(
    callback: AssignmentCallback,
    run: EnrichmentRun,
    rules: Rules,
    stored_channel: Callable[[], str | None] = lambda: None,
) -> tuple[Considered, ...]:
    """Return every rule up to the first that decides, with its result."""
    context = context_of(callback, run, rules, channel_of(callback, stored_channel()))
    considered = []
    for rule in rules.policy.rules:
        why = rule.when.why(context) if rule.when else "it has no condition"
        applies, instruction = rule.when is None or rule.when.holds(context), None
        if applies:
            try:
                instruction = rule.action.instruction_for(context, make)
            except ValueError as exc:
                why = str(exc)
        considered.append(Considered(rule.name, applies, instruction, why))
        if instruction is not None:
            break
    return tuple(considered)


def advice(rules: Rules) -> tuple[str, ...]:
    """Return warnings about rules that are valid and may still surprise their author."""
    nobody: Context = {"task": {}, "worker": {}, "customer": None, "match": {}}
    warnings = []
    for rule in rules.policy.rules:
        roots = {reference.path[0] for reference in rule.when.references} if rule.when else set()
        if rule.when and roots == {"customer"} and rule.when.holds(nobody):
            warnings.append(
                f"rule {rule.name!r} also applies where no look-up was possible: there customer is NULL; "
                'add AND match.kind == "matched" to leave those out'
            )
        action = rule.action
        if rules.accept_via == "rest" and _has_no_rest_form(action.instruction, action.parameters):
            warnings.append(
                f"rule {rule.name!r} is answered, not carried out over REST: {_REST_ADVICE[action.instruction]}"
            )
    return tuple(warnings)


def _has_no_rest_form(instruction: str, parameters: Mapping[str, Any]) -> bool:
    if instruction == "dequeue":
        return "from" not in parameters
    return any(instructions.TABLE[instruction][key].rest is None for key in parameters)


_REST_ADVICE = {"dequeue": "there it needs from", "conference": "room_name exists in an answer only"}
