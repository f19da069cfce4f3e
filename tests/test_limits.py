"""Limits at their edges: what has exactly the limit passes, and one more does not.

The number stands here once more where it is a contract with somebody else: a page of Twilio's, a column of the
database, the proxy's file, or what the documentation promises.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from hashlib import sha256

import pytest
from flask import Flask
from flask.testing import FlaskClient

from enrich.accounts import passwords, users
from enrich.accounts.tables import Role
from enrich.customers import block
from enrich.customers.fixture_rows import CustomerFixture, read_customer
from enrich.customers.key_rules import KeyRules
from enrich.customers.matching import MAX_CANDIDATES_PER_KEY, choose, lookup_keys
from enrich.database.engine import Database
from enrich.domain import lengths
from enrich.domain.deadline import LATE_S, Deadline, OutOfTime
from enrich.domain.matches import MAX_KEYS, Ambiguous, Candidate, Case, Customer, LookupKey, LookupKeys, Matched, Trust
from enrich.domain.sids import is_sid
from enrich.errors import NoRoom, SettingsError, WorkspaceFileError
from enrich.flows.dispatcher import MAX_ATTEMPTS
from enrich.flows.rules import vocabulary
from enrich.pages.tasks import LINES_PER_PAGE
from enrich.policy import context, expressions, timeouts, wrapup
from enrich.policy import file as policy_file
from enrich.provisioning import file as workspace_file
from enrich.resilience import admission
from enrich.resilience.admission import Admission
from enrich.resilience.circuit_breaker import CircuitBreaker, CircuitOpen
from enrich.settings import read_settings
from enrich.taskrouter import attributes, endpoints, instructions, signature
from enrich.taskrouter.callbacks import split_form
from enrich.webhooks import handlers
from tests.support.app import AUTH_TOKEN, EMAIL, PASSWORD, PUBLIC_URL, services_of
from tests.support.clock import ManualClock
from tests.support.customers import ADA
from tests.support.fixtures import MakeApp
from tests.support.journal import insert_entry

# Varied, so that no rule but the one of the length can refuse it.
TEXT = "Correct horse, battery 7 staple; "


def text_of(length: int) -> str:
    return (TEXT * (length // len(TEXT) + 1))[:length].replace(" ", "_")


@pytest.mark.parametrize(
    ("limit", "number"),
    [
        (attributes.LIMIT, 4_096),
        (lengths.MAX_FORM_BYTES, 128 * 1024),
        (lengths.MAX_STREAM_BYTES, 1_000_000),
        (lengths.MAX_PAGE_REQUEST_BYTES, 1_000_000),
        (lengths.MAX_INTAKE_BYTES, 4_000_000),
        (lengths.MAX_SIGN_IN_BYTES, 8 * 1024),
        (lengths.MAX_SID_LENGTH, 34),
        (lengths.MAX_EMAIL_LENGTH, 254),
        (lengths.MAX_CUSTOMER_ID_LENGTH, 64),
        (lengths.MAX_CUSTOMER_NAME_LENGTH, 200),
        (lengths.MAX_IDENTIFIER_LENGTH, 254),
        (lengths.MAX_NOTE_LENGTH, 10_000),
        (handlers.EVENT_S, 2.0),
        (handlers.STREAM_S, 4.0),
        (MAX_ATTEMPTS, 20),
        (MAX_KEYS, 8),
        (block.MAX_SHOWN_NOTES, 3),
        (block.MAX_SHOWN_CASES, 3),
        (block.MAX_SHOWN_CANDIDATES, 10),
        (policy_file.MAX_RULES, 500),
        (expressions.MAX_EXPRESSION_LENGTH, 4_000),
        (context.MAX_PATH_LENGTH, 4),
        (context.MAX_PROJECTIONS, 30),
        (timeouts.MAX_ASSIGNMENTS, 1_000),
        (timeouts.MAX_PRIORITY, 2**31 - 1),
        (wrapup.MAX_AFTER_S, 86_400),
        (passwords.MIN_LENGTH, 12),
        (passwords.MAX_LENGTH, 1_024),
        (LINES_PER_PAGE, 50),
        (workspace_file.MAX_RESERVATION_S, 86_400),
    ],
)
def test_a_limit_that_others_rely_on_stays_what_it_is(limit: float, number: float) -> None:
    assert limit == number


# --- rules


def _has_room(length: int) -> bool:
    """Return whether our block stands in attributes that have this length with it."""
    own = {"match": "none"}
    around = len('{"a":""') + len(',"crm":{"match":"none"}}')
    try:
        spliced = attributes.splice(json.dumps({"a": "x" * (length - around)}, separators=(",", ":")), "crm", [own])
    except NoRoom:
        return False
    assert isinstance(spliced, attributes.Spliced)
    assert len(spliced.text) == length
    return spliced.block is not None


def _customer(**changes: object) -> bool:
    """Return whether the row is read as a customer without a problem."""
    return isinstance(read_customer(ADA | changes, "US"), CustomerFixture)


def _text_of_customer(name: str, length: int) -> bool:
    return _customer(**{name: "x" * length})


def _case(**changes: str) -> bool:
    return _customer(cases=[{"id": "K-9", "subject": "Broken gear", "status": "open"} | changes])


def _policy(text: str) -> bool:
    """Return whether this policy has no problem."""
    return not policy_file.read_policy(text, vocabulary("crm", "US"))[1].found


def _rules(number: int) -> bool:
    rule = '[[rules]]\nname = "{}"\nwhen = "task.a == {}"\ninstruction = "accept"\n'
    return _policy("".join(rule.format(each, each) for each in range(number)))


def _expression(length: int) -> bool:
    condition = "task.a == '" + "x" * (length - len("task.a == ''")) + "'"
    try:
        return expressions.compile_expression(condition) is not None
    except expressions.ExpressionError:
        return False


def _nested(depth: int) -> bool:
    text = "task.a == 1"
    for level in range(depth):
        text = f"task.a == 1 {('AND', 'OR')[level % 2]} ({text})"
    try:
        return expressions.compile_expression(text) is not None
    except expressions.ExpressionError:
        return False


def _workspace(text: str) -> bool:
    try:
        workspace_file.read('[workspace]\nname = "Support"\n' + text, PUBLIC_URL)
    except WorkspaceFileError:
        return False
    return True


def _keys(number: int) -> bool:
    """Return whether each of so many keys is looked up."""
    values = {f"n{each}": f"A-{each}" for each in range(number)}
    rules = KeyRules.parse(", ".join(f"{name}:{name}" for name in values))
    return len(lookup_keys(values, rules).keys) == number


def _sharing(number: int) -> bool:
    """Return whether a number that so many customers share counts beside an e-mail address of somebody else."""
    phone = LookupKey("phone", "+14155550100", Trust.VERIFIED, "from")
    email = LookupKey("email", "ada@example.com", Trust.VERIFIED, "email")
    sharing = [Candidate(f"C-{each}", "", "phone", phone.value) for each in range(number)]
    other = Candidate("C-other", "", "email", email.value)
    return isinstance(choose(LookupKeys((phone, email)), [*sharing, other]), Ambiguous)


def _shown(customer: Customer, name: str) -> int:
    """Return the number of the customer's notes or cases that stand in the block."""
    key = LookupKey("phone", "+14155550100", Trust.VERIFIED, "from")
    (first, *_) = block.compose(Matched(customer.id, customer.name, key), customer, block.BlockShape())
    return len(first[name])


