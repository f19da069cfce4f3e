"""The origin of a customer's values as lines for the page. Pure: an explanation in, labels and values out.

What is the same everywhere is said once: if one record says everything, the page has one line, and a record is named by
its own id only if that is not the customer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from enrich.customers.explanation import Author, Explanation
from enrich.customers.projection import FILE, Decision, RecordState, StoredRecord
from enrich.customers.provenance import FieldProvenance, Join, JoinCause, Part, Statement
from enrich.pages import labels
from enrich.pages.customer_form import FIELDS, LABELS, as_lines


@dataclass(frozen=True, slots=True)
class Origin:
    """An origin in words: "file", "edited by Dana Whitfield". at: of a decision."""

    text: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A value, as lines, and its origins."""

    lines: tuple[str, ...]
    origins: tuple[Origin, ...]


@dataclass(frozen=True, slots=True)
class FieldOrigin:
    """The origins of one field. others: what is said elsewhere. superseded: an edit that has given way."""

    name: str
    label: str
    origins: tuple[Origin, ...]
    others: tuple[Said, ...]
    superseded: Said | None


@dataclass(frozen=True, slots=True)
class PartLine:
    """One part of a customer: where it comes from, and why it is part."""

    home: str
    origins: tuple[Origin, ...]
    reasons: tuple[Origin, ...]
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Origins:
    """The origins of everything on a customer's page.

    sole: of all fields, if nothing disagrees; None if there are several, or no value at all. disagreeing: fields of
    which something else is said, too; rest: the others that have a value. superseded: edits that have given way.
    identifiers: by kind and normal form. deleted: by staff. audit_id: the deletion in the trail, None if it cannot be
    undone there. records: all of them.
    """

    sole: Origin | None
    disagreeing: tuple[FieldOrigin, ...]
    rest: tuple[FieldOrigin, ...]
    superseded: tuple[tuple[FieldOrigin, Said], ...]
    identifiers: Mapping[tuple[str, str], tuple[Origin, ...]]
    parts: tuple[PartLine, ...]
    deleted: Origin | None
    audit_id: int | None
    records: tuple[Origin, ...]


def of(customer_id: str, explanation: Explanation) -> Origins:
    """Return the origins of this customer's values."""
    words = _Words(customer_id, explanation.authors)
    provenance = explanation.provenance
    fields = tuple(words.field(name, provenance.fields[name]) for name in FIELDS if name in provenance.fields)
    disagreeing = tuple(one for one in fields if one.others)
    rest = tuple(one for one in fields if one.origins and not one.others)
    superseded = tuple((one, one.superseded) for one in fields if one.superseded)
    everywhere = {one.origins for one in rest}
    origins = everywhere.pop() if len(everywhere) == 1 and not disagreeing and not superseded else ()
    deleted = provenance.deleted
    author = explanation.authors.get(deleted.id) if deleted else None
    return Origins(
        sole=origins[0] if len(origins) == 1 else None,
        disagreeing=disagreeing,
        rest=rest,
        superseded=superseded,
        identifiers=words.identifiers(explanation),
        parts=tuple(words.part(part, explanation.since.get(part.home)) for part in provenance.parts),
        deleted=words.decision("Deleted", deleted) if deleted else None,
        audit_id=author.audit_id if author else None,
        records=tuple(words.record(record, part.home) for part in provenance.parts for record in part.records),
    )


@dataclass(frozen=True, slots=True)
class _Words:
    """The words for statements, records and decisions. customer_id: of the page, which needs not be said."""

    customer_id: str
    authors: Mapping[int, Author]

    def field(self, name: str, found: FieldProvenance) -> FieldOrigin:
        superseded = found.superseded
        return FieldOrigin(
            name,
            LABELS[name],
            (self.decision("edited", found.edit),) if found.edit else _distinct(map(self.statement, found.said_by)),
            self.others(name, found.others),
            Said(_lines(name, superseded.value), (self.decision("edited", superseded),)) if superseded else None,
        )

    def others(self, name: str, statements: Iterable[Statement]) -> tuple[Said, ...]:
        """Return each value once, with all who say it."""
        origins: dict[tuple[str, ...], list[Origin]] = {}
        for one in statements:
            origins.setdefault(_lines(name, one.value), []).append(self.statement(one))
        return tuple(Said(lines, _distinct(of_value)) for lines, of_value in origins.items())

    def identifiers(self, explanation: Explanation) -> dict[tuple[str, str], tuple[Origin, ...]]:
        lines = {}
        for key, found in explanation.provenance.identifiers.items():
            decision = found.decision
            decided = (self.decision("unlinked" if found.is_unlinked else "linked", decision),) if decision else ()
            lines[key.kind, key.value] = _distinct([*map(self.statement, found.said_by), *decided])
        return lines

    def part(self, part: Part, since: datetime | None) -> PartLine:
        created = (self.decision("created", part.created),) if part.created else ()
        is_root = part.home == self.customer_id
        joins = () if is_root else tuple(self.join(one) for one in part.joins)
        from_records = (self.record(record, part.home) for record in part.records)
        return PartLine(part.home, (*from_records, *created), joins, since)

    def join(self, join: Join) -> Origin:
        into = "" if join.other == self.customer_id else f", with {join.other}"
        if join.cause is JoinCause.STAFF and join.decision:
            merged = self.decision("merged", join.decision)
            return Origin(merged.text + into, merged.at)
        if join.cause is JoinCause.SOURCE:
            return Origin(f"merged in {labels.source(join.source)}{into}")
        return Origin(f"same {labels.key_kind(join.key.kind) if join.key else 'id'}{into}")

    def statement(self, statement: Statement) -> Origin:
        if not statement.source:
            return Origin("staff" if statement.home_id == self.customer_id else f"staff, for {statement.home_id}")
        text = _named(statement.source, statement.remote_id, self.customer_id)
        return Origin(text if statement.is_live else f"{text}, {_gone_from(statement.source)}")

    def record(self, record: StoredRecord, home: str) -> Origin:
        text = _named(record.source, record.remote_id, home)
        match record.state:
            case RecordState.LIVE:
                return Origin(text)
            case RecordState.ARCHIVED:
                return Origin(f"{text}, {_gone_from(record.source)}")
            case RecordState.MERGED:
                return Origin(f"{text}, merged there into {record.into_remote_id}")
            case RecordState.PURGED:
                return Origin(f"{text}, deleted there")
            case RecordState.ERASED:
                return Origin(f"{text}, erased")

    def decision(self, verb: str, decision: Decision) -> Origin:
        author = self.authors.get(decision.id)
        return Origin(f"{verb} by {author.by if author and author.by else 'staff'}", author.at if author else None)


def _named(source: str, remote_id: str, known_id: str) -> str:
    name = labels.source(source)
    return name if remote_id == known_id else f"{name} {remote_id}"


def _gone_from(source: str) -> str:
    return "no longer in it" if source == FILE else "archived there"


def _lines(name: str, value: object) -> tuple[str, ...]:
    return as_lines([list(one) for one in value] if name == "cases" and isinstance(value, list) else value)


def _distinct(origins: Iterable[Origin]) -> tuple[Origin, ...]:
    return tuple(dict.fromkeys(origins))
