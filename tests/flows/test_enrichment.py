"""Any number of writers on one task, in any order of their reads and writes: nobody's attribute is lost or altered.

Every writer is a greenlet that stops before each request; which one goes on is drawn by hypothesis. So the orders are
all possible, and each failing one can be shown again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import greenlet
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.domain.deadline import Deadline
from enrich.domain.tasks import Task
from enrich.errors import StaleTask
from enrich.flows.enrichment import MAX_WRITES, Enricher, TaskRef
from enrich.flows.run import EnrichmentRun

BLOCK = {"match": "matched", "customer_id": "C-1001"}
ODD = [
    "1e400",
    "3.14159265358979323846264338327950288",
    '"\\ud800"',
    '{"a":null,"a":[1 , 2]}',
    "18446744073709551616001",
]


@dataclass
class TaskRouter:
    """One task with its version; a write is based on the present one or refused (docs/taskrouter.md, "Versions")."""

    text: str = '{"from":"+14155550100", "ratio":0.10}'
    version: int = 0
    writes: list[str] = field(default_factory=list)

    def fetch(self) -> Task:
        return Task("WT1", self.text, f'"{self.version}"', "reserved")

    def update(self, text: str, if_match: str) -> Task:
        if if_match != f'"{self.version}"':
            raise StaleTask
        self.text, self.version = text, self.version + 1
        return self.fetch()


class Client:
    """The client of `write`: each request waits for this writer's turn."""

    def __init__(self, task: TaskRouter, wait: Callable[[], object]) -> None:
        self._task, self._wait = task, wait

    def fetch_task(self, *_: str, timeout_s: float) -> Task:
        self._wait()
        return self._task.fetch()

    def update_attributes(self, _ws: str, _wt: str, text: str, *, if_match: str, timeout_s: float) -> None:
        self._wait()
        self._task.update(text, if_match)
        self._task.writes.append("crm")


def ours(client: Client, marks: Iterable[dict[str, int]] = ()) -> None:
    """marks: what our database says of the task, each time it is asked."""
    asked = iter(marks)
    rules: Any = SimpleNamespace(attribute="crm")
    adapters: Any = SimpleNamespace(
        taskrouter=client,
        task_states=SimpleNamespace(marks=lambda _: next(asked)),
        time_limit=lambda _: nullcontext(),
        now=lambda: datetime.now(UTC),
        pause=lambda _: None,
    )
    try:
        enricher = Enricher(adapters, rules)
        enricher.write(EnrichmentRun(), TaskRef("WS1", "WT1"), (BLOCK,), Deadline.after(3600))
    except StaleTask:
        return  # after ten in a row; the worker tries again later


def another(client: Client, member: str) -> None:
    """Somebody else's code, which adds its own member the same careful way, and does not give up."""
    while True:
        task = client.fetch_task(timeout_s=1)
        try:
            text = f"{task.raw_attributes.rstrip()[:-1]},{member}}}"
            client.update_attributes("WS1", "WT1", text, if_match=task.etag, timeout_s=1)
        except StaleTask:
            continue
        return


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 4), st.lists(st.sampled_from(ODD), max_size=5), st.data())
def test_no_order_of_reads_and_writes_loses_anything(us: int, odd: list[str], data: st.DataObject) -> None:
    task = TaskRouter()
    scheduler = greenlet.getcurrent()
    client = Client(task, scheduler.switch)
    members = [f'"k{number}":{literal}' for number, literal in enumerate(odd)]
    writers = [greenlet.greenlet(lambda: ours(client), scheduler) for _ in range(us)]
    writers += [greenlet.greenlet(lambda member=member: another(client, member), scheduler) for member in members]

    while waiting := [writer for writer in writers if not writer.dead]:
        waiting[data.draw(st.integers(0, len(waiting) - 1))].switch()

    assert all(member in task.text for member in members)
    assert task.text.startswith('{"from":"+14155550100", "ratio":0.10')
    names = [name for name, _ in json.loads(task.text, object_pairs_hook=list, parse_int=str, parse_float=str)]
    assert sorted(names) == sorted(["from", "ratio", *(f"k{number}" for number in range(len(odd))), "crm"])
    assert json.loads(task.text)["crm"] == BLOCK


def test_somebody_who_writes_without_end_is_left_the_field() -> None:
    task = TaskRouter()

    class Intruded(Client):
        def update_attributes(self, *arguments: str, **given: Any) -> None:
            task.version += 1
            super().update_attributes(*arguments, **given)

    before = task.text
    ours(Intruded(task, lambda: None))
    assert (task.text, task.version) == (before, MAX_WRITES)


def test_a_mark_that_is_made_meanwhile_is_not_taken_out_for_good() -> None:
    """The other process found the mark there and wrote nothing: no version has changed, so our write counts."""
    marked = {**BLOCK, "escalation": 2}
    task = TaskRouter(json.dumps({"crm": marked}))
    ours(Client(task, lambda: None), [{}, {"escalation": 2}, {"escalation": 2}, {"escalation": 2}])
    assert (json.loads(task.text)["crm"], len(task.writes)) == (marked, 2)
