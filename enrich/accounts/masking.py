"""Masks for personal data: a viewer sees enough to tell one task from another, too little to reach anybody.

Numbers keep their country, their area and the last two digits (`+1 415 ••• ••71`), e-mail addresses and names their
first letters, other look-up keys their last two characters. Of attributes and forms the names, the structure and the
words of this service and of TaskRouter stay; every other value, free text above all, is `•••`. Customer ids, SIDs and
workers stay as they are: they name rows, queues and colleagues.

Pure. Views pass journal records through `enrich.pages.masked_records`; the filters `visible`, `seen`, `person` and
`private`, through which every text of a template goes, mask once more whatever looks like a number or an address, so
that a page which forgets the former still shows neither.
"""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl, urlencode

import phonenumbers

from enrich.domain.sids import is_sid

HIDDEN = "•••"

# Seven digits or more with what people write between them. Not a date, and not a part of a SID.
_PHONE = re.compile(r"(?<![0-9A-Za-z])\+?\(?[0-9](?:[0-9 ().\-/\u00a0]{5,30})[0-9](?![0-9A-Za-z])")
_MIN_DIGITS = 7
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2})?")
_EMAIL = re.compile(r"[^\s@<>\"'(),:;&=/\[\]]{1,64}@[^\s@<>\"'(),:;&=/\[\]]{1,253}")

# Members and parameters whose values are words of a closed list, ids, or names of things and colleagues.
_TOLD = frozenset(
    {
        "match",
        "by",
        "trust",
        "reason",
        "customer_id",
        "tier",
        "language",
        "open_cases",
        "candidates_total",
        "trimmed",
        "escalation",
        "instruction",
        "channelType",
        "channel",
        "direction",
        "type",
        "status",
        "api_version",
        "from_country",
        "to_country",
    }
)
_TOLD_OF_FORM = frozenset(
    {
        "EventType",
        "ResourceType",
        "Timestamp",
        "TaskAge",
        "TaskPriority",
        "TaskAssignmentStatus",
        "TaskQueueName",
        "WorkflowName",
        "WorkerName",
        "WorkerActivityName",
        "TaskChannelUniqueName",
        "TaskCanceledReason",
        "TaskCompletedReason",
        "Reason",
        "Level",
        "Misses",
        "Priority",
        "Alarm",
    }
)
_JSON_OF_FORM = frozenset(("TaskAttributes", "WorkerAttributes"))
_MAX_NAME_LENGTH = 40

# A name with its colon, a string, a number, a word; what may stand between them; and whatever is no JSON.
_TOKEN = re.compile(
    r'(?P<string>"(?:[^"\\]|\\.)*")(?P<colon>\s*:)?'
    r"|(?P<number>-?[0-9][0-9.eE+\-]*)"
    r"|(?P<word>true|false|null)\b"
    r"|(?P<between>[\s\[\]{},:]+)"
    r'|(?P<other>"|[^\s\[\]{},:"]+)',
    re.DOTALL,
)


def text(shown: str) -> str:
    """Return the text with its numbers and e-mail addresses masked."""
    if "@" in shown:
        shown = _EMAIL.sub(lambda match: email(match[0]), shown)
    return _PHONE.sub(_phone_in_text, shown)


def phone(written: str) -> str:
    """Return the number with country, area and last two digits; only the last two digits if it is not a number."""
    try:
        parsed = phonenumbers.parse(written, None)
        shown = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        kept = len(str(parsed.country_code)) + 3
    except phonenumbers.NumberParseException:
        shown, kept = written, 0
    count = sum(character.isdigit() for character in shown)
    masked, seen = [], 0
    for character in shown.replace("-", " "):
        if not character.isdigit():
            masked.append(character)
            continue
        seen += 1
        masked.append(character if seen <= min(kept, count - 6) or seen > count - 2 else "•")
    return "".join(masked)


def email(written: str) -> str:
    """Return the address with the first letters of its two parts, and its top-level domain."""
    local, _, domain = written.rpartition("@")
    first, _, top = domain.rpartition(".")
    return f"{local[:1]}{HIDDEN}@{first[:1]}{HIDDEN}.{top}" if first else f"{local[:1]}{HIDDEN}@{HIDDEN}"


def name(written: str) -> str:
    """Return the first letters of a name: "A••• L•••"."""
    return " ".join(f"{part[:1]}{HIDDEN}" for part in written.split()[:4])


def key(kind: str, value: str) -> str:
    """A look-up key's value: numbers and addresses as above, a customer id as it is, of others the end."""
    if kind == "customer_id":
        return value
    if kind == "phone":
        return phone(value)
    if kind == "email":
        return email(value)
    return HIDDEN + (value[-2:] if len(value) > 4 else "")


def raw_json(stored: str) -> str:
    """Attributes or an answer, with their names and structure, and only harmless values. Broken JSON stays broken."""
    if not stored.lstrip().startswith(("{", "[")):
        return HIDDEN
    member = ""

    def mask(match: re.Match[str]) -> str:
        nonlocal member
        if match["colon"] is not None:
            member = match["string"][1:-1]
            shown = match["string"] if len(member) <= _MAX_NAME_LENGTH else f'"{HIDDEN}"'
            return text(shown) + match["colon"]
        if match["string"] is not None:
            return f'"{_value(member, match["string"][1:-1])}"'
        if match["number"] is not None:
            return match["number"] if len(match["number"]) < _MIN_DIGITS else f'"{HIDDEN}"'
        return match["word"] or match["between"] or "•"

    return _TOKEN.sub(mask, stored)


def raw_form(stored: str) -> str:
    """A form as it came, its values masked; as a form again."""
    try:
        fields = parse_qsl(stored, keep_blank_values=True, strict_parsing=True, max_num_fields=200)
    except ValueError:
        return HIDDEN if stored else ""
    return urlencode([(field[:_MAX_NAME_LENGTH], _field(field, value)) for field, value in fields])


def _value(member: str, written: str) -> str:
    if member in _TOLD or is_sid(written):
        return text(written[:200])
    if member == "name":
        return json.dumps(name(_plain(written)), ensure_ascii=False)[1:-1]
    if _EMAIL.fullmatch(written):
        return email(written)
    return phone(written) if _is_phone(written) else HIDDEN


def _plain(written: str) -> str:
    """A JSON string's text. What is none by JSON's rules is told as it is written."""
    try:
        return str(json.loads(f'"{written}"'))
    except ValueError:
        return written


def _field(field: str, value: str) -> str:
    if field in _JSON_OF_FORM:
        return raw_json(value)
    if field in _TOLD_OF_FORM:
        return text(value[:200])
    return value if is_sid(value) else HIDDEN


def _phone_in_text(match: re.Match[str]) -> str:
    return phone(match[0]) if _is_phone(match[0]) else match[0]


def _is_phone(written: str) -> bool:
    digits = sum(character.isdigit() for character in written)
    return digits >= _MIN_DIGITS and bool(_PHONE.fullmatch(written)) and not _DATE.fullmatch(written)
