"""The feed's query: search, filters and page, as parameters of the address, which can be shared.

An invalid parameter is left out, so that the page says what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from enrich.customers import search
from enrich.customers.identifiers import ADDRESS, normalise
from enrich.customers.key_rules import KeyRules
from enrich.customers.spelling import is_storable
from enrich.database.engine import Database
from enrich.domain.lengths import MAX_IDENTIFIER_LENGTH
from enrich.domain.matches import MAX_KEYS
from enrich.domain.sids import is_sid
from enrich.journal.feed import TaskLine
from enrich.journal.filters import ENDINGS, Filters

# The parameters of an address, in the order in which the page shows them.
FIELDS = ("q", "outcome", "worker", "queue", "channel", "time", "from", "to")
TIMES = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}
# Beyond these years there is no room for the days that a search adds on both sides.
_FIRST_YEAR, _LAST_YEAR = 1970, 9000
# As ids of customers are; a viewer, who is not shown names and numbers, cannot try them out either.
_CUSTOMER_ID = re.compile(r"[A-Za-z]{1,6}[-_ ]?[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Feed:
    """One page of the feed.

    query: the valid parameters of its address. before: None on the newest page, which alone stays live;
    older: where the next begins, None where there is none. looked_back_to: when looking ended early, and nothing is
    known of what came before. newest: the highest id that there was.
    """

    lines: tuple[TaskLine, ...]
    version: str
    query: Mapping[str, str]
    before: int | None = None
    older: int | None = None
    looked_back_to: datetime | None = None
    newest: int = 0

    @property
    def is_filtered(self) -> bool:
        return bool(self.query)

    def without(self, field: str) -> dict[str, str]:
        """Return the query without this parameter."""
        return {name: value for name, value in self.query.items() if name != field}


def query_of(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the known and valid ones of these parameters, in the order of FIELDS."""
    query = {}
    for field in FIELDS:
        value = parameters.get(field, "").strip()
        if value and len(value) <= MAX_IDENTIFIER_LENGTH and is_storable(value) and _IS_VALID[field](value):
            query[field] = value
    return query


def filters_of(
    query: Mapping[str, str], database: Database, rules: KeyRules, now: datetime, *, by_id_only: bool
) -> Filters:
    """Return the filters of these parameters. by_id_only: names and numbers find nothing. Raises DatabaseError."""
    since = now - TIMES[query["time"]] if "time" in query else _moment(query.get("from", ""))
    filters = Filters(
        ending=query.get("outcome", ""),
        worker_sid=query.get("worker", ""),
        task_queue_sid=query.get("queue", ""),
        task_channel=query.get("channel", ""),
        since=since,
        until=_moment(query.get("to", "")),
    )
    return _searched(filters, query["q"], database, rules, by_id_only=by_id_only) if "q" in query else filters


def _searched(filters: Filters, query: str, database: Database, rules: KeyRules, *, by_id_only: bool) -> Filters:
    filters = replace(filters, searched=True)
    match query[:2] if is_sid(query) else "":
        case "WT":
            return replace(filters, task_sid=query)
        case "WR":
            return replace(filters, reservation_sid=query)
        case "WK":
            return replace(filters, searched=False, worker_sid=query)
        case "WQ":
            return replace(filters, searched=False, task_queue_sid=query)
    if by_id_only:
        return replace(filters, customer_ids=by_id(query))
    kinds = tuple(dict.fromkeys(source.kind for source in rules.sources if source.kind != ADDRESS))
    customers = search.find_customers(database, query, kinds=kinds, region=rules.region)
    return replace(
        filters,
        customer_ids=tuple(customer.id for customer in customers),
        first_keys=_keys(query, (ADDRESS, *kinds), rules.region),
    )


def by_id(query: str) -> tuple[str, ...]:
    """Return the customer ids that this can be, in both cases; none if it does not have the form of an id."""
    return tuple(dict.fromkeys((query, query.upper()))) if _CUSTOMER_ID.fullmatch(query) else ()


def _keys(query: str, kinds: Iterable[str], region: str) -> tuple[str, ...]:
    values = dict.fromkeys(key.value for kind in kinds for key in normalise(kind, query, region))
    return tuple(values)[:MAX_KEYS]


def _moment(written: str) -> datetime | None:
    """Parse a date, or a date and time, in UTC unless it has an offset; None if it is neither, or no time of ours."""
    try:
        moment = datetime.fromisoformat(written)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment if _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


_IS_VALID = {
    "q": lambda _: True,
    "outcome": ENDINGS.__contains__,
    "worker": lambda value: len(value) <= 34,
    "queue": lambda value: len(value) <= 34,
    "channel": lambda value: len(value) <= 64,
    "time": TIMES.__contains__,
    "from": _moment,
    "to": _moment,
}
