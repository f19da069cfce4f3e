"""The plan of the demo's CRM: what changes there while one watches, and who calls because of it.

Pure. Seconds count from the first arrival. A change is an SQL statement of the CRM's owner, who knows nothing of the
service; between a change and its call lies time for the pass that finds it (sources.toml). Calls come while
TaskRouter's API works (FAULTS in cli/demo.py), so that the page shows how they ended and not how they failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """A change in the CRM. text: for the reader."""

    at_s: float
    text: str
    sql: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call. caller: the number as a carrier sends it. finds: the customer's name, None if nobody has the number."""

    at_s: float
    text: str
    caller: str
    finds: str | None


Event = Change | Call

ALICE, NADIA, OLD_OF_ERIK, NEW_OF_ERIK, TOM, HENK = (
    f"+1503555{number:04d}" for number in (101, 141, 142, 147, 144, 145)
)

PLAN: tuple[Event, ...] = (
    Call(
        8,
        "Alice Kern calls: the CRM has her number, the file her notes; her account number joins the two",
        ALICE,
        "Alice Kern",
    ),
    Change(
        14,
        "Nadia Okafor is created in the CRM; she calls in a minute",
        "INSERT INTO contacts (id, first_name, last_name, company, email, class, language, account_no)"
        " VALUES (101, 'Nadia', 'Okafor', 'Okafor Film', 'nadia@example.com', 'A', 'en', 'A-301');"
        " INSERT INTO phones (contact_id, number) VALUES (101, '(503) 555-0141')",
    ),
    Call(20, "Tom Rivera calls: the CRM has him twice, here without his company", TOM, "Tom Rivera"),
    Change(
        26,
        "Erik Lindholm gets a new number in the CRM",
        "UPDATE phones SET number = '(503) 555-0147' WHERE contact_id = 102",
    ),
    Call(35, "Henk de Vries calls", HENK, "Henk de Vries"),
    Change(
        40,
        "Henk de Vries is deleted in the CRM, without a trace",
        "DELETE FROM phones WHERE contact_id = 105; DELETE FROM contacts WHERE id = 105",
    ),
    Call(46, "Erik Lindholm calls from his new number", NEW_OF_ERIK, "Erik Lindholm"),
    Call(51, "Somebody calls from Erik Lindholm's old number: nobody has it any more", OLD_OF_ERIK, None),
    Change(
        57,
        "Tom and Tomás Rivera are merged in the CRM: one is marked as deleted, and the other has both numbers",
        "UPDATE phones SET contact_id = 103 WHERE contact_id = 104;"
        " UPDATE contacts SET deleted_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE id = 104",
    ),
    Call(75, "Nadia Okafor calls", NADIA, "Nadia Okafor"),
    Call(84, "Tom Rivera calls again: now he is Tomás, of Rivera Music", TOM, "Tomás Rivera"),
    Call(113, "Henk de Vries calls again: nobody has his number any more", HENK, None),
)


def due(plan: Sequence[Event], since_s: float, until_s: float) -> tuple[Event, ...]:
    """Return the events after `since_s`, up to `until_s` and with it."""
    return tuple(event for event in plan if since_s < event.at_s <= until_s)
