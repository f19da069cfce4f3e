"""Pages of records, as connectors yield them: what stands in one, and where to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# JSON; opaque to all but the connector that made it.
Position = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PulledRecord:
    """One record as the source has it now.

    version: time of its last change in microseconds since 1970; None if the source does not say. customer: in the form
    of a row of a file, not validated. is_deleted: the source keeps it, and says that it is deleted.
    """

    remote_id: str
    version: int | None
    customer: Mapping[str, Any]
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a pass. To be stored together with its position; may be applied twice.

    records: live ones. gone: those that the source says are deleted. keys: of a pass over keys, the ids of the page.
    position: where to go on; None if the pass is complete. watermark: of a complete pass, the time until which the
    source is read, in microseconds since 1970 by its own clock; the next window begins there. unstamped: records
    without a time of change, which windows never find.
    """

    records: tuple[PulledRecord, ...] = ()
    gone: tuple[PulledRecord, ...] = ()
    keys: tuple[str, ...] = ()
    position: Position | None = None
    watermark: int | None = None
    unstamped: int = 0

    @property
    def is_complete(self) -> bool:
        return self.position is None
