"""What what was found out about an installation means, and what to do about it. Pure: plain values in, findings out.

The doctor (doctor.py) finds out and tells. Each check here takes what it judges, and nothing else. Source: README,
facts sections 0 to 5.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from urllib.parse import urlsplit

from enrich.taskrouter import endpoints
from enrich.taskrouter.endpoints import SeenWorkflow, SeenWorkspace

# Until the answer is there 4 s may pass, until the fallback has been asked another 5, and then somebody has to look at
# the screen and decide.
TOO_SHORT_RESERVATION_S = 10
SHORT_RESERVATION_S = 15
SLOW_ROUND_TRIP_MS = 1_000
SKEW_S = 5.0
LARGE_SKEW_S = 60.0
SHORT_KEY = 16
GOOD_KEY = 32
MOST_CHARACTERS = 4_096
FEW_CHARACTERS_LEFT = 500
OVERDUE_S = 120.0
WELL_KNOWN_KEYS = ("secret", "changeme", "dev", "test", "password", "key")


class Level(IntEnum):
    """Also the exit status of the doctor: that of its worst finding."""

    OK = 0
    WARNING = 1
    PROBLEM = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """check: a short name that stays. found: what is the case. meaning, todo: "" where all is well."""

    level: Level
    check: str
    found: str
    meaning: str = ""
    todo: str = ""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A signed event that was sent to PUBLIC_URL.

    status: None where no answer came; then `failed` is name, tls, refused, timeout or other, and detail what was said.
    location: where a redirect leads. is_ours: the answer's text is one that only this service gives.
    recorded: whether it is in the database that we look into; None where that cannot be known.
    good_for: another URL with which the same request was let in. origin_is_us: whether this service answers at the
    same host without the path of PUBLIC_URL.
    """

    url: str
    status: int | None
    elapsed_ms: float = 0.0
    failed: str = ""
    detail: str = ""
    location: str = ""
    recorded: bool | None = None
    good_for: str = ""
    origin_is_us: bool = False


@dataclass(frozen=True, slots=True)
class Kinds:
    """What the newest assignment callbacks were about: how many, how many of them calls, how many Flex set up."""

    seen: int
    calls: int
    flex: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """Characters of attributes, of the newest tasks that were written to. no_room, trimmed: how often."""

    seen: int
    longest: int = 0
    most: int = 0  # ninety-five in a hundred are not longer
    trimmed: int = 0
    no_room: int = 0


def ok(check: str, found: str) -> Finding:
    return Finding(Level.OK, check, found)


def warning(check: str, found: str, meaning: str, todo: str) -> Finding:
    return Finding(Level.WARNING, check, found, meaning, todo)


def problem(check: str, found: str, meaning: str, todo: str) -> Finding:
    return Finding(Level.PROBLEM, check, found, meaning, todo)


def not_examined(check: str, because: str) -> Finding:
    return warning(check, "could not be examined", because, "mend what is said above, and ask again")


def secret_key(key: str, metrics_token: str) -> Iterator[Finding]:
    """SECRET_KEY signs sessions: who guesses it signs in as anybody. Neither is ever told."""
    if not key:
        yield problem("secret_key", "SECRET_KEY is not set", "the service does not start", _NEW_KEY)
    elif len(key) < SHORT_KEY or len(set(key)) < SHORT_KEY // 2 or key.lower().strip("!0123456789") in WELL_KNOWN_KEYS:
        yield problem(
            "secret_key",
            f"SECRET_KEY can be guessed ({len(key)} characters)",
            "who guesses it is anybody's user",
            _NEW_KEY,
        )
    elif len(key) < GOOD_KEY:
        yield warning("secret_key", f"SECRET_KEY has only {len(key)} characters", "32 or more are usual", _NEW_KEY)
    else:
        yield ok("secret_key", "SECRET_KEY is long")
    if metrics_token and len(metrics_token) < SHORT_KEY:
        yield warning(
            "metrics_token",
            f"METRICS_TOKEN has only {len(metrics_token)} characters",
            "the public host serves /metrics and the details of /readyz to whoever guesses it",
            _NEW_KEY.replace("SECRET_KEY", "METRICS_TOKEN"),
        )


