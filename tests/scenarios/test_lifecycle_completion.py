"""The work is over: wrapped up, completed, kept in the history; each once, whoever asks and how often."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.customers.store import CustomerStore
from enrich.domain.matches import Interaction
from enrich.domain.outcomes import ActivityType
from enrich.services import Services
from tests.support.app import run_command
from tests.support.contact_centre import ContactCentre, Service, sid
from tests.support.worker import app_of, services_of, worker_of

EVENTS = ",".join(
    (
        "task.created",
        "task.updated",
        "task.wrapup",
        "task.completed",
        "task.canceled",
        "reservation.accepted",
        "reservation.wrapup",
        "reservation.completed",
    )
)
HERE = Path(__file__).parents[2]
SOON = timedelta(seconds=5)


@pytest.fixture
def centre(open_centre: Callable[..., ContactCentre], service: Service) -> ContactCentre:
    return open_centre(service, events=EVENTS)


def taken_up(centre: ContactCentre, caller: str = "+14155550100") -> str:
    """A task that a worker has accepted; the service knows."""
    task_sid = centre.task_arrives({"from": caller})
    centre.answer(task_sid)
    told(centre, task_sid, "reservation.accepted")
    return task_sid


def told(centre: ContactCentre, task_sid: str, *event_types: str) -> None:
    for event_type in event_types:
        centre.emulator.log.wait_for("event_answered", 10, task_sid=task_sid, event_type=event_type)


def status(centre: ContactCentre, task_sid: str) -> str:
    return str(centre.workspace.tasks(task_sid).fetch().assignment_status)


def flask(service: Service, *command: str) -> tuple[int, str]:
    """The exit status and the output of a command, as an operator gives it."""
    with app_of(service) as app:
        return run_command(app, *command)


def work_later(service: Service) -> None:
    with worker_of(service, later=SOON) as work:
        work()


def history(service: Service, customer_id: str, task_sid: str) -> list[Interaction]:
    kept = CustomerStore(service.database).interactions_of(customer_id, at_most=1000)
    return [each for each in kept if each.task_sid == task_sid]


def story(service: Service, task_sid: str) -> list[str]:
    return [entry.event_type for entry in service.entries(task_sid=task_sid) if entry.event_type in set(ActivityType)]


def test_a_command_completes_with_an_outcome_that_is_kept(centre: ContactCentre, service: Service) -> None:
    task_sid = taken_up(centre)
    code, output = flask(service, "taskrouter", "complete", task_sid, "--outcome", "refunded", "--reason", "all said")
    assert (code, output.splitlines()[-1:]) == (0, ["done"]), output
    task = centre.workspace.tasks(task_sid).fetch()
    assert (task.assignment_status, task.reason) == ("completed", "all said")
    assert centre.block(task_sid)["outcome"] == "refunded"
    # First the attributes, then the status, and never both in one request.
    kinds = centre.log_of(task_sid)
    assert kinds.index("task_completed") > max(at for at, kind in enumerate(kinds) if kind == "attributes_written")

    told(centre, task_sid, "task.completed")
    work_later(service)
    (kept,) = history(service, "C-1001", task_sid)
    assert (kept.worker_name, kept.channel, kept.outcome, kept.reason) == ("dana", "default", "refunded", "all said")
    assert kept.lasted_s is not None
    assert kept.lasted_s < 60
    assert story(service, task_sid) == [
        ActivityType.COMPLETION_ASKED,
        ActivityType.OUTCOME,
        ActivityType.COMPLETED,
        ActivityType.HISTORY,
    ]


def test_what_is_done_already_is_well_and_what_nobody_accepted_is_not(
    open_centre: Callable[..., ContactCentre], start_service: Callable[..., Service]
) -> None:
    service = start_service(ENRICH_DEFAULT_INSTRUCTION="defer")
    centre = open_centre(service, events=EVENTS)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    refused = flask(service, "taskrouter", "complete", task_sid)
    assert (refused[0], "not_assigned" in refused[1]) == (1, True)
    assert status(centre, task_sid) == "reserved"

    reservations = centre.workspace.tasks(task_sid).reservations
    reservations(reservations.list()[0].sid).update(reservation_status="accepted")
    for command, expected in (("wrap-up", "wrapping"), ("wrap-up", "wrapping"), ("complete", "completed")):
        assert flask(service, "taskrouter", command, task_sid)[0] == 0
        assert status(centre, task_sid) == expected
    assert flask(service, "taskrouter", "complete", task_sid)[0] == 0
    assert flask(service, "taskrouter", "wrap-up", task_sid)[0] == 0
    gone = flask(service, "taskrouter", "complete", sid("WT"), "--workspace", centre.workspace_sid)
    assert gone[0] == 0
    nowhere = flask(service, "taskrouter", "complete", sid("WT"))
    assert (nowhere[0], "--workspace" in nowhere[1]) == (2, True)
    assert flask(service, "taskrouter", "complete", "WT1")[0] == 2


def test_one_workers_part_is_completed_alone(centre: ContactCentre, service: Service) -> None:
    task_sid = taken_up(centre)
    reservation = centre.workspace.tasks(task_sid).reservations.list()[0]
    for command, expected in (("wrap-up", "wrapping"), ("complete", "completed"), ("complete", "completed")):
        assert flask(service, "taskrouter", command, task_sid, "--reservation", reservation.sid)[0] == 0
        assert reservation.fetch().reservation_status == expected


class TestPage:
    PASSWORD = "not a real password"

    @pytest.fixture
    def sign_in(self, service: Service) -> Callable[[Role], requests.Session]:
        def sign_in(role: Role) -> requests.Session:
            email = f"{role}@completion.example.test"
            users.add(service.database, email=email, role=role, password=self.PASSWORD, name="")
            session = requests.Session()
            form = session.get(f"{service.url}/login", timeout=10).text
            answered = session.post(
                f"{service.url}/login",
                data={"email": email, "password": self.PASSWORD, "csrf_token": _token(form)},
                timeout=10,
            )
            assert answered.url == f"{service.url}/"
            return session

        return sign_in

    def test_an_editor_completes_from_the_task(
        self, centre: ContactCentre, service: Service, sign_in: Callable[[Role], requests.Session]
    ) -> None:
        task_sid = taken_up(centre)
        session = sign_in(Role.EDITOR)
        page = session.get(f"{service.url}/tasks/{task_sid}", timeout=10).text
        assert "Wrap up or complete" in page
        wrapped = session.post(f"{service.url}/tasks/{task_sid}/wrap-up", data={"csrf_token": _token(page)}, timeout=20)
        assert "It is wrapped up." in wrapped.text
        assert status(centre, task_sid) == "wrapping"
        form = {"csrf_token": _token(page), "outcome": "sold", "reason": ""}
        answered = session.post(f"{service.url}/tasks/{task_sid}/complete", data=form, timeout=20)
        assert answered.url == f"{service.url}/tasks/{task_sid}"
        assert "It is completed." in answered.text
        assert status(centre, task_sid) == "completed"
        told(centre, task_sid, "task.completed")
        assert "Wrap up or complete" not in session.get(f"{service.url}/tasks/{task_sid}", timeout=10).text
        work_later(service)
        assert [each.outcome for each in history(service, "C-1001", task_sid)] == ["sold"]
        customer = session.get(f"{service.url}/customers/C-1001", timeout=10).text
        assert f'<a href="/tasks/{task_sid}">' in customer
        assert "<td><bdi>sold</bdi></td>" in customer

    def test_a_viewer_and_a_forged_form_do_not(
        self, centre: ContactCentre, service: Service, sign_in: Callable[[Role], requests.Session]
    ) -> None:
        task_sid = taken_up(centre)
        viewer, editor = sign_in(Role.VIEWER), sign_in(Role.EDITOR)
        page = viewer.get(f"{service.url}/tasks/{task_sid}", timeout=10).text
        assert "Wrap up or complete" not in page
        address = f"{service.url}/tasks/{task_sid}/complete"
        assert viewer.post(address, data={"csrf_token": _token(page)}, timeout=10).status_code == 403
        assert editor.post(address, data={}, timeout=10).status_code == 400
        assert requests.post(address, data={}, timeout=10).status_code == 400
        assert status(centre, task_sid) == "assigned"

    def test_what_taskrouter_does_not_take_now_is_done_later(
        self, centre: ContactCentre, service: Service, sign_in: Callable[[Role], requests.Session]
    ) -> None:
        task_sid = taken_up(centre)
        session = sign_in(Role.EDITOR)
        page = session.get(f"{service.url}/tasks/{task_sid}", timeout=10).text
        centre.emulator.faults.status(503, path=f"/Tasks/{task_sid}")
        form = {"csrf_token": _token(page), "outcome": "sold"}
        answered = session.post(f"{service.url}/tasks/{task_sid}/complete", data=form, timeout=20)
        assert "It could not be completed yet." in answered.text
        centre.emulator.faults.clear()
        work_later(service)
        assert status(centre, task_sid) == "completed"


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def tidy(start_service: Callable[..., Service], tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A service that completes what wraps for a minute."""
    policy: Path = tmp_path_factory.mktemp("policy") / "policy.toml"
    policy.write_text('[wrapup]\ncomplete_after_s = 60\nreason = "nobody did"\n')
    return start_service(ENRICH_POLICY=str(policy))


