"""The file of a workspace: what it means, and every mistake with its line."""

from __future__ import annotations

import pytest

from enrich.errors import WorkspaceFileError
from enrich.provisioning.file import read
from enrich.provisioning.plan import Desired, Kind, Resource
from enrich.taskrouter.endpoints import NEEDED_EVENTS

PUBLIC_URL = "https://hooks.example.test/enrich"
HEAD = '[workspace]\nname = "Support"\n'


def resource(desired: Desired, kind: Kind, name: str) -> Resource:
    return next(each for each in desired.resources if each.kind is kind and each.name == name)


def test_the_callback_urls_come_from_the_public_url() -> None:
    desired = read(HEAD + '[[workflows]]\nname = "Main"\n', PUBLIC_URL)
    assert resource(desired, Kind.WORKFLOW, "Main").fields == {
        "assignment_url": f"{PUBLIC_URL}/taskrouter/assignment",
        "fallback_url": f"{PUBLIC_URL}/taskrouter/assignment/fallback",
    }
    assert desired.workspace.fields["events_url"] == f"{PUBLIC_URL}/taskrouter/events#rc=2&rp=5xx,ct,rt"


def test_a_fallback_may_be_hosted_elsewhere() -> None:
    desired = read(HEAD + '[[workflows]]\nname = "Main"\nfallback_url = "https://other.example/f"\n', PUBLIC_URL)
    assert resource(desired, Kind.WORKFLOW, "Main").fields["fallback_url"] == "https://other.example/f"


def test_a_workflow_need_not_ask_us() -> None:
    desired = read(HEAD + '[[workflows]]\nname = "Main"\nenrich = false\n', PUBLIC_URL)
    assert resource(desired, Kind.WORKFLOW, "Main").fields == {}


def test_the_filter_lets_through_what_we_need_and_what_is_asked_for_beside() -> None:
    desired = read(HEAD + 'more_events = ["worker.created"]\nevent_retries = 0\n', PUBLIC_URL)
    assert set(desired.workspace.fields["events"]) == NEEDED_EVENTS | {"worker.created"}
    assert desired.workspace.fields["events_url"] == f"{PUBLIC_URL}/taskrouter/events"


def test_events_may_belong_to_somebody_else() -> None:
    assert read(HEAD + "events = false\n", PUBLIC_URL).workspace.fields == {}


def test_a_workspace_with_a_sid_needs_no_name() -> None:
    assert read("", PUBLIC_URL, workspace_sid="WS1").workspace.name == ""


class TestIntake:
    TEXT = (
        HEAD
        + """
[[queues]]
name = "Gold"
[[queues]]
name = "Everyone"
[[workflows]]
name = "Main"
default = "Everyone"
intake = {}
[[workflows.filters]]
name = "Gold customers"
expression = 'crm.tier == "gold"'
targets = [{ queue = "Gold", timeout_s = 60 }, { priority = 5 }]
"""
    )

    def test_it_holds_a_task_where_nobody_works_and_then_everything_is_matched_anew(self) -> None:
        """No time-out leads to the default filter (docs/taskrouter.md, "Workflow configuration")."""
        desired = read(self.TEXT, PUBLIC_URL)
        routing = resource(desired, Kind.WORKFLOW, "Main").fields["routing"]
        assert [(each["name"], each["expression"]) for each in routing["filters"]] == [
            ("Intake", "1==1"),
            ("Gold customers", 'crm.tier == "gold"'),
            ("Everything else", "1==1"),
        ]
        assert routing["filters"][0]["targets"] == [{"queue": "Intake", "timeout_s": 3}]
        assert routing["filters"][2]["targets"] == [{"queue": "Everyone"}]
        assert resource(desired, Kind.QUEUE, "Intake").fields == {"workers": "1==2"}

    def test_a_filter_that_takes_everything_already_needs_no_other_behind_it(self) -> None:
        text = self.TEXT.replace("""'crm.tier == "gold"'""", '"1 == 1"')
        routing = resource(read(text, PUBLIC_URL), Kind.WORKFLOW, "Main").fields["routing"]
        assert [each["name"] for each in routing["filters"]] == ["Intake", "Gold customers"]

    def test_later_targets_inherit_the_queue(self) -> None:
        routing = resource(read(self.TEXT, PUBLIC_URL), Kind.WORKFLOW, "Main").fields["routing"]
        assert routing["filters"][1]["targets"][1] == {"queue": "Gold", "priority": 5}

    def test_it_needs_the_routing_in_the_same_file(self) -> None:
        with pytest.raises(WorkspaceFileError, match="line 5, workflows 1, intake: needs the whole routing"):
            read(HEAD + '[[workflows]]\nname = "Main"\nintake = { hold_s = 2 }\n', PUBLIC_URL)


