"""Our member in the task's attributes, put in and taken out without touching anybody else's.

TaskRouter keeps Attributes as one opaque text and replaces it as a whole (docs/taskrouter.md, "Attributes"). Other
writers keep things in it that a parse and a re-serialisation would damage: floats of 21 digits, 1e400, integers beyond
64 bits, lone surrogates, duplicate keys. So the text is never re-serialised: the spans of our member are found, and the
rest stays to the letter.

Pure: text in, text out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from enrich.domain.work_kinds import FLEX_SIDS
from enrich.errors import AttributesUnreadable, NoRoom

# 4,096 characters of JSON text, white space included (docs/taskrouter.md, "Attributes").
LIMIT = 4096

# What TaskRouter and Flex keep in the attributes, by dotted path: nobody else's to write (docs/taskrouter.md,
# "Flex and channel conventions").
FOREIGN = (
    *("call_sid", "account_sid", "api_version", "worker_call_sid", "conference", "conversations.conversation_id"),
    *FLEX_SIDS,
    *("conversationSid", "channelSid", "channelType"),
    *("direction", "from", "to", "caller", "called", "outbound_to", "customerAddress"),
)

Block = Mapping[str, Any]

_SPACES = " \t\n\r"
_SPACE = re.compile(f"[{_SPACES}]*")
_STRING_OR_SPACE = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\n\r]+')
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Every escape in a JSON text, so that of `\\u00e9` the backslash is one and `u00e9` is text: a pair of surrogates, one
# UTF-16 unit, or the backslash with the character behind it.
_ESCAPE = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|.)", re.DOTALL
)
# Characters whose escape stays: those that JSON does not allow otherwise; control characters; what makes a text safe
# inside HTML and script, where encoders escape it on purpose; the byte order mark, which readers drop.
_STAYS_ESCAPED = re.compile("[\x00-\x1f\"&'/<>\\\\\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufeff]")


_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Spliced:
    """The attributes with our block in them. `block` is the version that found room; None: our member was taken out."""

    text: str
    block: Block | None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Our block stands there already, whole: a write would change nothing."""

    block: Block


@dataclass(frozen=True, slots=True)
class Projected:
    """One more attribute of ours, by the names on the way to it. value: text, number or truth value; None: none.

    Objects on the way are made where they are missing, and are otherwise somebody else's: only this one member of the
    last is touched. Where something else than an object stands in the way, it stays, and nothing is projected.
    """

    path: tuple[str, ...]
    value: Any


def splice(
    raw_attributes: str, key: str, blocks: Sequence[Block], projected: Sequence[Projected] = ()
) -> Spliced | Unchanged:
    """Return the attributes with the first of `blocks` that fits under `key`; all else stays to the letter.

    raw_attributes: the text as fetched; blank counts as an empty object.
    blocks: versions of one block, largest first; deterministic, or the task would be written again and again.
    projected: what stands beside it with every version; when there is no room for the smallest, it stands without them.
    Only when a version does not fit otherwise is the white space between the tokens of the whole text left out, and
    only when it still does not fit are escapes replaced by the characters that they stand for.
    When none fits, a member that somebody else put under our key is still taken out.
    Raises AttributesUnreadable when the text is not a JSON object, NoRoom when nothing fits and nothing is to be taken
    out.
    """
    text = raw_attributes if raw_attributes.strip(_SPACES) else "{}"
    members = _members(text)
    shorter: Sequence[tuple[str, list[_Member]]] = ()
    for block, beside in _versions(blocks, projected):
        spliced = _with(text, members, key, block, beside)
        if spliced == text:
            return Unchanged(block)
        spliced = _sendable(spliced)
        if length(spliced) <= LIMIT:
            return Spliced(spliced, block)
        shorter = shorter or [(spelling, _members(spelling)) for spelling in _shorter_spellings(text)]
        for spelling, its_members in shorter:
            spliced = _sendable(_with(spelling, its_members, key, block, beside))
            if length(spliced) <= LIMIT:
                return Spliced(spliced, block)
    without = _take_out(text, members, key)
    for projection in projected:
        without = _take_out_at(without, projection.path)
    if without != text:
        return Spliced(_sendable(without), None)
    raise NoRoom(f"the attributes of others take {length(text)} of {LIMIT} characters")


def _versions(blocks: Sequence[Block], projected: Sequence[Projected]) -> Iterator[tuple[Block, Sequence[Projected]]]:
    """Yield the blocks with the values beside them, and last the smallest block alone."""
    for block in blocks:
        yield block, projected
    if any(projection.value is not None for projection in projected):
        yield blocks[-1], [Projected(projection.path, None) for projection in projected]


def _with(text: str, members: list[_Member], key: str, block: Block, projected: Sequence[Projected]) -> str:
    """Return the text with the block and the values beside it; the text itself if it has all of them already."""
    text = _put(text, members, key, block)
    for projection in projected:
        path, value = projection.path, projection.value
        text = _take_out_at(text, path) if value is None else _put_at(text, path, value)
    return text


