"""A callback comes in, the task is enriched before it is accepted: the main job, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.contact_centre import ContactCentre, Service


def test_a_known_caller_is_on_the_task_before_it_is_accepted(centre: ContactCentre, service: Service) -> None:
    task_sid = centre.task_arrives({"from": "+14155550100", "channelType": "sms"})
    centre.emulator.log.wait_for("reservation_accepted", 10, task_sid=task_sid)

    happened = [
        kind
        for kind in centre.log_of(task_sid)
        if kind in ("attributes_written", "assignment_callback_answered", "reservation_accepted")
    ]
    assert happened == ["attributes_written", "assignment_callback_answered", "reservation_accepted"]
    assert centre.answer(task_sid) == {"instruction": "accept"}
    assert centre.block(task_sid) == {
        "match": "matched",
        "by": "phone",
        "trust": "verified",
        "customer_id": "C-1001",
        "name": "Ada Lovelace",
        "company": "Analytical Engines",
        "tier": "gold",
        "language": "en",
        "owner": "dana@example.com",
        "open_cases": 1,
        "cases": [{"id": "K-9", "subject": "Broken gear", "status": "open", "opened_on": "2026-11-02"}],
        "notes": ["Prefers mornings"],
    }

    (entry,) = service.entries(task_sid=task_sid)
    assert (entry.outcome, entry.reason, entry.match, entry.customer_id) == ("enriched", "", "matched", "C-1001")
    assert json.loads(entry.attributes_before) == {"from": "+14155550100", "channelType": "sms"}
    assert entry.attributes_after == centre.attributes(task_sid)
    assert entry.answer == '{"instruction":"accept"}'
    assert [step["name"] for step in entry.steps] == ["receive", "look_up", "fetch", "write"]
    assert entry.worker_name == "dana"


@pytest.mark.parametrize(
    ("attributes", "block"),
    [
        pytest.param({"from": "+12125550199"}, {"match": "none", "reason": "no_such_key"}, id="nobody-has-this-number"),
        pytest.param({"from": "anonymous"}, {"match": "none", "reason": "withheld"}, id="withheld"),
        pytest.param({"from": "+266696687"}, {"match": "none", "reason": "withheld"}, id="withheld-on-a-keypad"),
        pytest.param({"type": "letter"}, {"match": "none", "reason": "no_key"}, id="nothing-to-look-up-by"),
        pytest.param(
            {"from": "+16175550142"},
            {
                "match": "ambiguous",
                "by": "phone",
                "candidates": [
                    {"customer_id": "C-1003", "name": "Maria Bell"},
                    {"customer_id": "C-1004", "name": "Tom Bell"},
                ],
            },
            id="two-share-the-number",
        ),
        pytest.param(
            {"channelType": "web", "email": "Ada@Example.com"},
            {
                "match": "claimed",
                "by": "email",
                "trust": "claimed",
                "candidates": [{"customer_id": "C-1001", "name": "Ada Lovelace"}],
            },
            id="typed-into-a-chat-window",
        ),
    ],
)
def test_whoever_it_is_the_task_says_so(
    centre: ContactCentre, attributes: dict[str, Any], block: dict[str, Any]
) -> None:
    task_sid = centre.task_arrives(attributes)
    assert centre.answer(task_sid) == {"instruction": "accept"}
    assert centre.block(task_sid) == block


@pytest.mark.parametrize(
    ("attributes", "customer_id"),
    [
        pytest.param({"from": "whatsapp:+447700900123", "channelType": "whatsapp"}, "C-1005", id="whatsapp"),
        pytest.param({"from": "client:alice"}, "C-1009", id="twilio-client"),
        pytest.param({"customerAddress": "ines@example.org"}, "C-1008", id="e-mail"),
        pytest.param({"account_number": "A-17"}, "C-1001", id="account-number"),
        pytest.param({"from": "(415) 555-0100"}, "C-1001", id="national-form"),
        pytest.param(
            {"direction": "outbound", "from": "+16175550142", "outbound_to": "+14155550100"}, "C-1001", id="outbound"
        ),
        pytest.param({"customer_id": "C-1003", "from": "+16175550142"}, "C-1003", id="the-id-tells-two-apart"),
    ],
)
def test_every_kind_of_key_finds_its_customer(
    centre: ContactCentre, attributes: dict[str, Any], customer_id: str
) -> None:
    task_sid = centre.task_arrives(attributes)
    centre.answer(task_sid)
    assert centre.block(task_sid)["customer_id"] == customer_id


@pytest.mark.parametrize("text", ["call_sid", "flexInteractionSid"])
def test_work_that_somebody_must_set_up_is_deferred(centre: ContactCentre, text: str) -> None:
    task_sid = centre.task_arrives({"from": "+14155550100", text: "CA" + "1" * 32})
    assert centre.answer(task_sid) == {}
    assert centre.block(task_sid)["customer_id"] == "C-1001"


OTHERS = (
    r'{"from":"+14155550100", "pi":3.14159265358979323846264338327950288, "huge":1e400,'
    r' "big":18446744073709551616000001, "nested":{"a":null,"b":[null,{"c":null}]},'
    r' "twice":1, "twice":2, "lone":"\ud800", "slash":"a\/b", "é":"漢字 😀" }'
)


def test_attributes_of_others_survive_to_the_letter(centre: ContactCentre) -> None:
    task_sid = centre.task_arrives(OTHERS)
    centre.answer(task_sid)
    after = centre.attributes(task_sid)
    assert after.startswith(OTHERS.removesuffix(" }") + ',"crm":{"match":"matched"')


def test_a_block_that_we_did_not_write_does_not_survive(centre: ContactCentre) -> None:
    task_sid = centre.task_arrives('{"crm":{"match":"matched","customer_id":"C-1","vip":true},"from":"+12125550199"}')
    centre.answer(task_sid)
    assert centre.attributes(task_sid) == '{"crm":{"match":"none","reason":"no_such_key"},"from":"+12125550199"}'


def test_somebody_who_writes_in_between_loses_nothing(centre: ContactCentre, service: Service) -> None:
    """Another writer changes the task after each of our first five reads; each time the answer is 412."""
    centre.emulator.faults.intruding_writer("intruder", times=5)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    attributes = json.loads(centre.attributes(task_sid))
    assert "intruder" in attributes
    assert attributes["crm"]["customer_id"] == "C-1001"
    (entry,) = service.entries(task_sid=task_sid)
    assert [step["failed"] for step in entry.steps if step["name"] == "write"] == ["stale_task"] * 5 + [""]


def test_a_task_that_is_enriched_already_is_not_written_again(
    centre: ContactCentre, service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    """The second worker's callback carries the block; nothing goes over REST."""
    task_sid = centre.task_arrives({"from": "+14155550100", "call_sid": "CA" + "2" * 32})
    centre.answer(task_sid)
    form = make_callback(
        WorkspaceSid=centre.workspace_sid, TaskSid=task_sid, TaskAttributes=centre.attributes(task_sid)
    )
    assert service.post("/taskrouter/assignment", form).json() == {}
    assert centre.log_of(task_sid).count("attributes_written") == 1
    entry = service.entries(task_sid=task_sid)[-1]
    assert [step["name"] for step in entry.steps] == ["look_up"]  # receipt and conclusion are one insert
    assert (entry.outcome, entry.attributes_after) == ("enriched", None)


