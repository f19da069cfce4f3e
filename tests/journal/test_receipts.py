"""Receipts and conclusions, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text

from enrich import errors
from enrich.database.engine import Database
from enrich.domain.deadline import OutOfTime
from enrich.domain.deliveries import Conclusion, Delivery, Receipt
from enrich.domain.lengths import MAX_FORM_BYTES
from enrich.domain.matches import LookupKey, Matched, NoMatch, NoMatchReason, Trust
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason
from enrich.journal.group_commit import Commit, GroupCommit, Values
from enrich.journal.receipts import Journal
from enrich.journal.tables import EntryRow, FollowupRow

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ACCEPT, DEFER = '{"instruction":"accept"}', "{}"
KEY = LookupKey("phone", "+14155550100", Trust.VERIFIED, "from")
ADA = Matched("C-1001", "Ada Lovelace", KEY)


def make_delivery(number: int = 1, **changes: object) -> Delivery:
    values: dict[str, object] = {
        "kind": EntryKind.ASSIGNMENT,
        "received_at": NOW,
        "delivery_key": f"WR{number:032x}",
        "reservation_sid": f"WR{number:032x}",
        "task_sid": f"WT{number:032x}",
        "body": b"TaskSid=WT",
    }
    return Delivery(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


def test_a_receipt_is_kept_before_it_has_a_conclusion(journal: Journal, database: Database) -> None:
    receipt = journal.receive(make_delivery(), timeout_s=1)
    assert (receipt.is_repeat, receipt.answer) == (False, None)
    (row,) = database.read(select(EntryRow.__table__))
    assert (row.id, row.raw_form, row.received_at, row.concluded_at) == (receipt.entry_id, "TaskSid=WT", NOW, None)


def test_a_repeat_gets_the_row_of_the_first_and_is_counted(journal: Journal, database: Database) -> None:
    first = journal.receive(make_delivery(), timeout_s=1)
    for _ in range(3):
        again = journal.receive(make_delivery(body=b"another"), timeout_s=1)
    assert (again.entry_id, again.is_repeat) == (first.entry_id, True)
    (row,) = database.read(select(EntryRow.repeats, EntryRow.raw_form))
    assert tuple(row) == (3, "TaskSid=WT")


def test_who_asks_again_because_the_connection_broke_is_still_the_first(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement was carried out, its answer was lost, and it is sent again with the same claim."""
    claims = iter(("a" * 16, "a" * 16, "b" * 16))
    monkeypatch.setattr("secrets.token_hex", lambda _: next(claims))
    assert [journal.receive(make_delivery(), timeout_s=1).is_repeat for _ in range(3)] == [False, False, True]


def test_deliveries_without_a_key_stand_for_themselves(journal: Journal) -> None:
    ids = {journal.receive(make_delivery(delivery_key=None), timeout_s=1).entry_id for _ in range(2)}
    assert len(ids) == 2


def test_of_many_at_once_exactly_one_is_the_first(journal: Journal) -> None:
    with ThreadPoolExecutor(16) as pool:
        receipts = list(pool.map(lambda _: journal.receive(make_delivery(), timeout_s=20), range(40)))
    assert [receipt.is_repeat for receipt in receipts].count(False) == 1


def test_the_first_stored_answer_wins(journal: Journal) -> None:
    receipt = journal.receive(make_delivery(), timeout_s=1)
    assert journal.stored_answer(receipt.entry_id) is None
    assert journal.answer(receipt.entry_id, DEFER, timeout_s=1) == DEFER
    assert journal.answer(receipt.entry_id, ACCEPT, timeout_s=1) == DEFER
    conclusion = Conclusion(Outcome.ENRICHED, match=ADA)
    assert journal.conclude(receipt.entry_id, conclusion, at=NOW, timeout_s=1, answer=ACCEPT) == DEFER
    assert journal.receive(make_delivery(), timeout_s=1, answer=ACCEPT).answer == DEFER


def test_an_answer_can_come_with_the_receipt(journal: Journal) -> None:
    assert journal.receive(make_delivery(), timeout_s=1, answer=DEFER).answer == DEFER
    assert journal.receive(make_delivery(2), timeout_s=1).answer is None
    assert journal.receive(make_delivery(2), timeout_s=1, answer=ACCEPT).answer == ACCEPT


