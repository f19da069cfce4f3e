"""A plain, slow model of the store: customers computed from the whole history of records, decisions and undoing.

A second opinion on projection.py, clusters.py and projector.py, of which it uses nothing but the types of values. It
keeps no state but the history, and computes everything anew with nested loops.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import select

from enrich.customers.arrivals import Arrival, Origin, home_of
from enrich.customers.identifiers import Identifier, customer_id_identifier
from enrich.customers.projection import FILE, Decision, DecisionKind, RecordState
from enrich.customers.tables import CaseRow, CustomerRow, IdentifierRow, NoteRow
from enrich.database.engine import Database
from enrich.domain.lengths import CUSTOMER_TEXTS

_OF_IDENTIFIERS = ("phones", "emails", "ids")


@dataclass(frozen=True)
class Applied:
    """Records of a source that were applied in one transaction."""

    origin: Origin
    arrivals: Sequence[Arrival]
    seq: int


@dataclass(frozen=True)
class Decided:
    """Decisions of staff that were made in one change. entry: its id in the audit trail."""

    entry: int
    decisions: Sequence[Decision]


@dataclass(frozen=True)
class Undone:
    """An entry of the audit trail that undid another one, which may have undone one itself."""

    entry: int
    undoes: int


Event = Applied | Decided | Undone


@dataclass
class Record:
    """A source's present word about one customer."""

    source: str
    remote_id: str
    home: str
    state: RecordState
    version: int | None
    hash: bytes
    into: str | None
    seq: int
    fields: dict[str, Any]
    was_live: bool


@dataclass(frozen=True)
class Content:
    """The values of one record or one creation by staff. rank: of its source, the first one is believed most."""

    rank: tuple[int, str]
    remote_id: str
    home: str
    is_live: bool
    version: int
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Customer:
    """One customer. homes: of which the customer consists. root: the home whose id is the customer's."""

    homes: frozenset[str]
    root: str | None
    texts: Mapping[str, str]
    identifiers: frozenset[Identifier]
    notes: Sequence[str]
    cases: Sequence[Sequence[str]]
    is_gone: bool


