"""Findings on callbacks: a workspace's workflows with URL, fallback and timeout, and its events.

Judged as they are set up at TaskRouter. Whether such a request arrives is seen by sending one: reach.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from enrich.diagnosis.callback_urls import is_near, is_ours, what_differs
from enrich.diagnosis.findings import Finding, ok, problem, warning
from enrich.diagnosis.snapshot import SeenWorkflow, SeenWorkspace
from enrich.domain.event_sinks import EventSink
from enrich.taskrouter import endpoints

# Until the answer is there 4 s may pass, until the fallback has been asked another 5, and then somebody has to look at
# the screen and decide.
MIN_RESERVATION_S = 10
SHORT_RESERVATION_S = 15


def asks_us(seen: SeenWorkspace, public_url: str) -> bool:
    """Return whether a workflow or the events of this workspace call us, at the right address or nearly."""
    urls = [seen.events_url, *(each.assignment_url for each in seen.workflows)]
    return any(is_near(url, public_url) for url in urls)


def configured_query(workspaces: Sequence[SeenWorkspace], public_url: str) -> str:
    """Return the query of the first URL at TaskRouter that is ours and has one, with its question mark; "" if none."""
    ours = [each.events_url for each in workspaces if is_ours(each.events_url, public_url, endpoints.EVENTS)] + [
        workflow.assignment_url
        for each in workspaces
        for workflow in each.workflows
        if is_ours(workflow.assignment_url, public_url)
    ]
    queries = (endpoints.without_fragment(url).partition("?")[2] for url in ours)
    return next((f"?{query}" for query in queries if query), "")


def workflows(seen: SeenWorkspace, public_url: str) -> Iterator[Finding]:
    """Yield findings on the workflows of one workspace that call us, or nearly do."""
    ours = [each for each in seen.workflows if is_ours(each.assignment_url, public_url)]
    near = [each for each in seen.workflows if each not in ours and is_near(each.assignment_url, public_url)]
    wanted = public_url + endpoints.ASSIGNMENT
    if not ours and not near:
        names = ", ".join(repr(each.name) for each in seen.workflows) or "there is none"
        yield problem(
            "assignment_url",
            f"no workflow of {seen.name!r} calls {wanted} ({names})",
            "nothing is enriched",
            f"set the Assignment Callback URL of a workflow to {wanted}: flask taskrouter provision",
        )
    for each in near:
        yield problem(
            "assignment_url",
            f"workflow {each.name!r} calls {each.assignment_url}, but PUBLIC_URL needs {wanted}",
            "the signature covers the URL as configured at Twilio: every callback is refused with 403",
            f"make the two equal: {what_differs(each.assignment_url, wanted)}",
        )
    for each in ours:
        yield ok("assignment_url", f"workflow {each.name!r} calls {wanted}")
    for each in (*near, *ours):
        yield _fallback(each)
        yield _reservation_timeout(each)


def _fallback(workflow: SeenWorkflow) -> Finding:
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


def _reservation_timeout(workflow: SeenWorkflow) -> Finding:
    check, seconds = "reservation_timeout", workflow.reservation_timeout_s
    found = f"reservations of workflow {workflow.name!r} last {seconds} s"
    meaning = "our answer may take 4 s of it, the fallback's 4 s more, and the worker needs time to accept"
    todo = f"set the Task Reservation Timeout to {SHORT_RESERVATION_S} s or more"
    if seconds < MIN_RESERVATION_S:
        return problem(check, found, meaning, todo)
    return warning(check, found, meaning, todo) if seconds < SHORT_RESERVATION_S else ok(check, found)


def sends_events(seen: SeenWorkspace, public_url: str) -> bool:
    """Return whether the event callback of this workspace is ours."""
    return is_ours(seen.events_url, public_url, endpoints.EVENTS)


def events(seen: SeenWorkspace, public_url: str, sinks: Sequence[EventSink] = ()) -> Iterator[Finding]:
    """Yield findings on the events of one workspace: their URL, their retries, and those that are filtered out.

    sinks: of Event Streams, the other way in for events.
    """
    wanted = public_url + endpoints.EVENTS
    todo = f"set the Event Callback URL to {endpoints.events_url(public_url, 2)}: flask taskrouter provision"
    if not sends_events(seen, public_url):
        found = f"events go to {seen.events_url}" if seen.events_url else f"{seen.name!r} sends no events"
        if is_near(seen.events_url, public_url):
            meaning = "the signature covers the URL as configured at Twilio: every event is refused with 403"
            yield problem("events_url", found, meaning, todo)
        elif any(_streams_here(sink, public_url) for sink in sinks):
            yield ok("events_url", f"{found} by the event callback; they come by Event Streams")
        else:
            meaning = "no task is enriched before it is offered, and the end of a task is not recorded"
            other_way = f"if it is taken, let Event Streams deliver to {public_url}{endpoints.EVENT_STREAMS}"
            yield warning("events_url", found, meaning, f"{todo}; {other_way}")
        return
    yield ok("events_url", f"events come to {wanted}")
    if "rc" not in endpoints.overrides(seen.events_url):
        yield warning(
            "event_retries",
            "a lost event is not sent again",
            "Twilio sends it once, unless the URL asks for retries",
            todo,
        )
    if seen.events is None:
        yield warning(
            "events_filter", "every event is sent", "a busy workspace sends many that are not used", "set the filter"
        )
    elif missing := sorted(endpoints.NEEDED_EVENTS - seen.events):
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
    check, wanted = "event_stream", public_url + endpoints.EVENT_STREAMS
    for sink in sinks:
        if not is_ours(sink.destination, public_url, endpoints.EVENT_STREAMS):
            if _is_meant_for_us(sink, public_url):
                yield problem(
                    check,
                    f"the sink {sink.sid} sends to {sink.destination}, but PUBLIC_URL needs {wanted}",
                    "the signature covers the URL as configured at Twilio: every event is refused",
                    f"create a sink with the destination {wanted}, move the subscription, and delete this one",
                )
        elif not sink.is_active or sink.method != "POST":
            found = f"is {sink.status}" if not sink.is_active else f"sends by {sink.method}"
            yield problem(
                check,
                f"the sink {sink.sid} to {wanted} {found}",
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
            yield ok(check, f"all needed events come by Event Streams to {wanted}")


def _streams_here(sink: EventSink, public_url: str) -> bool:
    leads_here = is_ours(sink.destination, public_url, endpoints.EVENT_STREAMS)
    return leads_here and sink.is_active and sink.method == "POST" and bool(sink.events)


def _is_meant_for_us(sink: EventSink, public_url: str) -> bool:
    """Return whether the sink leads to one of our paths for events, on our host or another; sinks are account-wide."""
    path = urlsplit(sink.destination).path.rstrip("/")
    is_stream = path.endswith(endpoints.EVENT_STREAMS)
    return is_stream or (path.endswith(endpoints.EVENTS) and is_near(sink.destination, public_url))
