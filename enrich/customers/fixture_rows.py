"""Validation of one customer row: raw values in, a CustomerFixture or a BadRow with all its problems out.

Only `id` and `name` are required. A missing field stays as it is in the store; an empty one, or null, is emptied there.
Names that begin with `_` are comments; other unknown names are errors, because `phone` for `phones` would otherwise
lose every number silently.

A form is taken as a whole or not at all (`read_customer`). In a file one bad value costs the value, not the row
(`read_row`): an IncompleteRow says which, and what is stored in that field stays. A row without a name is somebody,
too, called by company, e-mail address, number or id.

Pure: fixtures.py reads the values from files, the pages from their forms. `BadRow.reason` quotes values of the row, so
it is for its author, not for the log.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from typing import Any

from enrich.customers.identifiers import (
    ADDRESS_KINDS,
    CHANNELS,
    CLIENT,
    CUSTOMER_ID,
    EMAIL,
    NOT_AN_EMAIL,
    PHONE,
    SIP,
    STAFF,
    Identifier,
    Reading,
    read,
    unguarded,
)
from enrich.customers.spelling import is_storable, plain_word
from enrich.domain.lengths import (
    CUSTOMER_TEXT_LENGTHS,
    CUSTOMER_TEXTS,
    MAX_CASE_ID_LENGTH,
    MAX_CASE_STATUS_LENGTH,
    MAX_CASE_SUBJECT_LENGTH,
    MAX_CUSTOMER_ID_LENGTH,
    MAX_CUSTOMER_NAME_LENGTH,
    MAX_IDENTIFIER_KIND_LENGTH,
    MAX_IDENTIFIER_LENGTH,
    MAX_NOTE_LENGTH,
)
from enrich.domain.matches import Case

KIND_OF_FIELD = {"phones": PHONE, "emails": EMAIL}
FIELD_OF_KIND = {kind: name for name, kind in KIND_OF_FIELD.items()}  # identifiers of every other kind stand in `ids`
CASE_FIELDS = ("id", "subject", "status", "opened_on")
_FIELDS = ("id", *CUSTOMER_TEXTS, *KIND_OF_FIELD, "ids", "notes", "cases")
_KIND = re.compile(r"[A-Za-z][\w.-]*\Z", re.ASCII)
_USUAL_KINDS = ("account_number", CLIENT, SIP, *sorted(CHANNELS))


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that was not loaded.

    line: its first line in the file, from 1; None without a file. index: in a JSON list, from 0; None elsewhere.
    customer_id: None if the row has none. reason: the fields, their problems, and how to fix them.
    problems: the parts of reason, each beginning with its field ("phones[1]: "), for forms.
    last_line, rows: of several rows that cannot be told apart.
    """

    line: int | None
    customer_id: str | None
    reason: str
    index: int | None = None
    problems: tuple[str, ...] = field(default=(), compare=False)
    last_line: int | None = None
    rows: int = 1

    def __str__(self) -> str:
        return f"{_place(self.line, self.last_line, self.index, self.customer_id)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class IncompleteRow:
    """One row that was loaded without some of its values. Fields as in BadRow."""

    line: int | None
    customer_id: str
    reason: str
    index: int | None = None

    def __str__(self) -> str:
        return f"{_place(self.line, None, self.index, self.customer_id)}: {self.reason} (the rest of the row is loaded)"


def _place(line: int | None, last_line: int | None, index: int | None, customer_id: str | None) -> str:
    place = [f"lines {line} to {last_line}" if last_line not in {None, line} else f"line {line}"] if line else []
    place += [f"customers[{index}]"] if index is not None else []
    place += [customer_id] if customer_id else []
    return ", ".join(place) or "a row"


@dataclass(frozen=True, slots=True)
class CustomerFixture:
    """One valid row, with its values in the form in which they are stored.

    texts: those of company, tier, language and owner that the row has. identifiers: normal form -> as written, with the
    customer's own id. identifier_fields: those of `phones`, `emails` and `ids` that the row has; a seed removes other
    identifiers only of these. notes, cases: None if the row does not have the field. is_nameless: `name` is another
    value of the row, which does not replace a name that is stored.
    """

    id: str
    name: str
    texts: Mapping[str, str]
    identifiers: Mapping[Identifier, str]
    identifier_fields: frozenset[str]
    notes: tuple[str, ...] | None
    cases: tuple[Case, ...] | None
    is_nameless: bool = False