_NEW_KEY = "set SECRET_KEY to what this prints: python -c 'import secrets; print(secrets.token_hex(32))'"


def credentials(rest: str, token: str | None) -> Iterator[Finding]:
    """rest, token: "ok", or the reason why TaskRouter did not let us in, with what we use for REST and with the token.

    token: None where the token is what we use for REST. Only it can verify webhooks; an API key proves nothing of it.
    """
    if rest == "not_authorized":
        yield problem(
            "credentials",
            "TaskRouter does not let us in",
            "no task can be fetched or written, so nothing is enriched",
            "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or TWILIO_API_KEY and TWILIO_API_SECRET, and the region",
        )
    elif rest != "ok":
        yield problem(
            "credentials",
            f"TaskRouter's API does not answer: {rest}",
            "no task can be fetched or written, so nothing is enriched in time",
            "check TASKROUTER_BASE_URL, and whether this machine may reach it",
        )
    else:
        yield ok("credentials", "TaskRouter lets us in")
    if token == "not_authorized":  # noqa: S105 - a reason
        yield problem(
            "auth_token",
            "the API key is good, and TWILIO_AUTH_TOKEN is not",
            "webhooks are signed with the account's primary auth token: every one would be refused",
            "set TWILIO_AUTH_TOKEN to the primary token; during a rotation, the coming one to TWILIO_AUTH_TOKEN_NEXT",
        )
    elif token == "ok":  # noqa: S105 - a word
        yield ok("auth_token", "TWILIO_AUTH_TOKEN is the account's")


def clock(skew_s: float | None, of: str) -> Finding:
    """skew_s: how far the other's clock is ahead of ours. of: whose it is."""
    check = f"clock_{of.lower().replace(' ', '_')}"
    if skew_s is None:
        return not_examined(check, f"{of} told no time")
    told = f"{abs(skew_s):.0f} s {'behind' if skew_s > 0 else 'ahead of'} {of}'s"
    meaning = "times in the journal are wrong, and catching up and follow-ups look at the wrong minutes"
    todo = "let NTP set this machine's clock, and that of the other"
    if abs(skew_s) >= LARGE_SKEW_S:
        return problem(check, f"our clock is {told}", meaning, todo)
    if abs(skew_s) >= SKEW_S:
        return warning(check, f"our clock is {told}", meaning, todo)
    return ok(check, f"our clock agrees with {of}'s")


def workspace(seen: Sequence[SeenWorkspace], wanted_sid: str) -> Finding:
    """seen: those that we may see. wanted_sid: TWILIO_WORKSPACE_SID, or ""."""
    if wanted_sid:
        found = next((each for each in seen if each.sid == wanted_sid), None)
        if found is None:
            return problem(
                "workspace",
                f"there is no workspace {wanted_sid} in this account",
                "callbacks of every other workspace are refused with 403",
                "set TWILIO_WORKSPACE_SID to one of: "
                + (", ".join(f"{w.sid} ({w.name})" for w in seen) or "none there"),
            )
        return ok("workspace", f"{found.name!r} is there ({found.sid})")
    if not seen:
        return problem(
            "workspace",
            "the account has no workspace",
            "there is nothing to enrich",
            "flask taskrouter provision makes one",
        )
    if len(seen) > 1:
        return warning(
            "workspace",
            f"the account has {len(seen)} workspaces, and TWILIO_WORKSPACE_SID is not set",
            "callbacks of each are answered",
            "set TWILIO_WORKSPACE_SID, if only one is meant",
        )
    return ok("workspace", f"{seen[0].name!r} is the only one ({seen[0].sid})")


