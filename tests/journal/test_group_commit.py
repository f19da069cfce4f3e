"""Receipts that are committed together: who commits, who waits, and what each is told when something goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from enrich import errors
from enrich.domain.deadline import OutOfTime
from enrich.domain.deliveries import Receipt
from enrich.journal.group_commit import GroupCommit, Limits, Values
from tests.support.threads import first_unstartable

SOON_S = 20.0


class Ledger:
    """Commits rows, one call at a time, and holds each call until it may go on."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.is_held = threading.Event()
        self.may_go_on = threading.Event()
        self.failures: dict[str, list[BaseException]] = {}  # by the first of the rows

    def commit(self, rows: Sequence[Values], _timeout_s: float) -> Sequence[Receipt]:
        known = {key for call in self.calls for key in call}
        self.calls.append([row["delivery_key"] for row in rows])
        self.is_held.set()
        assert self.may_go_on.wait(SOON_S)
        if failures := self.failures.get(rows[0]["delivery_key"]):
            raise failures.pop(0)
        return [Receipt(1, row["delivery_key"] in known, "{}", False) for row in rows]


Ask = Callable[..., "Future[Receipt]"]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def given_up() -> list[str]:
    return []


@pytest.fixture
def many(request: pytest.FixtureRequest, ledger: Ledger, given_up: list[str]) -> GroupCommit:
    """One that pauses nowhere. Parametrized indirectly with further limits."""
    return GroupCommit(
        ledger.commit,
        on_failure=lambda rows, _error: given_up.extend(str(row["delivery_key"]) for row in rows),
        limits=Limits(gather_s=0.0, pause_s=0.0, **getattr(request, "param", {})),
    )


@pytest.fixture
def ask(many: GroupCommit, ledger: Ledger) -> Iterator[Ask]:
    """Puts a row into a batch, and waits for its receipt in a thread."""
    with ThreadPoolExecutor(300) as pool:

        def ask(key: str, timeout_s: float = SOON_S) -> Future[Receipt]:
            values = {"delivery_key": key}
            return pool.submit(many.join(values).receipt_of, values, timeout_s=timeout_s)

        yield ask
        ledger.may_go_on.set()


def held_by_one(ledger: Ledger, ask: Ask) -> Future[Receipt]:
    first = ask("first")
    assert ledger.is_held.wait(SOON_S)
    return first


def test_who_comes_while_one_is_committing_is_committed_next_and_together(ledger: Ledger, ask: Ask) -> None:
    first = held_by_one(ledger, ask)
    others = [ask(f"{number}") for number in range(20)]
    ledger.may_go_on.set()
    assert all(not future.result(SOON_S).is_repeat for future in (first, *others))
    assert ledger.calls == [["first"], [f"{number}" for number in range(20)]]


@pytest.mark.parametrize("many", [{"rows_per_batch": 3}], indirect=True)
def test_no_more_than_may_be_are_committed_at_once(ledger: Ledger, ask: Ask) -> None:
    held_by_one(ledger, ask)
    others = [ask(f"{number}") for number in range(7)]
    ledger.may_go_on.set()
    assert all(future.result(SOON_S) for future in others)
    assert sorted(len(call) for call in ledger.calls) == [1, 1, 3, 3]


def test_the_same_delivery_twice_in_a_batch_is_committed_twice(ledger: Ledger, ask: Ask) -> None:
    """The second is a repeat, which the database counts: it must not be told the first one's receipt."""
    held_by_one(ledger, ask)
    once, again = ask("same"), ask("same")
    ledger.may_go_on.set()
    assert [once.result(SOON_S).is_repeat, again.result(SOON_S).is_repeat] == [False, True]
    assert ledger.calls == [["first"], ["same"], ["same"]]


def test_a_database_that_is_locked_full_or_gone_is_asked_again(ledger: Ledger, ask: Ask) -> None:
    failures = errors.DatabaseLocked(""), errors.DatabaseNotWritable(""), errors.DatabaseCircuitOpen("")
    ledger.failures = {"one": [*failures]}
    ledger.may_go_on.set()
    assert ask("one").result(SOON_S)
    assert ledger.calls == [["one"]] * 4


def test_what_would_fail_again_is_told_to_all(ledger: Ledger, ask: Ask) -> None:
    held_by_one(ledger, ask)
    others = [ask(f"{number}") for number in range(3)]
    ledger.failures = {"0": [errors.SchemaMissing("no table")]}
    ledger.may_go_on.set()
    for future in others:
        with pytest.raises(errors.SchemaMissing, match="no table"):
            future.result(SOON_S)


