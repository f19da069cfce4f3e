"""The provenance of a customer's values: which record or decision each comes from, and what others say instead.

Pure, beside `projection.project`, from the same records and decisions: it explains the customer that is computed there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from enrich.customers.clusters import Cluster, Holder, Pair, merged_at_source, newest_of_pairs, same
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import (
    IDENTIFIER_FIELDS,
    LISTS,
    NAMELESS,
    Content,
    Decision,
    DecisionKind,
    Precedence,
    StoredRecord,
    contents_of,
    edited_value,
    in_order,
    newest_edits,
    newest_links,
    own_identifiers,
    said_by_sources,
)
from enrich.domain.lengths import CUSTOMER_TEXTS


@dataclass(frozen=True, slots=True)
class Statement:
    """A value, and the record that says it. source: "" for staff, who created the customer `home_id`."""

    source: str
    remote_id: str
    home_id: str
    is_live: bool
    value: Any = None


@dataclass(frozen=True, slots=True)
class FieldProvenance:
    """The provenance of a text, the notes or the cases.

    said_by: the records with the present value; of notes and cases, those that have any. edit: the decision of staff
    that replaces what the sources say, or None. others: the records that say something else; of notes and cases, with
    the entries that are not shown. superseded: an edit that has given way because the sources say something new.
    """

    said_by: tuple[Statement, ...] = ()
    edit: Decision | None = None
    others: tuple[Statement, ...] = ()
    superseded: Decision | None = None


@dataclass(frozen=True, slots=True)
class IdentifierProvenance:
    """The provenance of an identifier. said_by: the live records that have it. decision: the link, or the unlink."""

    said_by: tuple[Statement, ...] = ()
    decision: Decision | None = None

    @property
    def is_unlinked(self) -> bool:
        """Return whether staff took it away."""
        return self.decision is not None and self.decision.kind is DecisionKind.UNLINK


class JoinCause(StrEnum):
    """The reasons for which two homes are one customer."""

    STAFF = "staff"
    SOURCE = "source"
    SHARED_ID = "shared_id"


@dataclass(frozen=True, slots=True)
class Join:
    """A reason for which a part belongs to another one, `other`.

    decision: the merge by staff. source: the one that merged them. key: the id that they share.
    """

    cause: JoinCause
    other: str = ""
    decision: Decision | None = None
    source: str = ""
    key: Identifier | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One home of a customer: its records, its creation by staff, and why it belongs to the others.

    joins: in the order of the parts that they lead to.
    """

    home: str
    records: tuple[StoredRecord, ...] = ()
    created: Decision | None = None
    joins: tuple[Join, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """The provenance of one customer. parts: the one that gives the id first. deleted: by staff, or None."""

    fields: Mapping[str, FieldProvenance] = field(default_factory=dict)
    identifiers: Mapping[Identifier, IdentifierProvenance] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    deleted: Decision | None = None


def trace(
    cluster: Cluster,
    records: Iterable[StoredRecord],
    decisions: Iterable[Decision],
    shared: Mapping[Identifier, Collection[Holder]],
    precedence: Precedence,
) -> Provenance:
    """Return the provenance of the customer of this cluster. records, decisions, shared: also of other customers."""
    homes = cluster.homes
    records = [one for one in records if one.home_id in homes]
    decisions = sorted((one for one in decisions if one.subject in homes), key=lambda one: one.id)
    contents = contents_of(homes, records, decisions)
    fields = {}
    for name in (*CUSTOMER_TEXTS, *LISTS):
        ordered = in_order(name, contents, cluster.merged_away, precedence)
        said = said_by_sources(name, contents, cluster.merged_away, precedence)
        fields[name] = _field(name, said, ordered, homes, decisions)
    deletions = [one for one in decisions if one.kind is DecisionKind.DELETE]
    return Provenance(
        fields,
        _identifiers(homes, in_order("ids", contents, cluster.merged_away, precedence), decisions),
        _parts(cluster, records, decisions, shared),
        deletions[-1] if deletions else None,
    )


def _field(
    name: str, said: Any, ordered: Sequence[Content], homes: Collection[str], decisions: Sequence[Decision]
) -> FieldProvenance:
    value = edited_value(name, said, homes, decisions)
    edits = newest_edits(name, homes, decisions)
    standing = [one for one in edits if one.base == said]
    edit = standing[-1] if standing and value != said else None
    # An edit that the sources have confirmed meanwhile, or a later one has replaced, says nothing new.
    superseded = edits[-1] if edits and edits[-1].base != said and edits[-1].value != value else None
    if name in LISTS:
        said_by, others = _of_list(name, value, ordered)
    else:
        texts = [
            _statement(one, one.fields[name]) for one in ordered if one.fields.get(name) and not _is_made(name, one)
        ]
        said_by = tuple(one for one in texts if one.value == value)
        others = tuple(one for one in texts if one.value != value)
    return FieldProvenance(said_by, edit, others, superseded)


def _is_made(name: str, content: Content) -> bool:
    """Return whether this is a name that was made of another value, for want of one."""
    return name == "name" and bool(content.fields.get(NAMELESS))


def _of_list(name: str, value: Any, ordered: Sequence[Content]) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
    said_by, others = [], []
    for one in ordered:
        entries = one.fields.get(name, ())
        hidden = [entry for entry in entries if not any(_is_shown_as(entry, shown) for shown in value)]
        if len(hidden) < len(entries):
            said_by.append(_statement(one, list(entries)))
        if hidden:
            others.append(_statement(one, hidden))
    return tuple(said_by), tuple(others)


def _is_shown_as(entry: Any, shown: Any) -> bool:
    """Return whether this is the entry; a case may be shown under an id of its own (`projection`)."""
    if isinstance(entry, str) or entry[1:] != shown[1:]:
        return bool(entry == shown)
    return bool(entry[0] == shown[0]) or entry[0].startswith(shown[0].partition(" (")[0])


def _identifiers(
    homes: Collection[str], ordered: Iterable[Content], decisions: Iterable[Decision]
) -> dict[Identifier, IdentifierProvenance]:
    said_by: dict[Identifier, list[Statement]] = {}
    for one in ordered:
        if not one.is_live:
            continue
        found = dict(own_identifiers(one.home_id, one.origin, one.remote_id))
        for name in IDENTIFIER_FIELDS:
            found |= {Identifier(kind, value): written for kind, value, written in one.fields.get(name, ())}
        for key, as_written in found.items():
            said_by.setdefault(key, []).append(_statement(one, as_written))
    newest = newest_links(homes, decisions)
    return {key: IdentifierProvenance(tuple(said_by.get(key, ())), newest.get(key)) for key in said_by.keys() | newest}


def _parts(
    cluster: Cluster,
    records: Sequence[StoredRecord],
    decisions: Sequence[Decision],
    shared: Mapping[Identifier, Collection[Holder]],
) -> tuple[Part, ...]:
    joins = _joins(records, decisions, shared)
    created = {one.subject: one for one in decisions if one.kind is DecisionKind.CREATE}
    homes = sorted(cluster.homes, key=lambda one: (one != cluster.root, one))
    return tuple(
        Part(
            home,
            tuple(one for one in records if one.home_id == home),
            created.get(home),
            tuple(replace(join, other=other) for other in homes for join in joins.get(Pair((home, other)), ())),
        )
        for home in homes
    )


def _joins(
    records: Sequence[StoredRecord], decisions: Sequence[Decision], shared: Mapping[Identifier, Collection[Holder]]
) -> dict[Pair, list[Join]]:
    """Return why the two homes of each pair are one customer; `other` is left open, as it differs between the two."""
    decided = newest_of_pairs(decisions)
    joins: dict[Pair, list[Join]] = {}
    for pair, newest in decided.items():
        if newest.kind is DecisionKind.MERGE:
            joins.setdefault(pair, []).append(Join(JoinCause.STAFF, decision=newest))
    for source in sorted({one.source for one in records}):
        for pair in merged_at_source(one for one in records if one.source == source):
            joins.setdefault(pair, []).append(Join(JoinCause.SOURCE, source=source))
    for key, holders in shared.items():
        for pair in same([holders]):
            joins.setdefault(pair, []).append(Join(JoinCause.SHARED_ID, key=key))
    cut = {pair for pair, newest in decided.items() if newest.kind is DecisionKind.SPLIT}
    return {pair: of_pair for pair, of_pair in joins.items() if pair not in cut}


def _statement(content: Content, value: Any) -> Statement:
    return Statement(content.origin, content.remote_id, content.home_id, content.is_live, value)