def test_a_conclusion_is_stored_once(journal: Journal, database: Database) -> None:
    receipt = journal.receive(make_delivery(), timeout_s=1)
    enriched = Conclusion(
        Outcome.ENRICHED,
        match=ADA,
        finding={"keys": []},
        attributes_before="{}",
        attributes_after='{"crm":{}}',
        steps=[{"name": "fetch", "elapsed_ms": 1.5, "failed": ""}],
        elapsed_ms=12.5,
    )
    journal.conclude(receipt.entry_id, enriched, at=NOW, timeout_s=1, answer=ACCEPT)
    later = Conclusion(Outcome.FAILED, reason="failed")
    assert journal.conclude(receipt.entry_id, later, at=NOW, timeout_s=1, answer=DEFER) == ACCEPT
    (row,) = database.read(select(EntryRow.__table__))
    assert (row.outcome, row.reason, row.match, row.by, row.trust) == ("enriched", "", "matched", "phone", "verified")
    assert (row.customer_id, row.customer_name) == ("C-1001", "Ada Lovelace")
    assert (row.finding, row.steps[0]["name"], row.elapsed_ms) == ({"keys": []}, "fetch", 12.5)


def test_a_receipt_can_come_with_its_conclusion(journal: Journal, database: Database) -> None:
    conclusion = Conclusion(Outcome.ENRICHED, match=ADA, attributes_before="{}", elapsed_ms=3.5)
    first = journal.receive_concluded(make_delivery(), conclusion, at=NOW, timeout_s=1, answer=ACCEPT)
    assert (first.is_repeat, first.is_concluded, first.answer) == (False, True, ACCEPT)
    other = Conclusion(Outcome.ENRICHED, match=NoMatch(NoMatchReason.NO_KEY))
    repeat = journal.receive_concluded(make_delivery(), other, at=NOW, timeout_s=1, answer=DEFER)
    assert (repeat.is_repeat, repeat.answer) == (True, ACCEPT)
    (row,) = database.read(select(EntryRow.__table__))
    assert (row.outcome, row.customer_id, row.concluded_at, row.repeats) == ("enriched", "C-1001", NOW, 1)


def test_who_was_concluded_at_once_meets_a_first_try_in_flight(journal: Journal, database: Database) -> None:
    """Its answer is the first that is stored, and the first try sends it, too."""
    first = journal.receive(make_delivery(), timeout_s=1)
    warm = Conclusion(Outcome.ENRICHED, match=ADA)
    second = journal.receive_concluded(make_delivery(), warm, at=NOW, timeout_s=1, answer=ACCEPT)
    assert (second.is_repeat, second.answer, second.is_concluded) == (True, ACCEPT, False)
    assert journal.conclude(first.entry_id, warm, at=NOW, timeout_s=1, answer=DEFER) == ACCEPT


def test_nobody_found_leaves_no_customer(journal: Journal, database: Database) -> None:
    receipt = journal.receive(make_delivery(), timeout_s=1)
    nobody = Conclusion(Outcome.ENRICHED, match=NoMatch(NoMatchReason.WITHHELD), reason="withheld")
    journal.conclude(receipt.entry_id, nobody, at=NOW, timeout_s=1, answer=ACCEPT)
    (row,) = database.read(select(EntryRow.__table__))
    assert (row.match, row.reason, row.customer_id, row.finding) == ("none", "withheld", None, None)


def test_what_is_owed_is_stored_with_its_cause(journal: Journal, database: Database) -> None:
    receipt = journal.receive(make_delivery(), timeout_s=1)
    conclusion = Conclusion(Outcome.OUT_OF_TIME, reason="out_of_time")
    for _ in range(2):
        journal.conclude(receipt.entry_id, conclusion, at=NOW, timeout_s=1, answer=ACCEPT, followup=FollowupKind.ENRICH)
    (row,) = database.read(select(FollowupRow.__table__))
    assert (row.entry_id, row.kind, row.due_at, row.attempts) == (receipt.entry_id, "enrich", NOW, 0)


def test_any_bytes_can_be_kept(journal: Journal, database: Database) -> None:
    receipt = journal.receive(make_delivery(body=b"a=\x00\xff%00", worker_name="é"), timeout_s=1)
    strange = Conclusion(Outcome.ENRICHED, attributes_before='{"a":"\ud800\0"}')
    journal.conclude(receipt.entry_id, strange, at=NOW, timeout_s=1, answer=ACCEPT)
    (row,) = database.read(select(EntryRow.__table__))
    assert (row.raw_form, row.attributes_before) == (r"a=\u0000\xff%00", r'{"a":"\ud800\u0000"}')


def test_an_endless_body_is_cut(journal: Journal, database: Database) -> None:
    journal.receive(make_delivery(body=b"x" * (MAX_FORM_BYTES + 5)), timeout_s=1)
    (row,) = database.read(select(EntryRow.raw_form))
    assert len(row.raw_form) == MAX_FORM_BYTES


