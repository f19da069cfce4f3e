"""Attributes as TaskRouter keeps them: JSON text that is never parsed and rewritten.

Text comes back to the letter: long floats, escapes of lone surrogates, duplicate keys.
Source: https://www.twilio.com/docs/taskrouter/api/task and /limits (4,096 characters, white space counts).
"""

import json
from functools import lru_cache

from taskrouter_emulator.model.errors import invalid

MAX_CHARACTERS = 4096
_WHITESPACE = " \t\n\r"


def check(text: str, *, lax: bool = False) -> str:
    """Return the text if TaskRouter accepts it as the attributes of a task or worker.

    lax: accept text that is not JSON. Raises ApiError 400/20001 for other text, and for more than 4,096 characters.
    """
    if len(text) > MAX_CHARACTERS:
        raise invalid(f"Attributes must not be longer than {MAX_CHARACTERS} characters, these have {len(text)}")
    if not lax and not _is_json(text):
        raise invalid("Attributes must be valid JSON")
    return text


@lru_cache(maxsize=4096)
def as_object(text: str) -> dict[str, object]:
    """Return the parsed attributes, {} if they are not a JSON object. Shared between callers: read only."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def with_member(text: str, key: str, value: object) -> str:
    """Return the text with one top-level member set; everything else stays to the letter.

    TaskRouter's own writes (`worker_call_sid`) and the intruding writer change attributes this way.
    Raises ValueError if the text is not a JSON object.
    """
    member = f"{json.dumps(key)}:{json.dumps(value)}"
    spans = _top_level_members(text)
    for name, start, end in spans:
        if name == key:
            return text[:start] + member + text[end:]
    if spans:
        end = spans[-1][2]
        return f"{text[:end]},{member}{text[end:]}"
    opening = text.index("{") + 1
    return text[:opening] + member + text[opening:]


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _top_level_members(text: str) -> list[tuple[str, int, int]]:
    """Return (key, start, end) of each member of the object, as positions in the text."""
    if not isinstance(json.loads(text), dict):
        raise ValueError("not a JSON object")
    decoder = json.JSONDecoder()
    spans = []
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        start = at
        key, at = decoder.raw_decode(text, at)
        at = _skip(text, at) + 1  # the colon
        _, at = decoder.raw_decode(text, _skip(text, at))
        spans.append((key, start, at))
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return spans


def _skip(text: str, at: int) -> int:
    while text[at] in _WHITESPACE:
        at += 1
    return at
