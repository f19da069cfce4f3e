"""From what there is and what there should be to what has to be done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from enrich.provisioning.file import read
from enrich.provisioning.plan import (
    NEW_WORKSPACE,
    Actual,
    Desired,
    Existing,
    Kind,
    Plan,
    PlanAction,
    PlannedChange,
    Resource,
    make_plan,
)
from enrich.provisioning.plan_text import plan_lines
from enrich.provisioning.routing import in_names, in_sids

ROUTING = {"filters": [], "default": {"queue": "Everyone"}}


def desired(*resources: Resource, create: bool = False, name: str = "Support", **activities: str) -> Desired:
    return Desired(Resource(Kind.WORKSPACE, name), create, resources, activities)


def actual(*resources: Existing, **fields: Any) -> Actual:
    return Actual(Existing(Kind.WORKSPACE, "Support", "WS1", fields), resources)


def queue(name: str = "Everyone", sid: str = "WQ1", **fields: Any) -> Existing:
    return Existing(Kind.QUEUE, name, sid, fields)


def todo(plan: Plan) -> list[tuple[str, str, str]]:
    return [(step.action, step.kind, step.name) for step in plan.to_do]


def test_what_is_not_there_is_created() -> None:
    plan = make_plan(desired(Resource(Kind.QUEUE, "Everyone", {"workers": "1==1"})), actual())
    assert todo(plan) == [("create", "queue", "Everyone")]
    assert plan.to_do[0].values == {"workers": "1==1"}


def test_what_differs_is_changed_and_only_that_is_sent() -> None:
    wanted = Resource(Kind.QUEUE, "Everyone", {"workers": "1==1", "order": "FIFO"})
    plan = make_plan(desired(wanted), actual(queue(workers="1==2", order="FIFO")))
    assert plan.to_do[0].values == {"workers": "1==1"}
    assert plan.to_do[0].changes == (PlannedChange("workers", "1==2", "1==1"),)


def test_what_agrees_is_left_and_what_the_file_does_not_say_is_not_looked_at() -> None:
    plan = make_plan(desired(Resource(Kind.QUEUE, "Everyone", {})), actual(queue(workers="anything")))
    assert plan.to_do == ()
    assert plan.count(PlanAction.LEAVE) == 2


def test_what_is_only_at_twilio_is_drift_and_nothing_is_done_about_it() -> None:
    plan = make_plan(desired(), actual(queue("Old"), Existing(Kind.ACTIVITY, "Offline", "WA1")))
    assert plan.to_do == ()
    assert [each.name for each in plan.drift] == ["Old"]  # Offline is there from the beginning


def test_workers_are_drift_only_beside_a_file_that_names_some() -> None:
    there = actual(Existing(Kind.WORKER, "samir", "WK1"), Existing(Kind.WORKER, "Dana", "WK2"))
    assert make_plan(desired(), there).drift == ()
    plan = make_plan(desired(Resource(Kind.WORKER, "dana")), there)
    assert [each.name for each in plan.drift] == ["samir"]
    assert plan.to_do == ()  # names of workers do not differ by case


def test_things_are_made_after_what_they_name_and_workflows_last() -> None:
    wanted = desired(
        Resource(Kind.WORKFLOW, "Main", {"routing": ROUTING}),
        Resource(Kind.WORKER, "dana", {"capacity.fax": 1}, {"activity": "On a break"}),
        Resource(Kind.QUEUE, "Everyone", {"reservation_activity": "On a break"}),
        Resource(Kind.CHANNEL, "fax"),
        Resource(Kind.ACTIVITY, "On a break", {"available": False}),
        create=True,
        timeout_activity="On a break",
    )
    assert todo(make_plan(wanted, NEW_WORKSPACE)) == [
        ("create", "workspace", "Support"),
        ("create", "activity", "On a break"),
        ("change", "workspace", "Support"),  # takes activities only on update
        ("create", "task channel", "fax"),
        ("create", "queue", "Everyone"),
        ("create", "worker", "dana"),
        ("create", "workflow", "Main"),
    ]


def test_the_activity_that_a_worker_begins_in_is_not_changed_afterwards() -> None:
    wanted = Resource(Kind.WORKER, "dana", {"attributes.skill": "x"}, {"activity": "Available"})
    there = actual(
        Existing(Kind.WORKER, "dana", "WK1", {"attributes.skill": "x", "attributes.others": 1}),
        Existing(Kind.ACTIVITY, "Available", "WA1"),
    )
    assert make_plan(desired(wanted), there).to_do == ()


@pytest.mark.parametrize(
    ("wanted", "there", "told"),
    [
        pytest.param(desired(), NEW_WORKSPACE, "no workspace 'Support'", id="not there, and not to be made"),
        pytest.param(desired(name="Sales"), actual(), "never renamed", id="another workspace than the file's"),
        pytest.param(
            desired(Resource(Kind.QUEUE, "A")), actual(queue("A"), queue("A", "WQ2")), r"WQ1, WQ2", id="two of one name"
        ),
        pytest.param(
            desired(Resource(Kind.ACTIVITY, "Lunch", {"available": True})),
            actual(Existing(Kind.ACTIVITY, "Lunch", "WA1", {"available": False})),
            "cannot be changed at Twilio",
            id="immutable",
        ),
        pytest.param(desired(Resource(Kind.WORKFLOW, "Main", {})), actual(), "has no routing for it", id="no routing"),
        pytest.param(
            desired(Resource(Kind.WORKFLOW, "Main", {"routing": ROUTING})),
            actual(),
            "workflow 'Main', default: there is no queue 'Everyone'",
            id="unknown queue",
        ),
        pytest.param(desired(timeout_activity="Gone"), actual(), "there is no activity 'Gone'", id="unknown activity"),
        pytest.param(
            desired(Resource(Kind.WORKER, "dana", {"capacity.fax": 1})), actual(), "no task channel 'fax'", id="channel"
        ),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is(wanted: Desired, there: Actual, told: str) -> None:
    plan = make_plan(wanted, there)
    assert plan.steps == ()
    assert any(told.replace(r"\, ", ", ") in problem for problem in plan.problems), plan.problems


def test_a_queue_may_be_named_that_only_twilio_knows() -> None:
    plan = make_plan(desired(Resource(Kind.WORKFLOW, "Main", {"routing": ROUTING})), actual(queue()))
    assert plan.problems == ()


class TestConfiguration:
    RAW = json.dumps(
        {
            "task_routing": {
                "filters": [
                    {
                        "friendly_name": "Gold",
                        "expression": "1==1",
                        "targets": [{"queue": "WQ1", "timeout": "60", "priority": "5"}, {"skip_if": "1==1"}],
                    }
                ],
                "default_filter": {"queue": "WQ2"},
            }
        }
    )
    NAMES: ClassVar = {
        "filters": [
            {
                "name": "Gold",
                "expression": "1==1",
                "targets": [
                    {"queue": "One", "timeout_s": 60, "priority": 5},
                    {"queue": "One", "skip_if": "1==1"},
                ],
            }
        ],
        "default": {"queue": "WQ2"},
    }

    def test_twilios_spellings_make_no_difference(self) -> None:
        """Numbers may be text, a queue may be inherited, the name has two keys; an unknown queue keeps its SID."""
        assert in_names(self.RAW, lambda sid: {"WQ1": "One"}.get(sid, sid)) == self.NAMES

    def test_there_and_back_is_the_same(self) -> None:
        sids = {"One": "WQ1"}
        raw = in_sids(self.NAMES, lambda name: sids.get(name, name))
        assert in_names(raw, lambda sid: {"WQ1": "One"}.get(sid, sid)) == self.NAMES

    @pytest.mark.parametrize("raw", ["", "[]", '{"task_routing": 7}', '{"task_routing": {"filters": [7]}}'])
    def test_what_cannot_be_read_is_replaced(self, raw: str) -> None:
        assert in_names(raw, str) is None

    def test_a_change_deep_inside_is_told_at_its_place(self) -> None:
        new: dict[str, Any] = json.loads(json.dumps(self.NAMES))
        new["filters"][0]["targets"][0]["timeout_s"] = 30
        new["filters"].append({"name": "Rest", "expression": "1==1", "targets": [{"queue": "WQ2"}]})
        del new["default"]
        there = actual(
            queue("One"), queue("WQ2", "WQ2"), Existing(Kind.WORKFLOW, "Main", "WW1", {"routing": self.NAMES})
        )
        plan = make_plan(desired(Resource(Kind.WORKFLOW, "Main", {"routing": new})), there)
        assert plan.to_do[0].changes == (
            PlannedChange("routing.filters.Gold.targets.1.timeout_s", 60, 30),
            PlannedChange("routing.filters.Rest", None, new["filters"][1]),
            PlannedChange("routing.default", {"queue": "WQ2"}, None),
        )


def test_the_example_of_the_documentation_can_be_carried_out() -> None:
    example = Path(__file__).parent.parent.parent / "docs" / "taskrouter.example.toml"
    plan = make_plan(read(example.read_text(encoding="utf-8"), "https://hooks.example.test"), NEW_WORKSPACE)
    assert plan.problems == ()
    assert plan.count(PlanAction.CREATE) == 11


def test_a_plan_in_words() -> None:
    wanted = desired(
        Resource(Kind.QUEUE, "Everyone", {"workers": "1==1"}), Resource(Kind.QUEUE, "New", {"order": "LIFO"})
    )
    wanted = Desired(Resource(Kind.WORKSPACE, "Support", {"events": ("a", "b")}), False, wanted.resources)
    there = actual(queue(workers="1==2"), queue("Old", "WQ9"), events=("b", "c"))
    assert list(plan_lines(make_plan(wanted, there))) == [
        "  change  workspace 'Support'  WS1",
        "          events: adds a; drops c",
        "  change  queue 'Everyone'  WQ1",
        "          workers: 1==2 -> 1==1",
        "  create  queue 'New'",
        "          order: LIFO",
        "  drift   queue 'Old'  WQ9  is not in the file; it is left alone",
        "1 to create, 2 to change, 0 to leave, 1 drift.",
    ]
