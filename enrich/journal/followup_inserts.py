"""Statements that add follow-ups or make them due again, for the transaction of the entry that causes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, null, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from enrich.database.engine import Database
from enrich.domain.deliveries import NewFollowup, OnExisting
from enrich.journal.tables import EntryRow, FollowupRow

# A new follow-up names its entry as `of_entry`, and gets that entry's task.
_ENTRY_ID = bindparam("of_entry", type_=FollowupRow.entry_id.type)
_OF_ENTRY: dict[str, Any] = {
    "entry_id": _ENTRY_ID,
    "task_sid": select(EntryRow.task_sid).where(EntryRow.id == _ENTRY_ID).scalar_subquery(),
}
INSERT_FOLLOWUP = insert(FollowupRow).values(_OF_ENTRY)


class FollowupInserts:
    """Statements that create follow-ups, run in the transaction of the entry that causes them."""

    def __init__(self, database: Database) -> None:
        dialect = sqlite if database.is_sqlite else postgresql
        inserting = dialect.insert(FollowupRow).values(_OF_ENTRY)
        self._statements: Mapping[OnExisting, Any] = {
            OnExisting.KEEP: inserting.on_conflict_do_nothing(index_elements=[FollowupRow.key]),
            # The lease stays: two workers must not execute it at once, and the present one does not know of the
            # restart.
            OnExisting.RESTART: inserting.on_conflict_do_update(
                index_elements=[FollowupRow.key],
                set_=_RESTARTED | {"due_at": inserting.excluded.due_at, "data": inserting.excluded.data},
            ),
            OnExisting.REOPEN: inserting.on_conflict_do_update(
                index_elements=[FollowupRow.key],
                set_=_RESTARTED | {"due_at": inserting.excluded.due_at},
                # One that is executed just now may have looked already.
                where=or_(FollowupRow.due_at.is_(None), FollowupRow.leased_until.is_not(None)),
            ),
        }

    def add(self, connection: Connection, entry_id: int, followups: Sequence[NewFollowup], *, at: datetime) -> None:
        """Create follow-ups of this entry, or restart existing ones, as `on_existing` says."""
        for followup in followups:
            if followup.on_existing is OnExisting.RESTART_ONLY:
                self.wake(connection, followup)
                continue
            values = {
                "kind": followup.kind,
                "of_entry": entry_id,
                "created_at": at,
                "due_at": followup.due_at,
                "attempts": 0,
                "last_reason": "",
                "key": followup.key,
                "data": None if followup.data is None else dict(followup.data),
            }
            connection.execute(self._statements[followup.on_existing], values)

    @staticmethod
    def wake(connection: Connection, followup: NewFollowup) -> None:
        """Make the follow-up with the same key due again. No effect if there is none."""
        connection.execute(WAKE, wake_parameters(followup))


_RESTARTED: dict[str, Any] = {"attempts": 0, "done_at": null(), "given_up_at": null()}
WAKE = (
    update(FollowupRow)
    .where(FollowupRow.key == bindparam("existing_key"))
    .values(**_RESTARTED, due_at=bindparam("due_again_at"))
)


def wake_parameters(followup: NewFollowup) -> dict[str, Any]:
    """Return the parameters of `WAKE`."""
    return {"existing_key": followup.key, "due_again_at": followup.due_at}
