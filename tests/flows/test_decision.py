"""The decision on the instruction, and its reason: rules, the channel's default, the setting."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from enrich.domain.deadline import Deadline, OutOfTime
from enrich.domain.matches import (
    Ambiguous,
    Candidate,
    Case,
    Claimed,
    Customer,
    LookupKey,
    Match,
    Matched,
    NoMatch,
    NoMatchReason,
    Trust,
)
from enrich.domain.outcomes import EntryKind
from enrich.errors import DatabaseUnavailable
from enrich.flows.assignment import CHANNEL_S, recorded_channel
from enrich.flows.decision import DecidedBy, InstructionDecision, channel_of, decide
from enrich.flows.rules import Rules, read_file, rules_of
from enrich.flows.run import EnrichmentRun
from enrich.policy.rules import SkippedRule
from enrich.taskrouter.callbacks import AssignmentCallback, assignment_callback

PHONE = LookupKey("phone", "+14155550100", Trust.VERIFIED, "from")
TYPED = LookupKey("email", "ada@example.com", Trust.CLAIMED, "email")
ADA = Customer(
    "C-1001", "Ada Lovelace", tier="gold", notes=("Prefers mornings",), open_cases=(Case("K-9", "Broken gear", "open"),)
)
CANDIDATE = Candidate("C-1001", "Ada Lovelace", "email", "ada@example.com")
CALL = "CA" + "c" * 32


def make_rules(policy: str, default_instruction: str = "auto") -> Rules:
    return rules_of(
        read_file(policy, "policy.toml", attribute="crm", region="US"),
        attribute="crm",
        lookup_keys="from",
        region="US",
        own_numbers=(),
        claimed_channels=(),
        default_instruction=default_instruction,
        accept_via="callback",
    )


def make_callback_of(form: dict[str, str]) -> AssignmentCallback:
    return assignment_callback(EntryKind.ASSIGNMENT, form, b"", datetime(2026, 11, 28, tzinfo=UTC))


def make_callback(attributes: Any = None, worker: Any = None, **form: str) -> AssignmentCallback:
    return make_callback_of(
        {
            "TaskSid": "WT" + "1" * 32,
            "TaskQueueSid": "WQ" + "2" * 32,
            "WorkflowSid": "WW" + "3" * 32,
            "TaskPriority": "10",
            "TaskAge": "7",
            "WorkerSid": "WK" + "4" * 32,
            "TaskAttributes": json.dumps(attributes or {}),
            "WorkerAttributes": json.dumps(worker or {"contact_uri": "client:dana"}),
            **form,
        }
    )


def looked_up(match: Match | None, customer: Customer | None = None) -> EnrichmentRun:
    return EnrichmentRun(match=match, customer=customer)


MATCHED = looked_up(Matched("C-1001", "Ada Lovelace", PHONE), ADA)
NOBODY_LOOKED = looked_up(None)


def rule(when: str, instruction: str = "accept", name: str = "r") -> str:
    return f"[[rules]]\nname = {name!r}\nwhen = '''{when}'''\ninstruction = {instruction!r}\n"


def fires(when: str, work: EnrichmentRun = MATCHED, **question: Any) -> bool:
    decision = decide(make_callback(**question), work, make_rules(rule(when), "defer"))
    return decision.by is DecidedBy.RULE


def never() -> str | None:
    raise AssertionError("nobody needs to know the channel")


@pytest.mark.parametrize(
    "when",
    [
        'customer.id == "C-1001"',
        'customer.name == "Ada Lovelace" AND customer.tier == "gold"',
        "customer.company == null",
        "customer.open_cases == 1",
        'customer.cases[0].id == "K-9"',
        'customer.notes HAS "Prefers mornings"',
        'match.kind == "matched" AND match.by == "phone" AND match.trust == "verified"',
        f'task.sid == "WT{"1" * 32}"',
        f'task.queue_sid == "WQ{"2" * 32}" AND task.workflow_sid == "WW{"3" * 32}"',
        "task.priority == 10 AND task.age < 8",
        'task.channel == "default"',
        f'worker.sid == "WK{"4" * 32}" AND worker.contact_uri == "client:dana"',
    ],
)
def test_a_condition_sees_task_worker_customer_and_match(when: str) -> None:
    assert fires(when)


def test_what_taskrouter_says_goes_before_an_attribute_of_the_same_name() -> None:
    assert fires("task.priority == 10 AND task.tier == 'x'", attributes={"priority": 99, "sid": "me", "tier": "x"})
    assert fires("task.queue_sid != 'mine'", attributes={"queue_sid": "mine"})


@pytest.mark.parametrize(
    "work",
    [
        looked_up(Claimed((CANDIDATE,), TYPED), ADA),
        looked_up(Ambiguous((CANDIDATE, CANDIDATE), PHONE), ADA),
        looked_up(NoMatch(NoMatchReason.NO_SUCH_KEY), ADA),
        NOBODY_LOOKED,
    ],
    ids=["claimed", "ambiguous", "none", "nobody-looked"],
)
def test_only_a_match_that_is_certain_discloses_the_customer(work: EnrichmentRun) -> None:
    """Even if details were at hand: neither a condition nor a parameter sees them."""
    assert fires("customer.id == null AND customer.name == null AND customer.notes == null", work)
    policy = "[[rules]]\nname='r'\ninstruction='dequeue'\nto='client:{customer.owner|desk}{customer.name|}'\n"
    decision = decide(make_callback({"call_sid": CALL}), work, make_rules(policy))
    assert decision.instruction == {"instruction": "dequeue", "to": "client:desk"}


def test_a_claim_can_be_told_from_what_is_certain() -> None:
    claimed = looked_up(Claimed((CANDIDATE,), TYPED))
    assert fires('match.kind == "claimed" AND match.trust == "claimed" AND match.by == "email"', claimed)
    assert not fires('match.trust == "verified"', claimed)
    assert fires('match.kind == "none" AND match.reason == "withheld"', looked_up(NoMatch(NoMatchReason.WITHHELD)))
    assert fires("match.kind == null", NOBODY_LOOKED)


def test_a_match_without_details_has_an_id_and_a_name() -> None:
    assert fires('customer.id == "C-1001" AND customer.tier == null', looked_up(MATCHED.match))


def test_the_first_rule_that_applies_wins() -> None:
    policy = rule("1==2", 'reject"\nactivity_sid="WA' + "a" * 32, "never").replace("'reject", "'reject")
    policy = rule("1==2", "accept", "never") + rule("1==1", "defer", "first") + rule("1==1", "accept", "second")
    assert decide(make_callback(), MATCHED, make_rules(policy), never) == InstructionDecision(
        {}, DecidedBy.RULE, "first", "1==1"
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('instruction="conference"\nfrom="{task.from}"', "from: task.from is not there"),
        (
            'instruction="redirect"\ncall_sid="{task.call}"\nurl="https://a.example/"',
            "call_sid: must be the SID of a call: CA and 32 hexadecimal digits",
        ),
        ('instruction="dequeue"\ntimeout="{task.seconds}"', "timeout: must be a whole number from 1 to 999"),
        ('instruction="dequeue"', "dequeue exists only for calls, and the task has no call_sid"),
        ('instruction="conference"\nfrom="{task.name|}"', "from: missing, and conference needs it"),
        (
            'instruction="call"\nfrom="+1"\nurl="https://a.example/"\nto="{worker.phone}"',
            "to: worker.phone is not there",
        ),
    ],
)
def test_a_rule_that_cannot_be_carried_out_is_passed_over_with_its_reason(body: str, reason: str) -> None:
    policy = f"[[rules]]\nname = 'first'\n{body}\n" + rule("1==1", "defer", "second")
    callback = make_callback({"call": "none", "seconds": "soon"})
    decision = decide(callback, MATCHED, make_rules(policy))
    assert (decision.name, decision.skipped) == ("second", (SkippedRule("first", reason),))
    assert decision.to_journal()["passed"] == [{"rule": "first", "reason": reason}]


def test_parameters_take_values_from_task_worker_and_customer() -> None:
    policy = """
        [[rules]]
        name = "Connect"
        instruction = "call"
        from = "{task.to}"
        to = "{worker.contact_uri}"
        url = "https://calls.example.com/greet?name={customer.name}&case={customer.cases[0].id}&lang={customer.language|en}"
        timeout = "{task.ring|25}"
        accept = true
    """
    decision = decide(make_callback({"to": "+14155550000", "ring": 40}), MATCHED, make_rules(policy))
    assert decision.instruction == {
        "instruction": "call",
        "to": "client:dana",
        "from": "+14155550000",
        "url": "https://calls.example.com/greet?name=Ada%20Lovelace&case=K-9&lang=en",
        "accept": True,
        "timeout": 40,
    }


DEFAULTS = """
    [defaults]
    chat = "accept"
    default = "defer"
    [defaults.voice]
    instruction = "dequeue"
    from = "{task.to}"