class SlowStore:
    """The store after this history."""

    def __init__(self, history: Iterable[Event] = ()) -> None:
        self.history = tuple(history)

    # --- records

    @cached_property
    def records(self) -> dict[tuple[str, str], Record]:
        """Return what each source says now, by source and remote id."""
        records: dict[tuple[str, str], Record] = {}
        for event in self.history:
            if isinstance(event, Applied):
                for arrival in event.arrivals:
                    key = (event.origin.source, arrival.record.remote_id)
                    applied = _after(records.get(key), arrival, event)
                    if applied is not None:
                        records[key] = applied
        return records

    def said_once(self) -> frozenset[str]:
        """Return the homes about which a source has ever said something, or staff say something now."""
        homes = {one.subject for one in self.decisions if one.kind is DecisionKind.CREATE}
        return frozenset(homes | {one.home for one in self.records.values() if one.was_live})

    # --- decisions

    @cached_property
    def decisions(self) -> list[Decision]:
        """Return the decisions in effect, oldest first."""
        in_effect = [
            decision
            for number, event in enumerate(self.history)
            if isinstance(event, Decided) and self.stands(event.entry)
            for decision in event.decisions
            if not self._was_erased(decision, number)
        ]
        return sorted(in_effect, key=lambda one: one.id)

    def _was_erased(self, decision: Decision, number: int) -> bool:
        """Return whether a record of its customer was erased after this decision about values. number: of its event."""
        names_customers_alone = decision.kind in (DecisionKind.MERGE, DecisionKind.SPLIT, DecisionKind.DELETE)
        return not names_customers_alone and any(
            home_of(event.origin.source, arrival.record.remote_id) == decision.subject
            for event in self.history[number:]
            if isinstance(event, Applied)
            for arrival in event.arrivals
            if arrival.state is RecordState.ERASED
        )

    def stands(self, entry: int) -> bool:
        """Return whether the change of this entry is in effect: undone as often as it was put into effect again."""
        undone = [event for event in self.history if isinstance(event, Undone) and self.origin(event.entry) == entry]
        return len(undone) % 2 == 0

    def origin(self, entry: int) -> int:
        """Return the entry of the change that this entry made, undid, or put into effect again."""
        undoing = [event.undoes for event in self.history if isinstance(event, Undone) and event.entry == entry]
        return self.origin(undoing[0]) if undoing else entry

    def has_its_effect(self, entry: int) -> bool:
        """Return whether the change is as this entry left it, and nobody has undone this entry."""
        if any(isinstance(event, Undone) and event.undoes == entry for event in self.history):
            return False
        is_undoing, origin = False, entry
        while origin != self.origin(origin):
            origin = next(event.undoes for event in self.history if isinstance(event, Undone) and event.entry == origin)
            is_undoing = not is_undoing
        return self.stands(origin) != is_undoing

    # --- sets

    def sets(self) -> list[frozenset[str]]:
        """Return the homes of each customer."""
        homes = {one.home for one in self.records.values()}
        homes |= {home for one in self.decisions for home in (one.subject, one.other) if home}
        sets = [{home} for home in sorted(homes)]
        for one, other in self._edges():
            first = next(members for members in sets if one in members)
            second = next(members for members in sets if other in members)
            if first is not second:
                sets.remove(second)
                first |= second
        return [frozenset(members) for members in sets]

    def _edges(self) -> list[tuple[str, str]]:
        edges = [(one.subject, one.other) for one in self._newest_of_pairs if one.kind is DecisionKind.MERGE]
        cut = [{one.subject, one.other} for one in self._newest_of_pairs if one.kind is DecisionKind.SPLIT]
        edges += [one for one in self._source_merges() + self._same() if set(one) not in cut]
        return [(one, other) for one, other in edges if other is not None]

    @cached_property
    def _newest_of_pairs(self) -> list[Decision]:
        pairs = [one for one in self.decisions if one.kind in (DecisionKind.MERGE, DecisionKind.SPLIT)]
        return [
            one
            for number, one in enumerate(pairs)
            if not any({one.subject, one.other} == {later.subject, later.other} for later in pairs[number + 1 :])
        ]

    def _source_merges(self) -> list[tuple[str, str | None]]:
        records = self.records
        merged = [one for one in records.values() if one.state is RecordState.MERGED and one.into is not None]
        targets = [(one, records.get((one.source, one.into or ""))) for one in merged]
        return [(one.home, target.home) for one, target in targets if target is not None]

    def _same(self) -> list[tuple[str, str | None]]:
        """Return the homes of records of two sources of which each has one live record with the same shared value."""
        live = [one for one in self.records.values() if one.state is RecordState.LIVE]
        holders = [(key, one) for one in live for key in self._shared(one)]
        return [
            (one.home, other.home)
            for key, one in holders
            for other_key, other in holders
            if key == other_key and one.source < other.source
            if all(
                [holder for held, holder in holders if held == key and holder.source == source] == [only]
                for source, only in ((one.source, one), (other.source, other))
            )
        ]

    def _shared(self, record: Record) -> list[Identifier]:
        (origin,) = {
            (event.origin.shared_kinds, event.origin.placeholders)
            for event in self.history
            if isinstance(event, Applied) and event.origin.source == record.source
        }
        kinds, placeholders = origin
        return [one for one in _identifiers(record.fields) if one.kind in kinds and one.value not in placeholders]

    # --- customers

    def customers(self, created_at: Mapping[str, Any]) -> list[Customer]:
        """Return the customers. created_at: sort keys of the age of each home that has a row; no other is a root."""
        return [self._customer(homes, created_at) for homes in self.sets()]

    def merged_away(self, homes: Collection[str]) -> frozenset[str]:
        """Return which of these homes staff merged into others."""
        merges = [one for one in self._newest_of_pairs if one.kind is DecisionKind.MERGE]
        return frozenset(one.other for one in merges if one.other is not None and one.other in homes)

    def _customer(self, homes: frozenset[str], created_at: Mapping[str, Any]) -> Customer:
        stored = [home for home in homes if home in created_at]
        named = [home for home in stored if home not in self.merged_away(homes)] or stored
        is_gone = self._is_gone(homes)
        return Customer(
            homes=homes,
            root=min(named, key=lambda home: (created_at[home], home), default=None),
            texts={name: self.value(homes, name) for name in CUSTOMER_TEXTS},
            identifiers=frozenset() if is_gone else self._identifiers(homes),
            notes=self.value(homes, "notes"),
            cases=self.value(homes, "cases"),
            is_gone=is_gone,
        )

    def _is_gone(self, homes: Collection[str]) -> bool:
        if any(one.kind is DecisionKind.DELETE and one.subject in homes for one in self.decisions):
            return True
        return not any(one.is_live for one in self.contents(homes))

    def contents(self, homes: Collection[str]) -> list[Content]:
        """Return what records and creations say of these homes, in no order."""
        of_records = [
            Content(
                (0 if one.source == FILE else 1, one.source),
                one.remote_id,
                one.home,
                one.state is RecordState.LIVE,
                one.version or 0,
                one.fields,
            )
            for one in self.records.values()
            if one.home in homes and one.state in (RecordState.LIVE, RecordState.ARCHIVED)
        ]
        creations = [
            Content((2, ""), one.subject, one.subject, True, 0, one.value)
            for one in self.decisions
            if one.kind is DecisionKind.CREATE and one.subject in homes
        ]
        return of_records + creations

    def in_order(self, homes: Collection[str]) -> list[Content]:
        """Return the same by how far it is believed."""
        away = self.merged_away(homes)
        return sorted(
            self.contents(homes),
            key=lambda one: (one.rank, not one.is_live, one.home in away, -one.version, one.remote_id),
        )

    def value(self, homes: Collection[str], name: str) -> Any:
        """Return the value of a field: what staff made of it, else what is said."""
        said = self.said(homes, name)
        edits = [one for one in self.decisions if one.kind is DecisionKind.EDIT and one.subject in homes]
        edits = [one for one in edits if one.field == name]
        newest = [one for one in edits if one is [other for other in edits if other.subject == one.subject][-1]]
        standing = [one.value for one in newest if one.base == said]
        return standing[-1] if standing else said

    def said(self, homes: Collection[str], name: str) -> Any:
        """Return the value of a field without edits."""
        contents = self.in_order(homes)
        if name == "name":
            contents = sorted(contents, key=lambda one: bool(one.fields.get("nameless")))
        if name in CUSTOMER_TEXTS:
            return next((one.fields[name] for one in contents if one.fields.get(name)), "")
        contents = [one for one in contents if one.is_live] or contents
        return _notes(contents) if name == "notes" else _cases(contents)

    def _identifiers(self, homes: Collection[str]) -> frozenset[Identifier]:
        identifiers = {key for one in self.contents(homes) if one.is_live for key in _identifiers(one.fields)}
        identifiers |= {key for one in self.contents(homes) if (key := customer_id_identifier(one.home))}
        for one in self.records.values():
            if one.home in homes and one.state is RecordState.LIVE and one.source != FILE:
                identifiers.add(Identifier(f"{one.source}_id", one.remote_id))
        for decision in self.decisions:
            if decision.subject in homes and decision.key is not None:
                if decision.kind is DecisionKind.LINK:
                    identifiers.add(decision.key)
                elif decision.kind is DecisionKind.UNLINK:
                    identifiers.discard(decision.key)
        return frozenset(identifiers)