def test_an_event_is_kept_and_nothing_about_it_is_open(journal: Journal, database: Database) -> None:
    journal.receive(make_delivery(kind=EntryKind.EVENT, delivery_key="EV" + "1" * 32), timeout_s=1)
    (row,) = database.read(select(EntryRow.concluded_at))
    assert row.concluded_at == NOW


def test_many_at_once_are_committed_together_and_each_gets_its_own(journal: Journal, database: Database) -> None:
    """Fifty deliveries, each sent three times; one of them had another answer before."""
    first = journal.receive(make_delivery(7), timeout_s=5, answer=DEFER)
    deliveries = [make_delivery(number) for number in range(50) for _ in range(3)]
    with ThreadPoolExecutor(30) as pool:
        receipts = list(pool.map(lambda one: journal.receive_grouped(one, timeout_s=30, answer=ACCEPT), deliveries))
    of_seven = [receipt for delivery, receipt in zip(deliveries, receipts, strict=True) if delivery == make_delivery(7)]
    assert {(receipt.entry_id, receipt.answer, receipt.is_repeat) for receipt in of_seven} == {
        (first.entry_id, DEFER, True)
    }
    assert [receipt.is_repeat for receipt in receipts].count(False) == 49
    assert len({receipt.entry_id for receipt in receipts}) == 50
    rows = database.read(select(EntryRow.repeats, EntryRow.answer))
    assert sorted(row.repeats for row in rows) == [2] * 49 + [3]


def test_one_of_many_is_kept_as_if_it_were_alone(journal: Journal, database: Database) -> None:
    """Every column, with what neither JSON nor PostgreSQL takes as it comes."""
    hostile = {
        "worker_name": "D\ud800\0na '\"\\",
        "event_type": "x" * 64,
        "body": b"a=\x00%00\xff'\"\\",
        "reason": Reason.OVERLOAD,
    }
    journal.receive(make_delivery(1, **hostile), timeout_s=5, answer=ACCEPT)
    journal.receive_grouped(make_delivery(2, **hostile), timeout_s=5, answer=ACCEPT)
    # As it lies in the database: what the types make of it when it is read would hide a difference.
    alone, one_of_many = database.read(text("SELECT * FROM entries ORDER BY id"))
    differ = {"id", "delivery_key", "reservation_sid", "task_sid", "claim"}
    assert {name: value for name, value in one_of_many._asdict().items() if name not in differ} == {
        name: value for name, value in alone._asdict().items() if name not in differ
    }


def test_many_without_a_key_stand_for_themselves(journal: Journal) -> None:
    keyless = make_delivery(delivery_key=None)
    ids = {journal.receive_grouped(keyless, timeout_s=5, answer=ACCEPT).entry_id for _ in range(3)}
    assert len(ids) == 3


def test_a_crowd_survives_a_commit_that_is_interrupted(database: Database) -> None:
    """It is committed with the next try; whoever asks again finds what stands there."""
    attempts: list[Sequence[Values]] = []

    def make_group(commit: Commit, **options: Any) -> GroupCommit:
        def interrupted_once(rows: Sequence[Values], timeout_s: float) -> Sequence[Receipt]:
            attempts.append(rows)
            if len(attempts) == 1:
                raise OutOfTime
            return commit(rows, timeout_s)

        return GroupCommit(interrupted_once, **options)

    journal = Journal(database, make_group=make_group)
    assert not journal.receive_grouped(make_delivery(1), timeout_s=5, answer=ACCEPT).is_repeat
    assert journal.receive_grouped(make_delivery(1), timeout_s=5, answer=DEFER).answer == ACCEPT
    assert len(attempts) == 3


def test_what_the_database_never_takes_is_named_in_the_log(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_rows: Sequence[Values], _timeout_s: float) -> Sequence[Receipt]:
        raise errors.SchemaMissing("no table")

    journal = Journal(database, make_group=lambda _commit, **options: GroupCommit(fails, **options))
    with pytest.raises(errors.SchemaMissing):
        journal.receive_grouped(make_delivery(1), timeout_s=5, answer=ACCEPT)
    journal.finish(5)
    record = next(each for each in caplog.records if each.message == "receipt not recorded")
    assert vars(record)["reservation_sid"] == make_delivery(1).reservation_sid
    assert vars(record)["reason"] == "schema_missing"


