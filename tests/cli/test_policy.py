"""`flask taskrouter policy check` and `policy test`, without anything of Twilio's."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask import Flask

from app import create_app
from enrich.domain.deliveries import Delivery
from enrich.domain.outcomes import EntryKind
from enrich.errors import PolicyError
from enrich.settings import Settings
from tests.support.app import run_command, services_of
from tests.support.databases import seed_customers
from tests.support.fixtures import MakeApp

EXAMPLE = Path(__file__).parent.parent.parent / "docs" / "policy.example.toml"
CALLBACK = {
    "TaskSid": "WT" + "1" * 32,
    "ReservationSid": "WR" + "2" * 32,
    "TaskPriority": "3",
    "TaskAttributes": '{"from":"+14155550100","call_sid":"CA' + "c" * 32 + '","to":"+14155550000"}',
    "WorkerAttributes": '{"contact_uri":"client:dana"}',
}
WRONG = '[[rules]]\nname = "x"\nwhen = "customer.teir = 1"\ninstruction = "acept"\n'


@pytest.fixture
def without_twilio(settings: Settings) -> Settings:
    return replace(settings, twilio_account_sid="", twilio_auth_token="", secret_key="", public_url="")


@pytest.fixture
def app(make_app: MakeApp, without_twilio: Settings) -> Flask:
    app = make_app(replace(without_twilio, policy=EXAMPLE))
    seed_customers(services_of(app).database, datetime.now(UTC))
    return app


def run(app: Flask, *arguments: str, given: str | None = None) -> tuple[int, str]:
    return run_command(app, "taskrouter", "policy", *arguments, stdin=given)


def write(folder: Path, text: str, name: str = "file") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_the_example_is_good(app: Flask) -> None:
    assert run(app, "check") == (
        0,
        f"{EXAMPLE}: 5 rules, defaults for chat, default, voice, 3 projections: OK\n",
    )


def test_everything_that_is_wrong_is_told_and_the_status_is_1(app: Flask, tmp_path: Path) -> None:
    status, told = run(app, "check", write(tmp_path, WRONG))
    assert status == 1
    assert "rule 1 'x', when: customer has no 'teir'; did you mean 'tier'?" in told
    assert "rule 1 'x', instruction: 'acept' is no instruction; did you mean 'accept'?" in told


def test_what_may_surprise_is_noted(make_app: MakeApp, without_twilio: Settings, tmp_path: Path) -> None:
    text = """
        [[rules]]
        name = "Others"
        when = 'customer.tier != "gold"'
        instruction = "dequeue"
    """
    app = make_app(replace(without_twilio, accept_via="rest"))
    status, told = run(app, "check", write(tmp_path, text))
    assert status == 0
    assert "note: rule 'Others' also applies where no look-up was possible" in told
    assert "note: rule 'Others' is answered, not carried out over REST: there it needs from" in told


@pytest.mark.parametrize("text", [None, b"\xff\xfe", b"x" * 1_000_001], ids=["missing", "no-utf-8", "huge"])
def test_a_file_that_cannot_be_read_stops_the_start_by_name(
    settings: Settings, tmp_path: Path, text: bytes | None
) -> None:
    path = tmp_path / "policy.toml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(PolicyError, match=r"policy\.toml"):
        create_app(replace(settings, policy=path))


def test_the_server_does_not_start_with_a_policy_that_is_wrong(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        create_app(replace(settings, policy=Path(write(tmp_path, WRONG))))
    assert "when" in str(caught.value)
    assert "instruction" in str(caught.value)


def test_without_a_file_there_is_nothing_to_check(make_app: MakeApp, without_twilio: Settings) -> None:
    app = make_app(without_twilio, migrated=False)
    status, told = run(app, "check")
    assert status == 2
    assert "ENRICH_POLICY" in told


@pytest.mark.parametrize("form", ["json", "form"])
def test_a_given_callback_is_decided_and_told_in_both_forms(app: Flask, tmp_path: Path, form: str) -> None:
    text = json.dumps(CALLBACK) if form == "json" else urlencode(CALLBACK)
    status, told = run(app, "test", write(tmp_path, text))
    assert status == 0
    assert "customer   C-1001 Ada Lovelace, by phone, verified\n" in told
    assert "channel    voice\n" in told
    assert 'customers.external_id: "C-1001"\n' in told
    assert "no    Nuisance callers go to an announcement: task.from IN" in told
    assert 'yes   Gold customers are put through by conference: customer.tier == "gold" is true' in told
    assert "Call-backs" not in told
    assert "decided by rule 'Gold customers are put through by conference'\n" in told
    assert 'answer     {"instruction":"conference","from":"+14155550000","timeout":20,' in told
    assert "over REST  Instruction=conference From=+14155550000 Timeout=20 " in told


def test_attributes_may_be_given_as_they_are_read(app: Flask) -> None:
    given = json.dumps({"TaskAttributes": {"channelType": "web", "from": "+14155550100"}})
    status, told = run(app, "test", "-", given=given)
    assert status == 0
    assert "customer   none: the match is claimed\n" in told
    assert "customers.external_id: nothing\n" in told
    assert "answer     {}\n" in told
    assert "over REST  not possible\n" in told


def test_as_if_nobody_had_looked(app: Flask, tmp_path: Path) -> None:
    status, told = run(app, "test", write(tmp_path, json.dumps(CALLBACK)), "--nobody-looked")
    assert status == 0
    assert "customer   nobody looked\n" in told
    assert "crm:" not in told
    assert "(customer.tier is NULL)" in told
    assert "decided by the default for voice\n" in told


def test_a_rule_that_cannot_be_carried_out_is_skipped_with_its_reason(app: Flask, tmp_path: Path) -> None:
    given = CALLBACK | {"WorkerAttributes": "{}"}
    _, told = run(app, "test", write(tmp_path, json.dumps(given)))
    assert "skip  Gold customers are put through by conference: conference has no to, and the worker has no" in told
    assert "skip  default for voice: dequeue has no to, and the worker has no contact_uri\n" in told
    assert "decided by the default for default\n" in told


def test_a_stored_callback_is_decided_by_its_reservation_or_its_entry(app: Flask) -> None:
    journal = app.extensions["enrich"].adapters.journal
    event = Delivery(
        EntryKind.EVENT, datetime.now(UTC), "EV" + "3" * 32, task_sid=CALLBACK["TaskSid"], channel_unique_name="chat"
    )
    journal.receive(event, timeout_s=1)
    delivery = Delivery(
        EntryKind.ASSIGNMENT,
        datetime.now(UTC),
        CALLBACK["ReservationSid"],
        task_sid=CALLBACK["TaskSid"],
        body=urlencode(CALLBACK).encode(),
    )
    entry_id = journal.receive(delivery, timeout_s=1).entry_id
    told = [run(app, "test", source) for source in (CALLBACK["ReservationSid"], str(entry_id))]
    assert told[0] == told[1]
    assert told[0][0] == 0
    assert "channel    chat\n" in told[0][1]
    assert "decided by the default for chat\n" in told[0][1]


@pytest.mark.parametrize("source", ["WR" + "9" * 32, "12345", "9" * 30, "nowhere.json"])
def test_what_is_not_there_is_told(app: Flask, source: str) -> None:
    status, told = run(app, "test", source)
    assert status == 1
    assert source in told


@pytest.mark.parametrize("text", ["{", "[]", "a=1", "{}"])
def test_what_is_no_callback_is_told(app: Flask, tmp_path: Path, text: str) -> None:
    assert run(app, "test", write(tmp_path, text))[0] == 1


def test_another_file_can_be_tried_while_the_one_in_use_is_wrong(
    make_app: MakeApp, without_twilio: Settings, tmp_path: Path
) -> None:
    app = make_app(without_twilio, migrated=False)
    parts = app.extensions["enrich"]
    app.extensions["enrich"] = replace(parts, policy_error=PolicyError("the one in use is wrong"))
    callback = write(tmp_path, json.dumps(CALLBACK), "callback.json")
    assert run(app, "test", callback)[0] == 1
    status, told = run(app, "test", callback, "--policy", str(EXAMPLE))
    assert status == 0  # without a database, too
    assert "look-up failed" in told
    assert "customer   nobody looked\n" in told