def _after(known: Record | None, arrival: Arrival, event: Applied) -> Record | None:
    """Return the record after this arrival; None where what is known stays."""
    origin, row = event.origin, arrival.record
    if known is not None and known.state is RecordState.ERASED:
        return None
    if known is not None and arrival.state is not RecordState.ERASED and _is_older(known, arrival, origin):
        return None
    version = arrival.version if arrival.version is not None else known.version if known else None
    seq = event.seq
    if known is not None and (known.hash, known.state, known.into) == (row.hash, arrival.state, arrival.into_remote_id):
        if version == known.version:  # nothing is new: it counts as applied when it was
            seq = known.seq
        return Record(**{**vars(known), "version": version, "seq": seq})
    fields = dict(known.fields) if known else {}
    if arrival.state is RecordState.LIVE:
        fields = _live_fields(fields if origin.is_partial else {}, arrival)
    elif arrival.state in (RecordState.PURGED, RecordState.ERASED):
        fields = {}
    home = known.home if known else home_of(origin.source, row.remote_id)
    return Record(
        origin.source,
        row.remote_id,
        home,
        arrival.state,
        version,
        row.hash,
        arrival.into_remote_id,
        seq,
        fields,
        was_live=arrival.state is RecordState.LIVE or (known is not None and known.was_live),
    )


def _is_older(known: Record, arrival: Arrival, origin: Origin) -> bool:
    if origin.read_after is not None:
        return known.seq > origin.read_after
    if known.version is None or arrival.version is None:
        return False
    ours = arrival.record.hash, arrival.state.value, arrival.into_remote_id or ""
    return (arrival.version, *ours) < (known.version, known.hash, known.state.value, known.into or "")


def _live_fields(before: dict[str, Any], arrival: Arrival) -> dict[str, Any]:
    row = arrival.record
    fields = before | row.fields
    for name in row.partial:
        unread = [one for one in before.get(name, []) if one[:2] not in [read[:2] for read in row.fields[name]]]
        fields[name] = row.fields[name] + unread
    fields["nameless"] = row.is_nameless
    if row.is_nameless and before.get("name") and not before.get("nameless"):
        fields |= {"name": before["name"], "nameless": False}
    return fields