def test_what_is_done_later_stands_where_the_task_stood(journal: Journal, database: Database) -> None:
    """So that the feed, filtered by channel or queue, shows a task by its newest entry."""
    queue = "WQ" + "1" * 32
    journal.receive(make_delivery(task_channel="voice", task_queue_sid=queue), timeout_s=1)
    later = make_delivery(kind=EntryKind.LATE, delivery_key=None)
    finding = {"keys": [{"kind": "phone", "value": "+14155550100"}, {"kind": "email", "value": "a@example.com"}]}
    entry_id = journal.record(later, Conclusion(Outcome.ENRICHED, finding=finding), at=NOW)
    (row,) = database.read(select(EntryRow.__table__).where(EntryRow.id == entry_id))
    assert (row.task_channel, row.task_queue_sid, row.first_key) == ("voice", queue, "+14155550100")


def test_what_decided_is_kept_with_the_conclusion(journal: Journal, database: Database) -> None:
    decision = {"by": "rule", "name": "Gold", "when": "1==1"}
    for number, told in ((1, decision), (2, None)):
        receipt = journal.receive(make_delivery(number), timeout_s=1)
        conclusion = Conclusion(Outcome.ENRICHED, match=ADA, decision=told)
        journal.conclude(receipt.entry_id, conclusion, at=NOW, timeout_s=1, answer=ACCEPT)
    rows = database.read(select(EntryRow.decision).order_by(EntryRow.id))
    assert [row.decision for row in rows] == [decision, None]


def test_a_task_is_on_the_channel_that_its_newest_event_told(journal: Journal) -> None:
    """Callbacks do not carry it; of another task's events nothing is taken."""
    task_sid = "WT" + "7" * 32

    def receive(number: int, kind: EntryKind, channel: str | None, task_sid: str = task_sid) -> None:
        delivery = make_delivery(number, kind=kind, task_sid=task_sid, channel_unique_name=channel)
        journal.receive(delivery, timeout_s=1)

    assert journal.channel_of(task_sid) is None
    receive(1, EntryKind.ASSIGNMENT, None)
    receive(2, EntryKind.EVENT, "video", "WT" + "8" * 32)
    assert journal.channel_of(task_sid) is None
    receive(3, EntryKind.EVENT, "chat")
    receive(4, EntryKind.EVENT, "voice")  # moved, by a transfer for one
    receive(5, EntryKind.EVENT, None)
    assert journal.channel_of(task_sid) == "voice"


@pytest.mark.parametrize(
    ("guessed", "told", "channel"),
    [("", "callback", "callback"), ("voice", "Default", "default"), ("voice", "voice", "voice"), (None, "chat", "web")],
)
@pytest.mark.parametrize("event_is_first", [True, False])
@pytest.mark.parametrize("way", ["alone", "concluded", "late"])
def test_an_entry_is_on_the_channel_that_an_event_names(
    journal: Journal,
    database: Database,
    guessed: str | None,
    told: str,
    channel: str,
    way: str,
    *,
    event_is_first: bool,
) -> None:
    """Before the callback or after it; channelType (here web) says more than any event."""
    of_task: dict[str, Any] = {"task_sid": make_delivery().task_sid, "guessed_channel": guessed}
    named = told.lower() if guessed is not None else "web"
    event = make_delivery(
        2, kind=EntryKind.EVENT, delivery_key="EV" + "2" * 32, channel_unique_name=told, task_channel=named, **of_task
    )
    callback = make_delivery(
        task_channel="web" if guessed is None else guessed, task_queue_sid="WQ" + "1" * 32, **of_task
    )
    if event_is_first:
        journal.receive(event, timeout_s=1)
    if way == "concluded":
        journal.receive_concluded(callback, Conclusion(Outcome.ENRICHED), at=NOW, timeout_s=1, answer=ACCEPT)
    elif way == "alone":
        journal.receive(callback, timeout_s=1)
    else:
        journal.receive_grouped(callback, timeout_s=5, answer=DEFER)
    if not event_is_first:
        journal.receive(event, timeout_s=1)
        journal.receive(event, timeout_s=1)
    if way == "late":
        journal.record(make_delivery(kind=EntryKind.LATE, delivery_key=None), Conclusion(Outcome.ENRICHED), at=NOW)
    newest = select(EntryRow.task_channel).where(EntryRow.kind != EntryKind.EVENT).order_by(EntryRow.id.desc())
    assert database.read(newest)[0].task_channel == channel


def test_a_stored_callback_is_found_by_its_reservation_and_by_its_entry(journal: Journal) -> None:
    delivery = make_delivery(body=b"TaskSid=WT&TaskAttributes=%7B%7D")
    entry_id = journal.receive(delivery, timeout_s=1).entry_id
    found = [journal.stored_form(which) for which in (delivery.delivery_key or "", str(entry_id), "WR" + "9" * 32)]
    assert found == ["TaskSid=WT&TaskAttributes=%7B%7D"] * 2 + [""]