def _notes_are_shown(number: int) -> bool:
    return _shown(Customer("C-1", "Ada", notes=("a",) * number), "notes") == number


def _cases_are_shown(number: int) -> bool:
    cases = tuple(Case(f"K-{each}", "a", "open") for each in range(number))
    return _shown(Customer("C-1", "Ada", open_cases=cases), "cases") == number


def _splits(parameters: int) -> bool:
    """Return whether each of so many parameters is split off."""
    return split_form(b"&".join([b"a=b"] * parameters)) == [(b"a", b"b")] * parameters


def _text(length: int) -> bool:
    """Return whether an instruction takes a text of this length."""
    try:
        return bool(instructions.build("conference", {"from": "x" * length}))
    except ValueError:
        return False


MAXIMA: dict[str, tuple[Callable[[int], bool], int]] = {
    "characters of attributes": (_has_room, attributes.LIMIT),
    "characters of a SID": (lambda n: is_sid("WT" + "0" * (n - 2)), lengths.MAX_SID_LENGTH),
    # A thousand are split off, and what remains is one more.
    "parameters of a callback": (_splits, 1_001),
    "keys that are looked up": (_keys, MAX_KEYS),
    "customers that share a key": (_sharing, MAX_CANDIDATES_PER_KEY - 1),
    "e-mail of staff": (lambda n: not users.email_problem("a" * (n - 12) + "@example.com"), lengths.MAX_EMAIL_LENGTH),
    "name of staff": (lambda n: not users.name_problem("x" * n), lengths.MAX_STAFF_NAME_LENGTH),
    "password": (lambda n: not passwords.problem(text_of(n)), passwords.MAX_LENGTH),
    "id of a customer": (lambda n: _customer(id="x" * n), lengths.MAX_CUSTOMER_ID_LENGTH),
    **{
        f"{name} of a customer": (partial(_text_of_customer, name), n)
        for name, n in lengths.CUSTOMER_TEXT_LENGTHS.items()
    },
    "note": (lambda n: _customer(notes=["x" * n]), lengths.MAX_NOTE_LENGTH),
    "id of a case": (lambda n: _case(id="x" * n), lengths.MAX_CASE_ID_LENGTH),
    "subject of a case": (lambda n: _case(subject="x" * n), lengths.MAX_CASE_SUBJECT_LENGTH),
    "status of a case": (lambda n: _case(status="x" * n), lengths.MAX_CASE_STATUS_LENGTH),
    "kind of an identifier": (lambda n: _customer(ids={"k" * n: ["A-1"]}), lengths.MAX_IDENTIFIER_KIND_LENGTH),
    "identifier": (lambda n: _customer(ids={"account_number": ["x" * n]}), lengths.MAX_IDENTIFIER_LENGTH),
    "notes in the block": (_notes_are_shown, block.MAX_SHOWN_NOTES),
    "cases in the block": (_cases_are_shown, block.MAX_SHOWN_CASES),
    "text of an instruction": (_text, 2_000),
    "rules of a policy": (_rules, policy_file.MAX_RULES),
    "name of a rule": (
        lambda n: _policy(f'[[rules]]\nname = "{"x" * n}"\nwhen = "task.a == 1"\ninstruction = "accept"\n'),
        policy_file.MAX_NAME_LENGTH,
    ),
    "characters of a condition": (_expression, expressions.MAX_EXPRESSION_LENGTH),
    "parentheses of a condition": (_nested, expressions.MAX_DEPTH),
    "names of a projection": (
        lambda n: _policy(f'[context.projections]\n"{".".join("abcdefgh"[:n])}" = "x"\n'),
        context.MAX_PATH_LENGTH,
    ),
    "projections": (
        lambda n: _policy("[context.projections]\n" + "".join(f'n{each} = "x"\n' for each in range(n))),
        context.MAX_PROJECTIONS,
    ),
    "misses before a step": (
        lambda n: _policy(f"[[timeouts.steps]]\nafter = {n}\nescalation = 1\n"),
        timeouts.MAX_ASSIGNMENTS,
    ),
    "priority of a step": (
        lambda n: _policy(f"[[timeouts.steps]]\nafter = 1\nraise_priority_to = {n}\n"),
        timeouts.MAX_PRIORITY,
    ),
    "seconds of wrap-up": (lambda n: _policy(f"[wrapup]\ncomplete_after_s = {n}\n"), wrapup.MAX_AFTER_S),
    "reason of wrap-up": (lambda n: _policy(f'[wrapup]\nreason = "{"x" * n}"\n'), lengths.MAX_COMPLETION_REASON_LENGTH),
    "name of a queue": (lambda n: _workspace(f'[[queues]]\nname = "{"x" * n}"\n'), workspace_file.MAX_NAME_LENGTH),
    "workers that a queue reserves": (
        lambda n: _workspace(f'[[queues]]\nname = "x"\nmax_reserved_workers = {n}\n'),
        workspace_file.MAX_RESERVED,
    ),
    "seconds of a reservation": (
        lambda n: _workspace(f'[[workflows]]\nname = "x"\nreservation_timeout_s = {n}\n'),
        workspace_file.MAX_RESERVATION_S,
    ),
    "retries of an event": (lambda n: _workspace(f"event_retries = {n}\n"), workspace_file.MAX_RETRIES),
    "days that the journal is kept": (lambda n: _setting("ENRICH_KEEP_DAYS", n), 36_500),
    "callbacks in flight": (lambda n: _setting("ENRICH_MAX_IN_FLIGHT", n), 10_000),
    "proxies": (lambda n: _setting("ENRICH_TRUSTED_PROXIES", n), 10),
    "minutes of a card": (lambda n: _setting("ENRICH_CARD_MINUTES", n), 10_080),
}


