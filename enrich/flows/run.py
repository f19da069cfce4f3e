"""The record of one enrichment: what it found, what it wrote, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from enrich.domain.deadline import StepName, Stopwatch
from enrich.domain.deliveries import Conclusion
from enrich.domain.matches import Customer, Match
from enrich.domain.outcomes import Outcome, Reason
from enrich.taskrouter import attributes

# The step that the clock interrupted tells which dependency was slow.
_SLOW_DEPENDENCY: Mapping[str, Reason] = {
    StepName.LOOK_UP: Reason.DATABASE_TOO_SLOW,
    StepName.CHANNEL: Reason.DATABASE_TOO_SLOW,
    StepName.FETCH: Reason.TASKROUTER_TOO_SLOW,
    StepName.WRITE: Reason.TASKROUTER_TOO_SLOW,
}


@dataclass(slots=True)
class EnrichmentRun:
    """One enrichment, filled in as it goes: the clock may interrupt it anywhere, and this is what remains.

    match: None until the choice is made. customer: of a match; None where the store has no details. projected: the
    values to stand beside the block. before, after: the attributes as read and as written; None: not read, not written.
    outcome: None until the run has ended. retryable: another attempt, later, may succeed.
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

    def end(self, outcome: Outcome, reason: str = "", *, retryable: bool = False) -> None:
        """Record how the run ended."""
        self.outcome, self.reason, self.retryable = outcome, reason, retryable

    def end_enriched(self) -> None:
        """Record that the block stands on the task; for NoMatch the reason says why there is no customer."""
        self.end(Outcome.ENRICHED, getattr(self.match, "reason", ""))

    def end_out_of_time(self) -> None:
        """Record that the clock ended the run, unless the run had ended already."""
        if self.outcome is None:
            interrupted = [step.name for step in self.stopwatch.steps if step.failed]
            slow = _SLOW_DEPENDENCY.get(interrupted[-1]) if interrupted else None
            self.end(Outcome.OUT_OF_TIME, slow or Reason.OUT_OF_TIME, retryable=True)

    def conclusion(self, elapsed_ms: float | None, decision: Mapping[str, Any] | None = None) -> Conclusion:
        """Return the run as the journal keeps it.

        decision: `InstructionDecision.to_journal()`, where a policy made one.
        """
        return Conclusion(
            outcome=self.outcome or Outcome.FAILED,
            reason=self.reason,
            match=self.match,
            finding=self.finding,
            attributes_before=self.before,
            attributes_after=self.after,
            decision=decision,
            steps=[
                {"name": step.name, "elapsed_ms": step.elapsed_ms, "failed": step.failed}
                for step in self.stopwatch.steps
            ],
            elapsed_ms=elapsed_ms,
        )

    def written(self) -> Conclusion:
        """Return what the run wrote, without its times."""
        return Conclusion(
            outcome=self.outcome or Outcome.ENRICHED,
            reason=self.reason,
            match=self.match,
            finding=self.finding,
            attributes_before=self.before,
            attributes_after=self.after,
        )