def _identifiers(fields: Mapping[str, Any]) -> list[Identifier]:
    return [Identifier(kind, value) for name in _OF_IDENTIFIERS for kind, value, _ in fields.get(name, [])]


def _notes(contents: Sequence[Content]) -> list[str]:
    notes: list[str] = []
    for one in contents:
        notes += [note for note in one.fields.get("notes", []) if note not in notes]
    return notes


def _cases(contents: Sequence[Content]) -> list[list[str]]:
    cases: list[list[str]] = []
    said: list[list[str]] = []
    for one in contents:
        for id_, *rest in one.fields.get("cases", []):
            if [id_, *rest] in said:
                continue
            said.append([id_, *rest])
            name, number = id_, 1
            while name in [case[0] for case in cases] and [name, *rest] not in cases:
                name = f"{id_} ({one.home})" if number == 1 else f"{id_} ({one.home}, {number})"
                number += 1
            if [name, *rest] not in cases:
                cases.append([name, *rest])
    return cases


# --- the real store, in the same form


@dataclass(frozen=True)
class Stored:
    """The customers of a database, and what each row says by itself. merged_into: by id, of rows that have it."""

    customers: Sequence[Customer]
    created_at: Mapping[str, Any]
    merged_into: Mapping[str, str]
    identifiers: Sequence[tuple[str, Identifier]]
    gone: frozenset[str]


def read_store(database: Database) -> Stored:
    """Return what the tables of customers hold."""
    rows = {row.id: row for row in database.read(select(CustomerRow.__table__))}
    merged_into = {id_: row.merged_into for id_, row in rows.items() if row.merged_into is not None}
    identifiers = [
        (row.customer_id, Identifier(row.kind, row.value)) for row in database.read(select(IdentifierRow.__table__))
    ]
    notes = database.read(select(NoteRow.__table__).order_by(NoteRow.position))
    cases = database.read(select(CaseRow.__table__).order_by(CaseRow.position))
    customers = [
        Customer(
            homes=frozenset({id_} | {one for one, into in merged_into.items() if into == id_}),
            root=id_,
            texts={name: getattr(row, name) for name in CUSTOMER_TEXTS},
            identifiers=frozenset(key for owner, key in identifiers if owner == id_),
            notes=[note.text for note in notes if note.customer_id == id_],
            cases=[[one.id, one.subject, one.status, one.opened_on] for one in cases if one.customer_id == id_],
            is_gone=row.is_gone,
        )
        for id_, row in rows.items()
        if id_ not in merged_into
    ]
    return Stored(
        customers,
        {id_: (row.created_at is not None, row.created_at and row.created_at.timestamp()) for id_, row in rows.items()},
        merged_into,
        identifiers,
        frozenset(id_ for id_, row in rows.items() if row.is_gone),
    )


def differences(model: SlowStore, stored: Stored) -> list[str]:
    """Return how the store differs from the model, in sentences; empty if they are equal."""
    found: list[str] = []
    by_root = {one.root: one for one in stored.customers}
    expected = [one for one in model.customers(stored.created_at) if one.root is not None]
    for customer in expected:
        rows = frozenset(home for home in customer.homes if home in stored.created_at)
        is_ = by_root.pop(customer.root, None)
        if is_ is None or is_.homes != rows:
            found.append(f"{customer.root} is {sorted(is_.homes) if is_ else 'part of another'}, not {sorted(rows)}")
            continue
        for name in ("texts", "identifiers", "notes", "cases", "is_gone"):
            has, should_have = getattr(is_, name), getattr(customer, name)
            found += [f"{name} of {customer.root}: {has}, not {should_have}"] if has != should_have else []
    found += [f"nothing is known of {one}" for one in by_root]
    found += [f"{one} is missing" for one in sorted(model.said_once() - stored.created_at.keys())]
    return found + dangling(stored)


def dangling(stored: Stored) -> list[str]:
    """Return the identifiers and redirects that lead to nobody, in sentences."""
    living = stored.created_at.keys() - stored.merged_into.keys() - stored.gone
    roots = stored.created_at.keys() - stored.merged_into.keys()
    found = [f"{key} leads to {owner}, who is nobody" for owner, key in stored.identifiers if owner not in living]
    return found + [f"{one} redirects to {into}" for one, into in stored.merged_into.items() if into not in roots]