def _setting(name: str, value: float) -> bool:
    try:
        read_settings({name: str(value)})
    except SettingsError:
        return False
    return True


@pytest.mark.parametrize(("accepts", "limit"), MAXIMA.values(), ids=MAXIMA)
def test_the_limit_passes_and_one_more_does_not(accepts: Callable[[int], bool], limit: int) -> None:
    assert accepts(limit)
    assert not accepts(limit + 1)


MINIMA: dict[str, tuple[Callable[[int], bool], int]] = {
    "password": (lambda n: not passwords.problem(text_of(n)), passwords.MIN_LENGTH),
    "misses before a step": (lambda n: _policy(f"[[timeouts.steps]]\nafter = {n}\nescalation = 1\n"), 1),
    "assignments before the alarm": (lambda n: _policy(f"[timeouts]\nalarm_assignments = {n}\n"), 2),
    "seconds of wrap-up": (lambda n: _policy(f"[wrapup]\ncomplete_after_s = {n}\n"), wrapup.MIN_AFTER_S),
    "days that the journal is kept": (lambda n: _setting("ENRICH_KEEP_DAYS", n), 1),
    "callbacks in flight": (lambda n: _setting("ENRICH_MAX_IN_FLIGHT", n), 1),
    "failures before the breaker opens": (lambda n: _setting("ENRICH_BREAKER_FAILURES", n), 1),
    "seconds of a reservation": (
        lambda n: _workspace(f'[[workflows]]\nname = "x"\nreservation_timeout_s = {n}\n'),
        1,
    ),
}


