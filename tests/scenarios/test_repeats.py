"""The same question asked again: at once, at the same time, later, and through the fallback."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from enrich.domain.deliveries import Delivery
from enrich.domain.outcomes import EntryKind
from enrich.journal.followups import ABANDONED_AFTER, FollowupQueue
from enrich.journal.receipts import Journal
from tests.support.contact_centre import ContactCentre, Service, sid

ASSIGNMENT = "/taskrouter/assignment"
FALLBACK = "/taskrouter/assignment/fallback"


def _callback(centre: ContactCentre, make_callback: Callable[..., dict[str, str]], **attributes: str) -> dict[str, str]:
    """A callback for a task that is really there, and that nobody has been asked about."""
    centre.workspace.workers(centre.worker_sid).update(
        activity_sid=next(each.sid for each in centre.workspace.activities.list() if not each.available)
    )
    task_sid = centre.task_arrives(attributes)
    return make_callback(WorkspaceSid=centre.workspace_sid, TaskSid=task_sid, TaskAttributes=json.dumps(attributes))


def test_twenty_at_once_make_one_write_and_get_one_answer(
    centre: ContactCentre, service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    """The service runs in two processes: the claim is in the database."""
    centre.emulator.faults.latency(0.2)
    form = _callback(centre, make_callback, **{"from": "+14155550100"})
    with ThreadPoolExecutor(20) as pool:
        answers = {answer.text for answer in pool.map(lambda _: service.post(ASSIGNMENT, form), range(20))}
    assert answers == {'{"instruction":"accept"}'}
    assert centre.log_of(form["TaskSid"]).count("attributes_written") == 1
    (entry,) = service.entries(task_sid=form["TaskSid"])
    assert entry.repeats == 19


def test_the_stored_answer_is_the_one_that_is_sent_later(
    centre: ContactCentre, service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    """Even when the second callback would have been answered otherwise."""
    form = _callback(centre, make_callback, **{"from": "+14155550100"})
    assert service.post(ASSIGNMENT, form).json() == {"instruction": "accept"}
    changed = form | {"TaskAttributes": json.dumps({"call_sid": "CA" + "1" * 32})}
    assert service.post(ASSIGNMENT, changed).json() == {"instruction": "accept"}
    assert service.post(FALLBACK, changed).json() == {"instruction": "accept"}
    assert centre.log_of(form["TaskSid"]).count("attributes_written") == 1


def test_the_fallback_alone_answers_the_default_and_owes_the_enrichment(
    centre: ContactCentre, service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    form = _callback(centre, make_callback, **{"from": "+14155550100", "call_sid": "CA" + "1" * 32})
    assert service.post(FALLBACK, form).json() == {}
    (entry,) = service.entries(task_sid=form["TaskSid"])
    assert (entry.kind, entry.answer, entry.concluded_at) == ("fallback", "{}", None)
    assert "attributes_written" not in centre.log_of(form["TaskSid"])


def test_the_fallback_does_not_wait_for_the_first_try(
    centre: ContactCentre, service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    """The first try, once it ends, gives the same answer as the fallback gave."""
    form = _callback(centre, make_callback, **{"from": "+14155550100"})
    fault = centre.emulator.faults.latency(30, times=1, path="/Tasks/WT")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(service.post, ASSIGNMENT, form)
        centre.emulator.log.wait_for("fault_struck", 10, fault_id=fault.id)
        deferred = form | {"TaskAttributes": json.dumps({"call_sid": "CA" + "1" * 32})}
        assert service.post(FALLBACK, deferred).json() == {}
        centre.emulator.faults.clear()
        assert first.result().json() == {}
    (entry,) = service.entries(task_sid=form["TaskSid"])
    assert (entry.outcome, entry.answer) == ("enriched", "{}")


def test_a_repeat_of_a_try_that_died_does_not_wait_for_it(
    centre: ContactCentre, service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    """The worker has found the receipt without conclusion; nobody is going to answer it any more."""
    form = _callback(centre, make_callback, **{"from": "+14155550100"})
    died = Delivery(
        EntryKind.ASSIGNMENT, datetime.now(UTC) - 2 * ABANDONED_AFTER, form["ReservationSid"], task_sid=form["TaskSid"]
    )
    Journal(service.database).receive(died, timeout_s=5)
    FollowupQueue(service.database).adopt_abandoned(datetime.now(UTC))
    response = service.post(ASSIGNMENT, form)
    assert response.json() == {"instruction": "accept"}
    (entry,) = service.entries(task_sid=form["TaskSid"])
    assert (entry.reason, entry.answer) == ("interrupted", '{"instruction":"accept"}')


def test_two_reservations_of_one_task_at_once_need_one_write(
    centre: ContactCentre, service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    """Both read, both want to write the same; whoever comes second finds it written."""
    first = _callback(centre, make_callback, **{"from": "+14155550100"})
    forms = [first, *(first | {"ReservationSid": sid("WR")} for _ in range(5))]
    centre.emulator.faults.latency(0.2)
    with ThreadPoolExecutor(len(forms)) as pool:
        answers = [answer.json() for answer in pool.map(lambda form: service.post(ASSIGNMENT, form), forms)]
    assert answers == [{"instruction": "accept"}] * len(forms)
    assert centre.log_of(first["TaskSid"]).count("attributes_written") == 1
    entries = service.entries(task_sid=first["TaskSid"])
    assert [entry.outcome for entry in entries] == ["enriched"] * len(forms)
