"""A customer as a form: its values, its problems, and the merge of two users' edits.

Pure. The values of a form are a dict of the texts, of lists of texts (`phones`, `emails`, `notes`), of pairs (`ids`, as
[kind, value]) and of `cases` ([id, subject, status, opened_on]). What may stand there is checked where files are
checked (customers/fixture_rows.py), so that a form takes what a file takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from enrich.domain.lengths import CUSTOMER_TEXTS

Values = dict[str, Any]

FIELDS = (*CUSTOMER_TEXTS, "phones", "emails", "ids", "notes", "cases")
LABELS = {
    "id": "Customer id",
    "name": "Name",
    "company": "Company",
    "tier": "Tier",
    "language": "Language",
    "owner": "Owner",
    "phones": "Phone numbers",
    "emails": "E-mail addresses",
    "ids": "Other ids",
    "notes": "Notes",
    "cases": "Cases",
}
_CASE_COLUMNS = ("case_id", "case_subject", "case_status", "case_opened_on")
_PLACE = re.compile(r"(?P<field>[a-z]+)(?:\[(?P<index>[0-9]+)\])?(?:\.(?P<rest>.*))?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Form:
    """A form as it is shown. problems: messages by field. theirs: values that another user saved meanwhile, by field.

    merged: fields that only the other user changed; their values are in `values`.
    """

    values: Values
    problems: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    theirs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    merged: tuple[str, ...] = ()


def empty() -> Values:
    """Return the values of an empty form."""
    return {**dict.fromkeys(CUSTOMER_TEXTS, ""), "phones": [], "emails": [], "ids": [], "notes": [], "cases": []}


def of_record(customer_id: str, record: Mapping[str, Any]) -> Values:
    """Return the values of the form for this record."""
    written: dict[str, list[str]] = {}
    for kind, value, as_written, _ in record["identifiers"]:
        texts = written.setdefault(kind, [])
        is_own_id = kind == "customer_id" and as_written == customer_id
        if as_written not in texts and not is_own_id and value:
            texts.append(as_written)
    return {
        **{name: record[name] for name in CUSTOMER_TEXTS},
        "phones": written.pop("phone", []),
        "emails": written.pop("email", []),
        "ids": [[kind, text] for kind, texts in sorted(written.items()) for text in texts],
        "notes": list(record["notes"]),
        "cases": [list(case) for case in record["cases"]],
    }


def of_form(text_of: Callable[[str], str], texts_of: Callable[[str], list[str]]) -> Values:
    """Return the values that were sent, without empty rows.

    text_of, texts_of: return one value, or all values, of a field.
    """
    ids = zip(texts_of("ids_kind"), texts_of("ids_value"), strict=False)
    cases = zip(*(texts_of(name) for name in _CASE_COLUMNS), strict=False)
    return {
        **{name: text_of(name).strip() for name in CUSTOMER_TEXTS},
        "phones": _filled(texts_of("phones")),
        "emails": _filled(texts_of("emails")),
        "ids": [[kind.strip(), value.strip()] for kind, value in ids if value.strip()],
        "notes": _filled(text.replace("\r\n", "\n") for text in texts_of("notes")),
        "cases": [[cell.strip() for cell in case] for case in cases if any(cell.strip() for cell in case)],
    }


def to_raw(customer_id: str, values: Values) -> dict[str, Any]:
    """Return the form as one customer of a fixture file."""
    ids: dict[str, list[str]] = {}
    for kind, value in values["ids"]:
        ids.setdefault(kind, []).append(value)
    cases = [dict(zip(("id", "subject", "status", "opened_on"), case, strict=True)) for case in values["cases"]]
    texts = {name: values[name] for name in CUSTOMER_TEXTS}
    lists = {name: values[name] for name in ("phones", "emails", "notes")}
    return {"id": customer_id, **texts, **lists, "ids": ids, "cases": cases}


def problems(messages: tuple[str, ...], values: Values) -> dict[str, tuple[str, ...]]:
    """Return the problems by field. messages: as `BadRow.problems` has them, "phones[1]: not a ...".

    The message names the value, since the place in a list is nothing that a reader counts.
    """
    by_field: dict[str, list[str]] = {}
    for message in messages:
        place, _, problem = message.partition(": ")
        match = _PLACE.match(place)
        name = match["field"] if match and match["field"] in LABELS else "name"
        about = _about(name, match, values) if match else ""
        by_field.setdefault(name, []).append(f"{about}: {problem}" if about else _first_up(problem))
    return {name: tuple(lines) for name, lines in by_field.items()}


def three_way(mine: Values, base: Values, theirs: Values) -> Form:
    """Merge the reader's form with one that was saved meanwhile. base: the values that both began with.

    What only the others changed is taken; what only the reader changed stays; where both did, the reader's stays in the
    field, and the other value is shown beside it.
    """
    values, conflicts, merged = dict(mine), {}, []
    for name in FIELDS:
        if theirs[name] in (base.get(name), mine[name]):
            continue
        if mine[name] == base.get(name):
            values[name] = theirs[name]
            merged.append(name)
        else:
            conflicts[name] = as_lines(theirs[name])
    return Form(values, theirs=conflicts, merged=tuple(merged))


def as_lines(value: Any) -> tuple[str, ...]:
    """Return the value of one field as lines; ("empty",) for no value."""
    rows = value if isinstance(value, list) else [value]
    lines = [" · ".join(cell for cell in row if cell) if isinstance(row, list) else str(row) for row in rows if row]
    return tuple(lines) or ("empty",)


def is_values(read: Any) -> bool:
    """Return whether this JSON from a browser has the shape of a form's values."""
    if not isinstance(read, dict) or set(read) != set(FIELDS):
        return False
    return all(isinstance(read[name], str) for name in CUSTOMER_TEXTS) and all(
        isinstance(read[name], list) for name in FIELDS if name not in CUSTOMER_TEXTS
    )


def _about(name: str, match: re.Match[str], values: Values) -> str:
    """Return a description of the one value that a problem is about."""
    if name == "ids" and match["rest"]:
        return match["rest"].partition("[")[0]
    rows = values.get(name)
    if match["index"] is None or not isinstance(rows, list) or int(match["index"]) >= len(rows):
        return ""
    row = rows[int(match["index"])]
    if name == "cases":
        return f"case {row[0]}, {match['rest']}" if row[0] else f"case {int(match['index']) + 1}, {match['rest']}"
    return str(row)[:60]


def _filled(texts: Any) -> list[str]:
    return [text.strip() for text in texts if text.strip()]


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]
