"""Hostile callbacks: unsigned ones do nothing, and signed ones get an answer and a row in the journal."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
from collections.abc import Callable
from urllib.parse import quote_from_bytes

import pytest
import requests
from sqlalchemy import func, select

from enrich.domain.lengths import MAX_FORM_BYTES
from enrich.journal.tables import EntryRow
from taskrouter_emulator import EMULATOR_ONLY
from tests.support.contact_centre import Service, sid, sign

ASSIGNMENT = "/taskrouter/assignment"
EVENTS = "/taskrouter/events"


def post_signed_bytes(service: Service, path: str, fields: list[tuple[bytes, bytes]]) -> requests.Response:
    """As Twilio would sign bytes that are no UTF-8; the SDK cannot."""
    text = (service.url + path).encode() + b"".join(name + value for name, value in sorted(fields))
    signature = base64.b64encode(hmac.new(EMULATOR_ONLY.auth_token.encode(), text, hashlib.sha1).digest()).decode()
    body = "&".join(f"{quote_from_bytes(name)}={quote_from_bytes(value)}" for name, value in fields)
    return service.post(path, body.encode(), signature)


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="no-json"),
        pytest.param(b"[1,2,3]", id="an-array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"from":["+14155550100"],"caller":{"a":1},"email":true,"customer_id":1e999}', id="wrong-types"),
        pytest.param(b'{"from":"' + b"x" * 60_000 + b'"}', id="60-kB"),
        pytest.param(b'{"from":"\\ud800"}', id="an-escaped-lone-surrogate"),
        pytest.param(b'{"from":"\xed\xa0\x80"}', id="a-raw-lone-surrogate"),
        pytest.param(b"{" * 5000, id="5000-open-braces"),
        pytest.param(b'{"a":' * 3000 + b"1" + b"}" * 3000, id="3000-deep"),
        pytest.param(b'{"from":"\xff\xfe\x00"}', id="invalid-utf-8-and-nul"),
        pytest.param(b'{"from":"+1415555\\u00000100","customer_id":"\\u0000"}', id="an-escaped-nul"),
        pytest.param(b'{"n":' + b"9" * 6000 + b"}", id="an-endless-integer"),
    ],
)
def test_signed_nonsense_gets_an_answer_and_a_row(service: Service, attributes: bytes) -> None:
    reservation_sid = sid("WR")
    fields = [
        (b"WorkspaceSid", sid("WS").encode()),
        (b"TaskSid", sid("WT").encode()),
        (b"ReservationSid", reservation_sid.encode()),
        (b"TaskAttributes", attributes),
        (b"WorkerAttributes", attributes),
    ]
    response = post_signed_bytes(service, ASSIGNMENT, fields)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert response.json() == {"instruction": "accept"}
    (entry,) = service.entries(reservation_sid=reservation_sid)
    assert entry.answer == '{"instruction":"accept"}'
    assert entry.outcome in ("malformed", "gone")  # that task does not exist; what could be read was looked for


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([], id="nothing"),
        pytest.param([(b"TaskSid", b"WT1")], id="no-sids"),
        pytest.param([(b"\xff\x00", b"\x00\xff")], id="no-names"),
        pytest.param([(b"ReservationSid", b"WR" + b"0" * 32 + b"/../..")], id="a-sid-with-a-path"),
        pytest.param([(b"a%d" % n, b"") for n in range(3000)], id="3000-parameters"),
    ],
)
def test_a_signed_callback_without_its_sids_is_refused(service: Service, fields: list[tuple[bytes, bytes]]) -> None:
    before = _count(service)
    # Of more than a thousand parameters the rest is one, signed as such by nobody: refused, not misread.
    status = 403 if len(fields) > 1000 else 400
    for path in (ASSIGNMENT, ASSIGNMENT + "/fallback", EVENTS):
        assert post_signed_bytes(service, path, fields).status_code == status
    assert _count(service) == before


@pytest.mark.parametrize("path", [ASSIGNMENT, ASSIGNMENT + "/fallback", EVENTS])
@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda url, form: "", id="no-signature"),
        pytest.param(lambda url, form: "bm90IG91cnM=", id="a-wrong-one"),
        pytest.param(lambda url, form: sign(url + "?x=1", form), id="of-another-address"),
        pytest.param(lambda url, form: sign(url, form | {"TaskSid": sid("WT")}), id="of-another-task"),
    ],
)
def test_what_we_did_not_sign_gets_403_and_leaves_nothing(
    service: Service,
    make_callback: Callable[..., dict[str, str]],
    path: str,
    forge: Callable[[str, dict[str, str]], str],
) -> None:
    before = _count(service)
    form = make_callback()
    response = service.post(path, form, forge(service.url + path, form))
    assert response.status_code == 403
    assert _count(service) == before


@pytest.mark.parametrize("name", [r'{"full_name":"\ud83d Dana"}', r'{"full_name":"Dana\u0000"}'])
@pytest.mark.parametrize("path", [ASSIGNMENT, ASSIGNMENT + "/fallback"])
def test_a_worker_whose_name_no_database_takes_is_recorded_all_the_same(
    service: Service, make_callback: Callable[..., dict[str, str]], path: str, name: str
) -> None:
    form = make_callback(WorkerAttributes=name)
    assert service.post(path, form).json() == {"instruction": "accept"}
    (entry,) = service.entries(task_sid=form["TaskSid"])
    assert entry.worker_name.replace("\\ud83d", "").replace("\\u0000", "").strip() == "Dana"


@pytest.mark.parametrize("field", ["EventType", "WorkerName"])
def test_an_event_whose_texts_no_database_takes_is_kept(service: Service, field: str) -> None:
    task_sid = sid("WT")
    fields = [(b"Sid", sid("EV").encode()), (b"TaskSid", task_sid.encode()), (field.encode(), b"a\x00b\xed\xa0\x80")]
    assert post_signed_bytes(service, EVENTS, fields).status_code == 204
    assert len(service.entries(task_sid=task_sid)) == 1


def test_another_workspace_is_refused_where_one_is_set(
    start_service: Callable[..., Service], make_callback: Callable[..., dict[str, str]]
) -> None:
    ours = "WS" + "7" * 32
    service = start_service(TWILIO_WORKSPACE_SID=ours)
    assert service.post(ASSIGNMENT, make_callback()).status_code == 403
    assert service.post(ASSIGNMENT, make_callback(WorkspaceSid=ours)).status_code == 200


def test_the_next_token_is_good_during_a_rotation(
    start_service: Callable[..., Service], make_callback: Callable[..., dict[str, str]]
) -> None:
    service = start_service(TWILIO_AUTH_TOKEN="the-old-one", TWILIO_AUTH_TOKEN_NEXT=EMULATOR_ONLY.auth_token)
    assert service.post(ASSIGNMENT, make_callback()).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(service: Service, method: str) -> None:
    assert requests.request(method, service.url + ASSIGNMENT, timeout=5).status_code == 405


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/healthz", {"SCRIPT_NAME": "/elsewhere"}, 200),
        ("/elsewhere/healthz", {"SCRIPT_NAME": "/elsewhere"}, 404),
        ("/elsewhere", {"PATH_INFO": "/healthz"}, 404),
        ("/healthz", {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"}, 200),
    ],
)
def test_no_header_moves_a_path_or_changes_the_scheme(
    service: Service, path: str, headers: dict[str, str], status: int
) -> None:
    """The clients of a proxy on this machine can send what they want, and it passes it on."""
    assert requests.get(service.url + path, headers=headers, timeout=5).status_code == status


def test_a_body_beyond_all_measure_is_not_read(service: Service) -> None:
    host, _, port = service.url.rpartition("/")[2].partition(":")
    head = f"POST {ASSIGNMENT} HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: {'A' * 27}=\r\n"
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(f"{head}Content-Length: {MAX_FORM_BYTES + 1}\r\n\r\na=".encode())
        assert client.recv(65_536).startswith(b"HTTP/1.1 413")


def test_a_query_string_is_part_of_what_is_signed(
    service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    path = ASSIGNMENT + "?centre=a%20b&x="
    assert service.post(path, make_callback()).json() == {"instruction": "accept"}


def test_the_answer_holds_nothing_of_the_customer(
    service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    answer = service.post(ASSIGNMENT, make_callback(TaskAttributes=json.dumps({"from": "+14155550100"}))).text
    assert answer == '{"instruction":"accept"}'


def _count(service: Service) -> int:
    return int(service.database.read(select(func.count()).select_from(EntryRow))[0][0])