def read_customer(
    raw: Any, region: str, line: int | None = None, index: int | None = None, *, kinds: Collection[str] = ()
) -> CustomerFixture | BadRow:
    """Return the row as a customer, or all its problems. Raises nothing.

    kinds: of ids that are looked up; `ids.Account_Number` and `ids.accountNumber` are account_number then.
    """
    if not isinstance(raw, dict):
        return BadRow(line, None, f"an object with id and name is expected, not {_type_name(raw)}", index)
    checks = _Checks(raw, region, kinds)
    customer = checks.customer()
    if checks.problems:
        return BadRow(line, customer.id or None, "; ".join(checks.problems), index, tuple(checks.problems))
    return customer


def read_row(
    raw: Any,
    region: str,
    line: int | None = None,
    index: int | None = None,
    *,
    kinds: Collection[str] = (),
    surplus: Sequence[str] = (),
) -> Iterator[CustomerFixture | BadRow | IncompleteRow]:
    """Yield the row of a file as a customer, and what of it was not loaded; or all its problems. Raises nothing.

    kinds: as in `read_customer`. surplus: cells for which the table has no column. With another problem beside them,
    the cells are probably in the wrong columns, and nothing is loaded.
    """
    read = read_customer(raw, region, line, index, kinds=kinds)
    if not isinstance(raw, dict) or (isinstance(read, CustomerFixture) and not surplus):
        yield read
        return
    checks = _Checks(raw, region, kinds)
    customer = checks.incomplete_customer()
    if surplus:
        shown = ", ".join(map(repr, surplus))
        checks.problems.append(f"{shown}: more cells than the header has columns; look for a separator within a cell")
    if customer is None or (surplus and len(checks.problems) > 1):
        customer_id = read.id if isinstance(read, CustomerFixture) else read.customer_id
        yield BadRow(line, customer_id, "; ".join(checks.problems), index, tuple(checks.problems))
        return
    yield customer
    if checks.problems:
        yield IncompleteRow(line, customer.id, "; ".join(checks.problems), index)


def id_of(raw: Any) -> str:
    """Return the id of this row as `read_row` gives it, of a row that is not validated; "" if it has none."""
    value = raw.get("id") if isinstance(raw, dict) else None
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 64:
        return str(value)
    return unguarded(value).strip() if isinstance(value, str) and is_storable(value) else ""


