"""A customer, computed from what sources say and from what staff decided.

Pure: records and decisions in, the customer out, the same whatever the order in which they came. So sources and staff
never overwrite each other, and a decision is undone by leaving it out.

    per field        a standing edit of staff; else the first value in the order of sources of the field, live before
                     archived, kept homes before homes merged away, newest version, lowest remote id
    an edit          takes the place of the one before, and stands while the sources say what they said when it was
                     made (`base`)
    identifiers      those of live records, and of what staff made, plus linked, minus unlinked; of link and unlink of
                     one identifier the newer counts
    notes, cases     those of all live records (of archived ones if none is live)
    gone             no live record and no standing creation by staff, or deleted by staff: no identifiers
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, count
from typing import Any

from enrich.customers.identifiers import (
    CUSTOMER_ID,
    FROM_CRM,
    FROM_STAFF,
    PHONE,
    Identifier,
    customer_id_identifier,
    is_plain_number,
)
from enrich.domain.lengths import CUSTOMER_TEXTS, MAX_CASE_ID_LENGTH

# The source whose records are the rows of files; its remote ids are the ids of customers.
FILE = "file"
CUSTOMER = "customer"  # the object of a source that has customers only

# Fields of a record that hold identifiers, as [kind, value, as_written].
IDENTIFIER_FIELDS = ("phones", "emails", "ids")
LISTS = ("notes", "cases")
# True in a record's fields if its name is another of its values, for want of a name.
NAMELESS = "nameless"


class RecordState(StrEnum):
    """The state of a record at its source."""

    LIVE = "live"
    ARCHIVED = "archived"  # deleted, or put aside, and kept by the source
    PURGED = "purged"  # deleted for good
    MERGED = "merged"  # into another record of the source
    ERASED = "erased"  # as the law demands: nothing of it is kept


class DecisionKind(StrEnum):
    """The decisions of staff about a customer."""

    CREATE = "create"
    EDIT = "edit"
    LINK = "link"
    UNLINK = "unlink"
    MERGE = "merge"
    SPLIT = "split"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record of a source, as `source_tables.SourceRecordRow` describes it.

    is_readable: False if a newer version stored it in a form that this one does not know; its customer is left alone.
    """

    source: str
    object: str
    remote_id: str
    home_id: str
    state: RecordState = RecordState.LIVE
    version: int | None = None
    seq: int = 0
    hash: bytes = b""
    fields: Mapping[str, Any] = field(default_factory=dict)
    into_remote_id: str | None = None
    is_readable: bool = True

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what identifies the record: source, object and remote id."""
        return self.source, self.object, self.remote_id


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of staff that is in effect. id: decisions are ordered by it. subject, other: homes.

    CREATE  value: the fields, as of a record
    EDIT    field: a text, notes or cases; value: staff's; base: what the sources said then
    LINK    key, for the subject; value: how it is written, null for the value of the key
    UNLINK  key, from the subject
    MERGE   other, into the subject
    SPLIT   subject and other are not the same
    DELETE  the subject

    is_readable: as of a StoredRecord.
    """

    id: int
    kind: DecisionKind
    subject: str
    other: str | None = None
    field: str | None = None
    key: Identifier | None = None
    value: Any = None
    base: Any = None
    is_readable: bool = True


@dataclass(frozen=True, slots=True)
class Precedence:
    """The order of sources: earlier ones are believed first; a source that is not named comes after, by its name.

    by_field: orders of single fields, as `name` or `notes`.
    """

    order: Sequence[str] = (FILE,)
    by_field: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def rank(self, source: str, of_field: str) -> tuple[int, str]:
        """Return the sort key of a source for this field."""
        order = self.by_field.get(of_field, self.order)
        return (order.index(source) if source in order else len(order)), source


DEFAULT_PRECEDENCE = Precedence()


