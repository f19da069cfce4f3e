"""What TaskRouter is told, and why: the policy's rules, the channel's default, the setting, in this order.

Instantaneous and without I/O, so that it can be asked at any moment: after enrichment, and where the time ran out or
nobody looked; there `customer` and `match` are NULL. `customer` is only ever somebody who is certain: of one who is
merely claimed a policy sees that there is a claim, and nothing of the customer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from enrich.flows.work import EnrichmentRun, Rules
from enrich.policy.expressions import Context
from enrich.policy.facts import customer_facts, match_facts
from enrich.policy.file import DEFAULT_CHANNEL
from enrich.policy.rules import Passed, choose, choose_default
from enrich.taskrouter import attributes, instructions
from enrich.taskrouter.callbacks import Form, sid_or_none
from enrich.taskrouter.instructions import Instruction

VOICE = "voice"
# Values of `channelType` whose work is on a task channel of another name (facts section 9.1: the five that there are).
_CHANNELS_BY_TYPE = {"web": "chat", "webchat": "chat", "call": VOICE, "phone": VOICE}


class DecidedBy(StrEnum):
    """What gave the instruction."""

    RULE = "rule"
    CHANNEL = "channel"  # the policy's default for the task's channel
    SETTING = "setting"  # ENRICH_DEFAULT_INSTRUCTION


@dataclass(frozen=True, slots=True)
class InstructionDecision:
    """One decision. name: of the rule or the channel; "" for the setting.

    when: the rule's condition; "" where it has none. passed: what applied before, and could not be carried out.
    """

    instruction: Instruction
    by: DecidedBy
    name: str = ""
    when: str = ""
    passed: tuple[Passed, ...] = ()

    def told(self) -> dict[str, Any]:
        """As the journal keeps it."""
        told: dict[str, Any] = {"by": str(self.by), "name": self.name, "when": self.when}
        if self.passed:
            told["passed"] = [{"rule": each.rule, "reason": each.reason} for each in self.passed]
        return told


@dataclass(slots=True)
class CallbackContext:
    """What one callback asks about: its form, and the task's attributes in it, read once.

    attributes: None where they are not a JSON object.
    """

    form: Form
    raw_attributes: str = field(init=False)
    attributes: dict[str, Any] | None = field(init=False)

    def __post_init__(self) -> None:
        self.raw_attributes = self.form.get("TaskAttributes", "")
        self.attributes = attributes.parse_or_none(self.raw_attributes)


def decide(
    question: CallbackContext,
    work: EnrichmentRun,
    rules: Rules,
    stored_channel: Callable[[], str | None] = lambda: None,
) -> InstructionDecision:
    """What TaskRouter is told about this reservation.

    work: as far as enrichment came. stored_channel: the task's channel as an event told it, None where none has; asked
    only if the policy makes a difference by it.
    """
    policy = rules.policy
    if not policy.decides:
        return by_setting(question, rules)
    channel = ""
    if policy.asks_channel:
        channel = channel_of(question, stored_channel())
    context = context_of(question, work, rules, channel)
    chosen = choose(policy.rules, context, make)
    if chosen.instruction is not None:
        return InstructionDecision(chosen.instruction, DecidedBy.RULE, chosen.by, chosen.when, chosen.passed)
    passed = chosen.passed
    if policy.defaults:
        if policy.asks_channel_for_default:
            channel = channel or channel_of(question, stored_channel())
        chosen = choose_default(policy.defaults, _channels(channel), context, make)
        passed += chosen.passed
        if chosen.instruction is not None:
            return InstructionDecision(chosen.instruction, DecidedBy.CHANNEL, chosen.by, passed=passed)
    return by_setting(question, rules, passed)


def by_setting(question: CallbackContext, rules: Rules, passed: tuple[Passed, ...] = ()) -> InstructionDecision:
    """The last resort, which needs nothing: ENRICH_DEFAULT_INSTRUCTION."""
    default = instructions.default_instruction(rules.default_instruction, question.attributes, question.raw_attributes)
    return InstructionDecision(default, DecidedBy.SETTING, passed=passed)


def channel_of(question: CallbackContext, stored: str | None) -> str:
    """The task's channel by its unique name: as an event told it, else inferred, else `default`.

    The callback does not carry it (facts section 1); should it ever, that is believed.
    """
    known = question.form.get("TaskChannelUniqueName") or stored
    if known:
        return known
    held = question.attributes or {}
    kind = held.get("channelType")
    if isinstance(kind, str) and kind.strip():
        word = kind.strip().lower()
        return _CHANNELS_BY_TYPE.get(word, word)
    return VOICE if held.get("call_sid") else DEFAULT_CHANNEL


def context_of(question: CallbackContext, work: EnrichmentRun, rules: Rules, channel: str) -> Context:
    """What a policy is asked about. What TaskRouter says goes before attributes of the same name.

    channel: "" where the policy does not ask for it.
    """
    form = question.form
    return {
        "task": {
            **(question.attributes or {}),
            "sid": form.get("TaskSid"),
            "channel": channel or None,
            "queue_sid": form.get("TaskQueueSid"),
            "workflow_sid": form.get("WorkflowSid"),
            "priority": _integer(form.get("TaskPriority")),
            "age": _integer(form.get("TaskAge")),
        },
        "worker": _worker(form) if rules.policy.asks_worker else {},
        "customer": customer_facts(work.match, work.customer),
        "match": match_facts(work.match),
    }


def make(name: str, values: Mapping[str, Any], context: Context) -> Instruction:
    """The instruction, if it can be given here. Raises ValueError saying why it cannot."""
    instruction = instructions.build(name, values)
    if wrong := instructions.lacking(instruction, context["task"], context["worker"]):
        raise ValueError(wrong)
    return instruction


def _channels(channel: str) -> tuple[str, ...]:
    return (channel, DEFAULT_CHANNEL) if channel not in ("", DEFAULT_CHANNEL) else (DEFAULT_CHANNEL,)


def _worker(form: Form) -> dict[str, Any]:
    worker = attributes.parse_or_none(form.get("WorkerAttributes", "")) or {}
    told = {"sid": sid_or_none(form, "WorkerSid", "WK")}
    if form.get("WorkerName"):  # only events carry it
        told["name"] = form["WorkerName"]
    return {**worker, **told}


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None


# --- for whoever wants to see it beforehand


@dataclass(frozen=True, slots=True)
class Considered:
    """One rule, looked at for one callback. why: what of its condition decided, or why it cannot be carried out.

    applies: its condition holds. instruction: None where it does not, or where it cannot be carried out.
    """

    rule: str
    applies: bool
    instruction: Instruction | None
    why: str


def consider(
    question: CallbackContext,
    work: EnrichmentRun,
    rules: Rules,
    stored_channel: Callable[[], str | None] = lambda: None,
) -> tuple[Considered, ...]:
    """Every rule up to the first that decides, and what becomes of each."""
    context = context_of(question, work, rules, channel_of(question, stored_channel()))
    considered = []
    for rule in rules.policy.rules:
        why = rule.when.why(context) if rule.when else "it has no condition"
        applies, instruction = rule.when is None or rule.when.holds(context), None
        if applies:
            try:
                instruction = rule.action.made(context, make)
            except ValueError as exc:
                why = str(exc)
        considered.append(Considered(rule.name, applies, instruction, why))
        if instruction is not None:
            break
    return tuple(considered)


def advice(rules: Rules) -> tuple[str, ...]:
    """What is not wrong with the policy, and may yet surprise whoever wrote it."""
    nobody: Context = {"task": {}, "worker": {}, "customer": None, "match": {}}
    told = []
    for rule in rules.policy.rules:
        roots = {reference.path[0] for reference in rule.when.references} if rule.when else set()
        if rule.when and roots == {"customer"} and rule.when.holds(nobody):
            told.append(
                f"rule {rule.name!r} applies where nobody could look, too: there customer is NULL; "
                'AND match.kind == "matched" would leave them out'
            )
        action = rule.action
        if rules.accept_via == "rest" and _has_no_rest_form(action.instruction, action.parameters):
            told.append(
                f"rule {rule.name!r} is answered, not carried out over REST: {_REST_ADVICE[action.instruction]}"
            )
    return tuple(told)


def _has_no_rest_form(instruction: str, parameters: Mapping[str, Any]) -> bool:
    if instruction == "dequeue":
        return "from" not in parameters
    return any(instructions.TABLE[instruction][key].rest is None for key in parameters)


_REST_ADVICE = {"dequeue": "there it needs from", "conference": "room_name exists in an answer only"}
