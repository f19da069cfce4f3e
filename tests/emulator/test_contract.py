"""The emulator and Twilio's published OpenAPI document: what is sent and what is answered have the same names."""

import json

import pytest


@pytest.fixture
def answered(contract, desk, http):
    """A worker as the emulator answers it: method, path, status, headers, and the body to be spoiled."""
    answer = http.get(desk.workspace.workers(desk.worker()).fetch().url)
    path = answer.url.removeprefix(desk.emulator.base_url)
    return "GET", path, answer.status_code, dict(answer.headers), answer.json()


def test_what_the_emulator_answers_is_in_order(contract, answered):
    *where, body = answered
    assert contract.complaints(*where, json.dumps(body)) == []


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(lambda body: body.pop("date_status_changed"), "'date_status_changed' is a required", id="missing"),
        pytest.param(lambda body: body.update(colour="red"), "'colour' was unexpected", id="invented"),
        pytest.param(lambda body: body.update(available="true"), "'true' is not of type 'boolean'", id="another type"),
        pytest.param(lambda body: body.update(sid="WK1"), "'WK1' does not match", id="malformed SID"),
        pytest.param(lambda body: body.update(date_created="yesterday"), "is not a 'date-time'", id="no date"),
        pytest.param(lambda body: body["links"].pop("channels"), "links", id="a link less"),
    ],
)
def test_what_is_not_in_order_is_noticed(contract, answered, spoil, complaint):
    *where, body = answered
    spoil(body)
    found = contract.complaints(*where, json.dumps(body))
    assert any(complaint in one for one in found), found


def test_a_missing_etag_another_status_and_an_unknown_path_are_noticed(contract, answered):
    method, path, status, headers, body = answered
    text = json.dumps(body)
    without = {name: value for name, value in headers.items() if name.lower() != "etag"}
    assert contract.complaints(method, path, status, without, text) == ["FetchWorker: an ETag is missing"]
    assert contract.complaints(method, path, 201, headers, text) == ["FetchWorker: status 201 instead of 200"]
    assert "is no operation" in contract.complaints(method, "/v1/Workspaces/WS1/Nothing", 200, {}, "{}")[0]


def test_a_refusal_has_four_keys_and_no_other(contract):
    refusal = {"code": 20404, "message": "?", "more_info": "https://www.twilio.com/docs/errors/20404", "status": 404}
    assert contract.complaints("GET", "/v1/Workspaces/WS1", 404, {}, json.dumps(refusal)) == []
    assert contract.complaints("GET", "/v1/Workspaces/WS1", 404, {}, json.dumps(refusal | {"code": "20404"}))
    assert contract.complaints("GET", "/v1/Workspaces/WS1", 404, {}, json.dumps(refusal | {"user_error": True}))