@dataclass(frozen=True, slots=True)
class Projection:
    """One customer as stored in `tables.py`.

    identifiers: normal form -> (as written, FROM_CRM or FROM_STAFF). cases: as [id, subject, status, opened_on].
    settled: what the sources say of the fields that staff edited. unlinked: the sources' identifiers that staff took.
    """

    texts: Mapping[str, str]
    identifiers: Mapping[Identifier, tuple[str, str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    cases: Sequence[Sequence[str]] = ()
    settled: Mapping[str, Any] = field(default_factory=dict)
    unlinked: Collection[Identifier] = ()
    merged_into: str | None = None
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """Values that one record, or one creation by staff, says. origin: its source, "" for staff."""

    origin: str
    remote_id: str
    home_id: str
    is_live: bool
    version: int
    fields: Mapping[str, Any]


def project(
    homes: Collection[str],
    records: Iterable[StoredRecord],
    decisions: Iterable[Decision],
    *,
    merged_away: Collection[str] = (),
    precedence: Precedence = DEFAULT_PRECEDENCE,
) -> Projection:
    """Return the customer of these homes. records, decisions: all that concern them, the decisions in effect only.

    merged_away: the homes that staff merged into others of these.
    """
    decisions = sorted(decisions, key=lambda one: one.id)
    contents = contents_of(homes, records, decisions)
    is_gone = not any(one.is_live for one in contents) or any(
        one.kind is DecisionKind.DELETE and one.subject in homes for one in decisions
    )
    values: dict[str, Any] = {}
    settled: dict[str, Any] = {}
    for name in _EDITABLE:
        said = said_by_sources(name, contents, merged_away, precedence)
        values[name] = edited_value(name, said, homes, decisions)
        if values[name] != said:
            settled[name] = said
    notes, cases = values.pop("notes"), values.pop("cases")
    if is_gone:
        return Projection(values, notes=notes, cases=cases, settled=settled, is_gone=True)
    identifiers, unlinked = _identifiers(homes, in_order("ids", contents, merged_away, precedence), decisions)
    return Projection(values, identifiers, notes, cases, settled, unlinked)


def redirect(home: str, records: Iterable[StoredRecord], decisions: Iterable[Decision], into: str) -> Projection:
    """Return the row of a home that is part of another customer: only its own texts."""
    alone = project((home,), records, (one for one in decisions if one.kind is DecisionKind.CREATE))
    return Projection(alone.texts, merged_into=into)


def contents_of(
    homes: Collection[str], records: Iterable[StoredRecord], decisions: Iterable[Decision]
) -> list[Content]:
    """Return what live and archived records and creations say of these homes, in no order."""
    contents = [
        Content(
            one.source,
            one.remote_id,
            one.home_id,
            one.state is RecordState.LIVE,
            one.version or 0,
            one.fields,
        )
        for one in records
        if one.home_id in homes and one.state in (RecordState.LIVE, RecordState.ARCHIVED)
    ]
    contents += [
        Content("", one.subject, one.subject, is_live=True, version=one.id, fields=one.value)
        for one in decisions
        if one.kind is DecisionKind.CREATE and one.subject in homes
    ]
    return contents


def in_order(
    name: str, contents: Sequence[Content], merged_away: Collection[str], precedence: Precedence
) -> Sequence[Content]:
    """Return the contents by how far they are believed about this field."""
    if len(contents) < 2:
        return contents

    def key(one: Content) -> tuple[object, ...]:
        by_staff = not one.origin
        rank = precedence.rank(one.origin, name)
        return by_staff, rank, not one.is_live, one.home_id in merged_away, -one.version, one.remote_id, one.home_id

    return sorted(contents, key=key)


def said_by_sources(
    name: str, contents: Sequence[Content], merged_away: Collection[str], precedence: Precedence
) -> Any:
    """Return the value of a field without edits: a text, "" for none; or a list of notes or cases."""
    ordered = in_order(name, contents, merged_away, precedence)
    if name == "notes":
        return list(dict.fromkeys(note for one in _in_use(ordered) for note in one.fields.get("notes", ())))
    if name == "cases":
        return _cases(_in_use(ordered))
    texts = [(one, one.fields[name]) for one in ordered if one.fields.get(name)]
    if name == "name":
        texts.sort(key=lambda text: bool(text[0].fields.get(NAMELESS)))
    return next((text for _, text in texts), "")


def edited_value(name: str, said: Any, homes: Collection[str], decisions: Iterable[Decision]) -> Any:
    """Return the value of the newest edit that stands, else what the sources say. decisions: by id."""
    standing = [one for one in newest_edits(name, homes, decisions) if one.base == said]
    return standing[-1].value if standing else said


def newest_edits(name: str, homes: Collection[str], decisions: Iterable[Decision]) -> list[Decision]:
    """Return the newest edit of a field by each home, the newest last: an edit takes the place of the one before."""
    edits = [one for one in decisions if one.kind is DecisionKind.EDIT and one.field == name and one.subject in homes]
    return sorted({one.subject: one for one in edits}.values(), key=lambda one: one.id)


def newest_links(homes: Collection[str], decisions: Iterable[Decision]) -> dict[Identifier, Decision]:
    """Return the newest link or unlink of each identifier. decisions: by id."""
    kinds = (DecisionKind.LINK, DecisionKind.UNLINK)
    return {one.key: one for one in decisions if one.kind in kinds and one.subject in homes and one.key}


def _in_use(ordered: Sequence[Content]) -> Sequence[Content]:
    return [one for one in ordered if one.is_live] or ordered


def _cases(ordered: Iterable[Content]) -> list[list[str]]:
    """Return the cases of all, each once; one whose id another case has, too, gets its customer's id behind its own."""
    cases: dict[str, list[str]] = {}
    said: set[tuple[str, ...]] = set()
    for one in ordered:
        for id_, *rest in one.fields.get("cases", ()):
            if (id_, *rest) not in said:
                said.add((id_, *rest))
                free = next(name for name in _case_ids(id_, one.home_id) if cases.get(name, rest) == rest)
                cases[free] = rest
    return [[id_, *rest] for id_, rest in cases.items()]


def _case_ids(id_: str, home: str) -> Iterator[str]:
    """Yield the ids that a case of this home may have, the best first."""
    yield id_
    shown = home[: MAX_CASE_ID_LENGTH - 16]  # so that there is room for a part of the case's own, and a number
    for suffix in chain([f" ({shown})"], (f" ({shown}, {number})" for number in count(2))):
        yield id_[: MAX_CASE_ID_LENGTH - len(suffix)] + suffix


def are_fields(stored: object) -> bool:
    """Return whether these are the fields of a record, in the form of this version."""
    if not isinstance(stored, dict) or not stored.keys() <= _FIELDS:
        return False
    return all(value is True if name == NAMELESS else _is_value(name, value) for name, value in stored.items())


def _is_value(name: str, value: object) -> bool:
    """Return whether this is a value of a text, of notes, of cases or of identifiers."""
    if name in CUSTOMER_TEXTS:
        return isinstance(value, str)
    if not isinstance(value, list):
        return False
    if name == "notes":
        return all(isinstance(one, str) for one in value)
    length = 4 if name == "cases" else 3
    return all(
        isinstance(one, list) and len(one) == length and all(isinstance(text, str) for text in one) for one in value
    )


def is_decision(kind: str, field_name: str | None, value: object, base: object) -> bool:
    """Return whether a stored decision has the form of this version."""
    if kind not in set(DecisionKind):
        return False
    if kind == DecisionKind.EDIT:
        return field_name in _EDITABLE and _is_value(field_name, value) and _is_value(field_name, base)
    if kind == DecisionKind.CREATE:
        return are_fields(value)
    return value is None or isinstance(value, str)


_EDITABLE = (*CUSTOMER_TEXTS, *LISTS)
_FIELDS = {*_EDITABLE, *IDENTIFIER_FIELDS, NAMELESS}


def own_identifiers(home: str, origin: str, remote_id: str) -> Iterable[tuple[Identifier, str]]:
    """Yield the identifiers that a record is by itself, with their spelling: our id, and the source's if it differs."""
    if own := customer_id_identifier(home):
        yield own, home
    if origin and origin != FILE and (theirs := customer_id_identifier(remote_id)):
        yield Identifier(f"{origin}_id", theirs.value), remote_id


def _identifiers(
    homes: Collection[str], ordered: Iterable[Content], decisions: Iterable[Decision]
) -> tuple[dict[Identifier, tuple[str, str]], list[Identifier]]:
    """Return the identifiers, and those of the sources that staff took away."""
    found = identifiers_said(ordered)
    unlinked = []
    for key, newest in newest_links(homes, decisions).items():
        if newest.kind is DecisionKind.LINK:
            as_written, known = newest.value or key.value, found.get(key)
            is_respelt = bool(newest.value) and known is not None and known[0] != as_written
            if known is None or is_respelt or _is_better_known(key, as_written, known[0]):
                found[key] = as_written, FROM_STAFF
        elif found.pop(key, ("", FROM_STAFF))[1] == FROM_CRM:
            unlinked.append(key)
    return found, unlinked


def identifiers_said(ordered: Iterable[Content]) -> dict[Identifier, tuple[str, str]]:
    """Return the identifiers of live contents, as in `Projection`, before what staff linked and unlinked."""
    found: dict[Identifier, tuple[str, str]] = {}
    for one in ordered:
        source = FROM_CRM if one.origin else FROM_STAFF
        for key, as_written in own_identifiers(one.home_id, one.origin, one.remote_id):
            # Our own id of an archived record stays with the customer that the record is part of.
            if one.is_live or key.kind == CUSTOMER_ID:
                found.setdefault(key, (as_written, source))
        for name in IDENTIFIER_FIELDS if one.is_live else ():
            for kind, value, as_written in one.fields.get(name, ()):
                key = Identifier(kind, value)
                if key not in found or _is_better_known(key, as_written, found[key][0]):
                    found[key] = as_written, source
    return found


def _is_better_known(key: Identifier, as_written: str, known_as: str) -> bool:
    """Return whether this is a number by itself that was known in front of an extension only, where it is a claim."""
    return key.kind == PHONE and is_plain_number(as_written) and not is_plain_number(known_as)