@pytest.mark.parametrize(("accepts", "limit"), MINIMA.values(), ids=MINIMA)
def test_the_minimum_passes_and_one_less_does_not(accepts: Callable[[int], bool], limit: int) -> None:
    assert accepts(limit)
    assert not accepts(limit - 1)


# --- time


@pytest.mark.parametrize(("budget_s", "accepted"), [(3.5, True), (3.6, False), (0.1, True), (0.09, False)])
def test_the_budget_leaves_time_to_answer(budget_s: float, *, accepted: bool) -> None:
    assert _setting("ENRICH_BUDGET_S", budget_s) is accepted


def test_a_time_out_is_late_only_after_the_limit() -> None:
    assert not OutOfTime(0.0).came_late(lambda: LATE_S)
    assert OutOfTime(0.0).came_late(lambda: LATE_S + 0.001)
    assert not OutOfTime().came_late(lambda: 1e9)


def test_a_deadline_is_shortened_and_never_made_longer(clock: ManualClock) -> None:
    deadline = Deadline.after(3.5, clock, waited_s=1.0)
    assert deadline.remaining_s() == 2.5
    assert (deadline.shortened_to(2.0).remaining_s(), deadline.shortened_to(2.0).elapsed_ms()) == (1.0, 1000.0)
    assert deadline.shortened_to(9.0).remaining_s() == 2.5


def test_the_process_is_behind_only_after_the_limit(clock: ManualClock) -> None:
    assert Admission(1, now=clock).refused(admission.MAX_WAIT_S) == ""
    assert Admission(1, now=clock).refused(admission.MAX_WAIT_S + 0.001) == "queue"


def test_one_callback_more_than_may_be_in_flight_is_refused(clock: ManualClock) -> None:
    gate = Admission(2, now=clock)
    assert [gate.refused(0.0) for _ in range(3)] == ["", "", "in_flight"]
    gate.leave()
    assert gate.refused(0.0) == ""


