"""Deliveries about work of our own, and the SIDs by which log lines name them."""

from __future__ import annotations

from datetime import UTC, datetime

from enrich.domain.deliveries import Delivery, delivery_about, sids
from enrich.domain.outcomes import EntryKind

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CALLBACK = Delivery(
    kind=EntryKind.ASSIGNMENT,
    received_at=datetime(2026, 11, 24, 9, 0, tzinfo=UTC),
    delivery_key="WR1",
    workspace_sid="WS1",
    task_sid="WT1",
    reservation_sid="WR1",
    worker_sid="WK1",
    worker_name="dana",
    body=b"a=b",
)


def test_work_of_our_own_is_about_the_same_task_and_has_no_key() -> None:
    assert delivery_about(CALLBACK, EntryKind.EVENT, NOW) == Delivery(
        kind=EntryKind.EVENT,
        received_at=NOW,
        workspace_sid="WS1",
        task_sid="WT1",
        reservation_sid="WR1",
        worker_sid="WK1",
        worker_name="dana",
    )


def test_a_log_line_names_workspace_task_and_reservation() -> None:
    assert sids(CALLBACK) == {"workspace_sid": "WS1", "task_sid": "WT1", "reservation_sid": "WR1"}
    assert sids(Delivery(EntryKind.EVENT, NOW)) == {"workspace_sid": "", "task_sid": "", "reservation_sid": ""}