def workflows(seen: SeenWorkspace, public_url: str) -> Iterator[Finding]:
    """The workflows of one workspace that ask us, or nearly do."""
    ours = [each for each in seen.workflows if _is_ours(each.assignment_url, public_url)]
    near = [each for each in seen.workflows if each not in ours and _is_near(each.assignment_url, public_url)]
    wanted = public_url + endpoints.ASSIGNMENT
    if not ours and not near:
        names = ", ".join(repr(each.name) for each in seen.workflows) or "there is none"
        yield problem(
            "assignment_url",
            f"no workflow of {seen.name!r} asks {wanted} ({names})",
            "nothing is enriched",
            f"set the Assignment Callback URL of a workflow to {wanted}: flask taskrouter provision",
        )
    for each in near:
        yield problem(
            "assignment_url",
            f"workflow {each.name!r} asks {each.assignment_url}, and PUBLIC_URL says {wanted}",
            "the signature covers the URL as it stands at Twilio: every callback is refused with 403",
            f"make the two agree: {_what_differs(each.assignment_url, wanted)}",
        )
    for each in ours:
        yield ok("assignment_url", f"workflow {each.name!r} asks {wanted}")
    for each in (*near, *ours):
        yield _fallback(each)
        yield _reservation_timeout(each)


def asks_us(seen: SeenWorkspace, public_url: str) -> bool:
    """Whether a workflow or the events of this workspace are meant for us, rightly addressed or nearly."""
    urls = [seen.events_url, *(each.assignment_url for each in seen.workflows)]
    return any(_is_near(url, public_url) for url in urls)


def _fallback(workflow: SeenWorkflow) -> Finding:
    check, name = "fallback_url", f"workflow {workflow.name!r}"
    todo = "set the Fallback Assignment Callback URL to PUBLIC_URL" + endpoints.FALLBACK
    if not workflow.fallback_url:
        return warning(check, f"{name} has no fallback", "a callback that fails is asked nowhere else", todo)
    if endpoints.without_fragment(workflow.fallback_url) == endpoints.without_fragment(workflow.assignment_url):
        return warning(
            check,
            f"{name} falls back to the URL that has just failed",
            "that has five seconds again, does look-ups again, and most likely fails again",
            todo,
        )
    return ok(check, f"{name} falls back to {workflow.fallback_url}")


def _reservation_timeout(workflow: SeenWorkflow) -> Finding:
    check, seconds = "reservation_timeout", workflow.reservation_timeout_s
    found = f"reservations of workflow {workflow.name!r} last {seconds} s"
    meaning = "our answer may take 4 s of it, and the fallback's as many again; then somebody has to decide"
    todo = f"set the Task Reservation Timeout to {SHORT_RESERVATION_S} s or more"
    if seconds < TOO_SHORT_RESERVATION_S:
        return problem(check, found, meaning, todo)
    return warning(check, found, meaning, todo) if seconds < SHORT_RESERVATION_S else ok(check, found)


def events(seen: SeenWorkspace, public_url: str) -> Iterator[Finding]:
    wanted = public_url + endpoints.EVENTS
    todo = f"set the Event Callback URL to {endpoints.events_url(public_url, 2)}: flask taskrouter provision"
    if not seen.events_url:
        yield warning(
            "events_url",
            f"{seen.name!r} sends events nowhere",
            "nothing is enriched before it is offered, and what becomes of a task is not known",
            todo,
        )
        return
    if not _is_ours(seen.events_url, public_url, endpoints.EVENTS):
        is_near = _is_near(seen.events_url, public_url)
        meaning = (
            "the signature covers the URL as it stands at Twilio: every event is refused with 403"
            if is_near
            else "nothing is enriched before it is offered, and what becomes of a task is not known"
        )
        yield (problem if is_near else warning)("events_url", f"events go to {seen.events_url}", meaning, todo)
        return
    yield ok("events_url", f"events come to {wanted}")
    if "rc" not in endpoints.overrides(seen.events_url):
        yield warning(
            "event_retries",
            "an event that is lost is not sent again",
            "Twilio asks once, unless the URL says more",
            todo,
        )
    if seen.events is None:
        yield warning(
            "events_filter", "every event is sent", "a busy workspace sends many that nobody looks at", "set the filter"
        )
    elif missing := sorted(endpoints.NEEDED_EVENTS - seen.events):
        yield warning(
            "events_filter",
            "the filter holds back: " + ", ".join(missing),
            "what these would tell is not done or not known",
            "add them to the Events Filter: flask taskrouter provision",
        )
    else:
        yield ok("events_filter", "the filter lets through what is needed")


