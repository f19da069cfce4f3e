"""Event callbacks are kept, once each, and answered with 204."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.contact_centre import ContactCentre, Service, sid


def test_what_taskrouter_tells_is_in_the_journal(open_centre: Callable[..., ContactCentre], service: Service) -> None:
    centre = open_centre(service, events="task.created,reservation.created")
    task_sid = centre.task_arrives({"from": "+14155550100"})
    for event_type in ("task.created", "reservation.created"):
        answered = centre.emulator.log.wait_for("event_answered", 10, task_sid=task_sid, event_type=event_type)
        assert answered["status"] == 204
    kept = {entry.event_type for entry in service.entries(task_sid=task_sid, kind="event")}
    assert kept == {"task.created", "reservation.created"}


def test_an_event_that_is_sent_twice_is_kept_once(service: Service) -> None:
    form = {"Sid": sid("EV"), "EventType": "task.created", "TaskSid": sid("WT"), "WorkspaceSid": sid("WS")}
    for _ in range(2):
        response = service.post("/taskrouter/events", form)
        assert (response.status_code, response.content) == (204, b"")
    (entry,) = service.entries(task_sid=form["TaskSid"])
    assert entry.repeats == 1


def test_an_event_of_an_unknown_type_is_kept_too(service: Service) -> None:
    form = {"Sid": sid("EV"), "EventType": "something.new" * 20, "TaskSid": sid("WT")}
    assert service.post("/taskrouter/events", form).status_code == 204
    assert len(service.entries(task_sid=form["TaskSid"])) == 1