class _Checks:
    """Reads the fields of one row and collects their problems; a field with a problem reads as empty."""

    def __init__(self, raw: Mapping[str, Any], region: str, kinds: Collection[str]) -> None:
        self.problems: list[str] = []
        self._raw = raw
        self._region = region
        self._kinds = _kinds_by_name(tuple(kinds))
        self._identifiers: dict[Identifier, str] = {}
        self._exact: set[Identifier] = set()

    def customer(self) -> CustomerFixture:
        self._no_unknown_fields(self._raw, _FIELDS, "")
        customer_id = unguarded(self._required("id", self._raw.get("id"), MAX_CUSTOMER_ID_LENGTH)).strip()
        name = self._required("name", self._raw.get("name"), MAX_CUSTOMER_NAME_LENGTH)
        self._own_id(customer_id)
        for plural, kind in KIND_OF_FIELD.items():
            for place, text in self._texts(plural, self._raw.get(plural), MAX_IDENTIFIER_LENGTH):
                self._identify(place, kind, text)
        self._ids(self._raw.get("ids"))
        return CustomerFixture(
            id=customer_id,
            name=name,
            texts={
                field: self._text(field, self._raw[field], max_length)
                for field, max_length in CUSTOMER_TEXT_LENGTHS.items()
                if field in self._raw and field != "name"
            },
            identifiers=self._identifiers,
            identifier_fields=frozenset(name for name in (*KIND_OF_FIELD, "ids") if name in self._raw),
            notes=self._notes() if "notes" in self._raw else None,
            cases=self._cases() if "cases" in self._raw else None,
        )

    def incomplete_customer(self) -> CustomerFixture | None:
        """Return the customer without the values that have a problem; None for a row that is nobody.

        A field with a problem counts as missing, so that what is stored of it stays; of notes and cases, the good ones
        count.
        """
        customer = self.customer()
        if not customer.id or "id" in self._damaged():
            return None
        if not customer.name:
            nameless = "name: missing; fill it in"
            is_missing = nameless in self.problems
            name = self._other_name(customer)
            if not name:
                return None
            if is_missing:
                self.problems.remove(nameless)
            customer = replace(customer, name=name[:MAX_CUSTOMER_NAME_LENGTH], is_nameless=True)
        damaged = self._damaged()
        return replace(
            customer,
            texts={name: text for name, text in customer.texts.items() if name not in damaged},
            identifier_fields=customer.identifier_fields - damaged,
            notes=customer.notes if isinstance(self._raw.get("notes"), list) or "notes" not in damaged else None,
            cases=customer.cases if isinstance(self._raw.get("cases"), list) or "cases" not in damaged else None,
        )

    def _damaged(self) -> set[str]:
        return {re.split(r"[.\[:]", problem, maxsplit=1)[0] for problem in self.problems}

    @staticmethod
    def _other_name(customer: CustomerFixture) -> str:
        """Return what else the customer can be called by; "" for nothing but the customer's own id."""
        written: dict[str, str] = {}
        for identifier, text in customer.identifiers.items():
            if identifier.kind != CUSTOMER_ID:
                written.setdefault(identifier.kind, text)
        return (
            customer.texts.get("company")
            or written.get(EMAIL)
            or written.get(PHONE)
            or next(iter(written.values()), "")
        )

    def _problem(self, place: str, text: str) -> str:
        self.problems.append(f"{place}: {text}")
        return ""

    def _no_unknown_fields(self, raw: Mapping[str, Any], known: Sequence[str], place: str) -> None:
        for name in raw:
            if name not in known and not name.startswith("_"):
                self.problems.append(place + unknown_name(name, known, "field"))

    def _text(self, place: str, value: Any, max_length: int) -> str:
        """Return the trimmed text; empty for null. An integer counts as its digits: ids often are integers."""
        if value is None:
            return ""
        if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 64:
            return str(value)
        if not isinstance(value, str):
            return self._problem(place, f"text is expected, not {_type_name(value)}")
        text = value.strip()
        if text.startswith("#") and text.upper() in _SPREADSHEET_ERRORS:
            return self._problem(place, f"{text} is an error value of a spreadsheet; fill it in")
        if not is_storable(value):
            return self._problem(place, "contains bytes that are not text; save the file as UTF-8")
        if len(text) > max_length:
            return self._problem(place, f"{len(text)} characters, at most {max_length} fit; shorten it")
        return text

    def _required(self, place: str, value: Any, max_length: int) -> str:
        problems_before = len(self.problems)
        text = self._text(place, value, max_length)
        if not text and len(self.problems) == problems_before:
            return self._problem(place, "missing; fill it in")
        return text

    def _list(self, place: str, value: Any) -> list[Any]:
        if value is None:
            return []
        if isinstance(value, list):
            return value
        self._problem(place, f"a list is expected, not {_type_name(value)}")
        return []

    def _texts(self, place: str, value: Any, max_length: int) -> list[tuple[str, str]]:
        """Return each text of a list with its place, without empty ones."""
        texts = []
        for number, one in enumerate(self._list(place, value)):
            where = f"{place}[{number}]"
            if text := self._text(where, one, max_length):
                texts.append((where, text))
        return texts

    def _ids(self, ids: Any) -> None:
        if ids is not None and not isinstance(ids, dict):
            self._problem("ids", f"an object of kind and value is expected, not {_type_name(ids)}")
            return
        for name, values in (ids or {}).items():
            place = f"ids.{name}"
            kind = self._kinds.get(name) or self._kinds.get(plain_word(name)) or str(name)
            if not _KIND.match(kind) or len(kind) > MAX_IDENTIFIER_KIND_LENGTH:
                self._problem(place, f"a kind is up to {MAX_IDENTIFIER_KIND_LENGTH} letters, digits, `_`, `-` and `.`")
            elif kind.casefold() == STAFF:
                self._problem(place, "this kind is reserved; use another name")
            elif kind.casefold() in ADDRESS_KINDS:
                self._problem(place, f"not an id; use {FIELD_OF_KIND.get(kind.casefold(), 'phones or emails')}")
            else:
                several = values if isinstance(values, list) else [values]
                for where, text in self._texts(place, several, MAX_IDENTIFIER_LENGTH):
                    self._identify(where, kind, text)

    def _identify(self, place: str, kind: str, text: str) -> None:
        """Add the text's normal forms. If two texts share one, the text for which it is the most exact form counts.

        What is in doubt is a problem, too: it would be stored as somebody else's.
        """
        readings = read(kind, text, self._region)
        if not readings:
            self._problem(place, "empty; remove it")
        for reading in readings:
            if reading.problem:
                about = f"{reading.written!r}: " if len(readings) > 1 else ""
                is_no_email = kind == EMAIL and not reading.identifiers
                self._problem(place, about + (NOT_AN_EMAIL if is_no_email else reading.problem))
            elif reading.identifiers[0].kind != kind:
                self._problem(place, _other_field(reading.identifiers[0].kind))
            else:
                self._add(reading.identifiers, text if len(readings) == 1 else self._alone(kind, reading))

    def _alone(self, kind: str, reading: Reading) -> str:
        """Return how this one of several values is written, so that an export of it is read the same."""
        again = read(kind, reading.written, self._region)
        return reading.written if again == (reading,) else reading.identifiers[0].value

    def _add(self, found: Sequence[Identifier], text: str) -> None:
        for rank, identifier in enumerate(found):
            if identifier not in self._identifiers or (rank == 0 and identifier not in self._exact):
                self._identifiers[identifier] = text
            if rank == 0:
                self._exact.add(identifier)

    def _own_id(self, customer_id: str) -> None:
        for reading in read(CUSTOMER_ID, customer_id, self._region):
            if reading.problem:
                self._problem("id", reading.problem)
            self._add(reading.identifiers, customer_id)

    def _notes(self) -> tuple[str, ...]:
        return tuple(text for _, text in self._texts("notes", self._raw["notes"], MAX_NOTE_LENGTH))

    def _cases(self) -> tuple[Case, ...]:
        cases: dict[str, Case] = {}
        for number, raw in enumerate(self._list("cases", self._raw["cases"])):
            place = f"cases[{number}]"
            if not isinstance(raw, dict):
                self._problem(place, f"an object is expected, not {_type_name(raw)}")
                continue
            case = self._case(f"{place}.", raw)
            if not case.id or not case.status:
                continue
            if case.id in cases:
                self._problem(f"{place}.id", "used twice for this customer; give each case its own id")
            cases[case.id] = case
        return tuple(cases.values())

    def _case(self, place: str, raw: Mapping[str, Any]) -> Case:
        self._no_unknown_fields(raw, CASE_FIELDS, f"{place.removesuffix('.')}: ")
        opened_on = self._text(f"{place}opened_on", raw.get("opened_on"), 40)
        if opened_on and not _is_date(opened_on):
            self._problem(f"{place}opened_on", f"{opened_on!r} is not a date; write it as 2026-11-02")
        return Case(
            id=self._required(f"{place}id", raw.get("id"), MAX_CASE_ID_LENGTH),
            subject=self._text(f"{place}subject", raw.get("subject"), MAX_CASE_SUBJECT_LENGTH),
            status=self._required(f"{place}status", raw.get("status"), MAX_CASE_STATUS_LENGTH),
            opened_on=opened_on or None,
        )


@lru_cache(maxsize=8)
def _kinds_by_name(kinds: tuple[str, ...]) -> Mapping[str, str]:
    """Return the usual kinds of ids and these by the names under which a row has them."""
    return {plain_word(kind): kind for kind in (*_USUAL_KINDS, *kinds)} | {kind: kind for kind in kinds}


# https://support.microsoft.com/en-us/office/error-type-function-10958677-7c8d-44f7-ae77-b9a9ee6eefaa
_SPREADSHEET_ERRORS = frozenset(
    {"#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A", "#SPILL!", "#CALC!"}
)
_TYPE_NAMES = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


def _other_field(kind: str) -> str:
    if kind == PHONE:
        return "a phone number; use phones"
    return "an e-mail address; use emails" if kind == EMAIL else f"an address of the kind {kind}; use ids.{kind}"


def _type_name(value: Any) -> str:
    return _TYPE_NAMES.get(type(value), "a number")


def unknown_name(name: str, known: Collection[str], noun: str) -> str:
    """Return the message for an unknown name, with a suggestion. noun: "field" or "column"."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"{noun} {name!r} is not known; " + (f"did you mean {close[0]}?" if close else f"use {', '.join(known)}")


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