def test_the_average_is_forgotten_only_after_the_limit(clock: ManualClock) -> None:
    gate = Admission(1_000, now=clock)
    while not gate.refused(admission.MAX_WAIT_S):
        pass
    clock.now_s += admission.FORGET_AFTER_S
    assert gate.refused(0.0) == "queue"
    clock.now_s += admission.FORGET_AFTER_S + 0.001
    assert gate.refused(0.0) == ""


def test_a_callback_has_at_least_half_of_its_time() -> None:
    assert admission.budget_s(3.5, 1) == 3.5
    assert admission.budget_s(3.5, 2) == 3.5 - admission.CONCLUSION_COST_S
    assert admission.budget_s(3.5, 10_000) == 1.75


def test_the_breaker_opens_at_its_limit_and_closes_after_its_rest(clock: ManualClock) -> None:
    breaker = CircuitBreaker(failures=3, rest_s=2.0, now=clock)
    for is_open in (False, False, True):
        breaker.leave(breaker.enter(), ValueError(), (ValueError,))
        assert breaker.is_open is is_open
    clock.now_s += 1.999
    with pytest.raises(CircuitOpen):
        breaker.enter()
    clock.now_s += 0.001
    breaker.enter()  # the probe


# --- requests


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    app = make_app()
    users.add(services_of(app).database, email=EMAIL, role=Role.EDITOR, password=PASSWORD)
    return app


@pytest.fixture
def database(app: Flask) -> Database:
    return services_of(app).database


@pytest.mark.parametrize("path", [endpoints.ASSIGNMENT, endpoints.FALLBACK, endpoints.EVENTS])
@pytest.mark.parametrize(("more", "status"), [(0, 403), (1, 413)])
def test_a_callback_of_the_limit_is_read(app: Flask, path: str, more: int, status: int) -> None:
    """It is not signed for this body, which is known only once it was read."""
    body = b"a=" + b"x" * (lengths.MAX_FORM_BYTES - 2 + more)
    headers = {"X-Twilio-Signature": "A" * 27 + "="}
    assert app.test_client().post(path, data=body, headers=headers).status_code == status


@pytest.mark.parametrize(("more", "status"), [(0, 204), (1, 413)])
def test_a_stream_of_the_limit_is_read(app: Flask, more: int, status: int) -> None:
    body = b"[" + b" " * (lengths.MAX_STREAM_BYTES - 2 + more) + b"]"
    query = f"bodySHA256={sha256(body).hexdigest()}"
    header = signature.sign(f"{PUBLIC_URL}{endpoints.EVENT_STREAMS}?{query}", (), AUTH_TOKEN)
    response = app.test_client().post(
        f"{endpoints.EVENT_STREAMS}?{query}", data=body, headers={"X-Twilio-Signature": header}
    )
    assert response.status_code == status


def form(length: int) -> bytes:
    fields = b"email=a@example.com&password="
    return fields + b"x" * (length - len(fields))


@pytest.mark.parametrize(("more", "status"), [(0, 401), (1, 413)])
def test_a_sign_in_of_the_limit_is_read(stranger: FlaskClient, more: int, status: int) -> None:
    body = form(lengths.MAX_SIGN_IN_BYTES + more)
    sent = stranger.post("/login", data=body, content_type="application/x-www-form-urlencoded")
    assert sent.status_code == status


@pytest.mark.parametrize(("more", "status"), [(0, 422), (1, 413)])
def test_a_form_of_the_limit_is_read(browser: FlaskClient, more: int, status: int) -> None:
    body = form(lengths.MAX_PAGE_REQUEST_BYTES + more)
    sent = browser.post("/new-customer", data=body, content_type="application/x-www-form-urlencoded")
    assert sent.status_code == status


# --- pages


@pytest.mark.parametrize(("tasks", "has_older"), [(LINES_PER_PAGE, False), (LINES_PER_PAGE + 1, True)])
def test_a_page_of_tasks_has_so_many_lines(
    database: Database, browser: FlaskClient, tasks: int, *, has_older: bool
) -> None:
    for number in range(tasks):
        insert_entry(database, task_sid=f"WT{number:032}", reservation_sid=f"WR{number:032}")
    page = browser.get("/").text
    assert page.count('id="line-') == LINES_PER_PAGE
    assert ("before=" in page) is has_older
