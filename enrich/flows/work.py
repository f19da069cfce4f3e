"""What every flow works with: rules, adapters, and the record of one run of enrichment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from enrich.customers import block, matching
from enrich.domain.deadline import Stopwatch
from enrich.domain.deliveries import Conclusion, FollowupAttempt
from enrich.domain.matches import Customer, Match
from enrich.domain.outcomes import Outcome, Reason
from enrich.policy.file import Policy
from enrich.taskrouter import attributes

if TYPE_CHECKING:
    from enrich.customers.store import CustomerStore
    from enrich.journal.receipts import Journal
    from enrich.journal.task_states import TaskStates
    from enrich.taskrouter.client import TaskRouterClient

# A pause is never quite as long as asked for (`Adapters.pause`); at most so much longer.
JITTER = 1.5


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings and the policy file say. attribute: the one key of the task's attributes that is ours.

    card_key: what the tokens of cards are made with; empty: our block leads to no card.
    """

    attribute: str
    keys: matching.KeyRules
    shape: block.BlockShape
    default_instruction: str
    accept_via: str
    policy: Policy = field(default_factory=Policy)
    card_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Adapters:
    """The adapters that the stories work with.

    time_limit: a block that is ended from outside, by OutOfTime, after that many seconds. now: the time, aware, in UTC.
    pause: waits about that many seconds, between half as long and `JITTER` times as long, so that what failed together
    does not come back together; lets others work meanwhile. observe: told of every follow-up that was tried.
    """

    rules: Rules
    journal: Journal
    states: TaskStates
    store: CustomerStore
    taskrouter: TaskRouterClient
    time_limit: Callable[[float], AbstractContextManager[None]]
    now: Callable[[], datetime]
    pause: Callable[[float], None]
    observe: Callable[[FollowupAttempt], None] = lambda _tried: None


@dataclass(slots=True)
class EnrichmentRun:
    """What one enrichment found and did, filled in as it goes: the clock may end it anywhere, and this is what is left.

    match: None until the choice is made. customer: of a match; None where the store has no details.
    projected: what is to stand beside the block.
    before, after: the attributes as read and as written; None: neither happened.
    outcome: None until it ended by itself. retryable: whether doing it again, later, can help.
    """

    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    match: Match | None = None
    customer: Customer | None = None
    finding: Mapping[str, Any] | None = None
    before: str | None = None
    after: str | None = None
    projected: tuple[attributes.Projected, ...] = ()
    outcome: Outcome | None = None
    reason: str = ""
    retryable: bool = False

    def ended(self, outcome: Outcome, reason: str = "", *, retryable: bool = False) -> None:
        self.outcome, self.reason, self.retryable = outcome, reason, retryable


def conclusion_of(
    work: EnrichmentRun, elapsed_ms: float | None, decision: Mapping[str, Any] | None = None
) -> Conclusion:
    """The work as the journal keeps it. decision: as `Decision.told` tells it, where a policy made one."""
    return Conclusion(
        outcome=work.outcome or Outcome.FAILED,
        reason=work.reason,
        match=work.match,
        finding=work.finding,
        attributes_before=work.before,
        attributes_after=work.after,
        decision=decision,
        steps=[
            {"name": step.name, "elapsed_ms": step.elapsed_ms, "failed": step.failed} for step in work.stopwatch.steps
        ],
        elapsed_ms=elapsed_ms,
    )


def too_slow(work: EnrichmentRun) -> Reason:
    """Whom the clock was waiting for: the step that it ended tells."""
    interrupted = next((step.name for step in reversed(work.stopwatch.steps) if step.failed), "")
    return _WAITING_FOR.get(interrupted, Reason.OUT_OF_TIME)


_WAITING_FOR = {
    "look_up": Reason.DATABASE_TOO_SLOW,
    "channel": Reason.DATABASE_TOO_SLOW,
    "fetch": Reason.TASKROUTER_TOO_SLOW,
    "write": Reason.TASKROUTER_TOO_SLOW,
}
