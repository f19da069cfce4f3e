"""Sources that send their customers, on the command line."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from enrich.customers.push_intake import PushIntake
from enrich.customers.quarantine import QuarantinedRecord
from enrich.domain.streams import StreamState
from enrich.services import Services
from enrich.sources.file import PushDeclaration


def are_pushes(services: Services, names: Collection[str]) -> bool:
    """Return whether all of these are declared sources of the kind push."""
    declared = services.sources.declarations
    return all(isinstance(declared.get(name), PushDeclaration) for name in names)


def push_in_words(state: StreamState) -> str:
    """Return the state of a source that sends, in words."""
    return "sends its customers" + (f"; {state.problem}: {state.detail}" if state.problem else "")


def apply_again(services: Services, source: str, records: Sequence[QuarantinedRecord]) -> None:
    """Apply what this source sent and is in quarantine, by the rules of today. Raises DatabaseError, BrakeApplied."""
    rules = services.rules.keys
    intake = PushIntake(services.database, services.adapters.now, lambda: time.sleep(0))
    intake.retry(source, records, region=rules.region, kinds=rules.kinds)