"""


@pytest.mark.parametrize(
    ("attributes", "stored", "channel", "instruction"),
    [
        ({}, None, "default", {}),
        ({}, "chat", "chat", {"instruction": "accept"}),
        ({"channelType": "web"}, None, "chat", {"instruction": "accept"}),
        ({"channelType": "sms"}, None, "default", {}),
        ({"call_sid": CALL, "to": "+1"}, None, "voice", {"instruction": "dequeue", "from": "+1"}),
        ({"call_sid": CALL}, None, "default", {}),
        ({"call_sid": CALL, "to": "+1"}, "chat", "chat", {"instruction": "accept"}),
        ({}, "video", "default", {}),
    ],
)
def test_each_channel_has_its_default(
    attributes: dict[str, Any], stored: str | None, channel: str, instruction: dict[str, Any]
) -> None:
    decision = decide(make_callback(attributes), MATCHED, make_rules(DEFAULTS), lambda: stored)
    assert (decision.by, decision.name, decision.instruction) == (DecidedBy.CHANNEL, channel, instruction)


@pytest.mark.parametrize(
    ("attributes", "stored", "form", "channel"),
    [
        ({}, None, {}, "default"),
        ({"channelType": "WhatsApp"}, None, {}, "whatsapp"),
        ({"channelType": "webchat"}, None, {}, "chat"),
        ({"channelType": "voice", "call_sid": CALL}, None, {}, "voice"),
        ({"channelType": ["sms"], "call_sid": CALL}, None, {}, "voice"),
        ({"channelType": "sms"}, "custom", {}, "custom"),
        ({"channelType": "sms"}, "custom", {"TaskChannelUniqueName": "chat"}, "chat"),
    ],
)
def test_the_channel_is_what_an_event_told_else_inferred(
    attributes: dict[str, Any], stored: str | None, form: dict[str, str], channel: str
) -> None:
    assert channel_of(make_callback(attributes, **form), stored) == channel


def test_the_channel_is_asked_for_only_where_it_makes_a_difference() -> None:
    asked: list[int] = []

    def stored() -> str:
        asked.append(1)
        return "chat"

    by_rule = rule("task.priority == 10") + DEFAULTS
    decide(make_callback(), MATCHED, make_rules(by_rule), never)
    decide(make_callback(), MATCHED, make_rules('[defaults]\ndefault = "defer"'), never)
    decide(make_callback(), MATCHED, make_rules(""), never)
    assert not asked
    decision = decide(make_callback(), MATCHED, make_rules(rule('task.channel == "voice"') + DEFAULTS), stored)
    assert (decision.name, len(asked)) == ("chat", 1)


@pytest.mark.parametrize("policy", ["", rule("1==2"), '[defaults]\nvoice = "accept"'])
def test_what_the_policy_does_not_decide_the_setting_does(policy: str) -> None:
    decision = decide(make_callback({"flexInteractionSid": "KD1"}), MATCHED, make_rules(policy))
    assert (decision.instruction, decision.by, decision.name) == ({}, DecidedBy.SETTING, "")
    assert decide(make_callback(), MATCHED, make_rules(policy, "accept")).instruction == {"instruction": "accept"}


@pytest.mark.parametrize("raw", ["", "[]", "{", "[" * 5000, '{"priority": 1e400}', "\x00", '{"from": "\\ud800"}'])
def test_whatever_came_there_is_a_decision(raw: str) -> None:
    policy = rule('task.from CONTAINS "x" OR worker.a == 1', "accept") + DEFAULTS
    form = {"TaskAttributes": raw, "WorkerAttributes": raw, "TaskPriority": "very", "TaskAge": "٣"}
    assert decide(make_callback_of(form), NOBODY_LOOKED, make_rules(policy)).instruction == {}


@pytest.mark.parametrize("failure", [DatabaseUnavailable("gone"), OutOfTime()], ids=["down", "frozen"])
def test_a_journal_that_does_not_tell_the_channel_soon_is_not_waited_for(failure: Exception) -> None:
    limits: list[float] = []

    class Journal:
        def channel_of(self, task_sid: str) -> str:
            raise failure

    def time_limit(seconds: float) -> AbstractContextManager[None]:
        limits.append(seconds)
        return nullcontext()

    adapters: Any = SimpleNamespace(journal=Journal(), time_limit=time_limit)
    run = EnrichmentRun()
    assert recorded_channel(adapters, run, make_callback(), Deadline.after(3)) is None
    assert limits == [CHANNEL_S]
    assert [step.name for step in run.stopwatch.steps] == ["channel"]