def test_an_event_stream_brings_the_events_that_are_needed() -> None:
    desired = read(HEAD + 'event_stream = true\nevents = false\nmore_events = ["worker.created"]\n', PUBLIC_URL)
    destination = f"{PUBLIC_URL}/taskrouter/event-streams"
    assert resource(desired, Kind.SINK, destination).fields == {}
    events = resource(desired, Kind.SUBSCRIPTION, destination).fields["events"]
    assert set(events) == NEEDED_EVENTS | {"worker.created"}
    assert desired.workspace.fields == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(
            HEAD + "events = false\nevent_stream = true\nevent_retries = 1\n",
            "line 5, workspace, event_retries: has no effect",
            id="retries without a callback",
        ),
        pytest.param("[workspace]\ncreate = true\n", "line 1, workspace, name: is missing", id="no name"),
        pytest.param('[workspace]\nname = ""\n', "line 2, workspace, name: must not be empty", id="an empty name"),
        pytest.param(f'[workspace]\nname = "{"x" * 65}"\n', "may have 64 characters, and has 65", id="a long name"),
        pytest.param(HEAD + 'create = "yes"\n', "line 3, workspace, create: must be true or false", id="kind of value"),
        pytest.param(HEAD + "[[queue]]\n", "there is no such key; did you mean queues?", id="unknown table"),
        pytest.param(HEAD + "[queues]\n", r"line 3, queues: must be written as \[\[queues\]\]", id="one for many"),
        pytest.param(HEAD + '[[queues]]\nname = "A"\nworker = "1==1"\n', "did you mean workers?", id="unknown key"),
        pytest.param(
            HEAD + '[[queues]]\nname = "A"\nmax_reserved_workers = 51\n', "from 1 to 50, not 51", id="out of range"
        ),
        pytest.param(HEAD + '[[queues]]\nname = "A"\nmax_reserved_workers = true\n', "whole number", id="true is no 1"),
        pytest.param(HEAD + '[[queues]]\nname = "A"\norder = "UP"\n', "FIFO or LIFO, not 'UP'", id="one of"),
        pytest.param(HEAD + '[[activities]]\nname = "A"\n', "activities 1, available: is missing", id="immutable"),
        pytest.param(HEAD + '[[task_channels]]\nunique_name = "a-b"\n', "letters, digits", id="unique name"),
        pytest.param(
            HEAD + '[[queues]]\nname = "A"\n[[queues]]\nname = "A"\n',
            "line 6, queues 2, name: 'A' stands here a second time",
            id="twice",
        ),
        pytest.param(
            HEAD + '[[workers]]\nname = "dana"\n[[workers]]\nname = "Dana"\n', "a second time", id="workers of any case"
        ),
        pytest.param(
            HEAD + '[[workers]]\nname = "dana"\nattributes = { since = 2026-01-01 }\n',
            "workers 1, attributes, since: JSON has no dates",
            id="no JSON",
        ),
        pytest.param(
            HEAD + '[[workflows]]\nname = "M"\n[[workflows.filters]]\nname = "F"\nexpression = "1==1"\n',
            "line 5, workflows 1, filters 1: needs at least one target",
            id="no target",
        ),
        pytest.param(
            HEAD + '[[workflows]]\nname = "M"\n[[workflows.filters]]\nname = "F"\nexpression = "1==1"\n'
            "[[workflows.filters.targets]]\npriority = 1\n",
            "line 8, workflows 1, filters 1, targets 1: the first target needs a queue",
            id="no queue",
        ),
        pytest.param(
            HEAD + '[[workflows]]\nname = "M"\n[[workflows.filters]]\nname = "F"\nexpression = "1==1"\n'
            'targets = [{ queue = "A" }, { queue = "B" }]\n',
            "are never reached",
            id="unreachable",
        ),
        pytest.param(HEAD + '[[workflows]]\nname = "M"\ndefault = {}\n', "default: needs a queue", id="empty default"),
        pytest.param(HEAD + '[[workflows]]\nname = "M"\nfallback_url = "x"\n', "an http", id="no address"),
        pytest.param(HEAD + "events = false\nevent_retries = 2\n", "no effect with events = false", id="contradiction"),
        pytest.param("[workspace\n", "not TOML: .*line 1", id="no TOML"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(WorkspaceFileError, match=told):
        read(text, PUBLIC_URL)


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines() -> None:
    text = '[workspace]\ncreate = 1\n[[queues]]\nname = "A"\norder = "UP"\n[[workflows]]\nreservation_timeout_s = 0\n'
    with pytest.raises(WorkspaceFileError) as caught:
        read(text, PUBLIC_URL)
    lines = [line.partition(",")[0] for line in str(caught.value).splitlines()]
    assert lines == ["line 1", "line 2", "line 5", "line 6", "line 7"]
