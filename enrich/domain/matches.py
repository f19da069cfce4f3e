"""Look-up keys, candidates and matches: how a customer is identified, and the customer record itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Trust(StrEnum):
    """How far a look-up key may be believed."""

    VERIFIED = "verified"  # the carrier's number, or what the integrator's own flow has set
    CLAIMED = "claimed"  # typed by a visitor: a hint for the agent, never an identification


class MatchKind(StrEnum):
    """What a look-up came to. The same words stand in the block, the journal, the log and on the page."""

    MATCHED = "matched"
    AMBIGUOUS = "ambiguous"
    CLAIMED = "claimed"
    NONE = "none"


class NoMatchReason(StrEnum):
    """Why there is nobody, although we could look."""

    NO_SUCH_KEY = "no_such_key"  # keys were there, and no customer has any of them
    WITHHELD = "withheld"  # the caller hides the number, and nothing else identifies them
    NO_KEY = "no_key"  # the attributes hold nothing that could be looked up
    SET_BY_STAFF = "set_by_staff"  # staff said of this task that it is none of those who were found


@dataclass(frozen=True, slots=True)
class LookupKey:
    """One thing to look a customer up by.

    kind: `phone`, `email`, `customer_id`, `client`, or any kind of the customers' `ids`.
    value: the normal form, as stored in the identifiers table.
    attribute: the task attribute that it stood in (dotted for nested ones).
    """

    kind: str
    value: str
    trust: Trust
    attribute: str


@dataclass(frozen=True, slots=True)
class LookupKeys:
    """All keys of one task, in the order asked for; `withheld` names the attributes that hide a caller.

    task_sid: the task itself, which staff may have settled; None where no task is asked about.
    """

    keys: tuple[LookupKey, ...] = ()
    withheld: tuple[str, ...] = ()
    task_sid: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One customer that one identifier (kind, value) points to, as the store returned it.

    Of kind `staff`, value is the task's SID, and staff have said whose it is; customer_id "": nobody's who was found.
    """

    customer_id: str
    name: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Matched:
    """Exactly one customer, on verified evidence. `by` is the kind of key, `key` the first one that led there."""

    customer_id: str
    name: str
    key: LookupKey

    kind = MatchKind.MATCHED


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several customers on equal evidence, ordered by id; never empty, never one."""

    candidates: tuple[Candidate, ...]
    key: LookupKey

    kind = MatchKind.AMBIGUOUS


@dataclass(frozen=True, slots=True)
class Claimed:
    """Somebody says so: customers that only claimed keys point to, ordered by id; at least one."""

    candidates: tuple[Candidate, ...]
    key: LookupKey

    kind = MatchKind.CLAIMED


@dataclass(frozen=True, slots=True)
class NoMatch:
    """We looked, or had nothing to look with, and there is nobody."""

    reason: NoMatchReason

    kind = MatchKind.NONE


Match = Matched | Ambiguous | Claimed | NoMatch


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a customer. `opened_on` is an ISO date, or None where the CRM has none."""

    id: str
    subject: str
    status: str
    opened_on: str | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """What the CRM knows about one customer. Empty text means: the CRM has nothing there.

    notes: newest first. open_cases: newest first, those whose status is not closed.
    """

    id: str
    name: str
    company: str = ""
    tier: str = ""
    language: str = ""
    owner: str = ""
    notes: tuple[str, ...] = ()
    open_cases: tuple[Case, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Interaction:
    """One finished piece of work for a customer. began_at: when a worker took it up; None where nobody has told.

    outcome: what came of it; reason: what TaskRouter was told on completion; "" where nobody said.
    """

    task_sid: str
    channel: str
    worker_sid: str
    worker_name: str
    began_at: datetime | None
    ended_at: datetime
    outcome: str = ""
    reason: str = ""

    @property
    def lasted_s(self) -> float | None:
        """Seconds from one to the other; None where it is not known."""
        if self.began_at is None:
            return None
        return max(0.0, (self.ended_at - self.began_at).total_seconds())
