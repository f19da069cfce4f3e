"""Records and their shared ids as rows: what arrived is written with one statement for each kind of change.

Works in the session of the caller; raises DatabaseError.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, bindparam, delete, insert, update
from sqlalchemy.orm import Session

from enrich.customers.arrivals import Origin, shared_values
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import StoredRecord
from enrich.customers.projector import holders_of
from enrich.customers.source_tables import SharedIdRow, SourceRecordRow
from enrich.database.types import Base

_RECORDS, _SHARED = (Base.metadata.tables[row.__tablename__] for row in (SourceRecordRow, SharedIdRow))


class RecordWrites:
    """The writes of records and their shared ids, one statement for each kind."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._new: list[dict[str, Any]] = []
        self._changed: list[dict[str, Any]] = []
        self._shared_before: dict[str, set[Identifier]] = {}
        self._shared: dict[str, set[Identifier]] = {}

    def put(self, record: StoredRecord, known: StoredRecord | None) -> None:
        """Add a record. known: as it is stored."""
        values = {
            "version": record.version,
            "hash": record.hash,
            "state": record.state,
            "into_remote_id": record.into_remote_id,
            "fields": dict(record.fields),
        }
        if known is None:
            of_record = {"source": record.source, "object": record.object, "remote_id": record.remote_id}
            self._new.append({**of_record, "home_id": record.home_id, **values})
        else:
            self._changed.append({"of": record.remote_id, **values})
        if self._origin.shared_kinds:
            self.share(record, shared_values(known, self._origin) if known else set())

    def share(self, record: StoredRecord, before: set[Identifier]) -> bool:
        """Add the shared values of a record; return whether they change. before: those that are stored."""
        self._shared[record.remote_id] = shared_values(record, self._origin)
        self._shared_before[record.remote_id] = before
        return self._shared[record.remote_id] != before

    def write(self, session: Session, seq: int) -> set[str]:
        """Execute the statements; return the homes of other records whose values came, changed or went.

        seq: the source's counter for this transaction.
        """
        connection = session.connection()
        for row in (*self._new, *self._changed):
            row["seq"] = seq
        if self._new:
            connection.execute(insert(_RECORDS), self._new)
        if self._changed:
            of_record = and_(
                _RECORDS.c.source == self._origin.source,
                _RECORDS.c.object == self._origin.object,
                _RECORDS.c.remote_id == bindparam("of"),
            )
            connection.execute(update(_RECORDS).where(of_record), self._changed)
        return self._write_shared(session) if self._shared else set()

    def _write_shared(self, session: Session) -> set[str]:
        of_object = {"source": self._origin.source, "object": self._origin.object}
        gone = [
            {"of": remote_id, "of_kind": key.kind, "of_value": key.value}
            for remote_id, keys in self._shared_before.items()
            for key in keys - self._shared[remote_id]
        ]
        new = [
            {**of_object, "remote_id": remote_id, "kind": key.kind, "value": key.value}
            for remote_id, keys in self._shared.items()
            for key in keys - self._shared_before[remote_id]
        ]
        touched = {Identifier(one["of_kind"], one["of_value"]) for one in gone}
        touched |= {Identifier(one["kind"], one["value"]) for one in new}
        holders = holders_of(session, touched)  # before the change: some of them lose an edge
        connection = session.connection()
        if gone:
            connection.execute(
                delete(_SHARED).where(
                    _SHARED.c.source == self._origin.source,
                    _SHARED.c.object == self._origin.object,
                    _SHARED.c.remote_id == bindparam("of"),
                    _SHARED.c.kind == bindparam("of_kind"),
                    _SHARED.c.value == bindparam("of_value"),
                ),
                gone,
            )
        if new:
            connection.execute(insert(_SHARED), new)
        return {holder.home_id for of_value in holders.values() for holder in of_value}
