"""Another program writes attributes without `If-Match` and undoes us: noticed, put back, and never in a circle."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from enrich.cli import doctor
from enrich.domain.deadline import Deadline
from enrich.domain.deliveries import Delivery
from enrich.domain.findings import Level
from enrich.domain.outcomes import ActivityType, EntryKind, FollowupKind
from enrich.flows.enrichment import TaskRef
from enrich.flows.restoration import MAX_TRIES, PAUSES
from enrich.flows.run import EnrichmentRun
from enrich.journal import timeline
from enrich.journal.task_states import TaskStates
from enrich.services import Services, flows_of
from tests.support.app import run_command
from tests.support.app import services_of as services_in
from tests.support.contact_centre import ContactCentre, Service, sid
from tests.support.worker import app_of, services_of

CASE = Path(__file__).parents[1] / "cases" / "taskrouter" / "10-block-lost-to-another-writer.json"
EVENTS = "task.created,task.updated,task.completed,reservation.created"
CALLER = {"from": "+14155550100"}


@dataclass
class Worker:
    """A worker whose clock is turned by hand, from now on."""

    services: Services
    later: timedelta = timedelta(0)

    def work(self, later: timedelta = timedelta(0)) -> None:
        """Let this much time pass, and do what is due."""
        self.later += later
        now = datetime.now(UTC) + self.later
        dispatcher = flows_of(replace(self.services.adapters, now=lambda: now), self.services.rules)["dispatcher"]
        while dispatcher.run_batch():
            pass

    def counted(self, result: str) -> float:
        text = self.services.metrics.exposition({}).decode()
        return float(re.findall(rf'enrich_restorations_total{{result="{result}"}} (\S+)', text)[0])


@contextmanager
def worker_of(service: Service) -> Iterator[Worker]:
    with services_of(service) as services:
        yield Worker(services)


@dataclass
class Overwritten:
    """A contact centre in which another program writes attributes, and the service that hears of it."""

    service: Service
    centre: ContactCentre

    def enriched_task(self, attributes: dict[str, Any] | None = None) -> str:
        """The SID of a task that a callback has enriched and deferred, once our own write has come back."""
        task_sid = self.centre.task_arrives({**(attributes or CALLER), "flexInteractionSid": "KD" + "0" * 32})
        assert self.centre.answer(task_sid) == {}
        self.heard(task_sid, 0)
        return task_sid

    def heard(self, task_sid: str, after: int) -> None:
        """Wait until the service has taken a `task.updated` of this task."""
        log = self.centre.emulator.log
        log.wait_for("event_answered", 10, after=after, task_sid=task_sid, event_type="task.updated")

    def overwrite(self, task_sid: str, text: str = '{"from":"+14155550100","ui":1}') -> None:
        """Write attributes as a program does that knows nothing of `If-Match`, nor of us."""
        last = self.centre.emulator.log.last
        self.centre.workspace.tasks(task_sid).update(attributes=text)
        self.heard(task_sid, last)

    def work(self, worker: Worker, task_sid: str, later: timedelta = timedelta(seconds=2)) -> bool:
        """Let the worker work this much later; return whether it wrote, once that has come back."""
        last = self.centre.emulator.log.last
        worker.work(later)
        wrote = bool(self.centre.emulator.log.entries("attributes_written", after=last, task_sid=task_sid))
        if wrote:
            self.heard(task_sid, last)
        return wrote

    def activities(self, task_sid: str) -> list[str]:
        told = (ActivityType.RESTORED, ActivityType.OVERWRITTEN)
        return [entry.event_type for entry in self.service.entries(task_sid=task_sid) if entry.event_type in told]

    def owed(self, task_sid: str) -> list[Any]:
        return [row for row in self.service.owed(task_sid) if row.kind == FollowupKind.RESTORE]


@pytest.fixture
def there(start_service: Callable[..., Service], open_centre: Callable[..., ContactCentre]) -> Overwritten:
    service = start_service(ENRICH_KEEP_DAYS="41")  # of these tests alone
    return Overwritten(service, open_centre(service, events=EVENTS))


def test_the_case_from_the_field(there: Overwritten, tmp_path: Path) -> None:
    case = json.loads(CASE.read_text())
    ours, theirs = (json.loads(re.findall(r"\{.*\}", step)[0]) for step in case["steps"][:2])
    (customer,) = case["customers"]
    (tmp_path / "customers.json").write_text(json.dumps(case["customers"]))
    with app_of(there.service) as app:
        assert run_command(app, "crm", "seed", str(tmp_path / "customers.json"))[0] == 0
    task_sid = there.centre.task_arrives(ours)
    assert there.centre.answer(task_sid) == {}
    there.heard(task_sid, 0)
    block = there.centre.block(task_sid)
    assert block["customer_id"] == customer["id"]

    there.overwrite(task_sid, json.dumps(theirs))
    assert there.centre.block(task_sid) is None
    with worker_of(there.service) as worker:
        assert there.work(worker, task_sid)
        assert worker.counted("restored") == 1
    assert json.loads(there.centre.attributes(task_sid)) == {**theirs, "crm": block}
    assert there.activities(task_sid) == [ActivityType.RESTORED]


def test_what_the_other_program_wrote_stays_to_the_letter(there: Overwritten) -> None:
    task_sid = there.enriched_task()
    theirs = '{ "from" : "+14155550100", "n":1e400, "ui" : [1, 2.50] }'
    there.overwrite(task_sid, theirs)
    with worker_of(there.service) as worker:
        there.work(worker, task_sid)
    assert there.centre.attributes(task_sid).startswith(theirs[:-2] + ',"crm":{"match":"matched"')


def test_our_own_write_comes_back_and_owes_nothing(there: Overwritten) -> None:
    task_sid = there.enriched_task()
    assert there.owed(task_sid) == []
    there.overwrite(task_sid)
    with worker_of(there.service) as worker:
        assert there.work(worker, task_sid)
        (done,) = there.owed(task_sid)
        assert (done.due_at, done.done_at is not None) == (None, True)
        assert not there.work(worker, task_sid, timedelta(hours=1))


def test_a_writer_who_keeps_the_block_owes_nothing(there: Overwritten) -> None:
    task_sid = there.enriched_task()
    there.overwrite(task_sid, json.dumps(json.loads(there.centre.attributes(task_sid)) | {"ui": 2}, indent=1))
    assert there.owed(task_sid) == []


@pytest.mark.parametrize(
    "theirs",
    [
        pytest.param('{"from":"+14155550100"}', id="without-it"),
        pytest.param('{"from":"+14155550100","crm":null}', id="null"),
        pytest.param('{"from":"+14155550100","crm":{}}', id="empty"),
        pytest.param('{"from":"+14155550100","crm":"gold"}', id="a-word"),
        pytest.param('{"from":"+14155550100","crm":{"match":"none","reason":"no_key"}}', id="an-old-copy"),
        pytest.param('{"from":"+14155550100","crm":{"match":"matched","customer_id":"C-1002"}}', id="somebody-else"),
        pytest.param('{"from":"+14155550100","x":{"crm":{"match":"matched"}}}', id="deeper-down"),
        pytest.param('{"from":"+14155550100","note":"\\"crm\\":{\\"match\\""}', id="in-a-text"),
        pytest.param('{"from":"+14155550100","crm":{"match":"none"},"crm":0}', id="twice-and-the-last-counts"),
    ],
)
def test_however_it_is_lost_it_stands_again(there: Overwritten, theirs: str) -> None:
    task_sid = there.enriched_task()
    there.overwrite(task_sid, theirs)
    with worker_of(there.service) as worker:
        assert there.work(worker, task_sid)
    assert there.centre.block(task_sid)["customer_id"] == "C-1001"


def test_what_staff_decided_is_not_undone_by_an_old_copy(there: Overwritten) -> None:
    """The other program read the task before, and writes back what it read."""
    task_sid = there.enriched_task()
    before = there.centre.attributes(task_sid)
    last = there.centre.emulator.log.last
    with app_of(there.service) as app:
        TaskStates(there.service.database).keep(task_sid, there.centre.workspace_sid, datetime.now(UTC), outcome="sold")
        services = services_in(app)
        run = EnrichmentRun()
        ref = TaskRef(there.centre.workspace_sid, task_sid, has_marks=True)
        with services.enricher.recording(run, 5, "test"):
            services.enricher.enrich(run, ref, Deadline.after(5))
        services.adapters.journal.record(
            Delivery(EntryKind.STAFF, datetime.now(UTC), workspace_sid=there.centre.workspace_sid, task_sid=task_sid),
            run.conclusion(1.0),
            at=datetime.now(UTC),
        )
    there.heard(task_sid, last)
    assert there.centre.block(task_sid)["outcome"] == "sold"
    there.overwrite(task_sid, before)
    assert "outcome" not in there.centre.block(task_sid)
    with worker_of(there.service) as worker:
        assert there.work(worker, task_sid)
    assert there.centre.block(task_sid)["outcome"] == "sold"


def test_several_writes_in_a_row_are_one_look(there: Overwritten) -> None:
    task_sid = there.enriched_task()
    for number in range(5):
        there.overwrite(task_sid, json.dumps({**CALLER, "step": number}))
    assert len(there.owed(task_sid)) == 1
    with worker_of(there.service) as worker:
        assert there.work(worker, task_sid)
    assert there.activities(task_sid) == [ActivityType.RESTORED]


def test_an_event_that_comes_late_changes_nothing(there: Overwritten) -> None:
    """It tells of a text without our block, which has stood on the task since."""
    task_sid = there.enriched_task()
    form = {
        "Sid": sid("EV"),
        "EventType": "task.updated",
        "TaskSid": task_sid,
        "WorkspaceSid": there.centre.workspace_sid,
        "TaskAttributes": json.dumps(CALLER),
    }
    assert there.service.post("/taskrouter/events", form).status_code == 204
    assert len(there.owed(task_sid)) == 1
    with worker_of(there.service) as worker:
        assert not there.work(worker, task_sid)
    assert there.activities(task_sid) == []


def test_the_second_time_it_waits_and_no_event_makes_it_hurry(there: Overwritten) -> None:
    task_sid = there.enriched_task()
    with worker_of(there.service) as worker:
        there.overwrite(task_sid)
        assert there.work(worker, task_sid)
        for _ in range(3):
            there.overwrite(task_sid)
            assert not there.work(worker, task_sid)
        assert there.work(worker, task_sid, PAUSES[1])
    assert there.centre.block(task_sid)["customer_id"] == "C-1001"


def test_a_writer_that_never_stops_is_left_in_the_end_and_that_is_told(there: Overwritten) -> None:
    task_sid = there.enriched_task()
    with worker_of(there.service) as worker:
        wrote = []
        for _ in range(6):
            there.overwrite(task_sid)
            wrote.append(there.work(worker, task_sid, timedelta(hours=1)))
        assert wrote == [True, True, True, False, False, False]
        assert (worker.counted("restored"), worker.counted("left")) == (3, 1)
        # Neither is anything written later, nor anything left to do.
        assert not there.work(worker, task_sid, timedelta(days=1))
        assert [row.due_at for row in there.owed(task_sid)] == [None]
    assert there.centre.block(task_sid) is None
    assert there.activities(task_sid) == [ActivityType.RESTORED] * 3 + [ActivityType.OVERWRITTEN]

    story = timeline.task_timeline(there.service.database, task_sid)
    assert story is not None
    assert story.restorations == 3
    with app_of(there.service) as app:
        (finding,) = [each for each in doctor.examine(app.extensions["enrich"]) if each.check == "overwritten"]
    assert finding.level is Level.PROBLEM
    assert re.search(r"within a day the block was overwritten \d+ times, on \d+ tasks; on \d+ of them", finding.found)


def test_writes_whose_answer_is_lost_are_bounded_too(there: Overwritten) -> None:
    """Each is done, and nobody knows."""
    task_sid = there.enriched_task()
    faults = there.centre.emulator.faults
    with worker_of(there.service) as worker:
        wrote = []
        for _ in range(MAX_TRIES + 2):
            there.overwrite(task_sid)
            faults.reset(method="POST", path=f"/Tasks/{task_sid}$", times=1, after_processing=True)
            wrote.append(there.work(worker, task_sid, timedelta(hours=1)))
            faults.clear()
    assert wrote == [True] * MAX_TRIES + [False] * 2
    assert there.activities(task_sid) == [ActivityType.OVERWRITTEN]


def test_a_block_for_which_there_is_no_room_any_more_is_left(there: Overwritten) -> None:
    task_sid = there.enriched_task()
    there.overwrite(task_sid, json.dumps({**CALLER, "ui": "x" * 4050}))
    with worker_of(there.service) as worker:
        assert not there.work(worker, task_sid)
        assert not there.work(worker, task_sid, timedelta(hours=1))
    assert there.activities(task_sid) == [ActivityType.OVERWRITTEN]
    (entry,) = [row for row in there.service.entries(task_sid=task_sid) if row.event_type == ActivityType.OVERWRITTEN]
    assert entry.raw_form == "Restored=0&Reason=no_room"


def test_a_task_that_is_over_is_left_alone(there: Overwritten) -> None:
    task_sid = there.enriched_task()
    there.overwrite(task_sid)
    there.centre.workspace.tasks(task_sid).update(assignment_status="canceled", reason="hangup")
    with worker_of(there.service) as worker:
        assert not there.work(worker, task_sid)
    assert there.activities(task_sid) == []


def test_a_task_that_was_never_enriched_is_left_alone(
    start_service: Callable[..., Service], open_centre: Callable[..., ContactCentre]
) -> None:
    """A task of another workflow, say, of which this service hears all the same."""
    service = start_service(ENRICH_KEEP_DAYS="41")
    there = Overwritten(service, open_centre(service, events="task.updated"))
    unavailable = next(each.sid for each in there.centre.workspace.activities.list() if not each.available)
    there.centre.workspace.workers(there.centre.worker_sid).update(activity_sid=unavailable)
    task_sid = there.centre.task_arrives(CALLER)
    there.overwrite(task_sid)
    with worker_of(service) as worker:
        assert not there.work(worker, task_sid)
        assert [row.due_at for row in there.owed(task_sid)] == [None]
    assert there.centre.attributes(task_sid) == '{"from":"+14155550100","ui":1}'
