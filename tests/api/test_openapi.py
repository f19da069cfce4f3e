"""The description of the API, and that every operation keeps to it whatever is asked.

The walk is written with hypothesis, from the document alone: what a parameter may be is drawn from its schema, so a new
operation is walked without being named.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import hypothesis
import pytest
from flask import Flask
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator
from sqlalchemy import insert
from werkzeug.test import TestResponse

from enrich.api import views
from enrich.journal.tables import FollowupRow
from tests.support.api import ApiClient
from tests.support.app import PUBLIC_URL, services_of
from tests.support.databases import seed_customers
from tests.support.fixtures import MakeApp
from tests.support.journal import insert_entry

pytestmark = pytest.mark.database

TASK_SID = "WT" + "1" * 32
# Values that find somebody, nobody, or are refused, beside any text.
PLAUSIBLE = [
    *("+14155550100", "+16175550142", "ada@example.com", "C-1001", "C-1002", "anonymous", "account_number", "claimed"),
    *("", "0", "-1", "501", "1e3", "٣", "2026-11-24", "2026-13-45", "0001-01-01T00:00:00-23:59", "pending", "a/../b"),
    *(TASK_SID, TASK_SID.lower(), "WT" + "f" * 32),
]
TEXTS = st.sampled_from(PLAUSIBLE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


# Of what there is.
PATHS = {"customer_id": "C-1001", "task_sid": TASK_SID, "source": "shop", "remote_id": "17"}
# Bodies of the intake that are applied, kept aside, and refused.
CUSTOMERS = st.fixed_dictionaries({"version": st.integers(0, 3), "name": st.just("Ada")}) | st.fixed_dictionaries(
    {"version": st.integers(0, 3)},
    optional={
        "id": st.sampled_from(["17", "18", 17, "", None]),
        "state": st.sampled_from(["live", "archived", "merged", "gone"]),
        "into": st.sampled_from(["17", "18"]),
        "name": st.sampled_from(["Ada", "", 7]),
        "phones": st.sampled_from([[], ["+14155550100"], ["12"], "12"]),
        "unknown": st.none(),
    },
)
BODIES = CUSTOMERS | st.lists(CUSTOMERS | st.none(), max_size=3).map(lambda some: {"customers": some}) | st.none()

# What a parameter may be.
ValueOf = Callable[[dict[str, Any]], st.SearchStrategy[str]]


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    response = app.test_client().get("/api/v1/openapi.json")
    assert response.mimetype == "application/json"
    document: dict[str, Any] = response.get_json()
    return document


def test_it_describes_every_route_and_no_other(app: Flask, document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    rules = views.application(services_of(app)).url_map.iter_rules()
    routed = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert described == routed
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": PUBLIC_URL}]


def test_every_schema_is_valid(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        OAS31Validator.check_schema(schema)
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                OAS31Validator.check_schema(parameter["schema"])
                assert parameter["description"]


@dataclass(frozen=True)
class Walk:
    """One operation of the document, requests to it, and the check that their responses are as described."""

    document: dict[str, Any]
    path: str
    method: str
    operation: dict[str, Any]
    cursors: list[str]

    @property
    def parameters(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.operation.get("parameters", [])
        return listed

    def queries(
        self, value_of: Callable[[dict[str, Any]], st.SearchStrategy[str]]
    ) -> st.SearchStrategy[dict[str, str]]:
        """Return queries with some of the parameters."""
        values = {one["name"]: value_of(one) for one in self.parameters if one["in"] == "query"}
        return st.fixed_dictionaries({}, optional=values)

    def addresses(self, value_of: ValueOf) -> st.SearchStrategy[str]:
        """Return paths of the operation, below the prefix."""
        values = {one["name"]: value_of(one) for one in self.parameters if one["in"] == "path"}
        template = self.path.removeprefix("/api/v1")
        return st.fixed_dictionaries(values).map(
            lambda chosen: template.format(**{name: quote(value, safe="") for name, value in chosen.items()})
        )

    def valid(self, parameter: dict[str, Any]) -> st.SearchStrategy[str]:
        """Return values that the parameter's schema allows; ids of path parameters that exist, or not."""
        schema = parameter["schema"]
        if parameter["in"] == "path":
            known = {"source": ["shop"], "remote_id": ["17", "18", "a/b"]}
            others = ["C-1001", "C-1002", "C-9999", TASK_SID, "WT" + "9" * 32]
            return st.sampled_from(known.get(parameter["name"], others))
        if parameter["name"] == "cursor":
            return st.sampled_from(self.cursors) if self.cursors else st.nothing()
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if schema["type"] == "integer":
            return st.integers(schema["minimum"], schema["maximum"]).map(str)
        if schema.get("format") == "date-time":
            times = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is the other argument
            return times.map(datetime.isoformat)
        return st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=schema["maxLength"])

    def check(self, response: TestResponse) -> None:
        """Status, media type and body are described, and a refusal of parameters names one of them."""
        described = self.operation["responses"][str(response.status_code)]["content"]
        schema = {**described[response.mimetype]["schema"], "components": self.document["components"]}
        body = response.get_json()
        OAS31Validator(schema).validate(body)
        if response.status_code == 422:
            assert body["errors"]
        if response.status_code == 422 and "requestBody" not in self.operation:
            names = {one["name"] for one in self.parameters} | {"unknown"}
            assert {name for error in body["errors"] for name in error["field"].split(", ")} <= names
        assert ("Link" in response.headers) == bool(response.status_code == 200 and body.get("next"))