@pytest.mark.parametrize(
    "failures",
    [[errors.DatabaseLocked("")], [errors.DatabaseCircuitOpen("")], [OutOfTime()]],
    ids=repr,
)
@pytest.mark.parametrize("many", [{"patience_s": 0.0}], indirect=True, ids=["no-patience"])
def test_what_is_asked_again_in_vain_is_given_up(
    ledger: Ledger, ask: Ask, given_up: list[str], failures: list[BaseException]
) -> None:
    ledger.failures = {"one": failures}
    ledger.may_go_on.set()
    with pytest.raises(errors.DatabaseError):
        ask("one").result(SOON_S)
    assert ask("another").result(SOON_S)  # and for this one, others are not given up
    assert given_up == ["one"]


def test_a_mistake_does_not_keep_the_others_from_being_recorded(
    ledger: Ledger, ask: Ask, given_up: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    ledger.failures = {"one": [RuntimeError("a mistake")]}
    ledger.may_go_on.set()
    with pytest.raises(errors.DatabaseError, match="RuntimeError"):
        ask("one").result(SOON_S)
    assert ask("another").result(SOON_S)
    assert given_up == ["one"]
    assert "receipts failed" in caplog.text


def test_whose_turn_does_not_come_in_time_is_recorded_later(ledger: Ledger, ask: Ask, given_up: list[str]) -> None:
    first = held_by_one(ledger, ask)
    for key in ("opens the next batch", "joins it"):
        with pytest.raises(errors.NotYetRecorded):
            ask(key, timeout_s=0.02).result(SOON_S)
    after_them = ask("is in time")
    ledger.may_go_on.set()
    assert first.result(SOON_S)
    assert after_them.result(SOON_S)
    assert ledger.calls == [["first"], ["opens the next batch", "joins it", "is in time"]]
    assert given_up == []


@pytest.mark.parametrize("many", [{"rows_per_batch": 1, "waiting_batches": 2}], indirect=True)
def test_there_is_an_end_to_those_who_wait(ledger: Ledger, ask: Ask) -> None:
    held_by_one(ledger, ask)
    waiting = [ask("second"), ask("third")]
    with pytest.raises(errors.DatabaseUnavailable, match="too many"):
        ask("too many").result(SOON_S)
    ledger.may_go_on.set()
    assert all(future.result(SOON_S) for future in waiting)


def test_who_ends_waits_until_all_is_recorded(many: GroupCommit, ledger: Ledger, ask: Ask) -> None:
    many.finish(SOON_S)  # there was never anybody
    held_by_one(ledger, ask)
    with pytest.raises(errors.NotYetRecorded):
        ask("answered already", timeout_s=0.0).result(SOON_S)
    many.finish(0.02)  # not for ever
    assert ledger.calls == [["first"]]
    ledger.may_go_on.set()
    many.finish(SOON_S)
    assert ledger.calls == [["first"], ["answered already"]]
    assert ask("comes after that").result(SOON_S)


def test_full_batches_are_committed_beside_each_other() -> None:
    """Most of the time a commit waits, on a busy process for its own turns."""
    second_begins = threading.Event()
    calls: list[list[str]] = []

    def commit(rows: Sequence[Values], _timeout_s: float) -> Sequence[Receipt]:
        calls.append([row["delivery_key"] for row in rows])
        if len(calls) == 2:
            second_begins.set()
        assert second_begins.wait(SOON_S)
        return [Receipt(1, False, "{}", False) for _ in rows]

    limits = Limits(gather_s=0.0, pause_s=0.0, rows_per_batch=2, workers=2)
    many = GroupCommit(commit, limits=limits)
    # Of six, two batches wait behind the first, even if it begins with one row.
    rows = [{"delivery_key": key} for key in "abcdef"]
    batches = [many.join(values) for values in rows]
    for batch, values in zip(batches, rows, strict=True):
        assert batch.receipt_of(values, timeout_s=SOON_S)
    many.finish(SOON_S)
    assert sorted(key for call in calls for key in call) == list("abcdef")


def test_where_no_thread_can_be_started_the_next_one_sees_to_it(ledger: Ledger) -> None:
    ledger.may_go_on.set()
    many = GroupCommit(ledger.commit, limits=Limits(gather_s=0.0, pause_s=0.0), make_thread=first_unstartable())
    with pytest.raises(errors.NotYetRecorded):
        many.receive({"delivery_key": "first"}, timeout_s=SOON_S)
    assert many.receive({"delivery_key": "second"}, timeout_s=SOON_S)
    assert ledger.calls == [["first", "second"]]