def public_address(public_url: str, taskrouter_url: str) -> Finding:
    check, parts = "public_url", urlsplit(public_url)
    host = parts.hostname or ""
    is_twilio = (urlsplit(taskrouter_url).hostname or "").endswith("twilio.com")
    if is_twilio and _is_private(host):
        return problem(
            check,
            f"PUBLIC_URL is {public_url}, which nobody outside can reach",
            "Twilio cannot call it",
            "put a public host, or a tunnel, in front, and set PUBLIC_URL to its address",
        )
    if is_twilio and parts.scheme != "https":
        return warning(
            check,
            f"PUBLIC_URL is {public_url}",
            "tasks and their answers travel unencrypted",
            "serve it under https, and set PUBLIC_URL to that",
        )
    return ok(check, f"PUBLIC_URL is {public_url}")


def round_trip(trip: RoundTrip) -> Finding:
    """What became of an event that we signed and sent to ourselves, the way Twilio would send it."""
    check = "round_trip"
    if trip.status is None:
        return _no_answer(trip)
    found = f"a signed event sent to {trip.url} got {trip.status}"
    if trip.status == 204 and trip.recorded is False:
        return problem(
            check,
            f"{found}, and is not in this database",
            "PUBLIC_URL leads to another installation, or to one with another database",
            "compare DATABASE_URL here and there; see where PUBLIC_URL leads",
        )
    if trip.status == 204:
        if trip.elapsed_ms > SLOW_ROUND_TRIP_MS:
            return warning(
                check,
                f"{found} after {trip.elapsed_ms:.0f} ms",
                "that much is gone from TaskRouter's five seconds before anything is looked up",
                "see what stands between: proxy, tunnel, database",
            )
        return ok(check, f"{found} after {trip.elapsed_ms:.0f} ms, and is in the journal")
    if trip.status == 403:
        return _refused(trip, found)
    if 300 <= trip.status < 400:
        return problem(
            check,
            f"{found}, a redirect to {trip.location or 'nowhere'}",
            "Twilio signs the URL that it is told; behind a redirect the signature is no longer good",
            f"set PUBLIC_URL, and the URLs at Twilio, to where it leads ({_root_of(trip.location) or 'see the proxy'})",
        )
    if trip.status == 404:
        return problem(check, f"{found}: there is no such page", *_path_advice(trip))
    if trip.status == 401:
        return problem(
            check,
            f"{found}: something in front wants a password",
            "Twilio is refused by it, too",
            "let POST /taskrouter/* through without; the signature guards it",
        )
    if trip.status in (502, 504):
        return problem(
            check, f"{found}: the proxy does not reach the service", "nothing is answered", "start gunicorn; check BIND"
        )
    if trip.status == 503:
        return problem(
            check, f"{found}: it could not be kept", "the database does not take it", "see the findings on the database"
        )
    return problem(
        check,
        f"{found}, and 204 was expected",
        "something else than this service answers there, or something between them changes the request",
        "see where PUBLIC_URL leads: proxy, firewall, tunnel page",
    )


def _no_answer(trip: RoundTrip) -> Finding:
    found, meaning, todo = {
        "name": ("its name is not known", "Twilio does not find it either", "check PUBLIC_URL and its DNS"),
        "tls": (
            f"its certificate is not good ({trip.detail})",
            "Twilio refuses it, too",
            "install a certificate of a public authority, with the chain",
        ),
        "refused": ("nobody listens there", "nothing is answered", "start the service and the proxy; check the port"),
        "timeout": (
            "no answer came in time",
            "Twilio would wait as long, in vain",
            "check firewall, proxy and service",
        ),
    }.get(trip.failed, (f"it failed: {trip.detail}", "Twilio most likely fares the same", "see where PUBLIC_URL leads"))
    return problem("round_trip", f"{trip.url} was not reached: {found}", meaning, todo)


