"""Look-up keys, candidates and matches: how a customer is identified, and the customer record itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

# Our own ids first, then the other end of the line, then details that somebody typed.
DEFAULT_LOOKUP_KEYS = "customer_id, account_number, outbound_to, to, from, caller, customerAddress, phone, email"
DEFAULT_REGION = "US"
# On web chat the attributes come from the visitor's own form, and anybody can write any sender into an e-mail.
DEFAULT_CLAIMED_CHANNELS = ("web", "webchat", "chat", "email")
# More keys than any real task has; without a limit one task could cause thousands of look-ups.
MAX_KEYS = 8


class Trust(StrEnum):
    """The trust in a look-up key."""

    VERIFIED = "verified"  # the carrier's number, or a value set by the integrator's own flow
    CLAIMED = "claimed"  # typed by a visitor: a hint for the agent, never an identification


class MatchKind(StrEnum):
    """The result of a look-up. The block, the journal, the log and the pages use the same words."""

    MATCHED = "matched"
    AMBIGUOUS = "ambiguous"
    CLAIMED = "claimed"
    NONE = "none"


class NoMatchReason(StrEnum):
    """The reason why a look-up that worked found no customer."""

    NO_SUCH_KEY = "no_such_key"  # no customer has any of the keys
    WITHHELD = "withheld"  # the caller withholds the number, and there is no other key
    UNKNOWN_FORM = "unknown_form"  # there are addresses, but none whose form is known
    NO_KEY = "no_key"  # the attributes hold nothing to look up
    SET_BY_STAFF = "set_by_staff"  # staff decided that the task belongs to none of the customers found


@dataclass(frozen=True, slots=True)
class LookupKey:
    """One key to look a customer up by.

    kind: `phone`, `email`, `customer_id`, `client`, or any kind of the customers' `ids`.
    value: the normal form, as stored in the identifiers table.
    attribute: the task attribute it was read from (dotted path for nested ones). as_written: its spelling there; the
    keys of one number with an extension share it, and several numbers in one attribute do not.
    """

    kind: str
    value: str
    trust: Trust
    attribute: str
    as_written: str = ""


@dataclass(frozen=True, slots=True)
class LookupKeys:
    """All look-up keys of one task, in the configured order.

    withheld: names of the attributes in which a caller withholds the number.
    task_sid: the task, which staff may have assigned to a customer; None if the look-up is not for a task.
    unknown: names of the attributes that have a value of no known form. region: of national phone numbers.
    """

    keys: tuple[LookupKey, ...] = ()
    withheld: tuple[str, ...] = ()
    task_sid: str | None = None
    unknown: tuple[str, ...] = ()
    region: str = DEFAULT_REGION


@dataclass(frozen=True, slots=True)
class Candidate:
    """One customer that one identifier (kind, value) points to, as the store returned it.

    kind `staff`: a decision of staff about the task whose SID is `value`; customer_id "" means "none of them".
    as_written: the identifier's spelling in the CRM.
    """

    customer_id: str
    name: str
    kind: str
    value: str
    as_written: str = ""


@dataclass(frozen=True, slots=True)
class Matched:
    """Exactly one customer, on verified evidence. `key` is the first key that led to them."""

    customer_id: str
    name: str
    key: LookupKey

    kind = MatchKind.MATCHED


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several customers on equal evidence, ordered by id; at least two."""

    candidates: tuple[Candidate, ...]
    key: LookupKey

    kind = MatchKind.AMBIGUOUS


@dataclass(frozen=True, slots=True)
class Claimed:
    """Customers that only claimed keys point to, ordered by id; at least one."""

    candidates: tuple[Candidate, ...]
    key: LookupKey

    kind = MatchKind.CLAIMED


@dataclass(frozen=True, slots=True)
class NoMatch:
    """No customer: the look-up found none, or there was no key."""

    reason: NoMatchReason

    kind = MatchKind.NONE


Match = Matched | Ambiguous | Claimed | NoMatch


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a customer. `opened_on` is an ISO date, or None if the CRM has none."""

    id: str
    subject: str
    status: str
    opened_on: str | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """The CRM's record of one customer. Empty text: the CRM has no value.

    notes: newest first. open_cases: newest first, only those whose status is not closed.
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
    """One finished task of a customer.

    began_at: when a worker accepted it; None if unknown. outcome: as Flex or another system recorded it.
    reason: TaskRouter's completion reason. Both are "" if there is none.
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
        """Seconds from acceptance to the end; None if the beginning is unknown."""
        if self.began_at is None:
            return None
        return max(0.0, (self.ended_at - self.began_at).total_seconds())
