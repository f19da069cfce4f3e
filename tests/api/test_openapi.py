"""The description of the API, and that every operation keeps to it whatever is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import hypothesis
import pytest
from flask import Flask
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator

from enrich.accounts.tokens import ApiTokens
from enrich.api import views
from tests.support.app import PUBLIC_URL, services_of
from tests.support.databases import seed_customers

pytestmark = pytest.mark.database

# Values that find somebody, nobody, or are refused, beside any text.
PLAUSIBLE = ["+14155550100", "+16175550142", "ada@example.com", "C-1001", "anonymous", "account_number", "claimed", ""]
TEXTS = st.sampled_from(PLAUSIBLE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    response = app.test_client().get("/api/v1/openapi.json")
    assert response.mimetype == "application/json"
    document: dict[str, Any] = response.get_json()
    return document


def test_it_describes_every_route_and_no_other(app: Flask, document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    rules = views.application(services_of(app)).url_map.iter_rules()
    assert described == {(method, rule.rule) for rule in rules for method in (rule.methods or set()) - {"HEAD"}}
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


def test_every_operation_answers_as_described(app: Flask, document: dict[str, Any]) -> None:
    seed_customers(services_of(app).database)
    added = ApiTokens(services_of(app).database).add(name="test", scopes=["lookup"], now=datetime.now(UTC))
    assert added
    token = f"Bearer {added[1]}"
    client = app.test_client()
    statuses: set[int] = set()

    def walk(path: str, method: str, operation: dict[str, Any]) -> None:
        names = [parameter["name"] for parameter in operation.get("parameters", ())]

        @hypothesis.given(st.dictionaries(st.sampled_from([*names, "unknown"]), TEXTS, max_size=2), st.booleans())
        @hypothesis.settings(deadline=None)
        def check(query: dict[str, str], with_token: bool) -> None:
            headers = {"Authorization": token} if with_token else {}
            response = client.open(path, method=method, query_string=query, headers=headers)
            statuses.add(response.status_code)
            described = operation["responses"][str(response.status_code)]["content"]
            schema = {**described[response.mimetype]["schema"], "components": document["components"]}
            OAS31Validator(schema).validate(response.get_json())

        check()

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            walk(path, method.upper(), operation)
    assert {200, 401, 422} <= statuses
