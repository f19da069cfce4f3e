"""Findings on callbacks: a workspace's workflows with URL, fallback and timeout, and its events.

These checks read the configuration at TaskRouter; reach.py sends a request to see whether it arrives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from enrich.diagnosis.callback_urls import differences, is_near, is_ours
from enrich.diagnosis.snapshot import WorkflowSnapshot, WorkspaceSnapshot
from enrich.domain.event_sinks import EventSink
from enrich.domain.findings import Finding, ok, problem, warning
from enrich.taskrouter import endpoints

# Our answer may take 4 s and the fallback another 5 s; then the worker still has to look at the screen and decide.
MIN_RESERVATION_S = 10
SHORT_RESERVATION_S = 15


def calls_us(workspace: WorkspaceSnapshot, public_url: str) -> bool:
    """Return whether a workflow or the events of this workspace call us, at the right address or nearly."""
    urls = [workspace.events_url, *(workflow.assignment_url for workflow in workspace.workflows)]
    return any(is_near(url, public_url) for url in urls)


def configured_query(workspaces: Sequence[WorkspaceSnapshot], public_url: str) -> str:
    """Return the query of the first URL at TaskRouter that is ours and has one, with its question mark; "" if none."""
    urls = [workspace.events_url for workspace in workspaces if sends_events(workspace, public_url)]
    urls += [
        workflow.assignment_url
        for workspace in workspaces
        for workflow in workspace.workflows
        if is_ours(workflow.assignment_url, public_url)
    ]
    queries = (endpoints.without_fragment(url).partition("?")[2] for url in urls)
    return next((f"?{query}" for query in queries if query), "")


def workflows(workspace: WorkspaceSnapshot, public_url: str) -> Iterator[Finding]:
    """Yield findings on the workflows of one workspace that call us, or nearly do."""
    matching = [workflow for workflow in workspace.workflows if is_ours(workflow.assignment_url, public_url)]
    similar = [
        workflow
        for workflow in workspace.workflows
        if workflow not in matching and is_near(workflow.assignment_url, public_url)
    ]
    own_url = public_url + endpoints.ASSIGNMENT
    if not matching and not similar:
        names = ", ".join(repr(workflow.name) for workflow in workspace.workflows) or "there is none"
        yield problem(
            "assignment_url",
            f"no workflow of {workspace.name!r} calls {own_url} ({names})",
            "nothing is enriched",
            f"set the Assignment Callback URL of a workflow to {own_url}: flask taskrouter provision",
        )
    for workflow in similar:
        yield problem(
            "assignment_url",
            f"workflow {workflow.name!r} calls {workflow.assignment_url}, but PUBLIC_URL needs {own_url}",
            "the signature covers the URL as configured at Twilio: every callback is refused with 403",
            f"make the two equal: {differences(workflow.assignment_url, own_url)}",
        )
    for workflow in matching:
        yield ok("assignment_url", f"workflow {workflow.name!r} calls {own_url}")
    for workflow in (*similar, *matching):
        yield _fallback(workflow)
        yield _reservation_timeout(workflow)


def _fallback(workflow: WorkflowSnapshot) -> Finding:
    check, name = "fallback_url", f"workflow {workflow.name!r}"
    todo = "set the Fallback Assignment Callback URL to PUBLIC_URL" + endpoints.FALLBACK
    if not workflow.fallback_url:
        return warning(check, f"{name} has no fallback", "a failed callback is not sent anywhere else", todo)
    if endpoints.without_fragment(workflow.fallback_url) == endpoints.without_fragment(workflow.assignment_url):
        return warning(
            check,
            f"{name} falls back to the URL that has just failed",
            "it takes five seconds again, looks up again, and most likely fails again",
            todo,
        )
    return ok(check, f"{name} falls back to {workflow.fallback_url}")


def _reservation_timeout(workflow: WorkflowSnapshot) -> Finding:
    check, seconds = "reservation_timeout", workflow.reservation_timeout_s
    observation = f"reservations of workflow {workflow.name!r} last {seconds} s"
    meaning = "our answer may take 4 s of it, the fallback's 4 s more, and the worker needs time to accept"
    todo = f"set the Task Reservation Timeout to {SHORT_RESERVATION_S} s or more"
    if seconds < MIN_RESERVATION_S:
        return problem(check, observation, meaning, todo)
    return warning(check, observation, meaning, todo) if seconds < SHORT_RESERVATION_S else ok(check, observation)


def sends_events(workspace: WorkspaceSnapshot, public_url: str) -> bool:
    """Return whether the event callback of this workspace is ours."""
    return is_ours(workspace.events_url, public_url, endpoints.EVENTS)


def events(workspace: WorkspaceSnapshot, public_url: str, sinks: Sequence[EventSink] = ()) -> Iterator[Finding]:
    """Yield findings on the events of one workspace: their URL, their retries, and those that are filtered out.

    sinks: of Event Streams, the other way in for events.
    """
    own_url = public_url + endpoints.EVENTS
    todo = f"set the Event Callback URL to {endpoints.events_url(public_url, 2)}: flask taskrouter provision"
    if not sends_events(workspace, public_url):
        observation = f"{workspace.name!r} sends no events"
        if workspace.events_url:
            observation = f"events go to {workspace.events_url}"
        if is_near(workspace.events_url, public_url):
            meaning = "the signature covers the URL as configured at Twilio: every event is refused with 403"
            yield problem("events_url", observation, meaning, todo)
        elif any(_streams_here(sink, public_url) for sink in sinks):
            yield ok("events_url", f"{observation} by the event callback; they come by Event Streams")
        else:
            meaning = "no task is enriched before it is offered, and the end of a task is not recorded"
            other_way = f"if it is taken, let Event Streams deliver to {public_url}{endpoints.EVENT_STREAMS}"
            yield warning("events_url", observation, meaning, f"{todo}; {other_way}")
        return
    yield ok("events_url", f"events come to {own_url}")
    if "rc" not in endpoints.overrides(workspace.events_url):
        yield warning(
            "event_retries",
            "a lost event is not sent again",
            "Twilio sends it once, unless the URL asks for retries",
            todo,
        )
    if workspace.events is None:
        yield warning(
            "events_filter", "every event is sent", "a busy workspace sends many that are not used", "set the filter"
        )
    elif missing := sorted(endpoints.NEEDED_EVENTS - workspace.events):
        yield warning(
            "events_filter",
            "the filter removes: " + ", ".join(missing),
            "the work that these events cause is not done",
            "add them to the Events Filter: flask taskrouter provision",
        )
    else:
        yield ok("events_filter", "the filter lets all needed events through")


def event_stream(sinks: Sequence[EventSink], public_url: str) -> Iterator[Finding]:
    """Yield findings on the sinks of Event Streams that lead here, or nearly do; none if there is no such sink."""
    check, own_url = "event_stream", public_url + endpoints.EVENT_STREAMS
    for sink in sinks:
        if not is_ours(sink.destination, public_url, endpoints.EVENT_STREAMS):
            if _is_meant_for_us(sink, public_url):
                yield problem(
                    check,
                    f"the sink {sink.sid} sends to {sink.destination}, but PUBLIC_URL needs {own_url}",
                    "the signature covers the URL as configured at Twilio: every event is refused",
                    f"create a sink with the destination {own_url}, move the subscription, and delete this one",
                )
        elif not sink.is_active or sink.method != "POST":
            state = f"is {sink.status}" if not sink.is_active else f"sends by {sink.method}"
            yield problem(
                check,
                f"the sink {sink.sid} to {own_url} {state}",
                "no event arrives by it",
                "see its errors in the console; create it anew, with the method POST",
            )
        elif missing := sorted(endpoints.NEEDED_EVENTS - sink.events):
            yield warning(
                check,
                f"not subscribed to the sink {sink.sid}: {', '.join(missing)}",
                "the work that these events cause is not done, unless the event callback brings them",
                "add com.twilio.taskrouter. and the name of each to the subscription: flask taskrouter provision",
            )
        else:
            yield ok(check, f"all needed events come by Event Streams to {own_url}")


def _streams_here(sink: EventSink, public_url: str) -> bool:
    leads_here = is_ours(sink.destination, public_url, endpoints.EVENT_STREAMS)
    return leads_here and sink.is_active and sink.method == "POST" and bool(sink.events)


def _is_meant_for_us(sink: EventSink, public_url: str) -> bool:
    """Return whether the sink leads to one of our paths for events, on our host or another; sinks are account-wide."""
    path = urlsplit(sink.destination).path.rstrip("/")
    is_stream = path.endswith(endpoints.EVENT_STREAMS)
    return is_stream or (path.endswith(endpoints.EVENTS) and is_near(sink.destination, public_url))