def _refused(trip: RoundTrip, found: str) -> Finding:
    if trip.good_for:
        # What is verified leaves open whether the port was signed, so one without is good for all.
        port = "" if urlsplit(trip.good_for).port else ", whatever the port"
        return problem(
            "round_trip",
            f"{found}: the service that runs there believes its address to be {trip.good_for}{port}",
            "every webhook is refused, since the signature covers the address",
            f"give it the same PUBLIC_URL as here ({_root_of(trip.url)}), and start it anew",
        )
    return problem(
        "round_trip",
        f"{found}: the signature is refused there",
        "every webhook is refused. It was signed for this URL with the auth token that is set here",
        "see that the service runs with the same PUBLIC_URL, TWILIO_AUTH_TOKEN and TWILIO_WORKSPACE_SID as here, and "
        "that the proxy passes on X-Twilio-Signature and leaves body, path and query as they are",
    )


def _path_advice(trip: RoundTrip) -> tuple[str, str]:
    prefix = urlsplit(_root_of(trip.url)).path
    if prefix and trip.origin_is_us:
        return (
            f"the service is there without {prefix}, or the proxy passes {prefix} on instead of taking it off",
            f"take {prefix} off in the proxy, or out of PUBLIC_URL and the URLs at Twilio",
        )
    return (
        "PUBLIC_URL does not lead to this service, or not with its whole path",
        "check its path: the proxy has to pass on /taskrouter/events, and nothing in front of it",
    )


def instruction(default: str, accept_via: str, kinds: Kinds) -> Finding:
    """The default instruction against the tasks that came."""
    check = "instruction"
    found = f"ENRICH_DEFAULT_INSTRUCTION={default}"
    if default in ("auto", "defer") or not kinds.seen:
        note = f"; {kinds.seen} tasks seen, {kinds.calls} of them calls" if kinds.seen else "; no task seen yet"
        return ok(check, found + note)
    via = " over REST" if accept_via == "rest" else ""
    if default == "accept" and kinds.calls:
        return problem(
            check,
            f"{found}, and {kinds.calls} of the last {kinds.seen} tasks were calls (they hold call_sid)",
            f"accepting{via} connects nobody: the caller stays in hold music",
            "use auto, defer (Flex) or dequeue",
        )
    if kinds.flex:
        return problem(
            check,
            f"{found}, and {kinds.flex} of the last {kinds.seen} tasks are Flex interactions (flexInteractionSid)",
            "Flex sets these up itself when the agent accepts; an instruction from here breaks that",
            "use auto or defer",
        )
    return ok(check, f"{found} suits the last {kinds.seen} tasks")


def headroom(lengths: Lengths) -> Finding:
    check = "headroom"
    if not lengths.seen:
        return ok(check, "no task was written to yet")
    found = f"of {lengths.seen} tasks the longest attributes had {lengths.longest:,} of {MOST_CHARACTERS:,} characters"
    if lengths.no_room:
        return problem(
            check,
            f"{found}; {lengths.no_room} times there was no room for our block",
            "these tasks are not enriched",
            "write less into attributes before the task is created; shorten the block (fields, notes, cases)",
        )
    if lengths.trimmed:
        return warning(
            check,
            f"{found}; {lengths.trimmed} blocks had to shrink",
            "agents do not see all that is known",
            "write less into attributes before the task is created; shorten the block (fields, notes, cases)",
        )
    if lengths.most > MOST_CHARACTERS - FEW_CHARACTERS_LEFT:
        return warning(
            check,
            f"{found}; one in twenty has more than {lengths.most:,}",
            "TaskRouter and Flex write there, too: soon the block has to shrink",
            "write less into attributes; shorten the block",
        )
    return ok(check, found)


def schema(at: str | None, head: str | None, failed: str = "") -> Finding:
    if failed:
        return problem(
            "database",
            f"the database does not answer: {failed}",
            "nothing can be recorded or looked up; TaskRouter gets the default instruction",
            "check DATABASE_URL, and whether the database runs",
        )
    if at != head:
        return problem(
            "migrations",
            f"the schema is at {at or 'nothing'}, and this version needs {head}",
            "what is new is not there: callbacks fail to be recorded",
            "flask db upgrade",
        )
    return ok("migrations", f"the schema is at {at}")