@pytest.fixture
def app(make_app: MakeApp, database_url: str, tmp_path: Path) -> Flask:
    """An application with customers, tasks, follow-ups and a source, which limits nobody's rate."""
    sources = tmp_path / "sources.toml"
    sources.write_text('[sources.shop]\nkind = "push"\n')
    app = make_app(DATABASE_URL=database_url, ENRICH_API_RATE="100000", ENRICH_SOURCES=str(sources))
    database = services_of(app).database
    seed_customers(database)
    for number in range(3):
        entry_id = insert_entry(database, task_sid="WT" + str(number) * 32)
        now = datetime.now(UTC)
        database.write(insert(FollowupRow).values(kind="enrich", entry_id=entry_id, created_at=now, due_at=now))
    insert_entry(database, task_sid=TASK_SID, kind="event", event_type="task.created", outcome=None, match=None)
    insert_entry(database, task_sid=TASK_SID, match="ambiguous", customer_id=None, concluded_at=None, decision={"a": 1})
    return app


def walks(document: dict[str, Any], client: ApiClient) -> list[Walk]:
    """Return all operations, each with cursors of its own list and of others."""
    all_walks = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            own = path.removeprefix("/api/v1").format(**PATHS)
            lists = "cursor" in [one["name"] for one in operation.get("parameters", ())]
            cursors = [page["next"] for page in client.pages(own, limit=1)][:-1] if lists else []
            assert cursors or not lists
            all_walks.append(Walk(document, path, method.upper(), operation, cursors))
    return all_walks


def test_every_operation_answers_as_described(app: Flask, document: dict[str, Any]) -> None:
    """Any token, any path, any parameters."""
    clients = [
        ApiClient.with_scopes(app, "lookup", "read", "intake:shop"),
        ApiClient.with_scopes(app, "lookup", "read:unmasked", "intake:shop"),
        ApiClient.with_scopes(app, "lookup:claimed"),
        ApiClient.with_scopes(app, "read"),
        ApiClient(app, ""),
    ]
    statuses: set[int] = set()

    def walk(operation: Walk) -> None:
        def any_value(parameter: dict[str, Any]) -> st.SearchStrategy[str]:
            values = operation.valid(parameter) | TEXTS
            return values.filter(bool) if parameter["in"] == "path" else values

        unknown = st.dictionaries(st.just("unknown"), TEXTS, max_size=1)
        accept = st.sampled_from([None, "application/json", "application/problem+json", "*/*", "text/html", "\x7f"])

        @hypothesis.given(
            operation.addresses(any_value),
            operation.queries(any_value),
            unknown,
            st.sampled_from(clients),
            accept,
            BODIES if "requestBody" in operation.operation else st.none(),
        )
        @hypothesis.settings(deadline=None)
        def check(
            path: str,
            query: dict[str, str],
            unknown: dict[str, str],
            client: ApiClient,
            accept: str | None,
            body: Any,
        ) -> None:
            headers = {} if accept is None else {"Accept": accept}
            response = client.send(path, query | unknown, method=operation.method, json=body, **headers)
            statuses.add(response.status_code)
            operation.check(response)

        check()

    for operation in walks(document, clients[0]):
        walk(operation)
    assert {200, 201, 401, 403, 404, 406, 415, 422} <= statuses


def test_what_the_description_allows_is_answered(app: Flask, document: dict[str, Any]) -> None:
    """Parameters within their schemas are never refused, the next page is where `Link` says, and HEAD is as GET."""
    client = ApiClient.with_scopes(app, "lookup", "read")

    def walk(operation: Walk) -> None:
        @hypothesis.given(operation.addresses(operation.valid), operation.queries(operation.valid))
        @hypothesis.settings(deadline=None, max_examples=hypothesis.settings().max_examples // 2)
        def check(path: str, query: dict[str, str]) -> None:
            if "cursor" in query:  # of this list without filters
                query = {name: value for name, value in query.items() if name in ("cursor", "limit")}
            response = client.send(path, query)
            if operation.path != "/api/v1/lookup":  # which wants exactly one key
                assert response.status_code in (200, 404), response.text
            operation.check(response)
            head = client.send(path, query, method="HEAD")
            assert (head.status_code, head.data) == (response.status_code, b"")
            if address := response.headers.get("Link"):
                following = client.send(address.partition(">")[0].removeprefix(f"<{PUBLIC_URL}/api/v1"))
                assert following.status_code == 200
                operation.check(following)

        check()

    for operation in walks(document, client):
        if operation.method == "GET":
            walk(operation)


def test_other_methods_are_refused(app: Flask, document: dict[str, Any]) -> None:
    client = ApiClient.with_scopes(app, "lookup", "read")
    for operation in walks(document, client):
        path = operation.path.removeprefix("/api/v1").format(**PATHS)
        described = {method.upper() for method in document["paths"][operation.path]}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - described:
            response = client.send(path, method=method)
            assert (response.status_code, response.mimetype) == (405, "application/problem+json")
            assert described <= set(response.headers["Allow"].split(", "))
