"""The customers that are one: connected sets of homes, and the home that gives each set its id.

Pure. A home is the customer that a record founded or was added to. Edges join homes: a merge by staff, a merge within a
source, or a shared id (`same`). For one pair, the newest decision of staff counts: a split cuts every edge between the
two, whatever made it, until staff merge them again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from enrich.customers.projection import Decision, DecisionKind, RecordState, StoredRecord

Pair = frozenset[str]

# From before creation times were stored: older than every other.
UNKNOWN = datetime.min.replace(tzinfo=UTC)
# Of a home that has no customer and gives none: it never gives a set its id, unless there is no other.
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Homes that are one customer. root: it gives the id. merged_away: those that staff merged into others."""

    root: str
    homes: frozenset[str]
    merged_away: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Holder:
    """A live record that has a shared value. home_id: its customer."""

    source: str
    object: str
    remote_id: str
    home_id: str


def clusters(
    homes: Mapping[str, datetime | None],
    records: Iterable[StoredRecord],
    decisions: Iterable[Decision],
    shared: Iterable[Iterable[Holder]] = (),
) -> tuple[Cluster, ...]:
    """Return the clusters of these homes, each home in exactly one.

    homes: with the time of creation; None: before all others; NEVER: there is no such customer. records, decisions: all
    of these homes, and of decisions those in effect. shared: for each shared value, the live records that have it. What
    concerns a home that is not among `homes` is left aside.
    """
    decided = newest_of_pairs(decisions)
    cut = {pair for pair, newest in decided.items() if newest.kind is DecisionKind.SPLIT}
    merges = [newest for newest in decided.values() if newest.kind is DecisionKind.MERGE]
    edges = {Pair((one.subject, one.other or "")) for one in merges}
    edges |= (merged_at_source(records) | same(shared)) - cut
    away = frozenset(one.other for one in merges if one.other)
    found = []
    for members in _connected(homes, edges):
        merged_away = members & away
        root = min(members - merged_away or members, key=lambda home: (homes[home] or UNKNOWN, home))
        found.append(Cluster(root, members, merged_away - {root}))
    return tuple(found)


def newest_of_pairs(decisions: Iterable[Decision]) -> dict[Pair, Decision]:
    """Return the merge or split that counts for each pair of homes."""
    pairwise = (one for one in decisions if one.kind in (DecisionKind.MERGE, DecisionKind.SPLIT) and one.other)
    ordered = sorted(pairwise, key=lambda one: one.id)
    return {Pair((one.subject, one.other or "")): one for one in ordered if one.subject != one.other}


def merged_at_source(records: Iterable[StoredRecord]) -> set[Pair]:
    """Return an edge for each record that its source merged into another one that is known."""
    records = list(records)
    home_of = {one.key: one.home_id for one in records}
    edges = set()
    for one in records:
        if one.state is RecordState.MERGED and one.into_remote_id is not None:
            into = home_of.get((one.source, one.object, one.into_remote_id))
            if into is not None and into != one.home_id:
                edges.add(Pair((one.home_id, into)))
    return edges


def same(shared: Iterable[Iterable[Holder]]) -> set[Pair]:
    """Return an edge for each two sources that each have exactly one live record with a value."""
    edges = set()
    for holders in shared:
        of_source: dict[str, list[str]] = defaultdict(list)
        for holder in holders:
            of_source[holder.source].append(holder.home_id)
        only = sorted({homes[0] for homes in of_source.values() if len(homes) == 1})
        edges |= {Pair((one, other)) for number, one in enumerate(only) for other in only[number + 1 :]}
    return edges


def _connected(homes: Iterable[str], edges: Iterable[Pair]) -> list[frozenset[str]]:
    neighbours: dict[str, set[str]] = {home: set() for home in homes}
    for edge in edges:
        one, other = edge
        if one in neighbours and other in neighbours:
            neighbours[one].add(other)
            neighbours[other].add(one)
    found, seen = [], set[str]()
    for home in neighbours:
        if home in seen:
            continue
        members, waiting = {home}, [home]
        while waiting:
            new = neighbours[waiting.pop()] - members
            members |= new
            waiting += new
        seen |= members
        found.append(frozenset(members))
    return found