def _put_at(text: str, path: tuple[str, ...], value: Any) -> str:
    """Return the object's text with the value at this path. Of duplicate containers, readers see the last."""
    members = _members(text)
    name, *rest = path
    if not rest:
        return _put(text, members, name, value)
    if not any(member.name == name for member in members):
        for inner in reversed(rest):
            value = {inner: value}
        return _put(text, members, name, value)
    return _in_each(text, members, name, tuple(rest), value)


def _take_out_at(text: str, path: tuple[str, ...]) -> str:
    """Return the object's text without the member at this path, in every duplicate of its containers."""
    members = _members(text)
    name, *rest = path
    return _in_each(text, members, name, tuple(rest), None) if rest else _take_out(text, members, name)


def _in_each(text: str, members: list[_Member], name: str, rest: tuple[str, ...], value: Any) -> str:
    """Return the text with the value (None: without) in the last object of this name, and without in the others."""
    is_last = True
    for member in reversed(members):
        if member.name == name:
            inner = text[member.value_at : member.end]
            if inner.startswith("{"):
                put = is_last and value is not None
                inner = _put_at(inner, rest, value) if put else _take_out_at(inner, rest)
                text = text[: member.value_at] + inner + text[member.end :]
            is_last = False
    return text


def parse(raw_attributes: str) -> dict[str, Any]:
    """Parse the attributes into values, to read keys from; never to be written back.

    Members that are nested deeper than Python follows are left out. Raises AttributesUnreadable when the text is not a
    JSON object.
    """
    text = raw_attributes if raw_attributes.strip(_SPACES) else "{}"
    try:
        value = json.loads(text)
    except RecursionError:
        return _parse_each(text)
    except ValueError as exc:
        raise AttributesUnreadable(_why(exc)) from exc
    if not isinstance(value, dict):
        raise AttributesUnreadable(f"the attributes are a JSON {type(value).__name__}, not an object")
    return value


def parse_or_none(raw_attributes: str) -> dict[str, Any] | None:
    """Return the parsed attributes; None if the text is no JSON object."""
    try:
        return parse(raw_attributes)
    except AttributesUnreadable:
        return None


def _parse_each(text: str) -> dict[str, Any]:
    """Parse the members one by one, leaving out those that Python cannot parse."""
    parsed: dict[str, Any] = {}
    for member in _members(text):
        try:
            parsed[member.name] = json.loads(text[member.value_at : member.end])
        except (RecursionError, ValueError):
            parsed.pop(member.name, None)
    return parsed


def block_text(raw_attributes: str, key: str) -> str:
    """Return the text of our block in these attributes, an object with a `match` under this name; "" if there is none.

    Of several members of this name, readers see the last. No value is parsed. Raises AttributesUnreadable when the text
    is not a JSON object.
    """
    members = _members(raw_attributes)
    text = next((raw_attributes[one.value_at : one.end] for one in reversed(members) if one.name == key), "")
    return text if text.startswith("{") and '"match"' in text else ""


def is_same_json(text: str, other: str) -> bool:
    """Return whether both are the same JSON, however it is written; False for what Python cannot follow."""
    if text == other:
        return True
    try:
        return json.dumps(json.loads(text), sort_keys=True) == json.dumps(json.loads(other), sort_keys=True)
    except (ValueError, RecursionError):  # endless integers, endless nesting: not of our writing
        return False


def length(text: str) -> int:
    """Characters as TaskRouter may count them: in UTF-16, the more cautious of the two ways to count an emoji."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass(frozen=True, slots=True)
class _Member:
    """One member of the object: its name, unescaped, and where its text starts, its value starts, and both end."""

    name: str
    start: int
    value_at: int
    end: int


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


# Numbers stay text: none is too long or too large. NaN and Infinity are Python's, not JSON's (RFC 8259, section 6).
_scanner = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_not_json)


def _members(text: str) -> list[_Member]:
    """Return the members of the outermost object in order, with duplicates. `json`'s C scanner skips the values."""
    try:
        return list(_each_member(text))
    except ValueError as exc:
        raise AttributesUnreadable(_why(exc)) from exc


def _each_member(text: str) -> Iterator[_Member]:
    """Yield the members of a JSON object. Raises ValueError if the text is anything else."""
    at = _expect(text, _skip_space(text, 0), "{")
    is_closed = text[at : at + 1] == "}"
    while not is_closed:
        name, value_at = _name_at(text, at)
        end = _end_of_value(text, value_at)
        yield _Member(name, at, value_at, end)
        at = _skip_space(text, end)
        is_closed = text[at : at + 1] == "}"
        if not is_closed:
            at = _expect(text, at, ",")
    if _skip_space(text, at + 1) != len(text):
        raise ValueError(f"more follows the object at character {at + 1}")


def _end_of_value(text: str, at: int) -> int:
    """Return the end of the JSON value at `at`. Raises ValueError if there is none."""
    try:
        return _scanner.raw_decode(text, at)[1]
    except RecursionError:
        return _end_of_deep_value(text, at)