@pytest.mark.parametrize(("escape", "plain"), [(r"\u00e9", "é"), (r"\ud83d\ude00", "😀")])
def test_escapes_make_room_for_the_whole_block(centre: ContactCentre, escape: str, plain: str) -> None:
    """As PHP and Python write them: 4,044 characters, of which hardly any are needed."""
    count = 4000 // len(escape)
    text = f'{{"from":"+14155550100","note":"{escape * count} {chr(92) * 2}u00e9"}}'
    task_sid = centre.task_arrives(text)
    centre.answer(task_sid)
    written = centre.attributes(task_sid)
    assert written.startswith(text.replace(escape * count, plain * count)[:-1] + ',"crm":{"match":"matched"')
    assert "trimmed" not in centre.block(task_sid)


class TestAcceptViaRest:
    @pytest.fixture
    def rest(self, start_service: Callable[..., Service]) -> Service:
        return start_service(ENRICH_ACCEPT_VIA="rest")

    def test_the_reservation_is_accepted_after_the_write_and_before_the_answer(
        self, open_centre: Callable[..., ContactCentre], rest: Service
    ) -> None:
        centre = open_centre(rest)
        task_sid = centre.task_arrives({"from": "+14155550100"})
        assert centre.answer(task_sid) == {}
        happened = [
            kind
            for kind in centre.log_of(task_sid)
            if kind in ("attributes_written", "reservation_accepted", "assignment_callback_answered")
        ]
        assert happened == ["attributes_written", "reservation_accepted", "assignment_callback_answered"]

    def test_when_that_fails_the_instruction_is_the_answer(
        self, open_centre: Callable[..., ContactCentre], rest: Service
    ) -> None:
        centre = open_centre(rest)
        centre.emulator.faults.status(400, path="/Reservations/", method="POST", times=1)
        task_sid = centre.task_arrives({"from": "+14155550100"})
        assert centre.answer(task_sid) == {"instruction": "accept"}
        centre.emulator.log.wait_for("reservation_accepted", 10, task_sid=task_sid)
        (entry,) = rest.entries(task_sid=task_sid)
        assert entry.outcome == "enriched"
        assert entry.steps[-1] == entry.steps[-1] | {"name": "accept", "failed": "request_refused"}

    def test_an_acceptance_whose_answer_cannot_be_read_is_looked_for_and_not_repeated(
        self, open_centre: Callable[..., ContactCentre], rest: Service
    ) -> None:
        centre = open_centre(rest)
        centre.emulator.faults.html(202, path="/Reservations/", method="POST", times=1, after_processing=True)
        task_sid = centre.task_arrives({"from": "+14155550100"})
        assert centre.answer(task_sid) == {}
        assert centre.log_of(task_sid).count("reservation_accepted") == 1

    def test_a_page_in_place_of_an_acceptance_accepts_nothing(
        self, open_centre: Callable[..., ContactCentre], start_service: Callable[..., Service]
    ) -> None:
        """A proxy that asks for a password says 200, too; then the caller is routed by the answer."""
        rest = start_service(ENRICH_ACCEPT_VIA="rest", ENRICH_BUDGET_S="0.6")
        centre = open_centre(rest)
        centre.emulator.faults.html(200, path="/Reservations/")
        task_sid = centre.task_arrives({"from": "+14155550100"})
        assert centre.answer(task_sid) == {"instruction": "accept"}
        centre.emulator.log.wait_for("reservation_accepted", 10, task_sid=task_sid)

    def test_work_that_is_deferred_is_not_accepted(
        self, open_centre: Callable[..., ContactCentre], rest: Service
    ) -> None:
        centre = open_centre(rest)
        task_sid = centre.task_arrives({"from": "+14155550100", "call_sid": "CA" + "3" * 32})
        assert centre.answer(task_sid) == {}
        assert "reservation_accepted" not in centre.log_of(task_sid)


@pytest.mark.parametrize(
    ("instruction", "attributes", "answer"),
    [
        ("dequeue", {"call_sid": "CA" + "4" * 32}, {"instruction": "dequeue"}),
        ("dequeue", {}, {"instruction": "accept"}),
        ("defer", {}, {}),
        ("accept", {"call_sid": "CA" + "5" * 32}, {"instruction": "accept"}),
    ],
)
def test_the_default_instruction_is_a_setting(
    start_service: Callable[..., Service],
    make_callback: Callable[..., dict[str, str]],
    instruction: str,
    attributes: dict[str, str],
    answer: dict[str, str],
) -> None:
    service = start_service(ENRICH_DEFAULT_INSTRUCTION=instruction)
    form = make_callback(TaskAttributes=json.dumps(attributes))
    assert service.post("/taskrouter/assignment", form).json() == answer