def test_the_policy_completes_what_wraps_for_too_long(open_centre: Callable[..., ContactCentre], tidy: Service) -> None:
    centre = open_centre(tidy, events=EVENTS)
    task_sid = taken_up(centre)
    centre.workspace.tasks(task_sid).update(assignment_status="wrapping")
    told(centre, task_sid, "task.wrapup", "reservation.wrapup")
    for later, expected in ((timedelta(seconds=50), "wrapping"), (timedelta(seconds=61), "completed")):
        with worker_of(tidy, later=later) as work:
            work()
        assert status(centre, task_sid) == expected
    assert centre.workspace.tasks(task_sid).fetch().reason == "nobody did"
    assert story(tidy, task_sid).count(ActivityType.COMPLETED) == 1


def test_what_is_taken_up_again_meanwhile_is_left_alone(
    open_centre: Callable[..., ContactCentre], tidy: Service
) -> None:
    """Only what is still wrapping is completed: here the event tells of another moment than the one that is now."""
    centre = open_centre(tidy, events=EVENTS)
    task_sid = taken_up(centre)
    form = {"Sid": sid("EV"), "EventType": "task.wrapup", "TaskSid": task_sid, "WorkspaceSid": centre.workspace_sid}
    assert tidy.post("/taskrouter/events", form).status_code == 204
    with worker_of(tidy, later=timedelta(seconds=61)) as work:
        work()
    assert status(centre, task_sid) == "assigned"