def _end_of_deep_value(text: str, at: int) -> int:
    """Return the end of a value that is nested deeper than the C scanner follows. Raises ValueError."""
    closing: list[str] = []
    while True:
        opened = text[at : at + 1]
        if opened in ("{", "["):
            closing.append("}" if opened == "{" else "]")
            at = _skip_space(text, at + 1)
            if text[at : at + 1] != closing[-1]:
                at = _after_name(text, at) if opened == "{" else at
                continue
        else:
            at = _scanner.raw_decode(text, at)[1]
        # A value ends here, or is about to; so do all that end with it.
        while closing:
            at = _skip_space(text, at)
            if text[at : at + 1] == closing[-1]:
                closing.pop()
                at += 1
            else:
                at = _expect(text, at, ",")
                at = _after_name(text, at) if closing[-1] == "}" else at
                break
        else:
            return at


def _after_name(text: str, at: int) -> int:
    """Return the start of the value behind the member name at `at`."""
    return _name_at(text, at)[1]


def _name_at(text: str, at: int) -> tuple[str, int]:
    """A member's name, and where its value starts. Raises ValueError where there is none."""
    if text[at : at + 1] != '"':
        raise ValueError(f"a name was expected at character {at}")
    name, end = _scanner.raw_decode(text, at)
    return name, _expect(text, _skip_space(text, end), ":")


def _why(exc: ValueError) -> str:
    """Return the error without any of the text, which is a customer's."""
    if isinstance(exc, json.JSONDecodeError):
        return f"the attributes are not a JSON object: {exc.msg} at character {exc.pos}"
    return f"the attributes are not a JSON object: {exc}"


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _expect(text: str, at: int, character: str) -> int:
    """Return the start of the next token after `character` at `at`."""
    if text[at : at + 1] != character:
        raise ValueError(f"'{character}' was expected at character {at}")
    return _skip_space(text, at + 1)


def _put(text: str, members: list[_Member], key: str, value: Any) -> str:
    """Return the text with `value` under `key`: in place of our first member, or behind the last member.

    The text itself where exactly that stands there already, once, however it is written.
    """
    indexes = [index for index, member in enumerate(members) if member.name == key]
    if indexes:
        first = members[indexes[0]]
        if len(indexes) == 1 and _same(text[first.value_at : first.end], value):
            return text
        tail = _take_out_from(text, members, indexes[1:], first.end)
        return f"{text[: first.value_at]}{_dump(value)}{tail}"
    member = f"{json.dumps(key)}:{_dump(value)}"
    if members:
        end = members[-1].end
        return f"{text[:end]},{member}{text[end:]}"
    brace = text.index("{") + 1
    return f"{text[:brace]}{member}{text[brace:]}"


def _take_out(text: str, members: list[_Member], key: str) -> str:
    """Return the text without any member named `key`, each with one of its commas."""
    indexes = [index for index, member in enumerate(members) if member.name == key]
    # Those at the very front take the comma behind them, all others the one before.
    front = 0
    while front < len(indexes) and indexes[front] == front:
        front += 1
    if not front:
        return _take_out_from(text, members, indexes, 0)
    resume = members[front].start if front < len(members) else members[-1].end
    return text[: members[0].start] + _take_out_from(text, members, indexes[front:], resume)


def _take_out_from(text: str, members: list[_Member], indices: Sequence[int], at: int) -> str:
    """Return the text from `at` on, without the members at `indices` and the comma before each."""
    kept: list[str] = []
    for index in indices:
        kept.append(text[at : members[index - 1].end])
        at = members[index].end
    return "".join(kept) + text[at:]


def _without_space(text: str) -> str:
    """Return the text without the white space between its tokens; every token stays to the letter."""
    return _STRING_OR_SPACE.sub(lambda found: found[1] or "", text)


def _shorter_spellings(text: str) -> Sequence[str]:
    """Return shorter texts of the same JSON, longest first: without white space, and without needless escapes."""
    compact = _without_space(text)
    return (compact, _without_escapes(compact)) if "\\u" in compact else (compact,)


def _without_escapes(text: str) -> str:
    r"""Return the text with characters for their \uXXXX escapes: one or two UTF-16 units instead of six or twelve.

    PHP and Python escape everything outside ASCII by default. Every value reads as before; everything else stays to
    the letter.
    """
    return _ESCAPE.sub(_unescaped, text)


def _unescaped(found: re.Match[str]) -> str:
    high, low, single = found.groups()
    if high:
        code = 0x10000 + (int(high, 16) - 0xD800) * 0x400 + int(low, 16) - 0xDC00
    elif single:
        code = int(single, 16)
    else:
        return found[0]
    is_noncharacter = code & 0xFFFE == 0xFFFE
    character = chr(code)
    return found[0] if is_noncharacter or _STAYS_ESCAPED.match(character) else character


def _same(text: str, block: Any) -> bool:
    """Return whether this JSON text has exactly this value; compared as text, since 1, 1.0 and True are equal."""
    if text == _dump(block):
        return True
    try:
        value = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):  # duplicate names, endless integers, endless nesting: not of our writing
        return False
    return json.dumps(value, sort_keys=True) == json.dumps(block, sort_keys=True)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands there twice")
    return value


def _sendable(text: str) -> str:
    r"""Return the JSON with lone surrogates escaped as \udXXX, since they have no form in UTF-8."""
    if text.isascii():
        return text
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