def worker(last_beat: datetime | None, now: datetime, alive_within: timedelta) -> Finding:
    meaning = "what could not be done in time is not done late, and nothing is warm before it is asked for"
    todo = "run flask worker beside the web server"
    if last_beat is None:
        return problem("worker", "no worker has ever left word", meaning, todo)
    silent = now - last_beat
    if silent > alive_within:
        return problem("worker", f"the last worker left word {_ago(silent)} ago", meaning, todo)
    return ok("worker", f"a worker left word {_ago(silent)} ago")


def owed(overdue_s: float, owed_now: int, given_up: int) -> Iterator[Finding]:
    """overdue_s: for how long the one that waits longest has been due. given_up: within a day."""
    if overdue_s > OVERDUE_S:
        yield warning(
            "followups",
            f"{owed_now} follow-ups are owed, one for {_ago(timedelta(seconds=overdue_s))} already",
            "workers do not keep up, or none runs",
            "run more of them: flask worker; see flask followups list",
        )
    else:
        yield ok("followups", f"{owed_now} follow-ups are owed, none for long")
    if given_up:
        yield warning(
            "followups_given_up",
            f"{given_up} follow-ups were given up within a day",
            "these tasks stayed without what was owed",
            "flask followups list tells why, flask followups retry tries again",
        )


def policy(path: str, wrong: str) -> Finding:
    """path: "" where none is set. wrong: what is, each on a line of its own; "" where the file is good."""
    if not path:
        return ok("policy", "no policy file is set")
    if wrong:
        return problem("policy", "; ".join(wrong.splitlines()), "the service does not start with it", "mend the file")
    return ok("policy", f"{path} is valid")


def worst(findings: Sequence[Finding]) -> Level:
    return max((each.level for each in findings), default=Level.OK)


def addresses_like(public_url: str) -> list[str]:
    """What a service may take for its address when it was meant to be this one: other scheme, port or path."""
    parts = urlsplit(public_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    roots = [f"{scheme}://{netloc}" for scheme in ("https", "http") for netloc in dict.fromkeys((parts.netloc, host))]
    ports = dict.fromkeys((parts.port or 8000, 8000, 5000))
    local = [f"http://{name}:{port}" for name in ("localhost", "127.0.0.1") for port in ports]
    paths = dict.fromkeys((parts.path, ""))
    return [each for each in (*(root + path for root in roots for path in paths), *local) if each != public_url]


def _is_ours(url: str, public_url: str, path: str = endpoints.ASSIGNMENT) -> bool:
    return endpoints.without_fragment(url).partition("?")[0] == public_url + path


def _is_near(url: str, public_url: str) -> bool:
    """Meant for us, it seems: the same host, or one of our paths."""
    parts = urlsplit(endpoints.without_fragment(url))
    ours = urlsplit(public_url).hostname
    return bool(url) and (parts.hostname == ours or parts.path.rstrip("/").endswith(_OUR_PATHS))


_OUR_PATHS = (endpoints.ASSIGNMENT, endpoints.FALLBACK, endpoints.EVENTS)


def _what_differs(url: str, wanted: str) -> str:
    there, here = urlsplit(endpoints.without_fragment(url)), urlsplit(wanted)
    parts = (
        ("scheme", there.scheme, here.scheme),
        ("host", there.hostname, here.hostname),
        ("port", there.port, here.port),
        ("path", there.path, here.path),
    )
    return "; ".join(
        f"{name} {theirs or 'none'} there, {ours or 'none'} here" for name, theirs, ours in parts if theirs != ours
    )


def _root_of(url: str) -> str:
    for path in _OUR_PATHS:
        if url.endswith(path):
            return url.removesuffix(path)
    return url


def _is_private(host: str) -> bool:
    if host == "localhost" or host.endswith((".local", ".internal", ".localhost")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host


def _ago(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 120:
        return f"{max(0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