@pytest.fixture
def services(tidy: Service) -> Iterator[Services]:
    with services_of(tidy) as services:
        yield services


def test_the_janitor_finds_what_no_event_told_of(
    open_centre: Callable[..., ContactCentre], tidy: Service, services: Services
) -> None:
    centre = open_centre(tidy)  # no events at all
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    centre.emulator.log.wait_for("reservation_accepted", 10, task_sid=task_sid)
    centre.workspace.tasks(task_sid).update(assignment_status="wrapping")

    def look(after_s: int) -> int:
        now = centre.emulator.clock.now() + timedelta(seconds=after_s)
        return services.completion.find_stuck(centre.workspace_sid, now)

    assert look(30) == 0
    assert look(90) == look(90) == 1
    work_later(tidy)
    assert status(centre, task_sid) == "completed"
    assert look(90) == 0
    assert story(tidy, task_sid) == [ActivityType.STUCK, ActivityType.COMPLETED]


def test_an_unknown_caller_has_no_history(centre: ContactCentre, service: Service) -> None:
    task_sid = taken_up(centre, caller="+14155550199")
    centre.workspace.tasks(task_sid).update(assignment_status="completed", reason="done")
    told(centre, task_sid, "task.completed", "reservation.completed")
    work_later(service)
    assert ActivityType.HISTORY not in story(service, task_sid)
    finished: Any = [row for row in service.owed(task_sid) if row.kind == "finished"]
    assert [row.done_at is not None for row in finished] == [True]
