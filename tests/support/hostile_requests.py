"""Requests that no browser and no TaskRouter sends, for whatever routes an application has.

They are drawn from a seeded generator and not by hypothesis, which would take longer to draw one than a page takes to
answer it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from urllib.parse import quote_from_bytes

ROOT = Path(__file__).parents[2]

TASK_SID = "WT" + "0" * 32
OTHER_SIDS = ("WS" + "0" * 32, "WR" + "0" * 32, "EV" + "0" * 32)

# As they go over the wire, before they are quoted.
VALUES = [
    b"",
    b"\0",
    b"a\0b",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xc3(",
    b"x" * 5_000,
    "عميل 客户 Ωμέγα 👩‍👩‍👧 \u202e\u2066".encode(),
    "İıſK".encode(),
    b"0",
    b"-1",
    b"-0",
    b"1.5",
    b"1e999",
    b"NaN",
    "٣".encode(),
    str(2**31).encode(),
    str(2**63 - 1).encode(),
    str(2**63).encode(),
    b"9" * 5_000,
    b"%",
    b"_",
    b"100%",
    b"\\",
    b"' OR '1'='1",
    b'"; DROP TABLE users; --',
    b"{{7*7}}${7*7}<script>alert(1)</script>",
    b"__proto__",
    b"constructor",
    b"a\r\nSet-Cookie: enrich_session=stolen",
    b"a\nb",
    b"../../../../etc/passwd",
    b"..%2f..%2fapp.py",
    b"/",
    b"//evil.example/",
    b"http://evil.example/",
    b"http://[",
    b"javascript:alert(1)",
    b"2026-13-45T99:99",
    b"9999-12-31T23:59:59+00:00",
    b"0001-01-01T00:00:00-23:59",
    b'{"a":' * 400 + b"1" + b"}" * 400,
    b"[" * 20_000,
    b'{"name":null,"phones":7}',
    b'{"from":["+12125550123"],"crm":7,"customer_id":1e999}',
]
# Accepted somewhere, so that a request comes as far as the next check.
PLAUSIBLE = [
    *(sid.encode() for sid in (TASK_SID, *OTHER_SIDS)),
    *(b"C-1001", b"C-1002", b"1", b"2", b"+12125550123", b"phone=%2B12125550123", b"/customers?q=a"),
    *(b"choose", b"unlink", b"nobody", b"release", b"create", b"move", b"share", b"viewer", b"week", b"1h"),
    *(b"task.created", b"reservation.timeout", b"voice", b"someone@example.org", b"a long enough password"),
    b'{"from":"+12125550123"}',
]


_PART = re.compile(rb"<(?:\w+:)?(\w+)>")

# What makes a request go through: parts of addresses, and fields of forms.
PARTS = {
    "task_sid": TASK_SID.encode(),
    "customer_id": b"C-1001",
    "entry_id": b"1",
    "audit_id": b"1",
    "user_id": b"1",
    "filename": b"enrich.css",
    "source": b"file",
}
FIELDS = {
    b"act": b"choose",
    b"customer": b"C-1002",
    b"other": b"C-1002",
    b"kept": b"C-1001",
    b"entry": b"1",
    b"name": b"Kim Novak",
    b"email": b"someone@example.org",
    b"password": b"a long enough password",
    b"role": b"viewer",
    b"back": b"/customers?q=a",
    b"ownership": b"share",
    b"scope": b"lookup",
    b"expires": b"30",
    b"pass": b"full",
    b"removed": b"1",
    b"answer": b"leave",
}


def _names() -> list[bytes]:
    """Return every field that a form of ours has or a view reads, so that a new one is sent without being named."""
    names: set[str] = set()
    for template in (ROOT / "templates").rglob("*.html"):
        names.update(re.findall(r'\bname="(\w+)"', template.read_text()))
    for folder in ("pages", "taskrouter", "flows", "webhooks"):
        for module in (ROOT / "enrich" / folder).rglob("*.py"):
            names.update(re.findall(r"""(?:args|form|values)(?:\.get(?:list)?\(|\[)"(\w+)["]""", module.read_text()))
    return sorted(name.encode() for name in names)


NAMES = _names()
UNKNOWN_NAMES = [b"", b"\0", b"\xff", b"__proto__", b"a[b]", b"x" * 300]

FORM = "application/x-www-form-urlencoded"
CONTENT_TYPES = (
    *(FORM, FORM + "; charset=utf-16", "application/json", "text/plain", "", "multipart/form-data", "no/such; ="),
    'multipart/form-data; boundary="' + "b" * 80 + '"',
)
QUERIES = [b"&&&", b"=", b"%", b"a=%zz&%ff=%", b"q=\xff", b"?", b"a;b", b"shown=" + b"y" * 9_000]
BODIES = [
    b"%" * 4_000,
    b"a&" * 3_000,
    b"\0" * 100,
    b'{"a":' * 1_000,
    b"--b\r\nContent-Disposition: form-data; name=act\r\n\r\nchoose\r\n--b--\r\n",
    b"--b\r\nContent-Disposition: form-data; name=",
    b"x" * 9_000,
]
HEADERS = [
    *("Accept", "Accept-Language", "Authorization", "Content-Type", "Cookie", "Forwarded", "Host"),
    *("HX-Request", "HX-Current-URL", "If-Match", "If-Modified-Since", "If-None-Match", "Origin", "Range"),
    *("Referer", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host", "X-HTTP-Method-Override"),
    *("X-Reader-Active", "X-Twilio-Signature", "I-Twilio-Idempotency-Token"),
]
HEADER_VALUES = ["text/html", "true", "bytes=-1,0-,5-2", "A" * 27 + "=", "enrich_session=.e30.AAAA"]
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "QUERY")


@dataclass(frozen=True)
class HostileRequest:
    """One request, as a server would hand it to the application. path: unquoted."""

    method: str
    path: bytes
    query: bytes = b""
    body: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hostile:
    """Draws hostile requests and their parts; the same ones from the same seed."""

    random: Random

    @classmethod
    def of(cls, *seed: object) -> Hostile:
        return cls(Random(repr(seed)))

    def request(self, method: str, rule: str) -> HostileRequest:
        """Return a request to this rule of a URL map; rarely with another method, rarely to another address."""
        pick = self.random
        return HostileRequest(
            method=pick.choice(METHODS) if pick.random() < 0.1 else method,
            path=self.path(rule),
            query=self.query() if pick.random() < 0.7 else b"",
            body=b"" if method == "GET" and pick.random() < 0.8 else self.body(),
            content_type=pick.choice(CONTENT_TYPES) if pick.random() < 0.2 else FORM,
            headers={pick.choice(HEADERS): self.header() for _ in range(pick.choice([0, 0, 1, 3]))},
        )

    def path(self, rule: str) -> bytes:
        """Return an address of this rule, mostly one that exists."""
        return right_path(rule) if self.random.random() < 0.7 else _PART.sub(lambda _: self.value(), rule.encode())

    def query(self) -> bytes:
        return self.random.choice(QUERIES) if self.random.random() < 0.1 else quoted(self.fields())

    def body(self) -> bytes:
        """Return a form that would go through but for some fields, or fields at random, or no form."""
        kind = self.random.random()
        if kind < 0.15:
            return self.random.choice(BODIES)
        return quoted(self.fields()) if kind < 0.4 else quoted([*(FIELDS | dict(self.fields(at_most=2))).items()])

    def fields(self, at_most: int = 6) -> list[tuple[bytes, bytes]]:
        """Return some fields that we know and rarely one that we do not, each at most twice; or all with one value."""
        if at_most > 2 and self.random.random() < 0.3:
            value = self.value()[:300]
            return [(name, value) for name in NAMES]
        names = [self.random.choice(UNKNOWN_NAMES if self.random.random() < 0.1 else NAMES) for _ in range(at_most)]
        fields = [(name, self.value()) for name in names[: self.random.randint(0, at_most)]]
        return fields * 2 if self.random.random() < 0.1 else fields

    def value(self) -> bytes:
        kind = self.random.random()
        if kind < 0.1:
            return self.random.randbytes(self.random.randint(1, 12))
        return self.random.choice(VALUES if kind < 0.7 else PLAUSIBLE)

    def header(self) -> str:
        """Return a value as servers hand it on: bytes as latin-1, without line ends and NUL."""
        if self.random.random() < 0.5:
            return self.random.choice(HEADER_VALUES)
        return re.sub(r"[\r\n\0]", " ", self.value().decode("latin-1"))[:2_000]


def right_path(rule: str) -> bytes:
    """Return an address of this rule that exists."""
    return _PART.sub(lambda part: PARTS.get(part[1].decode(), b"1"), rule.encode())


def quoted(fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the fields as a query or a form."""
    return "&".join(f"{quote_from_bytes(name)}={quote_from_bytes(value)}" for name, value in fields).encode()
